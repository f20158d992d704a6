//! Stages of nodes and machines, for people.

use std::fmt;

use super::{FailureClass, MachineState, NodeStage, Owner};
use crate::Timestamp;

impl NodeStage {
    pub const NAMES: [&'static str; 6] =
        ["booting", "ready", "unready", "cordoned", "drained", "leaving"];

    /// Its word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Booting { .. } => "booting",
            Self::Ready => "ready",
            Self::Unready { .. } => "unready",
            Self::Cordoned { .. } => "cordoned",
            Self::Drained { .. } => "drained",
            Self::Leaving { .. } => "leaving",
        }
    }

    pub fn since(&self) -> Option<Timestamp> {
        match self {
            Self::Ready => None,
            Self::Booting { since, .. }
            | Self::Unready { since }
            | Self::Cordoned { since, .. }
            | Self::Drained { since }
            | Self::Leaving { since, .. } => Some(*since),
        }
    }
}

impl fmt::Display for NodeStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Booting { lacks, .. } if lacks.is_empty() => f.write_str("It is starting."),
            Self::Booting { lacks, .. } => {
                write!(f, "It is starting, and still lacks {}.", lacks.join(", "))
            }
            Self::Ready => f.write_str("It takes instances."),
            Self::Unready { .. } => f.write_str("It is not heard of any more."),
            Self::Cordoned { ours: true, .. } => {
                f.write_str("The hub cordoned it: it gets nothing new, and goes when it is empty.")
            }
            Self::Cordoned { ours: false, .. } => {
                f.write_str("Somebody cordoned it: it gets nothing new.")
            }
            Self::Drained { .. } => f.write_str(
                "It is drained: it gets nothing new, and what runs there ends as soon as it can.",
            ),
            Self::Leaving { why, .. } => write!(f, "Its owner takes it away: {why}."),
        }
    }
}

impl MachineState {
    pub const NAMES: [&'static str; 4] = ["booting", "running", "failed", "leaving"];

    /// Its word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Running => "running",
            Self::Failed { .. } => "failed",
            Self::Leaving => "leaving",
        }
    }
}

impl FailureClass {
    pub const ALL: [Self; 6] = [
        Self::Capacity,
        Self::Quota,
        Self::Credentials,
        Self::Throttled,
        Self::DidNotCome,
        Self::Other,
    ];

    /// Its word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Quota => "quota",
            Self::Credentials => "credentials",
            Self::Throttled => "throttled",
            Self::DidNotCome => "did_not_come",
            Self::Other => "other",
        }
    }
}

impl Owner {
    pub const ALL: [Self; 4] = [Self::None, Self::Replicated, Self::Daemon, Self::Node];

    /// Its word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Replicated => "replicated",
            Self::Daemon => "daemon",
            Self::Node => "node",
        }
    }
}
