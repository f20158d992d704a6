//! Taking a request in.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use muster_core::rank::ranks;
use muster_core::request::{Phase, Progress};
use muster_core::slice::slices;
use muster_core::{Ended, ModelId, Part, PrincipalId, Request, RequestId, Row};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::batch;
use crate::db::batch::Hex;
use crate::db::conn::on;
use crate::db::dialect;
use crate::db::statement::row;
use crate::db::text;
use crate::requests::pack::{Packer, PreparedTask};
use crate::requests::parts;
use crate::requests::{COLUMNS_SQL, RequestRow};
use crate::writer::{Op, Tx, Work};
use crate::{Change, Error, Finished, NewRequest, Store, Submitted, aside_if, crash_point};

/// Requests up to this size are answered from known predictions at submission.
const LOOK_UP: usize = 1000;

/// How often a request is prepared for a model that is changed meanwhile.
const TRIES: u32 = 3;

/// No rows.
const NONE: &str = "[]";

const OFFERED: &str = "SELECT version, disabled FROM model WHERE id = $1 AND enabled";

const FIND_KEY: &str = "SELECT id, body_hash FROM request \
     WHERE principal_id = $1 AND idempotency_key = $2";

/// A request ready to be written: its tasks with their inputs as they are stored.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub id: RequestId,
    pub principal: PrincipalId,
    pub model: Arc<muster_core::Model>,
    pub key: Option<String>,
    pub body_hash: [u8; 32],
    pub reading: String,
    pub label: Option<String>,
    pub use_cache: bool,
    pub inputs: u64,
    pub tasks: Arc<Vec<PreparedTask>>,
    pub object: Option<(String, [u8; 32])>,
    pub input_bytes: u64,
    /// The whole result, when all inputs were known.
    pub known: Option<KnownResult>,
}

/// A result and how it is stored.
#[derive(Clone)]
pub(crate) struct KnownResult {
    part: Arc<Part>,
    encoded: Vec<u8>,
    columns: String,
}

/// A submission on its way to the writer.
pub(crate) struct Submission {
    pub new: Arc<Prepared>,
    pub reply: oneshot::Sender<Taken>,
}

/// Several of them in one go.
pub(crate) struct Submissions {
    all: Vec<Submission>,
    taken: Vec<Taken>,
}

impl Submissions {
    pub(crate) fn new(all: Vec<Submission>) -> Box<Self> {
        Box::new(Self { all, taken: Vec::new() })
    }
}

impl Work for Submissions {
    fn apply<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let new: Vec<Arc<Prepared>> = self.all.iter().map(|one| Arc::clone(&one.new)).collect();
            self.taken = insert(tx, &new).await?;
            Ok(())
        })
    }

    fn finish(self: Box<Self>, outcome: Result<(), Error>) {
        let mut taken = self.taken.into_iter();
        for one in self.all {
            let taken = taken.next();
            let taken = taken.unwrap_or(Err(Error::unavailable("the transaction did not run")));
            // Whoever asked may have left; the work is done all the same.
            drop(one.reply.send(outcome.clone().and(taken)));
        }
    }

    fn parts(&self) -> usize {
        self.all.len()
    }

    fn split(self: Box<Self>) -> Vec<Box<dyn Work>> {
        let alone = |one| Submissions::new(vec![one]) as Box<dyn Work>;
        self.all.into_iter().map(alone).collect()
    }
}

/// A request, as `Batches::submit` reads it.
#[derive(Serialize)]
struct RequestRowIn<'n> {
    #[serde(serialize_with = "batch::id")]
    j_id: Uuid,
    #[serde(serialize_with = "batch::id")]
    j_principal: Uuid,
    j_model: &'n str,
    j_version: &'n str,
    j_phase: &'static str,
    j_inputs: u64,
    j_done: u64,
    j_open: usize,
    j_reading: &'n str,
    j_input_bytes: u64,
    j_result_bytes: usize,
    j_object: Option<&'n str>,
    j_sha: Option<Hex<'n>>,
    j_key: Option<&'n str>,
    j_body: Hex<'n>,
    j_label: Option<&'n str>,
    j_label_key: Option<String>,
}

/// A task, as `Batches::submit` reads it.
#[derive(Serialize)]
struct TaskRowIn<'n> {
    #[serde(serialize_with = "batch::id")]
    j_request: Uuid,
    j_position: usize,
    j_model: &'n str,
    j_version: &'n str,
    #[serde(serialize_with = "batch::id")]
    j_principal: Uuid,
    j_state: &'static str,
    j_inputs: u64,
    j_rank: i64,
    j_rank_end: i64,
    j_use_cache: bool,
    j_input: Option<Hex<'n>>,
    j_input_at: Option<i64>,
    j_input_len: Option<i64>,
    j_records: Option<Hex<'n>>,
    j_records_at: Option<i64>,
    j_records_len: Option<i64>,
    j_result: Option<Hex<'n>>,
    j_columns: Option<&'n str>,
}

/// Whose backlog, as `Batches::backlog` reads it.
#[derive(Serialize)]
struct BacklogRow {
    #[serde(serialize_with = "batch::id")]
    j_principal: Uuid,
    j_model: String,
}

impl<'n> RequestRowIn<'n> {
    fn of(new: &'n Prepared) -> Self {
        let known = new.known.is_some();
        let object = new.object.as_ref();
        Self {
            j_id: new.id.0,
            j_principal: new.principal.0,
            j_model: new.model.id.as_str(),
            j_version: &new.model.version,
            j_phase: if known { "completed" } else { "waiting" },
            j_inputs: new.inputs,
            j_done: if known { new.inputs } else { 0 },
            j_open: if known { 0 } else { new.tasks.len() },
            j_reading: &new.reading,
            j_input_bytes: new.input_bytes,
            j_result_bytes: new.known.as_ref().map_or(0, |known| known.encoded.len()),
            j_object: object.map(|(path, _)| path.as_str()),
            j_sha: object.map(|(_, sha)| Hex(sha)),
            j_key: new.key.as_deref(),
            j_body: Hex(&new.body_hash),
            j_label: new.label.as_deref(),
            j_label_key: new.label.as_deref().map(str::to_lowercase),
        }
    }
}

impl Store {
    /// Takes a request in: when this returns it is on disk.
    pub async fn submit(&self, new: NewRequest) -> Result<Submitted, Error> {
        let id = new.id;
        let ended = self.inner.waiters.register(id);
        let prepared = self.prepare(new).await?;
        let take = |new| async move {
            let (reply, answer) = oneshot::channel();
            self.answer(Op::Submit(Submission { new, reply }), answer).await
        };
        let (request, created) = self.for_today(prepared, take).await?;
        crash_point("after-commit-before-reply");
        if created {
            self.inner.counters.submitted.add(1);
            return Ok(Submitted { request, created, ended });
        }
        let ended = self.inner.waiters.register(request.id);
        // It may have ended before anybody was told that somebody waits.
        let now = self.find_request(request.principal, request.id).await?;
        Ok(Submitted { request: now.unwrap_or(request), created, ended })
    }

    /// Has the request taken; once more, for the model as it is then, if that was changed meanwhile.
    pub(crate) async fn for_today<T, F: Future<Output = Result<T, Error>>>(
        &self,
        new: Prepared,
        take: impl Fn(Arc<Prepared>) -> F,
    ) -> Result<T, Error> {
        let mut new = Arc::new(new);
        for _ in 0..TRIES {
            match take(Arc::clone(&new)).await {
                Err(Error::ModelChanged) => {}
                taken => return taken,
            }
            self.load_models().await?;
            let model = self.find_model(&new.model.id);
            let model = model.ok_or(Error::NotOffered { disabled: None })?;
            // What was known is of the version that it was looked up for.
            new = Arc::new(Prepared { model, known: None, ..(*new).clone() });
        }
        Err(Error::unavailable("the model is changed all the time"))
    }

    /// Cuts the request into tasks and puts big inputs into object storage.
    async fn prepare(&self, new: NewRequest) -> Result<Prepared, Error> {
        new.key.as_deref().map(text::exact).transpose()?;
        new.label.as_deref().map(text::exact).transpose()?;
        let (bytes, inline) = (total(&new), self.inner.inline_bytes);
        let Packed { new, hashes, mut packer } = aside_if(bytes, move || pack(new, inline)).await?;
        let known = self.all_known(&new, hashes).await?;
        let object = packer.put(self).await?;
        Ok(Prepared {
            id: new.id,
            principal: new.principal,
            reading: serde_json::to_string(&new.reading)
                .map_err(|e| Error::Refused(e.to_string()))?,
            label: new.label,
            inputs: new.inputs.inputs.len() as u64,
            model: new.model,
            key: new.key,
            body_hash: new.body_hash,
            use_cache: new.use_cache,
            tasks: Arc::new(packer.tasks),
            object,
            input_bytes: packer.bytes,
            known,
        })
    }

    /// The result of a small request of one task, if every input has a known prediction.
    async fn all_known(
        &self,
        new: &NewRequest,
        hashes: Option<Vec<[u8; 32]>>,
    ) -> Result<Option<KnownResult>, Error> {
        let Some(hashes) = hashes else { return Ok(None) };
        let known = self.predictions_or_none(&new.model.id, &new.model.version, &hashes).await?;
        let Some(known) = known else { return Ok(None) };
        let mut table = muster_core::answer::Table::new(known.len(), &new.model.outputs);
        for (columns, row) in known {
            let Row::Values(cells) = row else { return Ok(None) };
            table.record(columns.iter().map(|(name, _)| name.as_str()).zip(cells));
        }
        let Ok(part) = table.finish() else { return Ok(None) };
        let (encoded, columns) = (parts::encode(&part)?, parts::columns_text(&part)?);
        Ok(Some(KnownResult { part: Arc::new(part), encoded, columns }))
    }
}

/// Bytes of inputs and records.
fn total(new: &NewRequest) -> usize {
    new.inputs.inputs.bytes() + new.inputs.records.as_ref().map_or(0, |records| records.bytes())
}

/// A request with its inputs as they are stored.
struct Packed {
    new: NewRequest,
    /// Of the inputs, if they may be known.
    hashes: Option<Vec<[u8; 32]>>,
    packer: Packer,
}

fn pack(new: NewRequest, inline_bytes: usize) -> Result<Packed, Error> {
    let texts = &new.inputs.inputs;
    let records = new.inputs.records.as_ref();
    let mut packer = Packer::new(new.id, total(&new) <= inline_bytes);
    for slice in slices(texts.len() as u64, &new.model.limits) {
        let range = slice.start as usize..slice.end as usize;
        let array = parts::input_array(texts, range.clone())?;
        let lines = records.map(|records| parts::record_lines(records, range));
        packer.add(slice.end - slice.start, array, lines);
    }
    packer.end();
    let one_task = packer.tasks.len() == 1;
    let looked_up = new.model.cache && new.use_cache && texts.len() <= LOOK_UP && one_task;
    let hash = |input: &str| Sha256::digest(input.as_bytes()).into();
    let hashes = looked_up.then(|| texts.iter().map(hash).collect());
    Ok(Packed { new, hashes, packer })
}

/// What became of one submission, and whether it is new.
pub(crate) type Taken = Result<(Arc<Request>, bool), Error>;

/// Takes requests in, all at once. The error is that of the transaction; each request has its own.
pub(crate) async fn insert(tx: &mut Tx, new: &[Arc<Prepared>]) -> Result<Vec<Taken>, Error> {
    find_backlogs(tx, new).await?;
    let mut requests = batch::texts(new.iter().map(|new| RequestRowIn::of(new)))?;
    let mut tasks = task_texts(tx, new)?.into_iter();
    let last = requests.pop();
    // Tasks come with the last requests or after them.
    let mut texts: Vec<(String, Option<String>)> =
        requests.into_iter().map(|rows| (rows, None)).collect();
    texts.extend(last.map(|rows| (rows, tasks.next())));
    texts.extend(tasks.map(|rows| (NONE.to_owned(), Some(rows))));
    let submit = dialect::batches(tx.conn.is_postgres()).submit;
    let mut inserted: HashSet<Uuid> = HashSet::new();
    for (requests, tasks) in texts {
        let text = tx.conn.joined(submit, false);
        let some: Vec<Uuid> = on!(&mut tx.conn, c => {
            sqlx::query_scalar(text)
                .bind(requests)
                .bind(Ts(tx.now))
                .bind(tasks.unwrap_or_else(|| NONE.to_owned()))
                .fetch_all(c)
                .await?
        });
        inserted.extend(some);
    }
    let mut taken = Vec::with_capacity(new.len());
    for new in new {
        taken.push(if inserted.contains(&new.id.0) {
            Ok((note_submitted(tx, new), true))
        } else {
            not_inserted(tx, new).await?
        });
    }
    Ok(taken)
}

fn note_submitted(tx: &mut Tx, new: &Prepared) -> Arc<Request> {
    let now = tx.now;
    let done = if new.known.is_some() { new.inputs } else { 0 };
    let phase = match new.known {
        Some(_) => Phase::Ended { started_at: None, ended_at: now, how: Ended::Completed },
        None => Phase::Waiting,
    };
    let request = Arc::new(Request {
        id: new.id,
        principal: new.principal,
        model: new.model.id.clone(),
        model_version: new.model.version.clone(),
        submitted_at: now,
        phase,
        progress: Progress { inputs: new.inputs, done, failed: 0, cached: done },
        reading: serde_json::from_str(&new.reading).unwrap_or_default(),
        label: new.label.clone(),
    });
    let change =
        Change::Request { id: new.id, principal: new.principal, phase: request.phase.in_a_word() };
    tx.after.changes.push(change);
    if let Some(known) = &new.known {
        let part = Some(Arc::clone(&known.part));
        let finished = Finished { request: Arc::clone(&request), part };
        tx.after.ended.push(finished);
    } else {
        tx.after.queued.push((new.model.id.clone(), now));
    }
    request
}

/// The rows of the requests' tasks, each with its place in the queue.
fn task_texts(tx: &mut Tx, new: &[Arc<Prepared>]) -> Result<Vec<String>, Error> {
    let now = tx.now;
    let mut rows = Vec::with_capacity(new.len());
    for new in new {
        let known = new.known.as_ref();
        let backlog = tx.backlogs.entry((new.principal, new.model.id.clone())).or_default();
        let ranks = ranks(now, *backlog, new.tasks.iter().map(|task| task.count));
        for (position, (task, rank)) in new.tasks.iter().zip(ranks).enumerate() {
            if known.is_none() {
                *backlog = Some(rank.end);
            }
            let (input, input_range) = task.input.columns();
            let (records, records_range) = match &task.records {
                Some(records) => records.columns(),
                None => (None, None),
            };
            rows.push(TaskRowIn {
                j_request: new.id.0,
                j_position: position,
                j_model: new.model.id.as_str(),
                j_version: &new.model.version,
                j_principal: new.principal.0,
                j_state: if known.is_some() { "done" } else { "queued" },
                j_inputs: task.count,
                j_rank: rank.start.micros(),
                j_rank_end: rank.end.micros(),
                j_use_cache: new.use_cache,
                j_input: input.map(Hex),
                j_input_at: input_range.map(|(at, _)| at),
                j_input_len: input_range.map(|(_, len)| len),
                j_records: records.map(Hex),
                j_records_at: records_range.map(|(at, _)| at),
                j_records_len: records_range.map(|(_, len)| len),
                j_result: known.map(|known| Hex(&known.encoded)),
                j_columns: known.map(|known| known.columns.as_str()),
            });
        }
    }
    batch::texts(rows)
}

/// Where each person's backlog at a model ends; asked once a transaction, and not at all when
/// nothing is queued.
async fn find_backlogs(tx: &mut Tx, new: &[Arc<Prepared>]) -> Result<(), Error> {
    let is_quiet = |model: &ModelId| {
        tx.quiet.contains(model) && tx.after.queued.iter().all(|(queued, _)| queued != model)
    };
    let mut asked: Vec<(PrincipalId, &ModelId)> = new
        .iter()
        .map(|new| (new.principal, &new.model.id))
        .filter(|(principal, model)| {
            !is_quiet(model) && !tx.backlogs.contains_key(&(*principal, (*model).clone()))
        })
        .collect();
    asked.sort();
    asked.dedup();
    let row = |(principal, model): &(PrincipalId, &ModelId)| BacklogRow {
        j_principal: principal.0,
        j_model: model.to_string(),
    };
    let batches = dialect::batches(tx.conn.is_postgres());
    let mut ends: Vec<Option<Ts>> = Vec::with_capacity(asked.len());
    for rows in batch::texts(asked.iter().map(row))? {
        let some: Vec<Option<Ts>> = on!(&mut tx.conn, c => {
            sqlx::query_scalar(batches.backlog).bind(rows).fetch_all(c).await?
        });
        ends.extend(some);
    }
    for ((principal, model), end) in asked.into_iter().zip(ends) {
        tx.backlogs.insert((principal, model.clone()), end.map(|end| end.0));
    }
    Ok(())
}

/// Its key is taken, and the same body means the same request; or its model is another one by now. The
/// error is that of the transaction.
async fn not_inserted(tx: &mut Tx, new: &Prepared) -> Result<Taken, Error> {
    let found: Option<(Uuid, Vec<u8>)> = on!(&mut tx.conn, c => {
        sqlx::query_as(FIND_KEY)
            .bind(new.principal.0)
            .bind(new.key.as_deref())
            .fetch_optional(c)
            .await?
    });
    let Some((id, body_hash)) = found else { return Ok(Err(why_not(tx, new).await?)) };
    if body_hash != new.body_hash {
        return Ok(Err(Error::KeyReused));
    }
    let row: RequestRow = on!(&mut tx.conn, c => {
        sqlx::query_as(COLUMNS_SQL).bind(id).fetch_one(c).await?
    });
    Ok(Ok((Arc::new(crate::requests::request(row)?), false)))
}

/// Why a request whose key is free was not taken. The error is that of the transaction.
async fn why_not(tx: &mut Tx, new: &Prepared) -> Result<Error, Error> {
    let offered: Option<(String, Option<String>)> =
        row!(&mut tx.conn, OFFERED, new.model.id.as_str());
    Ok(match offered {
        None => Error::NotOffered { disabled: None },
        Some((_, disabled @ Some(_))) => Error::NotOffered { disabled },
        Some((version, None)) if version != new.model.version => Error::ModelChanged,
        // In another transaction it goes, or it is there again.
        Some(_) => {
            return Err(Error::unavailable("the request with this key is just being removed"));
        }
    })
}
