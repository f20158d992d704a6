//! A hub that ends in the middle of a run: the next one completes it, every row once and right.

use std::collections::HashMap;
use std::process::Child;

use crate::support::{Hub, Output, World, cells, lives, until};

const INPUTS: usize = 300;
const BATCH: usize = 10;

/// Writes down every input, outside its folder: what is in there is its version. Leaves a process
/// behind that left its session.
const LEDGER: &str = "
import os, subprocess, time
subprocess.Popen(['setsid', 'sleep', '600'])
def predict(inputs):
    time.sleep(0.05)
    with open('../ledger', 'a') as ledger:
        ledger.write(''.join(text + '\\n' for text in inputs))
    return [{'square': int(text) ** 2} for text in inputs]
";

fn world() -> World {
    let limits = format!("cache = false\n[limits]\nbatch_size = {BATCH}\n");
    let world = World::new(&[("squares", &limits, LEDGER)]);
    world.write("in.txt", (0..INPUTS).map(|n| format!("{n}\n")).collect::<String>());
    world
}

fn ledger(world: &World) -> HashMap<String, usize> {
    let mut seen = HashMap::new();
    for line in world.read("models/ledger").lines() {
        *seen.entry(line.to_owned()).or_default() += 1;
    }
    seen
}

/// A run that is in the middle of its inputs.
fn begin(hub: &Hub) -> Child {
    let run = hub.begin(&["run", "squares", "in.txt", "-o", "out.csv"]);
    until("some inputs are done", || ledger(hub.world).len() >= 3 * BATCH);
    run
}

/// The run ends well and has every row once, in order.
fn check(hub: &Hub, run: Child) {
    let output = Output::from(run.wait_with_output().expect("it ends"));
    assert_eq!(output.code, 0, "{output:?}\n{}", hub.world.read("log"));
    assert!(output.error.contains("hub not reachable, retrying"), "{output:?}");
    assert!(output.error.contains("the hub is there again"), "{output:?}");
    let rows = cells(&hub.world.read("out.csv"));
    assert_eq!(rows.len(), INPUTS + 1);
    for (n, row) in rows[1..].iter().enumerate() {
        assert_eq!(*row, [n.to_string(), (n * n).to_string()]);
    }
    let requests = hub.good(&["requests", "--json"]).json();
    let requests = requests["items"].as_array().expect("requests");
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["phase"], "completed");
    assert_eq!(requests[0]["done"], INPUTS);
}

#[test]
fn a_run_survives_a_killed_hub_and_its_processes_do_not() {
    let world = world();
    let mut hub = world.hub();
    let run = begin(&hub);
    let processes = world.model_processes();
    assert!(processes.iter().any(|(_, words)| words.contains("sleep")), "{processes:?}");
    hub.kill();
    until("what the hub started is gone", || processes.iter().all(|(pid, _)| !lives(*pid)));
    world.until_no_model_process();
    assert!(ledger(&world).len() < INPUTS, "it was killed in the middle");

    let hub = world.hub_after(&hub);
    check(&hub, run);
    let twice = ledger(&world).values().filter(|times| **times > 1).count();
    assert!(twice <= BATCH, "only what was in flight is done again: {twice}");
}

#[test]
fn a_run_survives_a_hub_that_is_killed_again_and_again() {
    let world = world();
    let mut hub = world.hub();
    let run = begin(&hub);
    for _ in 0..3 {
        let done = ledger(&world).len();
        until("some more are done", || ledger(&world).len() >= (done + 2 * BATCH).min(INPUTS));
        hub.kill();
        hub = world.hub_after(&hub);
    }
    check(&hub, run);
}

#[test]
fn a_terminated_hub_finishes_what_runs_and_the_next_one_does_the_rest() {
    let world = world();
    let mut hub = world.hub();
    let run = begin(&hub);
    hub.terminate();
    assert!(hub.until_ended().success(), "{}", world.read("log"));
    world.until_no_model_process();
    assert!(ledger(&world).len() < INPUTS, "it ended in the middle");
    let hub = world.hub_after(&hub);
    check(&hub, run);
    let twice = ledger(&world).values().filter(|times| **times > 1).count();
    assert_eq!(twice, 0, "nothing was thrown away");
}

#[test]
fn waiting_and_ended_requests_are_still_there_after_a_restart() {
    let world = world();
    let mut hub = world.hub();
    let done = hub.good(&["run", "squares", "--input", "7", "--json"]).json();
    hub.kill();
    let hub = world.hub_after(&hub);
    let id = done["id"].as_str().expect("an id");
    assert_eq!(hub.good(&["result", id]).text, "input,square\n7,49\n");
}
