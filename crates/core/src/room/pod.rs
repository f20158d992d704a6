//! What a pod asks for, as the scheduler counts it.
//!
//! Source: the Kubernetes documentation of init containers, sidecar containers, pod overhead, pod-level
//! resources and in-place resize.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Amounts;

/// The parts of a pod that ask for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodAsk {
    /// In their order; they run one after the other before the others do.
    pub init: Vec<Container>,
    pub containers: Vec<Container>,
    /// Of its runtime class, beside all of it.
    pub overhead: Amounts,
    /// For the pod as a whole: what is named here counts instead of the sum of its containers.
    pub whole: BTreeMap<String, u64>,
    /// It shall be resized to what can never be given: what it has counts.
    pub resize_is_infeasible: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    pub requests: Amounts,
    /// Of its status: what its node promised it, and what it was seen to have.
    pub allocated: Option<Amounts>,
    pub actual: Option<Amounts>,
    /// An init container that runs on (a sidecar).
    pub is_sidecar: bool,
}

impl Container {
    fn asks(&self, resize_is_infeasible: bool) -> Amounts {
        let known = [&self.allocated, &self.actual].into_iter().flatten();
        let has = known.cloned().reduce(|one, other| one.largest(&other));
        match has {
            None => self.requests.clone(),
            Some(has) if resize_is_infeasible => has,
            Some(has) => has.largest(&self.requests),
        }
    }
}

impl PodAsk {
    pub fn amounts(&self) -> Amounts {
        let asks = |container: &Container| container.asks(self.resize_is_infeasible);
        let (mut sidecars, mut most_at_start) = (Amounts::default(), Amounts::default());
        for container in &self.init {
            let asked = asks(container);
            let beside = sidecars.clone().plus(&asked);
            most_at_start = most_at_start.largest(&beside);
            if container.is_sidecar {
                sidecars = beside;
            }
        }
        let running = self.containers.iter().fold(sidecars, |sum, one| sum.plus(&asks(one)));
        let mut all = running.largest(&most_at_start);
        for (name, amount) in &self.whole {
            all.set(name, *amount);
        }
        all.pods = 1;
        all.plus(&Amounts { pods: 0, ..self.overhead.clone() })
    }
}
