//! Taking tasks off the queue.

use bytes::Bytes;
use muster_core::{PhaseName, PrincipalId, RequestId, TaskKey};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::on;
use crate::db::dialect;
use crate::db::statement::named_row;
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
        if let Some(claim) = self.inner.parked.park(WaitingClaim::new(claim, reply)) {
            self.send(Op::Claim(claim)).await?;
        }
        answer.await.map_err(|_| Error::unavailable("the store is closed"))?
    }
}

named_row! {
    /// A leased task; or, without one, when the model may have more (`rank`), and as `position` why the
    /// instance gets nothing: see `Batches::claim`.
    struct TaskRow {
        request: Option<Uuid>,
        position: Option<i64>,
        count: Option<i64>,
        attempt: Option<i64>,
        failures: Option<i64>,
        use_cache: Option<bool>,
        input: Option<Vec<u8>>,
        input_at: Option<i64>,
        input_len: Option<i64>,
        principal: Option<Uuid>,
        rank: Option<Ts>,
    }
}

pub(crate) async fn claim(tx: &mut Tx, claim: &Claim, inner: &Inner) -> Result<Claimed, Error> {
    let (now, until) = (tx.now, tx.now + claim.lease);
    let most = i64::from(claim.max_inputs).clamp(1, MOST_TASKS);
    let text = dialect::batches(inner.db.is_postgres()).claim;
    let text = tx.conn.joined(text, tx.is_last);
    let rows: Vec<TaskRow> = on!(&mut tx.conn, c => {
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
    let (mut more_at, mut state) = (None, None);
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (at, said) = (row.rank.map(|at| at.0), row.position);
        match task(row) {
            Some((task, principal)) => found.push((at, task, principal)),
            None => (more_at, state) = (at, said),
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
    Ok(Claimed { tasks, more_at, is_over: state == Some(1), is_taken: state == Some(2) })
}

fn task(row: TaskRow) -> Option<(ClaimedTask, PrincipalId)> {
    let task = ClaimedTask {
        key: TaskKey { request: RequestId(row.request?), position: row.position? as u32 },
        attempt: row.attempt? as u32,
        failures: row.failures? as u32,
        count: row.count? as u32,
        inputs: row.input.map(Bytes::from),
        use_cache: row.use_cache?,
        remote_job: None,
        range: row.input_at.zip(row.input_len).map(|(at, len)| (at as u64, len as u64)),
    };
    Some((task, PrincipalId(row.principal?)))
}
