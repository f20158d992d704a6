//! What an instance that starts waits for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::room::NodeId;

/// What an instance that starts waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// A place, which a scheduler gives.
    Scheduler(Scheduler),
    /// Its image.
    Image(Pull),
    /// The model's own program.
    #[default]
    Program,
}

/// What the scheduler of a cluster says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    /// Nothing yet.
    Silent,
    /// It fits nowhere now.
    Unschedulable(Vec<Reason>),
    /// Somebody holds it back, for example a quota system; these are the names of the gates.
    Gated(Vec<String>),
    /// The scheduler itself failed.
    Broken(String),
    /// A place is expected there; it may be another one in the end.
    Nominated(NodeId),
    Bound(NodeId),
}

/// Why a scheduler takes none of so many nodes, in its own words. They are shown, and decide nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub nodes: u32,
    pub why: String,
}

/// How getting an image goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pull {
    /// Bytes, if somebody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What went wrong last; it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<(ImageFault, String)>,
}

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFault {
    NotFound,
    BadName,
    /// Its registry wants other credentials, or a secret that is named is not there.
    Forbidden,
    WrongPlatform,
    RateLimited,
    /// The node's disk is full.
    NoSpace,
    /// Anything else that may pass: a registry that is away, a name that does not resolve.
    Unreachable,
}

impl Waits {
    /// Does it still wait for the same, so that its time goes on?
    pub fn goes_on_as(&self, other: &Self) -> bool {
        let kind = |waits: &Self| match waits {
            Self::Scheduler(_) => 0,
            Self::Image(Pull { failed: None, .. }) => 1,
            Self::Image(Pull { failed: Some(_), .. }) => 2,
            Self::Program => 3,
        };
        kind(self) == kind(other)
    }
}

impl Waits {
    /// What somebody reads who waits for it, and can do nothing about it: without words of a cluster.
    pub fn for_users(&self) -> &'static str {
        match self {
            Self::Scheduler(Scheduler::Silent) => "it waits for a place",
            Self::Scheduler(Scheduler::Unschedulable(_)) => "no machine has room for it now",
            Self::Scheduler(Scheduler::Gated(_)) => "it waits for its turn in the cluster",
            Self::Scheduler(Scheduler::Broken(_)) => {
                "the cluster gives it no place; an administrator can see why"
            }
            Self::Scheduler(Scheduler::Nominated(_)) => "a place is being made for it",
            Self::Scheduler(Scheduler::Bound(_)) => "it has a place and begins there",
            Self::Image(Pull { failed: None, .. }) => "its image is being fetched",
            Self::Image(Pull { failed: Some(_), .. }) => {
                "its image could not be fetched; it is tried again"
            }
            Self::Program => "its program is starting",
        }
    }
}

impl ImageFault {
    /// Trying again does not help as long as nobody changes anything.
    pub fn is_lasting(self) -> bool {
        match self {
            Self::NotFound | Self::BadName | Self::Forbidden | Self::WrongPlatform => true,
            Self::RateLimited | Self::NoSpace | Self::Unreachable => false,
        }
    }
}

impl fmt::Display for ImageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "its image is not there",
            Self::BadName => "the name of its image is not one",
            Self::Forbidden => "the cluster may not have its image",
            Self::WrongPlatform => "its image is not for the processors of the node",
            Self::RateLimited => "the registry of its image takes no more calls for a while",
            Self::NoSpace => "the node has no space for its image",
            Self::Unreachable => "its image could not be fetched",
        })
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduler(scheduler) => scheduler.fmt(f),
            Self::Image(Pull { failed: None, .. }) => f.write_str("its image is being fetched"),
            Self::Image(Pull { failed: Some((fault, _)), .. }) => {
                write!(f, "{fault}; it is tried again")
            }
            Self::Program => f.write_str("its program is starting"),
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("the scheduler has not looked at it yet"),
            Self::Unschedulable(reasons) if reasons.is_empty() => {
                f.write_str("no node has room for it")
            }
            Self::Unschedulable(reasons) => {
                f.write_str("no node has room for it: ")?;
                for (n, Reason { nodes, why }) in reasons.iter().enumerate() {
                    let comma = if n > 0 { ", " } else { "" };
                    write!(f, "{comma}{nodes} {why}")?;
                }
                Ok(())
            }
            Self::Gated(names) => write!(f, "it is held back by {}", names.join(", ")),
            Self::Broken(what) => write!(f, "the scheduler failed: {what}"),
            Self::Nominated(node) => write!(f, "it will probably run on {node}"),
            Self::Bound(node) => write!(f, "it begins on {node}"),
        }
    }
}
