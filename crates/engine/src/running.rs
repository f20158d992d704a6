//! Which jobs work on which requests, so that a cancellation reaches the model; what stops a
//! dispatcher, and why it ended.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use muster_core::instance::EndCause;
use muster_core::{RequestId, TaskKey};
use tokio_util::sync::CancellationToken;

/// The requests that are being worked on by this server.
#[derive(Default)]
pub(crate) struct Running {
    jobs: Mutex<HashMap<RequestId, Vec<Arc<Work>>>>,
}

/// The tasks one instance has at the moment.
pub(crate) struct Work {
    wanted: Mutex<HashSet<TaskKey>>,
    /// Cancelled when nobody wants any of the tasks.
    pub unwanted: CancellationToken,
}

/// What tells a dispatcher to leave.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    /// Take nothing new, finish what runs.
    pub drain: CancellationToken,
    /// Leave what runs as it is: it is handed back when the instance has ended.
    pub halt: CancellationToken,
}

/// Why a dispatcher ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Drained,
    Ended(EndCause),
}

impl Running {
    pub(crate) fn begin(&self, tasks: impl Iterator<Item = TaskKey>) -> Arc<Work> {
        let wanted: HashSet<TaskKey> = tasks.collect();
        let requests: HashSet<RequestId> = wanted.iter().map(|key| key.request).collect();
        let work =
            Arc::new(Work { wanted: Mutex::new(wanted), unwanted: CancellationToken::new() });
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for request in requests {
            jobs.entry(request).or_default().push(Arc::clone(&work));
        }
        work
    }

    pub(crate) fn end(&self, work: &Arc<Work>, tasks: impl Iterator<Item = TaskKey>) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for key in tasks {
            if let Some(works) = jobs.get_mut(&key.request) {
                works.retain(|other| !Arc::ptr_eq(other, work));
                if works.is_empty() {
                    jobs.remove(&key.request);
                }
            }
        }
    }

    /// The request was cancelled.
    pub(crate) fn cancel(&self, request: RequestId) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        for work in jobs.get(&request).into_iter().flatten() {
            work.drop_tasks(|key| key.request == request);
        }
    }
}

impl Work {
    /// Nobody wants these tasks from us any more.
    pub(crate) fn drop_tasks(&self, unwanted: impl Fn(&TaskKey) -> bool) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|key| !unwanted(key));
        if wanted.is_empty() {
            self.unwanted.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_unwanted_when_its_last_request_was_cancelled() {
        let key = |n| TaskKey { request: RequestId(uuid::Uuid::from_u128(n)), position: 0 };
        let running = Running::default();
        let work = running.begin([key(1), key(2)].into_iter());
        running.cancel(key(1).request);
        assert!(!work.unwanted.is_cancelled());
        running.cancel(key(2).request);
        assert!(work.unwanted.is_cancelled());
        running.end(&work, [key(1), key(2)].into_iter());
        assert!(running.jobs.lock().expect("no panic").is_empty());
    }
}
