//! What ends and requeues work: a request ends as a whole, tasks are queued again, and instances that
//! lost theirs are idle. Requests, instances, servers and leases share it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use muster_core::{Cause, Ended, ModelId, Part, Request, RequestId};
use uuid::Uuid;

use super::{RequestRow, request};
use crate::db::Ts;
use crate::db::conn::on;
use crate::db::dialect::request_columns;
use crate::db::text;
use crate::writer::Tx;
use crate::{Change, Error, Finished};

const END: &str = concat!(
    "UPDATE request SET phase = $1, reason = $2, cause = $3, ended_at = $4, version = version + 1 \
     WHERE id = $5 AND phase IN ('waiting', 'running') RETURNING ",
    request_columns!()
);

const DROP_TASKS: &str = "UPDATE task SET state = 'dropped', lease_until = NULL \
     WHERE request_id = $1 AND state IN ('queued', 'leased') RETURNING instance_id";

const REST: &str = "UPDATE instance SET idle_since = $1, caller = NULL, caller_until = NULL WHERE id = $2 AND state = 'ready' \
     AND idle_since IS NULL AND NOT EXISTS (SELECT 1 FROM task \
     WHERE instance_id = instance.id AND state = 'leased')";

/// Ends a request as a whole: whatever is still to be done of it is dropped. False if it had ended.
/// `cause` says the same as the reason to those who may not read that.
pub(crate) async fn end(
    tx: &mut Tx,
    id: RequestId,
    how: Ended,
    cause: Cause,
) -> Result<bool, Error> {
    let reason = match &how {
        Ended::Completed => None,
        Ended::Failed { reason } | Ended::Cancelled { reason } => Some(text::words(reason)),
    };
    let now = tx.now;
    // Tasks before their request, as a completion does, or the two would wait for each other.
    let dropped: Vec<Option<Uuid>> = on!(&mut tx.conn, c => {
        sqlx::query_scalar(DROP_TASKS).bind(id.0).fetch_all(c).await?
    });
    let row: Option<RequestRow> = on!(&mut tx.conn, c => {
        sqlx::query_as(END)
            .bind(how.phase().name())
            .bind(reason)
            .bind(cause.name())
            .bind(Ts(now))
            .bind(id.0)
            .fetch_optional(c)
            .await?
    });
    let Some(row) = row else { return Ok(false) };
    rest(tx, dropped.into_iter().flatten().collect()).await?;
    let request = Arc::new(request(row)?);
    tx.backlogs.clear();
    tx.after.changes.push(Change::Cancelled { id });
    note_ended(tx, request, None);
    Ok(true)
}

pub(crate) fn note_ended(tx: &mut Tx, request: Arc<Request>, part: Option<Arc<Part>>) {
    let (id, principal, phase) = (request.id, request.principal, request.phase.in_a_word());
    tx.after.changes.push(Change::Request { id, principal, phase });
    tx.after.ended.push(Finished { request, part });
}

/// Notes that tasks of these models are queued again.
pub(crate) fn requeued(tx: &mut Tx, models: Vec<String>) -> Result<u64, Error> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for model in models {
        *counts.entry(model).or_default() += 1;
    }
    let mut total = 0;
    for (model, count) in counts {
        let model: ModelId = model.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
        tx.after.queued.push((model, tx.now));
        total += count;
    }
    Ok(total)
}

/// These instances lost tasks: those that have none left are idle.
pub(crate) async fn rest(tx: &mut Tx, instances: BTreeSet<Uuid>) -> Result<(), Error> {
    let now = tx.now;
    for id in instances {
        on!(&mut tx.conn, c => {
            sqlx::query(REST).bind(Ts(now)).bind(id).execute(c).await.map(|_| ())?
        });
    }
    Ok(())
}
