//! What became of claimed tasks: done, or back to the queue. Every write names the attempt it belongs
//! to; one that is not the current one changes nothing (I-11).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::FutureExt;
use muster_core::retry::Retry;
use muster_core::{Ended, ModelId, Part, Request, Row, TaskKey};
use serde::Serialize;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::batch;
use crate::db::batch::Hex;
use crate::db::conn::on;
use crate::db::dialect;
use crate::db::dialect::Done;
use crate::db::statement::rows;
use crate::requests::end::{end, note_ended};
use crate::requests::parts;
use crate::requests::{RequestRow, request};
use crate::writer::{Tx, work};
use crate::{Change, Error, Store, TaskBack, TaskDone, aside_if, crash_point};

/// As in `Batches::done`, for tasks that are not done.
const IDLE: &str = "UPDATE instance SET idle_since = $1, caller = NULL, caller_until = NULL \
     WHERE id = (SELECT instance_id FROM task WHERE request_id = $2 AND position = $3) \
     AND NOT EXISTS (SELECT 1 FROM task WHERE instance_id = instance.id AND state = 'leased')";

const BACK: &str = "UPDATE task SET state = 'queued', lease_until = NULL, remote_job = NULL, \
     not_before = $1, failures = failures + $2 \
     WHERE request_id = $3 AND position = $4 AND attempt = $5 AND state = 'leased' \
     RETURNING model_id";

/// A part as it is stored.
enum Stored {
    Inline(Vec<u8>),
    Object { path: String, sha: [u8; 32] },
}

struct Prepared {
    task: TaskDone,
    stored: Stored,
    /// What is stored of it.
    bytes: u64,
    columns: String,
    /// Hash and one-row part of each prediction to keep.
    keep: Vec<([u8; 32], Vec<u8>)>,
}

/// A task that is done, as `Batches::done` reads it.
#[derive(Serialize)]
struct DoneRow<'d> {
    #[serde(serialize_with = "batch::id")]
    j_request: Uuid,
    j_position: u32,
    j_attempt: u32,
    j_result: Option<Hex<'d>>,
    j_object: Option<&'d str>,
    j_sha: Option<Hex<'d>>,
    j_columns: &'d str,
}

/// With what its request gains, as `Done::Together` reads it.
#[derive(Serialize)]
struct GainRow<'d> {
    #[serde(flatten)]
    task: DoneRow<'d>,
    j_done: usize,
    j_failed: u64,
    j_cached: u64,
    j_bytes: u64,
}

/// What a request gained, as `Done::Apart` reads it.
#[derive(Serialize)]
struct ProgressRow {
    #[serde(serialize_with = "batch::id")]
    j_request: Uuid,
    j_done: u64,
    j_failed: u64,
    j_cached: u64,
    j_tasks: u64,
    j_bytes: u64,
}

/// A prediction, as `Batches::keep` reads it.
#[derive(Serialize)]
struct KeptRow<'k> {
    j_model: &'k str,
    j_version: &'k str,
    j_hash: Hex<'k>,
    j_part: Hex<'k>,
}

impl<'d> DoneRow<'d> {
    fn of(done: &'d Prepared) -> Self {
        let (result, object, sha) = match &done.stored {
            Stored::Inline(bytes) => (Some(Hex(bytes)), None, None),
            Stored::Object { path, sha } => (None, Some(path.as_str()), Some(Hex(sha))),
        };
        Self {
            j_request: done.task.key.request.0,
            j_position: done.task.key.position,
            j_attempt: done.task.attempt,
            j_result: result,
            j_object: object,
            j_sha: sha,
            j_columns: &done.columns,
        }
    }
}

impl<'d> GainRow<'d> {
    fn of(done: &'d Prepared) -> Self {
        Self {
            task: DoneRow::of(done),
            j_done: done.task.part.rows.len(),
            j_failed: done.task.part.failed(),
            j_cached: done.task.cached,
            j_bytes: done.bytes,
        }
    }
}

impl ProgressRow {
    fn of(request: Uuid) -> Self {
        Self { j_request: request, j_done: 0, j_failed: 0, j_cached: 0, j_tasks: 0, j_bytes: 0 }
    }

    fn add(&mut self, done: &Prepared) {
        let task = &done.task;
        self.j_done += task.part.rows.len() as u64;
        self.j_failed += task.part.failed();
        self.j_cached += task.cached;
        self.j_tasks += 1;
        self.j_bytes += done.bytes;
    }
}

impl Store {
    /// Stores the rows of tasks; false for those that are no longer the caller's. The request ends
    /// with its last task.
    pub async fn complete(&self, done: Vec<TaskDone>) -> Result<Vec<bool>, Error> {
        let mut prepared = Vec::with_capacity(done.len());
        for task in done {
            prepared.push(self.prepare_done(task).await?);
        }
        let prepared = Arc::new(prepared);
        let (op, answer) = work(move |tx: &mut Tx| {
            let prepared = Arc::clone(&prepared);
            async move { store_done(tx, &prepared).await }.boxed()
        });
        self.answer(op, answer).await
    }

    async fn prepare_done(&self, task: TaskDone) -> Result<Prepared, Error> {
        let (weight, inline) = (parts::weight(&task.part), self.inner.inline_bytes);
        let (prepared, object) = aside_if(weight, move || encode(task, inline)).await?;
        if let (Stored::Object { path, .. }, Some(bytes)) = (&prepared.stored, object) {
            self.inner.objects.put(path, bytes.into()).await?;
            crash_point("after-result-object-before-commit");
        }
        Ok(prepared)
    }

    /// Gives tasks back: to the queue, or as the end of their request.
    pub async fn give_back(&self, tasks: Vec<TaskBack>) -> Result<(), Error> {
        let tasks = Arc::new(tasks);
        let (op, answer) = work(move |tx: &mut Tx| {
            let tasks = Arc::clone(&tasks);
            async move {
                let mut failed = 0;
                for task in tasks.iter() {
                    failed += u64::from(back(tx, task).await?);
                }
                if let Some(task) = tasks.last() {
                    note_idle(tx, task.key).await?;
                }
                Ok(failed)
            }
            .boxed()
        });
        let failed = self.answer(op, answer).await?;
        self.inner.counters.failed.add(failed);
        Ok(())
    }
}

/// A part as it is stored, and its object, if it is large.
fn encode(task: TaskDone, inline_bytes: usize) -> Result<(Prepared, Option<Vec<u8>>), Error> {
    let part = &task.part;
    let columns = parts::columns_text(part)?;
    let inline = parts::encode(part)?;
    let (stored, bytes, object) = if inline.len() <= inline_bytes {
        let bytes = inline.len();
        (Stored::Inline(inline), bytes, None)
    } else {
        let object = parts::to_parquet(part)?;
        let sha = parts::sha(&object);
        let TaskKey { request, position } = task.key;
        let path = format!("results/{request}/{position}-{}.parquet", task.attempt);
        (Stored::Object { path, sha }, object.len(), Some(object))
    };
    let mut keep = Vec::with_capacity(task.predictions.len());
    for (hash, row) in &task.predictions {
        if let Some(row @ Row::Values(_)) = part.rows.get(*row) {
            let one = Part { columns: part.columns.clone(), rows: vec![row.clone()] };
            keep.push((*hash, parts::encode(&one)?));
        }
    }
    Ok((Prepared { stored, bytes: bytes as u64, columns, keep, task }, object))
}

/// What was stored of tasks that are done.
#[derive(Default)]
struct Advanced {
    /// Those that were the caller's.
    ours: HashSet<(Uuid, i64)>,
    /// Their requests, as they are now.
    requests: HashMap<Uuid, Arc<Request>>,
}

/// A request with one of its tasks that are done.
struct AdvancedRow {
    request: RequestRow,
    position: i64,
}

impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for AdvancedRow
where
    RequestRow: sqlx::FromRow<'r, R>,
    usize: sqlx::ColumnIndex<R>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let position = row.try_get(row.len() - 1)?;
        Ok(Self { request: RequestRow::from_row(row)?, position })
    }
}

async fn together(tx: &mut Tx, done: &[Prepared], text: &'static str) -> Result<Advanced, Error> {
    let mut advanced = Advanced::default();
    for rows in batch::texts(done.iter().map(GainRow::of))? {
        let found: Vec<AdvancedRow> = rows!(&mut tx.conn, text, rows, Ts(tx.now));
        for AdvancedRow { request: row, position } in found {
            let request = request(row)?;
            advanced.ours.insert((request.id.0, position));
            advanced.requests.insert(request.id.0, Arc::new(request));
        }
    }
    Ok(advanced)
}

async fn apart(
    tx: &mut Tx,
    done: &[Prepared],
    (tasks, requests): (&'static str, &'static str),
    is_last: bool,
) -> Result<Advanced, Error> {
    let mut advanced = Advanced::default();
    let mut instance = None;
    for rows in batch::texts(done.iter().map(DoneRow::of))? {
        let text = tx.conn.joined(tasks, false);
        let some: Vec<(Uuid, i64, Option<Uuid>)> = rows!(&mut tx.conn, text, rows);
        for (request, position, by) in some {
            advanced.ours.insert((request, position));
            instance = by.or(instance);
        }
    }
    let mut progress: BTreeMap<Uuid, ProgressRow> = BTreeMap::new();
    for done in done.iter().filter(|done| advanced.ours.contains(&place(done))) {
        let request = done.task.key.request.0;
        progress.entry(request).or_insert_with(|| ProgressRow::of(request)).add(done);
    }
    let mut all = batch::texts(progress.values())?.into_iter().peekable();
    while let Some(rows) = all.next() {
        let text = tx.conn.joined(requests, is_last && all.peek().is_none());
        let found: Vec<RequestRow> = rows!(&mut tx.conn, text, rows, Ts(tx.now), instance);
        for row in found {
            let request = request(row)?;
            advanced.requests.insert(request.id.0, Arc::new(request));
        }
    }
    Ok(advanced)
}

/// The tasks and their requests, then the predictions: each all at once. Which ones were the caller's?
async fn store_done(tx: &mut Tx, done: &[Prepared]) -> Result<Vec<bool>, Error> {
    let batches = dialect::batches(tx.conn.is_postgres());
    let keeps = done.iter().any(|done| !done.keep.is_empty());
    let Advanced { ours, requests } = match batches.done {
        Done::Apart { tasks, requests } => {
            let is_last = tx.is_last && !keeps;
            apart(tx, done, (tasks, requests), is_last).await?
        }
        Done::Together(text) => together(tx, done, text).await?,
    };
    let is_ours = |done: &Prepared| ours.contains(&place(done));
    let mut taken = Vec::with_capacity(done.len());
    let mut keep = Vec::new();
    for done in done {
        tx.after.stale += u64::from(!is_ours(done));
        let request = requests.get(&done.task.key.request.0).filter(|_| is_ours(done));
        taken.push(request.is_some());
        let Some(request) = request else { continue };
        keep.extend(done.keep.iter().map(|(hash, part)| KeptRow {
            j_model: request.model.as_str(),
            j_version: &request.model_version,
            j_hash: Hex(hash),
            j_part: Hex(part),
        }));
    }
    let mut all = batch::texts(keep)?.into_iter().peekable();
    while let Some(rows) = all.next() {
        let is_last = tx.is_last && all.peek().is_none();
        let text = tx.conn.joined(batches.keep, is_last);
        on!(&mut tx.conn, c => {
            sqlx::query(text).bind(rows).bind(Ts(tx.now)).execute(c).await.map(|_| ())?
        });
    }
    note_requests(tx, done, requests);
    Ok(taken)
}

/// Tells of requests that ended, or got further.
fn note_requests(tx: &mut Tx, done: &[Prepared], mut requests: HashMap<Uuid, Arc<Request>>) {
    for done in done {
        let Some(request) = requests.remove(&done.task.key.request.0) else { continue };
        if request.phase.is_ended() {
            let whole = done.task.part.rows.len() as u64 == request.progress.inputs;
            note_ended(tx, request, whole.then(|| Arc::clone(&done.task.part)));
        } else {
            let (id, principal) = (request.id, request.principal);
            tx.after.changes.push(Change::Progress { id, principal });
        }
    }
}

fn place(done: &Prepared) -> (Uuid, i64) {
    (done.task.key.request.0, i64::from(done.task.key.position))
}

/// The instance of this task may have become idle.
async fn note_idle(tx: &mut Tx, key: TaskKey) -> Result<(), Error> {
    let now = tx.now;
    on!(&mut tx.conn, c => {
        sqlx::query(IDLE)
            .bind(Ts(now))
            .bind(key.request.0)
            .bind(i64::from(key.position))
            .execute(c)
            .await
            .map(|_| ())?
    });
    Ok(())
}

/// True if this failed the request.
async fn back(tx: &mut Tx, task: &TaskBack) -> Result<bool, Error> {
    let (after, counts, fail) = match &task.retry {
        Retry::Again { after, counts } => (*after, *counts, None),
        Retry::Fail { cause, reason } => {
            (std::time::Duration::ZERO, true, Some((*cause, reason.clone())))
        }
    };
    let not_before = tx.now + after;
    let model: Option<String> = on!(&mut tx.conn, c => {
        sqlx::query_scalar(BACK)
            .bind(Ts(not_before))
            .bind(i64::from(counts))
            .bind(task.key.request.0)
            .bind(i64::from(task.key.position))
            .bind(i64::from(task.attempt))
            .fetch_optional(c)
            .await?
    });
    let Some(model) = model else {
        tx.after.stale += 1;
        return Ok(false);
    };
    if let Some((cause, reason)) = fail {
        return end(tx, task.key.request, Ended::Failed { reason }, cause).await;
    }
    let model: ModelId = model.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
    tx.after.queued.push((model, not_before));
    Ok(false)
}
