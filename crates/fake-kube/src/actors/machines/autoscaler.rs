//! Plays the Cluster Autoscaler: makes groups larger for pods that wait, and says so in its words.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        events::{NORMAL, Recorder, Said, Style},
        scheduler::{Between, Place, Seen, World, check},
        shapes::{Node, Pod, read},
        text,
    },
    DEPLOYMENT, VERSIONS, deployments, machines,
    template::node_of,
};
use crate::{Objects, Resource};

const MIN: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size";
const MAX: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size";

pub struct Autoscaler {
    pub(super) objects: Objects,
    events: Recorder,
    /// Nodes that are not needed, and since when.
    pub(super) unneeded: HashMap<String, Instant>,
}

/// A deployment with limits.
pub(super) struct Group {
    pub version: &'static str,
    pub object: Arc<Value>,
    pub min: u64,
    pub max: u64,
    had: u64,
    pub replicas: u64,
}

impl Group {
    pub fn name(&self) -> String {
        let object = &self.object;
        let (namespace, name) =
            (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        format!("MachineDeployment/{namespace}/{name}")
    }
}

impl Autoscaler {
    pub fn new(objects: &Objects) -> Self {
        let events = Recorder::new(objects, "cluster-autoscaler", Style::Core);
        Self { objects: objects.clone(), events, unneeded: HashMap::new() }
    }

    /// Makes groups larger for the pods that the scheduler found no node for.
    pub fn look(&self) {
        let pods = self.objects.list(&Resource::pods()).1;
        let waiting: Vec<_> = pods.iter().filter(|pod| is_unschedulable(pod)).collect();
        if waiting.is_empty() {
            return;
        }
        let mut groups = self.groups();
        let mut world = World::default();
        for group in &groups {
            self.put_upcoming(&mut world, group);
        }
        for object in waiting {
            let Ok(pod) = read::<Pod>(object) else { continue };
            let pod = Arc::new(Seen::new(pod));
            if self.fits_upcoming(&mut world, &pod) {
                continue;
            }
            self.scale_for(&mut world, &mut groups, object, &pod);
        }
        for group in groups.iter().filter(|group| group.replicas > group.had) {
            let object = &group.object;
            let (namespace, name) =
                (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
            let of = deployments(group.version);
            // A group that is gone meanwhile is not there at the next look.
            drop(self.objects.change(&of, Some(namespace), name, |group_object| {
                group_object["spec"]["replicas"] = json!(group.replicas);
            }));
        }
    }

    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        for version in VERSIONS {
            for object in self.objects.list(&deployments(version)).1 {
                let limit = |name: &str| {
                    object["metadata"]["annotations"][name].as_str()?.parse::<u64>().ok()
                };
                let (Some(min), Some(max)) = (limit(MIN), limit(MAX)) else { continue };
                let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
                groups.push(Group { version, min, max, had: replicas, replicas, object });
            }
        }
        groups
    }

    /// The nodes of a group that have been ordered and are not there.
    fn put_upcoming(&self, world: &mut World, group: &Group) {
        for at in self.running(group).len() as u64..group.replicas {
            self.put_node(world, group, at);
        }
    }

    /// Its machines that are nodes, and stay.
    pub(super) fn running(&self, group: &Group) -> Vec<Arc<Value>> {
        let (namespace, name) =
            (text(&group.object, "/metadata/namespace"), text(&group.object, "/metadata/name"));
        let mut all = self.objects.list(&machines(group.version)).1;
        all.retain(|machine| {
            machine["metadata"]["namespace"] == namespace
                && machine["metadata"]["labels"][DEPLOYMENT] == name
                && machine["metadata"].get("deletionTimestamp").is_none()
                && machine["status"]["phase"] == "Running"
        });
        all
    }

    fn put_node(&self, world: &mut World, group: &Group, at: u64) -> Option<String> {
        let name = format!("{}-{at}", group.name());
        let node = read::<Node>(&node_of(&self.objects, &group.object, &name)).ok()?;
        world.set_node(node);
        Some(name)
    }

    fn fits_upcoming(&self, world: &mut World, pod: &Arc<Seen>) -> bool {
        let between = Between::new(world, pod);
        let found = world.nodes().find(|at| check(world, &between, pod, *at).is_ok());
        let name = found.map(|(node, _)| node.metadata.name.clone());
        if let Some(name) = &name {
            world.assume(pod, name);
        }
        name.is_some()
    }

    fn scale_for(&self, world: &mut World, groups: &mut [Group], object: &Value, pod: &Arc<Seen>) {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for group in groups {
            match self.why_not(group, pod) {
                Some(why) => *reasons.entry(why).or_default() += 1,
                None => {
                    let (at, name) = (group.replicas, group.name());
                    let Some(node) = self.put_node(world, group, at) else { continue };
                    world.assume(pod, &node);
                    group.replicas += 1;
                    let message = format!(
                        "pod triggered scale-up: [{{{name} {at}->{} (max: {})}}]",
                        group.replicas, group.max
                    );
                    return self.say(object, "TriggeredScaleUp", &message);
                }
            }
        }
        let mut counted: Vec<_> =
            reasons.iter().map(|(why, many)| format!("{many} {why}")).collect();
        counted.sort();
        let message = match counted.is_empty() {
            true => "pod didn't trigger scale-up: ".to_owned(),
            false => format!("pod didn't trigger scale-up: {}", counted.join(", ")),
        };
        self.say(object, "NotTriggerScaleUp", &message);
    }

    /// On an empty node of the group.
    fn why_not(&self, group: &Group, pod: &Arc<Seen>) -> Option<String> {
        let node = node_of(&self.objects, &group.object, &group.name());
        let Ok(node) = read::<Node>(&node) else {
            return Some("node group's template cannot be read".into());
        };
        let empty = World::default();
        let between = Between::new(&empty, pod);
        match check(&empty, &between, pod, (&node, &Place::default())) {
            Err(refusal) => Some(refusal.reasons.join(", ")),
            Ok(()) if group.replicas >= group.max => Some("max node group size reached".into()),
            Ok(()) => None,
        }
    }

    pub(super) fn say(&self, about: &Value, reason: &str, message: &str) {
        let said = Said { kind: NORMAL, reason, action: "", message, host: "" };
        self.events.say(about, &said, Timestamp::now());
    }
}

fn is_unschedulable(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    text(pod, "/spec/nodeName").is_empty()
        && text(pod, "/status/nominatedNodeName").is_empty()
        && pod["metadata"].get("deletionTimestamp").is_none()
        && conditions.is_some_and(|all| {
            all.iter().any(|one| one["type"] == "PodScheduled" && one["reason"] == "Unschedulable")
        })
}
