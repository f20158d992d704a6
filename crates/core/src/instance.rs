//! Instances: what was asked for, and what was seen.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{InstanceId, Timestamp};

/// Where an instance listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// A unix socket of a process on this machine.
    Socket(String),
    /// The base URL of a model server.
    Url(String),
}

/// Why an instance is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum EndCause {
    /// Nobody needed it for its model's idle time.
    Idle,
    /// The plan wanted fewer, or another version.
    Retired { why: String },
    /// An administrator stopped it.
    Stopped { why: String },
    /// The server that ran it stopped or died.
    ServerGone,
    /// It was not ready within the model's start time.
    StartTimeout,
    /// It could not be started at all; `reason` is fit for a user.
    NotStarted { reason: String },
    /// It answered nothing for three health intervals.
    Unresponsive,
    /// It used more memory than its model may.
    OutOfMemory { limit_mib: u32 },
    /// The process ended by itself.
    Exited { code: Option<i32>, signal: Option<i32>, last_lines: String },
}

impl EndCause {
    /// The text of `cause` in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Retired { .. } => "retired",
            Self::Stopped { .. } => "stopped",
            Self::ServerGone => "server_gone",
            Self::StartTimeout => "start_timeout",
            Self::NotStarted { .. } => "not_started",
            Self::Unresponsive => "unresponsive",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::Exited { .. } => "exited",
        }
    }

    /// Did something go wrong?
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Idle | Self::Retired { .. } | Self::Stopped { .. })
    }

    /// Without what the model wrote: that may quote inputs, and is in its log.
    #[must_use]
    pub fn without_words(&self) -> Self {
        match self {
            Self::Exited { code, signal, .. } => {
                Self::Exited { code: *code, signal: *signal, last_lines: String::new() }
            }
            other => other.clone(),
        }
    }
}

/// Which state an instance is in, without what is true in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    Starting,
    Ready,
    /// It gets nothing more.
    Draining,
    Ended,
}

impl StateName {
    pub const ALL: [Self; 4] = [Self::Starting, Self::Ready, Self::Draining, Self::Ended];

    /// The word for it in SQL and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }
}

impl FromStr for StateName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.name() == text);
        found.ok_or("this is starting, ready, draining or ended")
    }
}

/// What becomes of the work of an instance that an administrator stops. The order is that of hardness:
/// a wish is only ever replaced by a harder one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWork {
    /// It is finished first.
    Drain,
    /// It goes back to the queue.
    Requeue,
    /// Its requests fail.
    Fail,
}

impl StopWork {
    pub fn name(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Fail => "fail",
            Self::Drain => "drain",
        }
    }
}

impl FromStr for StopWork {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Requeue, Self::Fail, Self::Drain];
        let found = all.into_iter().find(|work| work.name() == text);
        found.ok_or("this is requeue, fail or drain")
    }
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Retired { why } => write!(f, "retired: {why}"),
            Self::Stopped { why } => write!(f, "stopped by an administrator: {why}"),
            Self::ServerGone => f.write_str("its server stopped"),
            Self::StartTimeout => f.write_str("it was not ready within its start time"),
            Self::NotStarted { reason } => write!(f, "it could not be started: {reason}"),
            Self::Unresponsive => f.write_str("it stopped answering"),
            Self::OutOfMemory { limit_mib } => {
                write!(f, "it used more than {limit_mib} MiB of memory")
            }
            Self::Exited { code: Some(code), .. } => {
                write!(f, "its process ended with exit code {code}")
            }
            Self::Exited { signal: Some(signal), .. } => {
                write!(f, "its process was killed by signal {signal}")
            }
            Self::Exited { .. } => f.write_str("its process ended"),
        }
    }
}

/// What a cluster saw of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub instance: InstanceId,
    pub at: Timestamp,
    pub state: ObservedState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedState {
    /// Launched; `doing` says what it is busy with ("installing packages", "loading the model").
    Starting {
        doing: String,
    },
    Ready {
        address: Address,
    },
    Ended {
        cause: EndCause,
    },
}

/// No model server listens there, but a cloud's metadata may: link-local, multicast, no address at all.
pub fn never_called(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
    }
}
