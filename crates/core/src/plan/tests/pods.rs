//! Instances that are pods: who gives them a place, and how long each part of their start may take.

use std::collections::BTreeMap;

use super::*;
use crate::Waits;
use crate::room::{GroupId, GroupView, NodeId};
use crate::waits::{ImageFault, Pull, Reason, Scheduler};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 3600;

fn image(id: &str, limits: ModelLimits) -> ModelView {
    let mut view = model(id, limits);
    Arc::make_mut(&mut view.model).source =
        Source::Image { image: "models/one:1".into(), port: 80 };
    let amounts = Amounts { cpu: 1000, memory: 1 << 30, pods: 1, ..Amounts::default() };
    view.ask = Some(Ask { amounts, ..Ask::default() });
    view
}

/// It has been waiting for that since second 0.
fn waits(waits: Waits) -> Stage {
    Stage::Starting {
        launched_at: at(0),
        progressed_at: at(0),
        doing: waits.to_string(),
        waits: Some((waits, at(0))),
    }
}

fn failing(fault: ImageFault, size: Option<u64>) -> Waits {
    Waits::Image(Pull { size, failed: Some((fault, "as the node says".into())) })
}

/// The cause for which it is ended, once.
fn end(stage: &Stage, now: i64) -> Option<EndCause> {
    let limits = ModelLimits { start_seconds: 100, ..ModelLimits::default() };
    let view = image("m", limits);
    let world = World {
        instances: vec![InstanceView { ask: view.ask.clone(), ..instance(1, "m", stage.clone()) }],
        models: vec![waiting(view, 5)],
        ..World::default()
    };
    let plan = plan(&world, &Policy::default(), at(now));
    let mut ends = plan.actions.iter().filter_map(|action| match action {
        Action::Retire { cause, .. } => Some(cause.clone()),
        _ => None,
    });
    ends.next_back()
}

#[test]
fn a_burst_makes_all_its_pods_in_one_look_wherever_there_is_room() {
    let limits = ModelLimits { batch_size: 1, max_instances: 5, ..ModelLimits::default() };
    let amounts = Amounts { cpu: 2000, memory: 8 << 30, pods: 10, ..Amounts::default() };
    let node = NodeView {
        id: NodeId::from("n1"),
        group: None,
        labels: Default::default(),
        taints: vec![],
        allocatable: amounts,
        devices: vec![],
        folders: None,
        stage: NodeStage::Ready,
        price: 0,
        keep: None,
        unneeded_since: None,
    };
    let world = World {
        models: vec![waiting(image("m", limits), 1000)],
        nodes: vec![node],
        ..World::default()
    };
    for mode in NodesMode::ALL {
        let nodes = NodesPolicy { mode, ..NodesPolicy::default() };
        let policy = Policy { nodes, ..Policy::default() };
        let plan = plan(&world, &policy, at(200));
        let places: Vec<bool> = plan
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::Launch { place, asks, .. } => {
                    assert!(asks.is_some(), "what it asks for is known without a place");
                    Some(place.is_some())
                }
                _ => None,
            })
            .collect();
        assert_eq!(places, [true, true, false, false, false], "{mode:?}: no more than its maximum");
    }
}

/// 1,000 requests for a model at zero, and no node is there.
#[test]
fn the_first_look_at_pods_that_wait_orders_the_nodes_of_all_of_them() {
    let limits = ModelLimits { batch_size: 1, max_instances: 1000, ..ModelLimits::default() };
    let group = |id: &str, cores: u64, max: u32| -> GroupView {
        let template = serde_json::json!({"allocatable": {"cpu": 1000 * cores, "memory": cores << 32, "pods": 110}});
        let group = serde_json::json!({"id": id, "min": 0, "max": max, "target": 0, "price": cores, "template": template});
        serde_json::from_value(group).expect("a group")
    };
    // One alone has not enough for all.
    let mut world = World {
        models: vec![waiting(image("m", limits), 1000)],
        groups: vec![group("small", 4, 100), group("large", 16, 60)],
        ..World::default()
    };
    let nodes = NodesPolicy { mode: NodesMode::Own, ..NodesPolicy::default() };
    let policy = Policy { max_instances: 2000, nodes };
    let (mut id, mut orders) = (0, Vec::new());
    for look in 0..4 {
        let plan = plan(&world, &policy, at(200 + look));
        let mut ordered: BTreeMap<GroupId, u32> = BTreeMap::new();
        for action in &plan.actions {
            if let Action::AddNodes { group, count, .. } = action {
                *ordered.entry(group.clone()).or_default() += count;
            }
        }
        if !ordered.is_empty() {
            orders.push((look, ordered));
        }
        world = carry_out(world, &plan, at(200 + look), &mut id);
        for instance in &mut world.instances {
            let why = vec![Reason { nodes: 0, why: "no nodes available to schedule pods".into() }];
            instance.stage = waits(Waits::Scheduler(Scheduler::Unschedulable(why)));
        }
        assert_eq!(world.instances.len(), 1000);
    }
    let [(1, ordered)] = &orders[..] else { panic!("{orders:?}") };
    let of = |id: &str| ordered.get(&GroupId::from(id)).copied().unwrap_or(0);
    let room = 4 * of("small") + 16 * of("large");
    assert!((1000..1016).contains(&room) && ordered.len() == 2, "{ordered:?}");
}

#[test]
fn a_pod_waits_for_a_place_as_long_as_one_may_come() {
    let why = vec![Reason { nodes: 3, why: "Insufficient cpu".into() }];
    let unschedulable = waits(Waits::Scheduler(Scheduler::Unschedulable(why)));
    assert_eq!(end(&unschedulable, 15 * MINUTE - 1), None);
    let cause = end(&unschedulable, 15 * MINUTE).expect("it ends");
    assert_eq!(cause.to_string(), "it got no place: no node has room for it: 3 Insufficient cpu");
    assert_eq!(cause.whose(), crate::instance::Whose::Surroundings);
    let gated = waits(Waits::Scheduler(Scheduler::Gated(vec!["kueue.x-k8s.io/admission".into()])));
    assert_eq!(end(&gated, 2 * DAY), None);
    let nominated = waits(Waits::Scheduler(Scheduler::Nominated("n1".into())));
    assert_eq!(end(&nominated, 2 * DAY), None);
}

#[test]
fn an_image_that_comes_is_waited_for_and_one_that_cannot_come_is_not() {
    let pulling = waits(Waits::Image(Pull { size: Some(20 << 30), failed: None }));
    assert_eq!(end(&pulling, DAY), None, "it is fetched without an error");
    for (fault, size, minutes) in [
        (ImageFault::NotFound, None, 0),
        (ImageFault::Forbidden, Some(1 << 30), 0),
        (ImageFault::WrongPlatform, None, 0),
        (ImageFault::RateLimited, None, 20),
        (ImageFault::Unreachable, Some(1 << 30), 3),
        (ImageFault::NoSpace, Some((4 << 30) + 1), 7),
    ] {
        let stage = waits(failing(fault, size));
        let before = end(&stage, (minutes * MINUTE - 1).max(-1));
        assert_eq!(before, None, "{fault:?}");
        let cause = end(&stage, minutes * MINUTE).expect("it ends");
        let message = "as the node says".to_owned();
        assert_eq!(cause, EndCause::Image { fault, message });
    }
}

#[test]
fn the_time_of_a_program_begins_when_it_does() {
    let stage = Stage::Starting {
        launched_at: at(0),
        progressed_at: at(0),
        doing: String::new(),
        waits: Some((Waits::Program, at(1000))),
    };
    assert_eq!(end(&stage, 1099), None);
    assert_eq!(end(&stage, 1100), Some(EndCause::StartTimeout));
}

#[test]
fn an_old_pod_goes_while_it_is_idle_and_not_while_it_works() {
    let limits = ModelLimits { min_instances: 1, ..ModelLimits::default() };
    let now = at(6 * DAY);
    for (idle_since, goes) in [(Some(at(6 * DAY - 1)), true), (None, false)] {
        let stage = Stage::Ready { launched_at: at(0), ready_at: at(5), idle_since };
        let world = World {
            models: vec![image("m", limits.clone())],
            instances: vec![instance(0, "m", stage)],
            ..World::default()
        };
        let plan = plan(&world, &Policy::default(), now);
        let retired = plan.actions.iter().any(|it| matches!(it, Action::Retire { .. }));
        assert_eq!(retired, goes);
        let early = super::plan(&world, &Policy::default(), at(6 * DAY - 1));
        assert!(early.actions.iter().all(|it| !matches!(it, Action::Retire { .. })));
        assert_eq!(early.next_look == Some(now), goes);
    }
}

#[test]
fn who_waits_for_a_pod_reads_no_words_of_the_cluster() {
    let reasons = vec![Reason { nodes: 9, why: "Insufficient nvidia.com/gpu".into() }];
    for (waits_for, words) in [
        (
            Waits::Scheduler(Scheduler::Unschedulable(reasons)),
            "The model is starting: no machine has room for it now.",
        ),
        (
            Waits::Scheduler(Scheduler::Gated(vec!["kueue.x-k8s.io/admission".into()])),
            "The model is starting: it waits for its turn in the cluster.",
        ),
        (
            Waits::Scheduler(Scheduler::Broken("pv-7: context deadline exceeded".into())),
            "The model is starting: the cluster gives it no place; an administrator can see why.",
        ),
        (
            failing(ImageFault::Unreachable, None),
            "The model is starting: its image could not be fetched; it is tried again.",
        ),
        (Waits::Program, "The model is starting: its program is starting."),
    ] {
        let view = image("m", ModelLimits { batch_size: 10, ..ModelLimits::default() });
        let world = World {
            instances: vec![instance(1, "m", waits(waits_for.clone()))],
            models: vec![waiting(view, 5)],
            ..World::default()
        };
        let held = plan(&world, &Policy::default(), at(101)).held;
        let said: Vec<String> = held.iter().map(|held| held.why.to_string()).collect();
        assert_eq!(said, [words], "{waits_for:?}");
    }
}
