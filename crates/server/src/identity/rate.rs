//! How many sessions, accounts and links may be made in a minute: on this server, and there from
//! one network.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use muster_core::session::SessionPolicy;

use crate::http::problem::{Kind, Problem};

/// Most networks that are remembered.
const MOST: usize = 20_000;

#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    pub policy: SessionPolicy,
    /// Most new anonymous sessions, accounts and links of this process in a minute: in all, and of
    /// one network.
    pub a_minute: u32,
    pub a_minute_each: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { policy: SessionPolicy::default(), a_minute: 600, a_minute_each: 300 }
    }
}

pub struct Rates(Mutex<Both>);

struct Both {
    all: Rate,
    each: HashMap<String, Rate>,
    a_minute_each: u32,
}

impl Rates {
    pub fn new(limits: SessionLimits) -> Self {
        let (all, a_minute_each) = (Rate::new(limits.a_minute), limits.a_minute_each);
        Self(Mutex::new(Both { all, each: HashMap::new(), a_minute_each }))
    }

    /// Takes one of those that may be made now.
    pub fn admit(&self, network: String) -> Result<(), Problem> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, most) = (Instant::now(), both.a_minute_each);
        if both.each.len() >= MOST {
            both.each.retain(|_, rate| !rate.is_full(now));
        }
        if both.each.len() < MOST || both.each.contains_key(&network) {
            let rate = both.each.entry(network).or_insert_with(|| Rate::new(most));
            if let Err(wait) = rate.take(now) {
                let detail = format!(
                    "At most {most} sessions, accounts and links a minute are made for one \
                     network. Use the session you have, or try again in {wait} seconds."
                );
                return Err(Problem::new(Kind::TooManySessions, detail).retry_after(wait));
            }
        }
        both.all.take(now).map_err(|wait| {
            let detail = "Too many sessions were created just now. Use the session you have, or \
                          try again in a moment.";
            Problem::new(Kind::Busy, detail).retry_after(wait)
        })
    }
}

/// A token bucket that is full at the start.
struct Rate {
    a_minute: f64,
    left: f64,
    at: Option<Instant>,
}

impl Rate {
    fn new(a_minute: u32) -> Self {
        Self { a_minute: f64::from(a_minute), left: f64::from(a_minute), at: None }
    }

    fn gain(&mut self, now: Instant) {
        if let Some(at) = self.at {
            let gained = now.saturating_duration_since(at).as_secs_f64() * self.a_minute / 60.0;
            self.left = (self.left + gained).min(self.a_minute);
        }
        self.at = Some(now);
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.gain(now);
        self.left >= self.a_minute
    }

    /// The error says in how many seconds there is one.
    fn take(&mut self, now: Instant) -> Result<(), u64> {
        self.gain(now);
        if self.left < 1.0 {
            // A rate of zero never gives one.
            let wait = (1.0 - self.left) * 60.0 / self.a_minute.max(1.0);
            return Err(wait.ceil().max(1.0) as u64);
        }
        self.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_gives_what_a_minute_allows() {
        let mut rate = Rate::new(60);
        let start = Instant::now();
        assert_eq!((0..100).filter(|_| rate.take(start).is_ok()).count(), 60);
        assert_eq!(rate.take(start), Err(1));
        let later = start + Duration::from_millis(5_100);
        assert_eq!((0..100).filter(|_| rate.take(later).is_ok()).count(), 5);
        assert!(!rate.is_full(later) && rate.is_full(later + Duration::from_secs(60)));
    }

    #[test]
    fn one_network_does_not_use_up_what_others_may_have() {
        let limits = SessionLimits { a_minute: 5, a_minute_each: 3, ..SessionLimits::default() };
        let rates = Rates::new(limits);
        let kind = |network: &str| rates.admit(network.into()).map_err(|problem| problem.kind);
        assert_eq!([kind("a"), kind("a"), kind("a")], [Ok(()), Ok(()), Ok(())]);
        assert_eq!(kind("a"), Err(Kind::TooManySessions));
        assert_eq!([kind("b"), kind("b")], [Ok(()), Ok(())]);
        assert_eq!(kind("b"), Err(Kind::Busy), "of all together");
    }
}
