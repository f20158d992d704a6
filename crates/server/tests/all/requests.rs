//! Submitting as JSON, finding, listing, cancelling, waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hub::{Hub, problem, slug};

#[tokio::test]
async fn a_small_request_is_one_round_trip() {
    let hub = Arc::new(Hub::start().await);
    let person = hub.person().await;
    hub.work().await;
    let body = json!({"model": "lengths", "inputs": ["CCO", "bad", "c1ccccc1"]});
    let answer = person.post("/api/v1/requests?wait=30").json(&body).send().await.expect("answer");
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let request: Value = answer.json().await.expect("JSON");
    assert_eq!(location, format!("/api/v1/requests/{}", request["id"].as_str().expect("an id")));
    let rows = json!([
        {"input": "CCO", "length": 3, "half": 1.5, "error": null},
        {"input": "bad", "length": null, "half": null, "error": "=cannot read it"},
        {"input": "c1ccccc1", "length": 8, "half": 4.0, "error": null},
    ]);
    assert_eq!(request["result"], rows);
    assert_eq!(request["phase"], "completed");
    assert_eq!((&request["done"], &request["failed"]), (&json!(3), &json!(1)));
    assert_eq!(
        request["reading"],
        json!({"header": "not_a_file", "rows": 3, "blank_lines_skipped": 0, "short_rows": 0})
    );
    assert!(request["ended_at"].as_str().is_some_and(|at| at.ends_with('Z')));

    let found = person.find(&format!("{location}?wait=1")).await;
    assert_eq!(found, request);
    let found = person.find(&location).await;
    assert_eq!(found.get("result"), None);
}

#[tokio::test]
async fn the_inputs_reach_the_model_as_they_were_sent() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let texts =
        ["123456789012345678901234567890", "1e400", " CCO ", "\u{e9}\u{1f600}", "a\"\\\n\t/"];
    person.submit(&texts).await;
    let mut tasks = hub.claim().await;
    let task = tasks.pop().expect("a task");
    let inputs = hub.store.load_inputs(&task).await.expect("inputs");
    let read: Vec<String> = serde_json::from_slice(&inputs).expect("an array");
    assert_eq!(read, texts);
}

#[tokio::test]
async fn json_that_cannot_be_meant_is_refused_with_a_pointer() {
    let hub = Hub::with(|config| {
        config.limits.inputs = 3;
        config.limits.input_bytes = 10;
    })
    .await;
    let person = hub.person().await;
    let table: [(&str, &str, Option<&str>); 17] = [
        (r#"{"model": "lengths", "inputs": ["a", 1]}"#, "bad-input", Some("/inputs/1")),
        (r#"{"model": "lengths", "inputs": ["a", ["b"]]}"#, "bad-input", Some("/inputs/1")),
        (r#"{"model": "lengths", "inputs": ["a", null]}"#, "bad-input", Some("/inputs/1")),
        (r#"{"model": "lengths", "inputs": ["  "]}"#, "bad-input", Some("/inputs/0")),
        (r#"{"model": "lengths", "inputs": ["a\u0000"]}"#, "bad-input", Some("/inputs/0")),
        (r#"{"model": "lengths", "inputs": ["12345678901"]}"#, "input-too-long", Some("/inputs/0")),
        (
            r#"{"model": "lengths", "inputs": ["a","b","c","d"]}"#,
            "too-many-inputs",
            Some("/inputs"),
        ),
        (r#"{"model": "lengths", "inputs": []}"#, "empty-input", Some("/inputs")),
        (r#"{"model": "lengths", "inputs": "CCO"}"#, "bad-json", Some("/inputs")),
        (r#"{"model": "lengths"}"#, "bad-json", Some("/inputs")),
        (r#"{"inputs": ["a"]}"#, "bad-json", Some("/model")),
        (r#"{"model": 5, "inputs": ["a"]}"#, "bad-json", Some("/model")),
        (r#"{"model": "nope", "inputs": ["a"]}"#, "unknown-model", Some("/model")),
        (r#"{"model": "a/b", "inputs": ["a"]}"#, "unknown-model", Some("/model")),
        (r#"{"model": "lengths", "inputs": ["a"], "inputs": []}"#, "bad-json", Some("/inputs")),
        (r#"{"model": "lengths", "inputs": ["a"], "owner": "x"}"#, "bad-json", Some("/owner")),
        (r#"{"model": "lengths", "inputs": ["a"]"#, "bad-json", None),
    ];
    for (body, kind, pointer) in table {
        let sent = person.post("/api/v1/requests").header("content-type", "application/json");
        let refused = problem(sent.body(body)).await;
        assert_eq!((slug(&refused), refused["pointer"].as_str()), (kind, pointer), "{body}");
    }
    let sent = person.post("/api/v1/requests").header("content-type", "application/json");
    let refused = problem(sent.body(b"{\"model\": \"\xff\"}".as_slice())).await;
    assert_eq!(slug(&refused), "not-utf8");
    assert_eq!(person.list().await.len(), 0);
}

#[tokio::test]
async fn other_kinds_of_bodies_are_refused() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let kinds = ["application/x-www-form-urlencoded", "text/html", "text/csv; charset=latin1"];
    for kind in kinds {
        let sent = person.post("/api/v1/requests").header("content-type", kind).body("x=y");
        assert_eq!(slug(&problem(sent).await), "unsupported-media-type", "{kind}");
    }
    let sent = person.post("/api/v1/requests").body("x");
    assert_eq!(slug(&problem(sent).await), "unsupported-media-type");
    let sent = person.upload("model=lengths", "CCO").header("content-encoding", "br");
    assert_eq!(slug(&problem(sent).await), "unsupported-media-type");
    let sent = person.upload("model=lengths", "CCO").header("content-encoding", "gzip");
    assert_eq!(slug(&problem(sent).await), "bad-request");
}

#[tokio::test]
async fn parameters_are_known_single_and_in_range() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    for (path, parameter) in [
        ("/api/v1/requests?limit=0", "limit"),
        ("/api/v1/requests?limit=201", "limit"),
        ("/api/v1/requests?limit=x", "limit"),
        ("/api/v1/requests?phase=done", "phase"),
        ("/api/v1/requests?model=A/B", "model"),
        ("/api/v1/requests?after=x", "after"),
        ("/api/v1/requests?limit=1&limit=2", "limit"),
        ("/api/v1/requests?owner=x", "owner"),
        ("/api/v1/models?state=x", "state"),
    ] {
        let refused = problem(person.get(path)).await;
        assert_eq!((slug(&refused), &refused["parameter"]), ("bad-parameter", &json!(parameter)));
    }
    for (query, parameter) in
        [("wait=61", "wait"), ("wait=-1", "wait"), ("header=yes", "header"), ("cache=1", "cache")]
    {
        let refused = problem(person.upload(&format!("model=lengths&{query}"), "CCO")).await;
        assert_eq!((slug(&refused), &refused["parameter"]), ("bad-parameter", &json!(parameter)));
    }
    let refused = problem(person.upload("", "CCO")).await;
    assert_eq!((slug(&refused), &refused["parameter"]), ("bad-parameter", &json!("model")));
    let body = json!({"model": "lengths", "inputs": ["a"]});
    let refused = problem(person.post("/api/v1/requests?model=lengths").json(&body)).await;
    assert_eq!(slug(&refused), "bad-parameter");
}

#[tokio::test]
async fn a_key_submits_once() {
    let hub = Hub::start().await;
    let (person, other) = (hub.person().await, hub.person().await);
    let body = json!({"model": "lengths", "inputs": ["CCO"]});
    let submit = |person: &crate::hub::Person, key: &str, body: &Value| {
        person.post("/api/v1/requests").header("idempotency-key", key).json(body)
    };
    let first = submit(&person, "k", &body).send().await.expect("an answer");
    assert_eq!(first.status(), 201);
    let first: Value = first.json().await.expect("JSON");
    let again = submit(&person, "k", &body).send().await.expect("an answer");
    assert_eq!(again.status(), 200);
    assert_eq!(again.json::<Value>().await.expect("JSON")["id"], first["id"]);
    let different = json!({"model": "lengths", "inputs": ["CC"]});
    assert_eq!(slug(&problem(submit(&person, "k", &different)).await), "key-reused");
    let theirs = submit(&other, "k", &different).send().await.expect("an answer");
    assert_eq!(theirs.status(), 201);
    for bad in ["", "a b", &"x".repeat(256)] {
        assert_eq!(slug(&problem(submit(&person, bad, &body)).await), "bad-parameter");
    }
    assert_eq!(person.list().await.len(), 1);

    let file = |query: &str| person.upload(query, "CCO\n").header("idempotency-key", "f");
    assert_eq!(file("model=lengths").send().await.expect("an answer").status(), 201);
    assert_eq!(file("model=lengths&wait=0").send().await.expect("an answer").status(), 200);
    assert_eq!(slug(&problem(file("model=lengths&header=used")).await), "empty-input");
    assert_eq!(slug(&problem(file("model=lengths&cache=false")).await), "key-reused");
}

#[tokio::test]
async fn a_repeated_submission_of_an_ended_request_answers_at_once() {
    let hub = Arc::new(Hub::start().await);
    let person = hub.person().await;
    hub.work().await;
    let body = json!({"model": "lengths", "inputs": ["CCO"]});
    let submit = || {
        person.post("/api/v1/requests?wait=30").header("idempotency-key", "k").json(&body).send()
    };
    let first: Value = submit().await.expect("an answer").json().await.expect("JSON");
    let begun = Instant::now();
    let again: Value = submit().await.expect("an answer").json().await.expect("JSON");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(again, first);
}

#[tokio::test]
async fn strangers_learn_nothing_of_a_request() {
    let hub = Hub::start().await;
    let (person, other) = (hub.person().await, hub.person().await);
    let request = person.submit(&["CCO"]).await;
    let id = request["id"].as_str().expect("an id");
    let unknown = hub.store.clock().id().to_string();
    let spellings = [unknown.as_str(), "x", &id.to_uppercase().replace('-', ""), "%00"];
    for tail in ["", "?wait=1", "/result", "/result?format=json", "/cancel"] {
        let mut bodies = Vec::new();
        for id in std::iter::once(id).chain(spellings) {
            let path = format!("/api/v1/requests/{id}{tail}");
            let sent = if tail == "/cancel" { other.post(&path) } else { other.get(&path) };
            let answer = sent.send().await.expect("an answer");
            assert_eq!(answer.status(), 404, "{path}");
            let mut headers: Vec<String> =
                answer.headers().keys().map(ToString::to_string).collect();
            headers.sort();
            bodies.push((headers, answer.bytes().await.expect("bytes")));
        }
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{tail}: {bodies:?}");
    }
    assert_eq!(other.list().await.len(), 0);
    assert_eq!(person.find(&format!("/api/v1/requests/{id}")).await["phase"], "waiting");
}

#[tokio::test]
async fn lists_are_newest_first_in_pages() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let request = person.submit(&[&format!("C{n}")]).await;
        ids.insert(0, request["id"].clone());
    }
    let first = person.find("/api/v1/requests?limit=3&phase=waiting&model=lengths").await;
    let next = first["next"].as_str().expect("another page");
    let second = person.find(&format!("/api/v1/requests?limit=3&after={next}")).await;
    assert_eq!(second["next"], Value::Null);
    let seen = [&first, &second].map(|page| page["items"].as_array().expect("items").clone());
    let seen: Vec<Value> = seen.concat().iter().map(|request| request["id"].clone()).collect();
    assert_eq!(seen, ids);
    let none = person.find("/api/v1/requests?phase=completed").await;
    assert_eq!(none, json!({"items": [], "next": null}));
}

#[tokio::test]
async fn a_cancelled_request_stays_cancelled() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let request = person.submit(&["CCO"]).await;
    let path = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    let cancel = |body: Value| person.post(&format!("{path}/cancel")).json(&body);
    for (body, pointer) in
        [(json!({"reason": 5}), "/reason"), (json!({"why": "x"}), "/why"), (json!([]), "")]
    {
        assert_eq!(problem(cancel(body)).await["pointer"], pointer);
    }
    let done = cancel(json!({"reason": "a mistake"})).send().await.expect("an answer");
    assert_eq!(done.status(), 200);
    let done: Value = done.json().await.expect("JSON");
    assert_eq!((&done["phase"], &done["reason"]), (&json!("cancelled"), &json!("a mistake")));
    let again = person.post(&format!("{path}/cancel")).send().await.expect("an answer");
    assert_eq!(again.json::<Value>().await.expect("JSON"), done);
    assert_eq!(slug(&problem(person.get(&format!("{path}/result"))).await), "no-result");
    assert_eq!(person.find(&format!("{path}?wait=30")).await, done);
}

#[tokio::test]
async fn a_wait_ends_with_the_request_or_with_its_time() {
    let hub = Arc::new(Hub::start().await);
    let person = hub.person().await;
    let request = person.submit(&["CCO"]).await;
    let path = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    let waited = person.find(&format!("{path}?wait=1")).await;
    assert_eq!((&waited["phase"], waited.get("result")), (&json!("waiting"), None));
    assert_eq!(slug(&problem(person.get(&format!("{path}/result"))).await), "not-ended");
    let (begun, follow) = (Instant::now(), format!("{path}?wait=60"));
    let (ended, ()) = tokio::join!(person.find(&follow), async {
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(ended["result"], json!([{"input": "CCO", "length": 3, "half": 1.5}]));
}

#[tokio::test]
async fn a_waiting_request_says_why() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let request = person.submit(&["CCO"]).await;
    assert_eq!(request["waiting_reason"], Value::Null);
    let held = vec![(crate::hub::model_id(), "The model is starting.".to_owned())];
    hub.store.set_held(held).await.expect("written");
    let path = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    assert_eq!(person.find(&path).await["waiting_reason"], "The model is starting.");
    let tasks = hub.claim().await;
    let running = person.find(&path).await;
    assert_eq!((&running["phase"], &running["waiting_reason"]), (&json!("running"), &Value::Null));
    hub.complete(tasks).await;
}

#[tokio::test]
async fn large_json_is_read_in_pieces() {
    let hub = Hub::start().await;
    let person = hub.user("ada").await;
    let inputs: Vec<String> = (0..50_000).map(|n| format!("C{n}\u{e9}")).collect();
    let body = json!({"model": "lengths", "inputs": inputs});
    let answer = person.post("/api/v1/requests").json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.json::<Value>().await.expect("JSON")["inputs"], 50_000);
    let tail = &body.to_string()[1..];
    let broken = person.post("/api/v1/requests").header("content-type", "application/json");
    assert_eq!(slug(&problem(broken.body(format!("{{\"x\":1,{tail}"))).await), "bad-json");
}

/// # brief: RT-1
#[tokio::test]
async fn a_request_says_when_it_is_cleared_once_it_has_ended() {
    let hub = Hub::with(|config| config.clearing.retention.account = None).await;
    let (person, user) = (hub.person().await, hub.user("ada").await);
    for who in [&person, &user] {
        let submitted = who.submit(&["CCO"]).await;
        assert_eq!(submitted["expires_at"], Value::Null);
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
    }
    let ended = person.list().await.remove(0);
    let time = |name: &str| ended[name].as_str().expect("a time").parse().expect("a time");
    let (at, expires): (muster_core::Timestamp, muster_core::Timestamp) =
        (time("ended_at"), time("expires_at"));
    assert_eq!(expires.since(at), Duration::from_secs(7 * 86_400));
    let path = format!("/api/v1/requests/{}", ended["id"].as_str().expect("an id"));
    assert_eq!(person.find(&path).await["expires_at"], ended["expires_at"]);
    let kept = user.list().await.remove(0);
    assert_eq!((kept["phase"].as_str(), &kept["expires_at"]), (Some("completed"), &Value::Null));
}

/// # brief: RT-1; I-37, I-56
#[tokio::test]
async fn a_list_of_ones_requests_is_there_as_csv() {
    let hub = Hub::start().await;
    let (person, other) = (hub.person().await, hub.person().await);
    other.submit(&["foreign"]).await;
    for _ in 0..3 {
        person.submit(&["CCO"]).await;
    }
    let list = person.list().await;
    let id = list[0]["id"].as_str().expect("an id");
    let reason = json!({"reason": "=1+1, \"quoted\""});
    let cancel = person.post(&format!("/api/v1/requests/{id}/cancel")).json(&reason).send().await;
    assert_eq!(cancel.expect("an answer").status(), 200);
    let answer = person.get("/api/v1/requests?format=csv&limit=1").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let text = answer.text().await.expect("text");
    assert!(text.contains(r#""'=1+1, ""quoted""""#), "{text}");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a line")).collect();
    let place = |name: &str| header.iter().position(|known| known == name).expect("a column");
    let ids: Vec<&str> = rows.iter().map(|row| &row[place("id")]).collect();
    let known: Vec<&str> = list.iter().map(|request| request["id"].as_str().expect("it")).collect();
    assert_eq!(ids, known, "all of them, newest first, and nobody else's");
    let now = person.list().await;
    for (row, request) in rows.iter().zip(&now) {
        for name in ["model", "phase", "submitted_at", "ended_at", "expires_at", "reason"] {
            let text = request[name].as_str().unwrap_or_default();
            let cell = row[place(name)].trim_start_matches('\'');
            assert_eq!(cell, text, "{name}");
        }
    }
    let some = person.get("/api/v1/requests?format=csv&phase=cancelled").send().await;
    assert_eq!(some.expect("an answer").text().await.expect("text").lines().count(), 2);
    let refused = problem(person.get("/api/v1/requests?format=xlsx")).await;
    assert_eq!(refused["parameter"], "format");
}
