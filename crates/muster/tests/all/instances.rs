//! Instances of real models, seen and stopped by an administrator. brief: IN-1, IN-2, IN-3, IN-5

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Hub, Output, World, cells, exists, until};

/// Says what it is asked, without saying it; works until it is let go if it is asked to wait.
const WAITS: &str = "\
import os, sys, time
def predict(inputs):
    print('asked for', len(inputs), file=sys.stderr, flush=True)
    open('../begun', 'w').close()
    while 'wait' in inputs and not os.path.exists('../go'): time.sleep(0.01)
    return [{'length': len(text)} for text in inputs]
";

fn world() -> World {
    World::new(&[("waits", "cache = false\n", WAITS)])
}

/// As the administrator, whose folder is the usual one; other commands get a home of their own.
fn admin<'w>(world: &'w World) -> Hub<'w> {
    assert_eq!(world.create_admin("root").code, 0);
    let hub = world.hub();
    hub.good(&["login", "root", "--password-file", "password"]);
    hub
}

fn instances(hub: &Hub, arguments: &[&str]) -> Vec<Value> {
    let list = hub.good(&[&["instances", "--json"], arguments].concat()).json();
    list["items"].as_array().expect("items").clone()
}

fn id(it: &Value) -> String {
    it["id"].as_str().expect("an id").to_owned()
}

fn show(hub: &Hub, id: &str) -> Value {
    hub.good(&["instance", "show", id, "--json"]).json()
}

fn until_ended(hub: &Hub, id: &str) -> Value {
    until("it has ended", || !show(hub, id)["end"].is_null());
    show(hub, id)
}

fn kinds(hub: &Hub, id: &str) -> Vec<String> {
    let events = hub.good(&["instance", "events", id, "--json"]).json();
    let items = events["items"].as_array().expect("items");
    items.iter().map(|event| event["kind"].as_str().expect("a word").to_owned()).collect()
}

/// Stops the instance that works on a request; what became of both.
fn stopped(work: &str) -> (World, Output, Value) {
    let world = world();
    let hub = admin(&world);
    let run = hub.begin(&["run", "waits", "--input", "wait", "--quiet"]);
    until("it works", || exists(&world.path("models/begun")));
    let it = instances(&hub, &["--model", "waits", "--status", "ready"]).remove(0);
    let request = hub.good(&["requests", "--json"]).json()["items"][0]["id"].clone();
    assert_eq!(it["requests"], json!([request]));
    assert!(instances(&hub, &["--model", "other"]).is_empty());
    let reason = ["--reason", "It leaks.", "--work", work];
    let said = hub.good(&[&["instance", "stop", &id(&it)], &reason[..]].concat());
    assert!(said.text.contains("is about to stop") || said.text.contains("has ended"), "{said:?}");
    if work != "fail" {
        world.write("models/go", "");
    }
    let output = Output::from(run.wait_with_output().expect("it ends"));
    let ended = until_ended(&hub, &id(&it));
    assert_eq!((&ended["end"]["cause"], &ended["state"]), (&json!("stopped"), &json!("ended")));
    assert_eq!(ended["stop"]["reason"], "It leaks.");
    let kinds = kinds(&hub, &id(&it));
    for kind in ["launched", "ready", "job_sent", "stop_asked", "stopped"] {
        assert!(kinds.contains(&kind.to_owned()), "{kind} in {kinds:?}");
    }
    let history = instances(&hub, &["--ended"]);
    assert!(history.iter().any(|old| old["id"] == it["id"]), "{history:?}");
    let again = hub.good(&["instance", "stop", &id(&it), "--work", "fail"]);
    assert!(
        again.text.contains("it has ended: stopped by an administrator: It leaks."),
        "{again:?}"
    );
    let log = hub.good(&["instance", "logs", &id(&it)]).text;
    assert!(log.contains("asked for 1\n"), "{log}");
    drop(hub);
    world.until_no_model_process();
    (world, output, ended)
}

#[test]
fn the_work_of_a_stopped_instance_is_done_by_another_one() {
    let (_, output, _) = stopped("requeue");
    assert_eq!((output.code, output.text.as_str()), (0, "input,length\nwait,4\n"), "{output:?}");
}

#[test]
fn the_work_of_a_stopped_instance_fails_with_the_reason() {
    let (_, output, _) = stopped("fail");
    output.fails(1, &["An administrator stopped the model", "It leaks."]);
}

#[test]
fn the_work_of_a_stopped_instance_is_finished_first() {
    let (_, output, ended) = stopped("drain");
    assert_eq!((output.code, output.text.as_str()), (0, "input,length\nwait,4\n"), "{output:?}");
    assert_eq!(ended["jobs"], 1);
}

#[test]
fn a_model_that_is_killed_shows_as_exited_with_its_signal() {
    let world = world();
    let hub = admin(&world);
    hub.good(&["run", "waits", "--input", "abc", "-o", "out.csv"]);
    let it = id(&instances(&hub, &[])[0]);
    until("what it uses is known", || !show(&hub, &it)["resources"].is_null());
    let one = show(&hub, &it);
    assert!(one["resources"]["memory"]["peak"].as_f64().expect("a number") > 1e6, "{one}");
    assert!(one["node"].is_string() && one["idle_share"].is_number(), "{one}");
    let follow = hub.begin(&["instance", "logs", &it, "--follow"]);
    for (pid, _) in world.model_processes() {
        // One may be gone with another.
        kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).unwrap_or_default();
    }
    let ended = until_ended(&hub, &it);
    assert_eq!(
        (&ended["end"]["cause"], &ended["end"]["signal"]),
        (&json!("exited"), &json!(9)),
        "{ended}"
    );
    assert_eq!(kinds(&hub, &it)[0], "exited");
    let followed = Output::from(follow.wait_with_output().expect("it ends with its instance"));
    assert_eq!(followed.code, 0, "{followed:?}");
    assert!(followed.text.contains("asked for 1\n"), "{followed:?}");
    assert_eq!(hub.good(&["instance", "logs", &it]).text, followed.text);
    let shown = hub.good(&["instance", "show", &it]).text;
    assert!(shown.contains("its process was killed by signal 9"), "{shown}");
    assert!(hub.good(&["instances", "--ended"]).text.contains("killed by signal 9"));
    until("its log is where it stays", || exists(&world.path("data/objects/logs").join(&it)));
    // The first one asked for a quarter of its limit, the next one for what was measured, and a quarter.
    assert_eq!(ended["asked"]["memory"], json!(1u64 << 30), "{ended}");
    hub.good(&["run", "waits", "--input", "defg", "-o", "out.csv"]);
    let peak = ended["resources"]["memory"]["peak"].as_f64().expect("a number") as u64;
    let next = instances(&hub, &[]).remove(0);
    assert_eq!(next["asked"]["memory"], json!(peak + peak.div_ceil(4)), "{next} {ended}");
    let shown = hub.good(&["instance", "show", &id(&next)]).text;
    assert!(shown.contains("Asks for     0.1 cores, "), "{shown}");
}

/// The wish is stored: a hub that is killed before the end comes back to an instance that is gone.
#[test]
fn a_killed_hub_has_not_forgotten_what_was_to_stop() {
    let world = world();
    let mut hub = admin(&world);
    let run = hub.begin(&["run", "waits", "--input", "wait", "--quiet"]);
    until("it works", || exists(&world.path("models/begun")));
    let it = id(&instances(&hub, &[])[0]);
    let slow = ["--work", "drain", "--grace-seconds", "600", "--reason", "It leaks."];
    hub.good(&[&["instance", "stop", &it], &slow[..]].concat());
    assert_eq!(show(&hub, &it)["state"], "draining");
    let noted = |hub: &Hub| hub.good(&["instance", "logs", &it]).text.contains("asked for");
    until("it is noted what it wrote", || noted(&hub));
    hub.kill();
    world.write("models/go", "");
    let hub = world.hub_after(&hub);
    let ended = until_ended(&hub, &it);
    assert_eq!(
        (&ended["end"]["cause"], &ended["stop"]["reason"]),
        (&json!("server_gone"), &json!("It leaks."))
    );
    let output = Output::from(run.wait_with_output().expect("it ends"));
    assert_eq!((output.code, output.text.as_str()), (0, "input,length\nwait,4\n"), "{output:?}");
    assert!(noted(&hub), "what was noted stays");
}

#[test]
fn instances_are_for_administrators() {
    let world = world();
    let hub = world.hub();
    for arguments in [&["instances"][..], &["instance", "show", "x"], &["instance", "stop", "x"]] {
        hub.muster(arguments).fails(2, &["You may not do this"]);
    }
}

/// Holds a lock as long as its process lives, as a program does a GPU.
const HOLDS_THE_GPU: &str = "\
import fcntl, os
os.umask(0)
lock = os.open('../gpu', os.O_CREAT | os.O_RDWR, 0o666)
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
def predict(inputs):
    return [{'sees': os.environ['CUDA_VISIBLE_DEVICES'], 'by': os.environ['CUDA_DEVICE_ORDER']} for text in inputs]
";

/// Two models with a GPU each on a machine with one: never both at once, and each sees it. brief: NS-2
#[test]
fn two_models_take_turns_on_the_only_gpu() {
    let settings = "cache = false\n[resources]\ngpus = 1\n";
    let models = [("dock", settings, HOLDS_THE_GPU), ("fold", settings, HOLDS_THE_GPU)];
    let world = World::new(&models);
    let smi = "#!/bin/sh\ncase $1 in\n-L | --query-compute-apps*) ;;\n*) echo '0, GPU-7, NVIDIA H100, 81559 MiB' ;;\nesac\n";
    world.write("bin/nvidia-smi", smi);
    fs::set_permissions(world.path("bin/nvidia-smi"), fs::Permissions::from_mode(0o755))
        .expect("its mode");
    assert_eq!(world.create_admin("root").code, 0);
    let stub = format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display());
    let hub = world.hub_with(&[], |command| {
        command.env("PATH", &stub);
    });
    hub.good(&["login", "root", "--password-file", "password"]);
    for model in ["dock", "fold", "dock"] {
        let output = hub.good(&["run", model, "--input", "a", "--quiet"]);
        assert_eq!(cells(&output.text)[1][1..3], ["GPU-7", "PCI_BUS_ID"], "{output:?}");
    }
    let ended = instances(&hub, &["--ended", "--cause", "retired"]);
    assert_eq!(ended.len(), 2, "each gave way to the next one: {ended:?}");
    let all = [ended, instances(&hub, &[])].concat();
    assert_eq!(all.len(), 3, "{all:?}");
    for it in &all {
        let shown = show(&hub, &id(it));
        assert_eq!(shown["devices"], json!(["GPU-7"]), "{shown}");
        assert_eq!(shown["asked"]["named"], json!({"nvidia.com/gpu": 1}), "{shown}");
    }
}
