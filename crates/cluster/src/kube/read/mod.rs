//! Objects of Kubernetes become plain values: functions of what the API server told, and of nothing else.
//!
//! Their words are shown as they are. What is decided is decided by fields that only the cluster writes, never
//! by annotations of a pod.

pub mod ask;
pub mod autoscaler;
pub mod budgets;
pub mod daemons;
pub mod dump;
pub mod events;
pub mod node;
pub mod pod;
pub mod tenants;

mod ends;
mod image;
pub mod quantity;
mod scheduler;
mod selectors;
mod status;
pub mod time;

/// The label of a pod that a hub made: which hub.
pub const HUB: &str = "muster.dev/hub";

/// The name of the container in which a model runs; if there is none of that name, it is the first.
pub const MODEL_CONTAINER: &str = "model";
