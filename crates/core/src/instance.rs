//! Instances: what was asked for, and what was seen.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::room::NodeId;
use crate::waits::{ImageFault, Waits};
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

/// Where an instance runs, and so what becomes of it when its hub goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// A process of a hub: it ends with it.
    Process,
    /// A server that somebody else runs.
    Elsewhere,
    /// A pod of a cluster.
    Pod,
}

impl Runs {
    pub const ALL: [Self; 3] = [Self::Process, Self::Elsewhere, Self::Pod];

    /// The word for it in SQL and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Elsewhere => "elsewhere",
            Self::Pod => "pod",
        }
    }

    /// It goes on when the hub that started it ends, and every hub calls it.
    pub const fn outlives_its_hub(self) -> bool {
        match self {
            Self::Process => false,
            Self::Elsewhere | Self::Pod => true,
        }
    }
}

impl FromStr for Runs {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|runs| runs.name() == text);
        found.ok_or("this is process, elsewhere or pod")
    }
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
    NotStarted {
        reason: String,
        #[serde(default)]
        fault: StartFault,
    },
    /// It answered nothing for three health intervals.
    Unresponsive,
    /// It used more memory than its model may.
    OutOfMemory { limit_mib: u32 },
    /// It wrote more to the disk than its pod may; `why` are its node's words.
    OutOfDisk { why: String },
    /// The files of its model's folder are not those that it was started with; `file` is one of them.
    Changed { file: String },
    /// No node had room for it for so long that it is asked for anew; `why` is what the scheduler said last.
    NoRoom { why: String },
    /// Its node took it off, for example for want of memory; `why` are the node's words.
    Evicted { why: String },
    /// The scheduler gave its place to something more important.
    Preempted,
    /// Its node is gone or not heard of, or was taken away.
    NodeGone { why: String },
    /// Its image could not be had; `message` are the cluster's words.
    Image { fault: ImageFault, message: String },
    /// The cluster would not have it, or its node would not run it; `why` are their words.
    Refused { why: String, fault: StartFault },
    /// It was there for as long as the cluster lets it.
    Deadline,
    /// The process ended by itself.
    Exited { code: Option<i32>, signal: Option<i32>, last_lines: String },
}

/// Who brought an end about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The model, or what it was given.
    Model,
    /// What is around: machines, the cluster, the hub itself. A job that ends with it is not to blame.
    Surroundings,
    /// Somebody, or a rule that somebody set, wanted it.
    Operator,
}

/// Can starting once more help, although nobody changed anything?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartFault {
    /// No: the model is not right, or something is not installed.
    #[default]
    Lasting,
    /// Yes: the machine was short of something, or a server was away.
    Passing,
}

impl EndCause {
    /// All that [`EndCause::name`] answers.
    pub const NAMES: [&str; 18] = [
        "idle",
        "retired",
        "stopped",
        "server_gone",
        "start_timeout",
        "not_started",
        "unresponsive",
        "out_of_memory",
        "out_of_disk",
        "changed",
        "no_room",
        "evicted",
        "preempted",
        "node_gone",
        "image",
        "refused",
        "deadline",
        "exited",
    ];

    /// Whatever is tried, it could not be started for this.
    pub fn not_started(reason: impl Into<String>) -> Self {
        Self::NotStarted { reason: reason.into(), fault: StartFault::Lasting }
    }

    /// It could not be started for this at this moment.
    pub fn not_started_now(reason: impl Into<String>) -> Self {
        Self::NotStarted { reason: reason.into(), fault: StartFault::Passing }
    }

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
            Self::OutOfDisk { .. } => "out_of_disk",
            Self::Changed { .. } => "changed",
            Self::NoRoom { .. } => "no_room",
            Self::Evicted { .. } => "evicted",
            Self::Preempted => "preempted",
            Self::NodeGone { .. } => "node_gone",
            Self::Image { .. } => "image",
            Self::Refused { .. } => "refused",
            Self::Deadline => "deadline",
            Self::Exited { .. } => "exited",
        }
    }

    /// Who brought it about: whoever asks what to do next asks this.
    pub fn whose(&self) -> Whose {
        match self {
            Self::Idle | Self::Retired { .. } | Self::Stopped { .. } | Self::Changed { .. } => {
                Whose::Operator
            }
            Self::ServerGone | Self::Evicted { .. } | Self::Preempted | Self::NodeGone { .. } => {
                Whose::Surroundings
            }
            Self::Deadline | Self::NoRoom { .. } => Whose::Surroundings,
            Self::NotStarted { fault, .. } | Self::Refused { fault, .. } => match fault {
                StartFault::Lasting => Whose::Model,
                StartFault::Passing => Whose::Surroundings,
            },
            Self::Image { fault, .. } if fault.is_lasting() => Whose::Model,
            Self::Image { .. } => Whose::Surroundings,
            Self::StartTimeout | Self::Unresponsive => Whose::Model,
            Self::OutOfMemory { .. } | Self::OutOfDisk { .. } | Self::Exited { .. } => Whose::Model,
        }
    }

    /// Did something go wrong?
    pub fn is_failure(&self) -> bool {
        self.whose() != Whose::Operator
    }

    /// If it ended a start: can starting once more help, as far as that is known?
    pub fn start_fault(&self) -> Option<StartFault> {
        match self {
            Self::NotStarted { fault, .. } | Self::Refused { fault, .. } => Some(*fault),
            // It would do so on any node.
            Self::OutOfDisk { .. } => Some(StartFault::Lasting),
            Self::Image { fault, .. } if fault.is_lasting() => Some(StartFault::Lasting),
            cause if cause.whose() != Whose::Model => Some(StartFault::Passing),
            _ => None,
        }
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
    /// Its model's environment is being made.
    Preparing,
    Starting,
    Ready,
    /// It gets nothing more.
    Draining,
    Ended,
}

impl StateName {
    pub const ALL: [Self; 5] =
        [Self::Preparing, Self::Starting, Self::Ready, Self::Draining, Self::Ended];

    /// The word for it in SQL and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
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
        found.ok_or("this is preparing, starting, ready, draining or ended")
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

impl ObservedState {
    /// Launched: its program is on its way.
    pub fn starting(doing: impl Into<String>) -> Self {
        Self::Starting { doing: doing.into(), waits: Waits::Program }
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
            Self::NotStarted { reason, .. } => write!(f, "it could not be started: {reason}"),
            Self::Unresponsive => f.write_str("it stopped answering"),
            Self::OutOfMemory { limit_mib } => {
                write!(f, "it used more than {limit_mib} MiB of memory")
            }
            Self::OutOfDisk { why } => write!(f, "it used more of the disk than it may: {why}"),
            Self::Changed { file } => write!(f, "its model's folder was changed: {file}"),
            Self::NoRoom { why } => write!(f, "it got no place: {why}"),
            Self::Evicted { why } => write!(f, "its node took it off: {why}"),
            Self::Preempted => f.write_str("something more important got its place"),
            Self::NodeGone { why } => write!(f, "its node went: {why}"),
            Self::Image { fault, message } => write!(f, "{fault}: {message}"),
            Self::Refused { why, .. } => write!(f, "the cluster would not run it: {why}"),
            Self::Deadline => f.write_str("it was there for as long as the cluster lets it"),
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
    /// Where it is, if a cluster chose that.
    pub node: Option<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedState {
    /// Its environment is being made; `doing` is what the installer said last.
    Preparing {
        doing: String,
    },
    /// Launched; `doing` says what it is busy with ("loading the model"), `waits` what it waits for.
    Starting {
        doing: String,
        waits: Waits,
    },
    Ready {
        address: Address,
    },
    Ended {
        cause: EndCause,
    },
}

/// Where clouds tell a machine its secrets, beside link-local addresses.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

/// No model server listens there, but a cloud's metadata may: link-local, multicast, no address at all.
pub fn never_called(address: IpAddr) -> bool {
    let v4 = match address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(v6) => match inner_v4(v6) {
            Some(v4) => v4,
            None => {
                return v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || v6.is_multicast()
                    || METADATA_V6.contains(&v6);
            }
        },
    };
    v4.is_link_local()
        || v4.is_unspecified()
        || v4.is_multicast()
        || v4.is_broadcast()
        || METADATA_V4.contains(&v4)
}

/// The same for a host as it stands in a URL: a name is not an address, and is looked at once it is
/// resolved.
pub fn host_never_called(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    literal.unwrap_or(host).parse().is_ok_and(never_called)
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, by NAT64 or by 6to4.
fn inner_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        // Not `::` and `::1`.
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_never_called_however_its_address_is_written() {
        for text in [
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fe80::a9fe:a9fe]",
            "[fd00:ec2::254]",
            "[fd00:0ec2:0:0:0:0:0:254]",
            "[fd20:ce::254]",
            "[fd00:c1::a9fe:a9fe]",
            "[fd00:42::42]",
            "100.100.100.200",
            "[::ffff:100.100.100.200]",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "[::]",
            "[ff02::1]",
            "255.255.255.255",
        ] {
            assert!(host_never_called(text), "{text}");
        }
        for text in [
            "10.0.0.5",
            "127.0.0.1",
            "[::1]",
            "[fd00::1]",
            "[2001:db8::1]",
            "[64:ff9b::a00:5]",
            "models.example.org",
        ] {
            assert!(!host_never_called(text), "{text}");
        }
    }
}
