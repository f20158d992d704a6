//! Plays kube-scheduler: binds pods to nodes, or says on the pod why it cannot, in the real
//! one's words.

mod between;
mod filter;
mod preempt;
mod queue;
mod score;
#[cfg(test)]
mod tests;
mod words;
mod world;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
    time::sleep_until,
};

use self::{filter::Refusal, queue::Queue, world::News};
use super::{
    edit::{Wanted, delete_pod, disrupt, set_condition},
    events::{NORMAL, Recorder, Said, Style, WARNING},
    shapes::{Key, Meta, Node, Pod, read},
    text,
};
use crate::{Change, Happened, Objects, Resource};

pub use self::score::Packing;
pub(super) use self::{
    between::Between,
    filter::{check, is_wanted},
    world::{Place, Seen, World},
};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    pub mode: Mode,
    pub packing: Packing,
    /// Between the choice of a node and its binding.
    #[serde(rename = "bindAfterMillis", with = "super::millis")]
    pub bind_after: Duration,
    /// Pods of lower priority leave for one of higher.
    pub preempts: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let (mode, packing) = (Mode::default(), Packing::default());
        Self { mode, packing, bind_after: Duration::ZERO, preempts: true }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    #[default]
    Works,
    /// As if it did not run: pods get no condition.
    Silent,
    /// Every pod gets `SchedulerError` with these words.
    Fails(String),
}

pub struct Scheduler {
    objects: Objects,
    settings: watch::Receiver<Settings>,
    events: Recorder,
    world: World,
    queue: Queue,
    binding: JoinSet<(Arc<Seen>, String)>,
}

impl Scheduler {
    pub fn new(objects: &Objects, settings: watch::Receiver<Settings>) -> Self {
        Self {
            objects: objects.clone(),
            settings,
            events: Recorder::new(objects, "default-scheduler", Style::Series),
            world: World::default(),
            queue: Queue::default(),
            binding: JoinSet::new(),
        }
    }

    /// Until it is dropped.
    pub async fn run(mut self) {
        let mut changes = self.objects.changes();
        self.list();
        loop {
            self.hear(&mut changes);
            let settings = self.settings.borrow_and_update().clone();
            let works = settings.mode != Mode::Silent;
            if works && let Some(key) = self.queue.next(Instant::now()) {
                self.schedule(&key, &settings);
                // Others on this thread have their turn between two pods.
                tokio::task::yield_now().await;
                continue;
            }
            let later = Instant::now() + Duration::from_secs(3600);
            let wakes = self.queue.wakes().filter(|_| works).unwrap_or(later);
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(change) => self.apply(&change),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.list(),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = self.settings.changed() => if changed.is_err() { return },
                Some(Ok((pod, node))) = self.binding.join_next() => self.bind(&pod, &node),
                () = sleep_until(wakes.into()) => {}
            }
        }
    }

    fn hear(&mut self, changes: &mut broadcast::Receiver<Change>) {
        loop {
            match changes.try_recv() {
                Ok(change) => self.apply(&change),
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.list(),
                Err(_) => return,
            }
        }
    }

    /// What there is replaces what was known.
    fn list(&mut self) {
        self.world = World::default();
        self.queue = Queue::default();
        for of in [Resource::namespaces(), Resource::nodes(), Resource::pods()] {
            for object in self.objects.list(&of).1 {
                let kind = Happened::Added;
                self.apply(&Change { of: of.clone(), kind, object, before: None });
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        let gone = change.kind == Happened::Deleted;
        if change.of == Resource::pods() {
            self.apply_pod(&change.object, change.before.as_deref(), gone);
        } else if change.of == Resource::nodes() {
            let Ok(node) = read::<Node>(&change.object) else { return };
            if gone {
                self.world.remove_node(&node.metadata.name);
                // Rules between pods may be met now that some do not count.
                self.queue.stir(News::Left, Instant::now());
            } else if self.world.set_node(node) {
                self.queue.stir(News::Left, Instant::now());
            }
        } else if change.of == Resource::claims() {
            self.queue.stir(News::Left, Instant::now());
        } else if change.of == Resource::namespaces()
            && let Ok(meta) = read::<Meta>(&change.object["metadata"])
        {
            self.world.namespaces.insert(meta.name, meta.labels);
        }
    }

    fn apply_pod(&mut self, object: &Value, before: Option<&Value>, gone: bool) {
        let now = Instant::now();
        let Ok(pod) = read::<Pod>(object) else {
            return self.refuse_unreadable(object);
        };
        let pod = Arc::new(Seen::new(pod));
        let news = if gone { self.world.remove_pod(&pod.key) } else { self.world.set_pod(&pod) };
        self.queue.stir(news, now);
        let spec = &pod.pod.spec;
        let ours = spec.scheduler_name.as_deref().is_none_or(|name| name == "default-scheduler");
        let waits = spec.node_name.is_empty()
            && self.world.place_of(&pod.key).is_none()
            && !pod.pod.is_over()
            && !pod.pod.is_going();
        if gone || !ours || !waits {
            self.queue.remove(&pod.key);
        } else if !spec.scheduling_gates.is_empty() {
            self.queue.remove(&pod.key);
            self.gated(&pod);
        } else if before.is_none_or(|before| {
            before["spec"] != object["spec"]
                || before["metadata"]["labels"] != object["metadata"]["labels"]
        }) {
            self.queue.put(&pod, now);
        }
    }

    fn schedule(&mut self, key: &Key, settings: &Settings) {
        let object = self.objects.get(&Resource::pods(), Some(&key.0), &key.1);
        let Some(Ok(pod)) = object.map(|object| read::<Pod>(&object)) else {
            return self.queue.remove(key);
        };
        if !pod.spec.node_name.is_empty() || pod.is_going() || pod.is_over() {
            return self.queue.remove(key);
        }
        let pod = Arc::new(Seen::new(pod));
        if let Mode::Fails(why) = &settings.mode {
            return self.failed(&pod, "SchedulerError", why, None);
        }
        if let Some(claim) = self.missing_claim(&pod) {
            let nodes = self.world.nodes().count();
            let none = format!("0/{nodes} nodes are available:");
            let said = format!(
                "{none} persistentvolumeclaim {claim:?} not found. preemption: {none} {nodes} Preemption is \
                 not helpful for scheduling."
            );
            return self.failed(&pod, "Unschedulable", &said, None);
        }
        let between = Between::new(&self.world, &pod);
        let (mut fits, mut refused) = (Vec::new(), Vec::new());
        for (node, place) in self.world.nodes() {
            match filter::check(&self.world, &between, &pod, (node, place)) {
                Ok(()) => fits.push((node, place)),
                Err(refusal) => refused.push((node, refusal)),
            }
        }
        if let Some(node) = score::best(&pod, &between, settings.packing, &fits) {
            let node = node.metadata.name.clone();
            self.queue.remove(key);
            let news = self.world.assume(&pod, &node);
            self.queue.stir(news, Instant::now());
            if settings.bind_after.is_zero() {
                return self.bind(&pod, &node);
            }
            let after = settings.bind_after;
            self.binding.spawn(async move {
                tokio::time::sleep(after).await;
                (pod, node)
            });
            return;
        }
        let (said, nominated) = self.none_fits(&pod, &refused, settings.preempts);
        self.failed(&pod, "Unschedulable", &said, nominated);
    }

    fn missing_claim(&self, pod: &Seen) -> Option<String> {
        let volumes = pod.pod.spec.volumes.iter();
        let mut claims = volumes.map(|volume| text(volume, "/persistentVolumeClaim/claimName"));
        let (of, namespace) = (Resource::claims(), &pod.key.0);
        let missing = |claim: &&str| {
            !claim.is_empty() && self.objects.get(&of, Some(namespace), claim).is_none()
        };
        claims.find(missing).map(str::to_owned)
    }

    fn none_fits(
        &self,
        pod: &Arc<Seen>,
        refused: &[(&Node, Refusal)],
        preempts: bool,
    ) -> (String, Option<preempt::Preemption>) {
        if refused.is_empty() {
            return ("no nodes available to schedule pods".into(), None);
        }
        let mut reasons = words::Counts::new();
        for reason in refused.iter().flat_map(|(_, refusal)| &refusal.reasons) {
            words::count(&mut reasons, reason);
        }
        let said = words::none_available(refused.len(), &reasons);
        let nothing: World;
        // Without preemption nobody is less important.
        let world = if preempts {
            &self.world
        } else {
            nothing = World::default();
            &nothing
        };
        match preempt::preempt(world, pod, refused) {
            Ok(preemption) => (said, Some(preemption)),
            Err(why) => (format!("{said} preemption: {why}"), None),
        }
    }

    fn bind(&mut self, pod: &Arc<Seen>, node: &str) {
        let mut bound = false;
        let changed = self.change(&pod.key, |object| {
            let free = text(object, "/spec/nodeName").is_empty()
                && object["metadata"].get("deletionTimestamp").is_none()
                && object["metadata"]["uid"] == pod.pod.metadata.uid.as_str();
            if !free {
                return;
            }
            bound = true;
            object["spec"]["nodeName"] = json!(node);
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("nominatedNodeName");
            }
            let wanted = Wanted { r#type: "PodScheduled", status: "True", reason: "", message: "" };
            set_condition(object, &wanted, Timestamp::now());
        });
        let Some(object) = changed.filter(|_| bound) else {
            return self.world.forget(&pod.key);
        };
        self.apply_pod(&object, None, false);
        let (namespace, name) = &pod.key;
        let message = format!("Successfully assigned {namespace}/{name} to {node}");
        self.say(&object, NORMAL, "Scheduled", "Binding", &message);
    }

    fn failed(
        &mut self,
        pod: &Arc<Seen>,
        reason: &str,
        message: &str,
        preemption: Option<preempt::Preemption>,
    ) {
        self.queue.failed(&pod.key, Instant::now());
        let now = Timestamp::now();
        let object = self.change(&pod.key, |object| {
            let wanted = Wanted { r#type: "PodScheduled", status: "False", reason, message };
            set_condition(object, &wanted, now);
            if let Some(preemption) = &preemption {
                object["status"]["nominatedNodeName"] = json!(preemption.node);
            }
        });
        let Some(object) = object else { return };
        self.say(&object, WARNING, "FailedScheduling", "Scheduling", message);
        let Some(preemption) = preemption else { return };
        self.world.nominated.insert(pod.key.clone(), (preemption.node.clone(), pod.clone()));
        for victim in preemption.victims {
            let why = "default-scheduler: preempting to accommodate a higher priority pod";
            let told = self.change(&victim.key, |object| {
                disrupt(object, "PreemptionByScheduler", why, now);
            });
            let Some(told) = told else { continue };
            delete_pod(&self.objects, &victim.key, None, now);
            let message =
                format!("Preempted by pod {} on node {}", pod.pod.metadata.uid, preemption.node);
            self.say(&told, NORMAL, "Preempted", "Preempting", &message);
        }
    }

    fn gated(&self, pod: &Seen) {
        let message = "Scheduling is blocked due to non-empty scheduling gates";
        let wanted =
            Wanted { r#type: "PodScheduled", status: "False", reason: "SchedulingGated", message };
        self.change(&pod.key, |object| set_condition(object, &wanted, Timestamp::now()));
    }

    /// The real API would not have taken it; nobody shall wait for it in silence.
    fn refuse_unreadable(&self, object: &Value) {
        let why = match read::<Pod>(object) {
            Ok(_) => return,
            Err(why) => format!("the pod cannot be read: {why}"),
        };
        let key = (
            text(object, "/metadata/namespace").to_owned(),
            text(object, "/metadata/name").to_owned(),
        );
        let wanted = Wanted {
            r#type: "PodScheduled",
            status: "False",
            reason: "SchedulerError",
            message: &why,
        };
        self.change(&key, |object| set_condition(object, &wanted, Timestamp::now()));
    }

    /// [`None`] of a pod that is gone.
    fn change(&self, key: &Key, change: impl FnOnce(&mut Value)) -> Option<Arc<Value>> {
        self.objects.change(&Resource::pods(), Some(&key.0), &key.1, change).ok()
    }

    fn say(&self, about: &Value, kind: &str, reason: &str, action: &str, message: &str) {
        let said = Said { kind, reason, action, message, host: "" };
        self.events.say(about, &said, Timestamp::now());
    }
}
