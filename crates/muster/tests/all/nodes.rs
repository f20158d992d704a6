//! The machine as a node, and what is planned, on the command line. brief: NS-1, NS-5

use std::process::Command;

use serde_json::{Value, json};

use crate::cluster;
use crate::support::{Hub, Output, PASSWORD, World, until};

const LENGTHS: &str = "def predict(inputs): return [{'length': len(text)} for text in inputs]\n";

fn world() -> World {
    World::new(&[("lengths", "[resources]\ncpu = 0.5\nmemory_mib = 200\n", LENGTHS)])
}

fn admin<'w>(world: &'w World) -> Hub<'w> {
    assert_eq!(world.create_admin("root").code, 0);
    let hub = world.hub_with(&[], |command| {
        command.env("MUSTER_LOCAL_NODE", "lab1").env("MUSTER_LOCAL_LABELS", "zone=a");
    });
    hub.good(&["login", "root", "--password-file", "password"]);
    hub
}

#[test]
fn the_machine_is_a_node_with_what_runs_on_it() {
    let world = world();
    let hub = admin(&world);
    assert_eq!(
        hub.good(&["run", "lengths", "--input", "abc", "--quiet"]).text,
        "input,length\nabc,3\n"
    );
    let nodes = hub.good(&["nodes", "--json"]).json();
    let node = &nodes["items"][0];
    assert_eq!((&node["id"], &node["labels"]), (&json!("lab1"), &json!({"zone": "a"})));
    let instance = &node["instances"][0];
    assert_eq!((&instance["model"], &instance["asked"]["cpu"]), (&json!("lengths"), &json!(0.5)));
    assert_eq!(instance["asked"]["memory"], 200 << 20);
    assert_eq!(node["servers"].as_array().map(Vec::len), Some(1));

    let table = hub.good(&["nodes"]).text;
    assert!(table.contains("lab1") && table.contains("ready"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    assert_eq!(hub.good(&["nodes", "--stage", "booting"]).text, "no nodes\n");
    assert_eq!(hub.good(&["nodes", "groups"]).text, "no groups\n");

    let text = hub.good(&["nodes", "explain", "lab1"]).text;
    for words in ["It takes instances.", "zone=a", "0.5 cores, 200.0 MiB of memory", "Without lab1"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let both = hub.good(&["nodes", "explain", "lab1", "--json"]).json();
    assert_eq!(both["node"]["id"], "lab1");
    assert_eq!(both["without"]["words"]["mode"], "delegate");
}

#[test]
fn a_plan_is_saved_and_made_again_without_a_hub() {
    let world = world();
    let hub = admin(&world);
    hub.good(&["run", "lengths", "--input", "abc", "--quiet"]);
    let said = hub.good(&["plan", "--json"]);
    let saved = said.json();
    let now = saved["now"].as_str().expect("a time");
    assert_eq!(saved["world"]["nodes"][0]["id"], "lab1");
    world.write("world.json", &said.text);
    let text = hub.good(&["plan"]).text;
    assert!(text.contains("nodes are left to somebody else"), "{text}");
    drop(hub);
    let again = world.muster(&["plan", "--world", "world.json", "--json"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!((&again.json()["plan"], &again.json()["words"]), (&saved["plan"], &saved["words"]));
    let text = world.muster(&["plan", "--world", "world.json"]).text;
    assert!(text.contains(now), "{text}");
    // A question about it.
    let then = world.muster(&["plan", "--world", "world.json", "--without", "lab1", "--json"]);
    assert_eq!(then.json()["world"]["nodes"], json!([]));
    let text = world.muster(&["plan", "--world", "world.json", "--without", "lab1"]).text;
    assert!(text.starts_with("If lab1 were not there:\n"), "{text}");
    world
        .muster(&["plan", "--world", "world.json", "--without", "lab2"])
        .fails(2, &["There is no node lab2. The nodes are lab1."]);
    world
        .muster(&["plan", "--world", "world.json", "--with", "gpus=1"])
        .fails(2, &["There is no group gpus. There are no groups at all."]);
    world.muster(&["plan", "--world", "nothing.json"]).fails(2, &["nothing.json cannot be read"]);
    world.write("bad.json", "{\"world\": {\"nodez\": []}, \"now\": \"2026-01-01T00:00:00Z\"}");
    world.muster(&["plan", "--world", "bad.json"]).fails(2, &["bad.json", "nodez"]);
    world.muster(&["plan", "--with", "gpus"]).fails(2, &["GROUP=N"]);
}

/// A group that is at its maximum, from the files of the plan's own tests.
#[test]
fn a_plan_of_a_file_says_what_it_does_and_why_no_more() {
    let world = world();
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/scenarios");
    let plan = |file: &str, more: &[&str]| {
        let path = format!("{files}/{file}.json");
        let output = world.muster(&[&["plan", "--world", &path], more].concat());
        assert_eq!(output.code, 0, "{output:?}");
        output.text
    };
    let full = plan("up_a_group_at_its_maximum", &[]);
    assert!(full.contains("\nWaits\n"), "{full}");
    let node: Value =
        serde_json::from_str(&plan("up_a_group_at_its_maximum", &["--json"])).expect("JSON");
    let group = node["world"]["groups"][0]["id"].as_str().expect("a group");
    let more = plan("up_a_group_at_its_maximum", &["--with", &format!("{group}=1")]);
    assert!(more.contains("\n+ Launch an instance of "), "{more}");
    let kept = plan("down_an_almost_empty_node_is_emptied", &[]);
    assert!(kept.contains("  Cordon n1: what is on it has room elsewhere.\n"), "{kept}");
    assert!(kept.contains("\nStays\n  n2: More than half of it is used.\n"), "{kept}");
}

#[test]
fn nodes_and_plans_are_for_administrators() {
    let world = world();
    let hub = admin(&world);
    hub.good(&["logout"]);
    for command in [&["nodes"][..], &["nodes", "explain", "lab1"], &["nodes", "groups"], &["plan"]]
    {
        hub.muster(command).fails(2, &["may not do this"]);
    }
    hub.good(&["login", "root", "--password-file", "password"]);
    hub.muster(&["nodes", "explain", "lab2"])
        .fails(2, &["There is no node lab2. The nodes are lab1."]);
    hub.muster(&["nodes", "explain", "a/../b"]).fails(2, &["There is no node a/../b."]);
    hub.muster(&["plan", "--without", "lab2"]).fails(2, &["There is no node lab2."]);
    hub.muster(&["nodes", "--stage", "broken"]).fails(2, &["booting, ready"]);
    hub.muster(&["nodes", "--group", "gpus"])
        .fails(2, &["There is no group gpus. There are no groups at all."]);
}

/// What waits for a cordoned machine reads so, and runs when it is uncordoned; a drained one is empty soon.
#[test]
fn a_machine_is_cordoned_and_drained_by_an_administrator() {
    let world = world();
    let hub = admin(&world);
    let said = hub.good(&["nodes", "cordon", "lab1", "--reason", "It gets a new disk."]).text;
    assert_eq!(said, "lab1: It gets nothing new, and no instance is there.\n");
    let again = hub.good(&["nodes", "cordon", "lab1", "--reason", "It gets a new disk."]).text;
    assert!(again.contains("It was so already."), "{again}");
    until("it is seen", || {
        hub.good(&["nodes", "--json"]).json()["items"][0]["stage"]["name"] == "cordoned"
    });
    let run = hub.begin(&["run", "lengths", "--input", "abc", "--quiet"]);
    until("it waits for the node", || {
        let requests = hub.good(&["requests", "--json"]).json();
        let why = requests["items"][0]["waiting_reason"].as_str().unwrap_or_default().to_owned();
        why.contains("the node is cordoned")
    });
    hub.good(&["nodes", "uncordon", "lab1"]);
    let output = Output::from(run.wait_with_output().expect("it ends"));
    assert_eq!((output.code, output.text.as_str()), (0, "input,length\nabc,3\n"), "{output:?}");
    let on_it =
        || hub.good(&["nodes", "--json"]).json()["items"][0]["instances"].as_array().map(Vec::len);
    until("its instance is seen", || on_it() == Some(1));
    let said = hub.good(&["nodes", "drain", "lab1", "--json"]).json();
    assert_eq!((&said["mark"], &said["changed"]), (&json!("drained"), &json!(true)));
    until("it is empty", || on_it() == Some(0));
    let text = hub.good(&["nodes", "explain", "lab1"]).text;
    assert!(text.contains("It is drained"), "{text}");
    let audit = hub.good(&["admin", "audit", "--json"]).json().to_string();
    assert!(audit.contains("lab1: It gets a new disk."), "{audit}");
}

/// Whichever hub is asked, it shows the machines of both, as the one that plans sees them.
#[test]
fn each_of_two_hubs_shows_both_machines() {
    let url = cluster::shared().url("postgres");
    let schema = format!("t{}", muster_store::Clock::system().id().simple());
    let (one, two) = (world(), world());
    let fill = |command: &mut Command, node: &str| {
        command.env("MUSTER_DATABASE_URL", &url).env("MUSTER_DATABASE_SCHEMA", &schema);
        command.env("MUSTER_LOCAL_NODE", node);
    };
    assert_eq!(one.create_admin_with("root", |command| fill(command, "lab1")).code, 0);
    two.write("password", PASSWORD);
    let first = one.hub_with(&[], |command| fill(command, "lab1"));
    let second = two.hub_with(&[], |command| fill(command, "lab2"));
    for hub in [&first, &second] {
        hub.good(&["login", "root", "--password-file", "password"]);
    }
    let nodes = |hub: &Hub| hub.good(&["nodes", "--json"]).json()["items"].clone();
    let names = |nodes: &Value| -> Vec<String> {
        let all = nodes.as_array().expect("items").iter();
        all.map(|node| node["id"].as_str().expect("a name").to_owned()).collect()
    };
    for hub in [&first, &second] {
        until("both are seen", || names(&nodes(hub)) == ["lab1", "lab2"]);
        assert_eq!(
            hub.good(&["plan", "--json"]).json()["world"]["nodes"].as_array().map(Vec::len),
            Some(2)
        );
    }
    let servers = |nodes: &Value, n: usize| nodes[n]["servers"][0].clone();
    let seen = [nodes(&first), nodes(&second)];
    for n in [0, 1] {
        assert_eq!(servers(&seen[0], n), servers(&seen[1], n));
    }
    assert_ne!(servers(&seen[0], 0), servers(&seen[0], 1));
    // What is said at one of them holds on both.
    second.good(&["nodes", "cordon", "lab1"]);
    let stage = |hub: &Hub| nodes(hub)[0]["stage"]["name"].clone();
    until("it is cordoned", || stage(&first) == "cordoned" && stage(&second) == "cordoned");
}
