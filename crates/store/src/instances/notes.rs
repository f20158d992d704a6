//! What is seen of instances while they work, written down for many at a time, every few seconds.

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use muster_core::news::{Event, Pod, Usage};
use muster_core::{InstanceId, RequestId, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::{log, note, usage};
use crate::db::batch;
use crate::db::dialect;
use crate::db::statement::run;
use crate::db::text;
use crate::writer::{Tx, work};
use crate::{Change, Error, Store};

/// Of each instance so many of the newest requests that it worked on are kept.
const REQUESTS: i64 = 1_000;

const SEEN: &str = "INSERT INTO instance_seen (instance_id, node, pod_status, pod_message, pod, busy, samples, \
     cpu_now, cpu_peak, cpu_sum, memory_now, memory_peak, memory_sum, inputs, model_id, model_version) \
     SELECT id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
     model_id, model_version FROM instance WHERE id = $1 \
     ON CONFLICT (instance_id) DO UPDATE SET node = COALESCE(excluded.node, instance_seen.node), \
     pod_status = COALESCE(excluded.pod_status, instance_seen.pod_status), \
     pod_message = COALESCE(excluded.pod_message, instance_seen.pod_message), \
     pod = COALESCE(excluded.pod, instance_seen.pod), busy = instance_seen.busy + excluded.busy, \
     samples = instance_seen.samples + excluded.samples, \
     cpu_now = CASE WHEN excluded.samples > 0 THEN excluded.cpu_now ELSE instance_seen.cpu_now END, \
     cpu_peak = CASE WHEN excluded.cpu_peak > instance_seen.cpu_peak THEN excluded.cpu_peak \
     ELSE instance_seen.cpu_peak END, cpu_sum = instance_seen.cpu_sum + excluded.cpu_sum, \
     memory_now = CASE WHEN excluded.samples > 0 THEN excluded.memory_now \
     ELSE instance_seen.memory_now END, \
     memory_peak = CASE WHEN excluded.memory_peak > instance_seen.memory_peak \
     THEN excluded.memory_peak ELSE instance_seen.memory_peak END, \
     memory_sum = instance_seen.memory_sum + excluded.memory_sum, \
     inputs = instance_seen.inputs + excluded.inputs";

const TRIM: &str = "DELETE FROM instance_request WHERE instance_id = $1 AND request_id <= \
     (SELECT request_id FROM instance_request WHERE instance_id = $1 \
     ORDER BY request_id DESC LIMIT 1 OFFSET $2)";

/// What is new of one instance.
#[derive(Clone, Debug)]
pub struct InstanceNotes {
    pub instance: InstanceId,
    pub node: Option<String>,
    pub pod: Option<Pod>,
    /// What came to what was noted before.
    pub usage: Usage,
    /// Time it worked, beyond what was noted before.
    pub busy: Duration,
    /// As they are now; they take the place of what was noted of them.
    pub events: Vec<Event>,
    /// Beyond what was noted before.
    pub served: Vec<Served>,
    /// What it wrote, and how many bytes before that.
    pub log: Option<(u64, Bytes)>,
}

/// What an instance did for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    pub request: RequestId,
    pub jobs: u64,
    pub inputs: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// The same, as `dialect::note_served` reads it.
#[derive(Serialize)]
struct ServedRow {
    #[serde(serialize_with = "batch::id")]
    j_request: Uuid,
    j_jobs: u64,
    j_inputs: u64,
    j_first: i64,
    j_last: i64,
}

impl Store {
    /// Notes of instances that have no row are dropped.
    pub async fn note_instances(&self, mut notes: Vec<InstanceNotes>) -> Result<(), Error> {
        // In one order, so that servers do not wait for each other.
        notes.sort_by_key(|notes| notes.instance);
        let (notes, now) = (std::sync::Arc::new(notes), self.now());
        let (op, answer) = work(move |tx: &mut Tx| {
            let notes = std::sync::Arc::clone(&notes);
            async move {
                for notes in notes.iter() {
                    write(tx, notes, now).await?;
                }
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await?;
        // Not through the transaction, which would tell the other servers each time.
        drop(self.inner.changes.send(Change::Noted));
        Ok(())
    }
}

async fn write(tx: &mut Tx, notes: &InstanceNotes, now: Timestamp) -> Result<(), Error> {
    let (id, used) = (notes.instance, &notes.usage);
    let pod = notes.pod.as_ref();
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let written = run!(
        &mut tx.conn,
        SEEN,
        id.0,
        notes.node.as_deref().map(text::words),
        pod.map(|pod| text::words(&pod.status)),
        pod.map(|pod| text::words(&pod.message)),
        pod.map(|pod| text::words(&pod.raw.to_string())),
        i64::try_from(notes.busy.as_micros()).unwrap_or(i64::MAX),
        number(used.samples),
        number(used.cpu.now),
        number(used.cpu.peak),
        number(used.cpu.sum),
        number(used.memory.now),
        number(used.memory.peak),
        number(used.memory.sum),
        number(notes.served.iter().map(|served| served.inputs).sum()),
    );
    if written == 0 {
        return Ok(());
    }
    usage::add(tx, id, used, now).await?;
    for event in &notes.events {
        note(tx, id, event).await?;
    }
    let row = |served: &Served| ServedRow {
        j_request: served.request.0,
        j_jobs: served.jobs,
        j_inputs: served.inputs,
        j_first: served.first_at.micros(),
        j_last: served.last_at.micros(),
    };
    let mut newest = notes.served.clone();
    newest.sort_by_key(|served| std::cmp::Reverse(served.request));
    newest.truncate(REQUESTS as usize);
    let note_served = dialect::note_served(tx.conn.is_postgres());
    for rows in batch::texts(newest.iter().map(row))? {
        run!(&mut tx.conn, note_served, id.0, rows);
    }
    if !newest.is_empty() {
        run!(&mut tx.conn, TRIM, id.0, REQUESTS);
    }
    if let Some((position, bytes)) = &notes.log {
        log::append(tx, id, (*position, bytes)).await?;
    }
    Ok(())
}
