//! A request: one model, N inputs, ended exactly once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ModelId, PrincipalId, RequestId, Timestamp};

#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub id: RequestId,
    pub principal: PrincipalId,
    pub model: ModelId,
    pub model_version: String,
    pub submitted_at: Timestamp,
    pub phase: Phase,
    pub progress: Progress,
    /// How the input was read, for the person: see [`Reading`].
    pub reading: Reading,
    /// What its owner calls it; nobody else reads it.
    pub label: Option<String>,
}

/// Most characters of a label.
pub const LABEL: usize = 100;

/// A label as somebody wrote it, without space around it; one of nothing is none.
///
/// # Errors
///
/// What is wrong with it, after "a label".
pub fn label(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    if text.chars().count() > LABEL {
        return Err(format!("has at most {LABEL} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("is one line, without control characters".into());
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Where a request is in its life; each variant carries what is true only then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No task was sent to an instance yet.
    Waiting,
    /// At least one task was sent at `started_at`.
    Running {
        started_at: Timestamp,
    },
    Ended {
        started_at: Option<Timestamp>,
        ended_at: Timestamp,
        how: Ended,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every input has a prediction or an error of its own.
    Completed,
    /// The request as a whole could not be done; `reason` is fit for a user.
    Failed {
        reason: String,
    },
    Cancelled {
        reason: String,
    },
}

/// Counts of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    pub inputs: u64,
    /// Inputs with a prediction or an error.
    pub done: u64,
    /// Inputs of `done` with an error.
    pub failed: u64,
    /// Inputs of `done` answered by a known prediction.
    pub cached: u64,
}

/// How a submitted file was read.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Was the first line a header?
    pub header: Header,
    /// The column the inputs were taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Names of the file's columns, in order; empty when there was only the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// What separates the cells, if there are several columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    pub rows: u64,
    /// Lines without anything, and rows whose cells are all empty.
    #[serde(default)]
    pub blank_lines_skipped: u64,
    /// Rows with fewer cells than the header: the missing ones are empty.
    #[serde(default)]
    pub short_rows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    Used,
    Absent,
    /// The inputs did not come as a file.
    #[default]
    NotAFile,
}

/// What is said beside the error of the only input that failed, when it was the first line of a file
/// that was taken to have no header.
pub const MAY_BE_A_HEADER: &str = " (Is this line the file's header? Then submit it again with \
     header=used, or --has-header of `muster run`.)";

/// Is the first line perhaps a header, if its input failed? `failed` of so many inputs did.
pub fn may_have_a_header(header: Header, failed: u64, inputs: u64) -> bool {
    header == Header::Absent && failed == 1 && inputs > 1
}

/// Which phase it is, without what is true in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PhaseName {
    Waiting,
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// A change that the request's phase does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request that is {phase} cannot {verb}")]
pub struct Refused {
    pub phase: PhaseName,
    pub verb: &'static str,
}

impl PhaseName {
    pub const ALL: [Self; 5] =
        [Self::Waiting, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word for it in SQL, JSON, logs and on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl FromStr for PhaseName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|phase| phase.name() == text);
        found.ok_or("this is waiting, running, completed, failed or cancelled")
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Ended {
    pub fn phase(&self) -> PhaseName {
        match self {
            Self::Completed => PhaseName::Completed,
            Self::Failed { .. } => PhaseName::Failed,
            Self::Cancelled { .. } => PhaseName::Cancelled,
        }
    }
}

impl Phase {
    pub fn in_a_word(&self) -> PhaseName {
        match self {
            Self::Waiting => PhaseName::Waiting,
            Self::Running { .. } => PhaseName::Running,
            Self::Ended { how, .. } => how.phase(),
        }
    }

    pub fn name(&self) -> &'static str {
        self.in_a_word().name()
    }

    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    pub fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting => None,
            Self::Running { started_at } => Some(*started_at),
            Self::Ended { started_at, .. } => *started_at,
        }
    }

    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Ended { ended_at, .. } => Some(*ended_at),
            _ => None,
        }
    }

    /// The first task was sent. Sending another changes nothing.
    pub fn start(&self, now: Timestamp) -> Result<Self, Refused> {
        match self {
            Self::Waiting => Ok(Self::Running { started_at: now }),
            Self::Running { .. } => Ok(self.clone()),
            Self::Ended { .. } => Err(Refused { phase: self.in_a_word(), verb: "start" }),
        }
    }

    pub fn end(&self, how: Ended, now: Timestamp) -> Result<Self, Refused> {
        if self.is_ended() {
            return Err(Refused { phase: self.in_a_word(), verb: "end again" });
        }
        Ok(Self::Ended { started_at: self.started_at(), ended_at: now, how })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_as_they_are_written_and_listed_in_their_order() {
        for (place, phase) in PhaseName::ALL.into_iter().enumerate() {
            assert_eq!(phase.name().parse(), Ok(phase));
            assert_eq!(phase as usize, place);
        }
        assert!("".parse::<PhaseName>().is_err());
    }
}
