//! What is known of pods of this hub: what was launched here, what the watch shows, and what of both the hub is
//! told. It calls nobody: what is to be done is said.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use muster_core::instance::EndCause;
use muster_core::news::{self, News, Usage};
use muster_core::waits::{Scheduler, Waits};
use muster_core::{Address, InstanceId, Observed, ObservedState, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::events::Events;
use super::logs::Log;
use super::make;
use super::read::MODEL_CONTAINER;
use super::read::pod::{Phase, PodState, pod_state};
use super::runner::PREPARES;
use super::show::shown;
use super::work::Marks;
use crate::{Launch, Now};

/// What is to be done about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    /// It is over: its last words are kept, then it is told.
    End(InstanceId),
    /// It left the watch, and nobody deleted it: is it still there?
    Check(InstanceId),
    /// Somebody changed labels that say whose it is.
    Heal(InstanceId),
    /// It says that it is the hub's, and no instance is this pod; by the word of this epoch.
    Fake(Named, u64),
    /// What it works on may not be what it says.
    Mark(InstanceId),
    /// It has all that it fetches: its network is closed.
    Close(InstanceId),
}

/// A pod: another one may have its name later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) uid: String,
}

/// A pod as the watch shows it.
pub(super) struct Seen {
    pub(super) pod: Arc<Pod>,
    pub(super) is: Named,
    pub(super) state: PodState,
    /// Only its making was answered so far; no watch showed it.
    answered: Option<Instant>,
    pub(super) gone: bool,
}

impl Seen {
    /// It may reach what it needs for its environment.
    fn prepares(&self) -> bool {
        let labels = self.pod.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(PREPARES))
    }
}

/// What is kept of an instance.
pub(super) struct Entry {
    pub(super) observed: Observed,
    /// None: nobody launched it here.
    pub(super) launch: Option<Arc<Launch>>,
    pub(super) pod: Option<Seen>,
    /// Where it was ready first: a pod keeps its address, also while it is too busy to say that it is ready.
    address: Option<Address>,
    /// What is observed of it is otherwise than whoever looks was told.
    is_news: bool,
    pub(super) stop: Option<Duration>,
    /// When it was seen first that its pod is to be gone.
    leaves: Option<Instant>,
    /// Why it ended, while its last words are being taken.
    ends: Option<EndCause>,
    pub(super) is_told: bool,
    is_closing: bool,
    pub(super) marks: Marks,
    pub(super) events: Events,
    pub(super) log: Log,
    pub(super) usage: Usage,
}

pub(super) struct Pods {
    entries: Mutex<HashMap<InstanceId, Entry>>,
    /// Pods that are being deleted and are no instances any more.
    buried: Mutex<HashSet<Named>>,
    changed: watch::Sender<u64>,
    now: Now,
}

impl Pods {
    pub(super) fn new(now: Now) -> Self {
        Self {
            entries: Mutex::default(),
            buried: Mutex::default(),
            changed: watch::Sender::new(0),
            now,
        }
    }

    /// Enters what is launched here. True: there is no pod yet.
    pub(super) fn enter(&self, launch: Launch) -> bool {
        let (instance, launch) = (launch.instance, Arc::new(launch));
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&instance) {
            let is_new = entry.launch.is_none() && entry.pod.is_none();
            entry.launch.get_or_insert(launch);
            return is_new;
        }
        let entry = Entry::new(instance, (self.now)(), Some(launch));
        entries.insert(instance, entry);
        drop(entries);
        self.bump();
        true
    }

    /// What the watch shows, or the answer to its making.
    pub(super) fn saw(&self, pod: Pod, is_answer: bool) -> Vec<Todo> {
        let Some(is) = named(&pod).filter(|is| !self.lock_buried().contains(is)) else {
            return Vec::new();
        };
        let fake = |is| vec![Todo::Fake(is, epoch(&pod))];
        let Some(instance) = instance_of(&is.name) else { return fake(is) };
        let now = (self.now)();
        let mut entries = self.lock();
        let entry = entries.entry(instance).or_insert_with(|| Entry::new(instance, now, None));
        if !entry.owns(&is.name, instance) {
            return fake(is);
        }
        let todo = entry.saw(pod, is, is_answer.then(Instant::now), now);
        let is_news = std::mem::take(&mut entry.is_news);
        drop(entries);
        if is_news {
            self.bump();
        }
        todo
    }

    /// It left the watch.
    pub(super) fn gone(&self, pod: &Pod) -> Option<Todo> {
        let is = named(pod)?;
        if self.lock_buried().remove(&is) {
            return None;
        }
        let instance = instance_of(&is.name)?;
        let mut entries = self.lock();
        let entry = entries.get_mut(&instance)?;
        let was_deleted = pod.metadata.deletion_timestamp.is_some();
        entry.gone(instance, &is, was_deleted)
    }

    /// These are all pods there are, of when they were asked for.
    pub(super) fn all(&self, pods: Vec<Pod>, asked: Instant) -> Vec<Todo> {
        let there: HashSet<Named> = pods.iter().filter_map(named).collect();
        self.lock_buried().retain(|buried| there.contains(buried));
        let mut todo: Vec<Todo> = pods.into_iter().flat_map(|pod| self.saw(pod, false)).collect();
        for (instance, entry) in self.lock().iter_mut() {
            let Some(seen) = &entry.pod else { continue };
            let is_later = seen.answered.is_some_and(|answered| answered > asked);
            if !seen.gone && !is_later && !there.contains(&seen.is) {
                let is = seen.is.clone();
                todo.extend(entry.gone(*instance, &is, false));
            }
        }
        todo
    }

    /// What it wrote may say what it is busy with.
    pub(super) fn wrote(&self, instance: InstanceId) {
        let now = (self.now)();
        let changed = self.with(instance, |entry| {
            let seen = entry.pod.as_ref().filter(|seen| seen.prepares());
            let phase = seen.map(|seen| seen.state.phase.clone());
            if let Some(Phase::Starts { waits, .. }) = phase {
                entry.starts(waits, now);
            }
            std::mem::take(&mut entry.is_news)
        });
        if changed == Some(true) {
            self.bump();
        }
    }

    /// It is known that the pod is no more.
    pub(super) fn is_gone(&self, instance: InstanceId, is: &Named) -> Option<Todo> {
        self.with(instance, |entry| entry.gone(instance, is, true)).flatten()
    }

    /// What a start that has no pod yet is busy with.
    pub(super) fn starts(&self, instance: InstanceId, doing: String, waits: Waits) {
        let now = (self.now)();
        let changed = self.with(instance, |entry| {
            entry.pod.is_none()
                && entry.tell(ObservedState::Starting { doing, waits }, now)
                && std::mem::take(&mut entry.is_news)
        });
        if changed == Some(true) {
            self.bump();
        }
    }

    /// It is over, without a pod or with all that is known of it.
    pub(super) fn ended(&self, instance: InstanceId, cause: Option<EndCause>) {
        let now = (self.now)();
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&instance) else { return };
        let cause = entry.ends.take().or(cause);
        let Some(cause) = cause.filter(|_| !entry.is_over()) else { return };
        entry.tell(ObservedState::Ended { cause }, now);
        entry.is_news = false;
        drop(entries);
        self.bump();
    }

    /// Nobody launched it here, and nobody waits for it: it is over, and gone or not wanted.
    pub(super) fn is_done_with(&self, instance: InstanceId) -> bool {
        let is_done = |entry: &mut Entry| {
            let is_gone = entry.pod.as_ref().is_none_or(|seen| seen.gone);
            entry.is_over() && entry.launch.is_none() && (is_gone || entry.stop.is_some())
        };
        self.with(instance, is_done) == Some(true)
    }

    /// It shall end. What it is then: its pod, if there is one.
    pub(super) fn stop(&self, instance: InstanceId, grace: Duration) -> Stopped {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&instance) else { return Stopped::Nothing };
        if entry.is_over() {
            entry.stop = Some(grace);
            return Stopped::Nothing;
        }
        let grace = entry.stop.map_or(grace, |earlier| earlier.min(grace));
        entry.stop = Some(grace);
        match &entry.pod {
            Some(seen) if !seen.gone => Stopped::Pod(seen.is.clone(), grace),
            Some(_) => Stopped::Nothing,
            None => Stopped::Unmade,
        }
    }

    /// Drops what is known of an ended instance. What is left of it, if something is.
    pub(super) fn forget(&self, instance: InstanceId) -> Option<Named> {
        let mut entries = self.lock();
        if !entries.get(&instance)?.is_over() {
            return None;
        }
        let seen = entries.remove(&instance)?.pod.filter(|seen| !seen.gone)?;
        drop(entries);
        self.lock_buried().insert(seen.is.clone());
        Some(seen.is)
    }

    pub(super) fn is_buried(&self, is: &Named) -> bool {
        self.lock_buried().contains(is)
    }

    pub(super) fn unbury(&self, is: &Named) {
        self.lock_buried().remove(is);
    }

    pub(super) fn observe(&self) -> Vec<Observed> {
        self.lock().values().map(|entry| entry.observed.clone()).collect()
    }

    pub(super) fn find(&self, instance: InstanceId) -> Option<Observed> {
        self.lock().get(&instance).map(|entry| entry.observed.clone())
    }

    pub(super) fn with<T>(
        &self,
        instance: InstanceId,
        read: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        self.lock().get_mut(&instance).map(read)
    }

    pub(super) fn each(&self, mut read: impl FnMut(InstanceId, &mut Entry)) {
        for (instance, entry) in self.lock().iter_mut() {
            read(*instance, entry);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn bump(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_buried(&self) -> MutexGuard<'_, HashSet<Named>> {
        self.buried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What there is to stop.
pub(super) enum Stopped {
    Pod(Named, Duration),
    /// It has no pod yet.
    Unmade,
    Nothing,
}

impl Entry {
    fn new(instance: InstanceId, at: Timestamp, launch: Option<Arc<Launch>>) -> Self {
        let waits = Waits::Scheduler(Scheduler::Silent);
        let state = ObservedState::Starting { doing: "its pod is being made".to_owned(), waits };
        Self {
            observed: Observed { instance, at, state, node: None },
            pod: None,
            address: None,
            // Whoever launches it is told already.
            is_news: launch.is_none(),
            launch,
            stop: None,
            leaves: None,
            ends: None,
            is_told: true,
            is_closing: false,
            marks: Marks::default(),
            events: Events::default(),
            log: Log::default(),
            usage: Usage::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.observed.state, ObservedState::Ended { .. })
    }

    /// Its end is known, and told soon.
    pub(super) fn is_ending(&self) -> bool {
        self.ends.is_some()
    }

    /// Is it still the pod that listened there?
    pub(super) fn is_at(&self, address: &Address) -> bool {
        let is_there = self.pod.as_ref().is_some_and(|seen| !seen.gone);
        is_there && !self.is_over() && !self.is_ending() && self.address.as_ref() == Some(address)
    }

    /// Its container can have written something.
    pub(super) fn has_begun(&self) -> bool {
        let started = |status: &k8s_openapi::api::core::v1::ContainerStatus| {
            let state = status.state.as_ref();
            state.is_some_and(|it| it.running.is_some() || it.terminated.is_some())
        };
        let status = self.pod.as_ref().and_then(|seen| seen.pod.status.as_ref());
        let all = status.and_then(|status| status.container_statuses.as_deref());
        all.unwrap_or_default().iter().any(|it| it.name == MODEL_CONTAINER && started(it))
    }

    /// What is new beside its state.
    pub(super) fn news(&mut self) -> News {
        let is_told = std::mem::replace(&mut self.is_told, true);
        let pod = self.pod.as_ref().filter(|_| !is_told);
        News {
            node: self.observed.node.as_ref().map(ToString::to_string),
            pod: pod.map(|seen| news::Pod {
                status: seen.state.status.clone(),
                message: seen.state.message.clone(),
                raw: shown(&seen.pod),
            }),
            usage: std::mem::take(&mut self.usage),
            events: self.events.take(),
        }
    }

    /// Is a pod of this name the instance's?
    fn owns(&self, name: &str, instance: InstanceId) -> bool {
        let launched = self.launch.as_ref();
        let expected = launched.map(|launch| make::name(&launch.model.id, instance));
        let known = self.pod.as_ref().map(|seen| seen.is.name.clone());
        expected.or(known).is_none_or(|expected| expected == name)
    }

    fn saw(&mut self, pod: Pod, is: Named, answered: Option<Instant>, now: Timestamp) -> Vec<Todo> {
        let instance = self.observed.instance;
        let before = self.pod.as_ref();
        if before.is_some_and(|before| before.is != is) {
            // Another pod has its name, so its own is gone.
            let known = before.map(|before| before.is.clone());
            let ended = known.and_then(|known| self.gone(instance, &known, true));
            return ended.into_iter().chain([Todo::Fake(is, epoch(&pod))]).collect();
        }
        if before.is_some() && answered.is_some() {
            // The watch is ahead of the answer.
            return Vec::new();
        }
        let labels = pod.metadata.labels.as_ref();
        let says = labels.and_then(|labels| labels.get(make::INSTANCE));
        let is_marked = says.is_some_and(|id| *id == instance.to_string());
        self.marks.shown(&pod);
        if pod.metadata.deletion_timestamp.is_some() {
            self.leaves.get_or_insert_with(Instant::now);
        }
        let state = pod_state(&pod);
        let seen = Seen { pod: Arc::new(pod), is, state, answered, gone: false };
        self.is_news |= self.observed.node != seen.state.node;
        self.observed.node.clone_from(&seen.state.node);
        self.pod = Some(seen);
        self.is_told = false;
        let next = self.look(now);
        let todo = match next {
            Some(todo) => Some(todo),
            None if self.is_over() || self.is_ending() => None,
            None if !is_marked => Some(Todo::Heal(instance)),
            None => self.marks.differ().then_some(Todo::Mark(instance)),
        };
        todo.into_iter().collect()
    }

    /// What its pod says becomes what is told of it.
    fn look(&mut self, now: Timestamp) -> Option<Todo> {
        let seen = self.pod.as_ref()?;
        let cause = match seen.state.phase.clone() {
            Phase::Ended { cause, .. } | Phase::Stuck { cause } => cause,
            // It gets no input as long as it may reach others.
            Phase::Ready { .. } if seen.prepares() => {
                let doing = "its network is being closed".to_owned();
                self.tell(ObservedState::Starting { doing, waits: Waits::Program }, now);
                let instance = self.observed.instance;
                return (!std::mem::replace(&mut self.is_closing, true))
                    .then_some(Todo::Close(instance));
            }
            Phase::Ready { ip, port } => {
                let url = format!("http://{}", std::net::SocketAddr::new(ip, port));
                let address = Address::Url(url);
                self.address = Some(address.clone());
                self.tell(ObservedState::Ready { address }, now);
                return None;
            }
            Phase::Starts { waits, .. } => {
                self.starts(waits, now);
                return None;
            }
            // What was asked for is no news.
            Phase::Leaves { .. } if self.stop.is_some() => return None,
            Phase::Leaves { cause } => {
                let doing = format!("it is being taken away: {cause}");
                self.tell(ObservedState::Starting { doing, waits: Waits::Program }, now);
                return None;
            }
        };
        self.end(cause)
    }

    fn starts(&mut self, waits: Waits, now: Timestamp) {
        let prepares = self.pod.as_ref().is_some_and(Seen::prepares);
        let state = match (&waits, self.log.preparing().filter(|_| prepares)) {
            (Waits::Program, Some(doing)) => ObservedState::Preparing { doing: doing.to_owned() },
            (Waits::Program, None) if self.address.is_some() => {
                ObservedState::Starting { doing: "it is not ready".to_owned(), waits }
            }
            _ => ObservedState::Starting { doing: waits.to_string(), waits },
        };
        self.tell(state, now);
    }

    /// Its pod is no more, or is not in the watch any more.
    fn gone(&mut self, instance: InstanceId, is: &Named, was_deleted: bool) -> Option<Todo> {
        let is_open = self.ends.is_none() && !self.is_over();
        let seen = self.pod.as_mut().filter(|seen| seen.is == *is && !seen.gone)?;
        let was_deleted =
            was_deleted || self.stop.is_some() || seen.pod.metadata.deletion_timestamp.is_some();
        if !was_deleted && is_open {
            return Some(Todo::Check(instance));
        }
        seen.gone = true;
        let cause = seen.state.gone();
        self.end(cause)
    }

    /// It was to be gone long ago, and whoever runs it does not say that it is.
    pub(super) fn overdue(&mut self, now: Instant, patience: Duration) -> Option<Todo> {
        let seen = self.pod.as_ref().filter(|seen| !seen.gone)?;
        let grace = seen.pod.metadata.deletion_grace_period_seconds;
        let grace = Duration::from_secs(grace.and_then(|it| it.try_into().ok()).unwrap_or(0));
        if now.duration_since(self.leaves?) <= grace + patience {
            return None;
        }
        let cause = match seen.state.gone() {
            cause @ EndCause::NodeGone { .. } => cause,
            _ => EndCause::NodeGone { why: "its node does not say that it ended".to_owned() },
        };
        self.end(cause)
    }

    fn end(&mut self, cause: EndCause) -> Option<Todo> {
        if self.is_over() || self.is_ending() {
            return None;
        }
        let was_asked = self.stop.is_some()
            && !matches!(cause, EndCause::OutOfMemory { .. } | EndCause::OutOfDisk { .. });
        let asked = || EndCause::Retired { why: "it was asked to stop".to_owned() };
        self.ends = Some(if was_asked { asked() } else { cause });
        Some(Todo::End(self.observed.instance))
    }

    /// An end is final, and what did not change is not news.
    fn tell(&mut self, state: ObservedState, now: Timestamp) -> bool {
        if self.is_over() || self.observed.state == state {
            return false;
        }
        (self.observed.at, self.observed.state) = (now, state);
        self.is_news = true;
        true
    }
}

pub(super) fn named(pod: &Pod) -> Option<Named> {
    Some(Named { name: pod.metadata.name.clone()?, uid: pod.metadata.uid.clone()? })
}

/// By whose word it was made: who planned later has a larger number; 0 if it does not say.
pub(super) fn epoch(pod: &Pod) -> u64 {
    let annotations = pod.metadata.annotations.as_ref();
    let epoch = annotations.and_then(|all| all.get(make::EPOCH)?.parse().ok());
    epoch.unwrap_or(0)
}

/// The instance that a pod of this name is, if it is one.
pub(super) fn instance_of(name: &str) -> Option<InstanceId> {
    const ID: usize = 36;
    let at = name.len().checked_sub(ID)?;
    let (slug, id) = name.split_at_checked(at)?;
    id.parse().ok().filter(|id: &InstanceId| slug.ends_with('-') && id.to_string() == name[at..])
}
