//! Pods that wait: which is next, and when one that did not fit is looked at again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    super::shapes::Key,
    world::{News, Seen},
};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// One that waits without news is looked at again after this.
const FLUSH: Duration = Duration::from_secs(300);

struct Waiting {
    priority: i64,
    /// Looks at other pods: their arrival may help as well as their leaving.
    has_rules: bool,
    since: u64,
    tries: u32,
    tried: Option<Instant>,
    at: Instant,
}

impl Waiting {
    /// 1 s after the first try, doubled after each to 10 s.
    fn rested(&self) -> Option<Instant> {
        let doubled = SHORTEST.saturating_mul(1 << self.tries.saturating_sub(1).min(10));
        Some(self.tried? + doubled.min(LONGEST))
    }
}

#[derive(Default)]
pub struct Queue {
    pods: HashMap<Key, Waiting>,
    arrivals: u64,
}

impl Queue {
    /// A pod that is new, or that changed in what it asks for.
    pub fn put(&mut self, pod: &Seen, now: Instant) {
        let spec = &pod.pod.spec;
        let since = self.arrivals;
        self.arrivals += 1;
        let waiting = self.pods.entry(pod.key.clone()).or_insert(Waiting {
            priority: spec.priority,
            has_rules: false,
            since,
            tries: 0,
            tried: None,
            at: now,
        });
        waiting.priority = spec.priority;
        waiting.has_rules = !spec.topology_spread_constraints.is_empty() || pod.has_rules;
        waiting.at = waiting.at.min(waiting.rested().unwrap_or(now).max(now));
    }

    pub fn remove(&mut self, key: &Key) {
        self.pods.remove(key);
    }

    /// Something changed that may let one of them in.
    pub fn stir(&mut self, news: News, now: Instant) {
        for waiting in self.pods.values_mut() {
            if news == News::Nothing || news == News::Came && !waiting.has_rules {
                continue;
            }
            waiting.at = waiting.at.min(waiting.rested().unwrap_or(now).max(now));
        }
    }

    /// The most important pod whose time has come, then the one that came first.
    pub fn next(&self, now: Instant) -> Option<Key> {
        let due = self.pods.iter().filter(|(_, waiting)| waiting.at <= now);
        let first = due.min_by_key(|(_, waiting)| (-waiting.priority, waiting.since));
        first.map(|(key, _)| key.clone())
    }

    pub fn failed(&mut self, key: &Key, now: Instant) {
        if let Some(waiting) = self.pods.get_mut(key) {
            waiting.tries += 1;
            waiting.tried = Some(now);
            waiting.at = now + FLUSH;
        }
    }

    pub fn wakes(&self) -> Option<Instant> {
        self.pods.values().map(|waiting| waiting.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::shapes::Pod;

    fn pod(name: &str, priority: i64) -> (Seen, Key) {
        let mut pod = Pod::default();
        pod.metadata.name = name.into();
        pod.spec.priority = priority;
        (Seen::new(pod), (String::new(), name.into()))
    }

    #[test]
    fn a_pod_that_did_not_fit_rests_longer_each_time() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let (pod, key) = pod("b", 0);
        queue.put(&pod, start);
        let mut now = start;
        for rest in [1, 2, 4, 8, 10, 10] {
            assert_eq!(queue.next(now), Some(key.clone()));
            queue.failed(&key, now);
            queue.stir(News::Came, now);
            queue.stir(News::Left, now);
            assert_eq!(queue.wakes(), Some(now + Duration::from_secs(rest)));
            now += Duration::from_secs(rest);
        }
        queue.failed(&key, now);
        assert_eq!(queue.wakes(), Some(now + FLUSH), "without news");
    }

    #[test]
    fn the_most_important_is_first_and_then_who_came_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (name, priority) in [("a", 0), ("b", 5), ("c", 5)] {
            queue.put(&pod(name, priority).0, now);
        }
        assert_eq!(queue.next(now).unwrap().1, "b");
        queue.remove(&(String::new(), "b".into()));
        assert_eq!(queue.next(now).unwrap().1, "c");
    }
}
