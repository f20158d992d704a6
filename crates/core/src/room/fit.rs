//! Does it fit this node, and if not: why?

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ask::{Ask, Labels, NODE_NAME, Requirement};
use super::node::{Effect, NodeStage, NodeView, Taint};
use crate::Amounts;
use crate::resources::Lack as Short;

/// Why something does not fit a node: the first reason that was found, those that no waiting mends first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "lacks")]
pub enum Lack {
    NotUnderstood {
        what: Vec<String>,
    },
    Label {
        is_not: Requirement,
    },
    /// None of several alternatives holds.
    Labels,
    Taint {
        taint: Taint,
    },
    /// The folder is not there in the version that is asked for.
    Folder,
    /// More than the node has in all.
    TooLarge {
        short: Vec<Short>,
    },
    /// The node gets nothing new now.
    Closed {
        stage: NodeStage,
    },
    /// Others hold it.
    Taken {
        short: Vec<Short>,
    },
    Port {
        port: u16,
    },
    /// Somebody runs there whom it stays away from, or who stays away from it.
    Apart {
        topology: String,
    },
    /// Nobody runs there whom it wants to be beside.
    Beside {
        topology: String,
    },
    /// Too many of them would be there.
    Spread {
        topology: String,
    },
}

impl Lack {
    /// Would it not fit, however empty the node were?
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::NotUnderstood { .. } | Self::Label { .. } | Self::Labels => true,
            Self::Taint { .. } | Self::Folder | Self::TooLarge { .. } => true,
            Self::Closed { .. } | Self::Taken { .. } | Self::Port { .. } => false,
            Self::Apart { .. } | Self::Beside { .. } | Self::Spread { .. } => false,
        }
    }
}

/// Why it would not fit a node of this kind on which nothing runs but what every node of it runs, which
/// takes `daemons`.
pub fn fits_when_empty(ask: &Ask, node: &NodeView, daemons: &Amounts) -> Result<(), Lack> {
    if !ask.not_understood.is_empty() {
        return Err(Lack::NotUnderstood { what: ask.not_understood.clone() });
    }
    suits(ask, node)?;
    match short(&ask.amounts, daemons, &node.allocatable) {
        short if short.is_empty() => Ok(()),
        short => Err(Lack::TooLarge { short }),
    }
}

/// What of the node does not change: labels, taints, folders.
pub fn suits(ask: &Ask, node: &NodeView) -> Result<(), Lack> {
    needs_hold(ask, node)?;
    if let Some(taint) = node.taints.iter().find(|taint| repels(ask, taint)) {
        return Err(Lack::Taint { taint: taint.clone() });
    }
    match (&ask.folder, &node.folders) {
        (Some(folder), Some(folders)) if folders.get(&folder.model) != Some(&folder.version) => {
            Err(Lack::Folder)
        }
        _ => Ok(()),
    }
}

pub(super) fn needs_hold(ask: &Ask, node: &NodeView) -> Result<(), Lack> {
    let hold = |requirement: &&Requirement| holds(requirement, &node.id.0, &node.labels);
    if let Some(is_not) = ask.needs.iter().find(|requirement| !hold(requirement)) {
        return Err(Lack::Label { is_not: is_not.clone() });
    }
    let one = |all: &Vec<Requirement>| all.iter().all(|requirement| hold(&requirement));
    match &ask.needs_one_of {
        one_of if one_of.is_empty() || one_of.iter().any(one) => Ok(()),
        _ => Err(Lack::Labels),
    }
}

fn holds(requirement: &Requirement, name: &str, labels: &Labels) -> bool {
    match requirement.key == NODE_NAME {
        true => requirement.is.holds(Some(name)),
        false => requirement.holds(labels),
    }
}

/// Does the taint keep it away?
pub(super) fn repels(ask: &Ask, taint: &Taint) -> bool {
    taint.effect != Effect::PreferNoSchedule && !ask.tolerates(taint)
}

/// Of what there is too little for `asked` beside `held`.
pub(super) fn short(asked: &Amounts, held: &Amounts, of: &Amounts) -> Vec<Short> {
    asked.lacks(&of.less(held))
}

/// An amount that is short, as people say it: "2 GPUs (1 there)".
fn in_words(short: &Short) -> String {
    let (asked, there) = (amount(&short.name, short.asked), amount(&short.name, short.there));
    match short.name.as_str() {
        "memory" | "storage" => format!("{asked} of {} ({there} there)", short.name),
        "cpu" if short.asked == 1000 => format!("1 core ({there} there)"),
        "cpu" => format!("{asked} cores ({there} there)"),
        "pods" => format!("{asked} more pod ({there} there)"),
        name if name.ends_with("/gpu") => {
            format!("{asked} GPU{} ({there} there)", if short.asked == 1 { "" } else { "s" })
        }
        name => format!("{asked} {name} ({there} there)"),
    }
}

/// An amount as people write it.
pub fn amount(name: &str, of: u64) -> String {
    match name {
        "cpu" if of.is_multiple_of(1000) => (of / 1000).to_string(),
        "cpu" => format!("{:.3}", of as f64 / 1000.0).trim_end_matches('0').to_owned(),
        "memory" | "storage" if of >= 10 << 30 => format!("{} GiB", of >> 30),
        "memory" | "storage" if of >= 1 << 30 => {
            format!("{:.1} GiB", of as f64 / f64::from(1 << 30))
        }
        "memory" | "storage" => format!("{} MiB", of >> 20),
        _ => of.to_string(),
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |short: &[Short]| {
            let texts: Vec<String> = short.iter().map(in_words).collect();
            texts.join(", ")
        };
        match self {
            Self::NotUnderstood { what } => {
                write!(f, "it asks for what the hub cannot judge: {}", what.join(", "))
            }
            Self::Label { is_not } => write!(f, "it needs a node where {is_not}"),
            Self::Labels => f.write_str("it needs a node with other labels"),
            Self::Taint { taint } => write!(f, "it does not tolerate the taint {taint}"),
            Self::Folder => f.write_str("the model's folder is not there in this version"),
            Self::TooLarge { short } => {
                write!(f, "it needs {}", list(short))
            }
            Self::Closed { stage } => f.write_str(match stage {
                NodeStage::Booting { .. } => "the node is starting",
                NodeStage::Unready { .. } => "the node is not heard of",
                NodeStage::Cordoned { .. } => "the node is cordoned",
                NodeStage::Drained { .. } => "the node is being drained",
                NodeStage::Leaving { .. } => "the node is being taken away",
                NodeStage::Ready => "the node takes nothing",
            }),
            Self::Taken { short } => write!(f, "others hold it: it needs {}", list(short)),
            Self::Port { port } => write!(f, "port {port} of the node is taken"),
            Self::Apart { topology } => {
                write!(f, "somebody in the same {topology} and it stay apart")
            }
            Self::Beside { topology } => {
                write!(f, "nobody whom it wants beside it is in the same {topology}")
            }
            Self::Spread { topology } => write!(f, "too many of them would be in one {topology}"),
        }
    }
}
