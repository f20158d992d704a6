//! The memory of Muster: requests, tasks, instances, predictions and results, on SQLite or PostgreSQL,
//! with large inputs and results in object storage. The only crate that knows SQL.

mod aside;
mod catalogue;
mod clearing;
mod counters;
mod crash;
mod db;
mod error;
mod examine;
mod instances;
mod nodes;
mod objects;
mod open;
mod oversight;
mod people;
mod predictions;
mod queue;
mod requests;
mod statistics;
mod types;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use bytes::Bytes;
use muster_core::{ModelId, ServerId};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use aside::{INLINE, aside, aside_if};
pub use catalogue::edits::{Entry, ModelAct, ModelDone, Owner};
pub use catalogue::images::SeenImage;
pub use catalogue::trials::Trials;
pub use catalogue::versions::{
    ModelVersion, NewVersion, Pushed, RolledBack, VersionState, trial_id,
};
pub use clearing::{Clear, Cleared, ClearedBy};
pub use counters::{Counter, Counters};
pub use crash::crash_point;
pub use db::clock::Clock;
pub use error::Error;
pub use examine::{examine_database, examine_objects};
pub use instances::servers::{Heard, HubServer};
pub use instances::{
    InstanceFilter, InstanceNotes, InstanceRecord, LogPiece, Phase, Seen, Served, Span, Stop,
    StopWish, Stopped, WhichEvents,
};
pub use nodes::{GroupRow, Marking};
pub use oversight::{
    Moved, Overseen, OverseenWhole, OversightFilter, OversightPage, Requeued, Step,
};
pub use people::accounts::{Account, NewAccount, NewLink, Purpose};
pub use people::audit::{AuditAction, AuditEntry, AuditFilter, AuditLine};
pub use people::logins::LoginTry;
pub use people::quota::Kept;
pub use people::sessions::{NewSession, OVERLAP, Rotation, Session, SessionKind, Successor, TOUCH};
pub use people::users::{AccountFilter, AdminAct, Administered};
pub use queue::line::Standing;
pub use requests::download::{Format, Window};
use statistics::Weeks;
pub use statistics::{
    Answer, Choice, ChoiceFilter, Choices, Difference, PersonChoice, RolledUp, UserFigures,
};
pub use types::*;
pub use writer::waiters::Ending;

/// What the writer is asked for, and what it asks of the subjects.
type Op = writer::Op<Subjects>;

struct Subjects;

impl writer::Subjects for Subjects {
    type Submission = requests::submit::Submission;

    fn submissions(all: Vec<Self::Submission>) -> Box<dyn writer::Work> {
        requests::submit::Submissions::new(all)
    }

    async fn claim(
        tx: &mut writer::Tx,
        claim: &Claim,
        inner: &Inner,
    ) -> Result<writer::Claimed, Error> {
        queue::claim::claim(tx, claim, inner).await
    }
}

/// The store of one server. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db: db::Db,
    objects: objects::ObjectFolder,
    clock: Clock,
    server: ServerId,
    inline_bytes: usize,
    ops: mpsc::Sender<Op>,
    parked: writer::Parked,
    waiters: Arc<writer::waiters::Waiters>,
    changes: broadcast::Sender<Change>,
    queue_changed: watch::Sender<u64>,
    unseen: queue::unseen::Unseen,
    notify: Notify,
    /// Held from a commit of the writer until those who wait are told of it.
    telling: tokio::sync::Mutex<()>,
    /// See [`Store::epoch`].
    epoch: std::sync::atomic::AtomicU64,
    /// Another server changed something; and does this one hear of it?
    elsewhere: Notify,
    listens: std::sync::atomic::AtomicBool,
    counters: Counters,
    /// Predictions that answered inputs today, as far as it is not written down.
    used: predictions::last_used::Used,
    /// A transaction of the writer is committed.
    committed: tokio::sync::Notify,
    /// Rows of `ended` that were rolled up since it was vacuumed.
    rolled_up: std::sync::atomic::AtomicU64,
    /// Up to which request it was looked whether its objects are there.
    checked: Mutex<uuid::Uuid>,
    models: RwLock<catalogue::Catalogue>,
    models_changed: Notify,
    /// Folders that were pushed run as pods.
    folders_in_pods: std::sync::atomic::AtomicBool,
    held: watch::Sender<HashMap<ModelId, String>>,
    planned: instances::planned::PlannedHere,
    figures: tokio::sync::Mutex<Option<(Instant, HashMap<ModelId, Figures>)>>,
    weeks: tokio::sync::Mutex<Option<(Instant, Weeks)>>,
    lines: tokio::sync::Mutex<queue::line::Lines>,
    /// How far the database's clock is ahead of [`Clock::steady`], microseconds.
    ahead: std::sync::atomic::AtomicI64,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Held as long as this server uses the folder.
    lock: Mutex<Option<File>>,
    /// A database for a test goes with its store.
    temporary: Option<PathBuf>,
}

impl Store {
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub fn server(&self) -> ServerId {
        self.inner.server
    }

    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// What changes: a hint, for live updates. Slow listeners miss some.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// Changes whenever something was queued.
    pub fn queue_changed(&self) -> watch::Receiver<u64> {
        self.inner.queue_changed.subscribe()
    }

    /// The inputs of a task as JSON array.
    pub async fn load_inputs(&self, task: &ClaimedTask) -> Result<Bytes, Error> {
        if let Some(inputs) = &task.inputs {
            return Ok(inputs.clone());
        }
        let (at, len) =
            task.range.ok_or_else(|| Error::Corrupt("the inputs of a task are missing".into()))?;
        let path = format!("inputs/{}", task.key.request);
        self.inner.objects.get_sealed(&path, at, len).await
    }

    async fn send(&self, op: Op) -> Result<(), Error> {
        self.inner.ops.send(op).await.map_err(|_| Error::unavailable("the store is closed"))
    }

    /// Sends an operation to the writer and waits for its commit.
    async fn answer<T>(
        &self,
        op: Op,
        answer: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        self.send(op).await?;
        answer.await.map_err(|_| Error::unavailable("the store is closed"))?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary
            && let Err(error) = std::fs::remove_dir_all(folder)
        {
            tracing::debug!(%error, "a test's database stays");
        }
    }
}
