//! What people left who deleted their accounts: their requests are cancelled, then deleted, some at a time.
//! Until then they are nobody's: their principal is claimed by nobody.

use std::time::{Duration, Instant};

use futures::FutureExt;
use muster_core::{Cause, Ended, RequestId};
use uuid::Uuid;

use super::requests::{LARGE, TASKS, detach, erase};
use crate::db::statement::{row, rows, run};
use crate::requests::NOBODY;
use crate::requests::end::end;
use crate::writer::pace::{Pace, Took};
use crate::writer::{Tx, work};
use crate::{Error, Store, crash_point};

/// How long somebody who deletes something waits for what is left of it to go.
const PATIENCE: Duration = Duration::from_secs(2);

const LEFT: &str = "SELECT id FROM principal WHERE claimed_by = $1 ORDER BY id LIMIT 1";

const OPEN: &str = "SELECT id FROM request WHERE principal_id = $1 AND id > $2 \
     AND phase IN ('waiting', 'running') ORDER BY id LIMIT $3";

const ENDED: &str = "SELECT id, COALESCE((SELECT MAX(position) + 1 FROM task \
     WHERE request_id = request.id), 0) FROM request \
     WHERE principal_id = $1 AND phase NOT IN ('waiting', 'running') ORDER BY id LIMIT $2";

/// Nothing of it is there any more.
const FORGET: &str = "UPDATE principal SET claimed_by = NULL WHERE id = $1 AND claimed_by = $2 \
     AND NOT EXISTS (SELECT 1 FROM request WHERE principal_id = $1)";

impl Store {
    /// Whoever deleted an account waits a little for the rest of it to go.
    pub(crate) async fn clear_left_soon(&self) {
        let store = self.clone();
        soon(async move { store.finish().await }).await;
    }

    /// Several may do that at once.
    pub(super) async fn clear_left(&self, pace: &mut Pace) -> Result<(), Error> {
        let mut conn = self.inner.db.read().await?;
        let left: Option<(Uuid,)> = row!(&mut conn, LEFT, NOBODY);
        drop(conn);
        let Some((id,)) = left else { return Ok(()) };
        // What runs for nobody ends first.
        let mut after = Uuid::nil();
        while let Some(last) = self.cancel_left(id, after, pace).await? {
            after = last;
        }
        while self.erase_left(id, pace).await? {}
        let (op, answer) = work(move |tx: &mut Tx| {
            async move { Ok(run!(&mut tx.conn, FORGET, id, NOBODY)) }.boxed()
        });
        match self.answer(op, answer).await? {
            // Something was submitted meanwhile: it is next time.
            0 => Ok(()),
            _ => Box::pin(self.clear_left(pace)).await,
        }
    }

    /// Cancels some of the open requests behind one; the last of them, if there are any.
    async fn cancel_left(
        &self,
        principal: Uuid,
        after: Uuid,
        pace: &mut Pace,
    ) -> Result<Option<Uuid>, Error> {
        let most = pace.rows() as i64;
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let begun = Instant::now();
                let open: Vec<(Uuid,)> = rows!(&mut tx.conn, OPEN, principal, after, most);
                for (id,) in &open {
                    let how = Ended::Cancelled { reason: "the account was deleted".into() };
                    end(tx, RequestId(*id), how, Cause::CancelledByOwner).await?;
                }
                Ok((open.last().map(|(id,)| *id), Took::since(begun)))
            }
            .boxed()
        });
        let (last, took) = self.answer(op, answer).await?;
        crash_point("during-leaving");
        if last.is_some() {
            pace.rest(took).await;
        }
        Ok(last)
    }

    /// Deletes some of the requests; false if there were none.
    async fn erase_left(&self, principal: Uuid, pace: &mut Pace) -> Result<bool, Error> {
        let most = pace.rows() as i64;
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let begun = Instant::now();
                let some: Vec<(Uuid, i64)> = rows!(&mut tx.conn, ENDED, principal, most);
                let (mut whole, mut total) = (Vec::new(), 0);
                for (id, tasks) in &some {
                    total += tasks;
                    if *tasks > LARGE {
                        detach(tx, *id).await?;
                    } else if whole.is_empty() || total <= TASKS {
                        whole.push(*id);
                    }
                }
                erase(tx, &whole).await?;
                Ok((!some.is_empty(), Took::since(begun)))
            }
            .boxed()
        });
        let (deleted, took) = self.answer(op, answer).await?;
        crash_point("during-leaving");
        if deleted {
            pace.rest(took).await;
        }
        Ok(deleted)
    }
}

/// What is out of sight already goes beside the caller, who waits a little for it.
pub(super) async fn soon(rest: impl Future<Output = Result<(), Error>> + Send + 'static) {
    if let Ok(Ok(Err(error))) = tokio::time::timeout(PATIENCE, tokio::spawn(rest)).await {
        tracing::debug!(%error, "what is left of something deleted goes later");
    }
}
