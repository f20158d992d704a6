//! What all kubelets know and what is ordered of them.

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
use serde_json::json;
use tokio::sync::watch;

use super::{
    super::{
        edit::list,
        events::{Recorder, Style},
        node::conditions,
    },
    Image, ImageFault, Refusal, Settings, Usage, Verdict,
    pod::Worker,
    process::Spawner,
};
use crate::{Logs, Objects, Resource};

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
pub(super) struct NodeState {
    contact: Contact,
    /// Since when nothing is heard of it.
    lost: Option<std::time::Instant>,
    pub(super) shuts_down: bool,
    /// Why it is not ready, by its own word.
    ill: Option<String>,
    images: HashSet<String>,
    pulls: Arc<tokio::sync::Mutex<()>>,
    pub(super) address: String,
    /// The object is removed.
    pub(super) gone: bool,
}

#[derive(Default)]
pub(super) struct State {
    images: BTreeMap<String, Image>,
    faults: HashMap<String, ImageFault>,
    pub(super) refusals: Vec<Refusal>,
    nodes: HashMap<String, NodeState>,
    pub(super) workers: HashMap<String, Arc<Worker>>,
    given: VecDeque<Ipv4Addr>,
    skew: SignedDuration,
    pub(super) usage: HashMap<String, PodUsage>,
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_node<T>(&self, node: &str, act: impl FnOnce(&mut NodeState) -> T) -> T {
        act(self.state().nodes.entry(node.to_owned()).or_default())
    }

    /// Ends every process, and lets go of all pods.
    pub fn end(&self) {
        let workers = std::mem::take(&mut self.state().workers);
        self.spawner.kill();
        drop(workers);
    }

    /// Tells all who wait for what a person orders.
    pub(super) fn tell(&self) {
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
    pub(super) fn post_node(&self, name: &str) {
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
