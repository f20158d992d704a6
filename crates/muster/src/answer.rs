//! The parts of the hub's answers that the commands look at.

mod nodes;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use muster_core::{Resources, Timestamp};

use crate::human;
pub use nodes::*;

#[derive(Deserialize)]
pub struct ModelSummary {
    pub id: String,
    pub title: String,
    pub version: String,
    pub state: String,
    #[serde(default)]
    pub task: String,
    pub input: Input,
    pub waiting: u64,
    pub running: u64,
    pub p50_seconds: Option<f64>,
}

#[derive(Deserialize)]
pub struct Input {
    pub name: String,
    #[serde(default)]
    pub kind: String,
    pub description: String,
}

#[derive(Deserialize)]
pub struct Model {
    #[serde(flatten)]
    pub summary: ModelSummary,
    pub card: Card,
    pub outputs: Vec<Column>,
    pub limits: Limits,
    #[serde(default)]
    pub resources: Needs,
    pub example: Vec<String>,
    pub usual_start_seconds: Option<f64>,
    #[serde(default)]
    pub expected_seconds: Option<Expected>,
    pub held: Option<String>,
}

#[derive(Deserialize)]
pub struct Card {
    pub description: String,
    pub interpretation: String,
    pub licence: String,
    pub publication: String,
    pub source_code: String,
}

#[derive(Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: String,
    #[serde(default)]
    pub unit: String,
    pub direction: Option<String>,
    pub description: String,
}

#[derive(Deserialize)]
pub struct Limits {
    pub inputs: u64,
    pub input_bytes: u64,
    pub body_bytes: u64,
    pub batch_size: u64,
    pub max_instances: u64,
    pub job_seconds: u64,
}

/// What an instance of a model needs.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Needs {
    pub cpu: Option<f64>,
    pub memory_mib: Option<u64>,
    pub storage_mib: Option<u64>,
    pub gpus: u64,
    pub gpu: String,
    pub node: BTreeMap<String, String>,
}

impl Needs {
    pub fn of(resources: &Resources) -> Self {
        let Resources { cpu, memory_mib, storage_mib, gpus, gpu, node } = resources;
        Self {
            cpu: cpu.map(|cpu| f64::from(cpu.0) / 1000.0),
            memory_mib: memory_mib.map(u64::from),
            storage_mib: storage_mib.map(u64::from),
            gpus: u64::from(*gpus),
            gpu: gpu.clone(),
            node: node.clone(),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.node.iter().map(|(key, value)| format!("{key}={value}"));
        let labels: Vec<String> = labels.collect();
        let needs = [
            self.cpu.map(cores),
            self.memory_mib.map(|mib| format!("{} of memory", human::bytes(mib << 20))),
            self.storage_mib.map(|mib| format!("{} of storage", human::bytes(mib << 20))),
            (self.gpus > 0).then(|| format!("{} {}", self.gpus, self.gpu)),
            (!labels.is_empty()).then(|| format!("a node with {}", labels.join(", "))),
        ];
        f.write_str(&needs.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn cores(cpu: f64) -> String {
    format!("{cpu} {}", if cpu == 1.0 { "core" } else { "cores" })
}

#[derive(Clone, Deserialize)]
pub struct Request {
    pub id: String,
    pub model: String,
    pub model_version: String,
    pub phase: String,
    pub submitted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// When it is cleared.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    pub inputs: u64,
    pub done: u64,
    pub failed: u64,
    pub cached: u64,
    pub reading: Reading,
    pub waiting_reason: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub ahead_inputs: Option<u64>,
    #[serde(default)]
    pub expected_seconds: Option<Expected>,
    pub reason: Option<String>,
}

/// A range of seconds.
#[derive(Clone, Copy, Deserialize)]
pub struct Expected {
    pub low: f64,
    pub high: f64,
}

impl Expected {
    /// `40 s to 2 min`
    pub fn in_words(self) -> Option<String> {
        let rounded = |seconds: f64| match seconds.round().max(1.0) {
            few if few < 10.0 => Some(format!("{few} s")),
            many => human::seconds(many),
        };
        let (low, high) = (rounded(self.low)?, rounded(self.high)?);
        Some(if low == high { low } else { format!("{low} to {high}") })
    }
}

#[derive(Clone, Deserialize)]
pub struct Reading {
    pub header: String,
    pub column: Option<String>,
    #[serde(default)]
    pub separator: Option<char>,
    pub rows: u64,
    pub blank_lines_skipped: u64,
    #[serde(default)]
    pub short_rows: u64,
}

impl Reading {
    /// What a person should know of how their file was read.
    pub fn remarks(&self) -> Vec<String> {
        let separator = match self.separator {
            None | Some(',') => None,
            Some('\t') => Some("cells separated by tabs".to_owned()),
            Some(' ') => Some("cells separated by spaces".to_owned()),
            Some(other) => Some(format!("cells separated by \"{other}\"")),
        };
        let some = |number: u64, what: &str, how: &str| {
            (number > 0).then(|| format!("{} {how}", human::counted(number, what)))
        };
        let skipped = some(self.blank_lines_skipped, "blank line", "skipped");
        let short = some(self.short_rows, "row", "with missing cells");
        [separator, skipped, short].into_iter().flatten().collect()
    }
}

impl Request {
    pub fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "completed" | "failed" | "cancelled")
    }

    /// `1,200 inputs ahead, done in 40 s to 2 min`: as much of it as is known while it waits.
    pub fn expected(&self) -> Option<String> {
        let ahead = self.ahead_inputs.filter(|ahead| *ahead > 0);
        let ahead = ahead.map(|ahead| format!("{} ahead", human::counted(ahead, "input")));
        let range = self.expected_seconds.and_then(Expected::in_words);
        let range = range.map(|range| format!("done in {range}"));
        let known: Vec<String> = ahead.into_iter().chain(range).collect();
        (!known.is_empty()).then(|| known.join(", "))
    }

    /// Why it waits, and what comes of it.
    pub fn outlook(&self) -> String {
        let reason = self.waiting_reason.clone().unwrap_or_default();
        match self.expected() {
            Some(expected) if reason.is_empty() => expected,
            Some(expected) => format!("{}; {expected}", reason.trim_end_matches('.')),
            None => reason,
        }
    }
}

/// Anybody's request, as administrators see it.
#[derive(Deserialize)]
pub struct Overseen {
    pub id: String,
    pub model: String,
    pub model_version: String,
    pub auth_type: String,
    pub user: Option<String>,
    pub user_name: Option<String>,
    pub session: Option<String>,
    pub phase: String,
    pub result_status: String,
    pub submitted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub inputs: u64,
    pub done: u64,
    pub failed: u64,
    pub cached: u64,
    pub waiting_reason: Option<String>,
    pub error_class: Option<String>,
    pub error: Option<String>,
    pub attempts: u32,
    pub instances: Vec<String>,
    pub requeued_from: Option<String>,
    pub requeued_as: Option<String>,
    /// Only of a single one.
    #[serde(default)]
    pub timeline: Vec<Step>,
}

/// Since when it was in a phase.
#[derive(Deserialize)]
pub struct Step {
    pub phase: String,
    pub at: Timestamp,
}

impl Overseen {
    /// The user's name if there is one.
    pub fn who(&self) -> &str {
        let id = self.user.as_deref().or(self.session.as_deref());
        let name = self.user_name.as_deref().or(id.filter(|_| self.auth_type == "account"));
        name.unwrap_or("anonymous")
    }
}

/// A model as administrators see it.
#[derive(Deserialize)]
pub struct CatalogueModel {
    pub id: String,
    pub version: String,
    pub owner: String,
    pub offered: bool,
    pub disabled: Option<String>,
    pub etag: String,
    pub address: Option<String>,
    pub image: Option<String>,
    pub port: Option<u16>,
    #[serde(default)]
    pub runs: String,
    pub pod: Option<ModelPod>,
    pub limits: CatalogueLimits,
    #[serde(default)]
    pub resources: Needs,
}

/// A version of a model that was pushed.
#[derive(Deserialize)]
pub struct ModelVersion {
    pub version: String,
    pub state: String,
    pub served: bool,
    pub reason: Option<String>,
    pub waiting_reason: Option<String>,
    pub request: Option<String>,
    pub pushed_at: Timestamp,
    pub pushed_by: String,
    pub pushed_by_name: Option<String>,
    pub bytes: u64,
    pub files: u64,
    pub notes: Vec<String>,
}

/// What an administrator says of a model's pods.
#[derive(Deserialize)]
pub struct ModelPod {
    pub template: Value,
    pub unrestricted: Option<String>,
    pub limit_cpu: bool,
}

#[derive(Deserialize)]
pub struct CatalogueLimits {
    pub min_instances: u32,
    pub max_instances: u32,
    pub memory_mib: u32,
    #[serde(default)]
    pub memory_most_mib: u32,
}

/// How many predictions were forgotten.
#[derive(Deserialize)]
pub struct Cleared {
    pub predictions: u64,
}

/// A running copy of a model, as administrators see it.
#[derive(Deserialize)]
pub struct Instance {
    pub id: String,
    pub model: String,
    pub model_version: String,
    pub state: String,
    #[serde(default)]
    pub runs: String,
    pub pod_status: Option<String>,
    pub pod_message: Option<String>,
    pub node: Option<String>,
    #[serde(default)]
    pub asked: Option<Asked>,
    #[serde(default)]
    pub devices: Vec<String>,
    pub launch_cause: String,
    pub launched_at: Timestamp,
    pub start_seconds: Option<f64>,
    pub idle_share: Option<f64>,
    pub jobs: u64,
    pub requests: Vec<String>,
    pub resources: Option<InstanceResources>,
    pub stop: Option<InstanceStop>,
    pub end: Option<InstanceEnd>,
}

/// What an instance asks of its machine: cores, bytes, and counts by name.
#[derive(Deserialize)]
pub struct Asked {
    pub cpu: f64,
    pub memory: u64,
    pub storage: u64,
    pub named: BTreeMap<String, u64>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} of memory", cores(self.cpu), human::bytes(self.memory))?;
        if self.storage > 0 {
            write!(f, ", {} of storage", human::bytes(self.storage))?;
        }
        self.named.iter().try_for_each(|(name, count)| write!(f, ", {count} {name}"))
    }
}

/// In cores and bytes.
#[derive(Deserialize)]
pub struct InstanceResources {
    pub cpu: Gauge,
    pub memory: Gauge,
}

#[derive(Deserialize)]
pub struct Gauge {
    pub now: f64,
    pub peak: f64,
    pub average: f64,
}

#[derive(Deserialize)]
pub struct InstanceStop {
    pub work: String,
    pub reason: String,
    pub asked_at: Timestamp,
}

#[derive(Deserialize)]
pub struct InstanceEnd {
    pub at: Timestamp,
    pub message: String,
}

#[derive(Deserialize)]
pub struct InstanceDetails {
    #[serde(flatten)]
    pub instance: Instance,
    pub phases: Vec<InstancePhase>,
}

#[derive(Deserialize)]
pub struct InstancePhase {
    pub phase: String,
    pub at: Timestamp,
    pub cause: String,
    pub seconds: Option<f64>,
}

#[derive(Deserialize)]
pub struct InstanceEvent {
    pub source: String,
    pub kind: String,
    pub message: String,
    pub count: u64,
    pub last_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waits(more: serde_json::Value) -> Request {
        let mut request = json!({
            "id": "r", "model": "echo", "model_version": "1", "phase": "waiting",
            "submitted_at": "2026-01-01T00:00:00Z", "started_at": null, "ended_at": null,
            "inputs": 1, "done": 0, "failed": 0, "cached": 0, "reason": null,
            "waiting_reason": "The model is busy.",
            "reading": {"header": "not_a_file", "column": null, "rows": 1, "blank_lines_skipped": 0},
        });
        let all = request.as_object_mut().expect("an object");
        all.extend(more.as_object().expect("an object").clone());
        serde_json::from_value(request).expect("a request")
    }

    #[test]
    fn what_is_known_of_a_wait_is_said() {
        let says = |more| waits(more).outlook();
        let range = json!({"low": 39.6, "high": 120.2});
        assert_eq!(says(json!({})), "The model is busy.");
        assert_eq!(
            says(json!({"ahead_inputs": 1200, "expected_seconds": range})),
            "The model is busy; 1,200 inputs ahead, done in 40 s to 2 min"
        );
        assert_eq!(says(json!({"ahead_inputs": 1, "waiting_reason": null})), "1 input ahead");
        let short = json!({"low": 0.01, "high": 1.2});
        assert_eq!(
            says(json!({"ahead_inputs": 0, "expected_seconds": short})),
            "The model is busy; done in 1 s"
        );
    }
}
