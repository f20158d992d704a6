//! Claims for which there is nothing: they do not wake the writer, who would go back to sleep. It looks at
//! them when something else wakes it, and only that can be something for them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use muster_core::ModelId;

use super::WaitingClaim;

/// A version of a model.
pub(super) type Version = (ModelId, String);

#[derive(Default)]
pub(crate) struct Parked(Mutex<Place>);

#[derive(Default)]
struct Place {
    claims: Vec<WaitingClaim>,
    /// Versions of which nothing is queued, while the writer sleeps.
    nothing: HashSet<Version>,
}

impl Parked {
    /// Keeps the claim for the writer, or gives it back: it has to be sent.
    pub(crate) fn park(&self, claim: WaitingClaim) -> Option<WaitingClaim> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !place.nothing.contains(&super::of(&claim)) {
            return Some(claim);
        }
        place.claims.push(claim);
        None
    }

    /// The writer is about to sleep.
    pub(super) fn sleeps(&self, nothing: HashSet<Version>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).nothing = nothing;
    }

    /// It is awake, and gets what came meanwhile.
    pub(super) fn wakes(&self) -> Vec<WaitingClaim> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).claims
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_core::InstanceId;
    use tokio::sync::oneshot;

    use super::*;
    use crate::Claim;

    fn claim(version: &str) -> WaitingClaim {
        let claim = Claim {
            instance: InstanceId(uuid::Uuid::nil()),
            model: "m".parse().expect("an id"),
            version: version.to_owned(),
            max_inputs: 1,
            lease: Duration::from_secs(1),
            ahead: true,
        };
        WaitingClaim::new(claim, oneshot::channel().0)
    }

    #[test]
    fn a_claim_is_kept_only_while_the_writer_sleeps_and_there_is_nothing_for_it() {
        let parked = Parked::default();
        assert!(parked.park(claim("1")).is_some(), "the writer is awake");
        parked.sleeps(HashSet::from([("m".parse().expect("an id"), "1".to_owned())]));
        assert!(parked.park(claim("2")).is_some(), "there may be something for it");
        assert!(parked.park(claim("1")).is_none());
        assert_eq!(parked.wakes().len(), 1);
        assert!(parked.park(claim("1")).is_some(), "the writer is awake");
        assert!(parked.wakes().is_empty());
    }
}
