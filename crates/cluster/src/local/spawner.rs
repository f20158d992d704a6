//! The one thread that starts all processes and watches what they use.
//!
//! A process asks to be killed when its parent ends, and to Linux the parent is the thread that
//! started it (prctl(2), PR_SET_PDEATHSIG). So that thread must live as long as the hub.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use muster_core::instance::{EndCause, StartFault};
use muster_core::news::Usage;
use muster_core::{InstanceId, Model, ObservedState};
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;

use super::attend::{Attended, attend};
use super::{Order, Running};
use crate::book::Book;
use crate::child::{Child, Isolation};
use crate::machine::{CUDA, Facts};
use crate::proc;

/// How often it is looked at what instances use, while there are any.
const USAGE_CHECK: Duration = Duration::from_millis(500);

pub(super) struct Spawner {
    pub book: Arc<Book<Running>>,
    pub program: PathBuf,
    /// As instances get it in their environment.
    pub run_dir: PathBuf,
    pub sockets: PathBuf,
    pub scratch: PathBuf,
    pub walls: Vec<OsString>,
    pub environments: PathBuf,
    pub environment: Vec<(OsString, OsString)>,
    pub gpu_variable: String,
    pub facts: Option<Arc<Facts>>,
}

/// A launch on its way to the thread.
pub(super) struct Started {
    pub instance: InstanceId,
    pub model: Arc<Model>,
    pub folder: PathBuf,
    pub devices: Vec<String>,
    pub orders: UnboundedReceiver<Order>,
}

impl Spawner {
    /// Runs until there is nobody left who could launch.
    pub(super) fn run(self, launches: &Receiver<Started>, runtime: &Handle) {
        let _inside = runtime.enter();
        let path = self.environment.iter().find(|(name, _)| name == "PATH");
        let path = path.map(|(_, path)| path.as_os_str());
        let isolation = Isolation::probe(path);
        if isolation == Isolation::Session {
            tracing::warn!(
                "process namespaces are not available: a process that leaves its model's session \
                 may outlive a killed hub until the next start"
            );
        }
        let mut checked = Instant::now();
        loop {
            let next = if self.any_lives() {
                launches.recv_timeout(USAGE_CHECK.saturating_sub(checked.elapsed()))
            } else {
                launches.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match next {
                Ok(started) => self.start(started, isolation, runtime),
                Err(RecvTimeoutError::Timeout) => {
                    self.check_usage();
                    checked = Instant::now();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn start(&self, started: Started, isolation: Isolation, runtime: &Handle) {
        let Started { instance, model, folder, devices, orders } = started;
        let socket = self.sockets.join(format!("{instance}.sock"));
        let scratch = self.scratch.join(instance.to_string());
        let places = (folder.as_path(), socket.as_path(), scratch.as_path());
        let mut command = self.command(instance, &model, places, isolation);
        let mut child = match self.with_devices(&mut command, &devices).spawn() {
            Ok(child) => child,
            Err(error) => {
                let reason = format!("its process cannot be started: {error}");
                let fault = fault_of(&error);
                let cause = EndCause::NotStarted { reason, fault };
                return self.book.see(instance, ObservedState::Ended { cause });
            }
        };
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return;
        };
        self.book.with(instance, |known| known.pid = child.id());
        let book = Arc::clone(&self.book);
        // Its GPUs may be why, if it fails.
        let facts = self.facts.clone().filter(|_| !devices.is_empty());
        let attended = Attended {
            book,
            instance,
            child,
            orders,
            socket,
            scratch,
            isolation,
            facts,
            was_ready: false,
        };
        runtime.spawn(attend(attended, stdout, stderr));
    }

    fn command(
        &self,
        instance: InstanceId,
        model: &Model,
        (folder, socket, scratch): (&Path, &Path, &Path),
        isolation: Isolation,
    ) -> Command {
        let mut listen = OsString::from("unix:");
        listen.push(socket);
        let mut command: Vec<OsString> = vec![
            self.program.clone().into(),
            "model-server".into(),
            folder.into(),
            "--listen".into(),
            listen,
            "--environments".into(),
            self.environments.clone().into(),
            "--of-version".into(),
            model.version.clone().into(),
            "--ready-fd-on-stdout".into(),
            "--scratch".into(),
            scratch.into(),
            "--network".into(),
            model.network.as_str().into(),
        ];
        command.extend(self.walls.iter().cloned());
        let child = Child { parent: std::process::id() as i32, isolation, command };
        let mut command = Command::new(&self.program);
        command
            .arg("child")
            .args(child.to_arguments())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("MUSTER_INSTANCE", instance.to_string())
            .env("MUSTER_RUN", &self.run_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// It sees these GPUs and no others.
    fn with_devices<'c>(&self, command: &'c mut Command, devices: &[String]) -> &'c mut Command {
        // NVIDIA's are not to be seen either where others are given.
        command
            .env(CUDA, "")
            .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
            .env(&self.gpu_variable, devices.join(","))
    }

    fn any_lives(&self) -> bool {
        let mut lives = false;
        self.book.each(|_, known| lives |= known.pid.is_some());
        lives
    }

    /// Notes what instances use, and has those killed that hold more memory than their model may.
    fn check_usage(&self) {
        let mut living = Vec::new();
        self.book.each(|instance, known| {
            if let Some(pid) = known.pid {
                living.push((instance, pid, known.memory_mib, known.orders.clone()));
            }
        });
        for (instance, pid, limit_mib, orders) in living {
            let limit = u64::from(limit_mib) * 1024;
            let tree = proc::tree(pid as i32);
            let mut resident: u64 = tree.iter().map(|pid| proc::resident_kib(*pid)).sum();
            if resident > limit {
                // Workers that were forked share most of their pages: those are counted once.
                resident = tree.iter().map(|pid| proc::proportional_kib(*pid)).sum();
            }
            let used: Duration = tree.iter().map(|pid| proc::processor_time(*pid)).sum();
            self.book.with(instance, |known| known.note(used, resident * 1024, Instant::now()));
            if resident > limit && orders.send(Order::OutOfMemory { limit_mib }).is_err() {
                tracing::debug!(pid, "an instance over its memory limit ended by itself");
            }
        }
    }
}

/// A program that is not there, or must not be run, does not come by itself; processes, files and memory
/// that are used up do.
fn fault_of(error: &io::Error) -> StartFault {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => StartFault::Lasting,
        _ => StartFault::Passing,
    }
}

impl Running {
    /// Its processes used so much processor time since they began, and hold so much memory.
    fn note(&mut self, used: Duration, memory: u64, now: Instant) {
        let before = self.looked.replace((now, used));
        // A process that ended unnoticed took its time with it.
        let cores = before.map_or(0.0, |(at, before)| {
            let passed = now.duration_since(at).as_secs_f64().max(1e-3);
            used.saturating_sub(before).as_secs_f64() / passed
        });
        self.usage.add(&Usage::of((cores * 1000.0).round() as u64, memory));
    }
}
