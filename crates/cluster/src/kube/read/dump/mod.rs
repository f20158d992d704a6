//! A dump is a world: what `kubectl get nodes,pods,pdb,ds,rs,jobs -A -o json` wrote, without a cluster.

mod groups;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use muster_core::Timestamp;
use muster_core::plan::World;
use muster_core::room::TenantId;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::autoscaler::{self, Autoscaler};
use super::{budgets, daemons, node, pod, status, tenants, time};

pub use groups::UNGROUPED;
pub use waiting::{Waiting, settled};

/// What a dump holds.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    pub world: World,
    /// The latest time that anything of it says.
    pub at: Option<Timestamp>,
    /// What is known of those that wait for a place: the scheduler's words, and the autoscaler's.
    pub said: BTreeMap<TenantId, String>,
    pub autoscalers: BTreeSet<Autoscaler>,
    /// How the Cluster Autoscaler says that its groups are.
    pub groups: Vec<autoscaler::GroupStatus>,
    /// What could not be read, and is missing in the world.
    pub not_read: Vec<NotRead>,
}

/// An object, or a part of one, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotRead {
    /// `Pod default/web-1`
    pub object: String,
    /// The field, and what is wrong with it.
    pub why: String,
}

/// Why a text is no dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoDump {
    Empty,
    NotJson {
        why: String,
    },
    Yaml,
    /// One object, and no list of them.
    OneObject {
        kind: String,
    },
    /// Of these there is nothing to plan with.
    NoNodes {
        kinds: Vec<String>,
    },
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(default)]
    kind: String,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    metadata: Name,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Name {
    name: Option<String>,
    namespace: Option<String>,
}

/// Objects by their kinds.
#[derive(Default)]
struct Objects {
    nodes: Vec<Node>,
    pods: Vec<Pod>,
    budgets: Vec<PodDisruptionBudget>,
    daemons: Vec<DaemonSet>,
    replica_sets: Vec<ReplicaSet>,
    jobs: Vec<Job>,
    events: Vec<Event>,
    status: Option<ConfigMap>,
    kinds: BTreeMap<String, usize>,
    not_read: Vec<NotRead>,
}

/// The world of a dump; several lists may follow one another.
///
/// # Errors
///
/// If it is none.
pub fn read(text: &str) -> Result<Dump, NoDump> {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.is_empty() {
        return Err(NoDump::Empty);
    }
    if !start.starts_with('{') {
        let is_yaml = ["apiVersion:", "kind:", "items:", "---", "- apiVersion:"];
        if is_yaml.iter().any(|begin| start.starts_with(begin)) {
            return Err(NoDump::Yaml);
        }
    }
    let mut objects = Objects::default();
    for list in serde_json::Deserializer::from_str(start).into_iter::<Header<'_>>() {
        let list = list.map_err(|error| NoDump::NotJson { why: error.to_string() })?;
        let Some(items) = list.items else { return Err(NoDump::OneObject { kind: list.kind }) };
        let of = list.kind.strip_suffix("List").unwrap_or_default();
        for item in items {
            objects.take(item.get(), of);
        }
    }
    if objects.nodes.is_empty() && !objects.kinds.contains_key("Node") {
        return Err(NoDump::NoNodes { kinds: objects.kinds.into_keys().collect() });
    }
    Ok(objects.into_dump())
}

impl Objects {
    /// `of` is the kind of an object that does not say its own, as those of a typed list do not.
    fn take(&mut self, text: &str, of: &str) {
        let header: Result<Header<'_>, _> = serde_json::from_str(text);
        let (kind, name) = match header {
            Ok(it) => (it.kind, it.metadata),
            Err(error) => {
                let object = format!("an item of the {}", if of.is_empty() { "list" } else { of });
                return self.not_read.push(NotRead { object, why: error.to_string() });
            }
        };
        let kind = if kind.is_empty() { of.to_owned() } else { kind };
        *self.kinds.entry(kind.clone()).or_default() += 1;
        let object = match (&name.namespace, name.name.as_deref().unwrap_or("without a name")) {
            (Some(namespace), name) => format!("{kind} {namespace}/{name}"),
            (None, name) => format!("{kind} {name}"),
        };
        let not_read = &mut self.not_read;
        match kind.as_str() {
            "Node" => keep(text, object, &mut self.nodes, not_read),
            "Pod" => keep(text, object, &mut self.pods, not_read),
            "PodDisruptionBudget" => keep(text, object, &mut self.budgets, not_read),
            "DaemonSet" => keep(text, object, &mut self.daemons, not_read),
            "ReplicaSet" => keep(text, object, &mut self.replica_sets, not_read),
            "Job" => keep(text, object, &mut self.jobs, not_read),
            "Event" => keep(text, object, &mut self.events, not_read),
            "ConfigMap" => {
                let (namespace, its) = autoscaler::STATUS_MAP;
                if name.namespace.as_deref() == Some(namespace) && name.name.as_deref() == Some(its)
                {
                    let mut found = Vec::new();
                    keep(text, object, &mut found, not_read);
                    self.status = found.pop();
                }
            }
            _ => {}
        }
    }

    fn into_dump(mut self) -> Dump {
        let mut not_read = std::mem::take(&mut self.not_read);
        let used = [
            "Node",
            "Pod",
            "PodDisruptionBudget",
            "DaemonSet",
            "ReplicaSet",
            "Job",
            "Event",
            "ConfigMap",
        ];
        for (kind, count) in self.kinds.iter().filter(|(kind, _)| !used.contains(&kind.as_str())) {
            let object = format!("{count} of kind {:?}", kind.chars().take(60).collect::<String>());
            not_read.push(NotRead { object, why: "they are not needed".to_owned() });
        }
        if self.pods.is_empty() {
            let why = "there are none in the dump, so every node is taken for empty".to_owned();
            not_read.push(NotRead { object: "pods".to_owned(), why });
        }
        let mut controllers = tenants::Controllers::default();
        if self.kinds.contains_key("ReplicaSet") {
            controllers.know_replica_sets(&self.replica_sets);
        }
        if self.kinds.contains_key("Job") {
            controllers.know_jobs(&self.jobs);
        }
        let mut nodes = Vec::new();
        for it in &self.nodes {
            match node::node(it) {
                Ok(node) => nodes.push(node),
                Err(why) => {
                    let name = it.metadata.name.as_deref().unwrap_or("without a name");
                    not_read.push(NotRead { object: format!("Node {name}"), why });
                }
            }
        }
        let mut budgets = Vec::new();
        for it in &self.budgets {
            match budgets::budget(it) {
                Ok(budget) => budgets.extend(budget),
                Err(what) => {
                    let name = it.metadata.name.as_deref().unwrap_or_default();
                    let namespace = it.metadata.namespace.as_deref().unwrap_or_default();
                    let object = format!("PodDisruptionBudget {namespace}/{name}");
                    not_read.push(NotRead { object, why: format!("spec.selector: {what}") });
                }
            }
        }
        let mut status_groups = Vec::new();
        if let Some(text) = self.status.as_ref().and_then(|map| map.data.as_ref()?.get("status")) {
            match autoscaler::groups(text) {
                Ok(groups) => status_groups = groups,
                Err(why) => {
                    let object = "ConfigMap kube-system/cluster-autoscaler-status".to_owned();
                    not_read.push(NotRead { object, why: format!("data.status: {why}") });
                }
            }
        }
        let mut all = Vec::with_capacity(self.pods.len());
        let mut said = BTreeMap::new();
        for it in &self.pods {
            let Some(mut tenant) = tenants::tenant(it, &controllers) else { continue };
            if tenants::is_instance(it, None) {
                tenant.stays_because = Some("it is an instance of a hub".to_owned());
            }
            if tenant.node.is_none() {
                said.insert(tenant.id.clone(), self.said(it));
            }
            all.push(Arc::new(tenant));
        }
        let groups = groups::groups(&mut nodes, &status_groups);
        let world = World {
            nodes,
            groups,
            tenants: Arc::new(all),
            daemons: self.daemons.iter().filter_map(daemons::daemon).collect(),
            budgets,
            ..World::default()
        };
        Dump {
            world,
            at: self.latest(),
            said,
            autoscalers: autoscaler::present(&self.nodes, &self.events, self.status.is_some()),
            groups: status_groups,
            not_read,
        }
    }

    /// What is said of a pod that waits for its place.
    fn said(&self, it: &Pod) -> String {
        let uid = it.metadata.uid.as_deref().unwrap_or_default();
        let its =
            self.events.iter().filter(|event| event.involved_object.uid.as_deref() == Some(uid));
        let state = pod::pod_state(it);
        let mut said = match state.phase {
            pod::Phase::Starts { waits, .. } => waits.to_string(),
            _ => status::word(it),
        };
        if let Some(line) = autoscaler::line(its) {
            said.push_str("; ");
            said.push_str(&line);
        }
        said
    }

    fn latest(&self) -> Option<Timestamp> {
        let of_nodes = self.nodes.iter().flat_map(|node| {
            let conditions = node.status.iter().flat_map(|it| it.conditions.iter().flatten());
            conditions.filter_map(|it| it.last_heartbeat_time.as_ref())
        });
        let of_pods = self.pods.iter().filter_map(|pod| pod.metadata.creation_timestamp.as_ref());
        of_nodes.chain(of_pods).map(time::of).max()
    }
}

fn keep<T: DeserializeOwned>(
    text: &str,
    object: String,
    into: &mut Vec<T>,
    not_read: &mut Vec<NotRead>,
) {
    let read: Result<T, _> = serde_json::from_str(text);
    match read {
        Ok(it) => into.push(it),
        // Read once more for the name of the field: that is slower.
        Err(_) => {
            let json = &mut serde_json::Deserializer::from_str(text);
            let again: Result<T, _> = serde_path_to_error::deserialize(json);
            let why = again.err().map(|error| error.to_string()).unwrap_or_default();
            not_read.push(NotRead { object, why });
        }
    }
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.why)
    }
}

impl fmt::Display for NoDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::NotJson { why } => write!(f, "it is no JSON: {why}"),
            Self::Yaml => f.write_str("it is YAML, not JSON"),
            Self::OneObject { kind } if kind.is_empty() => {
                f.write_str("it is an object without a list of items")
            }
            Self::OneObject { kind } => {
                let kind: String = kind.chars().take(60).collect();
                write!(f, "it is one {kind}, not a list of nodes and pods")
            }
            Self::NoNodes { kinds } if kinds.is_empty() => f.write_str("it is a list of nothing"),
            Self::NoNodes { kinds } => {
                let kinds: Vec<String> =
                    kinds.iter().take(5).map(|it| it.chars().take(60).collect()).collect();
                write!(f, "there are no nodes in it, only what is of kind {}", kinds.join(", "))
            }
        }
    }
}

impl std::error::Error for NoDump {}
