//! Which of the nodes that may take a pod is best: the scores of the default profile, each from
//! 0 to 100 and with its documented weight; without those for images and for a balance of
//! resources. Equal ones: the first by name, so that runs repeat.

use serde::{Deserialize, Serialize};

use super::{
    super::shapes::Node,
    between::Between,
    filter::{filled, matches},
    world::{Place, Seen},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Packing {
    /// Spread over nodes, as the default profile does.
    #[default]
    LeastAllocated,
    /// Fill nodes.
    MostAllocated,
}

pub fn best<'a>(
    pod: &Seen,
    between: &Between,
    packing: Packing,
    nodes: &[(&'a Node, &'a Place)],
) -> Option<&'a Node> {
    let taints = scaled(nodes, true, |node, _| soft_taints(pod, node));
    let affinity = scaled(nodes, false, |node, _| preferred(pod, node));
    let friends = scaled(nodes, false, |node, _| between.liking(node) as f64);
    let crowd = scaled(nodes, true, |node, _| between.crowd(node) as f64);
    let mut best: Option<(f64, &Node)> = None;
    for (at, (node, place)) in nodes.iter().enumerate() {
        let used = ["cpu", "memory"].map(|of| filled(pod, node, place, of));
        let full = (used[0] + used[1]) * 50.0;
        let room = match packing {
            Packing::LeastAllocated => 100.0 - full,
            Packing::MostAllocated => full,
        };
        let score = 3.0 * taints[at] + 2.0 * (affinity[at] + friends[at] + crowd[at]) + room;
        if best.is_none_or(|(other, _)| score > other + 1e-9) {
            best = Some((score, node));
        }
    }
    best.map(|(_, node)| node)
}

fn soft_taints(pod: &Seen, node: &Node) -> f64 {
    let hurts = node.spec.taints.iter().filter(|taint| {
        taint.effect == "PreferNoSchedule"
            && !pod.pod.spec.tolerations.iter().any(|one| one.tolerates(taint))
    });
    hurts.count() as f64
}

fn preferred(pod: &Seen, node: &Node) -> f64 {
    let terms = &pod.pod.spec.affinity.node_affinity.preferred;
    let met = terms.iter().filter(|term| matches(&term.preference, node));
    met.map(|term| term.weight as f64).sum()
}

/// From 0 for the worst node to 100 for the best; all alike is 0.
fn scaled(
    nodes: &[(&Node, &Place)],
    less_is_better: bool,
    worth: impl Fn(&Node, &Place) -> f64,
) -> Vec<f64> {
    let worth: Vec<f64> = nodes
        .iter()
        .map(|(node, place)| worth(node, place) * if less_is_better { -1.0 } else { 1.0 })
        .collect();
    let least = worth.iter().copied().fold(f64::INFINITY, f64::min);
    let most = worth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = most - least;
    worth.iter().map(|one| if span > 0.0 { (one - least) * 100.0 / span } else { 0.0 }).collect()
}
