//! One ready instance at work: claim, call, save, again.

use std::sync::Arc;
use std::time::Duration;

use muster_core::TaskKey;
use muster_core::instance::EndCause;
use muster_core::retry::{JobFailure, Retry, retry};
use muster_store::{Claim, ClaimedTask, TaskBack, TaskDone, crash_point};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::job::Runner;
use crate::running::{Leave, Running, Tokens, Work};

/// How long a claim holds without being extended.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
const EXTEND_EVERY: Duration = Duration::from_secs(10);
/// Pause after the store was away.
const STORE_PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Dispatcher {
    pub runner: Runner,
    pub running: Arc<Running>,
    pub tokens: Tokens,
    /// Stop what runs as well, and give it back: the hub stops.
    pub abort: CancellationToken,
    pub health: Health,
    /// Changes when a server died: it may have left jobs running elsewhere.
    pub reaped: watch::Receiver<u64>,
}

/// What the last jobs showed of the instance.
#[derive(Default)]
pub(crate) struct Health {
    /// Since when it only says that it is busy.
    busy_since: Option<Instant>,
    /// When it wants to be asked again.
    pause: Option<Duration>,
    unresponsive: bool,
}

/// What is to be saved of a round of work.
#[derive(Default)]
struct Finished {
    done: Vec<TaskDone>,
    back: Vec<TaskBack>,
}

/// What is to be done.
enum Next {
    Work(Vec<ClaimedTask>),
    /// Look for jobs that a dead server left.
    Adopt,
}

impl Dispatcher {
    pub(crate) async fn run(mut self) -> Leave {
        let mut finished = self.adopt().await;
        loop {
            // Saving comes first, so that the store does both in one transaction.
            let ((), next) = tokio::join!(biased; self.save(finished), self.next());
            match next {
                Ok(Next::Adopt) => finished = self.adopt().await,
                Ok(Next::Work(tasks)) => {
                    crash_point("after-claim-before-dispatch");
                    finished = self.work(tasks).await;
                    crash_point("after-answer-before-result");
                }
                Err(leave) => return leave,
            }
            if self.health.unresponsive {
                self.save(finished).await;
                return Leave::Ended(EndCause::Unresponsive);
            }
        }
    }

    /// Waits for work.
    async fn next(&self) -> Result<Next, Leave> {
        let runner = &self.runner;
        let (mut ended, mut reaped) = (runner.ended.clone(), self.reaped.clone());
        let claiming = async {
            if let Some(pause) = self.health.pause {
                tokio::time::sleep(pause).await;
            }
            loop {
                let claim = Claim {
                    instance: runner.instance,
                    model: runner.model.id.clone(),
                    version: runner.model.version.clone(),
                    max_inputs: runner.model.limits.batch_size,
                    lease: LEASE,
                };
                match runner.store.claim(claim).await {
                    Ok(tasks) if !tasks.is_empty() => return tasks,
                    // It is being stopped: the loop is about to hear of it.
                    Ok(_) => std::future::pending().await,
                    Err(error) => {
                        tracing::warn!(%error, instance.id = %runner.instance, "nothing can be claimed");
                        tokio::time::sleep(STORE_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = self.tokens.drain.cancelled() => Err(Leave::Drained),
            Ok(cause) = ended.wait_for(Option::is_some) => {
                Err(Leave::Ended(cause.clone().unwrap_or(EndCause::Unresponsive)))
            }
            tasks = claiming => Ok(Next::Work(tasks)),
            Ok(()) = reaped.changed(), if runner.is_external() => Ok(Next::Adopt),
        }
    }

    /// Picks up the asynchronous jobs that an earlier hub left running on this server.
    async fn adopt(&mut self) -> Finished {
        self.reaped.mark_unchanged();
        let runner = &self.runner;
        if !runner.is_external() {
            return Finished::default();
        }
        let jobs = match runner.store.running_remote_jobs().await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(%error, "running jobs of external servers cannot be looked up");
                return Finished::default();
            }
        };
        let mut finished = Finished::default();
        let model = runner.model.id.clone();
        for job in jobs.into_iter().filter(|job| job.model == model) {
            let adopted =
                self.runner.store.adopt_remote_job(self.runner.instance, &job.tasks, LEASE).await;
            match adopted {
                Ok(mut tasks) if !tasks.is_empty() => {
                    tracing::info!(job.id = %job.job, instance.id = %self.runner.instance, "a running job is picked up");
                    tasks.sort_by_key(|task| task.key);
                    let more = self.work(tasks).await;
                    finished.done.extend(more.done);
                    finished.back.extend(more.back);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, job.id = %job.job, "a job cannot be picked up")
                }
            }
        }
        finished
    }

    /// Works on claimed tasks until all are done, nobody wants them, or the hub stops.
    async fn work(&mut self, mut tasks: Vec<ClaimedTask>) -> Finished {
        // The order is part of the job: a hub that adopts it has to find the same rows.
        tasks.sort_by_key(|task| task.key);
        let keys: Vec<(TaskKey, u32)> = tasks.iter().map(|task| (task.key, task.attempt)).collect();
        let work = self.running.begin(keys.iter().map(|(key, _)| *key));
        let mut finished = Finished::default();
        let mut left: Vec<(TaskKey, u32)> = Vec::new();
        let (abort, halt) = (self.abort.clone(), self.tokens.halt.clone());
        let runner = &self.runner;
        let health = &mut self.health;
        tokio::select! {
            () = Self::jobs(runner, health, tasks, &mut finished) => {}
            () = work.unwanted.cancelled() => {}
            () = halt.cancelled() => {}
            () = abort.cancelled() => left.clone_from(&keys),
            () = Self::keep(runner, &keys, &work) => {}
        }
        self.running.end(&work, keys.iter().map(|(key, _)| *key));
        if !self.runner.is_external() {
            left.retain(|(key, _)| !finished.has(*key));
            let again = Retry::Again { after: Duration::ZERO, counts: false };
            let back = |(key, attempt)| TaskBack { key, attempt, retry: again.clone() };
            finished.back.extend(left.into_iter().map(back));
        }
        finished
    }

    /// Tasks that failed before go alone, so that one that kills its instance takes no other
    /// request with it (I-13).
    async fn jobs(
        runner: &Runner,
        health: &mut Health,
        tasks: Vec<ClaimedTask>,
        finished: &mut Finished,
    ) {
        let (suspects, clean): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| task.failures > 0 && task.remote_job.is_none());
        let jobs = std::iter::once(clean).chain(suspects.into_iter().map(|task| vec![task]));
        let mut over = false;
        for tasks in jobs.filter(|tasks| !tasks.is_empty()) {
            let failure = if over {
                // The instance ended with an earlier job: these were never sent.
                JobFailure::GivenBack { after: Duration::ZERO }
            } else {
                let job = runner.recorder.job(runner.instance, &tasks);
                match runner.job(&tasks).await {
                    Ok(done) => {
                        job.done();
                        *health = Health::default();
                        finished.done.extend(done);
                        continue;
                    }
                    Err(failure) => {
                        job.failed(&failure);
                        health.note(failure, runner.model.limits.job_seconds)
                    }
                }
            };
            over |= matches!(failure, JobFailure::InstanceEnded(_) | JobFailure::Disconnected);
            // Not the model's words: they may quote inputs.
            tracing::info!(
                model.id = %runner.model.id, instance.id = %runner.instance,
                failure = failure.harmless(), "a job failed"
            );
            let most = runner.model.limits.max_attempts;
            finished.back.extend(tasks.iter().map(|task| TaskBack {
                key: task.key,
                attempt: task.attempt,
                retry: retry(&failure, task.failures, most),
            }));
        }
    }

    /// Extends the lease as long as the work goes on; tasks that are no longer ours are unwanted.
    async fn keep(runner: &Runner, keys: &[(TaskKey, u32)], work: &Work) {
        loop {
            tokio::time::sleep(EXTEND_EVERY).await;
            match runner.store.extend(runner.instance, keys, LEASE).await {
                Ok(lost) if lost.is_empty() => {}
                Ok(lost) => work.drop_tasks(|key| lost.contains(key)),
                Err(error) => {
                    tracing::warn!(%error, instance.id = %runner.instance, "leases are not extended");
                }
            }
        }
    }

    /// Saves what came of the work; while the store is away, until the lease is over for good.
    async fn save(&self, finished: Finished) {
        let Finished { mut done, mut back } = finished;
        let give_up = Instant::now() + 2 * LEASE;
        while !(done.is_empty() && back.is_empty()) {
            let mut failed = None;
            if !done.is_empty() {
                match self.runner.store.complete(done.clone()).await {
                    Ok(_) => done.clear(),
                    Err(error) => failed = Some(error),
                }
            }
            if !back.is_empty() {
                match self.runner.store.give_back(back.clone()).await {
                    Ok(()) => back.clear(),
                    Err(error) => failed = Some(error),
                }
            }
            let Some(error) = failed else { return };
            tracing::warn!(%error, instance.id = %self.runner.instance, "results cannot be saved yet");
            if Instant::now() > give_up {
                tracing::error!(instance.id = %self.runner.instance, "results are given up: the lease is over");
                return;
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

impl Health {
    /// Notes a failure. A busy instance uses up no attempt, but one that says nothing else for as
    /// long as a job may take has failed.
    fn note(&mut self, failure: JobFailure, job_seconds: u32) -> JobFailure {
        self.unresponsive = failure == JobFailure::InstanceEnded(EndCause::Unresponsive);
        let JobFailure::GivenBack { after } = failure else {
            (self.busy_since, self.pause) = (None, None);
            return failure;
        };
        self.pause = Some(after);
        let since = *self.busy_since.get_or_insert_with(Instant::now);
        if since.elapsed() < Duration::from_secs(u64::from(job_seconds)) {
            return failure;
        }
        JobFailure::Model { error: format!("it was busy for {job_seconds} seconds") }
    }
}

impl Finished {
    fn has(&self, key: TaskKey) -> bool {
        self.done.iter().any(|task| task.key == key) || self.back.iter().any(|task| task.key == key)
    }
}
