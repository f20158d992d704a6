//! What happened to an instance.

use muster_core::news::{Event, Level};
use muster_core::{InstanceId, Timestamp};

use crate::db::Ts;
use crate::db::statement::{named_row, rows, run};
use crate::db::text;
use crate::writer::Tx;
use crate::{Error, Store};

const NOTE: &str = "INSERT INTO instance_event (instance_id, source, uid, kind, level, message, count, \
     first_at, last_at, seq, raw) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
     ON CONFLICT (instance_id, source, uid) DO UPDATE SET kind = excluded.kind, \
     level = excluded.level, message = excluded.message, count = excluded.count, \
     last_at = excluded.last_at, seq = excluded.seq, raw = excluded.raw";

const EVENTS: &str = "SELECT source, uid, kind, level, message, count, first_at, last_at, seq, raw \
     FROM instance_event WHERE instance_id = $1 \
     AND ($2 IS NULL OR (last_at, seq, source, uid) < ($2, $3, $4, $5)) \
     ORDER BY last_at DESC, seq DESC, source DESC, uid DESC LIMIT $6";

/// An instance has a hundred of these at most.
const PHASES: &str = "SELECT kind, first_at, message FROM instance_event \
     WHERE instance_id = $1 AND source = 'hub' AND kind IN ('launched', 'preparing', 'starting', 'ready', 'draining') \
     ORDER BY first_at, uid LIMIT 200";

/// Which events to list.
#[derive(Clone, Debug)]
pub struct WhichEvents {
    pub instance: InstanceId,
    /// Only older ones: `last_at`, `seq`, `source` and `uid` of the last that was seen.
    pub after: Option<(Timestamp, u64, String, String)>,
    pub limit: u32,
}

/// A phase of an instance's life, as it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// `launched`, `preparing`, `starting`, `ready` or `draining`.
    pub name: String,
    pub at: Timestamp,
    /// Why, or what it was busy with.
    pub cause: String,
}

named_row! {
    struct EventRow {
        source: String,
        uid: String,
        kind: String,
        level: String,
        message: String,
        count: i64,
        first_at: Ts,
        last_at: Ts,
        seq: i64,
        raw: Option<String>,
    }
}

impl Store {
    /// The newest first.
    pub async fn instance_events(&self, which: &WhichEvents) -> Result<Vec<Event>, Error> {
        let after = which.after.as_ref();
        let source = after.map(|(.., source, _)| text::exact(source)).transpose()?;
        let uid = after.map(|(.., uid)| text::exact(uid)).transpose()?;
        let mut conn = self.inner.db.read().await?;
        let found: Vec<EventRow> = rows!(
            &mut conn,
            EVENTS,
            which.instance.0,
            after.map(|(at, ..)| Ts(*at)),
            after.map(|(_, seq, ..)| *seq as i64),
            source,
            uid,
            i64::from(which.limit),
        );
        found.into_iter().map(event).collect()
    }

    /// What an instance was busy with so far, the oldest first; its end is in its record.
    pub async fn instance_phases(&self, id: InstanceId) -> Result<Vec<Phase>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<(String, Ts, String)> = rows!(&mut conn, PHASES, id.0);
        let phase = |(name, at, cause): (String, Ts, String)| Phase { name, at: at.0, cause };
        Ok(found.into_iter().map(phase).collect())
    }
}

/// Writes an event down; one of the same source and uid takes its place.
pub(crate) async fn note(tx: &mut Tx, id: InstanceId, event: &Event) -> Result<(), Error> {
    let raw = event.raw.as_ref().map(|raw| text::words(&raw.to_string()));
    run!(
        &mut tx.conn,
        NOTE,
        id.0,
        text::words(&event.source),
        text::words(&event.uid),
        text::words(&event.kind),
        event.level.name(),
        text::words(&event.message),
        event.count as i64,
        Ts(event.first_at),
        Ts(event.last_at),
        event.seq as i64,
        &raw,
    );
    Ok(())
}

fn event(row: EventRow) -> Result<Event, Error> {
    let EventRow { source, uid, kind, level, message, count, first_at, last_at, seq, raw } = row;
    let raw = raw.map(|raw| serde_json::from_str(&raw)).transpose();
    Ok(Event {
        source,
        uid,
        kind,
        level: if level == "warning" { Level::Warning } else { Level::Normal },
        message,
        count: count as u64,
        first_at: first_at.0,
        last_at: last_at.0,
        seq: seq as u64,
        raw: raw.map_err(|_| Error::Corrupt("an event".into()))?,
    })
}
