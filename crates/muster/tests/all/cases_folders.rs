//! Folders that change while a hub serves them: a prediction is of the content that made it
//! (mf-changed of the cases).

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Hub, World, cells, end, until};

const METADATA: &str = "Identifier: mf-changed\nInput:\n  - Compound\nRelease: v1.2.3\n";
const RUN: &str = "python3 $1/code/main.py $2 $3 $1/weights.bin\n";
/// The length of a text times what the weights say; one that is called `slow` waits for a word.
const MAIN: &str = "\
import csv, os, sys, time
factor = int(open(sys.argv[3]).read(8))
rows = list(csv.reader(open(sys.argv[1])))[1:]
beside = os.path.dirname(os.path.abspath(sys.argv[3])) + '/../../..'
for row in rows:
    while row[0] == 'slow' and os.path.exists(beside + '/wait'):
        open(beside + '/works', 'w').close()
        time.sleep(0.02)
with open(sys.argv[2], 'w', newline='') as out:
    writer = csv.writer(out)
    writer.writerow(['length'])
    for row in rows:
        writer.writerow([len(row[0]) * factor])
";

const FOLDER: &str = "models/mf-changed";
const CODE: &str = "models/mf-changed/model/framework/code/main.py";
const WEIGHTS: &str = "models/mf-changed/model/framework/weights.bin";

fn world() -> World {
    let world = World::new(&[]);
    world.write(&format!("{FOLDER}/metadata.yml"), METADATA);
    world.write(&format!("{FOLDER}/model/framework/run.sh"), RUN);
    world.write(CODE, MAIN);
    world.write(WEIGHTS, "00000001");
    world
}

fn run(hub: &Hub, inputs: &[&str]) -> Vec<String> {
    let mut arguments = vec!["run", "mf-changed"];
    arguments.extend(inputs.iter().flat_map(|input| ["--input", input]));
    let rows = cells(&hub.good(&arguments).text);
    rows.iter().skip(1).map(|row| row[1].clone()).collect()
}

/// The version that the hub has of the model.
fn version(hub: &Hub) -> String {
    let model = hub.good(&["models", "mf-changed", "--json"]).json();
    model["version"].as_str().expect("a version").to_owned()
}

#[test]
fn predictions_of_an_edited_folder_never_come_back_for_another() {
    let world = world();
    let mut hub = world.hub();
    assert_eq!(run(&hub, &["CCO"]), ["3"]);
    let first = version(&hub);
    assert!(first.starts_with("v1.2.3+"), "{first}");
    world.write(CODE, MAIN.replace("* factor", "* 100"));
    // Not one from before and one from after.
    assert_eq!(run(&hub, &["CCO", "CCCC"]), ["300", "400"]);
    let second = version(&hub);
    assert_ne!(first, second);
    world.write(CODE, MAIN);
    hub.kill();
    let hub = world.hub();
    assert_eq!((run(&hub, &["CCCC", "CCO"]), version(&hub)), (vec!["4".into(), "3".into()], first));
}

#[test]
fn weights_of_the_same_length_and_time_are_another_version() {
    let world = world();
    let hub = world.hub();
    assert_eq!(run(&hub, &["CCO"]), ["3"]);
    let file = world.path(WEIGHTS);
    let modified = file.metadata().expect("it is there").modified().expect("a time");
    let file = File::options().write(true).open(&file).expect("it is there");
    file.write_all_at(b"2", 7).expect("it is written");
    file.set_times(FileTimes::new().set_modified(modified)).expect("its time is set");
    assert_eq!(run(&hub, &["CCO", "CCCC"]), ["6", "8"]);
    // Also when nothing asks: by the look of every few seconds.
    let second = version(&hub);
    file.write_all_at(b"3", 7).expect("it is written");
    until("the hub has seen it", || version(&hub) != second);
    assert_eq!(run(&hub, &["CCO"]), ["9"]);
}

#[test]
fn a_batch_whose_folder_changes_meanwhile_is_run_again() {
    let world = world();
    let hub = world.hub();
    world.write("models/wait", "");
    let running = hub.begin(&["run", "mf-changed", "--input", "slow", "--input", "C"]);
    until("it works", || world.path("models/works").exists());
    // It has read the old ones.
    world.write(WEIGHTS, "00000005");
    fs::remove_file(world.path("models/wait")).expect("it was there");
    let done = running.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let rows = cells(&text);
    assert!(done.status.success() && rows.len() == 3, "{text}\n{}", world.read("log"));
    assert_eq!((&*rows[1][1], &*rows[2][1]), ("20", "5"), "{text}");
    // Whether the instance or the hub saw it first, what the old one answered is thrown away.
    let log = world.read("log");
    assert!(log.contains("a job failed"), "{log}");
}

#[test]
fn a_folder_that_is_broken_for_a_moment_takes_nothing_away() {
    let world = world();
    let hub = world.hub();
    let first = version(&hub);
    world.write(&format!("{FOLDER}/metadata.yml"), "Input: [\n");
    until("the hub has seen it", || world.read("log").contains("this is not a model folder"));
    assert_eq!(version(&hub), first);
    let running = hub.begin(&["run", "mf-changed", "--input", "CCO"]);
    until("a start was refused", || world.read("log").contains("is not the one of version"));
    world.write(&format!("{FOLDER}/metadata.yml"), METADATA);
    let done = running.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{done:?}\n{}", world.read("log"));
    // A folder that comes is offered, and one that goes is not.
    world.model("lengths", "", "def predict(inputs): return [{'n': len(t)} for t in inputs]\n");
    until("it is there", || hub.muster(&["models", "lengths"]).code == 0);
    fs::remove_dir_all(world.path("models/lengths")).expect("it is removed");
    until("it is gone", || hub.muster(&["models", "lengths"]).code != 0);
}

#[test]
fn a_model_that_writes_into_its_folder_fails_and_is_told_why() {
    let world = world();
    world.write(
        CODE,
        format!("{MAIN}\nopen(os.path.dirname(sys.argv[3]) + '/log', 'a').write('x')\n"),
    );
    let hub = world.hub_with(&[], |hub| {
        hub.env("MUSTER_MODEL_WALLS", "false");
    });
    let failed = hub.muster(&["run", "mf-changed", "--input", "CCO"]);
    failed.fails(1, &["changed while it worked", "model/framework/log"]);
}

#[test]
fn a_model_that_writes_into_its_folder_with_each_start_is_not_started_for_ever() {
    let world = World::new(&[]);
    // The tests of this place may write there.
    let body =
        "open('starts', 'a').write('x')\ndef predict(inputs): return [{'n': 1} for _ in inputs]\n";
    world.model("restless", "[limits]\nstart_seconds = 3\n", body);
    let hub = world.hub();
    let failed = hub.muster(&["run", "restless", "--input", "a"]);
    failed.fails(1, &["could not be started", "is not the one of version"]);
    assert!(world.read("log").contains("does its model write there?"), "{}", world.read("log"));
}

/// Large files are read once, beside everything else; what waits for it says so.
#[test]
fn a_hub_serves_while_the_files_of_a_model_are_read() {
    let world = world();
    let weights = File::create(world.path(WEIGHTS)).expect("a file");
    weights.write_all_at(b"00000007", 0).expect("it is written");
    weights.set_len(6 << 30).expect("it is large");
    let small = format!("{FOLDER}/model/framework/other.bin");
    File::create(world.path(&small)).and_then(|it| it.set_len(1 << 20)).expect("a file");
    let mut hub = world.hub();
    assert!(hub.ready < Duration::from_secs(10), "it waited: {:?}", hub.ready);
    assert!(version(&hub).ends_with('+'), "{}", version(&hub));
    let running = hub.begin(&["run", "mf-changed", "--input", "CCO"]);
    let first = |hub: &Hub| {
        let list = hub.muster(&["requests", "--json"]);
        if list.code == 0 { list.json()["items"][0].clone() } else { Value::Null }
    };
    until("it says why it waits", || {
        first(&hub)["waiting_reason"] == "The model's files are being read."
    });
    end(running);
    // Nobody waits for it when the hub stops.
    let begun = Instant::now();
    hub.terminate();
    assert!(hub.until_ended().success());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    weights.set_len(1 << 30).expect("it is large");
    let mut hub = world.hub_after(&hub);
    until("it is done", || first(&hub)["phase"] == "completed");
    let known = version(&hub);
    assert!(!known.ends_with('+'), "{known}");
    hub.kill();
    let hub = world.hub();
    assert_eq!(version(&hub), known, "at once");
}
