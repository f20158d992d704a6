//! Nodes and who else is on them, as watches show them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Api, Resource};
use muster_core::room::{Budget, Daemon, NodeId, NodeStage, NodeView, Tenant};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::read::budgets::budget;
use super::read::daemons::daemon;
use super::read::node::node;
use super::read::tenants::{Controllers, is_instance, tenant};
use super::sight::Eye;
use super::watch::{Scope, Told, follow};
use super::{Inner, KubeConfig, cordons};
use crate::{NODES, Now, Sight, Watched};

/// Pods that hold room or wait for it.
const LIVING: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Values made of objects, by the names of these, and all of them together until one changes. They stand in memory once:
/// there can be ten thousands.
pub(super) struct Shelf<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    /// None: it is there, and nobody asks what it is.
    things: BTreeMap<String, Option<Arc<T>>>,
    /// What a list told so far.
    listed: BTreeMap<String, Option<Arc<T>>>,
    all: Option<Arc<Vec<Arc<T>>>>,
}

impl<T: PartialEq> Shelf<T> {
    fn new() -> Self {
        let (things, listed) = Default::default();
        Self { state: Mutex::new(State { things, listed, all: None }) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.lock().things.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<T>> {
        self.lock().things.get(name).cloned().flatten()
    }

    pub(super) fn all(&self) -> Arc<Vec<Arc<T>>> {
        let mut state = self.lock();
        let State { things, all, .. } = &mut *state;
        Arc::clone(
            all.get_or_insert_with(|| Arc::new(things.values().flatten().cloned().collect())),
        )
    }

    /// True: something is otherwise than it was.
    fn hear<K: Resource>(&self, told: Told<K>, read: impl Fn(&K) -> Option<T>) -> bool {
        let mut state = self.lock();
        let changed = match told {
            Told::Lists => {
                state.listed.clear();
                false
            }
            Told::Listed(object) => {
                let thing = read(&object).map(Arc::new);
                state.listed.insert(key(&object), thing);
                false
            }
            Told::All(_) => {
                let things = std::mem::take(&mut state.listed);
                let changed = state.things != things;
                if changed {
                    state.things = things;
                }
                changed
            }
            Told::Seen(object) => {
                let thing = read(&object).map(Arc::new);
                let changed = state.things.get(&key(&object)) != Some(&thing);
                if changed {
                    state.things.insert(key(&object), thing);
                }
                changed
            }
            Told::Gone(object) => state.things.remove(&key(&object)).is_some(),
        };
        if changed {
            state.all = None;
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key<K: Resource>(object: &K) -> String {
    let metadata = object.meta();
    let name = metadata.name.as_deref().unwrap_or_default();
    match &metadata.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// A node, and what of the hub's is on it.
#[derive(Clone, PartialEq)]
pub(super) struct SeenNode {
    pub(super) view: NodeView,
    /// It has the hub's mark.
    pub(super) is_marked: bool,
}

/// A node as the hub sees it that may have cordoned it.
fn see(it: &Node, hub: &str) -> Result<SeenNode, String> {
    let mut view = node(it)?;
    let mark = cordons::mark(it, hub);
    if let Some(since) = mark {
        view.taints.retain(|taint| taint.key != cordons::TAINT || taint.value != hub);
        match view.stage {
            NodeStage::Cordoned { .. } => view.stage = NodeStage::Cordoned { ours: true, since },
            NodeStage::Ready => view.keep = Some("somebody uncordoned it".to_owned()),
            _ => {}
        }
    }
    Ok(SeenNode { view, is_marked: mark.is_some() })
}

/// All that is around the hub's pods.
pub(super) struct Around {
    pub(super) nodes: Shelf<SeenNode>,
    /// Changes whenever a node does.
    pub(super) nodes_change: watch::Sender<()>,
    pub(super) nodes_eye: Eye,
    pub(super) tenants: Shelf<Tenant>,
    tenants_eye: Eye,
    budgets: Shelf<Budget>,
    budgets_eye: Eye,
    daemons: Shelf<Daemon>,
    daemons_eye: Eye,
}

impl Around {
    pub(super) fn new(config: &KubeConfig, now: &Now) -> Self {
        let eye = |what| match config.observe_cluster {
            true => Eye::new(what, Arc::clone(now)),
            false => Eye::closed(what, Arc::clone(now), "the hub is set up not to look"),
        };
        Self {
            nodes: Shelf::new(),
            nodes_change: watch::Sender::default(),
            nodes_eye: eye(NODES),
            tenants: Shelf::new(),
            tenants_eye: eye("pods of others"),
            budgets: Shelf::new(),
            budgets_eye: eye("budgets"),
            daemons: Shelf::new(),
            daemons_eye: eye("daemon sets"),
        }
    }

    /// Why nothing can be heard of what runs on the node, if the cluster says that.
    pub(super) fn why_lost(&self, node: &NodeId) -> Option<String> {
        if !matches!(self.nodes_eye.watched().sight, Sight::Fresh { .. }) {
            return None;
        }
        let nodes = self.nodes.all();
        // One that is there and cannot be read is not gone.
        let seen = nodes.iter().find(|seen| seen.view.id == *node);
        match seen.map(|seen| &seen.view.stage) {
            None if self.nodes.has(&node.0) => None,
            None => Some("it is not in the cluster any more".to_owned()),
            Some(NodeStage::Unready { .. }) => Some("it is not ready".to_owned()),
            Some(NodeStage::Leaving { why, .. }) => Some(why.clone()),
            Some(_) => None,
        }
    }

    pub(super) fn look(&self, pods: Watched) -> crate::Around {
        let eyes = [&self.nodes_eye, &self.tenants_eye, &self.budgets_eye, &self.daemons_eye];
        // Of nodes that are seen without who is on them, or were seen once, nothing is concluded.
        let is_shut = |eye: &Eye| matches!(eye.watched().sight, Sight::Forbidden { .. });
        let nodes = match eyes.into_iter().any(is_shut) {
            true => Vec::new(),
            false => self.nodes.all().iter().map(|seen| seen.view.clone()).collect(),
        };
        crate::Around {
            nodes,
            tenants: self.tenants.all(),
            daemons: self.daemons.all().iter().map(|it| Daemon::clone(it)).collect(),
            budgets: self.budgets.all().iter().map(|it| Budget::clone(it)).collect(),
            watches: std::iter::once(pods).chain(eyes.map(Eye::watched)).collect(),
        }
    }
}

impl Inner {
    /// Watches all that is around.
    pub(super) fn look_around(self: &Arc<Self>) {
        let scope = self.everywhere::<Pod>(Some(LIVING));
        let inner = Arc::clone(self);
        self.spawn(async move {
            let ours = |pod: &Pod| {
                let is_here = pod.metadata.namespace.as_deref() == Some(&*inner.calls.namespace);
                is_here && is_instance(pod, Some(&inner.config.hub))
            };
            let read = |pod: &Pod| match ours(pod) {
                true => None,
                false => tenant(pod, &Controllers::default()),
            };
            let hear = |told| {
                inner.around.tenants.hear(told, read);
            };
            follow(scope, &inner.around.tenants_eye, hear).await;
        });
        let api = Api::<Node>::all(self.calls.client.clone());
        let scope = Scope { api, labels: None, fields: None, silence: self.config.silence };
        let inner = Arc::clone(self);
        self.spawn(async move {
            let hear = |told| {
                let read = |it: &_| understood("node", it, see(it, &inner.config.hub));
                if inner.around.nodes.hear(told, read) {
                    inner.around.nodes_change.send_replace(());
                    inner.pods.bump();
                }
            };
            follow(scope, &inner.around.nodes_eye, hear).await;
        });
        let scope = self.everywhere::<PodDisruptionBudget>(None);
        let inner = Arc::clone(self);
        self.spawn(async move {
            let read = |it: &_| understood("budget", it, budget(it)).flatten();
            let hear = |told| {
                inner.around.budgets.hear(told, read);
            };
            follow(scope, &inner.around.budgets_eye, hear).await;
        });
        let scope = self.everywhere::<DaemonSet>(None);
        let inner = Arc::clone(self);
        self.spawn(async move {
            let hear = |told| {
                inner.around.daemons.hear(told, daemon);
            };
            follow(scope, &inner.around.daemons_eye, hear).await;
        });
    }

    fn everywhere<K>(&self, fields: Option<&str>) -> Scope<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api = Api::all(self.calls.client.clone());
        Scope { api, labels: None, fields: fields.map(str::to_owned), silence: self.config.silence }
    }
}

/// What cannot be read is left out, and said.
fn understood<K: Resource, T>(what: &str, object: &K, read: Result<T, String>) -> Option<T> {
    read.map_err(|why| tracing::warn!(name = key(object), why, "a {what} is not understood")).ok()
}
