//! Properties of plans for nodes.

use proptest::prelude::*;
use uuid::Uuid;

use std::sync::Arc;

use super::super::*;
use super::properties::{any_node, any_world};
use super::{at, carry_out};
use crate::Amounts;
use crate::resources::GPU;
use crate::room::{Ask, GroupView, NodeStage, NodeView};

prop_compose! {
    /// Machines of two groups, one with GPUs, some of them full, cordoned or not heard of, and some still to come.
    fn any_cloud()(
        world in any_world(),
        sizes in prop::collection::vec((0u32..2, 0u32..6, 0u32..5), 2),
        stages in prop::collection::vec((0u8..9, 0i64..500), 8),
        tenants in prop::collection::vec((0usize..8, 0u8..4, 1u64..4), 0..5),
        pods in prop::collection::vec(0usize..8, 6),
        spares in prop::collection::vec(0u32..3, 3), headroom in prop::option::of(1u64..5000),
    ) -> World {
        let mut world = World { nodes: vec![], ..world };
        for (view, (cpu, gpus)) in world.models.iter_mut().zip([(1000, 0), (500, 1), (2000, 0)]) {
            let named = [(GPU.to_owned(), gpus)].into();
            view.ask = Some(Ask { amounts: Amounts { cpu, named, ..Amounts::default() }, ..Ask::default() });
        }
        for (view, spare) in world.models.iter_mut().zip(spares) {
            view.spare = spare;
        }
        for (n, (min, most, target)) in sizes.into_iter().enumerate() {
            let amounts = serde_json::json!({"cpu": 4000, "named": {GPU: n}});
            let group = serde_json::json!({
                "id": format!("g{n}"), "min": min, "max": most.max(min), "target": target.clamp(min, most.max(min)),
                "template": {"allocatable": amounts},
                "order": {"id": Uuid::nil(), "to": target, "at": at(200)},
            });
            let group: GroupView = serde_json::from_value(group).expect("a group");
            let spare = headroom.filter(|_| n == 0).map(|cpu| Ask { amounts: Amounts { cpu, ..Amounts::default() }, ..Ask::default() });
            let group = GroupView { spare, ..group };
            for m in 0..group.target.min(3) {
                let (kind, since) = stages[(n * 3 + m as usize) % stages.len()];
                let since = at(since);
                let stage = match kind {
                    0 => NodeStage::Booting { since, lacks: vec![] },
                    1 => NodeStage::Cordoned { ours: true, since },
                    2 => NodeStage::Cordoned { ours: false, since },
                    3 => NodeStage::Drained { since },
                    4 => NodeStage::Leaving { since, why: "spot notice".into() },
                    _ => NodeStage::Ready,
                };
                let template = group.template.clone().expect("a template");
                let id = NodeId(format!("g{n}m{m}"));
                world.nodes.push(NodeView { id, stage, unneeded_since: Some(since), ..template.node(&group, m) });
            }
            world.groups.push(group);
        }
        for (n, (node, owner, cpu)) in tenants.into_iter().enumerate() {
            let Some(node) = world.nodes.get(node) else { continue };
            let owner = ["none", "replicated", "daemon", "node"][owner as usize];
            let tenant = serde_json::json!({"id": format!("t{n}"), "node": node.id, "owner": owner, "ask": {"amounts": {"cpu": cpu * 100}}});
            Arc::make_mut(&mut world.tenants).push(serde_json::from_value(tenant).expect("a tenant"));
        }
        let asks: Vec<_> = world.models.iter().map(|view| (view.id().clone(), view.ask.clone())).collect();
        for (instance, node) in world.instances.iter_mut().zip(pods) {
            let place = world.nodes.get(node).map(|node| Place { node: node.id.clone(), devices: vec![] });
            instance.ask = asks.iter().find(|(id, _)| *id == instance.model).and_then(|(_, ask)| ask.clone());
            instance.place = place;
        }
        // Each has its place: the hub gave it one.
        world.instances.retain(|instance| instance.place.is_some());
        world
    }
}

fn own() -> Policy {
    let nodes = NodesPolicy { mode: NodesMode::Own, ..NodesPolicy::default() };
    Policy { nodes, ..Policy::default() }
}

/// What of a plan does not depend on the order in which the world is told.
fn essence(plan: &Plan) -> Vec<String> {
    let mut all: Vec<String> = plan.actions.iter().map(|action| format!("{action:?}")).collect();
    all.extend(plan.held.iter().map(|held| format!("{held:?}")));
    all.extend(plan.kept.iter().map(|kept| format!("{kept:?}")));
    all.sort();
    all
}

proptest! {
    #[test]
    fn node_plans_end_and_keep_their_bounds(world in any_cloud(), now in 400i64..1500, slowly: bool) {
        let (mut world, mut now, mut id) = (world, at(now), 1000);
        let running = |world: &World, node: &NodeId| {
            let instances = world.instances.iter().filter(|it| it.place.as_ref().is_some_and(|p| p.node == *node));
            let tenants = world.tenants.iter().filter(|it| it.node.as_ref() == Some(node) && !it.goes_with_node());
            instances.count() + tenants.count()
        };
        for _ in 0..200 {
            let plan = plan(&world, &own(), now);
            for node in world.nodes.iter_mut() {
                let unneeded = plan.unneeded.contains(&node.id);
                node.unneeded_since = unneeded.then(|| node.unneeded_since.unwrap_or(now));
            }
            for action in &plan.actions {
                if let Action::RemoveNode { node, .. } = action {
                    let stage = &world.nodes.iter().find(|it| it.id == *node).expect("a node").stage;
                    prop_assert!(matches!(stage, NodeStage::Cordoned { ours: true, .. }), "it was cordoned first");
                    prop_assert_eq!(running(&world, node), 0, "nothing is on it");
                }
            }
            let sizes: Vec<u32> = world.groups.iter().map(|group| group.target).collect();
            let before = world.instances.clone();
            world = carry_out(world, &plan, now, &mut id);
            if slowly {
                // Who goes is seen to go for a while.
                let ready = |it: &&InstanceView| matches!(it.stage, Stage::Ready { .. });
                let gone = before.iter().filter(ready).filter(|it| !world.instances.iter().any(|is| is.id == it.id));
                let going: Vec<_> = gone.map(|it| InstanceView { stage: Stage::Draining, ..it.clone() }).collect();
                world.instances.retain(|it| it.stage != Stage::Draining);
                world.instances.extend(going);
            }
            // Who starts gets ready, and what waits for it is done.
            for instance in &mut world.instances {
                if matches!(instance.stage, Stage::Starting { .. }) {
                    let (launched_at, ready_at) = (now, now);
                    instance.stage = Stage::Ready { launched_at, ready_at, idle_since: Some(now) };
                    let view = world.models.iter_mut().find(|view| *view.id() == instance.model);
                    view.expect("a model").queue = None;
                }
            }
            for (group, before) in world.groups.iter().zip(sizes) {
                prop_assert!(group.target <= group.max.max(before), "{} is above its maximum", group.id);
                prop_assert!(group.target >= group.min.min(before), "{} is below its minimum", group.id);
            }
            match (plan.actions.is_empty(), plan.next_look) {
                (true, None) if !slowly || world.instances.iter().all(|it| it.stage != Stage::Draining) => return Ok(()),
                (true, None) => world.instances.retain(|it| it.stage != Stage::Draining),
                (true, Some(next)) => now = next.max(now),
                (false, _) => {}
            }
        }
        prop_assert!(false, "it does not come to rest: {:?}", plan(&world, &own(), now));
    }

    #[test]
    fn the_order_in_which_the_world_is_told_does_not_matter(world in any_cloud(), now in 400i64..1500) {
        let mut other = world.clone();
        other.nodes.reverse();
        other.groups.reverse();
        other.instances.reverse();
        Arc::make_mut(&mut other.tenants).reverse();
        other.models.reverse();
        prop_assert_eq!(essence(&plan(&world, &own(), at(now))), essence(&plan(&other, &own(), at(now))));
    }

    #[test]
    fn a_node_more_holds_nothing_up(world in any_cloud(), now in 400i64..1500) {
        let told = |world: &World| {
            let plan = plan(world, &own(), at(now));
            // Who waits for a node that starts waits for room as well.
            let no_room = |held: &&Held| {
                matches!(
                    held.why,
                    Why::NoRoom { .. } | Why::FitsNowhere { .. } | Why::NoNode { .. } | Why::NodeStarting { .. }
                )
            };
            let launch = |action: &&Action| matches!(action, Action::Launch { .. });
            let launches = plan.actions.iter().filter(launch).count();
            (plan.held.iter().filter(no_room).count(), launches)
        };
        let mut more = world.clone();
        more.nodes.push(any_node(9, (8, 2)));
        let ((held_before, launched_before), (held, launched)) = (told(&world), told(&more));
        prop_assert!(held <= held_before, "{held_before} waited for room, now {held}");
        prop_assert!(launched >= launched_before, "{launched_before} were launched, now {launched}");
    }

    #[test]
    fn taking_an_empty_node_away_and_back_changes_nothing(world in any_cloud(), now in 400i64..1500) {
        let more = world.with(&GroupId("g0".into()), 1);
        let new = more.nodes.last().expect("a node").id.clone();
        prop_assume!(more.nodes.len() > world.nodes.len());
        let mut again = more.without(&new);
        again.nodes.push(more.nodes.last().expect("it").clone());
        prop_assert_eq!(plan(&again, &own(), at(now)), plan(&more, &own(), at(now)));
    }

    /// Whoever delegates has no node touched, whoever is advised neither.
    #[test]
    fn only_the_owner_of_nodes_touches_them(world in any_cloud(), now in 400i64..1500, mode in 0u8..2) {
        let mode = [NodesMode::Delegate, NodesMode::Advise][mode as usize];
        let nodes = NodesPolicy { mode, ..NodesPolicy::default() };
        let plan = plan(&world, &Policy { nodes, ..Policy::default() }, at(now));
        for action in &plan.actions {
            let ours = matches!(action, Action::Launch { .. } | Action::Retire { .. } | Action::FailWaiting { .. } | Action::MoveStranded { .. });
            prop_assert!(ours, "{action:?}");
        }
    }
}
