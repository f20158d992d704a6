//! What Kubernetes tells of pods of ours and of their nodes, kept until it is told.

use std::collections::{BTreeMap, HashMap};

use muster_core::news::Event;

/// Most events of one instance.
const MOST: usize = 200;

/// Events of one instance.
#[derive(Default)]
pub(super) struct Events {
    /// By uid, with how often they happened when they were told.
    counts: HashMap<String, u64>,
    fresh: BTreeMap<String, Event>,
}

impl Events {
    /// Something happened, or happened again.
    pub(super) fn add(&mut self, event: Event) {
        let known = self.counts.get(&event.uid);
        if known.is_some_and(|count| *count >= event.count) {
            return;
        }
        if known.is_none() && self.counts.len() >= MOST {
            return;
        }
        self.counts.insert(event.uid.clone(), event.count);
        self.fresh.insert(event.uid.clone(), event);
    }

    /// What is new, in the order in which it was written.
    pub(super) fn take(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = std::mem::take(&mut self.fresh).into_values().collect();
        events.sort_by_key(|event| (event.last_at, event.seq));
        events
    }
}

#[cfg(test)]
mod tests {
    use muster_core::Timestamp;

    use super::*;

    fn event(uid: &str, count: u64) -> Event {
        Event { uid: uid.into(), count, ..Event::once("FailedScheduling", "no room", Timestamp(1)) }
    }

    #[test]
    fn what_happened_is_told_once_and_again_when_it_happens_again() {
        let mut events = Events::default();
        for (uid, count) in [("a", 1), ("b", 1), ("a", 1), ("a", 3)] {
            events.add(event(uid, count));
        }
        let told: Vec<_> = events.take().into_iter().map(|it| (it.uid, it.count)).collect();
        assert_eq!(told, [("a".to_owned(), 3), ("b".to_owned(), 1)]);
        events.add(event("a", 3));
        events.add(event("b", 2));
        assert_eq!(events.take(), [event("b", 2)]);
        for n in 0..1000 {
            events.add(event(&n.to_string(), 1));
        }
        assert!(events.take().len() <= MOST);
    }
}
