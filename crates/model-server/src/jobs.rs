//! Asynchronous jobs, kept in memory: the last ones, and only so many bytes of results.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Most jobs that are remembered, and most bytes of their results.
const JOBS: usize = 1000;
const BYTES: usize = 256 << 20;

#[derive(Clone, Debug)]
pub(crate) enum JobState {
    Pending { done: usize },
    Completed(Bytes),
    Failed(String),
    Cancelled,
}

#[derive(Clone)]
pub(crate) struct Job {
    pub total: usize,
    pub state: watch::Sender<JobState>,
    pub cancel: CancellationToken,
}

#[derive(Clone, Default)]
pub(crate) struct Jobs {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    jobs: HashMap<String, Job>,
    order: VecDeque<String>,
}

impl Jobs {
    pub(crate) fn add(&self, id: String, total: usize) -> Job {
        let state = watch::channel(JobState::Pending { done: 0 }).0;
        let job = Job { total, state, cancel: CancellationToken::new() };
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.jobs.insert(id.clone(), job.clone());
        inner.order.push_back(id);
        inner.forget_old();
        job
    }

    pub(crate) fn find(&self, id: &str) -> Option<Job> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).jobs.get(id).cloned()
    }

    /// How many jobs are remembered.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).jobs.len()
    }
}

impl Inner {
    /// Forgets the oldest jobs that ended while there are too many.
    fn forget_old(&mut self) {
        let bytes = |job: &Job| match &*job.state.borrow() {
            JobState::Completed(rows) => rows.len(),
            _ => 0,
        };
        let mut total: usize = self.jobs.values().map(bytes).sum();
        let mut kept = VecDeque::new();
        while let Some(id) = self.order.pop_front() {
            let Some(job) = self.jobs.get(&id) else { continue };
            let pending = matches!(&*job.state.borrow(), JobState::Pending { .. });
            let over = self.jobs.len() > JOBS || total > BYTES;
            if pending || !over {
                kept.push_back(id);
                continue;
            }
            total -= bytes(job);
            self.jobs.remove(&id);
        }
        self.order = kept;
    }
}
