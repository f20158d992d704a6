//! Taking tasks off the queue.

use bytes::Bytes;
use muster_core::{PhaseName, PrincipalId, RequestId, TaskKey};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::on;
use crate::db::dialect;
use crate::db::text;
use crate::writer::{Claimed, Op, Tx, WaitingClaim};
use crate::{Change, Claim, ClaimedTask, Error, Inner, Store};

/// Most tasks in one job.
const MOST_TASKS: i64 = 512;

impl Store {
    /// Waits until there is work for an instance and takes it, up to `max_inputs` inputs; the claim
    /// is durable when this returns. If the caller leaves, what was claimed for it is given back.
    /// Nothing: the instance is being stopped or has ended, and gets nothing any more.
    pub async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedTask>, Error> {
        text::exact(&claim.version)?;
        let (reply, answer) = oneshot::channel();
        self.send(Op::Claim(WaitingClaim { claim, reply })).await?;
        answer.await.map_err(|_| Error::unavailable("the store is closed"))?
    }
}

/// A leased task; or, without one, when the model may have more, and a 1 if the instance gets nothing.
type Row = (
    Option<Uuid>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<bool>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<i64>,
    Option<Uuid>,
    Option<Ts>,
);

pub(crate) async fn claim(tx: &mut Tx, claim: &Claim, inner: &Inner) -> Result<Claimed, Error> {
    let (now, until) = (tx.now, tx.now + claim.lease);
    let most = i64::from(claim.max_inputs).clamp(1, MOST_TASKS);
    let text = dialect::batches(inner.db.is_postgres()).claim;
    let text = tx.conn.joined(text, tx.is_last);
    let rows: Vec<Row> = on!(&mut tx.conn, c => {
        sqlx::query_as(text)
            .bind(claim.model.as_str())
            .bind(&claim.version)
            .bind(Ts(now))
            .bind(i64::from(claim.max_inputs))
            .bind(inner.server.0)
            .bind(claim.instance.0)
            .bind(Ts(until))
            .bind(most)
            .fetch_all(c)
            .await?
    });
    let (mut more_at, mut is_over) = (None, false);
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (at, over) = (row.10.map(|at| at.0), row.1 == Some(1));
        match task(row) {
            Some((task, principal)) => found.push((at, task, principal)),
            None => (more_at, is_over) = (at, over),
        }
    }
    // Neither database says in which order it answers what it changed.
    found.sort_by_key(|(rank, task, _)| (*rank, task.key));
    let mut last = None;
    for (_, task, principal) in &found {
        let (id, principal) = (task.key.request, *principal);
        if last.replace(id) != Some(id) {
            tx.after.changes.push(Change::Request { id, principal, phase: PhaseName::Running });
        }
    }
    let tasks = found.into_iter().map(|(_, task, _)| task).collect();
    Ok(Claimed { tasks, more_at, is_over })
}

fn task(row: Row) -> Option<(ClaimedTask, PrincipalId)> {
    let (request, position, count, attempt, failures, use_cache, input, at, len, principal, _) =
        row;
    let task = ClaimedTask {
        key: TaskKey { request: RequestId(request?), position: position? as u32 },
        attempt: attempt? as u32,
        failures: failures? as u32,
        count: count? as u32,
        inputs: input.map(Bytes::from),
        use_cache: use_cache?,
        remote_job: None,
        range: at.zip(len).map(|(at, len)| (at as u64, len as u64)),
    };
    Some((task, PrincipalId(principal?)))
}
