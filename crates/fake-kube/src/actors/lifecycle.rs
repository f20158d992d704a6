//! Plays the controllers that look after nodes: one that is not heard becomes Unknown and
//! tainted, its pods are taken away when their tolerations end, and pods of nodes that are gone
//! are removed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::broadcast, time::sleep_until};

use super::{
    edit::{Wanted, delete_pod, disrupt, list, seconds, set_condition},
    events::{NORMAL, Recorder, Said, Style, WARNING},
    kubelet::Shared,
    shapes::{Key, Node, Pod, Taint, read},
    text,
};
use crate::{Change, Happened, Objects, Resource};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// How long a node may be silent.
    #[serde(rename = "graceMillis", with = "super::millis")]
    pub grace: Duration,
    /// How long pods of a node that is gone are kept.
    #[serde(rename = "quarantineMillis", with = "super::millis")]
    pub quarantine: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { grace: Duration::from_secs(50), quarantine: Duration::from_secs(40) }
    }
}

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const CORDONED: &str = "node.kubernetes.io/unschedulable";

pub struct Lifecycle {
    objects: Objects,
    shared: Arc<Shared>,
    settings: Settings,
    nodes: HashMap<String, Node>,
    /// Nodes that pods are bound to and that are not there.
    missing: HashMap<String, Instant>,
    /// When a pod is taken away, by uid.
    leaving: HashMap<String, (Key, Instant)>,
    on: HashMap<String, HashSet<Key>>,
    events: Recorder,
}

impl Lifecycle {
    pub fn new(shared: &Arc<Shared>, settings: Settings) -> Self {
        Self {
            objects: shared.objects.clone(),
            shared: shared.clone(),
            settings,
            nodes: HashMap::new(),
            missing: HashMap::new(),
            leaving: HashMap::new(),
            on: HashMap::new(),
            events: Recorder::new(&shared.objects, "node-controller", Style::Core),
        }
    }

    /// Until it is dropped.
    pub async fn run(mut self) {
        let (mut changes, mut contacts) = (self.objects.changes(), self.shared.changed());
        self.list();
        loop {
            let wakes = self.act(Instant::now());
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => self.apply(&change),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.list(),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = contacts.changed() => if changed.is_err() { return },
                () = sleep_until(wakes.into()) => {}
            }
        }
    }

    fn list(&mut self) {
        self.nodes.clear();
        self.on.clear();
        for of in [Resource::nodes(), Resource::pods()] {
            for object in self.objects.list(&of).1 {
                let kind = Happened::Added;
                self.apply(&Change { of: of.clone(), kind, object, before: None });
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        let gone = change.kind == Happened::Deleted;
        if change.of == Resource::nodes() {
            let Ok(node) = read::<Node>(&change.object) else { return };
            let name = node.metadata.name.clone();
            if gone {
                self.nodes.remove(&name);
                self.missing.insert(name, Instant::now() + self.settings.quarantine);
                return;
            }
            self.missing.remove(&name);
            self.taint(&node);
            let tainted = self.nodes.get(&name).map(|before| &before.spec.taints);
            let other = tainted != Some(&node.spec.taints);
            self.nodes.insert(name.clone(), node);
            if other {
                let pods = self.on.get(&name).cloned().unwrap_or_default();
                pods.iter().for_each(|key| self.judge(&name, key));
            }
        } else if change.of == Resource::pods() {
            let object = &change.object;
            let node = text(object, "/spec/nodeName").to_owned();
            let uid = text(object, "/metadata/uid");
            let key = (
                text(object, "/metadata/namespace").to_owned(),
                text(object, "/metadata/name").to_owned(),
            );
            if gone {
                self.leaving.remove(uid);
                self.on.entry(node).or_default().remove(&key);
            } else if !node.is_empty() {
                if !self.nodes.contains_key(&node) {
                    let end = Instant::now() + self.settings.quarantine;
                    self.missing.entry(node.clone()).or_insert(end);
                }
                if self.on.entry(node.clone()).or_default().insert(key.clone()) {
                    self.judge(&node, &key);
                }
            }
        }
    }

    /// What the conditions of a node and its cordon mean for its taints.
    fn taint(&self, node: &Node) {
        let ready = node.status.conditions.iter().find(|one| one.r#type == "Ready");
        let Some(ready) = ready else { return };
        let mut wanted: Vec<(&str, &str)> = match ready.status.as_str() {
            "True" => vec![],
            "False" => vec![(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
            _ => vec![(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
        };
        if node.spec.unschedulable {
            wanted.push((CORDONED, "NoSchedule"));
        }
        let ours = |taint: &Taint| [NOT_READY, UNREACHABLE, CORDONED].contains(&taint.key.as_str());
        let held: Vec<_> = node.spec.taints.iter().filter(|taint| ours(taint)).collect();
        let same = |taint: &Taint, (key, effect): &(&str, &str)| {
            taint.key == *key && taint.effect == *effect
        };
        if held.len() == wanted.len()
            && wanted.iter().all(|wish| held.iter().any(|taint| same(taint, wish)))
        {
            return;
        }
        self.change_node(&node.metadata.name, |node| {
            let Some(taints) = list(node, "spec", "taints") else { return };
            let named = |taint: &Value, (key, effect): &(&str, &str)| {
                taint["key"] == *key && taint["effect"] == *effect
            };
            taints.retain(|taint| {
                let key = taint["key"].as_str().unwrap_or_default();
                ![NOT_READY, UNREACHABLE, CORDONED].contains(&key)
                    || wanted.iter().any(|wish| named(taint, wish))
            });
            for wish in &wanted {
                if !taints.iter().any(|taint| named(taint, wish)) {
                    let (key, effect) = wish;
                    let at = seconds(Timestamp::now());
                    taints.push(json!({ "key": key, "effect": effect, "timeAdded": at }));
                }
            }
        });
    }

    /// When a pod has to leave for the taints of its node.
    fn judge(&mut self, node: &str, key: &Key) {
        let Some(node) = self.nodes.get(node) else { return };
        let drives_out = node.spec.taints.iter().any(|taint| taint.effect == "NoExecute");
        if !drives_out && self.leaving.is_empty() {
            return;
        }
        let object = self.objects.get(&Resource::pods(), Some(&key.0), &key.1);
        let Some(Ok(pod)) = object.map(|object| read::<Pod>(&object)) else { return };
        let uid = pod.metadata.uid.clone();
        let taints = node.spec.taints.iter().filter(|taint| taint.effect == "NoExecute");
        let mut least: Option<i64> = None;
        let mut stays = true;
        for taint in taints {
            let tolerated = pod.spec.tolerations.iter().filter(|one| one.tolerates(taint));
            let times: Vec<_> = tolerated.map(|one| one.toleration_seconds).collect();
            let time = if times.is_empty() { Some(0) } else { times.into_iter().flatten().min() };
            stays &= time.is_none();
            least = [least, time].into_iter().flatten().min();
        }
        if stays || pod.is_going() {
            self.leaving.remove(&uid);
            return;
        }
        let after = Duration::from_secs(u64::try_from(least.unwrap_or(0)).unwrap_or(0));
        self.leaving.entry(uid).or_insert_with(|| (key.clone(), Instant::now() + after));
    }

    /// Does what is due and says when to look again.
    fn act(&mut self, now: Instant) -> Instant {
        let mut wakes = now + Duration::from_secs(3600);
        for node in self.nodes.keys() {
            let Some(lost) = self.shared.lost(node) else { continue };
            let end = lost + self.settings.grace;
            if end > now {
                wakes = wakes.min(end);
            } else if self.nodes[node].status.conditions.iter().any(|it| it.status != "Unknown") {
                self.lose(node);
            }
        }
        let due = |end: &Instant| *end <= now;
        let missing: Vec<_> =
            self.missing.iter().filter(|(_, end)| due(end)).map(|(name, _)| name.clone()).collect();
        for name in missing {
            self.missing.remove(&name);
            self.collect(&name);
        }
        let leaving: Vec<_> = self
            .leaving
            .iter()
            .filter(|(_, (_, end))| due(end))
            .map(|(uid, (key, _))| (uid.clone(), key.clone()))
            .collect();
        for (uid, key) in leaving {
            self.leaving.remove(&uid);
            self.take_away(&key);
        }
        let ends = self.missing.values().chain(self.leaving.values().map(|(_, end)| end));
        ends.fold(wakes, |wakes, end| wakes.min(*end))
    }

    fn lose(&self, name: &str) {
        let now = Timestamp::now();
        let node = self.change_node(name, |node| {
            for kind in ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] {
                let message = "Kubelet stopped posting node status.";
                let reason = "NodeStatusUnknown";
                let wanted = Wanted { r#type: kind, status: "Unknown", reason, message };
                set_condition(node, &wanted, now);
            }
        });
        let Some(node) = node else { return };
        let message = format!("Node {name} status is now: NodeNotReady");
        self.say(&node, NORMAL, "NodeNotReady", &message);
        for key in self.on.get(name).into_iter().flatten() {
            let mut was_ready = false;
            let pod = self.objects.change(&Resource::pods(), Some(&key.0), &key.1, |pod| {
                let Some(conditions) = list(pod, "status", "conditions") else { return };
                for one in conditions.iter_mut().filter(|one| one["type"] == "Ready") {
                    if one["status"] == "True" {
                        was_ready = true;
                        one["status"] = json!("False");
                        one["lastTransitionTime"] = json!(seconds(now));
                    }
                }
            });
            if let Ok(pod) = pod
                && was_ready
            {
                self.say(&pod, WARNING, "NodeNotReady", "Node is not ready");
            }
        }
    }

    fn take_away(&self, key: &Key) {
        let now = Timestamp::now();
        let message = "Taint manager: deleting due to NoExecute taint";
        let told = self.objects.change(&Resource::pods(), Some(&key.0), &key.1, |pod| {
            disrupt(pod, "DeletionByTaintManager", message, now);
        });
        let Ok(pod) = told else { return };
        let message = format!("Marking for deletion Pod {}/{}", key.0, key.1);
        self.say(&pod, NORMAL, "TaintManagerEviction", &message);
        delete_pod(&self.objects, key, None, now);
    }

    /// Pods of a node that is no more.
    fn collect(&self, node: &str) {
        for key in self.on.get(node).into_iter().flatten() {
            let told = self.objects.change(&Resource::pods(), Some(&key.0), &key.1, |pod| {
                if text(pod, "/status/phase") != "Succeeded"
                    && text(pod, "/status/phase") != "Failed"
                {
                    pod["status"]["phase"] = json!("Failed");
                    let message = "PodGC: node no longer exists";
                    disrupt(pod, "DeletionByPodGC", message, Timestamp::now());
                }
            });
            if told.is_ok() {
                self.objects.remove(&Resource::pods(), Some(&key.0), &key.1);
            }
        }
    }

    fn change_node(&self, name: &str, change: impl FnOnce(&mut Value)) -> Option<Arc<Value>> {
        self.objects.change(&Resource::nodes(), None, name, change).ok()
    }

    fn say(&self, about: &Value, kind: &str, reason: &str, message: &str) {
        let said = Said { kind, reason, action: "", message, host: "" };
        self.events.say(about, &said, Timestamp::now());
    }
}
