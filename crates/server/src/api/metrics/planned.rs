//! Figures of nodes and of the last plan.

use std::collections::BTreeSet;

use muster_core::Amounts;
use muster_core::plan::{Action, Planned, Why};
use muster_core::resources::NOT_COUNTED;
use muster_core::room::{NodeStage, Who};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Most groups, and named resources of nodes, that are told of: both are names that others give.
const MOST: usize = 100;

/// Thousandths as what they are thousandths of.
type Figure = Gauge<f64, std::sync::atomic::AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResource {
    resource: String,
    /// `allocatable`, `instances` or `others`
    is: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGroup {
    group: String,
    is: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAction {
    action: &'static str,
    /// `done` or `advised`
    is: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    because: &'static str,
}

pub fn register(registry: &mut Registry, planned: &Planned) {
    stages(registry, planned);
    resources(registry, planned);
    groups(registry, planned);
    actions(registry, planned);
}

fn stages(registry: &mut Registry, planned: &Planned) {
    let nodes: Family<OfStage, Gauge> = Family::default();
    for stage in NodeStage::NAMES {
        nodes.get_or_create_owned(&OfStage { stage });
    }
    for node in &planned.world.nodes {
        nodes.get_or_create_owned(&OfStage { stage: node.stage.name() }).inc();
    }
    registry.register("nodes", "Machines on which instances run", nodes);
}

fn resources(registry: &mut Registry, planned: &Planned) {
    let world = &planned.world;
    let (mut of, mut ours, mut others) =
        (Amounts::default(), Amounts::default(), Amounts::default());
    let rooms = world.rooms();
    for node in &world.nodes {
        let mut counted = node.allocatable.clone();
        for of in [&mut counted.storage, &mut counted.pods] {
            *of = Some(*of).filter(|of| *of < NOT_COUNTED).unwrap_or(0);
        }
        of.add(&counted);
        let Some(index) = rooms.find(&node.id) else { continue };
        for holder in rooms.get(index).holders() {
            match holder.who {
                Who::Instance(_) => ours.add(&holder.ask.amounts),
                Who::Tenant(_) | Who::Planned => others.add(&holder.ask.amounts),
            }
        }
    }
    let named: BTreeSet<&String> = of.named.keys().collect();
    let names =
        ["cpu", "memory"].into_iter().chain(named.into_iter().map(String::as_str).take(MOST));
    let figures: Family<OfResource, Figure> = Family::default();
    for name in names {
        let unit = if name == "cpu" { 1000.0 } else { 1.0 };
        for (is, amounts) in [("allocatable", &of), ("instances", &ours), ("others", &others)] {
            let of = OfResource { resource: name.to_owned(), is };
            figures.get_or_create_owned(&of).set(amounts.get(name) as f64 / unit);
        }
    }
    let help =
        "Cores, bytes and counts that nodes have, and that instances and others were given of them";
    registry.register("node_resources", help, figures);
}

fn groups(registry: &mut Registry, planned: &Planned) {
    let Planned { world, policy, now, .. } = planned;
    let limit = policy.nodes.boot_limit();
    let figures: Family<OfGroup, Gauge> = Family::default();
    for group in world.groups.iter().take(MOST) {
        let there = group.registered(&world.nodes).count() as u32;
        let upcoming = group.upcoming(&world.nodes, limit, *now);
        let ordered = group.order.as_ref().map_or(0, |order| order.to);
        let failed = group.failures.as_ref().map_or(0, |failures| failures.in_a_row);
        for (is, figure) in [
            ("min", group.min),
            ("max", group.max),
            ("target", group.target),
            ("nodes", there),
            ("upcoming", upcoming),
            ("ordered", ordered),
            ("failures", failed),
        ] {
            let of = OfGroup { group: group.id.0.clone(), is };
            figures.get_or_create_owned(&of).set(i64::from(figure));
        }
    }
    let help =
        "Sizes of groups of nodes, the size of the last order, and failures since one went well";
    registry.register("node_group", help, figures);
}

fn actions(registry: &mut Registry, planned: &Planned) {
    let plan = &planned.plan;
    let actions: Family<OfAction, Gauge> = Family::default();
    let held: Family<OfReason, Gauge> = Family::default();
    for (is, all) in [("done", &plan.actions), ("advised", &plan.advice)] {
        for action in Action::NAMES {
            actions.get_or_create_owned(&OfAction { action, is });
        }
        for action in all {
            actions.get_or_create_owned(&OfAction { action: action.name(), is }).inc();
        }
    }
    for because in Why::NAMES {
        held.get_or_create_owned(&OfReason { because });
    }
    for model in &plan.held {
        held.get_or_create_owned(&OfReason { because: model.why.name() }).inc();
    }
    registry.register("plan_actions", "What the last plan does, and what it advises", actions);
    registry.register("plan_held", "Models whose waiting work gets nothing more now", held);
}
