//! Room: what is asked for, what nodes have, who holds it, and what fits where.
//!
//! Every question is a function of values that answers with its reasons. What is not understood never
//! fits. Rules and words are those of the Kubernetes scheduler
//! (<https://kubernetes.io/docs/concepts/scheduling-eviction/>); a machine that runs a hub is a node
//! as well.

mod amounts;
mod ask;
mod books;
#[cfg(test)]
mod books_tests;
mod fit;
mod group;
mod holder;
mod neighbours;
mod node;
mod pod;
mod rooms;
mod scaler;
#[cfg(test)]
mod tests;
mod words;

pub use ask::{
    Ask, Condition, Folder, Labels, NODE_NAME, Neighbours, Port, Requirement, Spread, Toleration,
};
pub use books::{
    Found, GroupBooks, GroupSettings, Known, Mark, MarkKind, OrderStage, PlacedOrder, Refusal,
    Told, ToldMachine, Wanted,
};
pub use fit::{Lack, amount, fits_when_empty, suits};
pub use group::{
    FailureClass, Failures, GroupView, LEFT_ALONE, Machine, MachineState, NoOption, Order,
    Template, ZONE, healthy, split,
};
pub use holder::{Holder, Who};
pub use node::{
    Budget, Daemon, Device, DeviceId, Effect, GroupId, NodeId, NodeStage, NodeView, Owner, Place,
    Taint, Tenant, TenantId,
};
pub use pod::{Container, PodAsk};
pub use rooms::{NoPlace, NodeRoom, Rooms};
pub use scaler::Scaler;
