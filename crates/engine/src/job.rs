//! One job: tasks of one model, packed, sent to one instance, and what came back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_cluster::Cluster;
use muster_core::answer::read_records;
use muster_core::bisect::{Bisection, Verdict};
use muster_core::instance::{EndCause, Runs};
use muster_core::retry::{JobFailure, reason};
use muster_core::{Address, InstanceId, Model, Part, Row};
use muster_store::{ClaimedTask, Known, Store, TaskDone, aside_if};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::call::ModelServer;
use crate::pack::{cut, join, merge};
use crate::record::Recorder;
use crate::save::Claims;

/// How long a broken connection waits to learn whether the instance ended.
const AFTERMATH: Duration = Duration::from_secs(2);

/// A cluster says after this, at the latest, that a node is not heard of any more (50 s unless it is set up
/// otherwise).
const NODE_IS_LOST: Duration = Duration::from_secs(60);

/// What is said of an input that is empty, such as an empty cell of a file.
const EMPTY: &str = "the input is empty";

/// What runs jobs on one instance.
pub(crate) struct Runner {
    pub store: Store,
    pub recorder: Arc<Recorder>,
    pub model: Arc<Model>,
    pub instance: InstanceId,
    pub server: ModelServer,
    /// Where it runs, and the address that it had when it was ready.
    pub place: (Arc<dyn Cluster>, Address),
    /// The server finds bad inputs by itself.
    pub splits: bool,
    /// Set when the instance ended, with the cause.
    pub ended: watch::Receiver<Option<EndCause>>,
    /// The hub stops: asynchronous jobs of external servers go on without it.
    pub stopping: CancellationToken,
    /// Held by who calls the instance: it gets one call at a time (I-26), also while an answer of the job
    /// before is asked for again in pieces.
    pub calls: Mutex<()>,
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
    /// What was asked.
    body: Bytes,
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
    /// Does it go on when this hub ends?
    pub(crate) fn is_external(&self) -> bool {
        self.model.source.runs().outlives_its_hub()
    }

    /// A pod's address is another one's once the pod is gone: it is called only while it is there, and what is
    /// answered counts only if it still is.
    fn is_there(&self) -> Result<(), JobFailure> {
        let (cluster, address) = &self.place;
        match cluster.is_at(self.instance, address) {
            true => Ok(()),
            false => Err(JobFailure::GivenBack { after: AFTERMATH }),
        }
    }

    /// Loads the inputs of tasks and looks up what is known of them.
    pub(crate) async fn prepare(&self, tasks: &[ClaimedTask]) -> Result<Prepared, JobFailure> {
        let mut sent = Vec::with_capacity(tasks.len());
        for task in tasks {
            sent.push(self.prepare_task(task).await?);
        }
        let total = sent.iter().map(Sent::count).sum();
        let arrays: Vec<Bytes> = sent.iter().map(Sent::array).cloned().collect();
        let bytes = arrays.iter().map(Bytes::len).sum();
        let body = aside_if(bytes, move || join(&arrays)).await;
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
            let _one = self.calls.lock().await;
            self.watched(tasks, body.clone(), total).await?
        };
        Ok(Answered { sent, body, total, answer })
    }

    /// The rows of each task. An answer that cannot be read is asked for again in pieces, unless the job
    /// was picked up.
    pub(crate) async fn read_answer(
        &self,
        tasks: &[ClaimedTask],
        answered: Answered,
    ) -> Result<Vec<TaskDone>, JobFailure> {
        let bytes = answered.len();
        let Answered { sent, body, total, answer } = answered;
        let model = Arc::clone(&self.model);
        let read = match answer {
            Answer::Text(text) => aside_if(bytes, move || read(&model, &text, total)).await,
            Answer::Read(part) => Ok(part),
        };
        let part = match read {
            Err(failure) if was_picked_up(tasks) => return Err(anew(&failure)),
            Err(failure) if total > 1 => {
                let limits = &self.model.limits;
                let _one = self.calls.lock().await;
                let pieces = self.find_bad_inputs(&body, total, failure);
                match tokio::time::timeout(limits.job(), pieces).await {
                    Ok(found) => found?,
                    Err(_) => {
                        return Err(JobFailure::TimedOut { seconds: limits.job_seconds });
                    }
                }
            }
            read => read?,
        };
        let model = Arc::clone(&self.model);
        let keys = tasks.iter().map(|task| (task.key, task.attempt)).collect();
        Ok(aside_if(bytes, move || take_apart(&model, keys, sent, part)).await)
    }

    async fn prepare_task(&self, task: &ClaimedTask) -> Result<Sent, JobFailure> {
        let array = match &task.inputs {
            Some(array) => array.clone(),
            None => self.store.load_inputs(task).await.map_err(storage)?,
        };
        let count = task.count as usize;
        let looks_up = self.model.cache && task.use_cache;
        let text = array.clone();
        let read = aside_if(array.len(), move || {
            // An empty text in JSON; a text that ends with a quote looks like one.
            if !looks_up && !text.windows(2).any(|two| two == b"\"\"") {
                return Ok(None);
            }
            let inputs: Vec<String> = serde_json::from_slice(&text).map_err(|_| damaged())?;
            let hashed = if looks_up { &inputs[..] } else { &[] };
            let hashes: Vec<[u8; 32]> = hashed.iter().map(|input| hash(input)).collect();
            Ok::<_, JobFailure>(Some((inputs, hashes)))
        })
        .await?;
        let Some((inputs, hashes)) = read else { return Ok(Sent::Whole { array, count }) };
        let mut known = vec![None; count];
        if looks_up {
            let looked_up = self.store.predictions(&self.model.id, &self.model.version, &hashes);
            known = looked_up.await.map_err(storage)?;
        }
        // A job that outlives the hub must be the same job for the hub that adopts it: all
        // inputs of a task or none.
        if self.is_external() && known.iter().any(Option::is_none) {
            known = vec![None; count];
        }
        // No model is asked what it thinks of nothing.
        for (_, known) in inputs.iter().zip(&mut known).filter(|(input, _)| input.is_empty()) {
            *known = Some((Arc::from([]), Row::Error(EMPTY.to_owned())));
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
        self.is_there()?;
        let mut ended = self.ended.clone();
        let called = tokio::select! {
            called = tokio::time::timeout(limits.job(), self.ask(tasks, body, total)) => called,
            Ok(cause) = ended.wait_for(Option::is_some) => {
                return Err(JobFailure::InstanceEnded(cause.clone().unwrap_or(EndCause::Unresponsive)));
            }
            cause = self.is_silent() => return Err(JobFailure::InstanceEnded(cause)),
        };
        match called {
            Err(_) => Err(JobFailure::TimedOut { seconds: limits.job_seconds }),
            Ok(Err(JobFailure::Disconnected)) => Err(self.why_disconnected().await),
            Ok(answer) => self.is_there().and(answer),
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
            self.server.run(body.clone(), total, self.model.outputs.len()).await
        };
        match answer {
            Err(failure) if was_picked_up(tasks) && self.may_be_one_input(&failure) => {
                Err(anew(&failure))
            }
            Err(failure) if total > 1 && self.may_be_one_input(&failure) => {
                self.find_bad_inputs(&body, total, failure).await.map(Answer::Read)
            }
            answer => answer.map(Answer::Text),
        }
    }

    /// May the others have predictions? What our own servers could not predict they halved themselves.
    fn may_be_one_input(&self, failure: &JobFailure) -> bool {
        match failure {
            JobFailure::Model { .. } => !self.splits,
            JobFailure::Unreadable { .. } | JobFailure::TooLong { .. } => true,
            _ => false,
        }
    }

    /// The batch failed: halves it until the bad inputs are found.
    async fn find_bad_inputs(
        &self,
        body: &Bytes,
        total: usize,
        failure: JobFailure,
    ) -> Result<Part, JobFailure> {
        let text = body.clone();
        let parse = move || serde_json::from_slice::<Vec<Box<RawValue>>>(&text);
        let inputs = aside_if(body.len(), parse).await.map_err(|_| damaged())?;
        if inputs.len() != total {
            return Err(JobFailure::Storage { what: "some of them are missing".into() });
        }
        let mut search = Bisection::new(total);
        tell(&mut search, &failure);
        let (mut columns, mut rows) = (Vec::new(), Vec::with_capacity(total));
        while let Some(range) = search.next() {
            let some = serde_json::to_vec(&inputs[range.clone()]).map(Bytes::from);
            let some = some.map_err(|_| damaged())?;
            let (wanted, model) = (range.len(), Arc::clone(&self.model));
            let answer = self.server.run(some, wanted, self.model.outputs.len()).await;
            let part = match answer {
                Ok(answer) => aside_if(answer.len(), move || read(&model, &answer, wanted)).await,
                Err(failure) => Err(failure),
            };
            match part {
                Ok(part) => {
                    search.succeeded();
                    columns.push((part.columns, rows.len()));
                    rows.extend(part.rows);
                }
                // One input's own failure, or this server's: as in a batch of one.
                Err(failure) if self.may_be_one_input(&failure) || is_models(&failure) => {
                    match tell(&mut search, &failure) {
                        Verdict::Split => {}
                        Verdict::Bad => rows.push(Row::Error(of_one_input(failure))),
                        Verdict::Hopeless => return Err(failure),
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(crate::pack::align(columns, rows, &self.model.outputs))
    }

    /// Waits until it answers nothing any more, and for why that is. A cluster hears later than the hub that
    /// a node is lost, and only then it is known whose doing that is.
    pub(crate) async fn is_silent(&self) -> EndCause {
        self.server.silent.cancelled().await;
        if self.model.source.runs() != Runs::Pod {
            return EndCause::Unresponsive;
        }
        let (cluster, _) = &self.place;
        let (mut changed, mut ended) = (cluster.changed(), self.ended.clone());
        let known = async {
            loop {
                if let Some(cause) = cluster.lost(self.instance) {
                    return cause;
                }
                if let Some(cause) = ended.borrow_and_update().clone() {
                    return cause;
                }
                tokio::select! {
                    Ok(()) = ended.changed() => {}
                    Ok(()) = changed.changed() => {}
                    else => return EndCause::Unresponsive,
                }
            }
        };
        tokio::time::timeout(NODE_IS_LOST, known).await.unwrap_or(EndCause::Unresponsive)
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

fn read(model: &Model, answer: &[u8], inputs: usize) -> Result<Part, JobFailure> {
    read_records(answer, inputs, &model.outputs)
        .map_err(|bad| JobFailure::Unreadable { what: bad.to_string() })
}

/// Another hub sent this job, maybe with tasks that are cancelled by now: its answer says little of these.
fn was_picked_up(tasks: &[ClaimedTask]) -> bool {
    tasks.first().is_some_and(|task| task.remote_job.is_some())
}

/// Its tasks go to another job, in an attempt of their own, and it is nobody's failure.
fn anew(failure: &JobFailure) -> JobFailure {
    tracing::info!(failure = failure.harmless(), "a job that was picked up is done anew");
    JobFailure::GivenBack { after: Duration::ZERO }
}

/// The rows of a job as what is done of its tasks, which have these keys and attempts.
fn take_apart(model: &Model, keys: Claims, sent: Vec<Sent>, part: Part) -> Vec<TaskDone> {
    let counts: Vec<usize> = sent.iter().map(Sent::count).collect();
    let parts = cut(part, &counts);
    let mut done = Vec::with_capacity(keys.len());
    for (((key, attempt), sent), fresh) in keys.into_iter().zip(sent).zip(parts) {
        let Sent::Missing { known, hashes, .. } = sent else {
            let part = Arc::new(fresh);
            done.push(TaskDone { key, attempt, part, cached: 0, predictions: vec![] });
            continue;
        };
        let new: Vec<bool> = known.iter().map(Option::is_none).collect();
        let by_heart = |known: &&Option<Known>| matches!(known, Some((_, Row::Values(_))));
        let cached = known.iter().filter(by_heart).count() as u64;
        let part = if new.iter().all(|new| *new) {
            Some(fresh)
        } else {
            let Part { columns, rows } = fresh;
            merge(known, &columns, &mut rows.into_iter(), &model.outputs)
        };
        let Some(part) = part else { continue };
        let keep = |n: &usize| new[*n] && matches!(part.rows[*n], Row::Values(_));
        let predictions = (0..hashes.len()).filter(keep).map(|n| (hashes[n], n)).collect();
        done.push(TaskDone { key, attempt, part: Arc::new(part), cached, predictions });
    }
    done
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

fn tell(search: &mut Bisection, failure: &JobFailure) -> Verdict {
    match failure {
        JobFailure::TooLong { .. } => search.too_much(&reason(failure)),
        failure => search.failed(&reason(failure)),
    }
}

fn is_models(failure: &JobFailure) -> bool {
    matches!(failure, JobFailure::Model { .. })
}

/// What a single input gets to read of its failure.
fn of_one_input(failure: JobFailure) -> String {
    match failure {
        JobFailure::Model { error } => error,
        failure => reason(&failure),
    }
}

/// The key of an input's prediction.
fn hash(input: &str) -> [u8; 32] {
    Sha256::digest(input.as_bytes()).into()
}

fn damaged() -> JobFailure {
    JobFailure::Storage { what: "they are damaged".into() }
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
