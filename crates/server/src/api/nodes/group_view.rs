//! What administrators see of groups of nodes.

use muster_core::Timestamp;
use muster_core::room::{Failures, Labels, Machine, MachineState, NodeId, Template};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::plan::ActionView;
use super::view::RoomView;

/// A group of nodes of one kind that a provider makes and takes away.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeGroup)]
pub struct GroupDocument {
    #[schema(example = "gpu-large")]
    pub id: String,
    pub min: u32,
    pub max: u32,
    /// How many its provider aims at.
    pub target: u32,
    /// Its nodes that are there, in whatever stage, but those that their owner takes away.
    pub nodes: u32,
    /// How many are ordered, and neither there nor overdue.
    pub upcoming: u32,
    /// Are no more of its nodes unready than happens by itself?
    pub healthy: bool,
    /// As its provider tells of them.
    pub machines: Vec<MachineView>,
    /// The last one for more nodes.
    pub order: Option<OrderView>,
    /// How orders failed since one went well.
    pub failures: Option<FailuresView>,
    /// What a node of it will be; null if nobody said and none was seen.
    pub template: Option<TemplateView>,
    /// How long a node usually takes until it is ready; null before one was.
    pub boot_seconds: Option<u32>,
    /// Of an hour of one node, in whatever the operator counts in.
    pub price: u64,
    /// Of two groups that will do, the one with more is taken.
    pub priority: i32,
    /// Room that one of its nodes shall have free for whoever comes next.
    pub spare: Option<RoomView>,
    /// Why the hub only advises for it; null if it does what it plans.
    pub only_advised: Option<String>,
    /// Why its provider cannot be asked; null if it can.
    pub unseen: Option<String>,
    /// What the last plan does with it and its nodes.
    pub actions: Vec<ActionView>,
    /// What it would do, if it were the hub's to do.
    pub advice: Vec<ActionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Machine)]
pub struct MachineView {
    /// As its provider names it.
    pub id: String,
    /// The node that it became.
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeId>,
    /// `booting`, `running`, `failed` or `leaving`
    #[schema(example = "running")]
    pub state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Why it failed, in its provider's words.
    pub message: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NodeOrder)]
pub struct OrderView {
    pub id: Uuid,
    /// The size that was asked for.
    pub to: u32,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NodeFailures)]
pub struct FailuresView {
    pub in_a_row: u32,
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    /// `capacity`, `quota`, `credentials`, `throttled`, `did_not_come` or `other`
    #[schema(example = "capacity")]
    pub class: &'static str,
    /// What that means, and what its provider said.
    #[schema(example = "there is no capacity for it at the moment")]
    pub message: String,
    /// Until then nothing is ordered of the group.
    #[schema(value_type = String, format = DateTime)]
    pub next_try: Timestamp,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NodeTemplate)]
pub struct TemplateView {
    #[schema(value_type = Object)]
    pub labels: Labels,
    pub taints: Vec<String>,
    pub allocatable: RoomView,
}

impl MachineView {
    pub fn new(machine: &Machine) -> Self {
        let message = match &machine.state {
            MachineState::Failed { class, message } => Some(in_words(class, message)),
            MachineState::Booting | MachineState::Running | MachineState::Leaving => None,
        };
        Self {
            id: machine.id.clone(),
            node: machine.node.clone(),
            state: machine.state.name(),
            since: machine.since,
            message,
        }
    }
}

impl FailuresView {
    pub fn new(failures: &Failures) -> Self {
        Self {
            in_a_row: failures.in_a_row,
            last_at: failures.last_at,
            class: failures.class.name(),
            message: in_words(&failures.class, &failures.message),
            next_try: failures.left_alone_until(),
        }
    }
}

fn in_words(class: &muster_core::room::FailureClass, message: &str) -> String {
    if message.is_empty() { class.to_string() } else { format!("{class}: {message}") }
}

impl TemplateView {
    pub fn new(template: &Template) -> Self {
        Self {
            labels: template.labels.clone(),
            taints: template.taints.iter().map(ToString::to_string).collect(),
            allocatable: RoomView::new(&template.allocatable, &template.allocatable),
        }
    }
}
