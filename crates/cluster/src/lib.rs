//! The hands: where instances run.
//!
//! A [`Cluster`] is told to launch and to stop, and says what it sees. It decides nothing: when to
//! launch, how long a start may take and what an end means is for `muster_core` and the engine.

mod book;
mod external;
mod local;
mod program;
mod resolve;
mod said;
mod simulator;
mod sweep;
mod tail;

pub mod child;
pub mod kube;
pub mod machine;
pub mod proc;
pub mod provider;

use std::sync::Arc;
use std::time::Duration;

use muster_core::news::News;
use muster_core::plan::Unseen;
use muster_core::room::{Ask, Budget, Daemon, NodeId, NodeView, Place, Tenant, TenantId};
use muster_core::{Address, Amounts, EndCause, InstanceId, Model, Observed, RequestId, Timestamp};
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
    /// What it holds of its node.
    pub asked: Option<Amounts>,
    /// Where it shall run, and the GPUs that it alone may use, by their UUIDs. A cluster with a scheduler of
    /// its own takes the node as a wish.
    pub place: Option<Place>,
    /// Which planning server's word this is: a later one has a larger number.
    pub epoch: u64,
    /// It is in the books already and may run: it is looked for before it is made.
    pub adopted: bool,
}

impl Launch {
    /// Wherever the cluster likes.
    pub fn anywhere(instance: InstanceId, model: Arc<Model>) -> Self {
        Self { instance, model, asked: None, place: None, epoch: 0, adopted: false }
    }
}

/// What an instance works on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// None: it is idle.
    pub requests: Vec<RequestId>,
}

/// What a watch of nodes is called.
pub const NODES: &str = "nodes";

/// What is around the instances of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Around {
    pub nodes: Vec<NodeView>,
    /// Who else runs there, or waits for a place.
    pub tenants: Arc<Vec<Arc<Tenant>>>,
    pub daemons: Vec<Daemon>,
    pub budgets: Vec<Budget>,
    /// What is watched, and how fresh it is.
    pub watches: Vec<Watched>,
}

/// Something that is watched in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// `pods`, `nodes`, ..
    pub what: &'static str,
    pub sight: Sight,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it is known; something was heard last at this time.
    Fresh { heard: Timestamp },
    /// It was not read to its end yet, or nothing is heard of it since then.
    Blind { since: Timestamp, why: String },
    /// The cluster does not let the hub see it.
    Forbidden { why: String },
}

impl Around {
    /// Why it is not known which nodes there are.
    pub fn blind(&self) -> Option<String> {
        let nodes = self.watches.iter().find(|watched| watched.what == NODES)?;
        match &nodes.sight {
            Sight::Fresh { .. } => None,
            Sight::Blind { why, .. } | Sight::Forbidden { why } => Some(format!("nodes: {why}")),
        }
    }

    /// What makes it impossible to tell where there is room.
    pub fn unseen(&self) -> Option<Unseen> {
        self.watches.iter().find_map(|watched| match &watched.sight {
            Sight::Blind { since, why } => {
                let why = format!("{}: {why}", watched.what);
                Some(Unseen { since: *since, why })
            }
            Sight::Fresh { .. } | Sight::Forbidden { .. } => None,
        })
    }
}

/// A node that gets nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cordon {
    pub node: NodeId,
    pub why: String,
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

    /// Does the instance still run where it was seen to listen?
    fn is_at(&self, _instance: InstanceId, _address: &Address) -> bool {
        true
    }

    /// Why an instance that answers nothing is not to blame for that: its node is not there, or not heard of.
    fn lost(&self, _instance: InstanceId) -> Option<EndCause> {
        None
    }

    /// Which content its image has, as its node names it, once that is known.
    fn image(&self, _instance: InstanceId) -> Option<String> {
        None
    }

    /// What one more instance of the model asks of its node, which would have these amounts.
    fn ask(&self, _model: &Model, ask: Ask) -> Ask {
        ask
    }

    /// Nodes, and who else is on them, if the cluster has any.
    fn around(&self) -> Around {
        Around::default()
    }

    /// This server plans, by the word of this epoch: who plans later has a larger number.
    fn lead(&self, _epoch: u64) {}

    /// Ends an instance that is in no books, and forgets it. False: it was made by a server that planned later than
    /// this one, whose books may be newer, and is left alone.
    fn sweep(&self, instance: InstanceId) -> bool {
        self.stop(instance, Duration::ZERO);
        self.forget(instance);
        true
    }

    /// These nodes get nothing new, and no other one because of this hub; told as often as it is looked. None: it is
    /// another hub that says so. That a node is cordoned is seen around.
    fn cordon(&self, _nodes: Option<Vec<Cordon>>) {}

    /// Asks somebody who runs on a node that is cordoned to go elsewhere, until they have gone. What comes of it is
    /// seen around.
    fn evict(&self, _tenant: &TenantId) {}

    /// So many further instances of each of these models shall find room at once; told as often as it is looked.
    /// None: it is another hub that says so.
    fn spare(&self, _models: Option<Vec<(Arc<Model>, u32)>>) {}

    /// The instance begins to work on something, or is idle. Nothing is waited for.
    fn work(&self, _instance: InstanceId, _work: Work) {}
}

/// A piece of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// How many bytes were written before it.
    pub position: u64,
    pub bytes: Vec<u8>,
}
