//! Jobs on external model servers that outlive the hub: started, remembered by their id, asked
//! after, and picked up again by the hub that comes next.

use std::time::Duration;

use bytes::Bytes;
use muster_core::retry::JobFailure;
use muster_store::{ClaimedTask, crash_point};
use tokio::time::Instant;

use crate::job::Runner;
use crate::save::Claims;

/// How long one question waits at a server that can wait.
const WAIT: Duration = Duration::from_secs(20);
/// Pauses between questions to a server that cannot.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Runner {
    /// Runs a batch as an asynchronous job, or picks up the one that its tasks have already.
    pub(crate) async fn run_remotely(
        &self,
        tasks: &[ClaimedTask],
        body: Bytes,
        total: usize,
    ) -> Result<Bytes, JobFailure> {
        let running = tasks.first().and_then(|task| task.remote_job.clone());
        let job = match running {
            Some(job) => job,
            None => match self.server.submit(body.clone()).await? {
                Some(job) => {
                    crash_point("after-remote-job-before-id");
                    let keys: Claims = tasks.iter().map(|task| (task.key, task.attempt)).collect();
                    if let Err(error) = self.store.set_remote_job(&keys, &job).await {
                        // Not remembered: a hub that comes next would run it again.
                        tracing::warn!(%error, instance.id = %self.instance, "a job's id is not kept");
                    }
                    job
                }
                None => return self.server.run(body, total, self.model.outputs.len()).await,
            },
        };
        let cancel = CancelOnDrop { runner: self, job: Some(&job) };
        let answer = self.await_job(&job, total).await;
        cancel.disarm();
        answer
    }

    async fn await_job(&self, job: &str, total: usize) -> Result<Bytes, JobFailure> {
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = Instant::now();
            let status = match self.server.job_status(job, WAIT).await {
                Err(JobFailure::Refused { error }) if error.starts_with("404") => {
                    let error = "its server does not know the job any more".to_owned();
                    return Err(JobFailure::Model { error });
                }
                Err(JobFailure::GivenBack { after }) => {
                    tokio::time::sleep(after).await;
                    continue;
                }
                // Asking again does no harm, and the job goes on.
                Err(JobFailure::Disconnected) => {
                    tokio::time::sleep(LONGEST_PAUSE).await;
                    continue;
                }
                status => status?,
            };
            match status.status.as_str() {
                "completed" => {
                    match self.server.job_result(job, total, self.model.outputs.len()).await {
                        Err(JobFailure::Disconnected) => tokio::time::sleep(LONGEST_PAUSE).await,
                        Err(JobFailure::GivenBack { after }) => tokio::time::sleep(after).await,
                        answer => return answer,
                    }
                }
                "failed" | "cancelled" => {
                    let error = status.error.unwrap_or_else(|| "it gave no reason".to_owned());
                    return Err(JobFailure::Model { error });
                }
                _ if asked.elapsed() < pause => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                _ => {}
            }
        }
    }
}

/// Tells the server to stop the job when nobody waits for it any more.
struct CancelOnDrop<'r> {
    runner: &'r Runner,
    job: Option<&'r str>,
}

impl CancelOnDrop<'_> {
    fn disarm(mut self) {
        self.job = None;
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let Some(job) = self.job.filter(|_| !self.runner.stopping.is_cancelled()) else { return };
        let (server, job) = (self.runner.server.clone(), job.to_owned());
        tokio::spawn(async move { server.cancel_job(&job).await });
    }
}
