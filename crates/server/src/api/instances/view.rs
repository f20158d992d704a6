//! What administrators see of instances. There is no place for inputs, results or words of a model;
//! the log has a route of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_core::news::{Event, Gauge};
use muster_core::{Amounts, EndCause, InstanceId, ModelId, PrincipalId, RequestId, Timestamp};
use muster_store::{InstanceRecord, Phase, Served, Span};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An instance: one running copy of a model, from its launch to its end.
#[derive(Serialize, ToSchema)]
#[schema(as = Instance)]
pub struct InstanceView {
    #[schema(value_type = String, format = Uuid)]
    pub id: InstanceId,
    #[schema(value_type = String, example = "rdkit-descriptors")]
    pub model: ModelId,
    #[schema(example = "1.0.0+3fa9c1d2")]
    pub model_version: String,
    /// `preparing` (its environment is being made), `starting`, `ready`, `draining` (it gets nothing more) or `ended`.
    #[schema(example = "ready")]
    pub state: &'static str,
    /// `process` of a hub, a server `elsewhere`, or a `pod`
    #[schema(example = "process")]
    pub runs: &'static str,
    /// What the cluster says of its pod, in a word; null if it is none.
    #[schema(example = "Running")]
    pub pod_status: Option<String>,
    /// What the cluster says of a pod that waits or did not end well, in its own words: its scheduler, its node
    /// or its image's registry; null if it says nothing.
    #[schema(example = "0/9 nodes are available: 9 Insufficient nvidia.com/gpu.")]
    pub pod_message: Option<String>,
    /// The machine it runs on, if that is known.
    #[schema(example = "compute-3")]
    pub node: Option<String>,
    /// What it was launched with, to be had on its machine; null if it has none of ours.
    pub asked: Option<AskedView>,
    /// GPUs of its machine that it has for itself.
    #[schema(example = json!(["GPU-8f2b1c3d-0000-4000-8000-000000000000"]))]
    pub devices: Vec<String>,
    /// Why it was launched.
    #[schema(example = "3 inputs wait")]
    pub launch_cause: String,
    #[schema(value_type = String, format = DateTime)]
    pub launched_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<Timestamp>,
    /// `ready_at` - `launched_at`
    pub start_seconds: Option<f64>,
    /// Since when it has nothing to do; null while it works, and before it was ready.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub idle_since: Option<Timestamp>,
    /// The part of its time since it was ready in which it did nothing: 0 to 1.
    #[schema(example = 0.25)]
    pub idle_share: Option<f64>,
    /// Calls of the model.
    pub jobs: u64,
    /// What it works on now; at most 100.
    #[schema(value_type = Vec<String>)]
    pub requests: Vec<RequestId>,
    /// What its processes use; null as long as nobody looked.
    pub resources: Option<ResourcesView>,
    /// An administrator wants it to stop.
    pub stop: Option<StopView>,
    /// Why it is no more; null while it runs.
    pub end: Option<EndView>,
}

/// What an instance asks of its machine.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceAsked)]
pub struct AskedView {
    /// Cores.
    #[schema(example = 0.1)]
    pub cpu: f64,
    /// Bytes.
    pub memory: u64,
    /// Bytes.
    pub storage: u64,
    /// GPUs and the like, by their resource names.
    #[schema(example = json!({"nvidia.com/gpu": 1}))]
    pub named: BTreeMap<String, u64>,
}

/// What the processes of an instance use.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceResources)]
pub struct ResourcesView {
    /// Cores.
    pub cpu: GaugeView,
    /// Bytes.
    pub memory: GaugeView,
}

/// The last sample, the largest, and their mean.
#[derive(Serialize, ToSchema)]
#[schema(as = Gauge)]
pub struct GaugeView {
    pub now: f64,
    pub peak: f64,
    pub average: f64,
}

/// What an instance used, span after span.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceCourse)]
pub struct CourseView {
    pub spans: Vec<SpanView>,
}

/// What an instance used for a while.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceSpan)]
pub struct SpanView {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How long it is; the last one may not be over.
    #[schema(example = 30)]
    pub seconds: u64,
    /// Cores.
    pub cpu: LevelView,
    /// Bytes.
    pub memory: LevelView,
}

/// The largest sample, and the mean of all.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageLevel)]
pub struct LevelView {
    pub peak: f64,
    pub average: f64,
}

impl CourseView {
    pub fn new(launched: Timestamp, spans: Vec<Span>) -> Self {
        let view = |Span { from, seconds, usage }| {
            let level = |of: Gauge, unit: f64| LevelView {
                peak: of.peak as f64 / unit,
                average: average(of, usage.samples, unit),
            };
            let at = launched + Duration::from_secs(from);
            SpanView {
                at,
                seconds,
                cpu: level(usage.cpu, 1000.0),
                memory: level(usage.memory, 1.0),
            }
        };
        Self { spans: spans.into_iter().map(view).collect() }
    }
}

/// Of the samples that a gauge is of.
fn average(of: Gauge, samples: u64, unit: f64) -> f64 {
    rounded(of.sum as f64 / samples.max(1) as f64 / unit)
}

#[derive(Serialize, ToSchema)]
#[schema(as = InstanceStop)]
pub struct StopView {
    /// `requeue`, `fail` or `drain`
    #[schema(example = "drain")]
    pub work: &'static str,
    pub reason: String,
    /// Who asked.
    #[schema(value_type = String, format = Uuid)]
    pub by: PrincipalId,
    /// Their user name, if the account is still there.
    #[schema(example = "ada")]
    pub by_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Timestamp,
    /// How long its work or, if that is not waited for, its process may take.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InstanceEnd)]
pub struct EndView {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why it ended, in a word; docs/instances.md tells whose doing each is
    #[schema(example = "exited")]
    pub cause: &'static str,
    #[schema(example = "its process was killed by signal 9")]
    pub message: String,
    /// Of a process that ended by itself.
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
}

/// An instance and how it came to be what it is.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceDetails)]
pub struct DetailsView {
    #[serde(flatten)]
    pub instance: InstanceView,
    /// All that the cluster says of its pod; null for a process.
    #[schema(value_type = Option<Object>)]
    pub pod: Option<Value>,
    /// The oldest first.
    pub phases: Vec<PhaseView>,
}

/// A phase of its life, as it was observed.
#[derive(Serialize, ToSchema)]
#[schema(as = InstancePhase)]
pub struct PhaseView {
    /// `launched`, `preparing`, `starting`, `ready`, `draining` or `ended`
    #[schema(example = "starting")]
    pub phase: String,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why, or what it was busy with.
    #[schema(example = "installing packages")]
    pub cause: String,
    /// Until the next one; null for the last.
    pub seconds: Option<f64>,
}

/// Something that happened to an instance, as often as it happened.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceEvent)]
pub struct EventView {
    /// `hub`, or the cluster that tells it
    #[schema(example = "hub")]
    pub source: String,
    /// What happened; a cluster has words of its own for it.
    #[schema(example = "job_done")]
    pub kind: String,
    /// `normal` or `warning`
    #[schema(example = "normal")]
    pub level: &'static str,
    pub message: String,
    pub count: u64,
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// As its source says it.
    #[schema(value_type = Option<Object>)]
    pub raw: Option<Value>,
}

/// A request that an instance worked on.
#[derive(Serialize, ToSchema)]
#[schema(as = InstanceRequest)]
pub struct ServedView {
    /// It may have been deleted since.
    #[schema(value_type = String, format = Uuid)]
    pub id: RequestId,
    /// Calls of the model in which inputs of it were.
    pub jobs: u64,
    /// Inputs in these calls; more than the request has if some were sent again.
    pub inputs: u64,
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
}

impl InstanceView {
    pub fn new(record: InstanceRecord, now: Timestamp) -> Self {
        let usage = record.seen.usage;
        let gauge = |of: Gauge, unit: f64| GaugeView {
            now: of.now as f64 / unit,
            peak: of.peak as f64 / unit,
            average: average(of, usage.samples, unit),
        };
        let is_sampled = usage.samples > 0;
        let resources = is_sampled.then(|| ResourcesView {
            cpu: gauge(usage.cpu, 1000.0),
            memory: gauge(usage.memory, 1.0),
        });
        let until = record.end.as_ref().map_or(now, |(at, _)| *at);
        let idle_share = record.ready_at.map(|ready| {
            let whole = until.since(ready).as_secs_f64().max(1e-6);
            rounded((1.0 - record.seen.busy as f64 / 1e6 / whole).clamp(0.0, 1.0))
        });
        let has_ended = record.end.is_some();
        Self {
            id: record.id,
            model: record.model,
            model_version: record.version,
            state: record.state.name(),
            runs: record.runs.name(),
            pod_status: record.seen.pod_status,
            pod_message: record.seen.pod_message,
            node: record.seen.node,
            asked: record.asked.map(AskedView::from),
            devices: record.devices.into_iter().map(|device| device.0).collect(),
            launch_cause: record.why,
            launched_at: record.launched_at,
            ready_at: record.ready_at,
            start_seconds: record.ready_at.map(|at| at.since(record.launched_at).as_secs_f64()),
            idle_since: record.idle_since.filter(|_| !has_ended),
            idle_share,
            jobs: record.jobs,
            requests: record.requests,
            resources,
            stop: record.stop.map(|stop| StopView {
                work: stop.work.name(),
                reason: stop.reason,
                by: stop.actor,
                by_name: stop.actor_name,
                asked_at: stop.asked_at,
                until: stop.until,
            }),
            end: record.end.map(|(at, cause)| EndView::new(at, &cause)),
        }
    }
}

impl From<Amounts> for AskedView {
    fn from(asked: Amounts) -> Self {
        let Amounts { cpu, memory, storage, pods: _, named } = asked;
        Self { cpu: cpu as f64 / 1000.0, memory, storage, named }
    }
}

impl EndView {
    fn new(at: Timestamp, cause: &EndCause) -> Self {
        let (exit_code, signal) = match cause {
            EndCause::Exited { code, signal, .. } => (*code, *signal),
            _ => (None, None),
        };
        Self { at, cause: cause.name(), message: cause.to_string(), exit_code, signal }
    }
}

impl DetailsView {
    pub fn new(mut record: InstanceRecord, phases: Vec<Phase>, now: Timestamp) -> Self {
        let pod = record.seen.pod.take();
        let instance = InstanceView::new(record, now);
        let ended = instance.end.as_ref().map(|end| {
            let (name, cause) = ("ended".to_owned(), end.message.clone());
            Phase { name, at: end.at, cause }
        });
        let all: Vec<Phase> = phases.into_iter().chain(ended).collect();
        let next = all.iter().skip(1).map(|phase| Some(phase.at)).chain([None]);
        let phases = all.iter().zip(next).map(|(phase, next)| PhaseView {
            phase: phase.name.clone(),
            at: phase.at,
            cause: phase.cause.clone(),
            seconds: next.map(|next| next.since(phase.at).as_secs_f64()),
        });
        Self { phases: phases.collect(), instance, pod }
    }
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            source: event.source,
            kind: event.kind,
            level: event.level.name(),
            message: event.message,
            count: event.count,
            first_at: event.first_at,
            last_at: event.last_at,
            raw: event.raw,
        }
    }
}

impl From<Served> for ServedView {
    fn from(served: Served) -> Self {
        Self {
            id: served.request,
            jobs: served.jobs,
            inputs: served.inputs,
            first_at: served.first_at,
            last_at: served.last_at,
        }
    }
}

/// To a thousandth: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
