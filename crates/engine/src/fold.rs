//! Requests that ended become part of the statistics.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use muster_store::{Folded, Store};
use tokio::time::Instant;

/// How often requests that ended are folded into the statistics.
pub(crate) const FOLD: Duration = Duration::from_secs(2);
/// Whoever writes waits for each fold, so it is to take at most so long. How many requests that are shows:
/// it depends on how many models and people they are of, and on how much is stored of those.
const HOLDS: Duration = Duration::from_millis(20);
/// While there is more to fold than that keeps up with: many requests of one model share its rows.
const HOLDS_BEHIND: Duration = Duration::from_millis(150);
const FOLDED_AT_ONCE: RangeInclusive<u32> = 20..=5000;

/// How many requests the first fold may take.
pub(crate) fn at_once() -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(100))
}

/// Folds until nothing is left.
pub(crate) async fn fold(store: Store, at_once: Arc<AtomicU32>) {
    let begun = Instant::now();
    loop {
        let most = at_once.load(Ordering::Relaxed);
        let folded = match store.fold_ended(most).await {
            Ok(folded) => folded,
            Err(error) => {
                tracing::warn!(%error, "the statistics are not folded; they are next time");
                return;
            }
        };
        let holds = if begun.elapsed() < FOLD { HOLDS } else { HOLDS_BEHIND };
        at_once.store(next_fold(most, folded, holds), Ordering::Relaxed);
        if folded.requests < u64::from(most) {
            return;
        }
    }
}

/// How many requests the next fold may take, after one that could take `most`.
fn next_fold(most: u32, folded: Folded, holds: Duration) -> u32 {
    let next = if folded.held > holds {
        most / 2
    } else if folded.requests == u64::from(most) && folded.held < holds / 2 {
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
        let fold = |requests, millis| Folded { requests, held: Duration::from_millis(millis) };
        assert_eq!(next_fold(100, fold(100, 3), HOLDS), 200, "there was time for more");
        assert_eq!(next_fold(100, fold(100, 15), HOLDS), 100);
        assert_eq!(next_fold(100, fold(7, 1), HOLDS), 100, "there were no more");
        assert_eq!(next_fold(100, fold(60, 50), HOLDS), 50, "it took too long");
        assert_eq!(next_fold(20, fold(20, 500), HOLDS), 20, "it goes on, however slow");
        assert_eq!(next_fold(4000, fold(4000, 1), HOLDS), 5000);
        assert_eq!(next_fold(100, fold(100, 50), HOLDS_BEHIND), 200, "there is more than fits");
    }
}
