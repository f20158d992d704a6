//! Instances as child processes of the hub.

mod attend;
mod spawner;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use muster_core::instance::EndCause;
use muster_core::news::{News, Usage};
use muster_core::{InstanceId, Observed, ObservedState, Source};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use self::spawner::{Spawner, Started};
use crate::book::Book;
use crate::machine::Facts;
use crate::tail::Tail;
use crate::{Cluster, Launch, Now, Written, proc, sweep};

/// Longest path of a unix socket, bytes: one less than `sun_path` holds.
const SOCKET_PATH: usize = 107;
/// An id and `.sock`, with the slash before.
const SOCKET_NAME: usize = 42;

/// How local instances are run.
pub struct LocalConfig {
    /// The muster binary: `PROGRAM child ..` becomes `PROGRAM model-server ..`.
    pub program: PathBuf,
    /// Sockets of instances; one hub at a time.
    pub run_dir: PathBuf,
    /// Prepared Python environments.
    pub environments: PathBuf,
    /// Where folders that were pushed are unpacked, each under the hash of its archive.
    pub folders: PathBuf,
    /// A scratch folder for each instance, gone when it ends; one hub at a time.
    pub scratch: PathBuf,
    /// What `model-server` is told besides: which walls its model gets.
    pub walls: Vec<OsString>,
    /// The whole environment of instances, beside what names them. Nothing else is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// The variable that tells an instance which GPUs are its own.
    pub gpu_variable: String,
    /// Told when an instance that had GPUs failed.
    pub facts: Option<Arc<Facts>>,
    pub now: Now,
}

/// Runs instances as child processes that end with the hub, however it ends.
pub struct LocalProcesses {
    book: Arc<Book<Running>>,
    launches: mpsc::Sender<Started>,
    folders: PathBuf,
    /// The name of this machine.
    host: Option<String>,
    /// Held for as long as instances may run here.
    _lock: File,
}

/// What is kept of an instance beside its state.
struct Running {
    /// While its process runs.
    pid: Option<u32>,
    memory_mib: u32,
    orders: UnboundedSender<Order>,
    log: Tail,
    /// What its processes used since somebody asked.
    usage: Usage,
    /// When they were looked at last, and how much processor time they had used by then.
    looked: Option<(Instant, Duration)>,
}

enum Order {
    Stop { grace: Duration },
    OutOfMemory { limit_mib: u32 },
}

impl LocalProcesses {
    /// Ends what an earlier run left behind, then waits for launches. Must be called inside a tokio
    /// runtime. Fails if another hub uses the folder.
    pub fn start(config: LocalConfig) -> io::Result<Arc<Self>> {
        // Who may not read the folder cannot call its sockets.
        DirBuilder::new().recursive(true).mode(0o700).create(&config.run_dir)?;
        let run_dir = config.run_dir.canonicalize()?;
        let lock = File::create(run_dir.join("lock"))?;
        lock.try_lock().map_err(|_| {
            let text = format!("another hub runs its instances in {}", run_dir.display());
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })?;
        let variable = [b"MUSTER_RUN=", run_dir.as_os_str().as_bytes()].concat();
        let swept = sweep::strangers_with(&variable)?;
        if swept > 0 {
            tracing::warn!(swept, "processes of an earlier run were still there and were ended");
        }
        let sockets = socket_dir(&run_dir)?;
        let scratch = scratch_dir(&config.scratch)?;
        let book = Book::new(config.now);
        let spawner = Spawner {
            book: Arc::clone(&book),
            program: config.program,
            run_dir,
            sockets,
            scratch,
            walls: config.walls,
            environments: config.environments,
            environment: config.environment,
            gpu_variable: config.gpu_variable,
            facts: config.facts,
        };
        let (launches, received) = mpsc::channel();
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("instances".to_owned())
            .spawn(move || spawner.run(&received, &runtime))?;
        let (folders, host) = (config.folders, proc::host());
        Ok(Arc::new(Self { book, launches, folders, host, _lock: lock }))
    }
}

impl Cluster for LocalProcesses {
    fn launch(&self, launch: Launch) {
        let Launch { instance, model, place, .. } = launch;
        let devices = place.into_iter().flat_map(|place| place.devices);
        let devices = devices.map(|device| device.0).collect();
        let (orders, received) = unbounded_channel();
        let memory_mib = model.limits.memory_mib;
        let (log, usage) = (Tail::default(), Usage::default());
        let known = Running { pid: None, memory_mib, orders, log, usage, looked: None };
        let starting = ObservedState::starting("starting its process");
        if !self.book.enter(instance, starting, known) {
            return;
        }
        let folder = match &model.source {
            Source::Folder { path } => Some(PathBuf::from(path)),
            Source::Pushed { content, .. } => Some(self.folders.join(content)),
            Source::Server { .. } | Source::Image { .. } => None,
        };
        let Some(folder) = folder else {
            let cause = EndCause::not_started("it is not a folder");
            return self.book.see(instance, ObservedState::Ended { cause });
        };
        let started = Started { instance, model, folder, devices, orders: received };
        if self.launches.send(started).is_err() {
            let cause = EndCause::not_started("the hub cannot start processes any more");
            self.book.see(instance, ObservedState::Ended { cause });
        }
    }

    fn stop(&self, instance: InstanceId, grace: Duration) {
        let told = self.book.with(instance, |known| known.orders.send(Order::Stop { grace }));
        if matches!(told, Some(Err(_))) {
            tracing::debug!(instance.id = %instance, "it had ended when it was asked to stop");
        }
    }

    fn observe(&self) -> Vec<Observed> {
        self.book.observe()
    }

    fn find(&self, instance: InstanceId) -> Option<Observed> {
        self.book.find(instance)
    }

    fn forget(&self, instance: InstanceId) {
        self.book.forget(instance);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.book.changed()
    }

    fn log(&self, instance: InstanceId, from: u64) -> Written {
        let written = self.book.with(instance, |known| known.log.since(from));
        let (position, bytes) = written.unwrap_or((from, Vec::new()));
        Written { position, bytes }
    }

    fn news(&self, instance: InstanceId) -> News {
        let usage = self.book.with(instance, |known| std::mem::take(&mut known.usage));
        News { node: self.host.clone(), usage: usage.unwrap_or_default(), ..News::default() }
    }
}

/// An empty folder that models may pass through, but not list.
fn scratch_dir(dir: &Path) -> io::Result<PathBuf> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    DirBuilder::new().recursive(true).mode(0o711).create(dir)?;
    dir.canonicalize()
}

/// Where sockets go: the run folder or, if its path is too long for a socket, a private folder
/// under /tmp. Sockets of an earlier run are removed.
fn socket_dir(run_dir: &Path) -> io::Result<PathBuf> {
    let mut dir = run_dir.to_owned();
    if run_dir.as_os_str().len() + SOCKET_NAME > SOCKET_PATH {
        let mut hasher = DefaultHasher::new();
        run_dir.hash(&mut hasher);
        dir = PathBuf::from(format!("/tmp/muster-{:016x}", hasher.finish()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let found = fs::symlink_metadata(&dir)?;
        let own = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_dir() || !own || found.mode() & 0o077 != 0 {
            let text = format!("{} is not a private folder of this user", dir.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
    }
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            fs::remove_file(path)?;
        }
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_folder_gets_a_short_private_folder_for_sockets() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(socket_dir(root.path()).expect("a folder"), root.path());
        let long = root.path().join("x".repeat(80));
        fs::create_dir(&long).expect("a folder");
        let short = socket_dir(&long).expect("a folder");
        assert!(short.as_os_str().len() + SOCKET_NAME <= SOCKET_PATH);
        fs::write(short.join("old.sock"), "").expect("a file");
        assert_eq!(socket_dir(&long).expect("the same folder"), short);
        assert!(!short.join("old.sock").exists());
        fs::remove_dir(short).expect("it is empty");
    }
}
