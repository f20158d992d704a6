//! A cluster that exists only in memory: seeded, with boot delays, failures and limited room.
//!
//! Nothing in it moves by itself. It looks at its clock whenever it is told or asked something;
//! after moving a manual clock, call [`Simulator::tick`].

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_core::instance::EndCause;
use muster_core::news::News;
use muster_core::{Address, InstanceId, Model, Observed, ObservedState, Timestamp};
use tokio::sync::watch;

use crate::{Cluster, Launch, Now, Written};

/// Where a simulated instance listens, for tests that serve it.
pub type AddressOf = Arc<dyn Fn(InstanceId, &Model) -> Address + Send + Sync>;

/// How the simulated world behaves.
#[derive(Clone)]
pub struct SimPolicy {
    /// From having room to ready.
    pub boot: RangeInclusive<Duration>,
    /// Of 100 starts, so many end with exit code 1 instead of getting ready.
    pub failing_starts: u32,
    /// From ready to a crash; `None`: it never crashes.
    pub life: Option<RangeInclusive<Duration>>,
    /// How many run at once; the others wait for room.
    pub room: usize,
    /// From an order to stop to the end, cut by the order's grace.
    pub stopping: Duration,
    pub address: AddressOf,
}

impl Default for SimPolicy {
    /// Everything works at once, and nothing listens.
    fn default() -> Self {
        Self {
            boot: Duration::ZERO..=Duration::ZERO,
            failing_starts: 0,
            life: None,
            room: usize::MAX,
            stopping: Duration::ZERO,
            address: Arc::new(|id, _| Address::Socket(format!("/simulated/{id}.sock"))),
        }
    }
}

/// What a simulator was told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimCommand {
    Launch { instance: InstanceId, model: String },
    Stop { instance: InstanceId, grace: Duration },
}

/// See the module.
pub struct Simulator {
    world: Mutex<Simulation>,
    changed: watch::Sender<u64>,
    now: Now,
}

struct Simulation {
    policy: SimPolicy,
    random: u64,
    instances: BTreeMap<InstanceId, Simulated>,
    commands: Vec<SimCommand>,
}

struct Simulated {
    /// Launches get room in this order.
    number: usize,
    model: Arc<Model>,
    fate: Fate,
    placed_at: Option<Timestamp>,
    stop: Option<Timestamp>,
    seen: Observed,
}

/// Drawn at the launch, so that it does not depend on when somebody looks.
struct Fate {
    boot: Duration,
    fails: bool,
    life: Option<Duration>,
}

impl Simulator {
    pub fn new(seed: u64, policy: SimPolicy, now: Now) -> Arc<Self> {
        let world =
            Simulation { policy, random: seed, instances: BTreeMap::new(), commands: Vec::new() };
        Arc::new(Self { world: Mutex::new(world), changed: watch::Sender::new(0), now })
    }

    /// Takes in what the clock brought. True if an observation changed.
    pub fn tick(&self) -> bool {
        let now = (self.now)();
        let news = self.lock().move_to(now);
        if news {
            self.bump();
        }
        news
    }

    /// Ends an instance for a cause of the test's choosing.
    pub fn end(&self, instance: InstanceId, cause: EndCause) {
        let at = (self.now)();
        let mut world = self.lock();
        if let Some(simulated) = world.instances.get_mut(&instance)
            && !simulated.has_ended()
        {
            simulated.seen.at = at;
            simulated.seen.state = ObservedState::Ended { cause };
            drop(world);
            self.bump();
        }
    }

    /// Changes the world from now on; instances that were launched keep their fate.
    pub fn set_policy(&self, policy: SimPolicy) {
        self.lock().policy = policy;
        self.tick();
    }

    /// Everything it was told so far.
    pub fn commands(&self) -> Vec<SimCommand> {
        self.lock().commands.clone()
    }

    fn bump(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Simulation> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster for Simulator {
    fn launch(&self, launch: Launch) {
        let at = (self.now)();
        let mut world = self.lock();
        let Launch { instance, model, .. } = launch;
        if world.instances.contains_key(&instance) {
            return;
        }
        world.commands.push(SimCommand::Launch { instance, model: model.id.to_string() });
        let (fate, number) = (world.draw(), world.commands.len());
        let state = ObservedState::starting("waiting for room");
        let seen = Observed { instance, at, state, node: None };
        let simulated = Simulated { number, model, fate, placed_at: None, stop: None, seen };
        world.instances.insert(instance, simulated);
        world.move_to(at);
        drop(world);
        self.bump();
    }

    fn stop(&self, instance: InstanceId, grace: Duration) {
        let at = (self.now)();
        let mut world = self.lock();
        let stopping = world.policy.stopping;
        let Some(simulated) = world.instances.get_mut(&instance) else { return };
        if simulated.has_ended() {
            return;
        }
        let end = at + stopping.min(grace);
        simulated.stop = Some(simulated.stop.map_or(end, |earlier| earlier.min(end)));
        world.commands.push(SimCommand::Stop { instance, grace });
        world.move_to(at);
        drop(world);
        self.bump();
    }

    fn observe(&self) -> Vec<Observed> {
        let now = (self.now)();
        let mut world = self.lock();
        world.move_to(now);
        world.instances.values().map(|simulated| simulated.seen.clone()).collect()
    }

    fn find(&self, instance: InstanceId) -> Option<Observed> {
        let now = (self.now)();
        let mut world = self.lock();
        world.move_to(now);
        world.instances.get(&instance).map(|simulated| simulated.seen.clone())
    }

    fn forget(&self, instance: InstanceId) {
        let mut world = self.lock();
        if world.instances.get(&instance).is_some_and(Simulated::has_ended) {
            world.instances.remove(&instance);
        }
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn log(&self, _instance: InstanceId, from: u64) -> Written {
        Written { position: from, bytes: Vec::new() }
    }

    fn news(&self, _instance: InstanceId) -> News {
        News::default()
    }
}

impl Simulation {
    /// Lets everything happen that is due. True if an observation changed.
    fn move_to(&mut self, now: Timestamp) -> bool {
        let mut news = false;
        for simulated in self.instances.values_mut() {
            news |= simulated.move_to(now, &self.policy.address);
        }
        // What ended made room, which the longest waiting gets.
        let running = |simulated: &&mut Simulated| simulated.runs();
        let mut room =
            self.policy.room.saturating_sub(self.instances.values_mut().filter(running).count());
        let mut waiting: Vec<&mut Simulated> =
            self.instances.values_mut().filter(|simulated| simulated.waits()).collect();
        waiting.sort_by_key(|simulated| simulated.number);
        for simulated in waiting {
            if room == 0 {
                break;
            }
            room -= 1;
            simulated.placed_at = Some(now);
            simulated.seen.state = ObservedState::starting("starting");
            simulated.seen.at = now;
            simulated.move_to(now, &self.policy.address);
            news = true;
        }
        news
    }

    fn draw(&mut self) -> Fate {
        let boot = self.policy.boot.clone();
        let life = self.policy.life.clone();
        let fails = self.random() % 100 < u64::from(self.policy.failing_starts);
        let boot = self.within(&boot);
        let life = life.map(|life| self.within(&life));
        Fate { boot, fails, life }
    }

    fn within(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let (start, end) = (range.start().as_micros() as u64, range.end().as_micros() as u64);
        let width = end.saturating_sub(start).saturating_add(1);
        Duration::from_micros(start + self.random() % width)
    }

    /// SplitMix64: small, and the same everywhere (Steele, Lea, Flood, 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Simulated {
    fn has_ended(&self) -> bool {
        matches!(self.seen.state, ObservedState::Ended { .. })
    }

    fn runs(&self) -> bool {
        self.placed_at.is_some() && !self.has_ended()
    }

    fn waits(&self) -> bool {
        self.placed_at.is_none() && !self.has_ended()
    }

    fn move_to(&mut self, now: Timestamp, address: &AddressOf) -> bool {
        let Some((at, state)) = self.state_at(now, address) else { return false };
        if self.seen.state == state {
            return false;
        }
        (self.seen.at, self.seen.state) = (at, state);
        true
    }

    /// The state at `now` and since when, unless it is still what it was.
    fn state_at(&self, now: Timestamp, address: &AddressOf) -> Option<(Timestamp, ObservedState)> {
        if self.has_ended() {
            return None;
        }
        let ready_at = self.placed_at.map(|at| at + self.fate.boot);
        let crash_at = match (ready_at, self.fate.fails, self.fate.life) {
            (Some(ready), true, _) => Some(ready),
            (Some(ready), false, Some(life)) => Some(ready + life),
            _ => None,
        };
        let stop_at = self.stop.filter(|at| *at <= now);
        let crash_at = crash_at.filter(|at| *at <= now);
        if let Some(at) = crash_at
            && stop_at.is_none_or(|stop| at < stop)
        {
            let last_lines = "the simulator let it fail".to_owned();
            let cause = EndCause::Exited { code: Some(1), signal: None, last_lines };
            return Some((at, ObservedState::Ended { cause }));
        }
        if let Some(at) = stop_at {
            let cause = EndCause::Retired { why: "it was asked to stop".to_owned() };
            return Some((at, ObservedState::Ended { cause }));
        }
        let ready_at = ready_at.filter(|at| *at <= now)?;
        let address = address(self.seen.instance, &self.model);
        Some((ready_at, ObservedState::Ready { address }))
    }
}

#[cfg(test)]
#[path = "simulator_tests.rs"]
mod tests;
