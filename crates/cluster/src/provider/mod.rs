//! Who makes nodes and takes them away.

mod cluster_api;
mod command;
mod simulator;
#[cfg(test)]
mod tests;

use std::pin::Pin;

use muster_core::room::{GroupId, Refusal, Told};
use uuid::Uuid;

pub use cluster_api::{ClusterApi, MachineDeployment};
pub use command::{Command, CommandConfig};
pub use simulator::{Mood, SimProvider};

/// What comes of a call; a refusal says which kind it is, and has the provider's own words.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// Groups, and of each what is told, or why nothing can be.
pub type Groups = Vec<(GroupId, Result<Told, String>)>;

/// Makes nodes and takes them away, in groups of one kind each.
///
/// Each order has an id: whoever gets the same order twice does it once. An answer of yes means that the
/// order is taken, not that the nodes are there.
pub trait Provider: Send + Sync {
    /// All groups that it has.
    fn groups(&self) -> Answer<'_, Groups>;

    /// The group shall have so many nodes in all.
    fn resize<'a>(&'a self, group: &'a GroupId, to: u32, order: Uuid) -> Answer<'a, ()>;

    /// Exactly these machines go, and the group is smaller by as many.
    fn remove<'a>(
        &'a self,
        group: &'a GroupId,
        machines: &'a [String],
        order: Uuid,
    ) -> Answer<'a, ()>;
}
