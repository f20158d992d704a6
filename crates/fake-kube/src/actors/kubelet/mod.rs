//! Plays the kubelets of all nodes: the pods that are bound to them run as processes of this
//! machine, on addresses of its loopback, with the statuses and events of a real one.

mod admit;
mod container;
mod env;
mod image;
mod metrics;
mod pod;
mod probe;
mod process;
mod shared;
mod status;
#[cfg(test)]
mod tests;
mod usage;
mod volumes;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    sync::broadcast,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::{pod::Worker, shared::NodeState, usage::Meter};
use super::{
    node::NO_KUBELET,
    shapes::{Key, Pod, read},
    text,
};
use crate::{Change, Happened, Resource};

pub(super) use self::image::hex as hash;
pub use self::{
    admit::Refusal,
    image::{Image, ImageFault},
    shared::{Contact, PodUsage, Shared},
    status::Verdict,
    usage::Usage,
};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    pub images: BTreeMap<String, Image>,
    /// The first rest after a pull or a container that failed; it grows to thirty times that.
    #[serde(rename = "backoffMillis", with = "super::millis")]
    pub backoff: Duration,
    /// Until a pod has its sandbox and address.
    #[serde(rename = "sandboxMillis", with = "super::millis")]
    pub sandbox: Duration,
    /// Between two looks at what processes use.
    #[serde(rename = "lookMillis", with = "super::millis")]
    pub look: Duration,
    /// Between two posts of a node that is well.
    #[serde(rename = "heartbeatMillis", with = "super::millis")]
    pub heartbeat: Duration,
    /// Between two answers of `metrics.k8s.io`; 0 is a cluster without metrics.
    #[serde(rename = "metricsMillis", with = "super::millis")]
    pub metrics: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            images: BTreeMap::new(),
            backoff: Duration::from_secs(10),
            sandbox: Duration::ZERO,
            look: Duration::from_millis(500),
            heartbeat: Duration::from_secs(300),
            metrics: Duration::from_secs(15),
        }
    }
}

pub struct Kubelet {
    shared: Arc<Shared>,
    /// Nodes with a kubelet.
    nodes: HashSet<String>,
    strangers: HashSet<String>,
    pods: HashMap<Key, Arc<Worker>>,
    running: JoinSet<String>,
}

impl Kubelet {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: shared.clone(),
            nodes: HashSet::new(),
            strangers: HashSet::new(),
            pods: HashMap::new(),
            running: JoinSet::new(),
        }
    }

    /// Until it is dropped.
    pub async fn run(mut self) {
        let mut changes = self.shared.objects.changes();
        self.list();
        let (mut look, mut heartbeat) =
            (interval(self.shared.settings.look), interval(self.shared.settings.heartbeat));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let window = self.shared.settings.metrics;
        let mut metrics =
            interval(if window.is_zero() { Duration::from_secs(86_400) } else { window });
        metrics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut meter = Meter::default();
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => self.apply(&change),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.list(),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(ended) = self.running.join_next() => if let Ok(uid) = ended { self.ended(&uid) },
                _ = look.tick() => self.measure(&mut meter),
                _ = metrics.tick() => if !window.is_zero() {
                    self.shared.post_metrics(self.nodes.iter().cloned(), window);
                },
                _ = heartbeat.tick() => {
                    self.nodes.iter().for_each(|node| self.shared.post_node(node));
                }
            }
        }
    }

    fn list(&mut self) {
        let (_, nodes) = self.shared.objects.list(&Resource::nodes());
        nodes.iter().for_each(|node| self.node(node, false));
        let (_, pods) = self.shared.objects.list(&Resource::pods());
        let there: HashSet<&str> = pods.iter().map(|pod| text(pod, "/metadata/uid")).collect();
        for worker in self.pods.values().filter(|worker| !there.contains(worker.uid.as_str())) {
            worker.object.send_replace(None);
        }
        pods.iter().for_each(|pod| self.pod(pod, false));
    }

    fn apply(&mut self, change: &Change) {
        let gone = change.kind == Happened::Deleted;
        if change.of == Resource::nodes() {
            self.node(&change.object, gone);
        } else if change.of == Resource::pods() {
            self.pod(&change.object, gone);
        }
    }

    fn node(&mut self, object: &Arc<Value>, gone: bool) {
        let name = text(object, "/metadata/name").to_owned();
        if gone {
            // What ran there is gone with it.
            self.strangers.remove(&name);
            if self.nodes.remove(&name) {
                self.shared.with_node(&name, |node| node.gone = true);
                self.shared.set_contact(&name, Contact::Off);
            }
            return;
        }
        if object["metadata"]["annotations"].get(NO_KUBELET).is_some() {
            self.strangers.insert(name);
            return;
        }
        if !self.nodes.insert(name.clone()) {
            return;
        }
        let address = object["status"]["addresses"].as_array().and_then(|all| {
            let one = all.iter().find(|one| one["type"] == "InternalIP")?;
            one["address"].as_str().map(str::to_owned)
        });
        self.shared.with_node(&name, |node| {
            // A new one of an old name is another machine.
            if node.gone {
                *node = NodeState::default();
            }
            node.address = address.unwrap_or_default();
        });
        self.shared.tell();
        self.shared.post_node(&name);
        // Pods may be bound to a node that is not there yet.
        let (_, pods) = self.shared.objects.list(&Resource::pods());
        for pod in pods.iter().filter(|pod| text(pod, "/spec/nodeName") == name) {
            self.pod(pod, false);
        }
    }

    fn pod(&mut self, object: &Arc<Value>, gone: bool) {
        let node = text(object, "/spec/nodeName");
        let uid = text(object, "/metadata/uid");
        let key = (
            text(object, "/metadata/namespace").to_owned(),
            text(object, "/metadata/name").to_owned(),
        );
        if let Some(worker) = self.pods.get(&key) {
            if worker.uid == uid {
                worker.object.send_replace((!gone).then(|| object.clone()));
                return;
            }
            worker.object.send_replace(None);
        }
        if gone || node.is_empty() {
            return;
        }
        if self.strangers.contains(node) && object["metadata"]["deletionTimestamp"].is_string() {
            self.shared.objects.remove(&Resource::pods(), Some(&key.0), &key.1);
        }
        if !self.nodes.contains(node) {
            return;
        }
        let Ok(pod) = read::<Pod>(object) else { return };
        let worker = Arc::new(Worker::new(&self.shared, object, pod));
        self.shared.state().workers.insert(worker.uid.clone(), worker.clone());
        self.pods.insert(key, worker.clone());
        self.running.spawn(async move {
            let uid = worker.uid.clone();
            worker.run().await;
            uid
        });
    }

    fn ended(&mut self, uid: &str) {
        let mut state = self.shared.state();
        state.usage.remove(uid);
        let Some(worker) = state.workers.remove(uid) else { return };
        drop(state);
        if self.pods.get(&worker.key).is_some_and(|held| held.uid == uid) {
            self.pods.remove(&worker.key);
        }
        self.shared.logs.forget(uid);
        // It may never have had one.
        drop(std::fs::remove_dir_all(worker.dir()));
    }

    /// What each container uses; one with more memory than its limit ends.
    fn measure(&self, meter: &mut Meter) {
        let mut roots = Vec::new();
        for worker in self.pods.values() {
            let runners: Vec<(usize, i32)> = {
                let inside = worker.inside();
                inside.runners.iter().filter_map(|(at, it)| Some((*at, it.id()?))).collect()
            };
            roots.extend(runners.into_iter().map(|(at, pid)| (worker, at, pid)));
        }
        let pids: Vec<i32> = roots.iter().map(|(_, _, pid)| *pid).collect();
        let used = meter.look(&pids);
        let mut all: HashMap<String, PodUsage> = HashMap::new();
        for (worker, at, pid) in roots {
            let (name, limit) = {
                let spec = &worker.board().containers[at].spec;
                (spec.name.clone(), spec.resources.limits.get("memory").copied())
            };
            let usage = used.get(&pid).copied().unwrap_or_default();
            let over = limit.is_some_and(|limit| i128::from(usage.memory_bytes) > limit.value());
            if over {
                worker.starve(&name);
            }
            let pod = all.entry(worker.uid.clone()).or_insert_with(|| PodUsage {
                namespace: worker.key.0.clone(),
                pod: worker.key.1.clone(),
                node: worker.node.clone(),
                at: self.shared.now(),
                window: self.shared.settings.look,
                containers: BTreeMap::new(),
            });
            pod.containers.insert(name, usage);
        }
        self.shared.state().usage = all;
    }
}
