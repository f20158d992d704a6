//! Kubernetes: every instance is a pod of one namespace.
//!
//! Pods are made, marked and deleted by single calls; all that becomes of them is watched. The scheduler of the
//! cluster places them.

mod around;
mod buffers;
pub mod canary;
pub(crate) mod client;
mod cordons;
mod ending;
mod entry;
mod events;
mod evict;
mod examine;
mod launch;
mod logs;
mod make;
#[cfg(test)]
mod make_tests;
mod merge;
mod pods;
#[cfg(test)]
mod pods_tests;
pub mod read;
mod rights;
mod runner;
mod scalers;
mod secure;
mod show;
mod sight;
mod start;
mod survey;
mod usage;
mod watch;
mod work;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_core::news::News;
use muster_core::room::{Ask, TenantId};
use muster_core::{Address, EndCause, InstanceId, Model, Observed};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::around::Around;
use self::buffers::Buffers;
use self::client::Calls;
pub use self::client::{KubeError, client};
use self::cordons::Cordons;
use self::evict::Evictions;
pub use self::examine::{Canary, examine, rights_of_machines};
use self::pods::{Named, Pods};
pub use self::runner::{LAST_WORDS, LINK, Link, Runner};
use self::sight::Eye;
pub use self::survey::{Survey, sights};
use crate::{Cluster, Cordon, Launch, Now, Work, Written};
pub use kube::Client;

/// How pods are run.
#[derive(Clone, Debug)]
pub struct KubeConfig {
    /// Where the pods are.
    pub namespace: String,
    /// The name of this hub, which its pods carry as a label. Several hubs in one namespace have names of
    /// their own.
    pub hub: String,
    /// What pods have beyond what the hub gives them: a strategic merge patch of `metadata` and `spec`.
    /// That of a model is laid over it.
    pub template: Value,
    /// Nodes, pods of others, budgets and daemon sets are watched.
    pub observe_cluster: bool,
    /// Nodes are cordoned and others are moved away from them if the hub says so.
    pub owns_nodes: bool,
    /// An autoscaler is asked to keep room free for models that say so.
    pub buffers: bool,
    /// How folders that were pushed run, if they do.
    pub runner: Option<Runner>,
    /// How often it is asked what pods use.
    pub measures: Duration,
    /// A watch that says nothing for so long is opened anew.
    pub silence: Duration,
    /// How long a pod that is in the books is looked for before it is made.
    pub looked_for: Duration,
    /// How long what says that it is the hub's and is no instance is left alone.
    pub fake: Duration,
}

impl Default for KubeConfig {
    fn default() -> Self {
        Self {
            namespace: "muster-models".to_owned(),
            hub: "muster".to_owned(),
            template: Value::Null,
            observe_cluster: true,
            owns_nodes: false,
            buffers: false,
            runner: None,
            measures: Duration::from_secs(15),
            silence: Duration::from_secs(360),
            looked_for: launch::DEFAULT_LOOKED_FOR,
            fake: ending::DEFAULT_FAKE,
        }
    }
}

/// Calls of one kind that are under way at once.
const AT_ONCE: usize = 16;
/// Logs that are followed at once: each has a connection. Others are read when their pods end.
const FOLLOWED: usize = 64;

/// Instances as pods. Pods go on when it is dropped.
pub struct Kube(Arc<Inner>);

struct Inner {
    config: KubeConfig,
    calls: Calls,
    pods: Pods,
    pods_eye: Eye,
    around: Around,
    cordons: Cordons,
    evictions: Evictions,
    buffers: Buffers,
    creates: Semaphore,
    patches: Semaphore,
    deletes: Semaphore,
    followers: Semaphore,
    fakes: Mutex<HashSet<Named>>,
    /// The last by which this server planned.
    epoch: AtomicU64,
    runtime: Handle,
    /// All that goes on ends with it.
    halt: CancellationToken,
}

impl Kube {
    /// Looks whether the hub may do what it has to and whether the template of pods can be used, then watches.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// What an administrator has to change. An API that does not answer is none: it is waited for.
    pub async fn start(
        client: kube::Client,
        config: KubeConfig,
        now: Now,
    ) -> Result<Arc<Self>, KubeError> {
        let calls = Calls { client, namespace: config.namespace.clone() };
        start::check(&calls, &config).await?;
        let inner = Arc::new(Inner {
            calls,
            pods: Pods::new(Arc::clone(&now)),
            pods_eye: Eye::new("pods", Arc::clone(&now)),
            around: Around::new(&config, &now),
            cordons: Cordons::new(Arc::clone(&now)),
            evictions: Evictions::default(),
            buffers: Buffers::default(),
            creates: Semaphore::new(AT_ONCE),
            patches: Semaphore::new(AT_ONCE),
            deletes: Semaphore::new(AT_ONCE),
            followers: Semaphore::new(FOLLOWED),
            fakes: Mutex::default(),
            epoch: AtomicU64::new(0),
            runtime: Handle::current(),
            halt: CancellationToken::new(),
            config,
        });
        start::watch(&inner, &now);
        Ok(Arc::new(Self(inner)))
    }
}

impl Inner {
    /// Did a server that planned later than this one say it?
    fn is_of_later(&self, epoch: u64) -> bool {
        epoch > self.epoch.load(Ordering::Relaxed)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let halt = self.halt.clone();
        self.runtime.spawn(async move {
            tokio::select! {
                () = halt.cancelled() => {}
                () = task => {}
            }
        });
    }
}

impl Drop for Kube {
    fn drop(&mut self) {
        self.0.halt.cancel();
    }
}

impl Cluster for Kube {
    fn launch(&self, launch: Launch) {
        let instance = launch.instance;
        if self.0.pods.enter(launch) {
            let inner = Arc::clone(&self.0);
            self.0.spawn(async move { launch::launch(inner, instance).await });
        }
    }

    fn stop(&self, instance: InstanceId, grace: Duration) {
        self.0.stop(instance, grace);
    }

    fn observe(&self) -> Vec<Observed> {
        self.0.pods.observe()
    }

    fn find(&self, instance: InstanceId) -> Option<Observed> {
        self.0.pods.find(instance)
    }

    fn forget(&self, instance: InstanceId) {
        self.0.forget(instance);
    }

    fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.pods.changed()
    }

    fn log(&self, instance: InstanceId, from: u64) -> Written {
        let read = self.0.pods.with(instance, |entry| {
            let its = entry.pod.as_ref().filter(|seen| !seen.gone).map(|seen| seen.is.clone());
            (entry.log.tail.since(from), its)
        });
        let Some(((position, bytes), its)) = read else {
            return Written { position: from, bytes: Vec::new() };
        };
        if let Some(is) = its {
            self.0.listen(instance, &is);
        }
        Written { position, bytes }
    }

    fn news(&self, instance: InstanceId) -> News {
        self.0.pods.with(instance, entry::Entry::news).unwrap_or_default()
    }

    fn around(&self) -> crate::Around {
        let mut around = self.0.around.look(self.0.pods_eye.watched());
        around.tenants = self.0.evictions.tell(around.tenants);
        around
    }

    fn cordon(&self, nodes: Option<Vec<Cordon>>) {
        self.0.cordons.want(nodes);
    }

    fn evict(&self, tenant: &TenantId) {
        self.0.evict(tenant);
    }

    fn spare(&self, models: Option<Vec<(Arc<Model>, u32)>>) {
        // What was made before somebody switched it off goes.
        let models = models.map(|all| if self.0.config.buffers { all } else { Vec::new() });
        self.0.buffers.want(models);
    }

    fn is_at(&self, instance: InstanceId, address: &Address) -> bool {
        self.0.pods.with(instance, |entry| entry.is_at(address)) == Some(true)
    }

    fn lost(&self, instance: InstanceId) -> Option<EndCause> {
        let node = self.0.pods.find(instance)?.node?;
        let why = self.0.around.why_lost(&node)?;
        Some(EndCause::NodeGone { why })
    }

    fn image(&self, instance: InstanceId) -> Option<String> {
        let image = |entry: &mut entry::Entry| entry.pod.as_ref()?.state.image_id.clone();
        self.0.pods.with(instance, image).flatten()
    }

    fn ask(&self, model: &Model, ask: Ask) -> Ask {
        make::ask(&self.0.config, model, ask)
    }

    fn lead(&self, epoch: u64) {
        self.0.epoch.fetch_max(epoch, Ordering::Relaxed);
    }

    fn sweep(&self, instance: InstanceId) -> bool {
        let made = |entry: &mut entry::Entry| entry.pod.as_ref().map(|seen| pods::epoch(&seen.pod));
        if let Some(Some(epoch)) = self.0.pods.with(instance, made)
            && self.0.is_of_later(epoch)
        {
            return false;
        }
        self.stop(instance, Duration::ZERO);
        self.forget(instance);
        true
    }

    fn work(&self, instance: InstanceId, work: Work) {
        if self.0.pods.with(instance, |entry| entry.marks.want(&work)) == Some(true) {
            work::see_to(&self.0, instance);
        }
    }
}
