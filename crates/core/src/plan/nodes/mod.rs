//! Nodes that come and go with the work: what is ordered, and what may go.
//!
//! The words are those of the Cluster Autoscaler's documentation where it has them. Nothing here is done
//! in mode `delegate`; in mode `advise` the same plan is advice.

mod down;
mod headroom;
mod sizes;
mod up;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, Planner};
use crate::room::{Ask, GroupId, NoOption, NodeId};
use crate::{Amounts, ModelId, Timestamp};

/// What the operator wants of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodesPolicy {
    pub mode: NodesMode,
    /// How long nobody has to need a node before what is on it is moved; a shorter time if nothing is.
    pub unneeded_seconds: u32,
    pub empty_seconds: u32,
    /// How long a cordoned node has to stay empty before it goes: what was on its way there has arrived by then.
    pub settled_seconds: u32,
    /// How often who makes nodes is asked while nothing happens.
    pub ask_seconds: u32,
    /// How long an ordered node may take until it is ready.
    pub boot_limit_seconds: u32,
    /// How long what others run on a node may take until it has gone elsewhere; then the node is used again.
    pub drain_limit_seconds: u32,
    /// Most nodes of all together, those that are not ours included.
    pub most_nodes: Option<u32>,
    /// The most of what all nodes together may have; what is zero or not named has no limit.
    pub most: Amounts,
}

impl Default for NodesPolicy {
    fn default() -> Self {
        Self {
            mode: NodesMode::Delegate,
            unneeded_seconds: 600,
            empty_seconds: 300,
            settled_seconds: 5,
            ask_seconds: 30,
            boot_limit_seconds: 900,
            drain_limit_seconds: 600,
            most_nodes: None,
            most: Amounts::default(),
        }
    }
}

impl NodesPolicy {
    /// For a cluster that is looked at once: what could go is what one asks for, not what has been unneeded
    /// for long enough.
    pub fn of_a_moment() -> Self {
        let mode = NodesMode::Advise;
        Self { mode, unneeded_seconds: 0, empty_seconds: 0, ..Self::default() }
    }

    pub fn settled(&self) -> Duration {
        Duration::from_secs(u64::from(self.settled_seconds))
    }

    pub fn asks(&self) -> Duration {
        Duration::from_secs(u64::from(self.ask_seconds))
    }

    pub fn boot_limit(&self) -> Duration {
        Duration::from_secs(u64::from(self.boot_limit_seconds))
    }

    pub fn drain_limit(&self) -> Duration {
        Duration::from_secs(u64::from(self.drain_limit_seconds))
    }
}

/// Who makes nodes and takes them away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodesMode {
    /// Somebody else; no node is ever touched.
    #[default]
    Delegate,
    /// Somebody else; the hub says what it would do.
    Advise,
    /// The hub.
    Own,
}

/// Why a node of a group stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub node: NodeId,
    pub why: KeptWhy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum KeptWhy {
    /// Its owner, or a mark on it, says so.
    Asked {
        why: String,
    },
    /// More than half of it is used.
    Used,
    /// What waits will run there, or room that shall be free is there and nowhere else.
    Needed,
    AtMinimum {
        min: u32,
    },
    /// Nobody needs it; it goes after this if that stays so.
    Unneeded {
        until: Timestamp,
    },
    /// Somebody on it cannot be moved.
    Blocked {
        by: String,
        why: String,
    },
    /// What runs on it has no room elsewhere.
    NoRoomElsewhere,
    /// Others go first.
    InTurn,
    /// Its group, or all nodes together, are not well.
    Unhealthy,
    /// Not all can be seen, so nothing is known for certain.
    Unseen,
    NotReady,
    /// Taking nodes of its group away was refused.
    RemovalRefused {
        until: Timestamp,
    },
    CordonedByOthers,
}

/// Work that has no room on the nodes that are ready.
#[derive(Clone, Debug)]
pub(super) struct Demand<'w> {
    /// For whom; headroom has nobody.
    pub model: Option<&'w ModelId>,
    pub ask: &'w Ask,
    pub count: u32,
    /// Only nodes of this group count.
    pub group: Option<&'w GroupId>,
    /// Which groups will not do, and why.
    pub no: BTreeMap<&'w GroupId, NoOption>,
}

impl<'w> Planner<'w> {
    /// After all instances have their places: nodes that are needed, and nodes that are not.
    pub(super) fn plan_nodes(&mut self) {
        if self.policy.nodes.mode == NodesMode::Delegate || self.world.groups.is_empty() {
            return;
        }
        let needed = self.scale_up();
        self.scale_down(needed);
    }

    /// Done, or only said: as the mode and the group want it.
    fn act_on(&mut self, group: &GroupId, action: Action) {
        if self.is_advised(group) {
            self.plan.advice.push(action);
        } else {
            self.plan.actions.push(action);
        }
    }

    /// Is what the plan does with the group only said?
    fn is_advised(&self, group: &GroupId) -> bool {
        let view = self.world.groups.iter().find(|view| view.id == *group);
        let by_others = view.is_none_or(|view| view.only_advised.is_some());
        by_others || self.policy.nodes.mode == NodesMode::Advise
    }

    fn keep(&mut self, node: &NodeId, why: KeptWhy) {
        self.plan.kept.push(Kept { node: node.clone(), why });
    }
}
