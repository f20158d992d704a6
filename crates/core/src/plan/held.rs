//! The answer to "why is my request waiting?".

use std::fmt;

use crate::{ModelId, Timestamp};

/// A model whose waiting work gets nothing more now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub model: ModelId,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The files of the model's folder are being read.
    Reading,
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
            Self::Gone => f.write_str("The hub does not have the model at the moment."),
            Self::Backoff { reason, .. } => {
                write!(f, "Starting the model failed and will be tried again: {reason}")
            }
        }
    }
}
