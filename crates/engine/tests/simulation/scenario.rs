//! What happens in one simulated world: drawn from a seed, or kept in a file.

use muster_core::instance::StopWork;
use serde::{Deserialize, Serialize};

/// A world and the lives of its hubs. After the last one a hub without faults has to bring
/// everything to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the models draw their answers from.
    pub seed: u64,
    pub hub_maximum: u32,
    /// Larger inputs and results are objects, bytes.
    pub inline_bytes: usize,
    pub models: Vec<ModelSpec>,
    pub lives: Vec<HubLife>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    pub batch: u32,
    pub instances: u32,
    pub minimum: u32,
    pub job_seconds: u32,
    pub start_seconds: u32,
    pub idle_seconds: u32,
    pub attempts: u32,
    pub cache: bool,
}

/// A hub from its start to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubLife {
    #[serde(default, skip_serializing_if = "Faults::is_none")]
    pub faults: Faults,
    pub steps: Vec<Step>,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Killed so many turns of the runtime after the last step, in the middle of what came of it; without
    /// steps while it starts.
    Kill(u64),
    /// Asked to stop, with so many seconds for what runs.
    Stop(u64),
}

/// Of 100 starts or calls, so many go wrong in this way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    pub start: u32,
    pub crash: u32,
    pub hang: u32,
    pub busy: u32,
    pub error: u32,
    pub garbage: u32,
    pub short: u32,
    pub long: u32,
    /// Another process answers.
    pub foreign: u32,
    /// The longest answer, milliseconds; starts take at most 10 seconds.
    pub slow: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A new request; the first one is number 0.
    Submit(Submit),
    /// Submits that request again as it was, under its key.
    Repeat(usize),
    /// Submits something else under the key of that request.
    Misuse(usize),
    Cancel(usize),
    /// Reads that request and its result.
    Read(usize),
    /// Time goes on, milliseconds.
    Pass(u64),
    /// An instance dies: the one of this number among those that live.
    Crash(usize),
    /// An administrator stops an instance: the one of this number among those that live.
    Stop {
        number: usize,
        work: StopWork,
        grace: u64,
    },
    /// Somebody else claims work of the model, for so many milliseconds.
    Ghost {
        model: usize,
        lease: u64,
    },
    /// That claim is answered, perhaps too late.
    GhostAnswers(usize),
    /// That claim is given back, perhaps too late.
    GhostGivesBack(usize),
    /// From now on the database or the object storage fails in this way.
    Break(Broken),
    /// Nothing fails any more.
    Mend,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    pub who: usize,
    pub model: usize,
    pub inputs: usize,
    /// Under an idempotency key.
    pub key: bool,
    /// One of the inputs is of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<Bad>,
    /// The client leaves after so many turns, without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    /// The model fails on it.
    Refused,
    /// It kills the instance.
    Poison,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// Requests cannot be written.
    Requests,
    /// No task can be claimed.
    Claims,
    /// No result can be written.
    Results,
    /// No instance can be written.
    Instances,
    /// Everything about tasks fails when it is committed.
    TaskCommits,
    /// A submission fails when it is committed.
    RequestCommits,
    Objects,
}

impl Faults {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len() as u64) as usize]
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

impl Scenario {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random(seed);
        let models = 1 + random.below(3);
        let models: Vec<ModelSpec> = (0..models).map(|_| ModelSpec::draw(&mut random)).collect();
        let mut drawer = Drawer { random, models: models.len(), sent: 0, ghosts: 0 };
        let lives = (0..2 + drawer.random.below(6)).map(|_| drawer.life()).collect();
        Self {
            seed,
            hub_maximum: drawer.random.of(&[1, 2, 3, 6]),
            inline_bytes: drawer.random.of(&[60, 400, 64 << 10]),
            models,
            lives,
        }
    }

    /// The same without one of its lives or steps, the longest omissions first.
    pub fn smaller(&self) -> impl Iterator<Item = Self> {
        let lives = (0..self.lives.len()).map(|life| {
            let mut smaller = self.clone();
            smaller.lives.remove(life);
            smaller
        });
        let steps = move |life: usize| {
            (0..self.lives[life].steps.len()).map(move |step| {
                let mut smaller = self.clone();
                smaller.lives[life].steps.remove(step);
                smaller
            })
        };
        lives.chain((0..self.lives.len()).flat_map(steps))
    }
}

impl ModelSpec {
    fn draw(random: &mut Random) -> Self {
        Self {
            batch: random.of(&[1, 3, 10, 30]),
            instances: random.of(&[1, 2, 2, 3]),
            minimum: random.of(&[0, 0, 0, 1]),
            job_seconds: random.of(&[3, 10, 60, 60]),
            start_seconds: random.of(&[5, 30]),
            idle_seconds: random.of(&[1, 10, 300]),
            attempts: random.of(&[1, 2, 3]),
            cache: random.one_in(2),
        }
    }
}

struct Drawer {
    random: Random,
    models: usize,
    sent: usize,
    ghosts: usize,
}

impl Drawer {
    fn life(&mut self) -> HubLife {
        let calm = self.random.one_in(3);
        let mut some = |most: u64| if calm { 0 } else { self.random.below(most + 1) as u32 };
        let faults = Faults {
            start: some(30),
            crash: some(8),
            hang: some(8),
            busy: some(15),
            error: some(8),
            garbage: some(8),
            short: some(6),
            long: some(6),
            foreign: some(6),
            slow: self.random.of(&[0, 50, 1500, 9000, 45_000]),
        };
        if self.random.one_in(8) {
            let end = End::Kill(self.turns());
            return HubLife { faults, steps: vec![], end };
        }
        let mut steps: Vec<Step> = (0..4 + self.random.below(20)).map(|_| self.step()).collect();
        let end = if self.random.one_in(8) {
            End::Stop(self.random.of(&[0, 1, 20]))
        } else {
            let some = self.random.below(self.sent.max(1) as u64) as usize;
            steps.push(match self.random.below(9) {
                0 => Step::Cancel(some),
                1 => Step::Repeat(some),
                2 => Step::Crash(self.random.below(4) as usize),
                3 => Step::Pass(1 + self.random.below(3000)),
                4 => Step::Stop { number: 0, work: StopWork::Requeue, grace: 1 },
                _ => self.submit(),
            });
            End::Kill(self.turns())
        };
        HubLife { faults, steps, end }
    }

    /// A statement takes one; a submission and its claim about ten.
    fn turns(&mut self) -> u64 {
        let most = self.random.of(&[4, 10, 40]);
        1 + self.random.below(most)
    }

    fn step(&mut self) -> Step {
        let n = self.random.below(100);
        let some = self.random.below(self.sent.max(1) as u64) as usize;
        match n {
            _ if self.sent == 0 => self.submit(),
            0..22 => self.submit(),
            22..27 => Step::Repeat(some),
            27..30 => Step::Misuse(some),
            30..38 => Step::Cancel(some),
            38..42 => Step::Read(some),
            42..44 => Step::Crash(self.random.below(4) as usize),
            69..72 => Step::Stop {
                number: self.random.below(4) as usize,
                work: self.random.of(&[StopWork::Drain, StopWork::Requeue, StopWork::Fail]),
                grace: self.random.of(&[0, 1, 30]),
            },
            44..51 => {
                self.ghosts += 1;
                let model = self.random.below(self.models as u64) as usize;
                Step::Ghost { model, lease: self.random.of(&[500, 500, 5_000, 40_000]) }
            }
            51..55 if self.ghosts > 0 => {
                Step::GhostAnswers(self.random.below(self.ghosts as u64) as usize)
            }
            55..60 if self.ghosts > 0 => {
                Step::GhostGivesBack(self.random.below(self.ghosts as u64) as usize)
            }
            60..64 => Step::Break(self.random.of(&[
                Broken::Requests,
                Broken::Claims,
                Broken::Results,
                Broken::Instances,
                Broken::TaskCommits,
                Broken::RequestCommits,
                Broken::Objects,
            ])),
            64..69 => Step::Mend,
            _ => Step::Pass(self.random.of(&[0, 1, 10, 200, 900, 3_000, 7_000, 20_000, 35_000])),
        }
    }

    fn submit(&mut self) -> Step {
        self.sent += 1;
        let random = &mut self.random;
        let most = random.of(&[1, 4, 4, 60]);
        Step::Submit(Submit {
            who: random.below(3) as usize,
            model: random.below(self.models as u64) as usize,
            inputs: 1 + random.below(most) as usize,
            key: !random.one_in(4),
            with: match random.below(12) {
                0 => Some(Bad::Refused),
                1 => Some(Bad::Poison),
                _ => None,
            },
            leaves: if random.one_in(4) { Some(random.below(12)) } else { None },
        })
    }
}
