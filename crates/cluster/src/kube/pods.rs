//! What is known of pods of this hub: what was launched here, what the watch shows, and what of both the hub is
//! told. It calls nobody: what is to be done is said.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use muster_core::instance::EndCause;
use muster_core::waits::Waits;
use muster_core::{InstanceId, Observed, ObservedState};
use tokio::sync::watch;
use tokio::time::Instant;

use super::entry::Entry;
use super::make;
use super::read::pod::Phase;
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
