use std::sync::atomic::{AtomicI64, Ordering};

use muster_core::Resources;
use muster_core::Source;
use muster_core::model::{Card, InputColumn, ModelLimits, Network};

use super::*;

struct World {
    clock: Arc<AtomicI64>,
    simulator: Arc<Simulator>,
}

fn world(seed: u64, policy: SimPolicy) -> World {
    let clock = Arc::new(AtomicI64::new(0));
    let hand = Arc::clone(&clock);
    let now: Now = Arc::new(move || Timestamp::from_micros(hand.load(Ordering::SeqCst)));
    World { clock, simulator: Simulator::new(seed, policy, now) }
}

impl World {
    fn pass(&self, time: Duration) -> bool {
        self.clock.fetch_add(time.as_micros() as i64, Ordering::SeqCst);
        self.simulator.tick()
    }

    fn launch(&self, number: u128) -> InstanceId {
        let instance = InstanceId(uuid::Uuid::from_u128(number));
        self.simulator.launch(Launch::anywhere(instance, model()));
        instance
    }

    fn state(&self, instance: InstanceId) -> ObservedState {
        let seen = self.simulator.observe();
        seen.into_iter().find(|seen| seen.instance == instance).expect("it is known").state
    }
}

fn model() -> Arc<Model> {
    Arc::new(Model {
        id: "echo".parse().expect("an id"),
        version: "1".into(),
        source: Source::Folder { path: "echo".into() },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits: ModelLimits::default(),
        resources: Resources::default(),
        cache: false,
        network: Network::None,
        pod: None,
    })
}

fn second() -> Duration {
    Duration::from_secs(1)
}

#[test]
fn a_simulated_instance_is_ready_after_its_boot_delay() {
    let world = world(1, SimPolicy { boot: second()..=second(), ..SimPolicy::default() });
    let instance = world.launch(1);
    assert!(!world.pass(second() / 2));
    assert!(matches!(world.state(instance), ObservedState::Starting { .. }));
    assert!(world.pass(second() / 2), "a tick that brings news says so");
    assert!(matches!(world.state(instance), ObservedState::Ready { .. }));
}

#[test]
fn without_room_a_launch_waits_until_another_one_ends() {
    let world = world(1, SimPolicy { room: 1, ..SimPolicy::default() });
    let (first, later) = (world.launch(2), world.launch(1));
    assert!(matches!(world.state(first), ObservedState::Ready { .. }));
    assert_eq!(world.state(later), ObservedState::starting("waiting for room"));
    world.simulator.stop(first, Duration::ZERO);
    assert!(matches!(world.state(first), ObservedState::Ended { .. }));
    assert!(matches!(world.state(later), ObservedState::Ready { .. }));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let policy =
        SimPolicy { boot: Duration::ZERO..=second(), failing_starts: 50, ..Default::default() };
    let story = |seed| {
        let world = world(seed, policy.clone());
        for number in 0..20 {
            world.launch(number);
        }
        world.pass(second());
        world.simulator.observe()
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
    let failed = |seen: &&Observed| matches!(seen.state, ObservedState::Ended { .. });
    let failures = story(7).iter().filter(failed).count();
    assert!((1..20).contains(&failures), "{failures} of 20 starts failed");
}

#[test]
fn an_ended_instance_is_reported_until_it_is_forgotten() {
    let world = world(1, SimPolicy { stopping: second(), ..SimPolicy::default() });
    let instance = world.launch(1);
    world.simulator.stop(instance, second() * 10);
    world.simulator.forget(instance);
    assert_eq!(world.simulator.observe().len(), 1, "what has not ended is not forgotten");
    world.pass(second());
    assert!(matches!(world.state(instance), ObservedState::Ended { .. }));
    world.simulator.forget(instance);
    assert!(world.simulator.observe().is_empty());
}
