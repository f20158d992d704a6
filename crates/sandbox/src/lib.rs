//! The walls around other people's code: a thread enters a [`Sandbox`], and whatever it starts from
//! then on is inside.
//!
//! Every wall is put up where the kernel lets us; which ones hold is told, not assumed. They overlap
//! on purpose: where namespaces are missing Landlock still holds, and the other way round.

mod explain;
mod files;
mod places;
mod user;
mod view;

use std::io;
use std::path::{Path, PathBuf};

use rustix::thread::{UnshareFlags, set_no_new_privs};
use serde::{Deserialize, Serialize};

pub use user::{BUILDER, is_root, user_of};

/// What code inside may reach. Everything else is refused.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// Files and folders that may be read; programs in them may be run.
    pub read: Vec<PathBuf>,
    /// Folders that may be written.
    pub write: Vec<PathBuf>,
    /// Never, though a folder around them may be read.
    pub hidden: Vec<PathBuf>,
    /// Folders that may be written and are given to the user.
    pub own: Vec<PathBuf>,
    /// One more of them, also under the name `/tmp` where that is possible.
    pub scratch: PathBuf,
    pub network: bool,
    /// The user it runs as, if this process may change users.
    pub user: Option<u32>,
}

/// One wall: what it keeps apart, and how it holds or why it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wall {
    pub name: String,
    pub holds: bool,
    pub how: String,
}

/// What became of entering.
#[derive(Clone, Debug)]
pub struct Entered {
    pub walls: Vec<Wall>,
    /// The user that code inside runs as, if it is another one.
    pub user: Option<u32>,
}

impl Wall {
    fn of(name: &str, made: Result<String, String>) -> Self {
        let holds = made.is_ok();
        let how = made.unwrap_or_else(|why| why);
        Self { name: name.to_owned(), holds, how }
    }
}

impl Sandbox {
    /// Puts the walls up around the calling thread and all it starts, for good. Other threads stay
    /// outside.
    ///
    /// # Errors
    ///
    /// Its folders cannot be used. A wall that cannot be had is no error: it is told.
    pub fn enter(&self) -> io::Result<Entered> {
        set_no_new_privs(true)?;
        let places = places::of(self)?;
        let spaces = Namespaces::make(self.network);
        let view = match &spaces.mount {
            Ok(()) => view::enter(&places, &self.scratch).map_err(|error| {
                format!("its own view of the file system cannot be made: {error}")
            }),
            Err(why) => Err(why.clone()),
        };
        let user = match self.user.map(|user| self.reachable_as(user, view.is_ok())) {
            Some(Ok(user)) => self.give_to(user).map(Some),
            Some(Err(why)) => Err(why),
            None => Ok(None),
        };
        let locked = files::lock(&places, self)?;
        let (user, as_user) = match user {
            Ok(user) => user::become_user(user),
            Err(why) => (None, user::become_user(None).1.and(Err(why))),
        };
        let files = either("a view of its own", &view, "Landlock", &locked.files);
        let network = either("a network of its own", &spaces.network, "Landlock", &locked.network);
        let processes = match (&spaces.processes, &locked.processes) {
            (Ok(how), _) | (Err(_), Ok(how)) => Ok(how.clone()),
            (Err(_), Err(why)) => Err(why.clone()),
        };
        let mut walls = vec![Wall::of("files", files), Wall::of("processes", processes)];
        if !self.network {
            walls.push(Wall::of("network", network));
        }
        walls.push(Wall::of("user", as_user));
        Ok(Entered { walls, user })
    }

    /// The user, unless it could not pass to the folders: of those that are on the way there a view
    /// has its own.
    fn reachable_as(&self, user: u32, view: bool) -> Result<u32, String> {
        let closed = |path: &Path| Err(format!("user {user} could not open {}", path.display()));
        for path in self.read.iter().chain(&self.write) {
            if path.exists() && !user::reads(path, user) {
                return closed(path);
            }
        }
        let all = self.read.iter().chain(&self.write).chain(&self.own).chain([&self.scratch]);
        for path in all.filter(|_| !view) {
            let Ok(path) = path.canonicalize() else { continue };
            let mut way = path.ancestors().skip(1);
            if let Some(folder) = way.find(|folder| !user::passes(folder, user)) {
                return closed(folder);
            }
        }
        Ok(user)
    }

    fn give_to(&self, user: u32) -> Result<u32, String> {
        for folder in self.own.iter().chain([&self.scratch]) {
            std::os::unix::fs::chown(folder, Some(user), Some(user))
                .map_err(|error| format!("{} cannot be its own: {error}", folder.display()))?;
        }
        Ok(user)
    }

    /// What a person may do about a failure that says `text`, if the walls may be its cause.
    pub fn advice(&self, text: &str) -> Option<String> {
        explain::advice(self, text)
    }
}

/// Which walls models get on this machine: tried on a thread that ends at once, with an empty folder.
pub fn probe(scratch: PathBuf) -> io::Result<Vec<Wall>> {
    let user = is_root().then(|| user_of("probe"));
    let sandbox = Sandbox { scratch, user, ..Sandbox::default() };
    let tried = std::thread::spawn(move || sandbox.enter()).join();
    Ok(tried.map_err(|_| io::Error::other("the walls cannot be tried"))??.walls)
}

/// Both, or the one that holds, or why neither does.
fn either<A, B>(
    first: &str,
    one: &Result<A, String>,
    second: &str,
    other: &Result<B, String>,
) -> Result<String, String> {
    match (one, other) {
        (Ok(_), Ok(_)) => Ok(format!("{first}, and {second}")),
        (Ok(_), Err(why)) => Ok(format!("{first} ({why})")),
        (Err(why), Ok(_)) => Ok(format!("{second} ({why})")),
        (Err(why), Err(also)) => Err(format!("{why}; {also}")),
    }
}

/// Parts of the system that the thread has for itself.
struct Namespaces {
    mount: Result<(), String>,
    network: Result<(), String>,
    processes: Result<String, String>,
}

impl Namespaces {
    fn make(network: bool) -> Self {
        let processes = if std::process::id() == 1 {
            Ok("a process namespace".to_owned())
        } else {
            Err("it sees the other processes of this machine".to_owned())
        };
        let may = rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_ADMIN));
        if !may {
            let why = "namespaces need root or user namespaces";
            return Self { mount: Err(why.into()), network: Err(why.into()), processes };
        }
        let make = |flags, what: &str| {
            #[expect(deprecated, reason = "it is unsafe with FILES only, which is not used")]
            let made = rustix::thread::unshare(flags);
            made.map_err(|error| format!("{what} cannot be made: {error}"))
        };
        let mount = make(UnshareFlags::NEWNS | UnshareFlags::NEWIPC, "a mount namespace");
        let network =
            if network { Ok(()) } else { make(UnshareFlags::NEWNET, "a network namespace") };
        Self { mount, network, processes }
    }
}
