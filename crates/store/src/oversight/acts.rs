//! What administrators do to somebody's request. Each act and its line in the audit are one
//! transaction; what changes nothing leaves none.

use std::sync::Arc;

use futures::FutureExt;
use muster_core::{Cause, Ended, PhaseName, PrincipalId, RequestId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{named_row, row, run};
use crate::db::text;
use crate::people::audit::{AuditAction, Note, note};
use crate::requests::end::end;
use crate::requests::pack::Packer;
use crate::requests::submit::{Prepared, insert};
use crate::requests::{NOBODY, phase};
use crate::writer::{Tx, work};
use crate::{Error, Store, aside_if};

const OWNER: &str =
    "SELECT principal_id, model_id, phase FROM request WHERE id = $1 AND principal_id <> $2";

const FIRST_OF_OTHERS: &str = "SELECT MIN(rank) FROM task WHERE model_id = $1 \
     AND state = 'queued' AND request_id <> $2";

/// `rank_end` stays: the owner's next requests come where they would have come.
const TO_FRONT: &str = "UPDATE task SET rank = $2 WHERE request_id = $1 AND state = 'queued' \
     AND rank > $2";

const FAILED: &str = "SELECT r.principal_id, r.model_id, r.phase, r.inputs, r.reading, r.body_hash, \
     (SELECT CAST(SUM(COALESCE(LENGTH(input), input_len, 0) + COALESCE(LENGTH(records), records_len, 0)) \
     AS BIGINT) FROM task WHERE request_id = r.id), \
     (SELECT use_cache FROM task WHERE request_id = r.id ORDER BY position LIMIT 1), r.label \
     FROM request r WHERE r.id = $1 AND r.principal_id <> $2";

named_row! {
    struct FailedRow {
        principal: Uuid,
        model: String,
        phase: String,
        inputs: i64,
        reading: String,
        body_hash: Vec<u8>,
        bytes: Option<i64>,
        use_cache: Option<bool>,
        label: Option<String>,
    }
}

/// Whoever tries the same request again waits here for others who do.
const LOCK: &str = "UPDATE request SET requeued_from = requeued_from WHERE id = $1 \
     AND principal_id = $2";

const AGAIN: &str = "SELECT id FROM request WHERE requeued_from = $1 AND requeued_from IS NOT NULL";

const REFER: &str = "UPDATE request SET requeued_from = $2 WHERE id = $1";

/// What came of moving a request to the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// So many of its tasks go before all others of their model now.
    Tasks(u64),
    Ended,
    Unknown,
}

/// What came of trying a request again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requeued {
    As {
        id: RequestId,
        /// False if it was done before.
        created: bool,
    },
    Unknown,
    /// It did not fail.
    NotFailed,
    /// Its model is not in the catalogue any more.
    NoModel,
    /// The model takes no requests, and why.
    Disabled(String),
    /// Its inputs are no longer there.
    InputsGone,
}

impl Store {
    /// Cancels anybody's request; the owner reads the reason. One that ended stays as it is. False if
    /// there is no such request.
    pub async fn cancel_overseen(
        &self,
        actor: PrincipalId,
        id: RequestId,
        reason: &str,
    ) -> Result<bool, Error> {
        let (entry, reason) = (self.inner.clock.id(), text::words(reason));
        let (op, answer) = work(move |tx: &mut Tx| {
            let reason = reason.clone();
            async move {
                let Some((owner, ..)) = owner(tx, id).await? else { return Ok(None) };
                let how = Ended::Cancelled { reason: reason.clone() };
                let ended = end(tx, id, how, Cause::CancelledByAdmin).await?;
                if ended {
                    let said = (AuditAction::CancelRequest, format!("{id} {reason}"));
                    write_down(tx, entry, (actor, owner), said).await?;
                }
                Ok(Some(ended))
            }
            .boxed()
        });
        let ended = self.answer(op, answer).await?;
        self.inner.counters.cancelled.add(u64::from(ended == Some(true)));
        Ok(ended.is_some())
    }

    /// Puts what waits of a request before everything else that waits for its model.
    pub async fn move_to_front(&self, actor: PrincipalId, id: RequestId) -> Result<Moved, Error> {
        let entry = self.inner.clock.id();
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let Some((owner, model, phase)) = owner(tx, id).await? else {
                    return Ok(Moved::Unknown);
                };
                if phase.is_ended() {
                    return Ok(Moved::Ended);
                }
                let first: Option<(Option<Ts>,)> = row!(&mut tx.conn, FIRST_OF_OTHERS, model, id.0);
                let Some(Ts(first)) = first.and_then(|(first,)| first) else {
                    return Ok(Moved::Tasks(0));
                };
                let front = Ts(Timestamp(first.micros().saturating_sub(1)));
                let moved = run!(&mut tx.conn, TO_FRONT, id.0, front);
                if moved > 0 {
                    let said = (AuditAction::FrontRequest, id.to_string());
                    write_down(tx, entry, (actor, owner), said).await?;
                }
                Ok(Moved::Tasks(moved))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Submits the inputs of a failed request once more, for its owner: a new request that refers to
    /// it. Done again, it answers the same one as long as that is there.
    pub async fn requeue_request(
        &self,
        actor: PrincipalId,
        id: RequestId,
    ) -> Result<Requeued, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<FailedRow> = row!(&mut conn, FAILED, id.0, NOBODY);
        let again: Option<(Uuid,)> = row!(&mut conn, AGAIN, id.0);
        drop(conn);
        let Some(failed) = found else { return Ok(Requeued::Unknown) };
        if phase(&failed.phase)? != PhaseName::Failed {
            return Ok(Requeued::NotFailed);
        }
        if let Some((again,)) = again {
            return Ok(Requeued::As { id: RequestId(again), created: false });
        }
        let new = match self.prepare_again(id, failed).await? {
            Ok(new) => new,
            Err(refused) => return Ok(refused),
        };
        let entry = self.inner.clock.id();
        let take = |new: Arc<Prepared>| async move {
            let (op, answer) = work(move |tx: &mut Tx| {
                let new = Arc::clone(&new);
                async move { again_in(tx, id, &new, (entry, actor)).await }.boxed()
            });
            self.answer(op, answer).await
        };
        let done = match self.for_today(new, take).await {
            Err(Error::NotOffered { disabled: Some(why) }) => Requeued::Disabled(why),
            Err(Error::NotOffered { disabled: None }) => Requeued::NoModel,
            done => done?,
        };
        if matches!(done, Requeued::As { created: true, .. }) {
            self.inner.counters.submitted.add(1);
        }
        Ok(done)
    }

    /// A new request with the same inputs, byte by byte, for the model as it is now; or why there
    /// can be none.
    async fn prepare_again(
        &self,
        old: RequestId,
        failed: FailedRow,
    ) -> Result<Result<Prepared, Requeued>, Error> {
        let FailedRow { principal, model, inputs, reading, body_hash, bytes, use_cache, .. } =
            failed;
        // For its owner, as the inputs are; no administrator reads it.
        let label = failed.label;
        let model = model.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
        let Some(model) = self.find_model(&model) else { return Ok(Err(Requeued::NoModel)) };
        if let Some(why) = self.disabled(&model.id) {
            return Ok(Err(Requeued::Disabled(why.to_string())));
        }
        let id = RequestId(self.inner.clock.id());
        let inline = bytes.unwrap_or(0) as usize <= self.inner.inline_bytes;
        let mut packer = Packer::new(id, inline);
        let add = |count, input, lines| packer.add(count, input, lines);
        match self.each_slice(old, inputs as u64, add).await {
            Ok(()) => {}
            // Their object is gone or damaged.
            Err(Error::Corrupt(_)) => return Ok(Err(Requeued::InputsGone)),
            Err(error) => return Err(error),
        }
        let mut packer = aside_if(packer.bytes as usize, move || {
            packer.end();
            packer
        })
        .await;
        let object = packer.put(self).await?;
        let hash = || Error::Corrupt("the hash of a request".into());
        Ok(Ok(Prepared {
            id,
            principal: PrincipalId(principal),
            model,
            // The client's key stays with the request that it sent.
            key: None,
            body_hash: body_hash.try_into().map_err(|_| hash())?,
            reading,
            label,
            use_cache: use_cache.unwrap_or(true),
            inputs: inputs as u64,
            tasks: Arc::new(packer.tasks),
            object,
            input_bytes: packer.bytes,
            known: None,
        }))
    }
}

/// Takes the new request in, unless somebody else did the same meanwhile.
async fn again_in(
    tx: &mut Tx,
    old: RequestId,
    new: &Arc<Prepared>,
    (entry, actor): (Uuid, PrincipalId),
) -> Result<Requeued, Error> {
    if run!(&mut tx.conn, LOCK, old.0, new.principal.0) == 0 {
        return Err(Error::unavailable("the request is just being moved or removed"));
    }
    let again: Option<(Uuid,)> = row!(&mut tx.conn, AGAIN, old.0);
    if let Some((id,)) = again {
        return Ok(Requeued::As { id: RequestId(id), created: false });
    }
    for taken in insert(tx, std::slice::from_ref(new)).await? {
        taken?;
    }
    run!(&mut tx.conn, REFER, new.id.0, old.0);
    let said = (AuditAction::RequeueRequest, format!("{old} as {}", new.id));
    write_down(tx, entry, (actor, new.principal), said).await?;
    Ok(Requeued::As { id: new.id, created: true })
}

/// Whose it is, of which model, and its phase.
async fn owner(
    tx: &mut Tx,
    id: RequestId,
) -> Result<Option<(PrincipalId, String, PhaseName)>, Error> {
    let found: Option<(Uuid, String, String)> = row!(&mut tx.conn, OWNER, id.0, NOBODY);
    let Some((owner, model, name)) = found else { return Ok(None) };
    Ok(Some((PrincipalId(owner), model, phase(&name)?)))
}

async fn write_down(
    tx: &mut Tx,
    id: Uuid,
    (actor, owner): (PrincipalId, PrincipalId),
    (action, detail): (AuditAction, String),
) -> Result<(), Error> {
    note(tx, Note { id, actor: Some(actor), action, subject: Some(owner), detail }).await
}
