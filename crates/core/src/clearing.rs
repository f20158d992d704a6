//! How long things are kept, and when they are cleared.

use std::time::Duration;

use crate::stats::AuthType;
use crate::{Phase, Timestamp};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long things are kept; `None`: until somebody deletes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Requests of anonymous sessions, from their end.
    pub anonymous: Option<Duration>,
    /// Requests of accounts, from their end.
    pub account: Option<Duration>,
    /// Known predictions, from the day they were used last.
    pub predictions: Option<Duration>,
    /// What is known of an instance, from its end.
    pub instances: Option<Duration>,
}

/// When a server clears by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clearing {
    /// From one beginning to the next; `None`: never.
    pub every: Option<Duration>,
    pub retention: Retention,
}

impl Clearing {
    pub const NEVER: Self = Self { every: None, retention: Retention::FOR_EVER };
}

/// When a clearing by the schedule began, and when it ended: not where a server died meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastClearing {
    pub began_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

impl Clearing {
    /// When to clear next, at the earliest; nothing: never.
    pub fn next(&self, last: Option<LastClearing>, now: Timestamp) -> Option<Timestamp> {
        let every = self.every?;
        let whole = last.filter(|last| last.ended_at.is_some());
        Some(whole.map_or(now, |last| (last.began_at + every).max(now)))
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            anonymous: Some(7 * DAY),
            account: Some(7 * DAY),
            predictions: Some(90 * DAY),
            instances: Some(90 * DAY),
        }
    }
}

impl Retention {
    /// Nothing goes.
    pub const FOR_EVER: Self =
        Self { anonymous: None, account: None, predictions: None, instances: None };

    pub fn of(&self, auth: AuthType) -> Option<Duration> {
        match auth {
            AuthType::Anonymous => self.anonymous,
            AuthType::Account => self.account,
        }
    }

    /// From this moment on a request is cleared; nothing if it has not ended, or is kept for ever.
    pub fn expires_at(&self, auth: AuthType, phase: &Phase) -> Option<Timestamp> {
        Some(phase.ended_at()? + self.of(auth)?)
    }

    /// What ended then or before is over now.
    pub fn ended_by(&self, auth: AuthType, now: Timestamp) -> Option<Timestamp> {
        self.of(auth).map(|age| before(now, age))
    }
}

/// So long before now, not before 1970: every age is one that a database knows.
pub fn before(now: Timestamp, age: Duration) -> Timestamp {
    (now - age).max(Timestamp(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ended;

    #[test]
    fn the_next_clearing_is_a_while_after_the_last_whole_one_began() {
        let clearing = Clearing { every: Some(DAY), ..Clearing::NEVER };
        let (began_at, now) = (Timestamp(5_000_000), Timestamp(7_000_000));
        let whole = LastClearing { began_at, ended_at: Some(Timestamp(6_000_000)) };
        let broken = LastClearing { ended_at: None, ..whole };
        assert_eq!(clearing.next(Some(whole), now), Some(began_at + DAY));
        assert_eq!(clearing.next(Some(whole), now + 2 * DAY), Some(now + 2 * DAY), "it is time");
        assert_eq!(clearing.next(Some(broken), now), Some(now));
        assert_eq!(clearing.next(None, now), Some(now));
        assert_eq!(Clearing::NEVER.next(None, now), None);
    }

    #[test]
    fn a_request_is_kept_for_its_age_and_not_a_microsecond_longer() {
        let retention = Retention { account: None, ..Retention::default() };
        let ended_at = Timestamp(5_000_000);
        let ended = Phase::Ended { started_at: None, ended_at, how: Ended::Completed };
        let at = retention.expires_at(AuthType::Anonymous, &ended).expect("a moment");
        assert_eq!(at, ended_at + 7 * DAY);
        assert_eq!(retention.ended_by(AuthType::Anonymous, at), Some(ended_at));
        let before = retention.ended_by(AuthType::Anonymous, Timestamp(at.micros() - 1));
        assert!(before < Some(ended_at));
        assert_eq!(retention.expires_at(AuthType::Account, &ended), None);
        assert_eq!(retention.expires_at(AuthType::Anonymous, &Phase::Waiting), None);
    }
}
