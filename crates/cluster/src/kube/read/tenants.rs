//! Pods that are not ours: who holds room on the nodes, or waits for it.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use muster_core::room::{NodeId, Owner, Tenant, TenantId};

use super::{HUB, ask};

/// Set by the kubelet on what it runs by a file of its own.
const STATIC: &str = "kubernetes.io/config.mirror";
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const DO_NOT_DISRUPT: [&str; 2] = ["karpenter.sh/do-not-disrupt", "karpenter.sh/do-not-evict"];

/// Controllers that are known to make no other pod when one goes, by kind, namespace and name; and kinds of which
/// all are known.
#[derive(Clone, Debug, Default)]
pub struct Controllers {
    known: BTreeSet<&'static str>,
    making: BTreeSet<(&'static str, String, String)>,
}

impl Controllers {
    /// All replica sets of the cluster.
    pub fn know_replica_sets<'a>(&mut self, all: impl IntoIterator<Item = &'a ReplicaSet>) {
        self.known.insert("ReplicaSet");
        for it in all {
            let wanted = it.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            if wanted > 0 && it.metadata.deletion_timestamp.is_none() {
                self.makes("ReplicaSet", &it.metadata.namespace, &it.metadata.name);
            }
        }
    }

    /// All jobs of the cluster.
    pub fn know_jobs<'a>(&mut self, all: impl IntoIterator<Item = &'a Job>) {
        self.known.insert("Job");
        for it in all {
            let is_suspended = it.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
            let mut conditions = it.status.iter().flat_map(|it| it.conditions.iter().flatten());
            let is_over = conditions.any(|it| {
                it.status == "True" && matches!(it.type_.as_str(), "Complete" | "Failed")
            });
            if !is_suspended && !is_over && it.metadata.deletion_timestamp.is_none() {
                self.makes("Job", &it.metadata.namespace, &it.metadata.name);
            }
        }
    }

    fn makes(&mut self, kind: &'static str, namespace: &Option<String>, name: &Option<String>) {
        let text = |it: &Option<String>| it.clone().unwrap_or_default();
        self.making.insert((kind, text(namespace), text(name)));
    }

    fn owner(&self, owner: &OwnerReference, namespace: &str) -> Owner {
        let kind = match owner.kind.as_str() {
            "DaemonSet" => return Owner::Daemon,
            "Node" => return Owner::Node,
            "ReplicaSet" => "ReplicaSet",
            "Job" => "Job",
            _ => return Owner::Replicated,
        };
        let its = (kind, namespace.to_owned(), owner.name.clone());
        match self.known.contains(kind) && !self.making.contains(&its) {
            true => Owner::None,
            false => Owner::Replicated,
        }
    }
}

/// Is it an instance of a hub's: of this one, or of any?
pub fn is_instance(pod: &Pod, hub: Option<&str>) -> bool {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(HUB));
    label.is_some_and(|its| hub.is_none_or(|hub| hub == its))
}

/// Somebody who holds room or waits for it; nobody if the pod is over.
pub fn tenant(pod: &Pod, controllers: &Controllers) -> Option<Tenant> {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let reference = owner_of(pod);
    let is_static = annotation(pod, STATIC).is_some();
    let owner = match reference {
        _ if is_static => Owner::Node,
        Some(reference) => controllers.owner(reference, namespace),
        None => Owner::None,
    };
    Some(Tenant {
        id: TenantId(format!("{namespace}/{name}")),
        node: node.filter(|node| !node.is_empty()).map(NodeId::from),
        ask: ask::of_pod(pod),
        owner,
        stays_because: stays(pod, reference, owner),
        leaves: pod.metadata.deletion_timestamp.is_some(),
        refused: None,
    })
}

/// Its controller. Others that are named do not make it again.
fn owner_of(pod: &Pod) -> Option<&OwnerReference> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|it| it.controller == Some(true))
}

fn annotation<'p>(pod: &'p Pod, key: &str) -> Option<&'p str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Why it may not be evicted: what its owner says, else the rules by which the Cluster Autoscaler keeps pods
/// (<https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>).
fn stays(pod: &Pod, reference: Option<&OwnerReference>, owner: Owner) -> Option<String> {
    if matches!(owner, Owner::Daemon | Owner::Node) {
        return None;
    }
    for (key, value) in
        DO_NOT_DISRUPT.map(|key| (key, "true")).into_iter().chain([(SAFE_TO_EVICT, "false")])
    {
        if annotation(pod, key) == Some(value) {
            return Some(format!("its annotation {key} is {value}"));
        }
    }
    if annotation(pod, SAFE_TO_EVICT) == Some("true") {
        return None;
    }
    if let Some(volume) = local_volume(pod) {
        return Some(format!("it keeps data on its node, in the volume {volume}"));
    }
    let known = ["ReplicaSet", "ReplicationController", "StatefulSet", "Job"];
    let reference = reference.filter(|it| !known.contains(&it.kind.as_str()))?;
    Some(format!(
        "it is not known whether {} {} would make it again",
        reference.kind, reference.name
    ))
}

fn local_volume(pod: &Pod) -> Option<&str> {
    let safe: Vec<&str> =
        annotation(pod, SAFE_VOLUMES).unwrap_or_default().split(',').map(str::trim).collect();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let is_local = |volume: &&k8s_openapi::api::core::v1::Volume| {
        let empty = volume.empty_dir.as_ref();
        let on_disk = empty.is_some_and(|it| it.medium.as_deref() != Some("Memory"));
        (on_disk || volume.host_path.is_some()) && !safe.contains(&volume.name.as_str())
    };
    volumes.iter().find(is_local).map(|volume| volume.name.as_str())
}
