//! What came of jobs, on its way into the store: beside the next jobs, and held until it is there.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use muster_core::TaskKey;
use muster_store::{TaskBack, TaskDone};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::job::Runner;

/// How long a claim holds without being extended.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
const EXTEND_EVERY: Duration = Duration::from_secs(10);
/// Pause after the store was away.
pub(crate) const STORE_PAUSE: Duration = Duration::from_millis(500);
/// Rounds that are being saved at the same time. The instance waits before there are more: they are in
/// memory.
const MOST: usize = 4;

/// Tasks, each by the attempt that was claimed.
pub(crate) type Claims = Vec<(TaskKey, u32)>;

/// What is to be saved of a round of work.
#[derive(Default)]
pub(crate) struct Finished {
    pub done: Vec<TaskDone>,
    pub back: Vec<TaskBack>,
    /// Answers that are still being read, each with the tasks it is for.
    pub reading: Vec<(Claims, JoinHandle<Finished>)>,
}

/// The rounds of one instance that are being saved.
pub(crate) struct Saving {
    runner: Arc<Runner>,
    all: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Saving {
    pub(crate) fn new(runner: Arc<Runner>) -> Self {
        Self { runner, all: FuturesUnordered::new() }
    }

    pub(crate) fn begin(&mut self, finished: Finished) {
        if !finished.is_empty() {
            let runner = Arc::clone(&self.runner);
            self.all.push(Box::pin(async move { finished.save(&runner).await }));
        }
    }

    /// What `next` comes to. Saving goes on meanwhile, and comes first: the store does both in one
    /// transaction.
    pub(crate) async fn beside<T>(&mut self, next: impl Future<Output = T>) -> T {
        let mut next = std::pin::pin!(next);
        loop {
            tokio::select! {
                biased;
                Some(()) = self.all.next() => {}
                came = &mut next => return came,
            }
        }
    }

    /// Waits until there is room for one more.
    pub(crate) async fn has_room(&mut self) {
        while self.all.len() >= MOST {
            self.all.next().await;
        }
    }

    pub(crate) async fn all(mut self) {
        while self.all.next().await.is_some() {}
    }
}

impl Finished {
    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.back.is_empty() && self.reading.is_empty()
    }

    pub(crate) fn has(&self, key: TaskKey) -> bool {
        self.done.iter().any(|task| task.key == key)
            || self.back.iter().any(|task| task.key == key)
            || self.reading.iter().flat_map(|(keys, _)| keys).any(|(read, _)| *read == key)
    }

    pub(crate) fn add(&mut self, more: Finished) {
        self.done.extend(more.done);
        self.back.extend(more.back);
        self.reading.extend(more.reading);
    }

    /// The leases are extended all the while: an answer that cannot be read is asked for again in pieces.
    async fn save(self, runner: &Runner) {
        let done = self.done.iter().map(|task| (task.key, task.attempt));
        let back = self.back.iter().map(|task| (task.key, task.attempt));
        let read = self.reading.iter().flat_map(|(keys, _)| keys.iter().copied());
        let keys: Claims = done.chain(back).chain(read).collect();
        let store = async {
            self.read().await.store(runner).await;
        };
        tokio::select! {
            biased;
            () = store => {}
            () = keep(runner, &keys, |_| {}) => {}
        }
    }

    /// With what came of the answers that were still being read.
    async fn read(mut self) -> Self {
        for (_, reading) in std::mem::take(&mut self.reading) {
            match reading.await {
                Ok(read) => self.add(read),
                Err(error) => tracing::error!(%error, "an answer was not read to its end"),
            }
        }
        self
    }

    /// While the store is away, until the lease is over for good.
    async fn store(self, runner: &Runner) {
        let Self { mut done, mut back, .. } = self;
        let give_up = Instant::now() + 2 * LEASE;
        while !(done.is_empty() && back.is_empty()) {
            let mut failed = None;
            if !done.is_empty() {
                match runner.store.complete(done.clone()).await {
                    Ok(_) => done.clear(),
                    Err(error) => failed = Some(error),
                }
            }
            if !back.is_empty() {
                match runner.store.give_back(back.clone()).await {
                    Ok(()) => back.clear(),
                    Err(error) => failed = Some(error),
                }
            }
            let Some(error) = failed else { return };
            tracing::warn!(%error, instance.id = %runner.instance, "results cannot be saved yet");
            if Instant::now() > give_up {
                tracing::error!(instance.id = %runner.instance, "results are given up: the lease is over");
                return;
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

/// Extends the lease of tasks for as long as this is polled; says which ones are no longer ours.
pub(crate) async fn keep(runner: &Runner, keys: &[(TaskKey, u32)], lost: impl Fn(&[TaskKey])) {
    loop {
        tokio::time::sleep(EXTEND_EVERY).await;
        match runner.store.extend(runner.instance, keys, LEASE).await {
            Ok(none) if none.is_empty() => {}
            Ok(some) => lost(&some),
            Err(error) => {
                tracing::warn!(%error, instance.id = %runner.instance, "leases are not extended");
            }
        }
    }
}
