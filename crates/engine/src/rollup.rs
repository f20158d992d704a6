//! Requests that ended become part of the statistics.

use std::ops::RangeInclusive;
use std::time::Duration;

use muster_store::Store;
use tokio::time::Instant;

/// How often requests that ended are rolled up into the statistics.
pub(crate) const ROLL_UP: Duration = Duration::from_secs(2);
/// On SQLite whoever writes waits for each rollup, so it is to take at most so long. How many requests that
/// are shows: it depends on how many models and people they are of, and on how much is stored of those.
const HOLDS: Duration = Duration::from_millis(20);
/// While there is more to roll up than that keeps up with: many requests of one model share its rows.
const HOLDS_BEHIND: Duration = Duration::from_millis(150);
/// In one transaction; the first of a turn takes the fewest.
const FOLDED_AT_ONCE: RangeInclusive<u32> = 20..=5000;

/// Rolls up until nothing is left.
pub(crate) async fn roll_up(store: Store) {
    let (begun, mut most) = (Instant::now(), *FOLDED_AT_ONCE.start());
    loop {
        let rolled_up = match store.roll_up(most).await {
            Ok(rolled_up) => rolled_up,
            Err(error) => {
                tracing::warn!(%error, "the statistics are not rolled up; they are next time");
                return;
            }
        };
        if rolled_up.requests < u64::from(most) {
            return;
        }
        most = next_size(most, rolled_up.held, begun.elapsed());
    }
}

/// How many requests the next transaction may take, after one that took `most` and held others for so
/// long; rolling up goes on since `since`.
fn next_size(most: u32, held: Duration, since: Duration) -> u32 {
    let holds = if since < ROLL_UP { HOLDS } else { HOLDS_BEHIND };
    let next = if held > holds {
        most / 2
    } else if held < holds / 2 {
        most * 2
    } else {
        most
    };
    next.clamp(*FOLDED_AT_ONCE.start(), *FOLDED_AT_ONCE.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_takes_as_many_as_fit_in_its_time() {
        let next = |most, held| next_size(most, Duration::from_millis(held), Duration::ZERO);
        assert_eq!(next(100, 3), 200, "there was time for more");
        assert_eq!(next(100, 15), 100);
        assert_eq!(next(100, 50), 50, "it took too long");
        assert_eq!(next(20, 500), 20, "it goes on, however slow");
        assert_eq!(next(4000, 1), 5000);
        let behind = next_size(100, Duration::from_millis(50), ROLL_UP);
        assert_eq!(behind, 200, "there is more to roll up than fits");
    }
}
