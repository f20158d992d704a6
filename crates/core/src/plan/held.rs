//! The answer to "why is my request waiting?".

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::room::{GroupId, Lack, NoOption};
use crate::{ModelId, Timestamp};

/// A model whose waiting work gets nothing more now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub model: ModelId,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "because")]
pub enum Why {
    /// The files of the model's folder are being read.
    Reading,
    /// The hub has nothing that could run it.
    CannotRun {
        why: String,
    },
    /// The model's environment is being made; `doing` is what the installer said last.
    Preparing {
        doing: String,
    },
    /// An instance starts; `doing` is what it said last.
    Booting {
        doing: String,
    },
    /// All instances have work.
    Busy {
        instances: u32,
    },
    AtModelMaximum {
        most: u32,
    },
    AtHubMaximum {
        most: u32,
    },
    /// There is no room for an instance now; these models have what it lacks.
    NoRoom {
        lack: Lack,
        held_by: Vec<ModelId>,
    },
    /// No node could take an instance, however empty it were.
    FitsNowhere {
        lack: Lack,
    },
    /// A node is booting, or ordered, on which it will run.
    NodeStarting {
        group: Option<GroupId>,
        /// How long that usually takes.
        usual_seconds: Option<u32>,
    },
    /// It needs a new node, and none is ordered; for this reason of the group that is nearest to it.
    NoNode {
        group: GroupId,
        no: NoOption,
    },
    /// The nodes cannot be seen.
    Unseen {
        why: String,
    },
    /// The catalogue does not have the model.
    Gone,
    /// Starting failed; the next try is at `until`.
    Backoff {
        until: Timestamp,
        reason: String,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => f.write_str("The model's files are being read."),
            Self::CannotRun { why } => write!(f, "This hub cannot run the model: {why}."),
            Self::Preparing { doing } => {
                write!(f, "The model's environment is being made: {doing}.")
            }
            Self::Booting { doing } if doing.is_empty() => f.write_str("The model is starting."),
            Self::Booting { doing } => write!(f, "The model is starting: {doing}."),
            Self::Busy { instances: 1 } => f.write_str("The model is busy with other requests."),
            Self::Busy { instances } | Self::AtModelMaximum { most: instances } => {
                write!(f, "All {instances} instances of the model are busy with other requests.")
            }
            Self::AtHubMaximum { most } => {
                write!(f, "The hub runs its maximum of {most} instances; one must end first.")
            }
            Self::NoRoom { lack, held_by } => {
                write!(f, "There is no room for the model now: {lack}.")?;
                match &held_by[..] {
                    [] => Ok(()),
                    [one] => write!(f, " It gets it when {one} needs it no more."),
                    some => {
                        let names: Vec<&str> = some.iter().map(ModelId::as_str).collect();
                        write!(f, " It gets it when one of {} needs it no more.", names.join(", "))
                    }
                }
            }
            Self::FitsNowhere { lack } => {
                write!(f, "No node can run the model: {lack}. An administrator can change that.")
            }
            Self::NodeStarting { usual_seconds: None, .. } => {
                f.write_str("A machine is starting for the model.")
            }
            Self::NodeStarting { usual_seconds: Some(seconds), .. } => {
                let minutes = seconds.div_ceil(60).max(1);
                let s = if minutes == 1 { "" } else { "s" };
                write!(
                    f,
                    "A machine is starting for the model; that usually takes {minutes} minute{s}."
                )
            }
            Self::NoNode { group, no } => {
                write!(
                    f,
                    "There is no room for the model, and no further machine of {group}: {no}."
                )
            }
            Self::Unseen { why } => write!(f, "The nodes cannot be seen at the moment: {why}."),
            Self::Gone => f.write_str("The hub does not have the model at the moment."),
            Self::Backoff { reason, .. } => {
                write!(f, "Starting the model failed and will be tried again: {reason}")
            }
        }
    }
}
