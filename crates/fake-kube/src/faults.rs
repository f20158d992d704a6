//! What can go wrong on demand, and how often the API was called.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// 429, with the header `Retry-After` in seconds.
    TooMany { after: u64 },
    /// 500.
    Fail,
    /// 401, as with a token that has expired.
    Unauthorized,
    /// 410: what was asked for is forgotten.
    Expired,
    /// 403, as admission refuses: with its words.
    Refuse { message: String },
    /// The answer waits.
    Slow { millis: u64 },
    /// The connection ends: at once, before anything is done; a watch in the middle of an event.
    Drop,
    /// A write is done, and its answer lost.
    LoseAnswer,
    /// A get or a list sees what was, so many versions ago.
    Stale { behind: u64 },
    /// A watch says nothing any more, not even that it lives.
    Freeze,
    /// A watch tells an event twice.
    Twice,
    /// Nobody is there: connections end, and new ones are closed.
    Away,
}

/// What goes wrong with which calls, how often or how long; without both, until [`Faults::clear`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub what: What,
    /// As roles have them: `list`, `watch`, `create`, ..
    #[serde(default)]
    pub verb: Option<String>,
    /// `pods`, `pods/eviction`, ..
    #[serde(default)]
    pub resource: Option<String>,
    #[serde(default)]
    pub times: Option<u32>,
    #[serde(default)]
    pub millis: Option<u64>,
}

impl Fault {
    pub fn new(what: What) -> Self {
        Self { what, verb: None, resource: None, times: None, millis: None }
    }

    pub fn verb(self, verb: &str) -> Self {
        Self { verb: Some(verb.to_owned()), ..self }
    }

    pub fn resource(self, resource: &str) -> Self {
        Self { resource: Some(resource.to_owned()), ..self }
    }

    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    pub fn lasting(self, time: Duration) -> Self {
        Self { millis: Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)), ..self }
    }

    fn is_of(&self, verb: &str, resource: &str) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        fits(&self.verb, verb) && fits(&self.resource, resource)
    }
}

struct Set {
    fault: Fault,
    until: Option<Instant>,
}

impl Set {
    fn is_over(&self) -> bool {
        self.fault.times == Some(0) || self.until.is_some_and(|until| until <= Instant::now())
    }
}

#[derive(Default)]
struct State {
    set: Vec<Set>,
    calls: BTreeMap<(String, String), u64>,
}

pub struct Faults {
    state: Mutex<State>,
    /// Wakes watches and connections when a fault is set.
    changed: watch::Sender<()>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::channel(()).0 }
    }
}

impl Faults {
    pub fn set(&self, fault: Fault) {
        let until = fault.millis.map(|millis| Instant::now() + Duration::from_millis(millis));
        self.lock().set.push(Set { fault, until });
        self.changed.send_replace(());
    }

    /// All is well again. A watch that was frozen stays so.
    pub fn clear(&self) {
        self.lock().set.clear();
        self.changed.send_replace(());
    }

    /// How often each verb was asked of each resource: `("list", "pods")`, `("create", "pods/eviction")`.
    pub fn calls(&self) -> BTreeMap<(String, String), u64> {
        self.lock().calls.clone()
    }

    /// Counts from zero again.
    pub fn forget_calls(&self) {
        self.lock().calls.clear();
    }

    pub(crate) fn count(&self, verb: &str, resource: &str) {
        *self.lock().calls.entry((verb.to_owned(), resource.to_owned())).or_default() += 1;
    }

    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The first fault that is set for such a call and is one of `which`; it is used up by that once.
    pub(crate) fn take(
        &self,
        verb: &str,
        resource: &str,
        which: impl Fn(&What) -> bool,
    ) -> Option<What> {
        let mut state = self.lock();
        state.set.retain(|set| !set.is_over());
        let fits = |set: &&mut Set| which(&set.fault.what) && set.fault.is_of(verb, resource);
        let found = state.set.iter_mut().find(fits)?;
        found.fault.times = found.fault.times.map(|times| times - 1);
        Some(found.fault.what.clone())
    }

    pub(crate) fn is_away(&self) -> bool {
        let mut state = self.lock();
        state.set.retain(|set| !set.is_over());
        state.set.iter().any(|set| set.fault.what == What::Away)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_the_calls_that_it_is_for_as_often_as_it_says() {
        let faults = Faults::default();
        faults.set(Fault::new(What::Fail).verb("list").resource("pods").times(2));
        let any = |_: &What| true;
        assert_eq!(faults.take("list", "nodes", any), None);
        assert_eq!(faults.take("get", "pods", any), None);
        assert_eq!(faults.take("list", "pods", |what| *what == What::Drop), None);
        assert_eq!(faults.take("list", "pods", any), Some(What::Fail));
        assert_eq!(faults.take("list", "pods", any), Some(What::Fail));
        assert_eq!(faults.take("list", "pods", any), None);
    }

    #[test]
    fn a_fault_ends_with_its_time() {
        let faults = Faults::default();
        faults.set(Fault::new(What::Away).lasting(Duration::from_millis(40)));
        assert!(faults.is_away());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!faults.is_away());
    }

    #[test]
    fn faults_are_read_from_json() {
        let text = r#"{"what": {"too_many": {"after": 3}}, "verb": "create", "times": 1}"#;
        let read: Fault = serde_json::from_str(text).expect("a fault");
        assert_eq!(read, Fault::new(What::TooMany { after: 3 }).verb("create").times(1));
        let text = r#"{"what": "freeze", "resource": "pods"}"#;
        let read: Fault = serde_json::from_str(text).expect("a fault");
        assert_eq!(read, Fault::new(What::Freeze).resource("pods"));
        serde_json::from_str::<Fault>(r#"{"what": "fail", "vreb": "list"}"#).expect_err("unknown");
    }
}
