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
mod status;
#[cfg(test)]
mod tests;
mod usage;

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use self::{pod::Worker, process::Spawner, usage::Meter};
use super::{
    edit::list,
    events::{Recorder, Style},
    node::{NO_KUBELET, conditions},
    shapes::{Key, Pod, read},
    text,
};
use crate::{Change, Happened, Logs, Objects, Resource};

pub use self::{
    admit::Refusal,
    image::{Image, ImageFault},
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Contact {
    #[default]
    On,
    /// It runs on and is not heard.
    Silent,
    /// Nothing runs.
    Off,
}

#[derive(Default)]
struct NodeState {
    contact: Contact,
    /// Since when nothing is heard of it.
    lost: Option<std::time::Instant>,
    shuts_down: bool,
    /// Why it is not ready, by its own word.
    ill: Option<String>,
    images: HashSet<String>,
    pulls: Arc<tokio::sync::Mutex<()>>,
    address: String,
    /// The object is removed.
    gone: bool,
}

#[derive(Default)]
struct State {
    images: BTreeMap<String, Image>,
    faults: HashMap<String, ImageFault>,
    refusals: Vec<Refusal>,
    nodes: HashMap<String, NodeState>,
    workers: HashMap<String, Arc<Worker>>,
    given: VecDeque<Ipv4Addr>,
    skew: SignedDuration,
    usage: HashMap<String, PodUsage>,
}

/// What the containers of a pod use, by name.
#[derive(Clone, PartialEq, Debug)]
pub struct PodUsage {
    pub namespace: String,
    pub pod: String,
    pub node: String,
    pub at: Timestamp,
    pub window: Duration,
    pub containers: BTreeMap<String, Usage>,
}

pub struct Shared {
    pub objects: Objects,
    pub logs: Logs,
    pub events: Recorder,
    pub spawner: Spawner,
    pub settings: Settings,
    pub scratch: tempfile::TempDir,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Shared {
    pub fn new(objects: &Objects, logs: &Logs, settings: Settings) -> std::io::Result<Self> {
        let state = State { images: settings.images.clone(), ..State::default() };
        Ok(Self {
            objects: objects.clone(),
            logs: logs.clone(),
            events: Recorder::new(objects, "kubelet", Style::Core),
            spawner: Spawner::new(),
            settings,
            scratch: tempfile::Builder::new().prefix("fake-kube-").tempdir()?,
            state: Mutex::new(state),
            changed: watch::channel(()).0,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_node<T>(&self, node: &str, act: impl FnOnce(&mut NodeState) -> T) -> T {
        act(self.state().nodes.entry(node.to_owned()).or_default())
    }

    /// Ends every process, and lets go of all pods.
    pub fn end(&self) {
        let workers = std::mem::take(&mut self.state().workers);
        self.spawner.kill();
        drop(workers);
    }

    /// Tells all who wait for what a person orders.
    fn tell(&self) {
        self.changed.send_replace(());
    }

    pub fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::now() + self.skew()
    }

    pub fn skew(&self) -> SignedDuration {
        self.state().skew
    }

    pub fn set_skew(&self, skew: SignedDuration) {
        self.state().skew = skew;
    }

    pub fn contact(&self, node: &str) -> Contact {
        self.state().nodes.get(node).map(|node| node.contact).unwrap_or_default()
    }

    /// Since when nothing is heard of a node.
    pub fn lost(&self, node: &str) -> Option<std::time::Instant> {
        self.state().nodes.get(node)?.lost
    }

    pub fn set_contact(&self, node: &str, contact: Contact) {
        self.with_node(node, |node| {
            node.contact = contact;
            node.shuts_down &= contact == Contact::Off;
            let since = node.lost.unwrap_or_else(std::time::Instant::now);
            node.lost = (contact != Contact::On).then_some(since);
        });
        self.tell();
        self.post_node(node);
    }

    pub fn set_ill(&self, node: &str, why: Option<String>) {
        self.with_node(node, |node| node.ill = why);
        self.post_node(node);
    }

    /// Its pods end, and no other is taken.
    pub fn shut_down(&self, node: &str) {
        self.with_node(node, |node| node.shuts_down = true);
        self.post_node(node);
        let message = "Pod was terminated in response to imminent node shutdown.";
        for worker in self.workers_on(node) {
            worker.order(Verdict {
                reason: "Terminated".into(),
                message: message.into(),
                disrupts: true,
            });
        }
    }

    pub fn workers_on(&self, node: &str) -> Vec<Arc<Worker>> {
        self.state().workers.values().filter(|worker| worker.node == node).cloned().collect()
    }

    pub fn worker(&self, namespace: &str, pod: &str) -> Option<Arc<Worker>> {
        let state = self.state();
        let found = state.workers.values().find(|it| it.key.0 == namespace && it.key.1 == pod);
        found.cloned()
    }

    pub fn set_image(&self, name: &str, image: Image) {
        self.state().images.insert(name.into(), image);
    }

    pub fn image(&self, name: &str) -> Option<Image> {
        self.state().images.get(name).cloned()
    }

    pub fn set_image_fault(&self, name: &str, fault: Option<ImageFault>) {
        match fault {
            Some(fault) => self.state().faults.insert(name.into(), fault),
            None => self.state().faults.remove(name),
        };
        self.tell();
    }

    pub fn image_fault(&self, name: &str) -> Option<ImageFault> {
        self.state().faults.get(name).cloned()
    }

    pub fn has_image(&self, node: &str, image: &str) -> bool {
        self.with_node(node, |node| node.images.contains(image))
    }

    pub fn keep_image(&self, node: &str, image: &str) {
        self.with_node(node, |node| node.images.insert(image.into()));
    }

    /// An image must be pulled again.
    pub fn drop_image(&self, node: &str, image: &str) {
        self.with_node(node, |node| node.images.remove(image));
    }

    pub fn pulls(&self, node: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.with_node(node, |node| node.pulls.clone())
    }

    pub fn address_of(&self, node: &str) -> String {
        self.with_node(node, |node| {
            if node.address.is_empty() {
                node.address = fresh_address().to_string();
            }
            node.address.clone()
        })
    }

    /// The next pod gets this address.
    pub fn give_address(&self, address: Ipv4Addr) {
        self.state().given.push_back(address);
    }

    pub fn next_address(&self) -> String {
        let given = self.state().given.pop_front();
        given.unwrap_or_else(fresh_address).to_string()
    }

    pub fn usage(&self) -> Vec<PodUsage> {
        self.state().usage.values().cloned().collect()
    }

    /// Writes what the kubelet of a node says of it, unless nobody hears it.
    fn post_node(&self, name: &str) {
        let (contact, shuts_down, ill) =
            self.with_node(name, |node| (node.contact, node.shuts_down, node.ill.clone()));
        if contact != Contact::On {
            return;
        }
        let (now, address) = (self.now(), self.address_of(name));
        let written = self.objects.change(&Resource::nodes(), None, name, |node| {
            let well = !shuts_down && ill.is_none();
            let mut wanted = conditions(well, now);
            if shuts_down {
                wanted[3]["message"] = json!("node is shutting down");
            } else if let Some(ill) = &ill {
                wanted[3]["message"] = json!(ill);
            }
            let Some(held) = list(node, "status", "conditions") else { return };
            for mut condition in wanted {
                match held.iter_mut().find(|one| one["type"] == condition["type"]) {
                    Some(one) if one["status"] == condition["status"] => {
                        condition["lastTransitionTime"] = one["lastTransitionTime"].clone();
                        *one = condition;
                    }
                    Some(one) => *one = condition,
                    None => held.push(condition),
                }
            }
            let Some(addresses) = list(node, "status", "addresses") else { return };
            if !addresses.iter().any(|one| one["type"] == "InternalIP") {
                addresses.insert(0, json!({ "type": "InternalIP", "address": address }));
            }
        });
        // A node that is gone has no kubelet.
        drop(written);
    }
}

/// An address of the loopback that no other pod has, nor soon had, nor is likely to have in
/// another process of these tests.
fn fresh_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let at = std::process::id().wrapping_mul(1009).wrapping_add(next) % (1 << 24);
        let [_, a, b, c] = at.to_be_bytes();
        if a != 0 && c != 0 && c != 255 {
            return Ipv4Addr::new(127, a, b, c);
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
