mod nodes;
mod pods;
mod properties;
mod scenarios;

use uuid::Uuid;

use std::sync::Arc;

use super::*;
use crate::Resources;
use crate::model::{Card, InputColumn, ModelLimits, Network};
use crate::resources::GPU;
use crate::room::{Ask, NodeStage, NodeView};
use crate::{Amounts, Model, Source};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn model(id: &str, limits: ModelLimits) -> ModelView {
    let model = Model {
        id: id.parse().expect("an id"),
        version: "1".into(),
        source: Source::Folder { path: format!("models/{id}") },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits,
        resources: Resources::default(),
        cache: true,
        network: Network::None,
        pod: None,
    };
    ModelView {
        model: Arc::new(model),
        queue: None,
        starts: Starts::default(),
        ask: None,
        spare: 0,
        cannot_run: None,
    }
}

fn waiting(mut view: ModelView, inputs: u64) -> ModelView {
    view.queue = Some(QueueView { inputs, oldest: at(100), due: at(100) });
    view
}

fn instance(n: u128, model: &str, stage: Stage) -> InstanceView {
    InstanceView {
        id: InstanceId(Uuid::from_u128(n)),
        model: model.parse().expect("an id"),
        version: "1".into(),
        slot: n as u32,
        stage,
        ask: None,
        place: None,
    }
}

fn idle(since: i64) -> Stage {
    Stage::Ready { launched_at: at(0), ready_at: at(0), idle_since: Some(at(since)) }
}

fn busy(ready: i64) -> Stage {
    Stage::Ready { launched_at: at(ready - 1), ready_at: at(ready), idle_since: None }
}

fn starting(since: i64) -> Stage {
    Stage::Starting {
        launched_at: at(since),
        progressed_at: at(since),
        doing: String::new(),
        waits: None,
    }
}

/// The world after the plan was carried out and all launches were seen.
fn carry_out(mut world: World, plan: &Plan, now: Timestamp, next_id: &mut u128) -> World {
    for action in &plan.actions {
        match action {
            Action::Launch { model, slot, place, .. } => {
                *next_id += 1;
                let stage = Stage::Starting {
                    launched_at: now,
                    progressed_at: now,
                    doing: String::new(),
                    waits: None,
                };
                let new = instance(*next_id, model.as_str(), stage);
                let view = world.models.iter().find(|view| view.id() == model);
                let ask = view.expect("a model of the world").ask.clone();
                let place = place.clone();
                world.instances.push(InstanceView { slot: *slot, ask, place, ..new });
            }
            Action::Retire { instance, .. } => world.instances.retain(|i| i.id != *instance),
            Action::AddNodes { group, count, .. } => world = world.with(group, *count),
            Action::Cordon { node, .. } => {
                stage_of(&mut world, node, NodeStage::Cordoned { ours: true, since: now });
            }
            Action::Uncordon { node } => stage_of(&mut world, node, NodeStage::Ready),
            Action::Evict { tenant, .. } => {
                Arc::make_mut(&mut world.tenants).retain(|it| it.id != *tenant)
            }
            Action::RemoveNode { node, .. } => {
                let gone = world.nodes.iter().find(|it| it.id == *node).expect("a node").clone();
                world.nodes.retain(|it| it.id != *node);
                let group = world.groups.iter_mut().find(|it| Some(&it.id) == gone.group.as_ref());
                group.expect("its group").target -= 1;
            }
            Action::DropMachines { group, machines } => {
                let group = world.groups.iter_mut().find(|it| it.id == *group).expect("a group");
                group.machines.retain(|machine| !machines.contains(&machine.id));
            }
            Action::LowerTarget { group, to } => {
                world.groups.iter_mut().find(|it| it.id == *group).expect("a group").target = *to;
            }
            Action::MoveStranded { model } => world.stranded.retain(|s| s.model != *model),
            Action::FailWaiting { model, version, .. }
                if world.stranded.iter().any(|s| s.model == *model) =>
            {
                world.stranded.retain(|s| (&s.model, &s.version) != (model, version));
            }
            Action::FailWaiting { model, .. } => {
                let view = world.models.iter_mut().find(|view| view.id() == model);
                view.expect("a model of the world").queue = None;
            }
        }
    }
    world
}

fn stage_of(world: &mut World, node: &NodeId, stage: NodeStage) {
    world.nodes.iter_mut().find(|it| it.id == *node).expect("a node").stage = stage;
}

fn of<'w>(world: &'w World, model: &'w ModelId) -> impl Iterator<Item = &'w InstanceView> {
    world.instances.iter().filter(move |instance| instance.model == *model)
}

#[test]
fn a_waiting_request_starts_one_instance_of_a_cold_model() {
    let world =
        World { models: vec![waiting(model("m", ModelLimits::default()), 5)], ..World::default() };
    let plan = plan(&world, &Policy::default(), at(100));
    assert!(matches!(&plan.actions[..], [Action::Launch { slot: 0, .. }]), "{plan:?}");
    assert_eq!(plan.held[0].why.to_string(), "The model is starting.");
}

#[test]
fn nothing_starts_before_the_files_of_a_model_are_read() {
    let limits = ModelLimits { min_instances: 1, ..ModelLimits::default() };
    let mut view = waiting(model("m", limits), 5);
    let unread = Model { version: "1+".into(), ..(*view.model).clone() };
    view.model = Arc::new(unread.clone());
    let old = instance(1, "m", busy(90));
    let world =
        |view| World { models: vec![view], instances: vec![old.clone()], ..World::default() };
    let held = plan(&world(view.clone()), &Policy::default(), at(100));
    assert!(matches!(&held.actions[..], [Action::Retire { .. }]), "{held:?}");
    assert_eq!(held.held[0].why, Why::Reading);
    let source = Source::Server { url: "http://127.0.0.1:1".into() };
    view.model = Arc::new(Model { source, ..unread });
    let launched = plan(&world(view), &Policy::default(), at(100));
    assert!(launched.held.iter().all(|held| held.why != Why::Reading), "{launched:?}");
}

/// Two models that always have work and one place: they take turns.
#[test]
fn a_full_hub_lets_models_take_turns() {
    let limits = ModelLimits::default;
    let policy = Policy { max_instances: 2, ..Policy::default() };
    let models = ["a", "b", "c"].map(|id| waiting(model(id, limits()), 1_000)).to_vec();
    let turn = |one: i64, other: i64| {
        let instances = vec![instance(1, "a", busy(one)), instance(2, "b", busy(other))];
        plan(&World { models: models.clone(), instances, ..World::default() }, &policy, at(200))
    };
    let over = turn(130, 120);
    let why = "c needs the place".to_owned();
    let retired = Action::Retire {
        instance: InstanceId(Uuid::from_u128(2)),
        cause: EndCause::Retired { why },
    };
    assert_eq!(over.actions, [retired]);
    let later = turn(150, 160);
    assert_eq!((later.actions, later.next_look), (vec![], Some(at(210))));
    assert!(later.held.iter().any(|held| held.why == Why::AtHubMaximum { most: 2 }));
    // Whoever took long to start has a longer turn.
    let slow = Stage::Ready { launched_at: at(0), ready_at: at(100), idle_since: None };
    let instances = vec![instance(1, "a", slow), instance(2, "b", busy(199))];
    let plan = plan(&World { models, instances, ..World::default() }, &policy, at(200));
    assert_eq!((plan.actions, plan.next_look), (vec![], Some(at(259))));
}

#[test]
fn a_big_backlog_starts_an_instance_a_batch_up_to_the_maximum() {
    let limits = ModelLimits { batch_size: 100, max_instances: 3, ..ModelLimits::default() };
    let world = World { models: vec![waiting(model("m", limits), 1000)], ..World::default() };
    let plan = plan(&world, &Policy::default(), at(100));
    assert_eq!(plan.actions.len(), 3);
    assert_eq!(plan.held[0].why, Why::AtModelMaximum { most: 3 });
}

#[test]
fn a_booting_instance_is_waited_for() {
    let world = World {
        models: vec![waiting(model("m", ModelLimits::default()), 5)],
        instances: vec![instance(0, "m", starting(99))],
        ..World::default()
    };
    let plan = plan(&world, &Policy::default(), at(100));
    assert!(plan.actions.is_empty());
    assert_eq!(plan.next_look, Some(at(99 + 300)));
}

#[test]
fn an_instance_that_does_not_get_ready_is_stopped() {
    let world = World {
        models: vec![model("m", ModelLimits { start_seconds: 10, ..ModelLimits::default() })],
        instances: vec![instance(0, "m", starting(0))],
        ..World::default()
    };
    let plan = plan(&world, &Policy::default(), at(10));
    assert!(matches!(&plan.actions[..], [Action::Retire { cause: EndCause::StartTimeout, .. }]));
}

/// It was stopped after start_seconds, and built again from nothing.
#[test]
fn making_an_environment_has_a_limit_of_its_own() {
    let limits = ModelLimits { start_seconds: 10, prepare_seconds: 400, ..ModelLimits::default() };
    let preparing = Stage::Preparing { launched_at: at(0), doing: "step 2 of 3, sleeping".into() };
    let mut world = World {
        models: vec![waiting(model("m", limits), 1)],
        instances: vec![instance(0, "m", preparing)],
        ..World::default()
    };
    let waits = plan(&world, &Policy::default(), at(399));
    assert_eq!(waits.actions, []);
    let why = waits.held[0].why.to_string();
    assert_eq!(why, "The model's environment is being made: step 2 of 3, sleeping.");
    let over = plan(&world, &Policy::default(), at(400));
    let Some(Action::Retire { cause, .. }) = over.actions.first() else { panic!("{over:?}") };
    assert!(cause.to_string().contains("within 400 seconds (prepare_seconds)"), "{cause}");
    // The time to start counts from then on.
    world.instances[0].stage = Stage::Starting {
        launched_at: at(399),
        progressed_at: at(399),
        doing: String::new(),
        waits: None,
    };
    assert_eq!(plan(&world, &Policy::default(), at(408)).actions, []);
}

#[test]
fn a_model_that_cannot_start_fails_its_waiting_requests() {
    let mut view = waiting(model("m", ModelLimits::default()), 5);
    view.starts = Starts {
        failed_in_a_row: 3,
        first_failed_at: at(101),
        last_failed_at: at(110),
        reason: "no module named x".into(),
        fault: None,
    };
    let world = World { models: vec![view.clone()], ..World::default() };
    let failing = plan(&world, &Policy::default(), at(111));
    let [Action::FailWaiting { reason, .. }] = &failing.actions[..] else { panic!("{failing:?}") };
    assert_eq!(reason, "The model could not be started: no module named x");

    // A request that came after the last failure gets a try of its own once the backoff is over.
    view.queue = Some(QueueView { inputs: 1, oldest: at(112), due: at(112) });
    let world = World { models: vec![view], ..World::default() };
    let early = plan(&world, &Policy::default(), at(113));
    assert!(early.actions.is_empty());
    assert!(matches!(early.held[0].why, Why::Backoff { .. }));
    let later = plan(&world, &Policy::default(), early.next_look.expect("the end of the backoff"));
    assert!(matches!(&later.actions[..], [Action::Launch { .. }]));
}

#[test]
fn idle_instances_go_after_the_models_idle_time_down_to_its_minimum() {
    let limits = ModelLimits { min_instances: 1, max_instances: 2, ..ModelLimits::default() };
    let world = World {
        models: vec![model("m", limits)],
        instances: vec![instance(0, "m", idle(0)), instance(1, "m", idle(0))],
        ..World::default()
    };
    assert_eq!(plan(&world, &Policy::default(), at(299)).actions, []);
    let later = plan(&world, &Policy::default(), at(300));
    assert!(matches!(&later.actions[..], [Action::Retire { cause: EndCause::Idle, .. }]));
}

#[test]
fn of_more_instances_than_the_minimum_the_ones_idle_the_longest_go() {
    let limits = ModelLimits { min_instances: 1, idle_seconds: 60, ..ModelLimits::default() };
    let instances =
        [190, 100, 180].into_iter().zip(1..).map(|(since, n)| instance(n, "m", idle(since)));
    let (models, instances) = (vec![model("m", limits)], instances.collect());
    let world = World { models, instances, ..World::default() };
    let plan = plan(&world, &Policy::default(), at(200));
    let retired =
        |n| Action::Retire { instance: InstanceId(Uuid::from_u128(n)), cause: EndCause::Idle };
    assert_eq!(plan.actions, [retired(2)]);
    assert_eq!(plan.next_look, Some(at(240)), "the second one; the last one is the minimum");
}

#[test]
fn a_plan_for_many_models_takes_no_longer_than_it_has_to() {
    let id = |n: u128| format!("m{n}");
    let limits = || ModelLimits { max_instances: 1, ..ModelLimits::default() };
    let count = 4_000;
    let cold = (0..count).map(|n| waiting(model(&format!("cold{n}"), limits()), 1));
    let warm = (0..count).map(|n| waiting(model(&id(n), limits()), 1));
    let world = World {
        models: cold.chain(warm).collect(),
        instances: (0..count).map(|n| instance(n, &id(n), busy(190))).collect(),
        ..World::default()
    };
    let begun = std::time::Instant::now();
    let plan = plan(&world, &Policy { max_instances: count as u32, ..Policy::default() }, at(200));
    assert_eq!(plan.held.len(), 2 * count as usize);
    assert_eq!(plan.next_look, Some(at(250)), "the first turn is over");
    // Each model beside each other one, and all instances for each of those: that would be hours.
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}

#[test]
fn an_idle_model_makes_room_when_the_hub_is_full() {
    let world = World {
        models: vec![
            waiting(model("a", ModelLimits::default()), 1),
            model("b", ModelLimits::default()),
        ],
        instances: vec![instance(0, "b", idle(99))],
        ..World::default()
    };
    let plan = plan(&world, &Policy { max_instances: 1, ..Policy::default() }, at(100));
    let [Action::Retire { cause: EndCause::Retired { why }, .. }] = &plan.actions[..] else {
        panic!("{plan:?}")
    };
    assert_eq!(why, "a needs the place");
    assert_eq!(plan.held[0].why, Why::AtHubMaximum { most: 1 });
}

#[test]
fn a_minimum_of_another_model_does_not_keep_work_waiting_for_ever() {
    let minimum = ModelLimits { min_instances: 1, ..ModelLimits::default() };
    // Idle from the beginning: nobody waits until its turn is over.
    let fresh = Stage::Ready { launched_at: at(98), ready_at: at(99), idle_since: Some(at(99)) };
    let mut world = World {
        models: vec![
            waiting(model("a", ModelLimits::default()), 1),
            model("b", minimum),
            model("c", ModelLimits::default()),
        ],
        instances: vec![instance(0, "b", fresh), instance(1, "c", idle(99))],
        ..World::default()
    };
    let retired = |world: &World| match &plan(
        world,
        &Policy { max_instances: 2, ..Policy::default() },
        at(100),
    )
    .actions[..]
    {
        [Action::Retire { instance, .. }] => instance.0.as_u128(),
        other => panic!("{other:?}"),
    };
    assert_eq!(retired(&world), 1, "one that is no minimum goes first");
    world.instances[1] = instance(1, "c", busy(99));
    assert_eq!(retired(&world), 0);
}

#[test]
fn an_instance_of_an_older_version_is_retired() {
    let old = InstanceView { version: "0".into(), ..instance(0, "m", idle(99)) };
    let world = World {
        models: vec![model("m", ModelLimits::default())],
        instances: vec![old],
        ..World::default()
    };
    let plan = plan(&world, &Policy::default(), at(100));
    assert!(matches!(&plan.actions[..], [Action::Retire { cause: EndCause::Retired { .. }, .. }]));
}

/// An index that is away for a moment fails nothing; a package that there is not fails at once.
#[test]
fn what_passes_by_itself_is_waited_for_as_long_as_a_start_may_take() {
    let limits = ModelLimits { start_seconds: 100, max_attempts: 3, ..ModelLimits::default() };
    let fails = |cause: &EndCause, times: &[i64]| {
        let mut view = waiting(model("m", limits.clone()), 5);
        for time in times {
            view.starts.failed(cause, at(*time));
        }
        let now = at(times[times.len() - 1] + 1);
        let plan = plan(&World { models: vec![view], ..World::default() }, &Policy::default(), now);
        plan.actions.iter().any(|action| matches!(action, Action::FailWaiting { .. }))
    };
    let away = EndCause::not_started_now("the package index does not answer");
    assert!(!fails(&away, &[101]));
    assert!(!fails(&away, &[101, 103, 107, 115, 131, 163]), "it may come back");
    assert!(!fails(&away, &[101, 201]), "it was tried only twice");
    assert!(fails(&away, &[101, 103, 201]));
    assert!(fails(&EndCause::not_started("there is no such package"), &[101]));
    let crash = EndCause::Exited { code: Some(1), signal: None, last_lines: String::new() };
    assert!(!fails(&crash, &[101, 103]) && fails(&crash, &[101, 103, 107]));
}

#[test]
fn what_waits_for_another_version_is_moved_and_for_no_model_fails_after_a_while() {
    let stranded = |model: &str, version: &str| Stranded {
        model: model.parse().expect("an id"),
        version: version.into(),
        since: at(100),
    };
    let world = World {
        models: vec![model("m", ModelLimits::default())],
        stranded: vec![stranded("m", "0"), stranded("m", "00"), stranded("gone", "7")],
        ..World::default()
    };
    let moves = Action::MoveStranded { model: "m".parse().expect("an id") };
    let early = plan(&world, &Policy::default(), at(399));
    assert_eq!((&early.actions[..], early.next_look), (&[moves.clone()][..], Some(at(400))));
    assert_eq!(early.held[0].why, Why::Gone);
    let later = plan(&world, &Policy::default(), at(400));
    let [first, Action::FailWaiting { version, .. }] = &later.actions[..] else {
        panic!("{later:?}")
    };
    assert_eq!((first, version.as_str()), (&moves, "7"));
}
