//! What `muster child` does between the hub and a model: it ties itself to the hub's life, drops
//! privileges and becomes the model's process.
//!
//! A program may only do this before it has a second thread. `unsafe` code between fork and exec
//! would do the same; this needs none.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, set_child_subreaper, set_parent_process_death_signal,
    setrlimit, setsid,
};
use rustix::thread::set_no_new_privs;

/// How readily the kernel ends a process when memory runs out, of 1000.
const SCORE: &str = "500";

/// What keeps an instance's processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A process namespace of its own: when its first process ends, the kernel ends all others.
    Namespace,
    /// The same, made through a user namespace: for hubs that are not root.
    UserNamespace,
    /// Only a session and process group: what leaves it is found by its environment.
    Session,
}

/// The arguments after `muster child`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The hub: without it the child must not run.
    pub parent: i32,
    pub isolation: Isolation,
    pub command: Vec<OsString>,
}

impl Child {
    pub fn to_arguments(&self) -> Vec<OsString> {
        let isolation = match self.isolation {
            Isolation::Namespace => "namespace",
            Isolation::UserNamespace => "user-namespace",
            Isolation::Session => "session",
        };
        let mut arguments = vec![self.parent.to_string().into(), isolation.into()];
        arguments.extend(self.command.iter().cloned());
        arguments
    }

    /// Reads what [`Child::to_arguments`] made; `None` if it did not.
    pub fn from_arguments(mut arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let parent = arguments.next()?.to_str()?.parse().ok()?;
        let isolation = match arguments.next()?.to_str()? {
            "namespace" => Isolation::Namespace,
            "user-namespace" => Isolation::UserNamespace,
            "session" => Isolation::Session,
            _ => return None,
        };
        let command: Vec<OsString> = arguments.collect();
        (!command.is_empty()).then_some(Self { parent, isolation, command })
    }

    /// Becomes the command. Returns only if that fails.
    pub fn exec(&self) -> io::Error {
        match self.prepare() {
            Ok(()) => {
                let mut command = self.isolation.wrap(&self.command);
                let error = command.exec();
                let program = command.get_program().display();
                io::Error::new(error.kind(), format!("{program} cannot be started: {error}"))
            }
            Err(error) => error,
        }
    }

    fn prepare(&self) -> io::Result<()> {
        // Killed as soon as the thread that started this process ends; the order matters, for the
        // hub may have died before the signal was asked for.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(self.parent) {
            return Err(io::Error::other("the hub is gone"));
        }
        setsid()?;
        set_no_new_privs(true)?;
        if self.isolation == Isolation::Session {
            // Its orphans stay in its tree, so that their memory is counted.
            set_child_subreaper(Some(Pid::INIT))?;
        }
        // A crash does not fill the disk with other people's inputs.
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        // Short of memory, the kernel takes a model before it takes the hub. Inside the walls it
        // may not be written: there it is as it was outside.
        let score = "/proc/self/oom_score_adj";
        let told = [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied];
        if let Err(error) = fs::write(score, SCORE)
            && !told.contains(&error.kind())
        {
            eprintln!("the kernel's choice when memory runs out stays as it is: {error}");
        }
        Ok(())
    }
}

/// What `PROGRAM WORDS..` says when it runs where an instance would: which walls there are.
///
/// # Errors
///
/// It cannot be run, or it fails.
pub fn ask_inside(
    program: &Path,
    words: &[&OsStr],
    environment: &[(OsString, OsString)],
) -> io::Result<(Isolation, Vec<u8>)> {
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let isolation = Isolation::probe(path.map(|(_, path)| path.as_os_str()));
    let all: Vec<OsString> =
        std::iter::once(program.as_os_str()).chain(words.iter().copied()).map(Into::into).collect();
    let mut command = isolation.wrap(&all);
    let vars = environment.iter().map(|(name, value)| (name, value));
    let output = command.env_clear().envs(vars).stdin(std::process::Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{}: {said}", output.status)));
    }
    Ok((isolation, output.stdout))
}

impl Isolation {
    /// The best that works here; tries by starting `true`.
    pub(crate) fn probe(path: Option<&OsStr>) -> Self {
        let works = |isolation: &Self| {
            let mut command = isolation.wrap(&["true".into()]);
            command.env_clear().envs(path.map(|path| ("PATH", path)));
            command.stdin(std::process::Stdio::null());
            command.output().is_ok_and(|output| output.status.success())
        };
        let namespaces = [Self::Namespace, Self::UserNamespace];
        namespaces.into_iter().find(works).unwrap_or(Self::Session)
    }

    fn wrap(self, command: &[OsString]) -> Command {
        let mut wrapped = Command::new("unshare");
        match self {
            Self::Namespace => {}
            Self::UserNamespace => {
                // With what it takes to make walls inside; models get none of it.
                wrapped.args(["--user", "--map-current-user", "--keep-caps"]);
            }
            Self::Session => {
                let mut plain = Command::new(command.first().map_or(OsStr::new(""), AsRef::as_ref));
                plain.args(command.iter().skip(1));
                return plain;
            }
        }
        wrapped.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]).args(command);
        wrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_a_child_read_back() {
        for isolation in [Isolation::Namespace, Isolation::UserNamespace, Isolation::Session] {
            let child = Child { parent: 7, isolation, command: vec!["sh".into(), "-c".into()] };
            assert_eq!(Child::from_arguments(child.to_arguments().into_iter()), Some(child));
        }
        let without_command = ["7", "session"].map(OsString::from);
        assert_eq!(Child::from_arguments(without_command.into_iter()), None);
    }
}
