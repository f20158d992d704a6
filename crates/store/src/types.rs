//! What goes in and out of the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use muster_core::input::InputTable;
use muster_core::instance::{Runs, StateName, StopWork};
use muster_core::request::Reading;
use muster_core::retry::Retry;
use muster_core::room::Place;
use muster_core::{
    Address, Amounts, ColumnKind, InstanceId, Model, ModelId, Part, PhaseName, PrincipalId,
    Request, RequestId, Row, ServerId, TaskKey, Timestamp,
};

use crate::Error;

pub struct StoreConfig {
    pub database: Database,
    pub objects: Objects,
    /// Inputs and results of a request or task up to this size stay in the database, bytes.
    pub inline_bytes: usize,
}

pub enum Database {
    /// A file of its own that goes with the store: for tests.
    Memory,
    Sqlite {
        file: PathBuf,
    },
    Postgres {
        url: String,
        schema: Option<String>,
        max_connections: u32,
    },
}

pub enum Objects {
    Folder(PathBuf),
    /// `s3://bucket/prefix` and options by the names `object_store` knows (`endpoint`, ..).
    S3 {
        url: String,
        options: Vec<(String, String)>,
    },
    Memory,
}

pub struct NewRequest {
    pub id: RequestId,
    pub principal: PrincipalId,
    pub model: Arc<Model>,
    /// The client's idempotency key, and the hash of what came with it.
    pub key: Option<String>,
    pub body_hash: [u8; 32],
    pub reading: Reading,
    /// What its owner calls it.
    pub label: Option<String>,
    pub inputs: InputTable,
    /// May known predictions be used, and new ones be kept?
    pub use_cache: bool,
}

pub struct Submitted {
    pub request: Arc<Request>,
    /// False if the same request was submitted before under the same key.
    pub created: bool,
    pub ended: crate::writer::waiters::Ending,
}

/// A request that ended.
#[derive(Clone, Debug)]
pub struct Finished {
    pub request: Arc<Request>,
    /// The whole result, when the request had one task and this server saw it end.
    pub part: Option<Arc<Part>>,
}

#[derive(Clone, Debug, Default)]
pub struct RequestFilter {
    pub id: Option<RequestId>,
    /// Of one of these; empty: of all.
    pub models: Vec<ModelId>,
    /// In one of these; empty: in all.
    pub phases: Vec<PhaseName>,
    /// Submitted then or later.
    pub from: Option<Timestamp>,
    /// Submitted then or before.
    pub to: Option<Timestamp>,
    /// A part of their label, without regard to case, or the id of one.
    pub search: Option<String>,
    /// Only requests older than this one.
    pub after: Option<RequestId>,
    pub limit: u32,
}

pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page starts, if there is one.
    pub next: Option<RequestId>,
}

/// Something changed: a hint, everything is read again.
#[derive(Clone, Debug)]
pub enum Change {
    Request {
        id: RequestId,
        principal: PrincipalId,
        phase: PhaseName,
    },
    Progress {
        id: RequestId,
        principal: PrincipalId,
    },
    Cancelled {
        id: RequestId,
    },
    Instances,
    /// What instances do and use: told on this server only.
    Noted,
    Models,
    /// Groups of nodes, or what is said of nodes.
    Nodes,
    /// Another server changed something.
    Elsewhere,
}

/// A wish for work.
#[derive(Clone, Debug)]
pub struct Claim {
    pub instance: InstanceId,
    pub model: ModelId,
    pub version: String,
    pub max_inputs: u32,
    pub lease: Duration,
    /// The instance still works: whoever has nothing to do goes first.
    pub ahead: bool,
}

#[derive(Clone, Debug)]
pub struct ClaimedTask {
    pub key: TaskKey,
    pub attempt: u32,
    pub failures: u32,
    /// Number of inputs.
    pub count: u32,
    /// The inputs as JSON array; `None` when they are in object storage: [`crate::Store::load_inputs`].
    pub inputs: Option<Bytes>,
    pub use_cache: bool,
    pub remote_job: Option<String>,
    pub(crate) range: Option<(u64, u64)>,
}

#[derive(Clone, Debug)]
pub struct TaskDone {
    pub key: TaskKey,
    pub attempt: u32,
    pub part: Arc<Part>,
    /// How many of the rows are known predictions.
    pub cached: u64,
    /// Predictions to keep: the hash of the input and its row.
    pub predictions: Vec<([u8; 32], usize)>,
}

#[derive(Clone, Debug)]
pub struct TaskBack {
    pub key: TaskKey,
    pub attempt: u32,
    pub retry: Retry,
}

/// An asynchronous job that an earlier server left running.
#[derive(Clone, Debug)]
pub struct RemoteJob {
    pub job: String,
    /// Where it runs.
    pub instance: InstanceId,
    pub model: ModelId,
    pub version: String,
    pub tasks: Vec<(TaskKey, u32)>,
}

/// The waiting tasks of a version of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub model: ModelId,
    pub version: String,
    /// Counted as far as a plan needs it, and their inputs.
    pub tasks: u64,
    pub inputs: u64,
    /// Submission of the request that waits longest, of those.
    pub oldest: Timestamp,
    /// No task may be sent before this.
    pub due: Timestamp,
}

pub struct NewInstance {
    pub id: InstanceId,
    pub model: ModelId,
    pub version: String,
    pub slot: u32,
    /// The server that launches it, if that is another one.
    pub server: Option<ServerId>,
    pub runs: Runs,
    pub why: String,
    /// What it asks of its node; nothing if it has none, as an external server.
    pub asked: Option<Amounts>,
    /// Where it shall run, if the hub chose that.
    pub place: Option<Place>,
}

#[derive(Clone, Debug)]
pub struct Instance {
    pub id: InstanceId,
    pub model: ModelId,
    pub version: String,
    pub slot: u32,
    pub runs: Runs,
    pub server: Option<ServerId>,
    pub state: InstanceState,
    pub launched_at: Timestamp,
    pub ready_at: Option<Timestamp>,
    /// `None` while it has work.
    pub idle_since: Option<Timestamp>,
    pub jobs: u64,
    /// What it asks of its node; nothing if it has none, or was launched before that was written down.
    pub asked: Option<Amounts>,
    pub place: Option<Place>,
    /// An administrator wants it to stop.
    pub stop: Option<StopOrder>,
}

/// What an administrator wants of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopOrder {
    pub work: StopWork,
    /// How long its work or, if that is not waited for, its process may take.
    pub until: Timestamp,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    Preparing,
    Starting,
    Ready { address: Address },
    Draining { address: Option<Address> },
}

impl InstanceState {
    pub fn in_a_word(&self) -> StateName {
        match self {
            Self::Preparing => StateName::Preparing,
            Self::Starting => StateName::Starting,
            Self::Ready { .. } => StateName::Ready,
            Self::Draining { .. } => StateName::Draining,
        }
    }
}

/// What a newcomer wants to know of a model's business.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub waiting: u64,
    pub running: u64,
    /// Median time from submission to end of the last completed requests, seconds.
    pub p50_seconds: Option<f64>,
    /// Median time that the last instances took to be ready once their environment was there, seconds.
    pub start_seconds: Option<f64>,
    /// What one instance answers while it works, the median of the last ones.
    pub inputs_per_second: Option<f64>,
    /// Up to a minute old.
    pub week: Week,
}

/// Requests that were submitted on each of seven days (UTC), the last one today.
pub type Week = [u64; 7];

/// A known prediction: its columns and its row.
pub type Known = (Arc<[(String, ColumnKind)]>, Row);

/// Bytes of a result that can be held to learn its length.
pub const SMALL_RESULT: u64 = 256 << 10;

/// A result on its way out.
pub struct Download {
    pub rows: u64,
    /// Results with the same tag are the same bytes.
    pub tag: String,
    /// How many bytes it has, if that is known: of none of at most [`SMALL_RESULT`].
    pub size: Option<u64>,
    pub stream: BoxStream<'static, Result<Bytes, Error>>,
}
