//! What the hub does about a state of a pod, in words: the rules are those of `muster_core`.

use std::fmt;

use muster_core::EndCause;
use muster_core::instance::{StartFault, Whose};
use muster_core::waits::{Pull, Scheduler, Waits};

use muster_cluster::kube::read::pod::Phase;

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
            Self::WaitsForPlace => "waits for a place",
            Self::WaitsForGate => "waits for the gate",
            Self::WaitsForScheduler => "waits for the scheduler",
            Self::WaitsForImage => "waits for the image",
            Self::WaitsForRegistry => "waits, the node tries again",
            Self::WaitsForProgram => "waits for the program",
            Self::AgainUncounted => "again, not counted",
            Self::AgainCounted => "again, counted",
            Self::MoreMemory => "again with more memory, once",
            Self::Fails => "fails, not tried again",
        })
    }
}
