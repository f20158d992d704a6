//! Servers: who lives, who plans, and what becomes of what a dead one held.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use muster_core::instance::EndCause;
use muster_core::news::Event;
use muster_core::room::{Mark, MarkKind, NodeId, NodeView};
use muster_core::{InstanceId, ServerId, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::on;
use crate::db::dialect::{self, seen};
use crate::db::statement::{row, rows};
use crate::instances::{ending, happened};
use crate::requests::end::requeued;
use crate::writer::{Tx, work};
use crate::{Error, Store, crash_point};

/// A server that was not seen for this long is dead.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(30);

const NAME_HUB: &str = "INSERT INTO hub (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
const HUB: &str = "SELECT id FROM hub";

const SET_KEY: &str = "UPDATE hub SET folder_key = $1 WHERE folder_key IS NULL";
const KEY: &str = "SELECT folder_key FROM hub WHERE folder_key IS NOT NULL";

const DEAD: &str = "SELECT id FROM server WHERE id <> $1 AND ($2 OR seen_at < $3)";

const REQUEUE: &str = "UPDATE task SET state = 'queued', lease_until = NULL, not_before = $1 \
     WHERE state = 'leased' AND remote_job IS NULL AND server_id = $2 RETURNING model_id";

const END_INSTANCES: &str = "UPDATE instance SET state = 'ended', ended_at = $1, end_cause = $2 \
     WHERE server_id = $3 AND runs = 'process' AND state <> 'ended' RETURNING id";

const LIST: &str = "SELECT s.id, s.started_at, s.seen_at, EXISTS (SELECT 1 FROM leader \
     WHERE duty = 'plan' AND server_id = s.id AND until > $1) FROM server s ORDER BY s.started_at, s.id";

const FORGET: &str = "DELETE FROM server WHERE id = $1";

const LEADS: &str = "SELECT COUNT(*) FROM leader \
     WHERE duty = 'plan' AND server_id = $1 AND until > $2";

const STEP_DOWN: &str = "DELETE FROM leader WHERE server_id = $1";

/// What a heartbeat brings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Servers that died.
    pub died: usize,
    /// Of the other servers that live, the machines.
    pub others: Vec<(ServerId, NodeView)>,
    /// The nodes that get nothing new.
    pub marks: Vec<Mark>,
}

/// A server with its machine, as `dialect::seen` lists it.
#[derive(Deserialize)]
struct OtherRow {
    server: ServerId,
    node: NodeView,
}

fn others_of(json: &str) -> Result<Vec<(ServerId, NodeView)>, Error> {
    let rows: Vec<Value> =
        serde_json::from_str(json).map_err(|_| Error::Corrupt("the machines of servers".into()))?;
    // One of another version may say what is not understood here: nothing is placed on it.
    let read = rows.into_iter().filter_map(|row| serde_json::from_value(row).ok());
    Ok(read.map(|OtherRow { server, node }| (server, node)).collect())
}

/// A mark, as `dialect::seen` lists it.
#[derive(Deserialize)]
struct MarkRow {
    node: NodeId,
    kind: MarkKind,
    ours: bool,
    /// Microseconds.
    since: i64,
    why: String,
}

fn marks_of(json: &str) -> Result<Vec<Mark>, Error> {
    let rows: Vec<MarkRow> =
        serde_json::from_str(json).map_err(|_| Error::Corrupt("the marks of nodes".into()))?;
    let mark = |MarkRow { node, kind, ours, since, why }: MarkRow| Mark {
        node,
        kind,
        ours,
        since: Timestamp(since),
        why,
    };
    Ok(rows.into_iter().map(mark).collect())
}

/// A server of this hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubServer {
    pub id: ServerId,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
    /// It decides which instances there are.
    pub plans: bool,
}

impl Store {
    /// All that live, and those that died a moment ago, in the order of their starts.
    pub async fn list_servers(&self) -> Result<Vec<HubServer>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<(Uuid, Ts, Ts, bool)> = rows!(&mut conn, LIST, Ts(self.now()));
        // On SQLite nobody contends, so nobody writes down who plans.
        let alone = !conn.is_postgres();
        let server = |(id, started, seen, plans): (Uuid, Ts, Ts, bool)| HubServer {
            id: ServerId(id),
            started_at: started.0,
            seen_at: seen.0,
            plans: plans || alone,
        };
        Ok(found.into_iter().map(server).collect())
    }

    /// Says that this server lives, and ends what dead ones held; says how many died.
    pub async fn heartbeat(&self) -> Result<usize, Error> {
        Ok(self.reap(false, None).await?.died)
    }

    /// The same, and says what its machine is.
    pub async fn heartbeat_of(&self, node: Option<&NodeView>) -> Result<Heard, Error> {
        self.reap(false, node).await
    }

    /// `alone`: nobody else uses the database, so every other server is dead.
    pub(crate) async fn reap(&self, alone: bool, node: Option<&NodeView>) -> Result<Heard, Error> {
        let server = self.inner.server;
        let json = node.map(serde_json::to_string).transpose();
        let json: Option<Arc<str>> =
            json.map_err(|e| Error::Refused(e.to_string()))?.map(Arc::from);
        let (op, answer) = work(move |tx: &mut Tx| {
            let json = json.clone();
            async move {
                let (now, before) = (Ts(tx.now), Ts(tx.now - DEAD_AFTER));
                let says = seen(tx.conn.is_postgres());
                let seen: Option<(i64, Option<String>, Option<String>)> =
                    row!(&mut tx.conn, says, server.0, now, alone, before, json.as_deref());
                let (dead, others, marks) = seen.unwrap_or_default();
                let others = others.as_deref().map(others_of).transpose()?.unwrap_or_default();
                let marks = marks.as_deref().map(marks_of).transpose()?.unwrap_or_default();
                if dead == 0 {
                    return Ok(Heard { died: 0, others, marks });
                }
                let dead: Vec<(Uuid,)> = rows!(&mut tx.conn, DEAD, server.0, alone, before);
                for (id,) in &dead {
                    release(tx, *id).await?;
                    crash_point("during-recovery");
                }
                Ok(Heard { died: dead.len(), others, marks })
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Is this server the one that plans?
    pub async fn lead(&self, lease: Duration) -> Result<bool, Error> {
        if !self.inner.db.is_postgres() {
            return Ok(true);
        }
        let server = self.inner.server;
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let now = tx.now;
                let epoch: Option<i64> = on!(&mut tx.conn, c => {
                    sqlx::query_scalar(dialect::LEAD_POSTGRES)
                        .bind(server.0)
                        .bind(Ts(now + lease))
                        .bind(Ts(now))
                        .fetch_optional(c)
                        .await?
                });
                Ok(epoch)
            }
            .boxed()
        });
        let epoch = self.answer(op, answer).await?;
        if let Some(epoch) = epoch {
            self.inner.epoch.store(epoch as u64, Ordering::Relaxed);
        }
        Ok(epoch.is_some())
    }

    /// The name of all hubs on this database together: made when one asks first.
    pub async fn hub(&self) -> Result<String, Error> {
        let new = self.inner.clock.id().simple().to_string();
        let (op, answer) = work(move |tx: &mut Tx| {
            let new = new.clone();
            async move {
                Ok(on!(&mut tx.conn, c => {
                    sqlx::query(NAME_HUB).bind(&new).execute(&mut *c).await?;
                    sqlx::query_scalar::<_, String>(HUB).fetch_one(c).await?
                }))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// With what all hubs on this database together sign links to folders: this new one if there is none yet.
    pub async fn folder_key(&self, new: [u8; 32]) -> Result<Vec<u8>, Error> {
        // Its row is made with its name.
        self.hub().await?;
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                Ok(on!(&mut tx.conn, c => {
                    sqlx::query(SET_KEY).bind(&new[..]).execute(&mut *c).await?;
                    sqlx::query_scalar::<_, Vec<u8>>(KEY).fetch_one(c).await?
                }))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// How often the plan changed hands before this server got it last: who planned before has a smaller
    /// number.
    pub fn epoch(&self) -> u64 {
        self.inner.epoch.load(Ordering::Relaxed)
    }

    /// Gives back what this server holds, so that the next one need not wait for leases to end.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        let server = self.inner.server;
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                on!(&mut tx.conn, c => {
                    sqlx::query(STEP_DOWN).bind(server.0).execute(c).await.map(|_| ())?
                });
                release(tx, server.0).await?;
                crash_point("during-leave");
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}

/// Does this server still plan? One that was frozen since it planned may not.
pub(crate) async fn leads(tx: &mut Tx, server: ServerId) -> Result<bool, Error> {
    if !tx.conn.is_postgres() {
        return Ok(true);
    }
    let now = tx.now;
    let leases: i64 = on!(&mut tx.conn, c => {
        sqlx::query_scalar(LEADS).bind(server.0).bind(Ts(now)).fetch_one(c).await?
    });
    Ok(leases > 0)
}

/// Is there another server, which nobody buries before the transaction has ended?
pub(super) async fn is_there(tx: &mut Tx, server: ServerId) -> Result<bool, Error> {
    let there: Option<(i64,)> = row!(&mut tx.conn, dialect::SERVER_POSTGRES, server.0);
    Ok(there.is_some())
}

async fn release(tx: &mut Tx, server: Uuid) -> Result<(), Error> {
    let now = tx.now;
    let cause = serde_json::to_string(&EndCause::ServerGone).unwrap_or_default();
    let ended: Vec<Uuid> = on!(&mut tx.conn, c => {
        sqlx::query_scalar(END_INSTANCES)
            .bind(Ts(now))
            .bind(&cause)
            .bind(server)
            .fetch_all(c)
            .await?
    });
    for id in ended {
        let event = Event { first_at: now, last_at: now, ..ending(&EndCause::ServerGone) };
        happened(tx, InstanceId(id), event).await?;
    }
    let models: Vec<String> = on!(&mut tx.conn, c => {
        let models = sqlx::query_scalar(REQUEUE)
            .bind(Ts(now))
            .bind(server)
            .fetch_all(&mut *c)
            .await?;
        sqlx::query(FORGET).bind(server).execute(c).await?;
        models
    });
    requeued(tx, models)?;
    Ok(())
}
