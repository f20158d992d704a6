//! Containers are processes of this machine, each with a group of its own. They are started by
//! one thread that lives as long as the kubelets: with it the system ends what it started.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    process::{Child, Command},
    sync::{oneshot, watch},
};

/// What a container runs.
pub struct Program {
    pub line: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// As a shell has it: 128 and the signal.
    pub code: i32,
    pub at: Timestamp,
}

/// Dropped, it is killed with all that it started.
pub struct Process {
    pid: Pid,
    exit: watch::Receiver<Option<Exit>>,
    tails: Vec<tokio::task::JoinHandle<()>>,
    live: Live,
}

/// The processes that have not ended: the ids of others are left alone.
type Live = Arc<Mutex<HashSet<i32>>>;

fn is_over(live: &Live, pid: Pid) -> bool {
    !live.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid.as_raw_pid())
}

/// A group that is gone needs no signal.
fn kill_all(pid: Pid) {
    for descendant in super::usage::tree(pid.as_raw_pid()) {
        if let Some(pid) = Pid::from_raw(descendant) {
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }
    kill_process_group(pid, Signal::KILL).unwrap_or_default();
}

impl Process {
    pub fn id(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    pub fn exit(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.clone()
    }

    /// The first process alone, as a runtime does it.
    pub fn terminate(&self) {
        if self.exit.borrow().is_none() {
            kill_process(self.pid, Signal::TERM).unwrap_or_default();
        }
    }

    pub fn kill(&self) {
        if self.exit.borrow().is_none() {
            kill_all(self.pid);
        }
    }

    /// Its end, and what it wrote is read to the end.
    pub async fn wait(exit: &mut watch::Receiver<Option<Exit>>) -> Exit {
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or_else(lost),
            Err(_) => lost(),
        }
    }
}

/// Nobody saw how it ended.
fn lost() -> Exit {
    Exit { code: 137, at: Timestamp::now() }
}

/// Takes a line of a container's output.
pub type Line = Arc<dyn Fn(&str) + Send + Sync>;

type Order = (Command, oneshot::Sender<io::Result<Child>>);

pub struct Spawner {
    orders: Option<Sender<Order>>,
    live: Live,
    setpriv: Option<PathBuf>,
}

impl Spawner {
    pub fn new() -> Self {
        let (orders, received) = channel::<Order>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            let _runtime = runtime.enter();
            for (mut command, answer) in received {
                // One who no longer waits drops the child, which kills it.
                drop(answer.send(command.spawn()));
            }
        });
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self { orders: Some(orders), live: Arc::default(), setpriv: find("setpriv", &path) }
    }

    /// The error is that of the start itself, in the words of runc.
    pub async fn start(&self, program: &Program, line: Line) -> Result<Process, String> {
        let said = |why: String| format!("unable to start container process: {why}");
        let Some(name) = program.line.first() else {
            return Err(said("error during container init: no command specified".into()));
        };
        let path = match program.env.get("PATH") {
            Some(path) => OsString::from(path),
            None => std::env::var_os("PATH").unwrap_or_default(),
        };
        let Some(found) = find(name, &path) else {
            let missing = if name.contains('/') {
                format!("stat {name}: no such file or directory")
            } else {
                "executable file not found in $PATH".into()
            };
            return Err(said(format!("exec: {name:?}: {missing}")));
        };
        std::fs::create_dir_all(&program.dir).map_err(|error| said(error.to_string()))?;
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&found);
                command
            }
            None => Command::new(&found),
        };
        command.args(&program.line[1..]).env_clear().env("PATH", &path);
        for kept in ["HOME", "LANG", "LD_LIBRARY_PATH"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command.env("TMPDIR", &program.dir).envs(&program.env).current_dir(&program.dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let (answer, child) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or_else(|| said("the kubelet ends".into()))?;
        orders.send((command, answer)).map_err(|_| said("the kubelet ends".into()))?;
        let child = child.await.map_err(|_| said("the kubelet ends".into()))?;
        self.keep(child.map_err(|error| said(error.to_string()))?, line)
            .ok_or_else(|| said("it has no id".into()))
    }

    fn keep(&self, mut child: Child, line: Line) -> Option<Process> {
        let pid = Pid::from_raw(i32::try_from(child.id()?).ok()?)?;
        self.live.lock().unwrap_or_else(PoisonError::into_inner).insert(pid.as_raw_pid());
        let live = self.live.clone();
        let mut tails = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            tails.push(tokio::spawn(tail(stdout, line.clone())));
        }
        if let Some(stderr) = child.stderr.take() {
            tails.push(tokio::spawn(tail(stderr, line)));
        }
        let (told, exit) = watch::channel(None);
        let aborts: Vec<_> = tails.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        tokio::spawn(async move {
            let status = child.wait().await;
            let at = Timestamp::now();
            is_over(&live, pid);
            // What it leaves behind ends with it, as in a process namespace.
            kill_all(pid);
            // Its last lines are read; a descendant that holds the pipe open is not waited for.
            for _ in 0..20 {
                if aborts.iter().all(tokio::task::AbortHandle::is_finished) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let code = status.map_or(137, |status| {
                status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(9))
            });
            told.send_replace(Some(Exit { code, at }));
        });
        Some(Process { pid, exit, tails, live: self.live.clone() })
    }
}

impl Spawner {
    /// Ends all that it started.
    pub fn kill(&self) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().filter_map(|pid| Pid::from_raw(*pid)).for_each(kill_all);
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.orders.take();
        self.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !is_over(&self.live, self.pid) {
            kill_all(self.pid);
        }
        self.tails.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn find(name: &str, path: &OsString) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    std::env::split_paths(path).map(|dir| dir.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// Longer lines are cut in pieces, as the runtime's log format does.
const LONGEST_LINE: usize = 16 * 1024;

async fn tail(from: impl tokio::io::AsyncRead + Unpin, line: Line) {
    use tokio::io::AsyncReadExt;
    let (mut from, mut held, mut piece) = (from, Vec::new(), [0; 8192]);
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        held.extend_from_slice(&piece[..read]);
        let mut start = 0;
        while start < held.len() {
            let rest = &held[start..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (length, skip) = match end {
                Some(end) if end <= LONGEST_LINE => (end, 1),
                _ if rest.len() >= LONGEST_LINE => (LONGEST_LINE, 0),
                _ => break,
            };
            line(&String::from_utf8_lossy(&rest[..length]));
            start += length + skip;
        }
        held.drain(..start);
    }
    if !held.is_empty() {
        line(&String::from_utf8_lossy(&held));
    }
}
