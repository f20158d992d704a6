//! What is over goes: requests that ended long ago with all that is theirs, predictions nobody uses,
//! instances of the past, sessions and people without anything.
//!
//! In transactions of some milliseconds with a rest after each, so that submissions go on. What is to go is
//! looked for outside of them. Each deletes things as a whole and can be the last: the next clearing finds
//! the rest. Objects are marked in the transaction that deletes the rows that point to them, removed after
//! it, and then unmarked. One server clears at a time, or one command beside it.

mod left;
mod removal;
mod requests;
mod rest;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use muster_core::clearing::LastClearing;
use muster_core::{Clearing, Retention, ServerId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{row, run};
use crate::people::audit::{AuditAction, Note, note};
use crate::people::sessions::learn_time;
use crate::requests::NOBODY;
use crate::writer::pace::{Pace, Took};
use crate::writer::{Tx, work};
use crate::{Error, Store, crash_point};

use requests::detach;

/// Whoever clears holds its duty so long from one step to the next.
const LEASE: Duration = Duration::from_secs(5);

const TAKE: &str = "INSERT INTO leader (duty, server_id, epoch, until) VALUES ('clear', $1, 1, $2) \
     ON CONFLICT (duty) DO UPDATE SET server_id = $1, until = $2, epoch = leader.epoch + 1 \
     WHERE leader.server_id = $1 OR leader.until < $3";

const HOLD: &str = "UPDATE leader SET until = $2 WHERE duty = 'clear' AND server_id = $1";

const LET_GO: &str = "DELETE FROM leader WHERE duty = 'clear' AND server_id = $1";

const BEGAN: &str = "INSERT INTO clearing (name, began_at) VALUES ('schedule', $1) \
     ON CONFLICT (name) DO UPDATE SET began_at = $1, ended_at = NULL";

const ENDED: &str = "UPDATE clearing SET ended_at = $1 WHERE name = 'schedule'";

/// What is to be done: is something marked, detached or left, and when did the last clearing begin and end?
const STATE: &str = "SELECT EXISTS (SELECT 1 FROM object_removal) \
     OR EXISTS (SELECT 1 FROM request WHERE principal_id = $1) \
     OR EXISTS (SELECT 1 FROM principal WHERE claimed_by = $1), \
     (SELECT began_at FROM clearing), (SELECT ended_at FROM clearing)";

const LAST: &str = "SELECT began_at, ended_at FROM clearing";

fn last(began: Option<Ts>, ended: Option<Ts>) -> Option<LastClearing> {
    began.map(|began| LastClearing { began_at: began.0, ended_at: ended.map(|at| at.0) })
}

/// What to clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    pub retention: Retention,
    /// Also sessions, links and anonymous people that are over.
    pub people: bool,
    pub by: ClearedBy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClearedBy {
    Schedule,
    /// A command on the server's machine, in words for the audit.
    Command(String),
}

/// What was cleared, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    pub requests: u64,
    /// Of their inputs and results.
    pub bytes: u64,
    /// Objects that were removed.
    pub objects: u64,
    /// Objects that could not be removed; they are next time.
    pub objects_left: u64,
    pub predictions: u64,
    pub instances: u64,
    pub sessions: u64,
    /// Anonymous people who have nothing left.
    pub principals: u64,
}

/// A clearing under way.
struct Run<'r> {
    store: &'r Store,
    retention: Retention,
    now: Timestamp,
    /// Only counts.
    dry: bool,
    pace: Pace,
    cleared: Cleared,
    tell: &'r mut (dyn FnMut(&Cleared) + Send),
}

/// What is deleted in one transaction.
enum Batch {
    Requests(Vec<Uuid>, requests::Over),
    Burial(Uuid, requests::Over),
    Predictions(rest::Stale),
    Instance(Uuid),
    Principals(Vec<Uuid>),
    Links(Vec<Vec<u8>>, Timestamp),
}

impl Store {
    /// Clears what is over; `tell` hears now and then how far it is. Nothing if somebody else clears.
    pub async fn clear(
        &self,
        clear: &Clear,
        mut tell: impl FnMut(&Cleared) + Send,
    ) -> Result<Option<Cleared>, Error> {
        let Some(now) = self.begin_clearing(clear).await? else { return Ok(None) };
        let mut run = Run {
            store: self,
            retention: clear.retention,
            now,
            dry: false,
            pace: Pace::default(),
            cleared: Cleared::default(),
            tell: &mut tell,
        };
        let done = run.all(clear.people).await;
        let cleared = run.cleared;
        let ended = self.end_clearing(clear.by == ClearedBy::Schedule && done.is_ok()).await;
        done.and(ended).map(|()| Some(cleared))
    }

    /// What [`Store::clear`] would clear now. Changes nothing.
    pub async fn would_clear(&self, clear: &Clear) -> Result<Cleared, Error> {
        let mut conn = self.inner.db.read().await?;
        learn_time(&mut conn, &self.inner).await?;
        drop(conn);
        let mut run = Run {
            store: self,
            retention: clear.retention,
            now: self.inner.now(),
            dry: true,
            pace: Pace::default(),
            cleared: Cleared::default(),
            tell: &mut |_| {},
        };
        run.all(clear.people).await?;
        Ok(run.cleared)
    }

    /// When the schedule cleared last.
    pub async fn last_clearing(&self) -> Result<Option<LastClearing>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<(Ts, Option<Ts>)> = row!(&mut conn, LAST);
        Ok(found.and_then(|(began, ended)| last(Some(began), ended)))
    }

    /// Finishes what was begun, and clears if it is time.
    pub async fn tidy(&self, clearing: &Clearing) -> Result<Option<Cleared>, Error> {
        let mut conn = self.inner.db.read().await?;
        let state: Option<(bool, Option<Ts>, Option<Ts>)> = row!(&mut conn, STATE, NOBODY);
        drop(conn);
        let (unfinished, began, ended) = state.unwrap_or_default();
        if unfinished && let Err(error) = self.finish().await {
            tracing::warn!(%error, "what was begun to be cleared is not finished; it is next time");
        }
        let now = self.inner.now();
        if clearing.next(last(began, ended), now).is_none_or(|at| now < at) {
            return Ok(None);
        }
        let (retention, people) = (clearing.retention, true);
        self.clear(&Clear { retention, people, by: ClearedBy::Schedule }, |_| {}).await
    }

    /// What is out of sight already goes.
    async fn finish(&self) -> Result<(), Error> {
        let pace = &mut Pace::default();
        self.clear_left(pace).await?;
        self.clear_detached(pace).await?;
        self.remove_marked().await
    }

    /// Takes the duty; when that was. Nothing if somebody else has it.
    async fn begin_clearing(&self, clear: &Clear) -> Result<Option<Timestamp>, Error> {
        let (server, id, by) = (self.inner.server, self.inner.clock.id(), clear.by.clone());
        let (op, answer) = work(move |tx: &mut Tx| {
            let by = by.clone();
            async move {
                let now = tx.now;
                if run!(&mut tx.conn, TAKE, server.0, Ts(now + LEASE), Ts(now)) == 0 {
                    return Ok(None);
                }
                match by {
                    ClearedBy::Schedule => {
                        run!(&mut tx.conn, BEGAN, Ts(now));
                    }
                    ClearedBy::Command(detail) => {
                        let (actor, subject) = (None, None);
                        let action = AuditAction::Clean;
                        note(tx, Note { id, actor, action, subject, detail }).await?;
                    }
                }
                Ok(Some(now))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    async fn end_clearing(&self, whole: bool) -> Result<(), Error> {
        let server = self.inner.server;
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                run!(&mut tx.conn, LET_GO, server.0);
                if whole {
                    run!(&mut tx.conn, ENDED, Ts(tx.now));
                }
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}

impl Run<'_> {
    async fn all(&mut self, people: bool) -> Result<(), Error> {
        self.requests().await?;
        self.predictions().await?;
        self.instances().await?;
        self.objects().await?;
        if people {
            self.people().await?;
        }
        Ok(())
    }

    async fn objects(&mut self) -> Result<(), Error> {
        if self.dry {
            return Ok(());
        }
        let before = self.store.inner.counters.objects_removed.get();
        if let Err(error) = self.store.remove_marked().await {
            tracing::warn!(%error, "objects of what was cleared are not removed; they are next time");
        }
        self.cleared.objects = self.store.inner.counters.objects_removed.get() - before;
        self.cleared.objects_left = self.store.marked_objects().await?;
        self.told();
        Ok(())
    }

    /// Deletes in one transaction, and rests. How many things it were: some of the `wanted` ones, or all
    /// if they are only counted.
    async fn delete(&mut self, wanted: u64, batch: Batch) -> Result<u64, Error> {
        if self.dry {
            return Ok(wanted);
        }
        let server = self.store.inner.server;
        let batch = Arc::new(batch);
        let (op, answer) = work(move |tx: &mut Tx| {
            let batch = Arc::clone(&batch);
            async move {
                let begun = Instant::now();
                if !hold(tx, server).await? {
                    return Err(Error::unavailable("another server clears by now"));
                }
                let deleted = batch.delete(tx).await?;
                Ok((deleted, Took::since(begun)))
            }
            .boxed()
        });
        let (deleted, took) = self.store.answer(op, answer).await?;
        crash_point("during-clearing");
        self.pace.rest(took).await;
        Ok(deleted)
    }

    fn told(&mut self) {
        (self.tell)(&self.cleared);
    }
}

impl Batch {
    async fn delete(&self, tx: &mut Tx) -> Result<u64, Error> {
        match self {
            Self::Requests(ids, over) => requests::delete(tx, ids, *over).await,
            Self::Burial(id, over) => {
                let over = requests::still_over(tx, &[*id], *over).await?;
                if !over.is_empty() {
                    detach(tx, *id).await?;
                }
                Ok(over.len() as u64)
            }
            Self::Predictions(stale) => stale.delete(tx).await,
            Self::Instance(id) => rest::delete_instance(tx, *id).await,
            Self::Principals(ids) => rest::delete_principals(tx, ids).await,
            Self::Links(hashes, before) => rest::delete_links(tx, hashes, *before).await,
        }
    }
}

/// Keeps the duty, if this server has it.
async fn hold(tx: &mut Tx, server: ServerId) -> Result<bool, Error> {
    Ok(run!(&mut tx.conn, HOLD, server.0, Ts(tx.now + LEASE)) > 0)
}
