//! What an instance does next: claimed, and if its jobs are quick, while the last one still runs. So it does
//! not wait for the hub between two of them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use muster_core::retry::Retry;
use muster_store::{Claim, ClaimedTask, TaskBack};
use tokio::time::Instant;

use crate::job::{Prepared, Runner};
use crate::running::{Running, Work};
use crate::save::{Claims, LEASE, STORE_PAUSE};

/// What was claimed ahead begins within this, or others get it.
const QUICK: Duration = Duration::from_millis(50);
/// Jobs that are claimed ahead: so many may take no longer than [`QUICK`] together. As many as an instance
/// does while the store commits one claim and gets to the next.
const MOST: u32 = 16;

/// A job to be: its tasks are this instance's.
pub(crate) struct Held {
    pub tasks: Vec<ClaimedTask>,
    pub keys: Claims,
    pub work: Arc<Work>,
    pub prepared: Option<Prepared>,
}

/// What was claimed and has not begun, and what is being claimed.
#[derive(Default)]
pub(crate) struct Ahead {
    held: VecDeque<Held>,
    claiming: Option<BoxFuture<'static, Vec<ClaimedTask>>>,
}

impl Held {
    pub(crate) fn new(mut tasks: Vec<ClaimedTask>, running: &Running) -> Self {
        // The order is part of the job: a hub that adopts it has to find the same rows.
        tasks.sort_by_key(|task| task.key);
        let keys: Claims = tasks.iter().map(|task| (task.key, task.attempt)).collect();
        let work = running.begin(keys.iter().map(|(key, _)| *key));
        Self { tasks, keys, work, prepared: None }
    }
}

impl Ahead {
    /// The next job, as soon as there is one. If the caller leaves, the claim waits on.
    pub(crate) async fn next(
        &mut self,
        runner: &Runner,
        running: &Running,
        pause: Option<Duration>,
    ) -> Held {
        loop {
            if let Some(held) = self.held.pop_front() {
                return held;
            }
            let claiming =
                self.claiming.get_or_insert_with(|| Box::pin(claim(runner, 1, false, pause)));
            let tasks = claiming.await;
            self.take(tasks, runner, running);
        }
    }

    fn take(&mut self, tasks: Vec<ClaimedTask>, runner: &Runner, running: &Running) {
        self.claiming = None;
        let jobs = jobs(tasks, runner.model.limits.batch_size);
        self.held.extend(jobs.into_iter().map(|tasks| Held::new(tasks, running)));
    }

    /// Claims what comes after a job that runs, if the last one took so long. If this one takes longer
    /// than it may, what was claimed is for others.
    pub(crate) async fn look(
        &mut self,
        runner: &Runner,
        running: &Running,
        took: Option<Duration>,
    ) -> Infallible {
        let until = Instant::now() + QUICK;
        let most = took.filter(|_| !runner.is_external()).map_or(0, jobs_within);
        let gather = async {
            while let Some(room) = most.checked_sub(self.held.len() as u32).filter(|room| *room > 0)
            {
                let claiming =
                    self.claiming.get_or_insert_with(|| Box::pin(claim(runner, room, true, None)));
                let tasks = claiming.await;
                self.take(tasks, runner, running);
                for held in &mut self.held {
                    held.prepare(runner).await;
                }
            }
            std::future::pending::<()>().await;
        };
        drop(tokio::time::timeout_at(until, gather).await);
        let back = self.give_up(running);
        if !back.is_empty()
            && let Err(error) = runner.store.give_back(back).await
        {
            tracing::warn!(%error, instance.id = %runner.instance, "what was claimed ahead waits for its lease to end");
        }
        std::future::pending().await
    }

    /// Nothing of it begins here any more: what is to go back to the queue.
    pub(crate) fn give_up(&mut self, running: &Running) -> Vec<TaskBack> {
        self.claiming = None;
        let mut back = Vec::new();
        for Held { keys, work, .. } in self.held.drain(..) {
            running.end(&work, keys.iter().map(|(key, _)| *key));
            back.extend(unbegun(keys));
        }
        back
    }
}

impl Held {
    /// As far as it can be: what fails is tried again when it begins.
    async fn prepare(&mut self, runner: &Runner) {
        if self.prepared.is_none() && self.tasks.iter().all(|task| task.failures == 0) {
            self.prepared = runner.prepare(&self.tasks).await.ok();
        }
    }
}

/// Back to the queue as if nobody had claimed them.
pub(crate) fn unbegun(keys: Claims) -> impl Iterator<Item = TaskBack> {
    let again = Retry::Again { after: Duration::ZERO, counts: false };
    keys.into_iter().map(move |(key, attempt)| TaskBack { key, attempt, retry: again.clone() })
}

/// So many of these fit.
fn jobs_within(took: Duration) -> u32 {
    let fit = QUICK.as_micros() / took.as_micros().max(1);
    u32::try_from(fit).unwrap_or(MOST).min(MOST)
}

/// Tasks in the order of their claim, as jobs of so many inputs at most; a larger task is a job of its own.
fn jobs(tasks: Vec<ClaimedTask>, batch: u32) -> Vec<Vec<ClaimedTask>> {
    let mut jobs: Vec<Vec<ClaimedTask>> = Vec::new();
    let mut inputs = 0;
    for task in tasks {
        if let Some(job) = jobs.last_mut().filter(|_| inputs + task.count <= batch) {
            inputs += task.count;
            job.push(task);
        } else {
            inputs = task.count;
            jobs.push(vec![task]);
        }
    }
    jobs
}

/// Waits for work, as much as so many jobs are.
fn claim(
    runner: &Runner,
    jobs: u32,
    ahead: bool,
    pause: Option<Duration>,
) -> impl Future<Output = Vec<ClaimedTask>> + Send + use<> {
    let (store, instance) = (runner.store.clone(), runner.instance);
    let claim = Claim {
        instance,
        model: runner.model.id.clone(),
        version: runner.model.version.clone(),
        max_inputs: runner.model.limits.batch_size.saturating_mul(jobs),
        lease: LEASE,
        ahead,
    };
    async move {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        loop {
            match store.claim(claim.clone()).await {
                Ok(tasks) if !tasks.is_empty() => return tasks,
                // It is being stopped: the loop is about to hear of it.
                Ok(_) => std::future::pending().await,
                Err(error) => {
                    tracing::warn!(%error, instance.id = %instance, "nothing can be claimed");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quick_jobs_are_claimed_ahead_and_as_many_as_begin_in_time() {
        let millis = |n| jobs_within(Duration::from_millis(n));
        assert_eq!(
            [millis(0), millis(3), millis(12), millis(20), millis(50), millis(51)],
            [16, 16, 4, 2, 1, 0]
        );
    }
}
