//! Processes of a model. All are started by one permanent thread, because the signal that ties a child
//! to its parent's life fires when the *thread* that started it ends (trap T7).

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Machine;

/// Starts processes.
#[derive(Clone)]
pub(crate) struct Spawner {
    orders: mpsc::Sender<(Command, oneshot::Sender<io::Result<Child>>)>,
    machine: Machine,
}

/// A process and everything it started: killed when dropped.
pub(crate) struct Group {
    pub child: Child,
    pid: Option<Pid>,
}

impl Spawner {
    pub(crate) fn new(machine: Machine) -> io::Result<Self> {
        let (orders, received) = mpsc::channel::<(Command, oneshot::Sender<io::Result<Child>>)>();
        let runtime = Handle::current();
        thread::Builder::new().name("spawner".into()).spawn(move || {
            let _entered = runtime.enter();
            for (mut command, reply) in received {
                // Whoever asked and left wants no process: it is killed as it is dropped.
                drop(reply.send(command.spawn()));
            }
        })?;
        Ok(Self { orders, machine })
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
        if let Some(environment) = bin.and_then(Path::parent) {
            command.env("VIRTUAL_ENV", environment);
        }
        if self.machine.child_prefix.is_empty() {
            command.process_group(0);
        }
        let (reply, answer) = oneshot::channel();
        let gone = |_| io::Error::other("the spawner is gone");
        self.orders.send((command, reply)).map_err(|_| io::Error::other("the spawner is gone"))?;
        let child = answer.await.map_err(gone)??;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Group { child, pid })
    }
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
