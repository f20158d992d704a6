//! A scenario is lived: hubs that follow each other on the same database, step by step. Whoever sleeps
//! here lets simulated time go on (see [`crate::pulse`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_cluster::Cluster;
use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::plan::Policy;
use muster_core::{Model, PrincipalId, Resources, Source, Timestamp};
use muster_engine::{Clusters, Engine, EngineConfig};
use muster_store::{ClaimedTask, Clock, Database, Objects, StopWish, Store, StoreConfig};

use crate::invariants::{Watch, check_calls};
use crate::ledger::{self, Ledger, Notes, Sent};
use crate::models::{CallLog, Models};
use crate::pulse::Pulse;
use crate::scenario::{End, Faults, HubLife, ModelSpec, Scenario, Step};

/// Without faults everything has ended after this (I-03). A lease that was just taken lasts 30 s, and
/// a few jobs may be before one's own.
const HEALED: Duration = Duration::from_secs(1800);
/// Longer than any one answer of the store takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a scenario came to.
#[derive(Default, Debug)]
pub struct Outcome {
    pub kills: u64,
    /// Kills while there was something to do at that moment.
    pub busy_kills: u64,
    pub requests: usize,
    pub calls: usize,
    pub stale: u64,
    /// What happened, step by step.
    pub transcript: Vec<String>,
    /// What must not be; with the step.
    pub fault: Option<String>,
}

/// See the module.
pub struct World<'s> {
    pub scenario: &'s Scenario,
    pub folder: tempfile::TempDir,
    pub now: Timestamp,
    hubs: u64,
    principals: Vec<PrincipalId>,
    pub notes: Notes,
    calls: CallLog,
    /// What somebody else claimed.
    pub ghosts: Vec<Vec<ClaimedTask>>,
    /// Since when a hub runs and nothing is broken; absent while something is.
    pub whole_since: Option<Timestamp>,
    outcome: Outcome,
}

/// A hub while it lives.
pub struct Hub<'p> {
    pub store: Store,
    models: Arc<Models>,
    engine: Engine,
    pub watch: Watch,
    pub pulse: &'p Arc<Pulse>,
}

impl<'s> World<'s> {
    pub fn live(scenario: &'s Scenario) -> Outcome {
        // In memory, as far as Linux has it.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let mut world = Self {
            scenario,
            folder: folder.expect("a folder"),
            now: Timestamp::from_micros(1_800_000_000_000_000),
            hubs: 0,
            principals: vec![],
            notes: Arc::new(std::sync::Mutex::new(Ledger::default())),
            calls: CallLog::default(),
            ghosts: vec![],
            whole_since: Some(Timestamp::default()),
            outcome: Outcome::default(),
        };
        for life in &scenario.lives {
            world.hub(Some(life));
            if world.outcome.fault.is_some() {
                break;
            }
        }
        if world.outcome.fault.is_none() {
            world.hub(None);
        }
        world.outcome.requests = world.notes.lock().expect("no panic").sent.len();
        world.outcome.calls = world.calls.lock().expect("no panic").all.len();
        world.outcome
    }

    /// The hub of a life, or the last one, which heals.
    fn hub(&mut self, life: Option<&HubLife>) {
        self.hubs += 1;
        let clock = Clock::manual(self.now, self.scenario.seed.wrapping_mul(64) + self.hubs);
        let after = clock.clone();
        Pulse::run(clock, async |pulse| match life {
            Some(life) => self.life(life, &pulse).await,
            None => self.heal(&pulse).await,
        });
        self.now = after.now();
    }

    async fn life(&mut self, life: &HubLife, pulse: &Arc<Pulse>) {
        if let (true, End::Kill(turns)) = (life.steps.is_empty(), life.end) {
            let opening = self.open(life.faults, pulse);
            let busy = tokio::select! {
                _ = opening => false,
                busy = pulse.turns(turns) => busy,
            };
            self.killed(busy);
            self.note(format!("killed after {turns} turns of its start"));
            return;
        }
        if self.whole_since.is_some() {
            self.whole_since = Some(pulse.now());
        }
        let mut hub = match self.open(life.faults, pulse).await {
            Ok(hub) => hub,
            Err(_) => {
                self.mend_from_outside().await;
                self.note("it does not start with what an earlier life broke".to_owned());
                return;
            }
        };
        for (number, step) in life.steps.iter().enumerate() {
            self.step(step, &mut hub).await;
            if number + 1 == life.steps.len() && matches!(life.end, End::Kill(_)) {
                // It is killed while it does what came of this.
                break;
            }
            self.check(&mut hub).await;
            if self.outcome.fault.is_some() {
                return;
            }
        }
        match life.end {
            End::Kill(turns) => {
                let busy = pulse.turns(turns).await;
                self.killed(busy);
                self.note(format!("killed after {turns} turns"));
            }
            End::Stop(seconds) => {
                hub.engine.stop(Duration::from_secs(seconds)).await;
                hub.store.close().await;
                self.note("stopped".to_owned());
            }
        }
        self.outcome.stale += hub.store.counters().stale_writes_refused.get();
    }

    fn killed(&mut self, busy: bool) {
        self.outcome.kills += 1;
        self.outcome.busy_kills += u64::from(busy);
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("muster.db")
    }

    async fn open<'p>(
        &mut self,
        faults: Faults,
        pulse: &'p Arc<Pulse>,
    ) -> Result<Hub<'p>, muster_store::Error> {
        let config = StoreConfig {
            database: Database::Sqlite { file: self.file() },
            objects: Objects::Folder(self.folder.path().join("objects")),
            inline_bytes: self.scenario.inline_bytes,
        };
        let store = Store::open(config, pulse.clock.clone()).await?;
        let models = self.scenario.models.iter().enumerate().map(|(n, spec)| model(n, spec));
        store.sync_models(models.collect()).await?;
        while self.principals.len() < 3 {
            let token = [self.principals.len() as u8; 32];
            let session = store.create_session(token, Duration::from_secs(360_000)).await?;
            self.principals.push(session.principal);
        }
        let (folder, calls) = (self.folder.path().to_path_buf(), Arc::clone(&self.calls));
        let seed = self.scenario.seed;
        let models = Models::new((seed, faults), folder.clone(), Arc::clone(&calls), pulse);
        let nowhere = Models::new((seed, faults), folder, calls, pulse);
        let engine = Engine::start(EngineConfig {
            store: store.clone(),
            clusters: Clusters {
                local: Some(Arc::clone(&models) as Arc<dyn Cluster>),
                external: nowhere,
                pods: None,
            },
            policy: Policy { max_instances: self.scenario.hub_maximum, ..Policy::default() },
            node: None,
            groups: None,
            clearing: muster_core::Clearing::NEVER,
        });
        let watch = Watch::open(&self.file()).await;
        Ok(Hub { store, models, engine, watch, pulse })
    }

    async fn step(&mut self, step: &Step, hub: &mut Hub<'_>) {
        match step {
            Step::Submit(submit) => {
                let principal = self.principals[submit.who % self.principals.len()];
                let number = {
                    let mut ledger = self.notes.lock().expect("no panic");
                    let number = ledger.sent.len();
                    let cached = self.scenario.models[submit.model].cache;
                    ledger.sent.push(Sent::new(number, submit, principal, cached));
                    number
                };
                let sending = ledger::submit(Arc::clone(&self.notes), number, hub.store.clone());
                let sending = tokio::spawn(sending);
                if let Some(turns) = submit.leaves {
                    hub.pulse.turns(turns).await;
                    sending.abort();
                }
            }
            Step::Repeat(number) => {
                let ledger = self.notes.lock().expect("no panic");
                if ledger.sent.get(*number).is_some_and(|sent| sent.key.is_some()) {
                    tokio::spawn(ledger::submit(self.notes.clone(), *number, hub.store.clone()));
                }
            }
            Step::Misuse(number) => {
                if *number < self.notes.lock().expect("no panic").sent.len() {
                    tokio::spawn(ledger::misuse(self.notes.clone(), *number, hub.store.clone()));
                }
            }
            Step::Cancel(number) => {
                tokio::spawn(ledger::cancel(self.notes.clone(), *number, hub.store.clone()));
            }
            Step::Read(number) => {
                tokio::spawn(ledger::read(self.notes.clone(), *number, hub.store.clone()));
            }
            Step::Pass(millis) => tokio::time::sleep(Duration::from_millis(*millis)).await,
            Step::Crash(number) => hub.models.crash(*number),
            Step::Stop { number, work, grace } => {
                if let Some(id) = hub.models.one_alive(*number) {
                    let (store, admin) = (hub.store.clone(), self.principals[0]);
                    let grace = Duration::from_secs(*grace);
                    let wish = StopWish { work: *work, reason: "it leaks".to_owned(), grace };
                    // The database may be broken just now: then nothing is stopped.
                    tokio::spawn(async move { store.stop_instance(admin, id, wish).await });
                }
            }
            Step::Ghost { model, lease } => self.ghost(*model, *lease, hub).await,
            Step::GhostAnswers(number) => self.ghost_answers(*number, hub).await,
            Step::GhostGivesBack(number) => self.ghost_gives_back(*number, hub).await,
            Step::Break(what) => self.break_it(*what, hub).await,
            Step::Mend => self.mend(hub).await,
        }
        self.note(format!("{step:?}"));
    }

    fn note(&mut self, what: String) {
        self.outcome.transcript.push(what);
    }

    pub fn fail(&mut self, what: String) {
        let at = self.outcome.transcript.len();
        self.outcome.fault.get_or_insert(format!("life {}, after step {at}: {what}", self.hubs));
    }

    async fn check(&mut self, hub: &mut Hub<'_>) {
        let still = hub.pulse.still().await;
        let mut wrong = check_calls(&hub.models, &self.calls, self.scenario);
        let times = (hub.pulse.now(), self.whole_since);
        wrong.extend(hub.watch.exceptions(times, &self.notes, self.scenario).await);
        hub.watch.queued(&hub.store, &mut wrong).await;
        drop(still);
        wrong.append(&mut self.notes.lock().expect("no panic").faults);
        if !wrong.is_empty() {
            self.fail(wrong.join("; "));
        }
    }

    /// A hub without faults: everything unclear is sent again, and everything ends.
    async fn heal(&mut self, pulse: &Arc<Pulse>) {
        if self.file().exists() {
            self.mend_from_outside().await;
        }
        let mut hub = self.open(Faults::default(), pulse).await.expect("a mended store opens");
        let keyed: Vec<usize> = {
            let ledger = self.notes.lock().expect("no panic");
            let keyed = ledger.sent.iter().enumerate().filter(|(_, sent)| sent.key.is_some());
            keyed.map(|(number, _)| number).collect()
        };
        for number in keyed {
            ledger::submit(Arc::clone(&self.notes), number, hub.store.clone()).await;
        }
        let healed = pulse.now() + HEALED;
        while hub.watch.open_requests().await > 0 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.check(&mut hub).await;
            if pulse.now() > healed {
                let open = hub.watch.open_requests().await;
                self.fail(format!("I-03: {open} requests never end"));
            }
            if self.outcome.fault.is_some() {
                return;
            }
        }
        self.check_ends(&mut hub).await;
        let stopped = hub.engine.stop(Duration::from_secs(5));
        if tokio::time::timeout(PATIENCE, stopped).await.is_err() {
            self.outcome.fault.get_or_insert("the engine does not stop".to_owned());
        }
        hub.store.close().await;
    }

    /// Every request ended once, and a completed one has its own rows (I-08).
    async fn check_ends(&mut self, hub: &mut Hub<'_>) {
        let count = self.notes.lock().expect("no panic").sent.len();
        for number in 0..count {
            ledger::read(Arc::clone(&self.notes), number, hub.store.clone()).await;
        }
        self.check(hub).await;
        let mut wrong = Vec::new();
        {
            let ledger = self.notes.lock().expect("no panic");
            let calls = self.calls.lock().expect("no panic");
            for (number, sent) in ledger.sent.iter().enumerate() {
                ledger::check_result(number, sent, &calls, &mut wrong);
            }
            let most =
                u64::from(self.scenario.models.iter().map(|m| m.attempts).max().unwrap_or(0));
            for (poison, killed) in &calls.killed {
                if u64::from(*killed) > most + self.hubs {
                    wrong.push(format!("I-13: {poison} killed {killed} instances"));
                }
            }
        }
        if !wrong.is_empty() {
            self.fail(wrong.join("; "));
        }
    }
}

fn model(number: usize, spec: &ModelSpec) -> Model {
    let limits = ModelLimits {
        batch_size: spec.batch,
        min_instances: spec.minimum.min(spec.instances),
        max_instances: spec.instances,
        start_seconds: spec.start_seconds,
        job_seconds: spec.job_seconds,
        idle_seconds: spec.idle_seconds,
        max_attempts: spec.attempts,
        ..ModelLimits::default()
    };
    Model {
        id: format!("m{number}").parse().expect("an id"),
        version: "1".into(),
        source: Source::Folder { path: format!("models/m{number}") },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits,
        resources: Resources::default(),
        cache: spec.cache,
        network: Network::None,
        pod: None,
    }
}
