//! How long to wait after failed logins.

use std::time::Duration;

/// Failures are forgotten when none happened for this long.
pub const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Failures of one account without a wait.
const FREE: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// Failures from one network within [`WINDOW`].
const NETWORK: u32 = 100;

/// Whose failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Account,
    Network,
}

impl Counted {
    /// How long after the n-th failure (from 1) the next try is taken. For an account 30 seconds
    /// after the fifth, doubled by each further one and at most [`WINDOW`], so that no 15 minutes
    /// see more than 10; for a network none until there were 100.
    pub fn wait(self, failures: u32) -> Duration {
        match self {
            Self::Account if failures <= FREE => Duration::ZERO,
            Self::Account => {
                let doubled = FIRST_WAIT.saturating_mul(1 << (failures - FREE - 1).min(10));
                doubled.min(WINDOW)
            }
            Self::Network if failures < NETWORK => Duration::ZERO,
            Self::Network => WINDOW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever tries again as soon as possible, for a day.
    fn most_in_a_window(counted: Counted) -> usize {
        let (mut now, mut failures, mut last) = (0u64, 0, 0);
        let mut all = Vec::new();
        while now < 24 * 3600 {
            failures = if now - last >= WINDOW.as_secs() { 1 } else { failures + 1 };
            last = now;
            all.push(now);
            now += counted.wait(failures).as_secs().max(1);
        }
        let within = |from: &u64| {
            all.iter().filter(|at| (*from..from + WINDOW.as_secs()).contains(at)).count()
        };
        all.iter().map(within).max().unwrap_or(0)
    }

    #[test]
    fn no_fifteen_minutes_see_more_failures_than_allowed() {
        let account = most_in_a_window(Counted::Account);
        assert!((5..=10).contains(&account), "{account}");
        assert_eq!(most_in_a_window(Counted::Network), 100);
    }
}
