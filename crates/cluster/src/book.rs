//! What a cluster knows of its instances, shared between those who write it and those who look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_core::{InstanceId, Observed, ObservedState};
use tokio::sync::watch;

use crate::Now;

/// The state of every known instance, with an `E` of whatever the cluster keeps beside it.
pub(crate) struct Book<E> {
    entries: Mutex<HashMap<InstanceId, (Observed, E)>>,
    changed: watch::Sender<u64>,
    now: Now,
}

impl<E> Book<E> {
    pub(crate) fn new(now: Now) -> Arc<Self> {
        Arc::new(Self { entries: Mutex::default(), changed: watch::Sender::new(0), now })
    }

    /// Enters a new instance; false if it is known already.
    pub(crate) fn enter(&self, instance: InstanceId, state: ObservedState, beside: E) -> bool {
        let mut entries = self.lock();
        if entries.contains_key(&instance) {
            return false;
        }
        let seen = Observed { instance, at: (self.now)(), state, node: None };
        entries.insert(instance, (seen, beside));
        drop(entries);
        self.bump();
        true
    }

    /// Writes down a new state. An end is final, and what did not change is not news.
    pub(crate) fn see(&self, instance: InstanceId, state: ObservedState) {
        let mut entries = self.lock();
        let Some((seen, _)) = entries.get_mut(&instance) else { return };
        if seen.state == state || matches!(seen.state, ObservedState::Ended { .. }) {
            return;
        }
        (seen.at, seen.state) = ((self.now)(), state);
        drop(entries);
        self.bump();
    }

    pub(crate) fn observe(&self) -> Vec<Observed> {
        self.lock().values().map(|(seen, _)| seen.clone()).collect()
    }

    pub(crate) fn find(&self, instance: InstanceId) -> Option<Observed> {
        self.lock().get(&instance).map(|(seen, _)| seen.clone())
    }

    pub(crate) fn forget(&self, instance: InstanceId) {
        let mut entries = self.lock();
        let ended = |(seen, _): &(Observed, E)| matches!(seen.state, ObservedState::Ended { .. });
        if entries.get(&instance).is_some_and(ended) {
            entries.remove(&instance);
        }
    }

    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is kept beside an instance.
    pub(crate) fn with<T>(
        &self,
        instance: InstanceId,
        read: impl FnOnce(&mut E) -> T,
    ) -> Option<T> {
        self.lock().get_mut(&instance).map(|(_, beside)| read(beside))
    }

    /// What is kept beside every instance.
    pub(crate) fn each(&self, mut read: impl FnMut(InstanceId, &mut E)) {
        for (instance, (_, beside)) in self.lock().iter_mut() {
            read(*instance, beside);
        }
    }

    fn bump(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, (Observed, E)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
