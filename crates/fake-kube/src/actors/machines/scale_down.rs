//! The other half of the Cluster Autoscaler: nodes that are not needed for a time go, unless a
//! pod on them may not be moved; and its status in a ConfigMap.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        edit::{delete_pod, disrupt, list, seconds},
        needs::amount,
        scheduler::{Between, Place, Seen, World, check},
        shapes::{Node, Pod, read},
        text,
    },
    VICTIM,
    autoscaler::{Autoscaler, Group},
    deployments, machines,
};
use crate::Resource;

const CANDIDATE: &str = "DeletionCandidateOfClusterAutoscaler";
const GOES: &str = "ToBeDeletedByClusterAutoscaler";
const SAFE: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// How it writes when it wrote.
const WRITTEN: &str = "%Y-%m-%d %H:%M:%S.%9f +0000 UTC";

/// A node with more of its processor or memory asked for is needed.
const THRESHOLD: f64 = 0.5;

impl Autoscaler {
    /// When to look again.
    pub(super) fn look_down(&mut self, unneeded: Duration, now: Instant) -> Option<Instant> {
        let mut world = World::default();
        let mut objects = HashMap::new();
        for node in self.objects.list(&Resource::nodes()).1 {
            if let Ok(node) = read::<Node>(&node) {
                world.set_node(node);
            }
        }
        for object in self.objects.list(&Resource::pods()).1 {
            if let Ok(pod) = read::<Pod>(&object) {
                let pod = Arc::new(Seen::new(pod));
                world.set_pod(&pod);
                objects.insert(pod.key.clone(), object);
            }
        }
        let (mut wakes, mut since) = (None, HashMap::new());
        for mut group in self.groups() {
            for machine in self.running(&group) {
                let name = text(&machine, "/status/nodeRef/name").to_owned();
                let free = group.replicas > group.min && is_unneeded(&world, &name, &objects);
                self.mark(&name, free);
                if !free {
                    continue;
                }
                let start = self.unneeded.get(&name).copied().unwrap_or(now);
                let end = start + unneeded;
                if now < end {
                    since.insert(name, start);
                    wakes = Some(wakes.map_or(end, |wakes: Instant| wakes.min(end)));
                    continue;
                }
                self.take_node(&mut group, &machine, &name, &world);
                // It is no place for the pods of the next one.
                world.remove_node(&name);
            }
        }
        self.unneeded = since;
        wakes
    }

    fn mark(&self, node: &str, candidate: bool) {
        let held = self.objects.get(&Resource::nodes(), None, node);
        let has = |key: &str| {
            let taints = held.as_ref().and_then(|node| node["spec"]["taints"].as_array());
            taints.is_some_and(|all| all.iter().any(|taint| taint["key"] == key))
        };
        if has(CANDIDATE) != candidate && !has(GOES) {
            self.taint(node, CANDIDATE, "PreferNoSchedule", candidate);
        }
    }

    fn taint(&self, node: &str, key: &str, effect: &str, set: bool) {
        // A node that is gone needs no taint.
        drop(self.objects.change(&Resource::nodes(), None, node, |node| {
            let Some(taints) = list(node, "spec", "taints") else { return };
            taints.retain(|taint| taint["key"] != key);
            if set {
                let value = Timestamp::now().as_second().to_string();
                taints.push(json!({ "key": key, "value": value, "effect": effect }));
            }
        }));
    }

    fn take_node(&self, group: &mut Group, machine: &Value, name: &str, world: &World) {
        self.taint(name, GOES, "NoSchedule", true);
        if let Some(node) = self.objects.get(&Resource::nodes(), None, name) {
            let message = "marked the node as toBeDeleted/unschedulable";
            self.say(&node, "ScaleDown", message);
        }
        let now = Timestamp::now();
        for key in world.place(name).into_iter().flat_map(|place| place.pods.keys()) {
            let told = self.objects.change(&Resource::pods(), Some(&key.0), &key.1, |pod| {
                disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting", now);
            });
            if let Ok(pod) = told {
                self.say(&pod, "ScaleDown", "deleting pod for node scale down");
                delete_pod(&self.objects, key, None, now);
            }
        }
        let namespace = Some(text(machine, "/metadata/namespace"));
        let of = machines(group.version);
        drop(self.objects.change(&of, namespace, text(machine, "/metadata/name"), |machine| {
            if !machine["metadata"]["annotations"].is_object() {
                machine["metadata"]["annotations"] = json!({});
            }
            machine["metadata"]["annotations"][VICTIM] = json!(seconds(now));
        }));
        group.replicas -= 1;
        let deployment = text(&group.object, "/metadata/name");
        drop(self.objects.change(&deployments(group.version), namespace, deployment, |object| {
            object["spec"]["replicas"] = json!(group.replicas);
        }));
    }

    /// As releases since 1.30 write it, in YAML.
    pub(super) fn tell_status(&self) {
        let at = Timestamp::now();
        let (now, probe) = (at.strftime(WRITTEN).to_string(), seconds(at));
        let probed = |status: &str| json!({ "status": status, "lastProbeTime": probe });
        let mut upscales = false;
        let groups: Vec<Value> = self
            .groups()
            .iter()
            .map(|group| {
                let ready = self.running(group).len() as u64;
                let grows = group.replicas > ready;
                upscales |= grows;
                let mut health = probed("Healthy");
                health["nodeCounts"] = json!({ "registered": {
                    "total": ready, "ready": ready, "notStarted": 0 }, "unregistered": 0 });
                health["cloudProviderTarget"] = json!(group.replicas);
                health["minSize"] = json!(group.min);
                health["maxSize"] = json!(group.max);
                json!({
                    "name": group.name(), "health": health,
                    "scaleUp": probed(if grows { "InProgress" } else { "NoActivity" }),
                    "scaleDown": probed("NoCandidates"),
                })
            })
            .collect();
        let candidates = !self.unneeded.is_empty();
        let status = json!({
            "time": now, "autoscalerStatus": "Running",
            "clusterWide": {
                "health": probed("Healthy"),
                "scaleUp": probed(if upscales { "InProgress" } else { "NoActivity" }),
                "scaleDown": probed(if candidates { "CandidatesPresent" } else { "NoCandidates" }),
            },
            "nodeGroups": groups,
        });
        let Ok(text) = serde_saphyr::to_string(&status) else { return };
        let name = "cluster-autoscaler-status";
        let updated = json!({ "cluster-autoscaler.kubernetes.io/last-updated": now });
        let written =
            self.objects.change(&Resource::config_maps(), Some("kube-system"), name, |map| {
                map["data"] = json!({ "status": text });
                map["metadata"]["annotations"] = updated.clone();
            });
        if written.is_err() {
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": { "status": text },
                "metadata": { "namespace": "kube-system", "name": name, "annotations": updated },
            });
            // Only this one writes it.
            drop(self.objects.create(&Resource::config_maps(), map));
        }
    }
}

/// Little is asked of it, and every pod on it may and can be elsewhere.
fn is_unneeded(
    world: &World,
    name: &str,
    objects: &HashMap<super::super::shapes::Key, Arc<Value>>,
) -> bool {
    let Some(place) = world.place(name) else { return false };
    let Some(node) = &place.node else { return false };
    let used = |of: &str| {
        let has = amount(&node.status.allocatable, of).0.max(1);
        amount(&place.used, of).0 as f64 / has as f64
    };
    if node.spec.taints.iter().any(|taint| taint.key == GOES)
        || used("cpu").max(used("memory")) >= THRESHOLD
    {
        return false;
    }
    let mut elsewhere = world.with(name, Place::default());
    for pod in place.pods.values() {
        let Some(object) = objects.get(&pod.key) else { continue };
        if owners(object).any(|owner| owner["kind"] == "DaemonSet") {
            continue;
        }
        if !may_move(object) {
            return false;
        }
        let between = Between::new(&elsewhere, pod);
        let found = elsewhere.nodes().find(|at| check(&elsewhere, &between, pod, *at).is_ok());
        let Some(to) = found.map(|(node, _)| node.metadata.name.clone()) else { return false };
        elsewhere.assume(pod, &to);
    }
    true
}

fn owners(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

/// A pod that no known controller would make again blocks its node unless it says otherwise.
fn may_move(pod: &Value) -> bool {
    let known = ["ReplicaSet", "ReplicationController", "Job", "StatefulSet"];
    match pod["metadata"]["annotations"][SAFE].as_str() {
        Some("true") => true,
        Some("false") => false,
        _ => owners(pod).any(|owner| {
            owner["controller"] == true
                && owner["kind"].as_str().is_some_and(|kind| known.contains(&kind))
        }),
    }
}
