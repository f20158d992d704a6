//! How long a start may take, each part of it by its own clock.

use std::time::Duration;

use crate::Timestamp;
use crate::instance::EndCause;
use crate::model::ModelLimits;
use crate::waits::{Pull, Scheduler, Waits};

/// An instance that keeps saying what it does may take this many start times in all.
const LONGEST_START: u32 = 12;
/// How long a pod waits for a place that nobody makes, before it is asked for anew.
const PLACE: Duration = Duration::from_secs(15 * 60);
/// How long an image that cannot be fetched is tried, if its size is not known, and if it is.
const IMAGE: Duration = Duration::from_secs(20 * 60);
const SMALL_IMAGE: Duration = Duration::from_secs(2 * 60);
const GIB_OF_IMAGE: Duration = Duration::from_secs(60);
/// A pod ends after seven days, whatever it does: it is replaced before, when it is idle.
pub(super) const REPLACED_AFTER: Duration = Duration::from_secs(6 * 24 * 3600);

/// When the model's own program has had its time, that began at `began`.
pub(super) fn program_end(
    limits: &ModelLimits,
    began: Timestamp,
    progressed_at: Timestamp,
) -> Timestamp {
    let start = limits.start();
    (progressed_at.max(began) + start).min(began + start * LONGEST_START)
}

/// When what it waits for since then has had its time, and what that means; nothing as long as it may
/// wait.
pub(super) fn waits_end(
    waits: &Waits,
    since: Timestamp,
    progressed_at: Timestamp,
    limits: &ModelLimits,
    a_node_comes: bool,
) -> Option<(Timestamp, EndCause)> {
    match waits {
        // Whoever holds it back lets it go.
        Waits::Scheduler(Scheduler::Gated(_) | Scheduler::Nominated(_)) => None,
        Waits::Scheduler(_) if a_node_comes => None,
        Waits::Scheduler(says) => Some((since + PLACE, EndCause::NoRoom { why: says.to_string() })),
        Waits::Image(Pull { failed: None, .. }) => None,
        Waits::Image(Pull { size, failed: Some((fault, message)) }) => {
            let patience = match size {
                _ if fault.is_lasting() => Duration::ZERO,
                None => IMAGE,
                Some(bytes) => {
                    let gib = u32::try_from(bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX);
                    SMALL_IMAGE + GIB_OF_IMAGE.saturating_mul(gib)
                }
            };
            let cause = EndCause::Image { fault: *fault, message: message.clone() };
            Some((since + patience, cause))
        }
        Waits::Program => Some((program_end(limits, since, progressed_at), EndCause::StartTimeout)),
    }
}
