//! An administrator stops an instance. The wish is a row; the server that runs the instance acts on it,
//! and if that server is gone the instance is as well.

use std::time::Duration;

use futures::FutureExt;
use muster_core::instance::{StateName, StopWork};
use muster_core::news::{Event, Level};
use muster_core::{Cause, Ended, InstanceId, ModelId, PrincipalId, RequestId};
use serde_json::json;
use uuid::Uuid;

use super::{happened, state};
use crate::db::Ts;
use crate::db::statement::{row, rows, run};
use crate::db::text;
use crate::people::audit::{self, AuditAction, Note};
use crate::requests::end::end;
use crate::writer::{Tx, work};
use crate::{Error, Store};

const FIND: &str = "SELECT model_id, state, stop_work FROM instance WHERE id = $1";

/// The row is locked from here on: a claim for it comes before this, and is seen below, or after it,
/// and gets nothing.
const STOP: &str = "UPDATE instance SET state = 'draining', stop_work = $1, stop_reason = $2, \
     stop_actor = $3, stop_asked_at = $4, stop_until = $5 WHERE id = $6 AND state <> 'ended'";

const NAME: &str = "SELECT name FROM account WHERE principal_id = $1";

const LEASED: &str =
    "SELECT DISTINCT request_id FROM task WHERE state = 'leased' AND instance_id = $1";

/// How an instance shall stop.
#[derive(Clone, Debug)]
pub struct StopWish {
    pub work: StopWork,
    pub reason: String,
    /// How long its work may take or, if that is not waited for, its process.
    pub grace: Duration,
}

/// What came of the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is written down; so many requests failed by it.
    Asked {
        failed: u64,
    },
    /// It had ended, or somebody had asked for the same or something harder.
    Already,
    Unknown,
}

impl Store {
    /// Nothing new goes to the instance from the moment this returns. Its requests fail here, if that
    /// is the wish; else its work is done or goes back to the queue before the instance has ended.
    pub async fn stop_instance(
        &self,
        actor: PrincipalId,
        id: InstanceId,
        wish: StopWish,
    ) -> Result<Stopped, Error> {
        let wish = StopWish { reason: text::words(&wish.reason), ..wish };
        let entry = self.inner.clock.id();
        let (op, answer) = work(move |tx: &mut Tx| {
            let wish = wish.clone();
            async move { stop(tx, (entry, actor), id, wish).await }.boxed()
        });
        let stopped = self.answer(op, answer).await?;
        if let Stopped::Asked { failed } = stopped {
            self.inner.counters.failed.add(failed);
        }
        Ok(stopped)
    }
}

async fn stop(
    tx: &mut Tx,
    (entry, actor): (Uuid, PrincipalId),
    id: InstanceId,
    wish: StopWish,
) -> Result<Stopped, Error> {
    type Found = (String, String, Option<String>);
    let found: Option<Found> = row!(&mut tx.conn, FIND, id.0);
    let Some((model, name, before)) = found else { return Ok(Stopped::Unknown) };
    let before: Option<StopWork> = before.and_then(|before| before.parse().ok());
    if state(&name)? == StateName::Ended || before.is_some_and(|before| before >= wish.work) {
        return Ok(Stopped::Already);
    }
    let now = tx.now;
    let (work, until) = (wish.work.name(), now + wish.grace);
    let by = actor.0;
    let rows = run!(&mut tx.conn, STOP, work, &wish.reason, by, Ts(now), Ts(until), id.0);
    if rows == 0 {
        return Ok(Stopped::Already);
    }
    let mut failed = 0;
    if wish.work == StopWork::Fail {
        let leased: Vec<(Uuid,)> = rows!(&mut tx.conn, LEASED, id.0);
        let reason = format!(
            "An administrator stopped the model while it worked on this request: {}",
            wish.reason
        );
        for (request,) in leased {
            let how = Ended::Failed { reason: reason.clone() };
            failed += u64::from(end(tx, RequestId(request), how, Cause::StoppedByAdmin).await?);
        }
    }
    let name: Option<(String,)> = row!(&mut tx.conn, NAME, by);
    let name = name.map_or_else(|| "an administrator".to_owned(), |(name,)| name);
    let asked = Event::once("stop_asked", format!("{name} stops it, {work}: {}", wish.reason), now);
    let raw = json!({"by": actor, "name": name, "work": work, "reason": wish.reason,
        "grace_seconds": wish.grace.as_secs(), "requests_failed": failed});
    let uid = format!("stop_asked-{work}");
    let asked = Event { uid, level: Level::Warning, raw: Some(raw), ..asked };
    happened(tx, id, asked).await?;
    let detail = format!("{id} of {model}, {work}: {}", wish.reason);
    let (action, actor) = (AuditAction::StopInstance, Some(actor));
    audit::note(tx, Note { id: entry, actor, action, subject: None, detail }).await?;
    // Whoever runs it looks again, on whichever server.
    let model: ModelId = model.parse().map_err(|_| Error::Corrupt("a model id".into()))?;
    tx.after.queued.push((model, now));
    Ok(Stopped::Asked { failed })
}
