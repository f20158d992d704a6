//! One ready instance at work: claim, call, save, again.

use std::sync::Arc;
use std::time::Duration;

use muster_core::instance::{EndCause, Runs};
use muster_core::retry::{JobFailure, retry};
use muster_store::{ClaimedTask, RemoteJob, TaskBack, crash_point};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ahead::{Ahead, Held, unbegun};
use crate::job::{Prepared, Runner};
use crate::running::{Leave, Running, Tokens};
use crate::save::{Claims, Finished, LEASE, Saving, keep};

/// Longer answers are read beside the next job.
const LONG_ANSWER: usize = 16 << 10;

pub(crate) struct Dispatcher {
    pub runner: Arc<Runner>,
    pub running: Arc<Running>,
    pub tokens: Tokens,
    /// Stop what runs as well, and give it back: the hub stops.
    pub abort: CancellationToken,
    pub health: Health,
    /// Changes when a server died: it may have left jobs running on external servers.
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
    /// How long the last job took, if it was done.
    took: Option<Duration>,
}

/// What is to be done.
enum Next {
    Work(Held),
    /// Look for jobs that a dead server left.
    Adopt,
}

/// What runs while there is a job stands apart, in memory of its own: most instances wait, and there may be a
/// thousand of them.
impl Dispatcher {
    pub(crate) async fn run(mut self) -> Leave {
        let _watched = self.runner.server.watch();
        let mut saving = Saving::new(Arc::clone(&self.runner));
        let mut ahead = Ahead::default();
        let adopted = Box::pin(self.adopt(&mut saving)).await;
        saving.begin(adopted);
        let leave = loop {
            saving.has_room().await;
            match saving.beside(self.next(&mut ahead)).await {
                Ok(Next::Adopt) => {
                    let adopted = Box::pin(self.adopt(&mut saving)).await;
                    saving.begin(adopted);
                }
                Ok(Next::Work(held)) => {
                    crash_point("after-claim-before-dispatch");
                    let mut finished = saving.beside(Box::pin(self.work(held, &mut ahead))).await;
                    crash_point("after-answer-before-result");
                    if self.health.took.is_none() {
                        // Something is wrong with it: what it was to get next is for others.
                        finished.back.extend(ahead.give_up(&self.running));
                    }
                    saving.begin(finished);
                }
                Err(leave) => break leave,
            }
            if self.health.unresponsive {
                break Leave::Ended(EndCause::Unresponsive);
            }
        };
        let back = ahead.give_up(&self.running);
        saving.begin(Finished { back, ..Finished::default() });
        saving.all().await;
        leave
    }

    /// Waits for work.
    async fn next(&self, ahead: &mut Ahead) -> Result<Next, Leave> {
        let runner = &self.runner;
        let (mut ended, mut reaped) = (runner.ended.clone(), self.reaped.clone());
        tokio::select! {
            biased;
            () = self.tokens.drain.cancelled() => Err(Leave::Drained),
            Ok(cause) = ended.wait_for(Option::is_some) => {
                Err(Leave::Ended(cause.clone().unwrap_or(EndCause::Unresponsive)))
            }
            cause = runner.is_silent() => Err(Leave::Ended(cause)),
            held = ahead.next(runner, &self.running, self.health.pause) => Ok(Next::Work(held)),
            Ok(()) = reaped.changed(), if runner.is_external() => Ok(Next::Adopt),
        }
    }

    /// Picks up the asynchronous jobs that an earlier hub left running on this server.
    async fn adopt(&mut self, saving: &mut Saving) -> Finished {
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
        let model = Arc::clone(&runner.model);
        // An external server is one, whatever its instance is called now.
        let is_pod = model.source.runs() == Runs::Pod;
        let instance = runner.instance;
        let is_its = |job: &RemoteJob| {
            (&job.model, &job.version) == (&model.id, &model.version)
                && (!is_pod || job.instance == instance)
        };
        for job in jobs.into_iter().filter(is_its) {
            let adopted =
                self.runner.store.adopt_remote_job(self.runner.instance, &job.tasks, LEASE).await;
            match adopted {
                Ok(tasks) if !tasks.is_empty() => {
                    tracing::info!(job.id = %job.job, instance.id = %self.runner.instance, "a running job is picked up");
                    let held = Held::new(tasks, &self.running);
                    let mut ahead = Ahead::default();
                    let work = Box::pin(self.work(held, &mut ahead));
                    finished.add(saving.beside(work).await);
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
    async fn work(&mut self, held: Held, ahead: &mut Ahead) -> Finished {
        let Held { tasks, keys, work, prepared } = held;
        let mut finished = Finished::default();
        let mut left: Claims = Vec::new();
        let (abort, halt) = (self.abort.clone(), self.tokens.halt.clone());
        let runner = &self.runner;
        let took = self.health.took.take();
        let health = &mut self.health;
        tokio::select! {
            biased;
            () = Self::jobs(runner, health, took.is_some(), (tasks, prepared), &mut finished) => {}
            () = work.unwanted.cancelled() => {}
            () = halt.cancelled() => {}
            () = abort.cancelled() => left.clone_from(&keys),
            () = keep(runner, &keys, |lost| work.drop_tasks(|key| lost.contains(key))) => {}
            never = ahead.look(runner, &self.running, took) => match never {},
        }
        self.running.end(&work, keys.iter().map(|(key, _)| *key));
        if !self.runner.is_external() {
            left.retain(|(key, _)| !finished.has(*key));
            finished.back.extend(unbegun(left));
        }
        finished
    }

    /// Tasks that failed before go alone, so that one that kills its instance takes no other
    /// request with it (I-13).
    async fn jobs(
        runner: &Arc<Runner>,
        health: &mut Health,
        is_quick: bool,
        (tasks, mut prepared): (Vec<ClaimedTask>, Option<Prepared>),
        finished: &mut Finished,
    ) {
        let (suspects, clean): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| task.failures > 0 && task.remote_job.is_none());
        if !suspects.is_empty() {
            // It is of all of them.
            prepared = None;
        }
        let jobs = std::iter::once(clean).chain(suspects.into_iter().map(|task| vec![task]));
        let mut over = false;
        for tasks in jobs.filter(|tasks| !tasks.is_empty()) {
            let failure = if over {
                // The instance ended with an earlier job: these were never sent.
                JobFailure::GivenBack { after: Duration::ZERO }
            } else {
                let mut job = runner.recorder.job(runner.instance, &tasks);
                let begun = Instant::now();
                let answer = match runner.call(&tasks, prepared.take()).await {
                    Ok(answered) if is_quick && answered.len() > LONG_ANSWER => {
                        job.answered();
                        *health = Health { took: Some(begun.elapsed()), ..Health::default() };
                        let keys = tasks.iter().map(|task| (task.key, task.attempt)).collect();
                        let runner = Arc::clone(runner);
                        let read = async move {
                            let mut read = Finished::default();
                            match runner.read_answer(&tasks, answered).await {
                                Ok(done) => {
                                    job.done();
                                    read.done = done;
                                }
                                Err(failure) => {
                                    job.failed(&failure);
                                    read.back = Self::failed(&runner, &failure, &tasks);
                                }
                            }
                            read
                        };
                        finished.reading.push((keys, tokio::spawn(read)));
                        continue;
                    }
                    Ok(answered) => {
                        job.answered();
                        runner.read_answer(&tasks, answered).await
                    }
                    Err(failure) => Err(failure),
                };
                match answer {
                    Ok(done) => {
                        job.done();
                        *health = Health { took: Some(begun.elapsed()), ..Health::default() };
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
            finished.back.extend(Self::failed(runner, &failure, &tasks));
        }
    }

    fn failed(runner: &Runner, failure: &JobFailure, tasks: &[ClaimedTask]) -> Vec<TaskBack> {
        // Not the model's words: they may quote inputs.
        tracing::info!(
            model.id = %runner.model.id, instance.id = %runner.instance,
            failure = failure.harmless(), "a job failed"
        );
        let most = runner.model.limits.max_attempts;
        let back = |task: &ClaimedTask| TaskBack {
            key: task.key,
            attempt: task.attempt,
            retry: retry(failure, task.attempt, task.failures, most),
        };
        tasks.iter().map(back).collect()
    }
}

impl Health {
    /// Notes a failure. A busy instance uses up no attempt, but one that says nothing else for as
    /// long as a job may take has failed.
    fn note(&mut self, failure: JobFailure, job_seconds: u32) -> JobFailure {
        self.took = None;
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
