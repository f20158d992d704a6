//! Nodes, and who holds room on them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ask::{Ask, Labels};
use crate::Amounts;
use crate::{ModelId, Timestamp};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A node's name: of a machine that runs a hub, or of a node of a cluster.
    NodeId
);
name!(
    /// A group of nodes of one kind that somebody makes and takes away.
    GroupId
);
name!(
    /// Who holds room and is not ours: the namespace and name of a pod.
    TenantId
);
name!(
    /// A device of a node, as its driver names it: the UUID of a GPU.
    DeviceId
);

/// A node as the planner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeView {
    pub id: NodeId,
    /// The group whose provider says that it is its machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// What it can give in all to those who ask.
    pub allocatable: Amounts,
    /// Each by its own name, where the hub hands them out itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// The folders that are there, if the node reads folders of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folders: Option<BTreeMap<ModelId, String>>,
    pub stage: NodeStage,
    /// Of an hour, in whatever the operator counts in.
    #[serde(default)]
    pub price: u64,
    /// Why it stays although nobody needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// Since when every plan said that nobody needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unneeded_since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum NodeStage {
    /// It is there and not yet what it will be; `lacks` names what is still to come.
    Booting {
        since: Timestamp,
        lacks: Vec<String>,
    },
    Ready,
    /// It was seen, and is not heard of any more.
    Unready {
        since: Timestamp,
    },
    /// It gets nothing new; by us, or by somebody else.
    Cordoned {
        ours: bool,
        since: Timestamp,
    },
    /// An administrator drains it: what runs there ends as soon as it can, and the node stays.
    Drained {
        since: Timestamp,
    },
    /// Its owner takes it away.
    Leaving {
        since: Timestamp,
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    pub key: String,
    #[serde(default)]
    pub value: String,
    pub effect: Effect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub id: DeviceId,
    /// The amount that it is one of, for example `nvidia.com/gpu`.
    pub resource: String,
    #[serde(default)]
    pub name: String,
    /// Bytes.
    #[serde(default)]
    pub memory: u64,
    /// Programs that are not the hub's use it: it is the last to be given.
    #[serde(default)]
    pub used_by_others: bool,
}

/// Where an instance runs, and what of the node is its alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub node: NodeId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceId>,
}

/// Somebody else who runs on the nodes, or waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub id: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    pub ask: Ask,
    #[serde(default)]
    pub owner: Owner,
    /// May it be moved by an eviction, and if not: why?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays_because: Option<String>,
    /// It is being deleted: it holds room until it has ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves: bool,
    /// What came of asking it to go elsewhere, as long as it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Who makes it again when it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Nobody.
    #[default]
    None,
    /// A controller that makes another one anywhere.
    Replicated,
    /// A daemon set: every node has its own, which goes with it.
    Daemon,
    /// The node itself (a static pod), which it goes with.
    Node,
}

impl Tenant {
    /// Does it go with its node, so that it keeps none?
    pub fn goes_with_node(&self) -> bool {
        matches!(self.owner, Owner::Daemon | Owner::Node)
    }
}

/// What every node of some kind runs: it takes room of new ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    pub name: String,
    pub ask: Ask,
}

/// How many of some may be away at once (a pod disruption budget).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub name: String,
    pub namespace: String,
    pub who: Vec<super::Requirement>,
    /// How many more may go now.
    pub allowed: u32,
}

impl NodeView {
    /// May anything new run there, as far as its stage goes?
    pub fn is_open(&self) -> bool {
        self.stage == NodeStage::Ready
    }

    /// Names of its devices' resources: work without GPUs leaves such nodes to those who need them.
    pub(super) fn has_named(&self) -> bool {
        self.allocatable.named.values().any(|amount| *amount > 0)
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        f.write_str(match self.effect {
            Effect::NoSchedule => ":NoSchedule",
            Effect::PreferNoSchedule => ":PreferNoSchedule",
            Effect::NoExecute => ":NoExecute",
        })
    }
}
