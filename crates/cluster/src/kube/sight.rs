//! How fresh a watch is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_core::Timestamp;
use tokio::time::Instant;

use crate::{Now, Sight, Watched};

/// What one watch sees, for those who ask.
pub(super) struct Eye {
    what: &'static str,
    now: Now,
    state: Mutex<State>,
}

struct State {
    sight: Sight,
    /// Since when all of it is known.
    fresh: Option<Instant>,
}

impl Eye {
    pub(super) fn new(what: &'static str, now: Now) -> Self {
        let sight = Sight::Blind { since: now(), why: "it was not read yet".to_owned() };
        Self { what, now, state: Mutex::new(State { sight, fresh: None }) }
    }

    /// Nobody looks.
    pub(super) fn closed(what: &'static str, now: Now, why: &str) -> Self {
        let sight = Sight::Forbidden { why: why.to_owned() };
        Self { what, now, state: Mutex::new(State { sight, fresh: None }) }
    }

    pub(super) fn what(&self) -> &'static str {
        self.what
    }

    /// All of it is known, and something was heard.
    pub(super) fn heard(&self) {
        let now = (self.now)();
        let mut state = self.lock();
        state.fresh.get_or_insert_with(Instant::now);
        state.sight = Sight::Fresh { heard: now };
    }

    /// True: it could see until now.
    pub(super) fn blind(&self, why: String) -> bool {
        let now = (self.now)();
        let mut state = self.lock();
        let since = match &state.sight {
            Sight::Fresh { heard } => *heard,
            Sight::Blind { since, .. } => *since,
            Sight::Forbidden { .. } => now,
        };
        state.sight = Sight::Blind { since, why };
        state.fresh.take().is_some()
    }

    /// True: it was not forbidden until now.
    pub(super) fn forbidden(&self, why: String) -> bool {
        let mut state = self.lock();
        let is_news = !matches!(state.sight, Sight::Forbidden { .. });
        state.fresh = None;
        state.sight = Sight::Forbidden { why };
        is_news
    }

    pub(super) fn watched(&self) -> Watched {
        Watched { what: self.what, sight: self.lock().sight.clone() }
    }

    /// For how long it is fresh.
    pub(super) fn fresh_for(&self) -> Option<Duration> {
        self.lock().fresh.map(|since| since.elapsed())
    }

    /// When something was heard last, if it is fresh.
    pub(super) fn heard_at(&self) -> Option<Timestamp> {
        match self.lock().sight {
            Sight::Fresh { heard } => Some(heard),
            Sight::Blind { .. } | Sight::Forbidden { .. } => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
