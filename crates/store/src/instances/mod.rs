//! Instances in the books: intent first, then what was seen.

mod events;
mod list;
mod log;
mod notes;
pub mod planned;
mod room;
pub mod servers;
mod stop;
mod usage;

use futures::FutureExt;
use muster_core::instance::{EndCause, Runs, StateName, StopWork};
use muster_core::news::{Event, Level};
use muster_core::{Address, InstanceId, ServerId};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::on;
use crate::db::dialect::instance_state;
use crate::db::statement::{named_row, run};
use crate::db::text;
use crate::instances::servers::leads;
use crate::requests::end::requeued;
use crate::writer::{Tx, work};
use crate::{Change, Error, Instance, InstanceState, NewInstance, Store};

pub(crate) use events::note;
pub use events::{Phase, WhichEvents};
pub use list::{InstanceFilter, InstanceRecord, Seen, Stop};
pub use log::LogPiece;
pub use notes::{InstanceNotes, Served};
pub use stop::{StopWish, Stopped};
pub use usage::Span;

const ADD: &str = "INSERT INTO instance (id, model_id, model_version, slot, runs, server_id, state, \
     why, launched_at, jobs, asked, node, devices) \
     SELECT $1, $2, $3, $4, $5, $6, 'starting', $7, $8, 0, $9, $10, $11 \
     WHERE NOT EXISTS (SELECT 1 FROM node_mark WHERE node = $10) \
     ON CONFLICT (model_id, slot) WHERE state <> 'ended' DO NOTHING";

const PREPARING: &str =
    "UPDATE instance SET is_preparing = TRUE WHERE id = $1 AND state = 'starting'";

const PREPARED: &str = "UPDATE instance SET is_preparing = FALSE, prepared_at = $1 \
     WHERE id = $2 AND state = 'starting' AND is_preparing";

const READY: &str = "UPDATE instance SET state = 'ready', address = $1, \
     ready_at = COALESCE(ready_at, $2), \
     idle_since = CASE WHEN state = 'ready' THEN idle_since ELSE $2 END, \
     prepared_at = CASE WHEN is_preparing THEN $2 ELSE prepared_at END, is_preparing = FALSE, \
     server_id = $3 WHERE id = $4 AND state IN ('starting', 'ready')";

const DRAINING: &str =
    "UPDATE instance SET state = 'draining' WHERE id = $1 AND state IN ('starting', 'ready')";

const ENDED: &str = "UPDATE instance SET state = 'ended', ended_at = $1, end_cause = $2 \
     WHERE id = $3 AND state <> 'ended'";

const REQUEUE: &str = "UPDATE task SET state = 'queued', lease_until = NULL, remote_job = NULL, \
     not_before = $1 WHERE state = 'leased' AND instance_id = $2 RETURNING model_id";

const ALIVE: &str = concat!(
    "SELECT id, model_id, model_version, slot, runs, server_id, ",
    instance_state!(),
    ", address, launched_at, ready_at, idle_since, jobs, stop_work, stop_until, stop_reason, \
     asked, node, devices \
     FROM instance i WHERE state <> 'ended' ORDER BY id"
);

/// Tasks that an instance works on, whoever called it.
const HELD: &str = "SELECT COUNT(*) FROM task WHERE state = 'leased' AND instance_id = $1";

named_row! {
    struct AliveRow {
        id: Uuid,
        model: String,
        version: String,
        slot: i64,
        runs: String,
        server: Uuid,
        state: String,
        address: Option<String>,
        launched_at: Ts,
        ready_at: Option<Ts>,
        idle_since: Option<Ts>,
        jobs: i64,
        stop_work: Option<String>,
        stop_until: Option<Ts>,
        stop_reason: Option<String>,
        asked: Option<String>,
        node: Option<String>,
        devices: Option<String>,
    }
}

impl Store {
    /// Writes down that an instance shall be; false if its slot or a device is taken, its node
    /// gets nothing new, or another server plans by now.
    pub async fn add_instance(&self, new: NewInstance) -> Result<bool, Error> {
        text::exact(&new.version)?;
        let placed = std::sync::Arc::new(room::Placed::new(&new)?);
        let new = std::sync::Arc::new(NewInstance { why: text::words(&new.why), ..new });
        let server = self.inner.server;
        let (op, answer) = work(move |tx: &mut Tx| {
            let (new, placed) = (std::sync::Arc::clone(&new), std::sync::Arc::clone(&placed));
            async move {
                if !leads(tx, server).await? {
                    return Ok(false);
                }
                let now = tx.now;
                let launches = new.server.unwrap_or(server);
                // What a dead server launches would never end.
                if launches != server && !servers::is_there(tx, launches).await? {
                    return Ok(false);
                }
                tx.after.elsewhere |= launches != server;
                let added = on!(&mut tx.conn, c => {
                    sqlx::query(ADD)
                        .bind(new.id.0)
                        .bind(new.model.as_str())
                        .bind(&new.version)
                        .bind(i64::from(new.slot))
                        .bind(new.runs.name())
                        .bind(launches.0)
                        .bind(&new.why)
                        .bind(Ts(now))
                        .bind(&placed.asked)
                        .bind(&placed.node)
                        .bind(&placed.devices)
                        .execute(c)
                        .await?
                        .rows_affected()
                });
                if added == 0 || !room::hold_devices(tx, &new).await? {
                    return Ok(false);
                }
                happened(tx, new.id, Event::once("launched", new.why.clone(), now)).await?;
                Ok(true)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Its environment is being made, or is not any more.
    pub async fn instance_preparing(&self, id: InstanceId, is_it: bool) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let rows = if is_it {
                    run!(&mut tx.conn, PREPARING, id.0)
                } else {
                    run!(&mut tx.conn, PREPARED, Ts(tx.now), id.0)
                };
                if rows > 0 {
                    tx.after.changes.push(Change::Instances);
                }
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    pub async fn instance_ready(&self, id: InstanceId, address: &Address) -> Result<(), Error> {
        let server = self.inner.server;
        let address = serde_json::to_string(address).map_err(|e| Error::Refused(e.to_string()))?;
        let (op, answer) = work(move |tx: &mut Tx| {
            let address = address.clone();
            async move {
                let now = tx.now;
                if run!(&mut tx.conn, READY, &address, Ts(now), server.0, id.0) > 0 {
                    happened(tx, id, Event::once("ready", "it takes work", now)).await?;
                }
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// It gets nothing new from now on, for this; false if another server plans by now.
    pub async fn instance_draining(&self, id: InstanceId, why: &EndCause) -> Result<bool, Error> {
        let (why, server) = (why.without_words().to_string(), self.inner.server);
        let (op, answer) = work(move |tx: &mut Tx| {
            let why = why.clone();
            async move {
                if !leads(tx, server).await? {
                    return Ok(false);
                }
                if run!(&mut tx.conn, DRAINING, id.0) > 0 {
                    let at = tx.now;
                    happened(tx, id, Event::once("draining", why, at)).await?;
                }
                Ok(true)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// It is no more; its tasks go back to the queue. Says how many. What the model wrote last is not
    /// kept with the cause: it is in the log.
    pub async fn instance_ended(&self, id: InstanceId, cause: &EndCause) -> Result<u64, Error> {
        let cause = cause.without_words();
        let text = serde_json::to_string(&cause).map_err(|e| Error::Refused(e.to_string()))?;
        let (op, answer) = work(move |tx: &mut Tx| {
            let (text, ending) = (text.clone(), ending(&cause));
            async move {
                let now = tx.now;
                let models: Vec<String> = on!(&mut tx.conn, c => {
                    let ended = sqlx::query(ENDED)
                        .bind(Ts(now))
                        .bind(&text)
                        .bind(id.0)
                        .execute(&mut *c)
                        .await?
                        .rows_affected();
                    if ended == 0 {
                        return Ok(0);
                    }
                    sqlx::query_scalar(REQUEUE).bind(Ts(now)).bind(id.0).fetch_all(c).await?
                });
                happened(tx, id, Event { first_at: now, last_at: now, ..ending }).await?;
                requeued(tx, models)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Those that did not end.
    pub async fn instances(&self) -> Result<Vec<Instance>, Error> {
        let mut conn = self.inner.db.read().await?;
        let rows: Vec<AliveRow> = on!(&mut conn, c => sqlx::query_as(ALIVE).fetch_all(c).await?);
        rows.into_iter().map(instance).collect()
    }

    /// Does it work on nothing, whichever server called it?
    pub async fn is_free(&self, id: InstanceId) -> Result<bool, Error> {
        let mut conn = self.inner.db.read().await?;
        let held: i64 =
            on!(&mut conn, c => sqlx::query_scalar(HELD).bind(id.0).fetch_one(c).await?);
        Ok(held == 0)
    }
}

/// Writes an event down and tells of it.
pub(crate) async fn happened(tx: &mut Tx, id: InstanceId, event: Event) -> Result<(), Error> {
    note(tx, id, &event).await?;
    tx.after.changes.push(Change::Instances);
    Ok(())
}

/// The event of an end; when it was is for the caller to say.
pub(crate) fn ending(cause: &EndCause) -> Event {
    let level = if cause.is_failure() { Level::Warning } else { Level::Normal };
    let raw = serde_json::to_value(cause).ok();
    let ended = Event::once(cause.name(), cause.to_string(), muster_core::Timestamp::default());
    Event { level, raw, ..ended }
}

fn runs(text: &str) -> Result<Runs, Error> {
    text.parse().map_err(|_| Error::Corrupt("where an instance runs".into()))
}

fn state(text: &str) -> Result<StateName, Error> {
    text.parse().map_err(|_| Error::Corrupt("the state of an instance".into()))
}

fn instance(row: AliveRow) -> Result<Instance, Error> {
    let address: Option<Address> = match row.address {
        Some(text) => {
            Some(serde_json::from_str(&text).map_err(|_| Error::Corrupt("an address".into()))?)
        }
        None => None,
    };
    let state = match (state(&row.state)?, address) {
        (StateName::Ready, Some(address)) => InstanceState::Ready { address },
        (StateName::Draining, address) => InstanceState::Draining { address },
        (StateName::Preparing, _) => InstanceState::Preparing,
        _ => InstanceState::Starting,
    };
    Ok(Instance {
        id: InstanceId(row.id),
        model: row.model.parse().map_err(|_| Error::Corrupt("a model id".into()))?,
        version: row.version,
        slot: row.slot as u32,
        runs: runs(&row.runs)?,
        server: Some(ServerId(row.server)),
        state,
        launched_at: row.launched_at.0,
        ready_at: row.ready_at.map(|at| at.0),
        idle_since: row.idle_since.map(|at| at.0),
        jobs: row.jobs as u64,
        asked: room::asked(row.asked.as_deref())?,
        place: room::place(row.node, row.devices.as_deref())?,
        stop: match row.stop_work {
            Some(work) => Some(crate::StopOrder {
                work: work.parse::<StopWork>().map_err(|_| Error::Corrupt("a stop".into()))?,
                until: row.stop_until.map_or(row.launched_at.0, |at| at.0),
                reason: row.stop_reason.unwrap_or_default(),
            }),
            None => None,
        },
    })
}
