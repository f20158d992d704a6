//! Groups of a dump: nodes that somebody made as one kind.

use std::collections::BTreeMap;

use muster_core::room::{GroupId, GroupView, NodeStage, NodeView, Template};

use super::super::autoscaler::GroupStatus;
use super::super::node;

/// The group of those that name none.
pub const UNGROUPED: &str = "nodes";

/// Those run what the cluster itself needs; they are nobody's to take away.
const CONTROL_PLANE: [&str; 2] =
    ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// Sets the group of each node by its labels, and tells of all groups. What a new node of one would be is
/// what one of its nodes is; how many there may be is known only if the Cluster Autoscaler says it.
pub fn groups(nodes: &mut [NodeView], said: &[GroupStatus]) -> Vec<GroupView> {
    let mut of: BTreeMap<GroupId, Vec<&NodeView>> = BTreeMap::new();
    for it in nodes.iter_mut() {
        if CONTROL_PLANE.iter().all(|label| !it.labels.contains_key(*label)) {
            it.group = Some(node::group(&it.labels).unwrap_or_else(|| UNGROUPED.into()));
        }
    }
    for it in nodes.iter() {
        if let Some(group) = &it.group {
            of.entry(group.clone()).or_default().push(it);
        }
    }
    of.into_iter().map(|(id, nodes)| group(id, &nodes, said)).collect()
}

fn group(id: GroupId, nodes: &[&NodeView], said: &[GroupStatus]) -> GroupView {
    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let said = said.iter().find(|it| it.name == id.0);
    let ready = nodes.iter().find(|it| it.stage == NodeStage::Ready);
    GroupView {
        min: said.and_then(|it| it.min).unwrap_or(0),
        max: said.and_then(|it| it.max).unwrap_or(count),
        target: count,
        template: ready.map(|it| Template {
            labels: it.labels.clone(),
            taints: it.taints.clone(),
            allocatable: it.allocatable.clone(),
        }),
        price: 0,
        priority: 0,
        boot_seconds: None,
        machines: Vec::new(),
        order: None,
        failures: None,
        removal_failures: None,
        spare: None,
        only_advised: None,
        unseen: None,
        id,
    }
}
