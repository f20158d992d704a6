//! Exit codes, as scripts rely on them.

use crate::support::{LENGTHS, MUSTER, Output, World, cells};

const SOME: &str = "\
def predict(inputs):
    return [{'error': 'bad is bad'} if t == 'bad' else {'length': len(t)} for t in inputs]
";

#[test]
fn all_rows_with_predictions_are_0_some_are_3_and_the_output_has_all() {
    let world = World::new(&[("some", "", SOME)]);
    let hub = world.hub();
    world.write("good.csv", "input\na\nbb\n");
    hub.good(&["run", "some", "good.csv", "-o", "out.csv"]);
    world.write("some.csv", "n,input\n1,a\n2,bad\n3,ccc\n");
    let run = hub.muster(&["run", "some", "some.csv", "-o", "out.csv"]);
    run.fails(3, &["1 failed"]);
    let rows = cells(&world.read("out.csv"));
    assert_eq!(rows[0], ["n", "input", "length", "error"]);
    assert_eq!(
        rows[1..],
        [["1", "a", "1", ""], ["2", "bad", "", "bad is bad"], ["3", "ccc", "3", ""]]
    );
    let json = hub.muster(&["run", "some", "--input", "bad", "--json"]);
    assert_eq!((json.code, json.json()["failed"].as_u64()), (3, Some(1)));
    assert_eq!(json.json()["result"][0]["error"], "bad is bad");
}

#[test]
fn a_request_that_failed_is_1_with_its_reason() {
    let body = "def predict(inputs): raise ValueError('no weights')\n";
    let world = World::new(&[("broken", "[limits]\nmax_attempts = 1\n", body)]);
    let hub = world.hub();
    let run = hub.muster(&["run", "broken", "--input", "a", "-o", "out.csv"]);
    run.fails(1, &["failed", "ValueError: no weights"]);
    assert!(!world.path("out.csv").exists() && !world.path("out.csv.part").exists());
    let json = hub.muster(&["run", "broken", "--input", "a", "--json"]);
    assert_eq!(json.code, 1);
    let request: serde_json::Value = serde_json::from_str(&json.error).expect("the request");
    assert_eq!(request["phase"], "failed");
}

#[test]
fn bad_usage_is_2() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let hub = world.hub();
    for arguments in [
        &[][..],
        &["nothing"],
        &["run"],
        &["run", "lengths"],
        &["run", "lengths", "in.csv", "--input", "a"],
        &["run", "lengths", "--input", "a", "--format", "xml"],
        &["run", "lengths", "--input", "a", "--format", "csv", "--json"],
        &["show"],
        &["requests", "--limit", "many"],
        &["--hub", "ftp://x", "models"],
        &["model-server", "models/lengths", "--listen", "nowhere"],
    ] {
        let output = hub.muster(arguments);
        assert_eq!(output.code, 2, "{arguments:?}: {output:?}");
        assert!(!output.error.is_empty(), "{arguments:?}");
    }
    hub.muster(&["run", "lengths", "no-such-file.csv"]).fails(2, &["no-such-file.csv"]);
    hub.muster(&["run", "lengths", "models"]).fails(2, &["models is a folder"]);
    hub.muster(&["run", "lengths", "--input", "a", "-o", "models"]).fails(2, &["is a folder"]);
    hub.muster(&["run", "length", "--input", "a"])
        .fails(2, &["no model \"length\"", "This hub has lengths."]);
}

#[test]
fn a_hub_that_cannot_be_reached_is_4_and_one_is_told_what_to_do() {
    let world = World::new(&[]);
    world.write("in.csv", "input\na\n");
    for arguments in [
        &["models"][..],
        &["run", "lengths", "in.csv"],
        &["requests"],
        &["show", "x"],
        &["cancel", "x"],
        &["result", "x"],
    ] {
        let all = [&["--hub", "http://127.0.0.1:9"], arguments].concat();
        world.muster(&all).fails(4, &["cannot be reached", "muster serve", "--hub"]);
    }
    let mut command = world.command(&["models"]);
    command.env("MUSTER_HUB", "http://no-such-host.invalid");
    Output::of(command).fails(4, &["no-such-host.invalid"]);
}

#[test]
fn a_server_that_is_no_hub_is_said_to_be_none() {
    let world = World::new(&[]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::{Read, Write};
            let mut stream = stream.expect("a connection");
            assert!(stream.read(&mut [0; 4096]).expect("a request") > 0);
            let answer =
                "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>";
            stream.write_all(answer.as_bytes()).expect("it reads");
        }
    });
    world.muster(&["--hub", &address, "models"]).fails(1, &["not from a Muster hub", "--hub"]);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let hub = world.hub();
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    world.write("in.txt", lines);
    let script = format!("set -o pipefail; {MUSTER} run lengths in.txt -q | head -n 2");
    let mut command = std::process::Command::new("bash");
    command.args(["-c", &script]).current_dir(world.path(".")).env("MUSTER_HUB", hub.url());
    command.env("HOME", world.path("home"));
    let output = Output::of(command);
    assert_eq!((output.code, output.text.as_str()), (0, "input,length\n0,1\n"), "{output:?}");
}
