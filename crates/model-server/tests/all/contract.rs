//! Every route of the contract: what published images serve, and what Muster adds.

use serde_json::json;

use crate::support::{Folder, INSTANCE, PATIENCE};
use muster_model_server::{Limits, ServeError, State};

const LENGTHS: &str = "\
def predict(inputs):
    return [{'length': len(text), 'text': text.upper(), 'half': len(text) / 2} for text in inputs]
";

const CARD: &str = "\
id = 'lengths'
version = '1.2.3'
[card]
title = 'Lengths'
description = 'How long texts are.'
licence = 'Apache-2.0'
tags = ['text']
[input]
name = 'text'
[[outputs]]
name = 'length'
kind = 'integer'
[[outputs]]
name = 'text'
kind = 'string'
[[outputs]]
name = 'half'
kind = 'float'
";

fn lengths() -> Folder {
    Folder::python(LENGTHS, CARD)
}

#[tokio::test]
async fn a_run_answers_one_record_an_input_in_order() {
    let server = lengths().serve().await;
    let expected = json!([
        {"length": 3, "text": "ABC", "half": 1.5},
        {"length": 0, "text": "", "half": 0.0},
        {"length": 2, "text": "\u{c4}\"", "half": 1.0},
    ]);
    assert_eq!(server.run(&["abc", "", "\u{e4}\""]).await, expected);
    assert_eq!(server.run(&[]).await, json!([]));
    let keyed = json!([{"key": "k", "input": "abc"}, {"input": "ab", "key": null}]);
    let query = "/run?orient=records&fetch_cache=true&min_workers=1&output_type=simple";
    let answer = server.post(query, keyed).await;
    assert_eq!((answer.status, answer.json()[1]["text"].clone()), (200, json!("AB")));
}

#[tokio::test]
async fn what_is_no_list_of_inputs_is_refused_with_what_it_has_to_be() {
    let server = lengths().serve().await;
    let bodies = [json!({}), json!("CCO"), json!([1]), json!([["CCO"]]), json!([{"key": "a"}])];
    for body in bodies {
        for path in ["/run", "/job/submit"] {
            let answer = server.post(path, body.clone()).await;
            assert_eq!(answer.status, 422, "{body}");
            assert!(answer.detail().contains("a JSON array of texts"), "{}", answer.text());
        }
    }
    for body in ["", "[\"CCO\"", "CCO", "\u{0}"] {
        let answer = server.send("/run", |post| post.body(body)).await;
        assert_eq!(answer.status, 422, "{body:?}");
    }
    let wrong = server.send("/run", |post| post.body(vec![b'[', b'"', 0xff, b'"', b']'])).await;
    assert_eq!(wrong.status, 422);
}

#[tokio::test]
async fn a_limit_that_is_hit_is_named() {
    let limits = Limits { body_bytes: 1 << 20, inputs: 3, ..Limits::default() };
    let server = lengths().serve_with(limits).await;
    let large = server.post("/run", json!(["x".repeat(2 << 20)])).await;
    assert_eq!((large.status, large.detail().contains("1 MiB")), (413, true), "{}", large.text());
    let many = server.post("/job/submit", json!(["a", "b", "c", "d"])).await;
    assert_eq!((many.status, many.detail().contains("3 inputs")), (413, true), "{}", many.text());
    assert_eq!(server.run(&["a", "b", "c"]).await.as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn unknown_paths_jobs_and_fields_are_not_found() {
    let server = lengths().serve().await;
    for path in ["/nothing", "/card/Nothing", "/card/Publication", "/run/columns/x"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.detail().is_empty()), (404, false), "{path}");
    }
    for path in ["/job/status/x", "/job/result/x", &format!("/job/status/{INSTANCE}?wait=1")] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.json()), (404, json!({"detail": "Job not found"})));
    }
    assert_eq!(server.post("/job/x/cancel", json!(null)).await.status, 404);
    let method = server.get("/run").await;
    assert_eq!((method.status, method.detail().is_empty()), (405, false));
    let parameter = server.get("/job/status/x?wait=soon").await;
    assert_eq!((parameter.status, parameter.detail().is_empty()), (422, false));
}

#[tokio::test]
async fn the_card_the_columns_and_the_examples_are_served() {
    let server = lengths().serve().await;
    let card = server.get("/card").await.json();
    assert_eq!(card["Identifier"], "lengths");
    assert_eq!(card["Title"], "Lengths");
    assert_eq!(card["License"], "Apache-2.0");
    assert_eq!(server.get("/card/Title").await.json(), json!({"Title": "Lengths"}));
    assert_eq!(server.get("/card/Tag").await.json(), json!({"Tag": ["text"]}));
    assert_eq!(server.get("/run/columns/input").await.json(), json!(["text"]));
    assert_eq!(server.get("/run/columns/output").await.json(), json!(["length", "text", "half"]));
    assert_eq!(server.get("/run/example/input").await.json(), json!(["a", "bb"]));
    assert_eq!(server.get("/run/example/output").await.json()[1]["length"], 2);
    let status = server.get("/models/status").await.json();
    assert_eq!(status[0]["modelName"], "lengths");
    let version = status[0]["modelVersion"].as_str().expect("a version");
    assert!(version.starts_with("1.2.3+"), "{version}");
}

#[tokio::test]
async fn every_answer_proves_which_instance_gave_it() {
    let server = lengths().serve().await;
    for path in ["/healthz", "/nothing", "/card", "/livez"] {
        assert_eq!(server.get(path).await.headers["muster-instance"], INSTANCE, "{path}");
    }
}

#[tokio::test]
async fn health_logs_and_metrics_say_how_it_goes() {
    let body = format!("import sys\nprint('loaded', file=sys.stderr)\n{LENGTHS}");
    let server = Folder::python(&body, "").serve().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/livez").await.status, 200);
    assert!(server.get("/logs").await.text().contains("loaded"));
    server.run(&["a", "b"]).await;
    let metrics = server.get("/metrics").await.text();
    assert!(metrics.contains("model_calls_total 1\n"), "{metrics}");
    assert!(metrics.contains("model_inputs_total 2\n"), "{metrics}");
    assert!(metrics.contains("model_failed_calls_total 0\n"), "{metrics}");
}

#[tokio::test]
async fn while_a_model_loads_it_is_alive_and_not_ready() {
    let gate = "import os, time\nwhile not os.path.exists('../go'): time.sleep(0.01)\n";
    let folder = Folder::python(&format!("{gate}{LENGTHS}"), "");
    let (mut server, mut states) = folder.begin(Limits::default());
    let loading = State::Starting("loading the model".to_owned());
    let loads = states.wait_for(|state| *state == loading);
    tokio::time::timeout(PATIENCE, loads).await.expect("in time").expect("it loads");
    let address = std::fs::read_to_string(folder.beside("port")).expect("it is bound already");
    server.url = format!("http://{}", address.trim());
    assert_eq!(server.get("/livez").await.status, 200);
    let early = server.post("/run", json!(["a"])).await;
    assert_eq!((early.status, early.headers["retry-after"].as_bytes()), (503, &b"1"[..]));
    assert_eq!(server.get("/healthz").await.status, 503);
    folder.write("../go", "");
    let ready = states.wait_for(|state| matches!(state, State::Ready(_)));
    tokio::time::timeout(PATIENCE, ready).await.expect("in time").expect("it is ready");
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.run(&["a"]).await[0]["length"], 1);
}

#[tokio::test]
async fn a_server_can_be_stopped_while_its_model_loads() {
    let folder = Folder::python("import time\ntime.sleep(600)\n", "");
    let (mut server, mut states) = folder.begin(Limits::default());
    let loading = State::Starting("loading the model".to_owned());
    let loads = states.wait_for(|state| *state == loading);
    tokio::time::timeout(PATIENCE, loads).await.expect("in time").expect("it loads");
    server.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, &mut server.running).await;
    assert!(ended.expect("it ends").expect("no panic").is_ok());
}

#[tokio::test]
async fn the_hub_talks_to_a_server_that_runs_elsewhere_directly() {
    let folder = Folder::new(&[("model.toml", "kind = 'http'\nurl = 'http://127.0.0.1:9'\n")]);
    let error = folder.try_serve(Limits::default()).await.err().expect("it does not start");
    assert!(matches!(error, ServeError::Elsewhere(..)), "{error}");
}
