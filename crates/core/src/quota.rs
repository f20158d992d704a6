//! How much one person may have at a time and a day.

use std::ops::{Add, Sub};
use std::time::Duration;

use crate::Timestamp;

/// Amounts that are limited: of what somebody has, of what a request adds, or of what is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests that have inputs which no instance works on yet.
    pub waiting_requests: u64,
    /// Inputs which no instance works on yet.
    pub waiting_inputs: u64,
    /// Inputs submitted since the day began in UTC.
    pub day_inputs: u64,
    /// Bytes of stored inputs and results.
    pub bytes: u64,
}

/// What people may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    pub account: Amounts,
    /// Of an anonymous session.
    pub anonymous: Amounts,
    /// Bytes of stored inputs and results of all anonymous sessions together: there may be as many of
    /// them as anybody likes.
    pub anonymous_all_bytes: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            account: Amounts {
                waiting_requests: 20_000,
                waiting_inputs: 1_000_000,
                day_inputs: 5_000_000,
                bytes: 20 << 30,
            },
            anonymous: Amounts {
                waiting_requests: 200,
                waiting_inputs: 20_000,
                day_inputs: 100_000,
                bytes: 1 << 30,
            },
            anonymous_all_bytes: 50 << 30,
        }
    }
}

/// One of the amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    WaitingRequests,
    WaitingInputs,
    DayInputs,
    Bytes,
}

impl Limit {
    pub const ALL: [Self; 4] =
        [Self::WaitingRequests, Self::WaitingInputs, Self::DayInputs, Self::Bytes];
}

impl Amounts {
    pub fn of(&self, limit: Limit) -> u64 {
        match limit {
            Limit::WaitingRequests => self.waiting_requests,
            Limit::WaitingInputs => self.waiting_inputs,
            Limit::DayInputs => self.day_inputs,
            Limit::Bytes => self.bytes,
        }
    }

    /// The first limit that somebody who has `used` would pass with `more`.
    pub fn passed(&self, used: Self, more: Self) -> Option<Limit> {
        let with = used + more;
        Limit::ALL.into_iter().find(|limit| with.of(*limit) > self.of(*limit))
    }

    fn each(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            waiting_requests: join(self.waiting_requests, other.waiting_requests),
            waiting_inputs: join(self.waiting_inputs, other.waiting_inputs),
            day_inputs: join(self.day_inputs, other.day_inputs),
            bytes: join(self.bytes, other.bytes),
        }
    }
}

impl Add for Amounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

/// Never below zero.
impl Sub for Amounts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// When the day of `now` began in UTC.
pub fn day_start(now: Timestamp) -> Timestamp {
    let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.micros() - now.micros().rem_euclid(day))
}

/// How long it is until the next day begins in UTC.
pub fn until_next_day(now: Timestamp) -> Duration {
    (day_start(now) + DAY).since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(all: [u64; 4]) -> Amounts {
        let [waiting_requests, waiting_inputs, day_inputs, bytes] = all;
        Amounts { waiting_requests, waiting_inputs, day_inputs, bytes }
    }

    #[test]
    fn what_fits_exactly_is_allowed_and_one_more_is_not() {
        let quota = amounts([3, 30, 300, 3000]);
        let used = amounts([2, 20, 200, 2000]);
        assert_eq!(quota.passed(used, amounts([1, 10, 100, 1000])), None);
        for (more, passed) in [
            ([2, 0, 0, 0], Limit::WaitingRequests),
            ([0, 11, 0, 0], Limit::WaitingInputs),
            ([0, 0, 101, 0], Limit::DayInputs),
            ([0, 0, 0, 1001], Limit::Bytes),
            ([2, 11, 101, 1001], Limit::WaitingRequests),
        ] {
            assert_eq!(quota.passed(used, amounts(more)), Some(passed), "{more:?}");
        }
        assert_eq!(quota.passed(amounts([u64::MAX; 4]), used), Some(Limit::WaitingRequests));
    }

    #[test]
    fn a_pipeline_of_100_000_inputs_fits_an_account_and_1_000_molecules_fit_anybody() {
        let quotas = Quotas::default();
        let pipeline = amounts([1, 100_000, 100_000, 100 << 20]);
        assert_eq!(quotas.account.passed(pipeline, pipeline), None, "two of them");
        let chemist = amounts([1, 1_000, 1_000, 1 << 20]);
        assert_eq!(quotas.anonymous.passed(chemist, chemist), None);
        for limit in Limit::ALL {
            assert!(quotas.anonymous.of(limit) < quotas.account.of(limit), "{limit:?}");
        }
    }

    #[test]
    fn a_day_is_one_of_utc() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-02-28T23:59:50Z");
        assert_eq!(day_start(now), at("2026-02-28T00:00:00Z"));
        assert_eq!(until_next_day(now), Duration::from_secs(10));
        assert_eq!(day_start(day_start(now)), day_start(now));
        assert_eq!(day_start(Timestamp(-1)), at("1969-12-31T00:00:00Z"));
    }
}
