//! Taking tasks off the queue.

use bytes::Bytes;
use muster_core::{RequestId, TaskKey, Timestamp};
use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::db::{Ts, on};
use crate::writer::{Op, Tx};
use crate::{Change, Claim, ClaimedTask, Error, Inner, Store, TaskBack, batch, dialect, text};

/// A claim in the writer.
pub(crate) struct WaitingClaim {
    pub claim: Claim,
    pub reply: oneshot::Sender<Result<Vec<ClaimedTask>, Error>>,
}

/// What a claim got, and when the model may have more.
pub(crate) struct Claimed {
    pub tasks: Vec<ClaimedTask>,
    pub more_at: Option<Timestamp>,
}

/// Most tasks in one job.
const MOST_TASKS: i64 = 512;

const NEXT_DUE: &str = "SELECT MIN(not_before) FROM task WHERE model_id = $1 AND state = 'queued' AND model_version = $2";

impl Store {
    /// Waits until there is work for an instance and takes it, up to `max_inputs` inputs; the claim
    /// is durable when this returns. If the caller leaves, what was claimed for it is given back.
    pub async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedTask>, Error> {
        text::exact(&claim.version)?;
        let (reply, answer) = oneshot::channel();
        self.send(Op::Claim(WaitingClaim { claim, reply })).await?;
        answer.await.map_err(|_| Error::unavailable("the store is closed"))?
    }
}

impl WaitingClaim {
    /// Hands the tasks over; if nobody is there any more they go back to the queue.
    pub(crate) fn answer(self, tasks: Vec<ClaimedTask>, inner: &std::sync::Arc<Inner>) {
        if let Err(Ok(tasks)) = self.reply.send(Ok(tasks)) {
            let store = Store { inner: std::sync::Arc::clone(inner) };
            tokio::spawn(async move {
                let again = muster_core::retry::Retry::Again {
                    after: std::time::Duration::ZERO,
                    counts: false,
                };
                let back = |task: ClaimedTask| TaskBack {
                    key: task.key,
                    attempt: task.attempt,
                    retry: again.clone(),
                };
                if let Err(error) = store.give_back(tasks.into_iter().map(back).collect()).await {
                    tracing::warn!(%error, "tasks nobody took wait for their lease to end");
                }
            });
        }
    }
}

#[derive(Serialize)]
struct Leased {
    #[serde(serialize_with = "batch::id")]
    j_request: Uuid,
    j_position: u32,
}

type Candidate = (Uuid, i64, i64, i64, i64, bool, Option<Vec<u8>>, Option<i64>, Option<i64>, Uuid);

pub(crate) async fn claim(tx: &mut Tx, claim: &Claim, inner: &Inner) -> Result<Claimed, Error> {
    let now = tx.now;
    let most = i64::from(claim.max_inputs).clamp(1, MOST_TASKS);
    let rows: Vec<Candidate> = on!(&mut tx.conn, c => {
        sqlx::query_as(dialect::candidates(inner.db.is_postgres()))
            .bind(claim.model.as_str())
            .bind(&claim.version)
            .bind(Ts(now))
            .bind(most)
            .fetch_all(c)
            .await?
    });
    let found = rows.len();
    let mut tasks: Vec<ClaimedTask> = Vec::new();
    let mut principals = Vec::new();
    let mut inputs = 0;
    for (request, position, count, attempt, failures, use_cache, input, at, len, principal) in rows
    {
        if !tasks.is_empty() && inputs + count > i64::from(claim.max_inputs) {
            break;
        }
        inputs += count;
        let range = at.zip(len).map(|(at, len)| (at as u64, len as u64));
        principals.push(principal);
        tasks.push(ClaimedTask {
            key: TaskKey { request: RequestId(request), position: position as u32 },
            attempt: attempt as u32 + 1,
            failures: failures as u32,
            count: count as u32,
            inputs: input.map(Bytes::from),
            use_cache,
            remote_job: None,
            range,
        });
    }
    lease(tx, claim, &tasks, inner).await?;
    let mut last = None;
    for (task, principal) in tasks.iter().zip(principals) {
        let id = task.key.request;
        if last.replace(id) == Some(id) {
            continue;
        }
        let principal = muster_core::PrincipalId(principal);
        tx.after.changes.push(Change::Request { id, principal, phase: "running" });
    }
    let more_at = if tasks.len() < found || found as i64 == most {
        Some(now)
    } else {
        next_due(tx, claim).await?
    };
    Ok(Claimed { tasks, more_at })
}

async fn lease(
    tx: &mut Tx,
    claim: &Claim,
    tasks: &[ClaimedTask],
    inner: &Inner,
) -> Result<(), Error> {
    let (now, until) = (tx.now, tx.now + claim.lease);
    let batches = dialect::batches(inner.db.is_postgres());
    let leased = |task: &ClaimedTask| Leased {
        j_request: task.key.request.0,
        j_position: task.key.position,
    };
    for rows in batch::texts(tasks.iter().map(leased))? {
        on!(&mut tx.conn, c => {
            sqlx::query(batches.lease)
                .bind(rows)
                .bind(inner.server.0)
                .bind(claim.instance.0)
                .bind(Ts(until))
                .bind(Ts(now))
                .execute(c)
                .await
                .map(|_| ())?
        });
    }
    Ok(())
}

/// When the next task of the model is due, if there is one.
async fn next_due(tx: &mut Tx, claim: &Claim) -> Result<Option<Timestamp>, Error> {
    let due: Option<Ts> = on!(&mut tx.conn, c => {
        sqlx::query_scalar(NEXT_DUE)
            .bind(claim.model.as_str())
            .bind(&claim.version)
            .fetch_one(c)
            .await?
    });
    Ok(due.map(|due| due.0))
}
