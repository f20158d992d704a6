//! The hands: where instances run.
//!
//! A [`Cluster`] is told to launch and to stop, and says what it sees. It decides nothing: when to
//! launch, how long a start may take and what an end means is for `muster_core` and the engine.

mod book;
mod external;
mod local;
mod program;
mod resolve;
mod simulator;
mod sweep;

pub mod child;
pub mod machine;
pub mod proc;
pub mod provider;

use std::sync::Arc;
use std::time::Duration;

use muster_core::news::News;
use muster_core::{InstanceId, Model, Observed, Timestamp};
use tokio::sync::watch;

pub use external::ExternalServers;
pub use local::{LocalConfig, LocalProcesses};
pub use resolve::Resolver;
pub use simulator::{SimPolicy, Simulator};

/// Reads the time. A cluster has no clock of its own: what it saw is compared with the store's times.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    pub instance: InstanceId,
    pub model: Arc<Model>,
    /// The GPUs that it alone may use, by their UUIDs.
    pub devices: Vec<String>,
}

/// A place where instances run. Commands return at once; what comes of them is observed.
pub trait Cluster: Send + Sync {
    /// Starts an instance. An instance that is already known is left as it is.
    fn launch(&self, launch: Launch);

    /// Asks an instance to end, and makes it end after `grace`. Unknown and ended ones are ignored.
    fn stop(&self, instance: InstanceId, grace: Duration);

    /// Everything the cluster knows. An ended instance is reported until it is forgotten.
    fn observe(&self) -> Vec<Observed>;

    /// What is known of one instance, if it is known.
    fn find(&self, instance: InstanceId) -> Option<Observed> {
        self.observe().into_iter().find(|seen| seen.instance == instance)
    }

    /// Drops what is known of an ended instance, its log too. Others are kept.
    fn forget(&self, instance: InstanceId);

    /// Changes whenever `observe` would say something new.
    fn changed(&self) -> watch::Receiver<u64>;

    /// What the instance wrote to its log after its first `from` bytes, as far as that is kept: the
    /// last 64 KiB. Nothing if it is unknown.
    fn log(&self, instance: InstanceId, from: u64) -> Written;

    /// What is new of it beside its state. It is told once.
    fn news(&self, instance: InstanceId) -> News;
}

/// A piece of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many bytes were written before it.
    pub position: u64,
    pub bytes: Vec<u8>,
}
