//! Who waits for a place, and where they could be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_core::plan::World;
use muster_core::room::{Lack, NodeId, Rooms, Tenant, TenantId, Who};
use serde::Serialize;

/// Somebody who waits for a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub tenant: TenantId,
    /// Where there is room for it.
    pub fits: Option<NodeId>,
    /// Why there is none.
    pub lack: Option<Lack>,
    /// The node that lacks the least.
    pub nearest: Option<NodeId>,
    /// It had a place, on a node that is not there in this world.
    pub displaced: bool,
}

/// All who wait for a place, those with more priority first; each of them takes its room from the next. In the
/// world that comes with them, those have their places for whom there is room: a node that they will be on is needed.
pub fn settled(world: &World) -> (World, Vec<Waiting>) {
    let there: BTreeSet<&NodeId> = world.nodes.iter().map(|node| &node.id).collect();
    let has_none = |it: &&Tenant| it.node.as_ref().is_none_or(|node| !there.contains(node));
    // What goes with its node needs no other.
    let moves = |it: &&Tenant| it.node.is_none() || !it.goes_with_node();
    let all = world.tenants.iter().map(Arc::as_ref);
    let mut waits: Vec<&Tenant> = all.filter(has_none).filter(moves).collect();
    if waits.is_empty() {
        return (world.clone(), Vec::new());
    }
    waits.sort_by_key(|it| Reverse(it.ask.priority));
    let mut rooms = Rooms::new(&world.nodes);
    rooms.put_tenants(&world.tenants);
    let of = |it: &Tenant, fits| Waiting {
        tenant: it.id.clone(),
        fits,
        lack: None,
        nearest: None,
        displaced: it.node.is_some(),
    };
    let found = waits.into_iter().map(|it| match rooms.place(&it.ask, Who::Tenant(it)) {
        Ok(at) => of(it, Some(at.node)),
        Err(no) => Waiting { lack: Some(no.lack), nearest: no.node, ..of(it, None) },
    });
    let found: Vec<Waiting> = found.collect();
    let places = found.iter().filter_map(|it| Some((&it.tenant, it.fits.as_ref()?)));
    let places: BTreeMap<&TenantId, &NodeId> = places.collect();
    let mut tenants = Vec::clone(&world.tenants);
    for tenant in &mut tenants {
        if let Some(node) = places.get(&tenant.id) {
            Arc::make_mut(tenant).node = Some((*node).clone());
        }
    }
    (World { tenants: Arc::new(tenants), ..world.clone() }, found)
}
