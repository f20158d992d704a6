//! How much is deleted in one transaction, and how long others have the database to themselves after it.

use std::time::{Duration, Instant};

/// How long a transaction may take beside its commit: whoever submits meanwhile waits for it.
const TARGET: Duration = Duration::from_millis(2);
/// Others get so many times what a transaction took.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(1);
const LEAST: usize = 5;
const MOST: usize = 500;

/// How long a transaction took.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    begun: Instant,
    /// Without its commit.
    work: Duration,
}

impl Took {
    pub(crate) fn since(begun: Instant) -> Self {
        Self { begun, work: begun.elapsed() }
    }
}

/// Rows in a transaction, learned from how long the last ones took.
pub(crate) struct Pace {
    rows: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { rows: 20 }
    }
}

impl Pace {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// After a transaction, once it is committed: the next one is larger or smaller, and has to wait a
    /// little.
    pub(crate) async fn rest(&mut self, took: Took) {
        self.learn(took.work);
        pause(took).await;
    }

    /// Also transactions with fewer rows than they could have had count: they grow slowly.
    fn learn(&mut self, took: Duration) {
        let rows = if took > TARGET * 2 {
            self.rows / 2
        } else if took > TARGET {
            self.rows * 4 / 5
        } else {
            self.rows * 5 / 4
        };
        self.rows = rows.clamp(LEAST, MOST);
    }
}

/// Leaves the database to others after a transaction that is committed. The commit counts: nobody else
/// writes to SQLite meanwhile.
pub(crate) async fn pause(took: Took) {
    tokio::time::sleep((took.begun.elapsed() * REST).min(LONGEST_REST)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_grow_while_they_are_quick_and_shrink_when_they_are_not() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.learn(TARGET / 10);
        }
        assert_eq!(pace.rows(), MOST);
        pace.learn(TARGET * 10);
        assert_eq!(pace.rows(), MOST / 2);
        for _ in 0..100 {
            pace.learn(TARGET * 10);
        }
        assert_eq!(pace.rows(), LEAST);
    }
}
