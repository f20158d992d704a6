//! What the hub does about a state of a pod, in words: the rules are those of `muster_core`.

use std::fmt;

use muster_core::EndCause;
use muster_core::instance::{StartFault, Whose};
use muster_core::waits::{Pull, Scheduler, Waits};

use super::pod::Phase;

/// What the hub does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Does {
    /// It gives it work.
    GivesWork,
    WaitsForPlace,
    WaitsForGate,
    WaitsForScheduler,
    WaitsForImage,
    WaitsForRegistry,
    WaitsForProgram,
    /// What it worked on is done again by another instance, and that counts as no failure.
    AgainUncounted,
    /// The same, and it counts.
    AgainCounted,
    /// Once with more memory, then it fails.
    MoreMemory,
    /// No other instance is tried as long as nobody changes anything.
    Fails,
}

/// What the hub does with a pod that is there.
pub fn does(phase: &Phase) -> Does {
    match phase {
        Phase::Ready { .. } => Does::GivesWork,
        Phase::Starts { waits, .. } => match waits {
            Waits::Scheduler(Scheduler::Gated(_)) => Does::WaitsForGate,
            Waits::Scheduler(Scheduler::Broken(_)) => Does::WaitsForScheduler,
            Waits::Scheduler(Scheduler::Bound(_)) => Does::WaitsForImage,
            Waits::Scheduler(_) => Does::WaitsForPlace,
            Waits::Image(Pull { failed: None, .. }) => Does::WaitsForImage,
            Waits::Image(Pull { failed: Some(_), .. }) => Does::WaitsForRegistry,
            Waits::Program => Does::WaitsForProgram,
        },
        Phase::Stuck { cause } | Phase::Leaves { cause } | Phase::Ended { cause, .. } => {
            after(cause)
        }
    }
}

fn after(cause: &EndCause) -> Does {
    match (cause.whose(), cause) {
        (Whose::Surroundings | Whose::Operator, _) => Does::AgainUncounted,
        (Whose::Model, EndCause::OutOfMemory { .. }) => Does::MoreMemory,
        (Whose::Model, cause) if cause.start_fault() == Some(StartFault::Lasting) => Does::Fails,
        (Whose::Model, _) => Does::AgainCounted,
    }
}

impl fmt::Display for Does {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GivesWork => "gives it work",
            Self::WaitsForPlace => "waits as long as a node comes for it, else 15 minutes",
            Self::WaitsForGate => "waits until the gate is taken away",
            Self::WaitsForScheduler => "waits, and tells an administrator",
            Self::WaitsForImage => "waits 2 minutes and 1 for each GiB of the image, 20 if its size is not known",
            Self::WaitsForRegistry => "waits as above: the node tries again by itself",
            Self::WaitsForProgram => "waits for the start time of the model",
            Self::AgainUncounted => "again with another instance, not counted as a failure",
            Self::AgainCounted => "again with another instance, counted; fails after the model's last attempt",
            Self::MoreMemory => "once more with 1.5 times the memory if the model allows, then fails with the figures",
            Self::Fails => "fails with this reason, and is not tried again until something changes",
        })
    }
}
