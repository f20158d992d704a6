//! Whole lives of hubs: engine and SQLite over a simulated cluster, in simulated time, with faults
//! drawn from a seed. See `docs/testing.md`.

mod invariants;
mod ledger;
mod life;
mod models;
mod pulse;
mod scenario;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::life::World;
use crate::scenario::Scenario;

/// One world at a time: a pulse watches all threads of the process.
static ALONE: Mutex<()> = Mutex::new(());

#[expect(clippy::disallowed_methods, reason = "a long run is asked for in the environment")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn live(scenario: &Scenario) -> life::Outcome {
    drop(rustls::crypto::ring::default_provider().install_default());
    World::live(scenario)
}

#[test]
fn what_was_acknowledged_ends_once_through_faults_and_kills() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (first, worlds) = (asked("SEED").unwrap_or(1), asked("WORLDS").unwrap_or(60));
    let started = Instant::now();
    let (mut lives, mut kills, mut requests, mut calls, mut stale) = (0, 0, 0, 0, 0);
    let mut failed = Vec::new();
    for seed in first..first + worlds {
        let scenario = Scenario::draw(seed);
        let outcome = live(&scenario);
        lives += scenario.lives.len() + 1;
        kills += outcome.kills;
        requests += outcome.requests;
        calls += outcome.calls;
        stale += outcome.stale;
        if let Some(fault) = outcome.fault {
            println!("seed {seed}: {fault}\n  {}", outcome.transcript.join("\n  "));
            failed.push(seed);
        }
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!(
        "{worlds} worlds, {lives} lives ({:.0} a minute), {kills} kills, {requests} requests, \
         {calls} calls, {stale} late writes refused",
        lives as f64 / minutes
    );
    if let Some(seed) = failed.first() {
        let text = serde_saphyr::to_string(&Scenario::draw(*seed)).expect("YAML");
        panic!(
            "{} of {worlds} seeds failed: {failed:?}\nrepeat one with: make simulate SEED={seed} \
             WORLDS=1\nkeep it as crates/engine/tests/scenarios/NAME.yaml:\n{text}",
            failed.len()
        );
    }
}
