//! Groups of nodes: what a new one of them would be, and how it goes with those that were ordered.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ask::{Ask, Labels};
use super::books::Refusal;
use super::fit::{Lack, fits_when_empty};
use super::node::{Daemon, GroupId, NodeId, NodeStage, NodeView, Taint};
use crate::{Amounts, Timestamp};

/// The label that says in which zone a node is.
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// The label that every node has for itself.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// A group as its provider tells of it, and what the configuration and the books say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupView {
    pub id: GroupId,
    pub min: u32,
    pub max: u32,
    /// How many its provider aims at.
    pub target: u32,
    /// What a node of it will be; not known if nobody said and none was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Of an hour of one node.
    #[serde(default)]
    pub price: u64,
    /// Of two that will do, the one with more.
    #[serde(default)]
    pub priority: i32,
    /// How long a node usually takes until it is ready, seconds; not known before one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<Machine>,
    /// The last one for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// The same of orders that take nodes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal_failures: Option<Failures>,
    /// Room that one of its nodes shall have free for whoever comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spare: Option<Ask>,
    /// Why the hub only advises for it: somebody else resizes it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_advised: Option<String>,
    /// Why its provider cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

/// What a node of a group will be when it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Template {
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub allocatable: Amounts,
}

/// A machine as its provider names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub id: String,
    /// The node that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    pub state: MachineState,
    pub since: Timestamp,
    /// It has been one, also if it is none now.
    #[serde(default)]
    pub was_node: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum MachineState {
    Booting,
    Running,
    Failed { class: FailureClass, message: String },
    Leaving,
}

/// An order for nodes: a row before it is a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub id: Uuid,
    /// The size that was asked for.
    pub to: u32,
    pub at: Timestamp,
}

/// How orders of a group failed since one went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    pub in_a_row: u32,
    pub last_at: Timestamp,
    pub class: FailureClass,
    /// In the provider's words.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// There are no machines of that kind at the moment.
    Capacity,
    /// The account may not have more.
    Quota,
    Credentials,
    Throttled,
    /// They were ordered and did not come in time.
    DidNotCome,
    Other,
}

/// A group is left alone for this after a failure; twice as long after each further one.
pub const LEFT_ALONE: Duration = Duration::from_secs(300);
const LEFT_ALONE_MOST: Duration = Duration::from_secs(1800);

impl Failures {
    /// Until when nothing is ordered of the group.
    pub fn left_alone_until(&self) -> Timestamp {
        let doublings = self.in_a_row.saturating_sub(1).min(8);
        self.last_at + (LEFT_ALONE * 2u32.pow(doublings)).min(LEFT_ALONE_MOST)
    }
}

/// Why nothing is ordered of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum NoOption {
    /// It would not fit a node of it.
    Fits {
        lack: Lack,
    },
    /// Nobody knows what a node of it will be.
    NoTemplate,
    AtMaximum {
        max: u32,
    },
    /// All nodes together are at a limit of the operator's.
    AtLimit {
        what: String,
    },
    Failing {
        until: Timestamp,
        class: FailureClass,
        message: String,
    },
    Unseen {
        why: String,
    },
    /// It has GPUs, and what waits can run on nodes without.
    KeptForGpus,
}

impl GroupView {
    /// Its nodes that are there, in whatever stage, but those that its owner takes away.
    pub fn registered<'w>(&'w self, nodes: &'w [NodeView]) -> impl Iterator<Item = &'w NodeView> {
        nodes.iter().filter(|node| {
            node.group.as_ref() == Some(&self.id)
                && !matches!(node.stage, NodeStage::Leaving { .. })
        })
    }

    /// How many of its nodes are still to come: ordered, and neither there nor overdue.
    pub fn upcoming(&self, nodes: &[NodeView], boot_limit: Duration, now: Timestamp) -> u32 {
        if self.is_overdue(boot_limit, now) {
            return 0;
        }
        self.target.saturating_sub(self.registered(nodes).count() as u32)
    }

    /// Is the time over in which the last order had to be there?
    pub fn is_overdue(&self, boot_limit: Duration, now: Timestamp) -> bool {
        self.order.as_ref().is_none_or(|order| order.at + boot_limit <= now)
    }

    /// Machines that failed, or did not become nodes in their time.
    pub fn lost_machines(&self, boot_limit: Duration, now: Timestamp) -> Vec<String> {
        let lost = self.machines.iter().filter(|machine| match machine.state {
            MachineState::Failed { .. } => machine.node.is_none(),
            MachineState::Booting | MachineState::Running => {
                machine.node.is_none() && machine.since + boot_limit <= now
            }
            MachineState::Leaving => false,
        });
        lost.map(|machine| machine.id.clone()).collect()
    }

    /// Why these machines count as a failed order; nothing if each of them has been a node: that says nothing of
    /// those to come.
    pub fn why_lost(&self, machines: &[String]) -> Option<Refusal> {
        let lost = self.machines.iter().filter(|machine| machines.contains(&machine.id));
        let mut never = lost.filter(|machine| !machine.was_node).peekable();
        never.peek()?;
        let mut failed = never.filter_map(|machine| match &machine.state {
            MachineState::Failed { class, message } => {
                Some(Refusal { class: *class, message: message.clone() })
            }
            MachineState::Booting | MachineState::Running | MachineState::Leaving => None,
        });
        let late = || Refusal {
            class: FailureClass::DidNotCome,
            message: format!("{} did not become nodes", machines.join(", ")),
        };
        Some(failed.next_back().unwrap_or_else(late))
    }

    /// Until when nothing is asked to be taken away of it, because that was refused.
    pub fn keeps_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.removal_failures.as_ref().map(Failures::left_alone_until);
        until.filter(|until| *until > now)
    }

    /// Are more of its nodes unready than happens by itself? Figures of the Cluster Autoscaler.
    pub fn is_healthy(&self, nodes: &[NodeView]) -> bool {
        healthy(self.registered(nodes))
    }

    /// Could this be what waits for one of its nodes, as far as the group goes?
    pub fn option(&self, ask: &Ask, daemons: &Amounts, now: Timestamp) -> Result<(), NoOption> {
        if let (None, Some(why)) = (&self.template, &self.unseen) {
            return Err(NoOption::Unseen { why: why.clone() });
        }
        let template = self.template.as_ref().ok_or(NoOption::NoTemplate)?;
        fits_when_empty(ask, &template.node(self, 0), daemons)
            .map_err(|lack| NoOption::Fits { lack })?;
        if let Some(why) = &self.unseen {
            return Err(NoOption::Unseen { why: why.clone() });
        }
        if let Some(failures) = self.failures.as_ref().filter(|f| f.left_alone_until() > now) {
            let Failures { class, message, .. } = failures.clone();
            return Err(NoOption::Failing { until: failures.left_alone_until(), class, message });
        }
        match self.target >= self.max {
            true => Err(NoOption::AtMaximum { max: self.max }),
            false => Ok(()),
        }
    }

    pub fn has_gpus(&self) -> bool {
        self.template.as_ref().is_some_and(|it| it.allocatable.named.values().any(|of| *of > 0))
    }

    /// Do they differ only in their zone?
    pub fn is_sibling(&self, other: &Self) -> bool {
        let (Some(mine), Some(its)) = (&self.template, &other.template) else { return false };
        let but_zone = |labels: &Labels| -> BTreeMap<String, String> {
            labels
                .iter()
                .filter(|(key, _)| *key != ZONE)
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        mine.allocatable == its.allocatable
            && mine.taints == its.taints
            && but_zone(&mine.labels) == but_zone(&its.labels)
            && (self.price, self.priority) == (other.price, other.priority)
    }
}

/// Are there as many unready nodes as happens by itself: at most 3, or 45 % of them?
pub fn healthy<'w>(nodes: impl Iterator<Item = &'w NodeView>) -> bool {
    let (mut all, mut unready) = (0usize, 0usize);
    for node in nodes {
        all += 1;
        unready += usize::from(matches!(node.stage, NodeStage::Unready { .. }));
    }
    unready <= 3 || unready * 100 <= all * 45
}

impl Template {
    /// The node that one of the group will be, number `n` of those that are not there yet.
    pub fn node(&self, group: &GroupView, n: u32) -> NodeView {
        let id = NodeId(format!("{} (new {n})", group.id));
        let mut labels = self.labels.clone();
        labels.insert(HOSTNAME.to_owned(), id.0.clone());
        NodeView {
            id,
            group: Some(group.id.clone()),
            labels,
            taints: self.taints.clone(),
            allocatable: self.allocatable.clone(),
            devices: Vec::new(),
            folders: None,
            stage: NodeStage::Ready,
            price: group.price,
            keep: None,
            unneeded_since: None,
        }
    }

    /// What a node of it should have and does not have yet, such as a GPU without its driver.
    pub fn lacking(&self, node: &NodeView) -> Vec<String> {
        let named = self.allocatable.named.iter();
        let lacks = named.filter(|(name, of)| node.allocatable.of(name) < **of);
        lacks.map(|(name, _)| name.clone()).collect()
    }

    /// What daemon sets take of each node of it.
    pub fn daemons(&self, group: &GroupView, daemons: &[Daemon]) -> Amounts {
        let node = self.node(group, 0);
        let there = daemons.iter().filter(|daemon| super::fit::suits(&daemon.ask, &node).is_ok());
        there.fold(Amounts::default(), |sum, daemon| sum.plus(&daemon.ask.amounts))
    }
}

/// How a count of new nodes is split over groups that differ only in their zone: the smallest first,
/// none beyond its maximum. What cannot be placed is left out.
pub fn split(count: u32, groups: &[&GroupView]) -> Vec<(GroupId, u32)> {
    let mut sizes: Vec<(u32, &GroupView, u32)> =
        groups.iter().map(|group| (group.target, *group, 0)).collect();
    for _ in 0..count {
        let open = sizes.iter_mut().filter(|(size, group, _)| *size < group.max);
        let Some((size, _, added)) = open.min_by_key(|(size, group, _)| (*size, &group.id)) else {
            break;
        };
        *size += 1;
        *added += 1;
    }
    let some = sizes.into_iter().filter(|(.., added)| *added > 0);
    some.map(|(_, group, added)| (group.id.clone(), added)).collect()
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capacity => "there is no capacity for it at the moment",
            Self::Quota => "the quota is reached",
            Self::Credentials => "the hub may not order it",
            Self::Throttled => "its provider is asked too often",
            Self::DidNotCome => "nodes that were ordered did not come in time",
            Self::Other => "its provider failed",
        })
    }
}

impl fmt::Display for NoOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits { lack } => lack.fmt(f),
            Self::NoTemplate => f.write_str("nobody knows what its nodes are"),
            Self::AtMaximum { max } => write!(f, "it has its maximum of {max} nodes"),
            Self::AtLimit { what } => write!(f, "all nodes together are at the limit of {what}"),
            Self::Failing { until, class, message } if message.is_empty() => {
                write!(f, "{class}; the next try is at {}", until.to_minutes())
            }
            Self::Failing { until, class, message } => {
                write!(f, "{class}; the next try is at {} ({message})", until.to_minutes())
            }
            Self::Unseen { why } => write!(f, "its provider cannot be asked: {why}"),
            Self::KeptForGpus => f.write_str("its GPUs are for work that needs them"),
        }
    }
}
