//! How long a session lives, as a function of its times.

use std::time::Duration;

use crate::Timestamp;

/// How long a session may be silent, and how long it may live in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    pub idle: Duration,
    pub absolute: Duration,
}

/// The lifetimes of everybody's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    pub anonymous: Lifetimes,
    pub user: Lifetimes,
    pub admin: Lifetimes,
}

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

impl Default for SessionPolicy {
    fn default() -> Self {
        let of = |idle, absolute| Lifetimes {
            idle: Duration::from_secs(idle),
            absolute: Duration::from_secs(absolute),
        };
        Self {
            anonymous: of(30 * DAY, 30 * DAY),
            user: of(DAY, 30 * DAY),
            admin: of(HOUR / 2, 12 * HOUR),
        }
    }
}

/// The moments that decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub created: Timestamp,
    /// When it was last used, as far as that was written down.
    pub seen: Timestamp,
    /// When it ends in any case.
    pub expires: Timestamp,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    Idle,
    Lifetime,
    /// Somebody else ended it, or what it rests on.
    Revoked,
    SignedOut,
}

impl EndReason {
    pub const ALL: [Self; 4] = [Self::Idle, Self::Lifetime, Self::Revoked, Self::SignedOut];

    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Revoked => "revoked",
            Self::SignedOut => "signed-out",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl Times {
    /// How long the session lives on if it is not used, or why it does not. `lifetimes`: `None` for
    /// what ends only at a moment that was set, such as an API token.
    pub fn left(
        &self,
        lifetimes: Option<Lifetimes>,
        now: Timestamp,
    ) -> Result<Duration, EndReason> {
        let (absolute, idle) = match lifetimes {
            Some(l) => (self.expires.min(self.created + l.absolute), self.seen + l.idle),
            None => (self.expires, self.expires),
        };
        if now >= absolute {
            return Err(EndReason::Lifetime);
        }
        if now >= idle {
            return Err(EndReason::Idle);
        }
        Ok(absolute.min(idle).since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_session_slides_but_never_past_its_lifetime() {
        let lifetimes = Some(Lifetimes { idle: 10 * MINUTE, absolute: 60 * MINUTE });
        let start = Timestamp(1_000_000_000);
        let times = |seen| Times { created: start, seen, expires: start + 600 * MINUTE };
        assert_eq!(times(start).left(lifetimes, start), Ok(10 * MINUTE));
        assert_eq!(times(start).left(lifetimes, start + 10 * MINUTE), Err(EndReason::Idle));
        let used = times(start + 9 * MINUTE);
        assert_eq!(used.left(lifetimes, start + 10 * MINUTE), Ok(9 * MINUTE));
        let late = times(start + 59 * MINUTE);
        assert_eq!(late.left(lifetimes, start + 59 * MINUTE), Ok(MINUTE));
        assert_eq!(late.left(lifetimes, start + 60 * MINUTE), Err(EndReason::Lifetime));
    }

    #[test]
    fn a_set_end_goes_before_and_stands_alone() {
        let start = Timestamp(0);
        let times = Times { created: start, seen: start, expires: start + MINUTE };
        let long = Some(Lifetimes { idle: 600 * MINUTE, absolute: 600 * MINUTE });
        assert_eq!(times.left(long, start + MINUTE), Err(EndReason::Lifetime));
        assert_eq!(times.left(None, start), Ok(MINUTE));
        assert_eq!(times.left(None, start + MINUTE), Err(EndReason::Lifetime));
    }

    #[test]
    fn reasons_are_read_as_they_are_written() {
        for reason in EndReason::ALL {
            assert_eq!(EndReason::of(reason.name()), Some(reason));
        }
        assert_eq!(EndReason::of("else"), None);
    }
}
