//! Nodes, groups of them, and plans.

use std::collections::BTreeMap;
use std::fmt;

use muster_core::Timestamp;
use serde::Deserialize;

use super::cores;
use crate::human;

#[derive(Deserialize)]
pub struct Autoscalers {
    pub items: Vec<Autoscaler>,
    pub unseen: Option<String>,
}

#[derive(Deserialize)]
pub struct Autoscaler {
    pub name: String,
    pub present: Option<bool>,
    pub says: Vec<String>,
}

#[derive(Deserialize)]
pub struct Node {
    pub id: String,
    pub group: Option<String>,
    pub stage: NodeStage,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<String>,
    pub allocatable: Room,
    pub free: Room,
    pub held_by_instances: Room,
    pub held_by_others: Room,
    pub instances: Vec<OnNode>,
    pub others: u64,
    pub devices: Vec<Device>,
    pub servers: Vec<String>,
    pub price: u64,
    pub kept: Option<NodeKept>,
    pub unneeded_since: Option<Timestamp>,
    pub actions: Vec<PlannedAction>,
    pub advice: Vec<PlannedAction>,
}

#[derive(Deserialize)]
pub struct NodeDetails {
    #[serde(flatten)]
    pub node: Node,
    pub tenants: Vec<Tenant>,
}

#[derive(Deserialize)]
pub struct NodeStage {
    pub name: String,
    pub since: Option<Timestamp>,
    pub message: String,
}

/// Cores, bytes, and counts by name; what is not there is not counted.
#[derive(Deserialize)]
pub struct Room {
    pub cpu: f64,
    pub memory: u64,
    pub storage: Option<u64>,
    pub pods: Option<u64>,
    pub named: BTreeMap<String, u64>,
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} of memory", cores(self.cpu), human::bytes(self.memory))?;
        if let Some(storage) = self.storage.filter(|storage| *storage > 0) {
            write!(f, ", {} of storage", human::bytes(storage))?;
        }
        if let Some(pods) = self.pods.filter(|pods| *pods > 1) {
            write!(f, ", {pods} pods")?;
        }
        self.named.iter().try_for_each(|(name, count)| write!(f, ", {count} {name}"))
    }
}

#[derive(Deserialize)]
pub struct OnNode {
    pub id: String,
    pub model: String,
    pub state: String,
    pub idle_since: Option<Timestamp>,
    pub asked: Room,
}

#[derive(Deserialize)]
pub struct Tenant {
    pub id: String,
    pub owner: String,
    pub stays_because: Option<String>,
    pub asked: Room,
}

#[derive(Deserialize)]
pub struct Device {
    pub id: String,
    pub name: String,
    pub memory: u64,
    pub instance: Option<String>,
    pub used_by_others: bool,
}

#[derive(Deserialize)]
pub struct NodeKept {
    pub because: String,
    pub message: String,
}

#[derive(Deserialize)]
pub struct NodeGroup {
    pub id: String,
    pub min: u32,
    pub max: u32,
    pub target: u32,
    pub nodes: u32,
    pub upcoming: u32,
    pub healthy: bool,
    pub machines: Vec<Machine>,
    pub order: Option<NodeOrder>,
    pub failures: Option<NodeFailures>,
    pub template: Option<NodeTemplate>,
    pub boot_seconds: Option<f64>,
    pub only_advised: Option<String>,
    pub unseen: Option<String>,
    pub actions: Vec<PlannedAction>,
    pub advice: Vec<PlannedAction>,
}

#[derive(Deserialize)]
pub struct Machine {
    pub id: String,
    pub state: String,
    pub message: Option<String>,
}

#[derive(Deserialize)]
pub struct NodeOrder {
    pub to: u32,
    pub at: Timestamp,
}

#[derive(Deserialize)]
pub struct NodeFailures {
    pub in_a_row: u32,
    pub message: String,
    pub next_try: Timestamp,
}

#[derive(Deserialize)]
pub struct NodeTemplate {
    pub allocatable: Room,
}

#[derive(Deserialize)]
pub struct Planned {
    pub now: Timestamp,
    pub words: PlanWords,
}

#[derive(Deserialize)]
pub struct PlanWords {
    pub mode: String,
    pub actions: Vec<PlannedAction>,
    pub advice: Vec<PlannedAction>,
    pub held: Vec<PlannedHeld>,
    pub kept: Vec<PlannedKept>,
    pub unseen: Option<String>,
    pub next_look: Option<Timestamp>,
}

#[derive(Deserialize)]
pub struct PlannedAction {
    pub message: String,
    #[serde(default)]
    pub new: bool,
}

#[derive(Deserialize)]
pub struct PlannedHeld {
    pub model: String,
    pub message: String,
    #[serde(default)]
    pub new: bool,
}

#[derive(Deserialize)]
pub struct PlannedKept {
    pub node: String,
    #[serde(flatten)]
    pub kept: NodeKept,
}

#[derive(Deserialize)]
pub struct NodeMarked {
    pub node: String,
    pub changed: bool,
    pub message: String,
}
