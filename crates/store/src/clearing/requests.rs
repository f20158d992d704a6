//! Requests that ended long ago, with their tasks, inputs, results and transitions.
//!
//! They are found along the primary key: ids grow with the time of submission, and what ended before a
//! moment was submitted before it. Those that are open, younger or kept for ever are passed over.
//!
//! A request of many tasks cannot go in one short transaction. It is *detached* first: it gets an owner that
//! nobody is, so that nobody sees it any more, and loses its tasks step by step.

use std::collections::VecDeque;
use std::time::Instant;

use futures::FutureExt;
use muster_core::stats::AuthType;
use muster_core::{PrincipalId, RequestId, Timestamp};
use uuid::Uuid;

use super::left::soon;
use super::{Batch, Run};
use crate::db::Ts;
use crate::db::batch::{self, Hex};
use crate::db::clock::last_id;
use crate::db::conn::on;
use crate::db::dialect::{self, mark};
use crate::db::statement::{named_row, row, rows, run};
use crate::requests::NOBODY;
use crate::writer::pace::{Pace, Took};
use crate::writer::{Tx, work};
use crate::{Error, Store, crash_point};

/// A request with more tasks is detached.
pub(super) const LARGE: i64 = 200;
/// Requests looked at together.
const PAGE: usize = 1000;
/// Tasks and bytes deleted together; a single request may have more.
pub(super) const TASKS: i64 = 500;
const BYTES: u64 = 8 << 20;

const FIND: &str = "SELECT r.id, (SELECT kind FROM principal WHERE id = r.principal_id), r.ended_at, \
     r.input_bytes + r.result_bytes, CASE WHEN r.ended_at <= $3 THEN \
     (SELECT MAX(position) + 1 FROM task WHERE request_id = r.id) END \
     FROM request r WHERE r.id > $1 AND r.id <= $2 ORDER BY r.id LIMIT $4";

const ENDED: &str = "SELECT ended_at IS NOT NULL, \
     COALESCE((SELECT MAX(position) + 1 FROM task WHERE request_id = $1), 0) \
     FROM request WHERE id = $1 AND principal_id = $2";

const ADD_NOBODY: &str = "INSERT INTO principal (id, kind, created_at) VALUES ($1, 'anonymous', $2) \
     ON CONFLICT (id) DO NOTHING";

/// Only one request has a key with a principal.
const DETACH: &str = "UPDATE request SET principal_id = $2, idempotency_key = NULL WHERE id = $1";

const DETACHED: &str = "SELECT id FROM request WHERE principal_id = $1 ORDER BY id LIMIT 1";

const FIRST_TASK: &str = "SELECT MIN(position) FROM task WHERE request_id = $1";

const MARK_RESULTS: &str = mark!(
    "SELECT result_object, $3 FROM task \
     WHERE request_id = $1 AND position < $2 AND result_object IS NOT NULL"
);

const DELETE_TASKS: &str = "DELETE FROM task WHERE request_id = $1 AND position < $2";

named_row! {
    struct FoundRow {
        id: Uuid,
        kind: Option<String>,
        ended_at: Option<Ts>,
        bytes: i64,
        tasks: Option<i64>,
    }
}

/// Until when requests have to have ended; `None`: they are kept.
#[derive(Clone, Copy)]
pub(super) struct Over {
    anonymous: Option<Timestamp>,
    account: Option<Timestamp>,
}

/// What became of a request that is to be deleted.
enum Deleted {
    NotEnded,
    /// Its objects are there.
    Erased(Vec<String>),
    Detached,
}

/// A request that is over.
struct Found {
    id: Uuid,
    bytes: u64,
    tasks: i64,
}

impl Over {
    fn latest(self) -> Option<Timestamp> {
        self.anonymous.max(self.account)
    }

    fn includes(self, auth: AuthType, ended_at: Timestamp) -> bool {
        let until = match auth {
            AuthType::Anonymous => self.anonymous,
            AuthType::Account => self.account,
        };
        until.is_some_and(|until| ended_at <= until)
    }

    fn find(self, row: FoundRow) -> Option<Found> {
        let FoundRow { id, kind, ended_at, bytes, tasks } = row;
        let auth: AuthType = kind?.parse().ok()?;
        let found = Found { id, bytes: bytes as u64, tasks: tasks.unwrap_or(0) };
        self.includes(auth, ended_at?.0).then_some(found)
    }
}

impl Run<'_> {
    pub(super) async fn requests(&mut self) -> Result<(), Error> {
        let over = Over {
            anonymous: self.retention.ended_by(AuthType::Anonymous, self.now),
            account: self.retention.ended_by(AuthType::Account, self.now),
        };
        let Some(latest) = over.latest() else { return Ok(()) };
        let (mut after, until) = (Uuid::nil(), last_id(latest));
        loop {
            let mut conn = self.store.inner.db.read().await?;
            let page: Vec<FoundRow> = rows!(&mut conn, FIND, after, until, Ts(latest), PAGE as i64);
            drop(conn);
            let Some(last) = page.last() else { break };
            after = last.id;
            let found = page.into_iter().filter_map(|row| over.find(row)).collect();
            self.delete_requests(found, over).await?;
        }
        if !self.dry {
            self.store.clear_detached(&mut self.pace).await?;
        }
        Ok(())
    }

    async fn delete_requests(
        &mut self,
        mut found: VecDeque<Found>,
        over: Over,
    ) -> Result<(), Error> {
        while let Some(first) = found.front() {
            let large = first.tasks > LARGE;
            let batch = next_batch(&mut found, self.pace.rows());
            let bytes: u64 = batch.iter().map(|found| found.bytes).sum();
            let wanted = batch.len() as u64;
            let ids: Vec<Uuid> = batch.into_iter().map(|found| found.id).collect();
            let batch = match ids[..] {
                [id] if large => Batch::Burial(id, over),
                _ => Batch::Requests(ids, over),
            };
            let deleted = self.delete(wanted, batch).await?;
            self.cleared.requests += deleted;
            // Some may have got another owner, or been deleted, since they were found.
            self.cleared.bytes += if deleted == wanted { bytes } else { bytes * deleted / wanted };
            if !self.dry {
                self.store.inner.counters.requests_cleared.add(deleted);
            }
            self.told();
        }
        Ok(())
    }
}

/// The first ones that go together: a large one alone.
fn next_batch(found: &mut VecDeque<Found>, most: usize) -> Vec<Found> {
    let (mut tasks, mut bytes, mut count) = (0, 0, 0);
    for one in found.iter().take(most) {
        tasks += one.tasks;
        bytes += one.bytes;
        if count > 0 && (one.tasks > LARGE || tasks > TASKS || bytes > BYTES) {
            break;
        }
        count += 1;
        if one.tasks > LARGE {
            break;
        }
    }
    found.drain(..count).collect()
}

/// Of these requests those that are over. Somebody may have claimed an anonymous one.
pub(super) async fn still_over(tx: &mut Tx, ids: &[Uuid], over: Over) -> Result<Vec<Uuid>, Error> {
    let statements = dialect::clearing(tx.conn.is_postgres());
    let mut still = Vec::new();
    for ids in hex(ids)? {
        let (anonymous, account) = (over.anonymous.map(Ts), over.account.map(Ts));
        let some: Vec<(Uuid,)> = rows!(&mut tx.conn, statements.over, ids, anonymous, account);
        still.extend(some.into_iter().map(|(id,)| id));
    }
    Ok(still)
}

pub(super) async fn delete(tx: &mut Tx, ids: &[Uuid], over: Over) -> Result<u64, Error> {
    let ids = still_over(tx, ids, over).await?;
    erase(tx, &ids).await?;
    Ok(ids.len() as u64)
}

/// Deletes requests that ended, and marks their objects: where they are.
pub(super) async fn erase(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<String>, Error> {
    let statements = dialect::clearing(tx.conn.is_postgres());
    let mut paths = Vec::new();
    let mut deleted = 0;
    for ids in hex(ids)? {
        let marked: Vec<(String,)> = rows!(&mut tx.conn, statements.mark, &ids, Ts(tx.now));
        paths.extend(marked.into_iter().map(|(path,)| path));
        // Tasks before their requests, as everywhere.
        run!(&mut tx.conn, statements.tasks, &ids);
        run!(&mut tx.conn, statements.transitions, &ids);
        deleted += run!(&mut tx.conn, statements.requests, &ids);
    }
    if deleted != ids.len() as u64 {
        // On PostgreSQL somebody else deletes or claims them at this very moment.
        return Err(Error::unavailable("a request changed while it was deleted"));
    }
    Ok(paths)
}

/// Hides a request that ended from everybody, for good.
pub(super) async fn detach(tx: &mut Tx, id: Uuid) -> Result<(), Error> {
    run!(&mut tx.conn, ADD_NOBODY, NOBODY, Ts(tx.now));
    run!(&mut tx.conn, DETACH, id, NOBODY);
    Ok(())
}

fn hex(ids: &[Uuid]) -> Result<Vec<String>, Error> {
    batch::texts(ids.iter().map(|id| Hex(id.as_bytes())))
}

impl Store {
    /// Deletes a request that ended, with all that is its own; false if it has not ended.
    pub async fn delete_request(
        &self,
        principal: PrincipalId,
        id: RequestId,
    ) -> Result<Option<bool>, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let found: Option<(bool, i64)> = row!(&mut tx.conn, ENDED, id.0, principal.0);
                Ok(Some(match found {
                    None => return Ok(None),
                    Some((false, _)) => Deleted::NotEnded,
                    Some((true, tasks)) if tasks > LARGE => {
                        detach(tx, id.0).await?;
                        Deleted::Detached
                    }
                    Some((true, _)) => Deleted::Erased(erase(tx, &[id.0]).await?),
                }))
            }
            .boxed()
        });
        let Some(deleted) = self.answer(op, answer).await? else { return Ok(None) };
        if let Deleted::NotEnded = deleted {
            return Ok(Some(false));
        }
        // It is gone; what is left of it is nobody's, and goes later if it cannot now.
        let store = self.clone();
        soon(async move {
            match deleted {
                Deleted::Erased(paths) if paths.is_empty() => Ok(()),
                Deleted::Erased(paths) => store.remove_objects(paths).await,
                _ => store.finish().await,
            }
        })
        .await;
        Ok(Some(true))
    }

    /// Deletes what is detached, some tasks at a time. Several may do that at once.
    pub(super) async fn clear_detached(&self, pace: &mut Pace) -> Result<(), Error> {
        loop {
            let most = pace.rows() as i64;
            let (op, answer) = work(move |tx: &mut Tx| {
                async move {
                    let begun = Instant::now();
                    let detached: Option<(Uuid,)> = row!(&mut tx.conn, DETACHED, NOBODY);
                    let Some((id,)) = detached else { return Ok(None) };
                    delete_some(tx, id, most).await?;
                    Ok(Some(Took::since(begun)))
                }
                .boxed()
            });
            let Some(took) = self.answer(op, answer).await? else { return Ok(()) };
            crash_point("after-burial");
            pace.rest(took).await;
        }
    }
}

/// The first tasks of what is detached; the request itself once it has none.
async fn delete_some(tx: &mut Tx, id: Uuid, most: i64) -> Result<(), Error> {
    let first: Option<i64> = on!(&mut tx.conn, c => {
        sqlx::query_scalar(FIRST_TASK).bind(id).fetch_one(c).await?
    });
    let Some(first) = first else { return erase(tx, &[id]).await.map(drop) };
    let until = first + most;
    run!(&mut tx.conn, MARK_RESULTS, id, until, Ts(tx.now));
    run!(&mut tx.conn, DELETE_TASKS, id, until);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_together_is_bounded_and_a_large_request_goes_alone() {
        let found = |tasks, bytes| Found { id: Uuid::nil(), tasks, bytes };
        let of = |all: Vec<Found>, most| next_batch(&mut all.into(), most).len();
        assert_eq!(of((0..10).map(|_| found(1, 10)).collect(), 4), 4);
        assert_eq!(of(vec![found(LARGE, 1), found(LARGE, 1), found(LARGE, 1)], 9), 2);
        assert_eq!(of(vec![found(1, BYTES), found(1, 1)], 9), 1);
        assert_eq!(of(vec![found(1, BYTES * 2), found(1, 1)], 9), 1);
        assert_eq!(of(vec![found(1, 1), found(LARGE + 1, 1), found(1, 1)], 9), 1);
        assert_eq!(of(vec![found(LARGE + 1, 1), found(1, 1)], 9), 1);
    }
}
