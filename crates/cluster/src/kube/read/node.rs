//! Nodes, and the stage that they are in.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint as ItsTaint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use muster_core::room::{GroupId, Labels, NodeId, NodeStage, NodeView, Taint};
use muster_core::{Amounts, Timestamp};

use super::{ask, quantity, time};

/// Taints by which its owner says that it goes, and why; a key that ends with `/` is that of all below it.
const LEAVES: [(&str, &str); 8] = [
    ("ToBeDeletedByClusterAutoscaler", "the Cluster Autoscaler takes it away"),
    ("karpenter.sh/disrupted", "Karpenter takes it away"),
    ("karpenter.sh/disruption", "Karpenter takes it away"),
    ("cloud.google.com/impending-node-termination", "the cloud takes it back"),
    ("aws-node-termination-handler/", "the cloud takes it back"),
    ("node.cloudprovider.kubernetes.io/shutdown", "it is shut down"),
    ("node.kubernetes.io/out-of-service", "it is out of service"),
    ("kubernetes.azure.com/scheduled-event", "the cloud takes it back"),
];

/// Taints of a node that is being set up.
const BOOTS: [&str; 6] = [
    "node.cloudprovider.kubernetes.io/uninitialized",
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
    "karpenter.sh/unregistered",
    "readiness.k8s.io/",
    "node.kubernetes.io/network-unavailable",
];

/// Taints that only say what conditions and the spec say as well.
const SAID_OTHERWISE: [&str; 3] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
];

/// Labels of nodes with GPUs, and the resource that their driver will tell of; with a value only if it is that.
/// GPU nodes are ready minutes before that.
const PROMISES: [(&str, Option<&str>, &str); 9] = [
    ("k8s.amazonaws.com/accelerator", None, "nvidia.com/gpu"),
    ("cloud.google.com/gke-accelerator", None, "nvidia.com/gpu"),
    ("cloud.google.com/gke-tpu-accelerator", None, "google.com/tpu"),
    ("karpenter.k8s.aws/instance-gpu-manufacturer", Some("nvidia"), "nvidia.com/gpu"),
    ("karpenter.k8s.aws/instance-gpu-manufacturer", Some("amd"), "amd.com/gpu"),
    ("karpenter.azure.com/sku-gpu-manufacturer", Some("nvidia"), "nvidia.com/gpu"),
    ("kubernetes.azure.com/accelerator", Some("nvidia"), "nvidia.com/gpu"),
    ("accelerator", Some("nvidia"), "nvidia.com/gpu"),
    ("nvidia.com/gpu.deploy.device-plugin", Some("true"), "nvidia.com/gpu"),
];

/// Labels by which those who make nodes name the group of one.
const GROUPS: [&str; 9] = [
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "magnum.openstack.org/nodegroup",
    "doks.digitalocean.com/node-pool",
    "k8s.scaleway.com/pool-name",
];

const KEEPS: [(&str, &str); 2] = [
    ("cluster-autoscaler.kubernetes.io/scale-down-disabled", "true"),
    ("karpenter.sh/do-not-disrupt", "true"),
];

/// A node that was not ready so soon after it came has not been ready yet, seconds.
const NEW: u64 = 120;

/// The node as the planner sees it. Its group is not told by it, and what the hub itself did to it neither.
///
/// # Errors
///
/// What of it cannot be read.
pub fn node(node: &Node) -> Result<NodeView, String> {
    let name = node.metadata.name.as_deref().ok_or("it has no name")?;
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let allocatable = node.status.as_ref().and_then(|it| it.allocatable.as_ref());
    let allocatable = allocatable.map_or_else(|| Ok(Amounts::default()), quantity::amounts)?;
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let stage = stage(node, taints, &labels, &allocatable);
    let stands = |key: &str| {
        let leaves = LEAVES.iter().any(|(of, _)| is_of(of, key));
        let boots = BOOTS.iter().any(|of| is_of(of, key));
        !leaves && !boots && !SAID_OTHERWISE.contains(&key)
    };
    let standing = taints.iter().filter(|it| stands(&it.key)).filter_map(|it| {
        let value = it.value.clone().unwrap_or_default();
        Some(Taint { key: it.key.clone(), value, effect: ask::effect(&it.effect)? })
    });
    let annotations = node.metadata.annotations.as_ref();
    let kept = KEEPS.iter().find(|(key, value)| {
        annotations.and_then(|it| it.get(*key)).is_some_and(|its| its == value)
    });
    Ok(NodeView {
        id: NodeId::from(name),
        group: None,
        labels,
        taints: standing.collect(),
        allocatable,
        devices: Vec::new(),
        folders: None,
        stage,
        price: 0,
        keep: kept.map(|(key, _)| format!("its annotation {key} says so")),
        unneeded_since: None,
    })
}

/// The group of a node by the label of whoever made it, if that is known.
pub fn group(labels: &Labels) -> Option<GroupId> {
    let name = GROUPS.iter().find_map(|key| labels.get(*key).filter(|name| !name.is_empty()))?;
    Some(GroupId(name.clone()))
}

fn is_of(of: &str, key: &str) -> bool {
    if of.ends_with('/') { key.starts_with(of) } else { key == of }
}

fn stage(node: &Node, taints: &[ItsTaint], labels: &Labels, has: &Amounts) -> NodeStage {
    let meta = &node.metadata;
    let created = meta.creation_timestamp.as_ref().map(time::of).unwrap_or_default();
    let since = |time: Option<&Time>| time.map_or(created, time::of);
    if let Some(deleted) = &meta.deletion_timestamp {
        return NodeStage::Leaving { since: time::of(deleted), why: "it is deleted".to_owned() };
    }
    for (of, why) in LEAVES {
        if let Some(taint) = taints.iter().find(|taint| is_of(of, &taint.key)) {
            let since = since(taint.time_added.as_ref());
            return NodeStage::Leaving { since, why: why.to_owned() };
        }
    }
    if let Some(since) = unready(node, created) {
        return NodeStage::Unready { since };
    }
    let lacks = lacks(node, taints, labels, has);
    if !lacks.is_empty() {
        return NodeStage::Booting { since: created, lacks };
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        let mut taint = taints.iter().filter(|it| it.key == "node.kubernetes.io/unschedulable");
        let since = since(taint.next().and_then(|it| it.time_added.as_ref()));
        return NodeStage::Cordoned { ours: false, since };
    }
    NodeStage::Ready
}

fn condition<'n>(node: &'n Node, name: &str) -> Option<&'n NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|it| it.type_ == name)
}

/// Since when it is not heard of or not ready, if it has been.
fn unready(node: &Node, created: Timestamp) -> Option<Timestamp> {
    let ready = condition(node, "Ready").filter(|it| it.status != "True")?;
    let since = ready.last_transition_time.as_ref().map_or(created, time::of);
    let is_new = since.since(created).as_secs() < NEW && ready.status == "False";
    (!is_new).then_some(since)
}

/// What is still to come before it is what it will be.
fn lacks(node: &Node, taints: &[ItsTaint], labels: &Labels, has: &Amounts) -> Vec<String> {
    let mut lacks: Vec<String> = Vec::new();
    let mut lack = |what: &str| lacks.push(what.to_owned());
    if condition(node, "Ready").is_none_or(|it| it.status != "True") {
        lack("to be ready");
    }
    if condition(node, "NetworkUnavailable").is_some_and(|it| it.status == "True") {
        lack("its network");
    }
    for taint in taints.iter().filter(|it| BOOTS.iter().any(|of| is_of(of, &it.key))) {
        lack(&format!("an end of the taint {}", taint.key));
    }
    let label = |key: &str| labels.get(key).map(String::as_str);
    if label("karpenter.sh/nodepool").is_some() && label("karpenter.sh/initialized") != Some("true")
    {
        lack("to be initialized by Karpenter");
    }
    for (key, value, resource) in PROMISES {
        let promised = label(key).is_some_and(|its| value.is_none_or(|value| value == its));
        // What a GPU is cut into has a name of its own.
        let domain = resource.split('/').next().unwrap_or(resource);
        let there =
            has.named.iter().any(|(name, of)| *of > 0 && name.split('/').next() == Some(domain));
        if promised && !there {
            lack(resource);
        }
    }
    lacks.sort_unstable();
    lacks.dedup();
    lacks
}
