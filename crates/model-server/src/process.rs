//! Processes of a model. All are started by one permanent thread, because the signal that ties a child
//! to its parent's life fires when the *thread* that started it ends (trap T7). That thread is inside
//! the walls, and so is whatever it starts; the rest of this process is outside.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::thread;

use muster_sandbox::Entered;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Machine;
use crate::walls::Place;

/// Starts processes.
#[derive(Clone)]
pub(crate) struct Spawner {
    orders: mpsc::Sender<(Command, oneshot::Sender<io::Result<Child>>)>,
    machine: Machine,
    place: Arc<Place>,
    /// Whom their folders have to belong to, if they run as another user.
    user: Option<u32>,
}

/// A process and everything it started: killed when dropped.
pub(crate) struct Group {
    pub child: Child,
    pid: Option<Pid>,
}

impl Spawner {
    pub(crate) async fn new(machine: &Machine, place: Place) -> io::Result<Self> {
        let (orders, received) = mpsc::channel::<(Command, oneshot::Sender<io::Result<Child>>)>();
        let (enter, entered) = oneshot::channel();
        let (runtime, sandbox) = (Handle::current(), place.sandbox.clone());
        thread::Builder::new().name("spawner".into()).spawn(move || {
            let inside = match sandbox.map(|sandbox| sandbox.enter()) {
                Some(entered) => entered.map(Some),
                None => Ok(None),
            };
            let is_inside = inside.is_ok();
            // Whoever asked and left wants no process either.
            if enter.send(inside).is_err() || !is_inside {
                return;
            }
            let _entered = runtime.enter();
            for (mut command, reply) in received {
                // Whoever asked and left wants no process: it is killed as it is dropped.
                drop(reply.send(command.spawn()));
            }
        })?;
        let entered: Option<Entered> = entered.await.map_err(|_| gone())??;
        let wanted = place.sandbox.as_ref().and_then(|sandbox| sandbox.user);
        let user = entered.as_ref().and_then(|entered| entered.user);
        if wanted.is_some() && user.is_none() {
            let walls = entered.iter().flat_map(|entered| &entered.walls);
            for wall in walls.filter(|wall| !wall.holds) {
                eprintln!("it runs without a wall ({}): {}", wall.name, wall.how);
            }
        }
        Ok(Self { orders, machine: machine.clone(), place: Arc::new(place), user })
    }

    /// Starts a program in a group of its own; `bin` is looked into before the machine's `PATH`.
    pub(crate) async fn start(
        &self,
        words: &[OsString],
        dir: &Path,
        bin: Option<&Path>,
    ) -> io::Result<Group> {
        let mut all = self.machine.child_prefix.iter().chain(words);
        let first = all.next().ok_or_else(|| io::Error::other("an empty command"))?;
        let mut command = Command::new(first);
        command.args(all).current_dir(dir).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PATH", path(bin, &self.machine.path));
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        // For the pod alone, which fetched its folder by it.
        command.env_remove("MUSTER_FOLDER_LINK");
        command.envs(self.place.variables.iter().map(|(name, value)| (name, value)));
        if let Some(environment) = bin.and_then(Path::parent) {
            command.env("VIRTUAL_ENV", environment);
        }
        if self.machine.child_prefix.is_empty() {
            command.process_group(0);
        }
        let (reply, answer) = oneshot::channel();
        self.orders.send((command, reply)).map_err(|_| gone())?;
        let child = answer.await.map_err(|_| gone())??;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Group { child, pid })
    }

    /// A new folder that the processes may write into.
    pub(crate) fn folder(&self) -> io::Result<TempDir> {
        let folder = match &self.place.sandbox {
            Some(sandbox) => tempfile::tempdir_in(&sandbox.scratch)?,
            None => tempfile::tempdir()?,
        };
        self.give(folder.path())?;
        Ok(folder)
    }

    /// Makes something theirs.
    pub(crate) fn give(&self, path: &Path) -> io::Result<()> {
        match self.user {
            Some(user) => std::os::unix::fs::lchown(path, Some(user), Some(user)),
            None => Ok(()),
        }
    }

    /// A failure's words, and what the walls may have to do with it.
    pub(crate) fn explain(&self, words: String) -> String {
        let sandbox = self.place.sandbox.as_ref();
        match sandbox.and_then(|sandbox| sandbox.advice(&words)) {
            Some(advice) => format!("{words}. {advice}"),
            None => words,
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the spawner is gone")
}

fn path(bin: Option<&Path>, rest: &OsStr) -> OsString {
    let Some(bin) = bin else { return rest.to_owned() };
    let mut path = bin.as_os_str().to_owned();
    path.push(":");
    path.push(rest);
    path
}

impl Drop for Group {
    fn drop(&mut self) {
        // As long as the child was not waited for, its number is not given to another process.
        if let (Some(pid), Some(_)) = (self.pid, self.child.id())
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, "a process group was gone already");
        }
    }
}
