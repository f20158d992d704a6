//! The commands as they are typed.

use serde_json::{Value, json};

use crate::support::{ENDLESS, LENGTHS, Output, World, cells, until};

const CARD: &str = "\
version = '1.0'
example = ['abc']
[card]
title = 'How long a text is'
licence = 'MIT'
task = 'Counting'
[resources]
cpu = 0.5
gpus = 0
[input]
name = 'text'
[[outputs]]
name = 'length'
kind = 'integer'
description = 'Characters'
unit = 'code points'
direction = 'high'
";

fn world() -> World {
    World::new(&[("lengths", CARD, LENGTHS)])
}

#[test]
fn models_are_listed_and_shown() {
    let world = world();
    let hub = world.hub();
    let table = hub.good(&["models"]).text;
    for word in [
        "id title task input state waiting p50",
        "lengths How long a text is Counting text cold 0 -",
    ] {
        let table = words_of(&table);
        assert!(table.contains(word), "{word}: {table}");
    }
    let list = hub.good(&["models", "--json"]).json();
    assert_eq!((&list["items"][0]["id"], &list["next"]), (&json!("lengths"), &Value::Null));
    let card = hub.good(&["models", "lengths"]).text;
    for word in [
        "Task Counting",
        "MIT",
        "An instance 0.5 cores",
        "column kind unit strong description",
        "length integer code points high Characters",
        "muster run lengths --input 'abc'",
        "at most 100,000 inputs",
    ] {
        let card = words_of(&card);
        assert!(card.contains(word), "{word}: {card}");
    }
    assert_eq!(
        hub.good(&["models", "lengths", "--json"]).json()["version"].as_str().map(|v| &v[..4]),
        Some("1.0+")
    );
    hub.muster(&["models", "nothing"]).fails(2, &["no such model"]);
    let empty = World::new(&[]);
    assert!(empty.hub().good(&["models"]).text.contains("no models"));
}

/// However wide the columns are.
fn words_of(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_file_comes_back_with_its_own_columns_beside_the_predictions() {
    let world = world();
    let hub = world.hub();
    let file = "name,text,note\n\"Smith, J\",abc,\nB,de,=1+1\n\u{e4},\"two\nlines\",x\n";
    world.write("in.csv", file);
    let run = hub.good(&["run", "lengths", "in.csv", "-o", "out.csv"]);
    assert!(run.error.contains("3 inputs in") && run.error.contains("-> out.csv"), "{run:?}");
    assert!(run.error.contains("inputs from column \"text\""), "{run:?}");
    let expected = "name,text,note,length\n\"Smith, J\",abc,,3\nB,de,=1+1,2\n\
                    \u{e4},\"two\nlines\",x,9\n";
    assert_eq!(world.read("out.csv"), expected);
    assert!(!world.path("out.csv.part").exists());
    // Without -o it is CSV on standard output, for the next program.
    assert_eq!(hub.good(&["run", "lengths", "in.csv", "--quiet"]).text, expected);
    let other = hub.good(&["run", "lengths", "in.csv", "--column", "name", "-q"]).text;
    assert!(other.starts_with("name,text,note,length\n\"Smith, J\",abc,,8\n"), "{other}");
}

#[test]
fn lines_names_and_standard_input_are_read_too() {
    let world = world();
    let hub = world.hub();
    world.write("in.txt", "abc\n\nde\n");
    let out = hub.good(&["run", "lengths", "in.txt", "-q"]).text;
    assert_eq!(out, "input,length\nabc,3\nde,2\n");
    world.write("in.smi", "CCO ethanol\nC methane\n");
    let out = hub.good(&["run", "lengths", "in.smi", "-q"]).text;
    assert_eq!(out, "input,name,length\nCCO,ethanol,3\nC,methane,1\n");
    world.write("bare.csv", "abc\nde\n");
    let out = hub.good(&["run", "lengths", "bare.csv", "--no-header"]);
    assert_eq!(cells(&out.text)[1..], [["abc", "3"], ["de", "2"]]);
    assert!(out.error.contains("the file has no header"), "{out:?}");
    let mut piped = hub.command(&["run", "lengths", "-", "-q"]);
    let file = std::fs::File::open(world.path("bare.csv")).expect("a file");
    let piped = Output::from(piped.stdin(file).output().expect("the binary"));
    assert_eq!(piped.code, 0, "{piped:?}");
    assert_eq!(cells(&piped.text).len(), 3, "{piped:?}");
}

#[test]
fn single_inputs_need_no_file() {
    let world = world();
    let hub = world.hub();
    let run = hub.good(&["run", "lengths", "--input", "abc", "--input", "a,b\"c"]);
    assert_eq!(run.text, "input,length\nabc,3\n\"a,b\"\"c\",5\n");
    let json = hub.good(&["run", "lengths", "--input", "abc", "--json"]).json();
    assert_eq!(json["phase"], "completed");
    assert_eq!(json["result"], json!([{"input": "abc", "length": 3}]));
    let to_file =
        hub.good(&["run", "lengths", "--input", "abc", "--json", "-o", "out.json"]).json();
    assert_eq!((to_file["done"].clone(), to_file.get("result")), (json!(1), None));
    assert_eq!(world.read("out.json").matches("\"length\":3").count(), 1);
}

#[test]
fn known_predictions_are_counted_and_can_be_done_without() {
    let world = world();
    let hub = world.hub();
    let run =
        |more: &[&str]| hub.good(&[&["run", "lengths", "--input", "abc"], more].concat()).error;
    assert!(!run(&[]).contains("known before"));
    assert!(run(&[]).contains("1 known before"));
    assert!(!run(&["--no-cache"]).contains("known before"));
}

#[test]
fn requests_are_called_something_and_found_by_it() {
    let world = world();
    let hub = world.hub();
    assert!(!hub.good(&["requests"]).text.contains("label"));
    world.write("in.csv", "name,text\nfirst,abc\n");
    hub.good(&["run", "lengths", "in.csv", "--label", "Plate 7", "-q"]);
    let input = ["run", "lengths", "--input", "de", "--label", "Other", "--json"];
    let other = hub.good(&input).json();
    let id = other["id"].as_str().expect("an id");
    assert_eq!(other["label"], "Other");
    let found = hub.good(&["requests", "--search", "plate"]).text;
    assert!(found.contains("Plate 7") && !found.contains("Other"), "{found}");
    let first = hub.good(&["requests", "--search", "plate", "--json"]).json();
    let first = first["items"][0]["id"].as_str().expect("an id");
    assert!(hub.good(&["label", id, "Plate 8"]).text.contains("Label      Plate 8"));
    assert!(hub.good(&["requests", "--search", "PLATE 8"]).text.contains(id));
    assert_eq!(hub.good(&["label", id, "--none", "--json"]).json()["label"], Value::Null);
    assert!(!hub.good(&["show", id]).text.contains("Label"));
    hub.muster(&["label", id]).fails(2, &["<LABEL>"]);
    hub.muster(&["label", id, "two\nlines"]).fails(2, &["label"]);
    // The same inputs once more, with all columns of their file.
    let again = hub.good(&["run", "lengths", "--inputs-of", first, "--label", "Again", "-q"]).text;
    assert_eq!(again, "name,text,length\nfirst,abc,3\n");
    hub.muster(&["run", "lengths", "--inputs-of", first, "--input", "x"])
        .fails(2, &["--inputs-of"]);
    let nobodys = "019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11";
    hub.muster(&["run", "lengths", "--inputs-of", nobodys]).fails(2, &["request"]);
}

#[test]
fn requests_are_listed_shown_cancelled_and_fetched() {
    let world = World::new(&[("lengths", CARD, LENGTHS), ("slow", "", ENDLESS)]);
    let hub = world.hub();
    assert_eq!(hub.good(&["requests"]).text, "no requests\n");
    let done = hub.good(&["run", "lengths", "--input", "abc", "--json"]).json();
    let done = done["id"].as_str().expect("an id");
    let mut slow = hub.command(&["run", "slow", "--input", "abc"]).spawn().expect("the binary");
    let mut running = Value::Null;
    until("it runs", || {
        let list = hub.good(&["requests", "--phase", "running", "--json"]).json();
        running = list["items"][0]["id"].clone();
        running.is_string()
    });
    let running = running.as_str().expect("an id");

    let table = hub.good(&["requests"]).text;
    assert!(table.contains(done) && table.contains(running), "{table}");
    assert!(hub.good(&["requests", "--limit", "1"]).text.contains("there are more"));
    assert!(!hub.good(&["requests", "--model", "lengths"]).text.contains(running));
    hub.muster(&["requests", "--phase", "nothing"]).fails(2, &["phase", "waiting, running"]);

    let shown = hub.good(&["show", done]).text;
    for word in ["completed", "1 input", &format!("muster result {done} -o out.csv")] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert_eq!(hub.good(&["show", done, "--json", "--wait", "1"]).json()["phase"], "completed");
    hub.muster(&["result", running]).fails(2, &["has not ended"]);

    let cancelled = hub.good(&["cancel", running, "--reason", "a wrong file", "--json"]).json();
    assert_eq!(cancelled["phase"], "cancelled");
    let shown = hub.good(&["show", running]).text;
    assert!(shown.contains("cancelled") && shown.contains("a wrong file"), "{shown}");
    assert_eq!(slow.wait().expect("it ends").code(), Some(1));
    assert_eq!(hub.good(&["cancel", running, "--json"]).json()["phase"], "cancelled");
    hub.muster(&["result", running]).fails(2, &["without a result"]);
    hub.good(&["run", "lengths", "--input", "the others go on"]);

    for verb in ["show", "cancel", "result"] {
        let unknown = "019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11";
        hub.muster(&[verb, unknown]).fails(2, &["no request with this id"]);
        assert_eq!(hub.muster(&[verb, "../models"]).code, 2);
        let json = hub.muster(&[verb, unknown, "--json"]);
        let problem: Value = serde_json::from_str(&json.error).expect("a problem document");
        assert_eq!((json.code, problem["type"].as_str()), (2, Some("/problems/not-found")));
    }
}

#[test]
fn a_key_makes_one_request_of_many_submissions() {
    let world = world();
    let hub = world.hub();
    let run = |input: &str| {
        hub.muster(&["run", "lengths", "--input", input, "--idempotency-key", "k", "--json"])
    };
    let (first, again) = (run("abc").json(), run("abc").json());
    assert_eq!(first["id"], again["id"]);
    run("other").fails(2, &["key-reused"]);
    assert_eq!(hub.good(&["requests", "--json"]).json()["items"].as_array().map(Vec::len), Some(1));
}

#[test]
fn sessions_are_kept_apart_and_found_again() {
    let world = world();
    let hub = world.hub();
    let done = hub.good(&["run", "lengths", "--input", "abc", "--json"]).json();
    let done = done["id"].as_str().expect("an id");
    hub.good(&["show", done]);
    let stranger = world.path("stranger");
    let mut command = hub.command(&["show", done]);
    command.env("XDG_CONFIG_HOME", &stranger);
    Output::of(command).fails(2, &["no request with this id"]);
    world.write(
        "home/.config/muster/credentials.json",
        format!("{{\"hubs\":{{\"{}\":{{\"token\":\"{}\"}}}}}}", hub.url(), "0".repeat(64)),
    );
    let renewed = hub.good(&["requests"]);
    assert!(renewed.error.contains("does not know the kept session"), "{renewed:?}");
}

#[test]
fn the_settings_and_where_they_come_from_are_shown() {
    let world = World::new(&[]);
    world.write("muster.toml", "max_instances = 3\n[database]\nurl = 'postgres://u:canary@db/m'\n");
    let arguments = ["config", "--config", "muster.toml", "--listen", "127.0.0.1:1"];
    let mut command = world.command(&arguments);
    let table = Output::of(std::mem::replace(&mut command, world.command(&arguments)));
    assert!(table.text.contains("muster.toml") && !table.text.contains("canary"), "{table:?}");
    command.arg("--json").env("MUSTER_LIMITS_INPUTS", "7");
    let json = Output::of(command).json();
    assert_eq!(json["listen"], json!({"value": "127.0.0.1:1", "from": "--listen"}));
    assert_eq!(json["limits.inputs"], json!({"value": "7", "from": "MUSTER_LIMITS_INPUTS"}));
    assert_eq!(json["max_instances"], json!({"value": "3", "from": "muster.toml"}));
    assert_eq!(json["metrics"], json!({"value": null, "from": null}));
    world.muster(&["config", "--listen", "nowhere"]).fails(2, &["listen", "nowhere"]);
}

#[test]
fn the_description_of_the_api_is_that_of_the_hub() {
    let world = world();
    let printed = world.muster(&["openapi"]).json();
    assert!(printed["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert!(printed["paths"]["/api/v1/requests"]["post"].is_object());
    let models = world.muster(&["openapi"]).text;
    assert_eq!(models, world.muster(&["openapi"]).text);
}

#[test]
fn every_command_explains_itself_with_examples_and_completes() {
    let world = World::new(&[]);
    let help = world.muster(&["--help"]);
    assert!(help.code == 0 && help.text.contains("Exit codes: 0 done"), "{help:?}");
    let commands = [
        &["serve"][..],
        &["models"],
        &["run"],
        &["requests"],
        &["show"],
        &["cancel"],
        &["result"],
        &["model-server"],
        &["model", "check"],
        &["model", "prepare"],
        &["config"],
        &["completions"],
    ];
    for command in commands {
        let help = world.muster(&[command, &["--help"]].concat());
        assert_eq!(help.code, 0);
        let example = format!("Examples:\n  muster {}", command.join(" "));
        assert!(help.text.contains(&example), "{command:?}: {}", help.text);
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = world.muster(&["completions", shell]);
        assert!(script.code == 0 && script.text.contains("requests"), "{shell}");
    }
    assert!(world.muster(&["--version"]).text.starts_with("muster 0."));
}
