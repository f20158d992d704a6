//! The loop of Muster: observe, plan, apply; and one dispatcher per ready instance that claims
//! tasks, calls the instance and stores what it answers.
//!
//! What to do is decided in `muster_core::plan`; what happened is kept in `muster_store`; where
//! instances run is `muster_cluster`. This crate carries messages between the three.

mod ahead;
mod apply;
mod around;
mod call;
mod clusters;
mod dispatcher;
mod groups;
mod job;
mod look;
mod observe;
mod pack;
mod record;
mod remote;
mod rollup;
mod running;
mod save;
mod supervisor;
mod tidy;
mod trials;

use std::time::Duration;

use muster_core::Clearing;
use muster_core::plan::Policy;
use muster_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use around::ThisNode;
pub use clusters::Clusters;
pub use groups::GroupsConfig;

/// What an engine works with.
pub struct EngineConfig {
    pub store: Store,
    pub clusters: Clusters,
    pub policy: Policy,
    /// The machine of this hub, as a node; without it room is not counted.
    pub node: Option<ThisNode>,
    /// Who makes nodes, and the groups that are the hub's.
    pub groups: Option<GroupsConfig>,
    /// What is cleared by itself, and when.
    pub clearing: Clearing,
}

/// A running engine. Dropping it does not stop it; [`Engine::stop`] does.
pub struct Engine {
    stop: CancellationToken,
    abort: CancellationToken,
    task: JoinHandle<()>,
}

impl Engine {
    pub fn start(config: EngineConfig) -> Self {
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(trials::settle(config.store.clone(), stop.clone()));
        let look = look::Loop::new(config, stop.clone(), abort.clone());
        Self { stop, abort, task: tokio::spawn(look.run()) }
    }

    /// Takes no new work, lets running jobs finish for at most `grace`, hands the rest back to the
    /// queue and ends the local instances. Pods and external model servers go on with their jobs.
    pub async fn stop(mut self, grace: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.abort.cancel();
            if self.task.await.is_err() {
                tracing::error!("the engine's loop panicked while it stopped");
            }
        }
    }
}
