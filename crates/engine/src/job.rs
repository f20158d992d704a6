//! One job: tasks of one model, packed, sent to one instance, and what came back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_core::answer::read_records;
use muster_core::bisect::{Bisection, Verdict};
use muster_core::instance::EndCause;
use muster_core::retry::JobFailure;
use muster_core::{InstanceId, Model, Part, Row, Source};
use muster_store::{ClaimedTask, Store, TaskDone};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::call::ModelServer;
use crate::pack::{Known, cut, join, merge};
use crate::record::Recorder;

/// An instance that works is asked every so often whether it is still there; silent three times
/// in a row, it is unresponsive (I-24).
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_FAILURES: u32 = 3;
/// How long a broken connection waits to learn whether the instance ended.
const AFTERMATH: Duration = Duration::from_secs(2);

/// What runs jobs on one instance.
pub(crate) struct Runner {
    pub store: Store,
    pub recorder: Arc<Recorder>,
    pub model: Arc<Model>,
    pub instance: InstanceId,
    pub server: ModelServer,
    /// The server finds bad inputs by itself.
    pub splits: bool,
    /// Set when the instance ended, with the cause.
    pub ended: watch::Receiver<Option<EndCause>>,
    /// The hub stops: asynchronous jobs of external servers go on without it.
    pub stopping: CancellationToken,
}

/// What is sent for one task.
enum Sent {
    /// All of its inputs, as they are.
    Whole { array: Bytes, count: usize },
    /// The inputs without a known prediction.
    Missing { array: Bytes, count: usize, known: Vec<Option<Known>>, hashes: Vec<[u8; 32]> },
}

/// A job that can be sent.
pub(crate) struct Prepared {
    sent: Vec<Sent>,
    body: Bytes,
    total: usize,
}

/// What a job came to.
pub(crate) struct Answered {
    sent: Vec<Sent>,
    total: usize,
    answer: Answer,
}

enum Answer {
    Text(Bytes),
    /// It had to be read to see whether the model failed.
    Read(Part),
}

impl Answered {
    /// Bytes that are to be read.
    pub(crate) fn len(&self) -> usize {
        match &self.answer {
            Answer::Text(text) => text.len(),
            Answer::Read(_) => 0,
        }
    }
}

impl Runner {
    pub(crate) fn is_external(&self) -> bool {
        matches!(self.model.source, Source::Server { .. })
    }

    /// Loads the inputs of tasks and looks up what is known of them.
    pub(crate) async fn prepare(&self, tasks: &[ClaimedTask]) -> Result<Prepared, JobFailure> {
        let mut sent = Vec::with_capacity(tasks.len());
        for task in tasks {
            sent.push(self.prepare_task(task).await?);
        }
        let total = sent.iter().map(Sent::count).sum();
        let body = join(sent.iter().map(Sent::array));
        Ok(Prepared { sent, body, total })
    }

    /// Has all tasks predicted, or fails as a whole.
    pub(crate) async fn call(
        &self,
        tasks: &[ClaimedTask],
        prepared: Option<Prepared>,
    ) -> Result<Answered, JobFailure> {
        let Prepared { sent, body, total } = match prepared {
            Some(prepared) => prepared,
            None => self.prepare(tasks).await?,
        };
        let answer = if total == 0 {
            Answer::Read(Part { columns: vec![], rows: vec![] })
        } else {
            self.watched(tasks, body, total).await?
        };
        Ok(Answered { sent, total, answer })
    }

    /// The rows of each task.
    pub(crate) fn read_answer(
        &self,
        tasks: &[ClaimedTask],
        answered: Answered,
    ) -> Result<Vec<TaskDone>, JobFailure> {
        let Answered { sent, total, answer } = answered;
        let part = match answer {
            Answer::Text(text) => self.read(&text, total)?,
            Answer::Read(part) => part,
        };
        Ok(self.take_apart(tasks, sent, part))
    }

    async fn prepare_task(&self, task: &ClaimedTask) -> Result<Sent, JobFailure> {
        let array = match &task.inputs {
            Some(array) => array.clone(),
            None => self.store.load_inputs(task).await.map_err(storage)?,
        };
        let count = task.count as usize;
        if !self.model.cache || !task.use_cache {
            return Ok(Sent::Whole { array, count });
        }
        let inputs: Vec<String> = serde_json::from_slice(&array)
            .map_err(|_| JobFailure::Storage { what: "they are damaged".into() })?;
        let hashes: Vec<[u8; 32]> = inputs.iter().map(|input| hash(input)).collect();
        let looked_up = self.store.predictions(&self.model.id, &self.model.version, &hashes).await;
        let mut known = looked_up.map_err(storage)?;
        // A job that outlives the hub must be the same job for the hub that adopts it: all
        // inputs of a task or none.
        if self.is_external() && known.iter().any(Option::is_none) {
            known = vec![None; count];
        }
        let array = if known.iter().all(Option::is_none) {
            array
        } else {
            let missing = inputs.iter().zip(&known).filter(|(_, known)| known.is_none());
            let missing: Vec<&String> = missing.map(|(input, _)| input).collect();
            serde_json::to_vec(&missing).map(Bytes::from).unwrap_or(array)
        };
        let count = known.iter().filter(|known| known.is_none()).count();
        Ok(Sent::Missing { array, count, known, hashes })
    }

    /// Calls the instance within the model's time, watching that it lives.
    async fn watched(
        &self,
        tasks: &[ClaimedTask],
        body: Bytes,
        total: usize,
    ) -> Result<Answer, JobFailure> {
        let limits = &self.model.limits;
        let mut ended = self.ended.clone();
        let called = tokio::select! {
            called = tokio::time::timeout(limits.job(), self.ask(tasks, body, total)) => called,
            Ok(cause) = ended.wait_for(Option::is_some) => {
                return Err(JobFailure::InstanceEnded(cause.clone().unwrap_or(EndCause::Unresponsive)));
            }
            () = self.silent() => {
                return Err(JobFailure::InstanceEnded(EndCause::Unresponsive));
            }
        };
        match called {
            Err(_) => Err(JobFailure::TimedOut { seconds: limits.job_seconds }),
            Ok(Err(JobFailure::Disconnected)) => Err(self.why_disconnected().await),
            Ok(answer) => answer,
        }
    }

    async fn ask(
        &self,
        tasks: &[ClaimedTask],
        body: Bytes,
        total: usize,
    ) -> Result<Answer, JobFailure> {
        let answer = if self.is_external() {
            self.run_remotely(tasks, body.clone(), total).await
        } else {
            self.server.run(body.clone(), total).await
        };
        match answer {
            Err(JobFailure::Model { error }) if !self.splits && total > 1 => {
                self.find_bad_inputs(&body, total, error).await.map(Answer::Read)
            }
            answer => answer.map(Answer::Text),
        }
    }

    pub(crate) fn read(&self, answer: &[u8], inputs: usize) -> Result<Part, JobFailure> {
        read_records(answer, inputs, &self.model.outputs)
            .map_err(|bad| JobFailure::BadAnswer { what: bad.to_string() })
    }

    /// The batch failed with `error`: halves it until the bad inputs are found.
    async fn find_bad_inputs(
        &self,
        body: &Bytes,
        total: usize,
        error: String,
    ) -> Result<Part, JobFailure> {
        let inputs: Vec<&serde_json::value::RawValue> = serde_json::from_slice(body)
            .map_err(|_| JobFailure::Storage { what: "they are damaged".into() })?;
        if inputs.len() != total {
            return Err(JobFailure::Storage { what: "some of them are missing".into() });
        }
        let mut search = Bisection::new(total);
        let mut last = error;
        search.failed();
        let (mut columns, mut rows) = (Vec::new(), Vec::with_capacity(total));
        while let Some(range) = search.next() {
            let some = serde_json::to_vec(&inputs[range.clone()]).map(Bytes::from);
            let some = some.map_err(|_| JobFailure::Model { error: last.clone() })?;
            let answer = self.server.run(some, range.len()).await;
            match answer.and_then(|answer| self.read(&answer, range.len())) {
                Ok(part) => {
                    search.succeeded();
                    columns.push((part.columns, rows.len()));
                    rows.extend(part.rows);
                }
                Err(JobFailure::Model { error }) => match search.failed() {
                    Verdict::Split => last = error,
                    Verdict::Bad => rows.push(Row::Error(error)),
                    Verdict::Hopeless => return Err(JobFailure::Model { error }),
                },
                Err(other) => return Err(other),
            }
        }
        Ok(crate::pack::align(columns, rows, &self.model.outputs))
    }

    fn take_apart(&self, tasks: &[ClaimedTask], sent: Vec<Sent>, part: Part) -> Vec<TaskDone> {
        let counts: Vec<usize> = sent.iter().map(Sent::count).collect();
        let parts = cut(part, &counts);
        let mut done = Vec::with_capacity(tasks.len());
        for ((task, sent), fresh) in tasks.iter().zip(sent).zip(parts) {
            let (key, attempt) = (task.key, task.attempt);
            let Sent::Missing { known, hashes, .. } = sent else {
                let part = Arc::new(fresh);
                done.push(TaskDone { key, attempt, part, cached: 0, predictions: vec![] });
                continue;
            };
            let new: Vec<bool> = known.iter().map(Option::is_none).collect();
            let cached = new.iter().filter(|new| !**new).count() as u64;
            let part = if cached == 0 {
                Some(fresh)
            } else {
                let Part { columns, rows } = fresh;
                merge(known, &columns, &mut rows.into_iter(), &self.model.outputs)
            };
            let Some(part) = part else { continue };
            let keep = |n: &usize| new[*n] && matches!(part.rows[*n], Row::Values(_));
            let predictions = (0..part.rows.len()).filter(keep).map(|n| (hashes[n], n)).collect();
            done.push(TaskDone { key, attempt, part: Arc::new(part), cached, predictions });
        }
        done
    }

    /// Ends when the instance was silent too often.
    async fn silent(&self) {
        let mut failures = 0;
        while failures < HEALTH_FAILURES {
            tokio::time::sleep(HEALTH_INTERVAL).await;
            failures = if self.server.is_alive().await { 0 } else { failures + 1 };
        }
    }

    /// The connection broke: was it the instance that ended?
    async fn why_disconnected(&self) -> JobFailure {
        let mut ended = self.ended.clone();
        let known = tokio::time::timeout(AFTERMATH, ended.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(cause)) => match &*cause {
                Some(cause) => JobFailure::InstanceEnded(cause.clone()),
                None => JobFailure::Disconnected,
            },
            _ => JobFailure::Disconnected,
        }
    }
}

impl Sent {
    fn count(&self) -> usize {
        match self {
            Self::Whole { count, .. } | Self::Missing { count, .. } => *count,
        }
    }

    fn array(&self) -> &Bytes {
        static NOTHING: Bytes = Bytes::from_static(b"[]");
        match self {
            Self::Missing { count: 0, .. } => &NOTHING,
            Self::Whole { array, .. } | Self::Missing { array, .. } => array,
        }
    }
}

/// The key of an input's prediction.
fn hash(input: &str) -> [u8; 32] {
    Sha256::digest(input.as_bytes()).into()
}

/// A store that is away for a moment costs no attempt; damaged inputs do.
fn storage(error: muster_store::Error) -> JobFailure {
    match error {
        muster_store::Error::Unavailable { .. } => {
            JobFailure::GivenBack { after: Duration::from_secs(1) }
        }
        error => {
            tracing::error!(%error, "inputs of a task cannot be read");
            JobFailure::Storage { what: "see the hub's log".into() }
        }
    }
}
