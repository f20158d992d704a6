//! What the planner sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::instance::{EndCause, Runs, StartFault};
use crate::room::{
    Ask, Budget, Daemon, GroupId, GroupView, NodeId, NodeStage, NodeView, Place, Tenant,
};
use crate::{InstanceId, Model, ModelId, Source, Timestamp, Waits};

/// What the planner sees.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    pub models: Vec<ModelView>,
    /// Instances that did not end.
    pub instances: Vec<InstanceView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stranded: Vec<Stranded>,
    pub nodes: Vec<NodeView>,
    /// Who else is on the nodes; who is on one that is not there waits for a place. They are many, and
    /// the same in whatever is asked what would be.
    #[serde(skip_serializing_if = "none")]
    pub tenants: Arc<Vec<Arc<Tenant>>>,
    /// What each new node runs beside what it is made for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub daemons: Vec<Daemon>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
}

fn none(tenants: &Arc<Vec<Arc<Tenant>>>) -> bool {
    tenants.is_empty()
}

/// Nodes or who runs on them cannot be seen, so that nothing is known of room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    pub since: Timestamp,
    /// What cannot be seen, and why.
    pub why: String,
}

/// Tasks that wait for a version of a model that is not in the catalogue, so that nobody claims them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranded {
    pub model: ModelId,
    pub version: String,
    /// Since when that is seen.
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelView {
    pub model: Arc<Model>,
    /// Tasks that wait for it as it is now, if any do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueView>,
    #[serde(default)]
    pub starts: Starts,
    /// What an instance that is launched now asks of its node; nothing if it has none, as an external server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Ask>,
    /// For how many more instances there shall be room than there are.
    #[serde(default)]
    pub spare: u32,
    /// Why the hub cannot run it, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_run: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// Counted no further than all its instances can be given at once.
    pub inputs: u64,
    pub oldest: Timestamp,
    /// No task may be sent before this.
    pub due: Timestamp,
}

/// How starting instances of a model's version went since one was ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Starts {
    pub failed_in_a_row: u32,
    pub first_failed_at: Timestamp,
    pub last_failed_at: Timestamp,
    /// Why the last one failed, fit for a user.
    pub reason: String,
    /// If it is known: can trying again help?
    pub fault: Option<StartFault>,
}

impl Starts {
    pub fn failed(&mut self, cause: &EndCause, at: Timestamp) {
        if self.failed_in_a_row == 0 {
            self.first_failed_at = at;
        }
        self.failed_in_a_row += 1;
        self.last_failed_at = at;
        self.fault = cause.start_fault();
        self.reason = reason(cause);
    }
}

/// Why a start failed, for a user: the cause and what the model said last.
fn reason(cause: &EndCause) -> String {
    match cause {
        EndCause::NotStarted { reason, .. } => reason.clone(),
        // What the registry said is for administrators: it stands at the instance.
        EndCause::Image { fault, .. } => fault.to_string(),
        EndCause::Exited { last_lines, .. } => match last_lines.trim().lines().last() {
            Some(line) => format!("{cause}; it said last: {line}"),
            None => cause.to_string(),
        },
        cause => cause.to_string(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceView {
    pub id: InstanceId,
    pub model: ModelId,
    pub version: String,
    pub slot: u32,
    pub stage: Stage,
    /// What it was launched with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<Ask>,
    /// Where it is, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Stage {
    /// Its environment is being made, since it was launched.
    Preparing { launched_at: Timestamp, doing: String },
    /// Launched, or its environment is there since then; it last said what it was doing at `progressed_at`.
    Starting {
        launched_at: Timestamp,
        progressed_at: Timestamp,
        doing: String,
        /// What it waits for, and since when it waits for something of that kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits: Option<(Waits, Timestamp)>,
    },
    /// `idle_since` is `None` while it has work.
    Ready { launched_at: Timestamp, ready_at: Timestamp, idle_since: Option<Timestamp> },
    /// Gets nothing new and goes when its work is done.
    Draining,
}

impl World {
    pub(super) fn closed_nodes(&self) -> BTreeMap<&NodeId, &NodeStage> {
        let closed = self.nodes.iter().filter(|node| !node.is_open());
        closed.map(|node| (&node.id, &node.stage)).collect()
    }

    /// As it would be if the node went: what is on it waits for a place.
    #[must_use]
    pub fn without(&self, node: &NodeId) -> Self {
        let mut world = self.clone();
        world.nodes.retain(|other| other.id != *node);
        for instance in &mut world.instances {
            instance.place.take_if(|place| place.node == *node);
        }
        world
    }

    /// As it would be with so many more nodes of the group, ready and empty; the same if it is not known
    /// what they would be.
    #[must_use]
    pub fn with(&self, group: &GroupId, count: u32) -> Self {
        let mut world = self.clone();
        let Some(view) = world.groups.iter_mut().find(|view| view.id == *group) else {
            return world;
        };
        let Some(template) = view.template.clone() else { return world };
        view.target = view.target.saturating_add(count);
        let view = view.clone();
        let known: BTreeSet<NodeId> = world.nodes.iter().map(|node| node.id.clone()).collect();
        let id = |n| NodeId(format!("{group} (with {n})"));
        let new = (0..).map(|n| NodeView { id: id(n), ..template.node(&view, n) });
        let new = new.filter(|node| !known.contains(&node.id));
        world.nodes.extend(new.take(count as usize));
        world
    }

    /// Instances that take a place of [`Policy::max_instances`].
    pub(super) fn counted(&self) -> u32 {
        let external = self.models.iter().filter(|view| view.is_external()).map(ModelView::id);
        let external: BTreeSet<&ModelId> = external.collect();
        self.instances.iter().filter(|i| !external.contains(&i.model)).count() as u32
    }
}

impl ModelView {
    pub fn id(&self) -> &ModelId {
        &self.model.id
    }

    pub(super) fn is_external(&self) -> bool {
        matches!(self.model.source, Source::Server { .. })
    }

    /// Is each instance a pod, whose place a scheduler gives?
    pub(super) fn is_pod(&self) -> bool {
        self.model.source.runs() == Runs::Pod
    }

    /// Most instances at once. An external server is one instance.
    pub(super) fn most(&self) -> u32 {
        if self.is_external() { 1 } else { self.model.limits.max_instances.max(1) }
    }

    /// Jobs that the waiting inputs make.
    pub(super) fn jobs(&self, now: Timestamp) -> u64 {
        let Some(queue) = self.queue.filter(|queue| queue.due <= now) else { return 0 };
        queue.inputs.div_ceil(u64::from(self.model.limits.batch_size.max(1))).max(1)
    }

    /// When the next launch may be tried after failed ones.
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        let failed = self.starts.failed_in_a_row;
        let seconds = match failed {
            0 => return None,
            _ if self.starts.fault == Some(StartFault::Lasting) => 60,
            n => 1u64 << n.min(6),
        };
        Some(self.starts.last_failed_at + Duration::from_secs(seconds))
    }

    pub(super) fn cannot_start(&self) -> bool {
        let Starts { failed_in_a_row, first_failed_at, last_failed_at, fault, .. } = &self.starts;
        let limits = &self.model.limits;
        match fault {
            Some(StartFault::Lasting) => *failed_in_a_row > 0,
            // What passes by itself may take as long as a start.
            Some(StartFault::Passing) if *last_failed_at < *first_failed_at + limits.start() => {
                false
            }
            Some(StartFault::Passing) | None => *failed_in_a_row >= limits.max_attempts,
        }
    }
}
