//! What became of claimed tasks: done, or back to the queue. Every write names the attempt it belongs
//! to; one that is not the current one changes nothing (I-11).

use std::sync::Arc;

use futures::FutureExt;
use muster_core::retry::Retry;
use muster_core::{Ended, ModelId, Part, Request, Row, TaskKey};

use crate::db::{Ts, on};
use crate::requests::{RequestRow, columns, end, note_ended, request};
use crate::writer::{Tx, work};
use crate::{Change, Error, Store, TaskBack, TaskDone, parts};

const TASK_DONE: &str = "UPDATE task SET state = 'done', lease_until = NULL, result = $1, \
     result_object = $2, result_sha = $3, result_columns = $4 \
     WHERE request_id = $5 AND position = $6 AND attempt = $7 AND state = 'leased'";

const PROGRESS: &str = concat!(
    "UPDATE request SET done = done + $1, failed = failed + $2, cached = cached + $3, \
     open_tasks = open_tasks - 1, version = version + 1, \
     phase = CASE WHEN open_tasks = 1 THEN 'completed' ELSE phase END, \
     ended_at = CASE WHEN open_tasks = 1 THEN $4 ELSE ended_at END \
     WHERE id = $5 AND phase IN ('waiting', 'running') RETURNING ",
    columns!()
);

const KEEP: &str = "INSERT INTO prediction (model_id, model_version, input_hash, part, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (model_id, model_version, input_hash) DO NOTHING";

const IDLE: &str = "UPDATE instance SET idle_since = $1 WHERE id = (SELECT instance_id FROM task \
     WHERE request_id = $2 AND position = $3) AND NOT EXISTS (SELECT 1 FROM task \
     WHERE instance_id = instance.id AND state = 'leased')";

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
    columns: String,
    /// Hash and one-row part of each prediction to keep.
    keep: Vec<([u8; 32], Vec<u8>)>,
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
            async move {
                let mut taken = Vec::with_capacity(prepared.len());
                for done in prepared.iter() {
                    taken.push(store_done(tx, done).await?);
                }
                let mut mine = prepared.iter().zip(&taken).rev().filter(|(_, taken)| **taken);
                if let Some((done, _)) = mine.next() {
                    note_idle(tx, done.task.key).await?;
                }
                Ok(taken)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    async fn prepare_done(&self, task: TaskDone) -> Result<Prepared, Error> {
        let part = &task.part;
        let columns = parts::columns_text(part)?;
        let inline = parts::encode(part)?;
        let stored = if inline.len() <= self.inner.inline_bytes {
            Stored::Inline(inline)
        } else {
            let bytes = parts::to_parquet(part)?;
            let sha = parts::sha(&bytes);
            let TaskKey { request, position } = task.key;
            let path = format!("results/{request}/{position}-{}.parquet", task.attempt);
            self.inner.objects.put(&path, bytes.into()).await?;
            Stored::Object { path, sha }
        };
        let mut keep = Vec::with_capacity(task.predictions.len());
        for (hash, row) in &task.predictions {
            if let Some(row @ Row::Values(_)) = part.rows.get(*row) {
                let one = Part { columns: part.columns.clone(), rows: vec![row.clone()] };
                keep.push((*hash, parts::encode(&one)?));
            }
        }
        Ok(Prepared { stored, columns, keep, task })
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

async fn store_done(tx: &mut Tx, done: &Prepared) -> Result<bool, Error> {
    let task = &done.task;
    let (request_id, position) = (task.key.request.0, i64::from(task.key.position));
    let (result, object, sha) = match &done.stored {
        Stored::Inline(bytes) => (Some(bytes.as_slice()), None, None),
        Stored::Object { path, sha } => (None, Some(path.as_str()), Some(sha.as_slice())),
    };
    let now = tx.now;
    let updated = on!(&mut tx.conn, c => {
        sqlx::query(TASK_DONE)
            .bind(result)
            .bind(object)
            .bind(sha)
            .bind(&done.columns)
            .bind(request_id)
            .bind(position)
            .bind(i64::from(task.attempt))
            .execute(c)
            .await?
            .rows_affected()
    });
    if updated == 0 {
        tx.after.stale += 1;
        return Ok(false);
    }
    let row: Option<RequestRow> = on!(&mut tx.conn, c => {
        sqlx::query_as(PROGRESS)
            .bind(task.part.rows.len() as i64)
            .bind(task.part.failed() as i64)
            .bind(task.cached as i64)
            .bind(Ts(now))
            .bind(request_id)
            .fetch_optional(c)
            .await?
    });
    let Some(row) = row else { return Ok(false) };
    let request = Arc::new(request(row)?);
    keep(tx, &request, done).await?;
    if request.phase.is_ended() {
        let whole = task.part.rows.len() as u64 == request.progress.inputs;
        note_ended(tx, request, whole.then(|| Arc::clone(&task.part)));
    } else {
        let (id, principal) = (request.id, request.principal);
        tx.after.changes.push(Change::Progress { id, principal });
    }
    Ok(true)
}

async fn keep(tx: &mut Tx, request: &Request, done: &Prepared) -> Result<(), Error> {
    let now = tx.now;
    for (hash, part) in &done.keep {
        on!(&mut tx.conn, c => {
            sqlx::query(KEEP)
                .bind(request.model.as_str())
                .bind(&request.model_version)
                .bind(hash.as_slice())
                .bind(part.as_slice())
                .bind(Ts(now))
                .execute(c)
                .await
                .map(|_| ())?
        });
    }
    Ok(())
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
        Retry::Fail { reason } => (std::time::Duration::ZERO, true, Some(reason.clone())),
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
    if let Some(reason) = fail {
        return end(tx, task.key.request, Ended::Failed { reason }).await;
    }
    let model: ModelId = model.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
    tx.after.queued.push((model, not_before));
    Ok(false)
}
