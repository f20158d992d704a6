//! Instances are started when needed, kept warm, and let go.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{ENDLESS, LENGTHS, MUSTER, Output, World, end, exists, until};

#[test]
fn an_instance_is_started_when_needed_kept_warm_and_let_go() {
    let body = format!("open('../starts', 'a').write('x')\n{LENGTHS}");
    let world = World::new(&[("lengths", "cache = false\n[limits]\nidle_seconds = 1\n", &body)]);
    let hub = world.hub();
    assert_eq!(world.model_processes(), [], "nobody needs it yet");
    for _ in 0..3 {
        hub.good(&["run", "lengths", "--input", "abc"]);
    }
    assert_eq!(world.read("models/starts"), "x");
    world.until_no_model_process();
    until("it is cold", || hub.good(&["models"]).text.contains("cold"));
    hub.good(&["run", "lengths", "--input", "abc"]);
    assert_eq!(world.read("models/starts"), "xx");
}

#[test]
fn a_cancelled_request_ends_the_work_of_its_model() {
    let body = "import time\n\
        def predict(inputs):\n\
        \x20   if 'wait' in inputs: open('../begun', 'w').close(); time.sleep(600)\n\
        \x20   return [{'n': 1} for _ in inputs]\n";
    let world = World::new(&[("waits", "", body)]);
    let hub = world.hub();
    let mut run = hub.command(&["run", "waits", "--input", "wait"]).spawn().expect("the binary");
    until("it runs", || exists(&world.path("models/begun")));
    let list = hub.good(&["requests", "--json"]).json();
    hub.good(&["cancel", list["items"][0]["id"].as_str().expect("an id")]);
    // The one instance is free again, long before the time limit.
    hub.good(&["run", "waits", "--input", "go"]);
    assert_eq!(run.wait().expect("it ends").code(), Some(1));
}

#[test]
fn a_long_request_does_not_hold_up_a_short_one_of_somebody_else() {
    let body = "import time\n\
        def predict(inputs):\n\
        \x20   time.sleep(0.2)\n\
        \x20   return [{'n': 1} for _ in inputs]\n";
    let world = World::new(&[("slow", "cache = false\n[limits]\nbatch_size = 5\n", body)]);
    let hub = world.hub();
    world.write("in.txt", (0..500).map(|n| format!("{n}\n")).collect::<String>());
    let long = hub.command(&["run", "slow", "in.txt", "-q", "-o", "out.csv"]).spawn().expect("it");
    until("it runs", || hub.good(&["requests", "--json"]).text.contains("\"phase\":\"running\""));
    let mut short = hub.command(&["run", "slow", "--input", "x"]);
    short.env("XDG_CONFIG_HOME", world.path("somebody"));
    let begun = Instant::now();
    let output = Output::of(short);
    assert_eq!(output.code, 0, "{output:?}");
    let first = hub.good(&["requests", "--json"]).json();
    assert_eq!(first["items"][0]["phase"], "running", "after {:?}", begun.elapsed());
    end(long);
}

#[test]
fn ctrl_c_leaves_the_request_and_a_second_one_cancels_it() {
    let world = World::new(&[("waits", "", ENDLESS)]);
    let hub = world.hub();
    for (presses, phase, words) in [
        (1, "running", "the request goes on without this command"),
        (2, "cancelled", "was cancelled"),
    ] {
        // Not through another program, which would pass the signal on in its own way.
        let mut command = Command::new(MUSTER);
        command.args(["run", "waits", "--input", "x", "--hub", &hub.url()]);
        world.at_home(&mut command);
        let run = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary");
        let newest = || hub.good(&["requests", "--json"]).json()["items"][0].clone();
        until("it is there", || newest()["phase"].is_string() && newest()["phase"] != "cancelled");
        let pid = Pid::from_child(&run);
        let (mut begun, mut left) = (Instant::now() - Duration::from_secs(1), presses);
        let output = std::thread::scope(|scope| {
            let ended = scope.spawn(|| Output::from(run.wait_with_output().expect("it ends")));
            while !ended.is_finished() {
                if left > 0 && begun.elapsed() > Duration::from_millis(500) {
                    kill_process(pid, Signal::INT).expect("a signal");
                    (begun, left) = (Instant::now(), left - 1);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            ended.join().expect("no panic")
        });
        output.fails(130, &[words]);
        assert_eq!(newest()["phase"], phase);
        let id = newest()["id"].as_str().expect("an id").to_owned();
        hub.good(&["cancel", &id]);
    }
}
