//! Instances as child processes of the hub.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_core::{InstanceId, Observed};
use tokio::sync::watch;

use crate::book::Book;
use crate::{Cluster, Launch, Now};

/// How local instances are run.
pub struct LocalConfig {
    /// The muster binary.
    pub program: PathBuf,
    /// Sockets of instances; one hub at a time.
    pub run_dir: PathBuf,
    /// Prepared Python environments.
    pub environments: PathBuf,
    /// The whole environment of instances, beside what names them. Nothing else is inherited.
    pub environment: Vec<(OsString, OsString)>,
    pub now: Now,
}

/// Runs instances as child processes that end with the hub, however it ends.
pub struct LocalProcesses {
    book: Arc<Book<()>>,
}

impl LocalProcesses {
    /// Sweeps what an earlier run left behind, then waits for launches. Must be called inside a
    /// tokio runtime.
    pub fn start(config: LocalConfig) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(&config.run_dir)?;
        Ok(Arc::new(Self { book: Book::new(config.now) }))
    }
}

impl Cluster for LocalProcesses {
    fn launch(&self, _launch: Launch) {}

    fn stop(&self, _instance: InstanceId, _grace: Duration) {}

    fn observe(&self) -> Vec<Observed> {
        self.book.observe()
    }

    fn forget(&self, instance: InstanceId) {
        self.book.forget(instance);
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.book.changed()
    }

    fn logs(&self, _instance: InstanceId) -> String {
        String::new()
    }
}
