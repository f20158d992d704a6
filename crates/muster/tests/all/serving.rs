//! A hub starts fast, alone, and leaves in order.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Cluster;
use crate::support::{ENDLESS, LENGTHS, Output, World, end, until};

fn world() -> World {
    World::new(&[("lengths", "", LENGTHS)])
}

/// The answer to a plain GET.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_hub_on_an_empty_data_folder_is_ready_at_once() {
    let world = world();
    let hub = world.hub();
    println!("ready after {:?}", hub.ready);
    assert!(hub.ready < Duration::from_secs(3), "{:?}", hub.ready);
    assert!(hub.address.starts_with("127.0.0.1:") && !hub.address.ends_with(":0"));
    assert!(get(&hub.address, "/livez").starts_with("HTTP/1.1 200"));
    assert!(get(&hub.address, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(world.read("log").contains(&format!("Muster serves 1 model at {}", hub.url())));
}

#[test]
fn the_data_folder_is_for_its_owner_only() {
    let world = world();
    let _hub = world.hub();
    let mode = fs::metadata(world.path("data")).expect("a folder").permissions().mode();
    // Where models have users of their own these pass through it.
    let passes = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    assert_eq!(mode & 0o777, passes);
    let objects = fs::metadata(world.path("data/objects")).expect("a folder").permissions().mode();
    assert_eq!(objects & 0o777, 0o700);
}

#[test]
fn metrics_have_an_address_of_their_own() {
    let world = world();
    let hub = world.hub_with(&["--metrics", "127.0.0.1:0", "--log-format", "json"], |_| {});
    assert!(get(&hub.address, "/metrics").starts_with("HTTP/1.1 404"));
    let log = world.read("log");
    let ready = log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["message"] == "ready").then_some(line)
    });
    let metrics =
        ready.expect("a line of JSON")["metrics"].as_str().expect("an address").to_owned();
    let address = metrics.trim_start_matches("Some(").trim_end_matches(')').to_owned();
    let answer = get(&address, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("# EOF"), "{answer}");
}

#[test]
fn a_second_hub_on_the_same_folder_refuses_with_a_clear_line() {
    let world = world();
    let hub = world.hub();
    let second = world.muster(&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    second.fails(1, &["another", "data"]);
    assert!(second.error.lines().count() <= 4, "{}", second.error);
    hub.good(&["run", "lengths", "--input", "abc"]);
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_change() {
    let world = world();
    let hub = world.hub();
    let serve = |arguments: &[&str]| {
        let all = [&["serve", "--data-dir", "other", "--listen", "127.0.0.1:0"], arguments];
        world.muster(&all.concat()[..])
    };
    serve(&["--models", "nowhere"]).fails(2, &["nowhere"]);
    serve(&["--config", "no-file.toml"]).fails(2, &["no-file.toml"]);
    world.write("bad.toml", "lisen = 'x'");
    serve(&["--config", "bad.toml"]).fails(2, &["lisen"]);
    serve(&["--limits-inputs", "many"]).fails(2, &["limits.inputs", "--limits-inputs"]);
    let taken = world.muster(&["serve", "--data-dir", "other", "--listen", &hub.address]);
    taken.fails(1, &[&hub.address]);
    world.write("a-file", "");
    world.muster(&["serve", "--data-dir", "a-file"]).fails(1, &["a-file"]);
}

#[test]
fn a_folder_that_is_no_model_is_logged_and_the_others_are_served() {
    let world = world();
    world.write("models/broken/model.toml", "kind = 'java'");
    world.write("models/twin/model.toml", "id = 'lengths'\nkind = 'python'\n");
    world.write("models/twin/predict.py", LENGTHS);
    world.write("models/a-file", "");
    let hub = world.hub();
    let models = hub.good(&["models", "--json"]).json();
    assert_eq!(models["items"].as_array().map(Vec::len), Some(1));
    let log = world.read("log");
    assert!(log.contains("this is not a model folder") && log.contains("java"), "{log}");
    assert!(log.contains("another folder has this model already"), "{log}");
}

#[test]
fn secrets_of_the_hub_do_not_reach_its_models_nor_its_log() {
    let body = "import os\n\
        def predict(inputs):\n\
        \x20   all = '\\n'.join(name + '=' + value for name, value in os.environ.items())\n\
        \x20   return [{'environment': all} for _ in inputs]\n";
    let world = World::new(&[("spy", "", body)]);
    let hub = world.hub_with(&[], |command| {
        command.env("AWS_SECRET_ACCESS_KEY", "canary-1").env("MUSTER_OBJECTS_OPTIONS", "canary-2");
        command.env("PGPASSWORD", "canary-3").env("MUSTER_LOG_FILTER", "debug");
        command.env("MUSTER_MODEL_VARIABLES", "WANTED").env("WANTED", "is there");
    });
    let seen = hub.good(&["run", "spy", "--input", "x", "--json"]).text;
    assert!(seen.contains("WANTED=is there") && seen.contains("PATH="), "{seen}");
    assert!(!seen.contains("canary") && !seen.contains("AWS_"), "{seen}");
    assert!(!world.read("log").contains("canary"));
    let shown = world.command(&["config"]).env("AWS_SECRET_ACCESS_KEY", "canary-1").output();
    let shown = Output::from(shown.expect("the binary"));
    assert_eq!((shown.code, shown.text.contains("canary")), (0, false), "{shown:?}");
}

#[test]
fn a_database_that_cannot_be_reached_ends_the_start_without_its_password() {
    let world = world();
    let mut command = world.command(&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    command.env("MUSTER_DATABASE_URL", "postgres://hub:canary@127.0.0.1:9/muster");
    command.env("MUSTER_DATABASE_WAIT_SECONDS", "0");
    let output = Output::of(command);
    output.fails(1, &["database"]);
    assert!(!output.error.contains("canary") && !output.text.contains("canary"), "{output:?}");
}

#[test]
fn a_hub_may_start_before_its_database() {
    let world = world();
    let cluster = Cluster::open("late");
    cluster.down();
    let hub = std::thread::scope(|scope| {
        scope.spawn(|| {
            until("it tried", || world.read("log").contains("it is tried again"));
            cluster.up();
        });
        world.hub_with(&[], |command| {
            command.env("MUSTER_DATABASE_URL", cluster.url("postgres"));
        })
    });
    hub.good(&["run", "lengths", "--input", "abc"]);
}

#[test]
fn a_hub_that_waits_for_its_database_can_be_told_to_stop() {
    let world = world();
    let mut command = world.command(&["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    command.env("MUSTER_DATABASE_URL", "postgres://hub@127.0.0.1:9/muster");
    let log = fs::File::create(world.path("log")).expect("a log");
    let mut hub = command.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("it");
    until("it waits", || world.read("log").contains("it is tried again"));
    kill_process(Pid::from_child(&hub), Signal::TERM).expect("a signal");
    assert!(hub.wait().expect("a child").success(), "{}", world.read("log"));
}

#[test]
fn a_terminated_hub_ends_in_order() {
    let world = world();
    let mut hub = world.hub();
    hub.good(&["run", "lengths", "--input", "abc"]);
    assert!(!world.model_processes().is_empty(), "an instance is kept warm");
    hub.terminate();
    assert!(hub.until_ended().success(), "{}", world.read("log"));
    assert_eq!(world.model_processes(), []);
    assert!(world.read("log").contains("stopped"));
    let again = world.hub();
    again.good(&["requests"]);
}

#[test]
fn a_second_signal_ends_a_hub_that_waits_for_its_jobs() {
    let world = World::new(&[("slow", "", ENDLESS)]);
    let mut hub = world.hub();
    let run = hub.command(&["run", "slow", "--input", "x"]).spawn().expect("the binary");
    until("it runs", || hub.good(&["requests", "--json"]).text.contains("\"phase\":\"running\""));
    hub.terminate();
    until("it stops", || world.read("log").contains("stopping"));
    hub.terminate();
    assert_eq!(hub.until_ended().code(), Some(1));
    world.until_no_model_process();
    end(run);
}
