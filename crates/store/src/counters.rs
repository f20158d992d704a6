//! Counts since the start of this server, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Counters {
    pub transactions: Counter,
    /// Requests taken in.
    pub submitted: Counter,
    pub failed: Counter,
    pub cancelled: Counter,
    /// Inputs answered by known predictions.
    pub cache_hits: Counter,
    /// Sessions looked up in the database.
    pub session_lookups: Counter,
    /// What a person has was looked up, for the limits.
    pub quota_lookups: Counter,
    /// Requests that were cleared because of their age.
    pub requests_cleared: Counter,
    /// Objects of deleted and cleared requests that were removed.
    pub objects_removed: Counter,
    /// Objects that rows point to and that are not there.
    pub objects_missing: Counter,
    /// Writes of attempts that were no longer the current one.
    pub stale_writes_refused: Counter,
    /// Looks at the world by which it is planned, and the microseconds that they took.
    pub looks: Counter,
    pub look_micros: Counter,
}
