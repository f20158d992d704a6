//! Room for a pod of higher priority: the node where the fewest and least important pods go.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::shapes::Node,
    between::Between,
    filter::{Refusal, check},
    words,
    world::{Seen, World},
};

pub struct Preemption {
    pub node: String,
    pub victims: Vec<Arc<Seen>>,
}

/// Or why not, in the words after `preemption: `.
pub fn preempt(
    world: &World,
    pod: &Seen,
    refused: &[(&Node, Refusal)],
) -> Result<Preemption, String> {
    if pod.pod.spec.preemption_policy.as_deref() == Some("Never") {
        return Err("not eligible due to preemptionPolicy=Never.".into());
    }
    if let Some(node) = &pod.pod.status.nominated_node_name
        && let Some(place) = world.place(node)
        && place.pods.values().any(|other| is_below(other, pod) && other.pod.is_going())
    {
        return Err("not eligible due to a terminating pod on the nominated node.".into());
    }
    let mut reasons = BTreeMap::new();
    let mut found: Vec<Preemption> = Vec::new();
    for (node, refusal) in refused {
        if refusal.is_final {
            words::count(&mut reasons, "Preemption is not helpful for scheduling");
            continue;
        }
        match on_node(world, pod, node) {
            Ok(victims) => {
                found.push(Preemption { node: node.metadata.name.clone(), victims });
            }
            Err(why) => why.iter().for_each(|reason| words::count(&mut reasons, reason)),
        }
    }
    let rank = |one: &Preemption| {
        let priorities = || one.victims.iter().map(|victim| victim.pod.spec.priority);
        (priorities().max(), priorities().sum::<i64>(), one.victims.len(), one.node.clone())
    };
    let best = found.into_iter().min_by_key(rank);
    best.ok_or_else(|| words::none_available(refused.len(), &reasons))
}

fn is_below(other: &Seen, pod: &Seen) -> bool {
    other.pod.spec.priority < pod.pod.spec.priority
}

/// All of lower priority away; then those back that can stay, the most important first.
fn on_node(world: &World, pod: &Seen, node: &Node) -> Result<Vec<Arc<Seen>>, Vec<String>> {
    let name = &node.metadata.name;
    let mut place = world.place(name).cloned().unwrap_or_default();
    let mut below: Vec<_> =
        place.pods.values().filter(|other| is_below(other, pod)).cloned().collect();
    if below.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".into()]);
    }
    for other in &below {
        place.take(&other.key);
    }
    let fits = |place: &super::world::Place| {
        let world = world.with(name, place.clone());
        check(&world, &Between::new(&world, pod), pod, (node, place))
    };
    fits(&place).map_err(|refusal| refusal.reasons)?;
    below.sort_by_key(|other| {
        let meta = &other.pod.metadata;
        (-other.pod.spec.priority, meta.creation_timestamp.clone(), meta.name.clone())
    });
    let mut victims = Vec::new();
    for other in below {
        place.put(other.clone());
        if fits(&place).is_err() {
            place.take(&other.key);
            victims.push(other);
        }
    }
    Ok(victims)
}
