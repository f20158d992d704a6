//! Taking a request in.

use std::sync::Arc;

use futures::FutureExt;
use muster_core::rank::ranks;
use muster_core::request::{Phase, Progress};
use muster_core::slice::slices;
use muster_core::{Part, PrincipalId, Request, RequestId, Row, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::db::{Ts, on};
use crate::objects::seal;
use crate::requests::{COLUMNS_SQL, RequestRow};
use crate::writer::{Tx, work};
use crate::{Change, Error, Finished, NewRequest, Store, Submitted, parts, text};

/// Requests up to this size are answered from known predictions at submission.
const LOOK_UP: usize = 1000;

const INSERT_REQUEST: &str = "INSERT INTO request (id, principal_id, model_id, model_version, phase, \
     submitted_at, started_at, ended_at, reason, inputs, done, failed, cached, open_tasks, reading, \
     input_object, input_sha, idempotency_key, body_hash, version) \
     VALUES ($1, $2, $3, $4, $5, $6, NULL, $7, NULL, $8, $9, 0, $9, $10, $11, $12, $13, $14, $15, 1) \
     ON CONFLICT (principal_id, idempotency_key) DO NOTHING";

const INSERT_TASK: &str = "INSERT INTO task (request_id, position, model_id, model_version, \
     principal_id, state, inputs, rank, rank_end, not_before, attempt, failures, use_cache, input, \
     input_at, input_len, records, records_at, records_len, result, result_columns) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

const BACKLOG: &str = "SELECT MAX(rank_end) FROM task \
     WHERE principal_id = $1 AND model_id = $2 AND state = 'queued'";

const FIND_KEY: &str = "SELECT id, body_hash FROM request \
     WHERE principal_id = $1 AND idempotency_key = $2";

/// A request ready to be written: its tasks with their inputs as they are stored.
struct Prepared {
    id: RequestId,
    principal: PrincipalId,
    model: Arc<muster_core::Model>,
    key: Option<String>,
    body_hash: [u8; 32],
    reading: String,
    use_cache: bool,
    inputs: u64,
    tasks: Vec<PreparedTask>,
    object: Option<(String, [u8; 32])>,
    /// The whole result, when all inputs were known.
    known: Option<Arc<Part>>,
}

struct PreparedTask {
    count: u64,
    input: Stored,
    records: Option<Stored>,
}

enum Stored {
    Inline(Vec<u8>),
    Object { at: u64, len: u64 },
}

impl Store {
    /// Takes a request in: when this returns it is on disk.
    pub async fn submit(&self, new: NewRequest) -> Result<Submitted, Error> {
        let id = new.id;
        let ended = self.inner.waiters.register(id);
        let prepared = Arc::new(self.prepare(new).await?);
        let (op, answer) = work(move |tx: &mut Tx| {
            let prepared = Arc::clone(&prepared);
            async move { insert(tx, &prepared).await }.boxed()
        });
        let (request, created) = self.answer(op, answer).await?;
        if created {
            self.inner.counters.submitted.add(1);
            return Ok(Submitted { request, created, ended });
        }
        let ended = self.inner.waiters.register(request.id);
        Ok(Submitted { request, created, ended })
    }

    /// Cuts the request into tasks and puts big inputs into object storage.
    async fn prepare(&self, new: NewRequest) -> Result<Prepared, Error> {
        new.key.as_deref().map(text::exact).transpose()?;
        let texts = &new.inputs.inputs;
        let limits = &new.model.limits;
        let records = new.inputs.records.as_ref();
        let mut tasks = Vec::new();
        let mut object = Vec::new();
        let path = format!("inputs/{}", new.id);
        let total = texts.bytes() + records.map_or(0, |records| records.bytes());
        let inline = total <= self.inner.inline_bytes;
        for slice in slices(texts.len() as u64, limits) {
            let range = slice.start as usize..slice.end as usize;
            let array = parts::input_array(texts, range.clone())?;
            let lines = records.map(|records| parts::record_lines(records, range));
            let mut store = |bytes: Vec<u8>| {
                if inline {
                    return Stored::Inline(bytes);
                }
                let at = object.len() as u64;
                object.extend_from_slice(&bytes);
                object.extend_from_slice(&seal(&path, at, &bytes));
                Stored::Object { at, len: object.len() as u64 - at }
            };
            tasks.push(PreparedTask {
                count: slice.end - slice.start,
                input: store(array),
                records: lines.map(&mut store),
            });
        }
        let known = self.all_known(&new).await?;
        let object = if inline {
            None
        } else {
            let hash: [u8; 32] = Sha256::digest(&object).into();
            self.inner.objects.put(&path, object.into()).await?;
            Some((path, hash))
        };
        Ok(Prepared {
            id: new.id,
            principal: new.principal,
            reading: serde_json::to_string(&new.reading)
                .map_err(|e| Error::Refused(e.to_string()))?,
            inputs: texts.len() as u64,
            model: new.model,
            key: new.key,
            body_hash: new.body_hash,
            use_cache: new.use_cache,
            tasks,
            object,
            known,
        })
    }

    /// The result of a small request of one task, if every input has a known prediction.
    async fn all_known(&self, new: &NewRequest) -> Result<Option<Arc<Part>>, Error> {
        let texts = &new.inputs.inputs;
        let one_task = slices(texts.len() as u64, &new.model.limits).count() == 1;
        if !new.model.cache || !new.use_cache || texts.len() > LOOK_UP || !one_task {
            return Ok(None);
        }
        let hashes: Vec<[u8; 32]> =
            texts.iter().map(|input| Sha256::digest(input.as_bytes()).into()).collect();
        let known = self.predictions_or_none(&new.model.id, &new.model.version, &hashes).await?;
        let Some(known) = known else { return Ok(None) };
        let mut table = muster_core::answer::Table::new(known.len(), &new.model.outputs);
        for (columns, row) in known {
            let Row::Values(cells) = row else { return Ok(None) };
            table.record(columns.iter().map(|(name, _)| name.as_str()).zip(cells));
        }
        Ok(table.finish().ok().map(Arc::new))
    }
}

async fn insert(tx: &mut Tx, new: &Prepared) -> Result<(Arc<Request>, bool), Error> {
    let now = tx.now;
    let known = new.known.as_ref();
    let phase = if known.is_some() { "completed" } else { "waiting" };
    let done = if known.is_some() { new.inputs as i64 } else { 0 };
    let open = if known.is_some() { 0 } else { new.tasks.len() as i64 };
    let object = new.object.as_ref();
    let inserted = on!(&mut tx.conn, c => {
        sqlx::query(INSERT_REQUEST)
            .bind(new.id.0)
            .bind(new.principal.0)
            .bind(new.model.id.as_str())
            .bind(&new.model.version)
            .bind(phase)
            .bind(Ts(now))
            .bind(known.map(|_| Ts(now)))
            .bind(new.inputs as i64)
            .bind(done)
            .bind(open)
            .bind(&new.reading)
            .bind(object.map(|(path, _)| path.as_str()))
            .bind(object.map(|(_, hash)| hash.to_vec()))
            .bind(new.key.as_deref())
            .bind(new.body_hash.to_vec())
            .execute(c)
            .await?
            .rows_affected()
    });
    if inserted == 0 {
        return earlier(tx, new).await;
    }
    insert_tasks(tx, new).await?;
    let ended = known.map(|_| muster_core::Ended::Completed);
    let phase = match ended {
        Some(how) => Phase::Ended { started_at: None, ended_at: now, how },
        None => Phase::Waiting,
    };
    let request = Arc::new(Request {
        id: new.id,
        principal: new.principal,
        model: new.model.id.clone(),
        model_version: new.model.version.clone(),
        submitted_at: now,
        phase,
        progress: Progress {
            inputs: new.inputs,
            done: done as u64,
            failed: 0,
            cached: done as u64,
        },
        reading: serde_json::from_str(&new.reading).unwrap_or_default(),
    });
    let change =
        Change::Request { id: new.id, principal: new.principal, phase: request.phase.name() };
    tx.after.changes.push(change);
    if let Some(part) = known {
        let finished = Finished { request: Arc::clone(&request), part: Some(Arc::clone(part)) };
        tx.after.ended.push(finished);
    } else {
        tx.after.queued.push((new.model.id.clone(), now));
    }
    Ok((request, true))
}

async fn insert_tasks(tx: &mut Tx, new: &Prepared) -> Result<(), Error> {
    let now = tx.now;
    let backlog = backlog(tx, new).await?;
    let places: Vec<_> = ranks(now, backlog, new.tasks.iter().map(|task| task.count)).collect();
    let columns = match &new.known {
        Some(part) => Some((parts::encode(part)?, parts::columns_text(part)?)),
        None => None,
    };
    let state = if columns.is_some() { "done" } else { "queued" };
    for (position, (task, rank)) in new.tasks.iter().zip(&places).enumerate() {
        let (input, input_range) = task.input.columns();
        let (records, records_range) = match &task.records {
            Some(records) => records.columns(),
            None => (None, None),
        };
        on!(&mut tx.conn, c => {
            sqlx::query(INSERT_TASK)
                .bind(new.id.0)
                .bind(position as i64)
                .bind(new.model.id.as_str())
                .bind(&new.model.version)
                .bind(new.principal.0)
                .bind(state)
                .bind(task.count as i64)
                .bind(Ts(rank.start))
                .bind(Ts(rank.end))
                .bind(Ts(now))
                .bind(new.use_cache)
                .bind(input)
                .bind(input_range.map(|(at, _)| at))
                .bind(input_range.map(|(_, len)| len))
                .bind(records)
                .bind(records_range.map(|(at, _)| at))
                .bind(records_range.map(|(_, len)| len))
                .bind(columns.as_ref().map(|(result, _)| result.as_slice()))
                .bind(columns.as_ref().map(|(_, names)| names.as_str()))
                .execute(c)
                .await?;
        });
    }
    if new.known.is_none()
        && let Some(last) = places.last()
    {
        tx.backlogs.insert((new.principal, new.model.id.clone()), Some(last.end));
    }
    Ok(())
}

impl Stored {
    fn columns(&self) -> (Option<&[u8]>, Option<(i64, i64)>) {
        match self {
            Self::Inline(bytes) => (Some(bytes), None),
            Self::Object { at, len } => (None, Some((*at as i64, *len as i64))),
        }
    }
}

/// Where the person's backlog at this model ends; asked once a transaction.
async fn backlog(tx: &mut Tx, new: &Prepared) -> Result<Option<Timestamp>, Error> {
    let key = (new.principal, new.model.id.clone());
    if let Some(known) = tx.backlogs.get(&key) {
        return Ok(*known);
    }
    let end: Option<Ts> = on!(&mut tx.conn, c => {
        sqlx::query_scalar(BACKLOG)
            .bind(new.principal.0)
            .bind(new.model.id.as_str())
            .fetch_one(c)
            .await?
    });
    let end = end.map(|end| end.0);
    tx.backlogs.insert(key, end);
    Ok(end)
}

/// The key is taken: the same body means the same request.
async fn earlier(tx: &mut Tx, new: &Prepared) -> Result<(Arc<Request>, bool), Error> {
    let found: Option<(Uuid, Vec<u8>)> = on!(&mut tx.conn, c => {
        sqlx::query_as(FIND_KEY)
            .bind(new.principal.0)
            .bind(new.key.as_deref())
            .fetch_optional(c)
            .await?
    });
    let Some((id, body_hash)) = found else {
        return Err(Error::unavailable("the request with this key is just being removed"));
    };
    if body_hash != new.body_hash {
        return Err(Error::KeyReused);
    }
    let row: RequestRow = on!(&mut tx.conn, c => {
        sqlx::query_as(COLUMNS_SQL).bind(id).fetch_one(c).await?
    });
    Ok((Arc::new(crate::requests::request(row)?), false))
}
