//! Whole lives of hubs: engine and SQLite over a simulated cluster, in simulated time, with faults
//! drawn from a seed. See `docs/testing.md`.

mod broken;
mod ghosts;
mod invariants;
mod ledger;
mod life;
mod models;
mod pulse;
mod scenario;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::life::{Outcome, World};
use crate::scenario::Scenario;

/// How long a failing scenario is made smaller.
const SHRINKING: Duration = Duration::from_secs(120);

/// One world at a time: a pulse watches all threads of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    drop(rustls::crypto::ring::default_provider().install_default());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a long run is asked for in the environment")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_was_acknowledged_ends_once_through_faults_and_kills() {
    let _alone = alone();
    let (first, worlds) = (asked("SEED").unwrap_or(1), asked("WORLDS").unwrap_or(50));
    let started = Instant::now();
    let (mut lives, mut sum) = (0, Outcome::default());
    for seed in first..first + worlds {
        let scenario = Scenario::draw(seed);
        let outcome = World::live(&scenario);
        lives += scenario.lives.len() + 1;
        sum.kills += outcome.kills;
        sum.busy_kills += outcome.busy_kills;
        sum.requests += outcome.requests;
        sum.calls += outcome.calls;
        sum.stale += outcome.stale;
        if let Some(fault) = &outcome.fault {
            println!("seed {seed}: {fault}\n  {}", outcome.transcript.join("\n  "));
            let scenario = if worlds == 1 { shrunk(scenario) } else { scenario };
            let text = serde_saphyr::to_string(&scenario).expect("YAML");
            panic!(
                "seed {seed}: {fault}\nrepeat and shrink it with: make simulate SEED={seed} \
                 WORLDS=1\nkeep it as crates/engine/tests/scenarios/NAME.yaml:\n{text}"
            );
        }
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let Outcome { kills, busy_kills, requests, calls, stale, .. } = sum;
    println!(
        "{worlds} worlds, {lives} lives ({:.0} a minute), {kills} kills ({busy_kills} in the \
         middle of something), {requests} requests, \
         {calls} calls, {stale} late writes refused: 0 lost, 0 doubled, 0 mixed",
        lives as f64 / minutes
    );
}

/// Leaves out whatever is not needed to fail.
fn shrunk(mut scenario: Scenario) -> Scenario {
    let until = Instant::now() + SHRINKING;
    let fails = |smaller: &Scenario| Instant::now() < until && World::live(smaller).fault.is_some();
    while let Some(smaller) = { scenario.smaller().find(fails) } {
        scenario = smaller;
    }
    scenario
}

#[test]
fn kept_scenarios_hold() {
    let _alone = alone();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    for file in std::fs::read_dir(folder).expect("the scenarios") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let scenario: Scenario = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outcome = World::live(&scenario);
        let steps = outcome.transcript.join("\n  ");
        assert!(outcome.fault.is_none(), "{}: {:?}\n  {steps}", path.display(), outcome.fault);
    }
}

#[test]
fn a_seed_is_always_the_same_steps() {
    let _alone = alone();
    let scenario = Scenario::draw(7);
    let text = serde_saphyr::to_string(&scenario).expect("YAML");
    let kept: Scenario = serde_saphyr::from_str(&text).expect("a scenario");
    assert_eq!(kept, scenario, "it can be kept in a file");
    let (first, second) = (World::live(&scenario), World::live(&kept));
    assert_eq!(first.transcript, second.transcript);
    assert_eq!((first.fault, second.fault), (None, None));
}
