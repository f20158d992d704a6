//! Properties of plans for instances, and worlds to try them on.

use super::*;
use crate::room::Who;
use proptest::prelude::*;

fn any_stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        (0i64..400).prop_map(starting),
        (0i64..400).prop_map(idle),
        Just(busy(0)),
        Just(busy(99)),
        Just(Stage::Draining),
    ]
}

prop_compose! {
    fn any_model(name: &'static str)(
        batch_size in 1u32..200, min_instances in 0u32..2, max_instances in 1u32..4,
        inputs in prop::option::of(1u64..1000), due in 0i64..400,
        failed_in_a_row in 0u32..5, last in 0i64..400,
        fault in prop::option::of(prop_oneof![Just(StartFault::Lasting), Just(StartFault::Passing)]),
    ) -> ModelView {
        let limits = ModelLimits { batch_size, min_instances, max_instances, ..ModelLimits::default() };
        let mut view = model(name, limits);
        view.queue = inputs.map(|inputs| QueueView { inputs, oldest: at(due), due: at(due) });
        let (first_failed_at, last_failed_at) = (at(0), at(last));
        let reason = "x".into();
        view.starts = Starts { failed_in_a_row, first_failed_at, last_failed_at, reason, fault };
        view
    }
}

pub(super) fn any_node(n: u32, (cores, gpus): (u64, u64)) -> NodeView {
    let device = |gpu| serde_json::json!({"id": format!("GPU-{n}-{gpu}"), "resource": GPU});
    let node = serde_json::json!({
        "id": format!("n{n}"), "stage": {"is": "ready"},
        "allocatable": {"cpu": cores * 1000, "named": {GPU: gpus}},
        "devices": (0..gpus).map(device).collect::<Vec<_>>(),
    });
    serde_json::from_value(node).expect("a node")
}

prop_compose! {
    pub(super) fn any_world()(
        a in any_model("a"), b in any_model("b"), c in any_model("c"),
        nodes in prop::option::of(prop::collection::vec((1u64..5, 0u64..3), 1..3)),
        stages in prop::collection::vec((0usize..3, any_stage()), 0..6),
    ) -> World {
        let mut models = vec![a, b, c];
        let nodes: Option<Vec<NodeView>> =
            nodes.map(|nodes| nodes.into_iter().zip(0..).map(|(of, n)| any_node(n, of)).collect());
        if nodes.is_some() {
            for (view, (cpu, gpus)) in models.iter_mut().zip([(1000, 0), (500, 1), (2000, 0)]) {
                let named = [(GPU.to_owned(), gpus)].into();
                let amounts = Amounts { cpu, named, ..Amounts::default() };
                view.ask = Some(Ask { amounts, ..Ask::default() });
            }
        }
        let nodes = nodes.unwrap_or_default();
        let mut instances: Vec<InstanceView> = Vec::new();
        for (n, (which, stage)) in stages.into_iter().enumerate() {
            let name = models[which].id().as_str();
            let slot = instances.iter().filter(|i| i.model == *models[which].id()).count() as u32;
            if slot >= models[which].model.limits.max_instances {
                continue;
            }
            let new = InstanceView { slot, ..instance(n as u128, name, stage) };
            let Some(ask) = &models[which].ask else {
                instances.push(new);
                continue;
            };
            // As an earlier plan placed it.
            let before = World { nodes: nodes.clone(), instances: instances.clone(), ..World::default() };
            if let Ok(place) = before.rooms().place(ask, Who::Planned) {
                instances.push(InstanceView { ask: Some(ask.clone()), place: Some(place), ..new });
            }
        }
        World { models, instances, nodes, ..World::default() }
    }
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(
        world in any_world(), max_instances in 1u32..8, now in 0i64..500,
    ) {
        let (policy, now, mut id) = (Policy { max_instances, ..Policy::default() }, at(now), 1000);
        let mut world = world;
        // Making room takes a second look: the place is free only when its instance is gone.
        for _ in 0..8 {
            let plan = plan(&world, &policy, now);
            if plan.actions.is_empty() {
                return Ok(());
            }
            world = carry_out(world, &plan, now, &mut id);
        }
        prop_assert!(false, "planning does not end: {:?}", plan(&world, &policy, now));
    }

    #[test]
    fn there_are_never_more_instances_than_the_maxima(
        world in any_world(), max_instances in 1u32..8, now in 0i64..500,
    ) {
        let (policy, mut id) = (Policy { max_instances, ..Policy::default() }, 1000);
        let before = world.counted();
        let plan = plan(&world, &policy, at(now));
        let launches = plan.actions.iter().filter(|a| matches!(a, Action::Launch { .. })).count();
        prop_assert!(launches == 0 || before + launches as u32 <= max_instances);
        let after = carry_out(world, &plan, at(now), &mut id);
        for view in &after.models {
            let mut slots: Vec<u32> = of(&after, view.id()).map(|i| i.slot).collect();
            slots.sort_unstable();
            slots.dedup();
            prop_assert_eq!(slots.len(), of(&after, view.id()).count());
            prop_assert!(slots.len() as u32 <= view.model.limits.max_instances);
        }
    }

    /// I-26: nothing is launched where there is no room, and no device has two owners.
    #[test]
    fn nobody_is_launched_without_room(world in any_world(), now in 0i64..500) {
        let plan = plan(&world, &Policy::default(), at(now));
        let after = carry_out(world, &plan, at(now), &mut 1000);
        let rooms = after.rooms();
        for index in 0..rooms.len() {
            let room = rooms.get(index);
            prop_assert!(room.held().fits_in(&room.node().allocatable), "{:?}", room.held());
            let mut devices: Vec<_> = room.holders().iter().flat_map(|h| h.devices.iter()).collect();
            let gpus = room.held().of(GPU) as usize;
            devices.sort_unstable();
            devices.dedup();
            prop_assert_eq!(devices.len(), gpus, "each that was asked for, once");
        }
    }

    #[test]
    fn waiting_work_gets_an_instance_or_a_reason(
        world in any_world(), max_instances in 1u32..8, now in 0i64..500,
    ) {
        let now = at(now);
        let plan = plan(&world, &Policy { max_instances, ..Policy::default() }, now);
        for view in world.models.iter().filter(|view| view.jobs(now) > 0) {
            let held = plan.held.iter().any(|held| held.model == *view.id());
            let acted = plan.actions.iter().any(|action| match action {
                Action::FailWaiting { model, .. } => model == view.id(),
                _ => false,
            });
            let free = of(&world, view.id())
                .any(|i| matches!(i.stage, Stage::Ready { idle_since: Some(_), .. }));
            prop_assert!(held || acted || free, "{} waits without a reason", view.id());
        }
    }
}
