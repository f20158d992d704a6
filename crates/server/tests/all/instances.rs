//! Instances, as administrators see and stop them.

use std::time::Duration;

use muster_core::InstanceId;
use muster_core::instance::EndCause;
use muster_core::news::{Event, Usage};
use muster_store::InstanceNotes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::events::{follow, open};
use crate::hub::{Hub, problem, slug};
use crate::replicas::{postgres, schema};

const INSTANCES: &str = "/api/v1/instances";

fn path(id: InstanceId, rest: &str) -> String {
    format!("{INSTANCES}/{id}{rest}")
}

fn notes(instance: InstanceId) -> InstanceNotes {
    InstanceNotes {
        instance,
        node: Some("compute-3".into()),
        pod: None,
        usage: Usage::default(),
        busy: Duration::ZERO,
        events: vec![],
        served: vec![],
        log: None,
    }
}

async fn wrote(hub: &Hub, id: InstanceId, position: u64, text: &str) {
    let log = Some((position, text.to_owned().into()));
    hub.store.note_instances(vec![InstanceNotes { log, ..notes(id) }]).await.expect("an answer");
}

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("an id")).collect()
}

/// brief: IN-3
#[tokio::test]
async fn an_instance_shows_what_it_is_does_and_uses() {
    let hub = Hub::start().await;
    let (root, person) = (hub.admin("root").await, hub.person().await);
    let request = person.submit(&["CCO"]).await;
    hub.claim().await;
    let launched = root.find(&path(hub.instance, "")).await;
    assert_eq!(launched["node"], "compute-1", "where it shall run, as long as nobody saw it there");
    let mut usage = Usage::of(500, 1 << 20);
    usage.add(&Usage::of(1500, 3 << 20));
    let busy = InstanceNotes { usage, ..notes(hub.instance) };
    hub.store.note_instances(vec![busy]).await.expect("an answer");
    let page = root.find(INSTANCES).await;
    let it = &page["items"][0];
    assert_eq!(
        (&it["model"], &it["state"], &it["node"]),
        (&json!("lengths"), &json!("ready"), &json!("compute-3"))
    );
    assert_eq!(it["requests"], json!([request["id"]]));
    assert_eq!(
        (&it["pod_status"], &it["end"], &it["stop"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let asked = json!({"cpu": 0.5, "memory": 1 << 30, "storage": 0, "named": {}});
    assert_eq!((&it["asked"], &it["devices"]), (&asked, &json!(["GPU-0"])));
    assert_eq!(it["resources"]["cpu"], json!({"now": 1.5, "peak": 1.5, "average": 1.0}));
    assert_eq!(it["resources"]["memory"]["average"], json!((2 << 20) as f64));
    let course = root.find(&path(hub.instance, "/usage")).await;
    let span = &course["spans"][0];
    assert_eq!((&span["at"], &span["seconds"]), (&it["launched_at"], &json!(30)));
    assert_eq!(span["cpu"], json!({"peak": 1.5, "average": 1.0}));
    assert_eq!(span["memory"], json!({"peak": (3 << 20) as f64, "average": (2 << 20) as f64}));
    assert_eq!(course["spans"].as_array().map(Vec::len), Some(1));
    assert_eq!((&it["jobs"], &it["launch_cause"]), (&json!(1), &json!("a test")));
    assert!(it["start_seconds"].as_f64().expect("a number") >= 0.0);
    let one = root.find(&path(hub.instance, "")).await;
    let phases: Vec<_> =
        one["phases"].as_array().expect("phases").iter().map(|p| &p["phase"]).collect();
    assert_eq!(phases, ["launched", "ready"]);
    assert_eq!(one["phases"][1]["seconds"], Value::Null);
    // Nothing of the hub's machine beside its name.
    let text = one.to_string();
    assert!(!text.contains("secret") && !text.contains("CCO"), "{text}");
}

/// brief: IN-2, IN-4
#[tokio::test]
async fn the_history_has_every_instance_that_ran() {
    let hub = Hub::start().await;
    let root = hub.admin("root").await;
    let mut all = Vec::new();
    for slot in 0..5 {
        all.push(hub.launch(slot).await);
    }
    let killed = EndCause::Exited { code: None, signal: Some(9), last_lines: "canary".into() };
    for id in &all[..4] {
        hub.store.instance_ended(*id, &killed).await.expect("an answer");
    }
    assert_eq!(ids(&root.find(INSTANCES).await), [all[4].to_string()]);
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = root.find(&format!("{INSTANCES}?ended=true&limit=3{next}")).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(mark) = page["next"].as_str() else { break };
        next = format!("&after={mark}");
    }
    let want: Vec<String> = all[..4].iter().rev().map(ToString::to_string).collect();
    assert_eq!(seen, want);
    let one = root.find(&path(all[0], "")).await;
    let end = &one["end"];
    assert_eq!(
        (&end["cause"], &end["signal"], &end["exit_code"]),
        (&json!("exited"), &json!(9), &Value::Null)
    );
    assert_eq!(one["phases"][1]["phase"], "ended");
    assert!(!one.to_string().contains("canary"));
    for (query, count) in [
        ("model=lengths", 1),
        ("model=lengths&model=other", 1),
        ("model=other", 0),
        ("status=starting&status=ready", 1),
        ("status=draining", 0),
        ("status=preparing", 0),
        ("from=2026-01-01T00:00:00Z&to=9999-01-01T00:00:00Z", 1),
        ("to=2000-01-01T00:00:00Z", 0),
        ("from=2026-01-01&to=2199-01-01", 1),
        ("from=2000-01-01T00:00:00Z&to=2000-01-01", 0),
        ("ended=true&status=ended", 4),
        ("ended=true&cause=exited", 4),
        ("ended=true&cause=exited&cause=idle", 4),
        ("ended=true&cause=idle", 0),
        ("cause=exited", 0),
    ] {
        assert_eq!(ids(&root.find(&format!("{INSTANCES}?{query}")).await).len(), count, "{query}");
    }
    for (query, name) in [
        ("ended=perhaps", "ended"),
        ("model=A%20B", "model"),
        ("cause=boredom", "cause"),
        ("from=yesterday", "from"),
        ("from=2026-11-28&to=2026-11-27", "to"),
        ("after=x", "after"),
        ("limit=0", "limit"),
        ("phase=ready", "phase"),
    ] {
        let refused = problem(root.get(&format!("{INSTANCES}?{query}"))).await;
        assert_eq!(
            (slug(&refused), &refused["parameter"]),
            ("bad-parameter", &json!(name)),
            "{query}"
        );
    }
}

/// brief: IN-1
#[tokio::test]
async fn events_come_raw_and_in_pages() {
    let hub = Hub::start().await;
    let root = hub.admin("root").await;
    hub.boot().await;
    let now = hub.store.now();
    let event = |n: u64| Event {
        source: "kubernetes".into(),
        uid: format!("a uid & {n}"),
        count: n,
        raw: Some(json!({"reason": "FailedScheduling", "n": n})),
        ..Event::once("FailedScheduling", "0/3 nodes are available", now)
    };
    let events = (1..4).map(event).collect();
    let told = InstanceNotes { events, ..notes(hub.instance) };
    hub.store.note_instances(vec![told]).await.expect("an answer");
    let whole = root.find(&path(hub.instance, "/events")).await;
    let items = whole["items"].as_array().expect("items");
    assert_eq!(items.len(), 5);
    assert_eq!((&items[0]["source"], &items[0]["count"]), (&json!("kubernetes"), &json!(3)));
    assert_eq!(items[0]["raw"], json!({"reason": "FailedScheduling", "n": 3}));
    let first = root.find(&path(hub.instance, "/events?limit=2")).await;
    let mark: String =
        first["next"].as_str().expect("more").bytes().map(|b| format!("%{b:02x}")).collect();
    let second = root.find(&path(hub.instance, &format!("/events?limit=3&after={mark}"))).await;
    assert_eq!(second["items"].as_array().expect("items"), &items[2..]);
    let refused = problem(root.get(&path(hub.instance, "/events?after=7"))).await;
    assert_eq!(refused["parameter"], "after");
    let unknown = InstanceId(hub.store.clock().id());
    for rest in ["", "/events", "/requests", "/logs"] {
        assert_eq!(slug(&problem(root.get(&path(unknown, rest))).await), "not-found", "{rest}");
    }
}

/// brief: IN-5; I-22, I-50
#[tokio::test]
async fn stopping_fails_its_requests_with_the_admins_reason() {
    let hub = Hub::start().await;
    let (root, person) = (hub.admin("root").await, hub.person().await);
    let request = person.submit(&["CCO"]).await;
    hub.claim().await;
    let stop = path(hub.instance, "/stop");
    let body =
        json!({"work": "fail", "grace_seconds": 60, "reason": "It is wrong about fluorine."});
    let stopped = root.send(Method::POST, &stop, body.clone()).await;
    assert_eq!((&stopped["state"], &stopped["stop"]["work"]), (&json!("draining"), &json!("fail")));
    assert_eq!(
        (&stopped["stop"]["by"], &stopped["stop"]["by_name"]),
        (&json!(root.id), &json!("root"))
    );
    assert_eq!(stopped["requests"], json!([]));
    let found =
        person.find(&format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"))).await;
    assert_eq!(found["phase"], "failed");
    assert!(found["reason"].as_str().expect("words").ends_with("It is wrong about fluorine."));
    let again = root.send(Method::POST, &stop, body).await;
    assert_eq!(again["stop"], stopped["stop"], "once is enough");
    let audit = hub.audit().await;
    let line = format!("{} of lengths, fail: It is wrong about fluorine.", hub.instance);
    assert_eq!(audit.iter().map(|entry| &entry.detail).collect::<Vec<_>>(), [&line]);
    assert_eq!(audit[0].action, "stop-instance");
    let events = root.find(&path(hub.instance, "/events")).await;
    assert!(events["items"][0]["message"].as_str().expect("words").starts_with("root stops it"));
}

#[tokio::test]
async fn a_stop_that_makes_no_sense_changes_nothing() {
    let hub = Hub::start().await;
    let root = hub.admin("root").await;
    hub.boot().await;
    let stop = path(hub.instance, "/stop");
    for (body, pointer) in [
        (json!({}), "/work"),
        (json!({"work": "gently"}), "/work"),
        (json!({"work": 5}), "/work"),
        (json!({"work": "drain", "grace_seconds": 86_401}), "/grace_seconds"),
        (json!({"work": "drain", "grace_seconds": -1}), "/grace_seconds"),
        (json!({"work": "drain", "reason": "x".repeat(501)}), "/reason"),
        (json!({"work": "drain", "reason": "nul \0"}), "/reason"),
        (json!({"work": "drain", "force": true}), "/force"),
    ] {
        let refused = problem(root.post(&stop).json(&body)).await;
        assert_eq!((slug(&refused), &refused["pointer"]), ("bad-json", &json!(pointer)), "{body}");
    }
    assert_eq!(root.find(&path(hub.instance, "")).await["state"], "ready");
    assert!(hub.audit().await.is_empty());
}

#[tokio::test]
async fn a_log_is_its_last_lines_and_can_be_followed_to_its_end() {
    let hub = Hub::start().await;
    let root = hub.admin("root").await;
    hub.boot().await;
    let logs = path(hub.instance, "/logs");
    wrote(&hub, hub.instance, 0, "one\ntwo\nthr").await;
    let answer = root.get(&format!("{logs}?tail=2")).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.text().await.expect("text"), "two\nthr");
    let mut stream = open(&root, &format!("{logs}?follow=true&tail=1")).await;
    assert_eq!(stream.next().await.as_deref(), Some(": connected"), "its line is not whole yet");
    wrote(&hub, hub.instance, 11, "ee\r\nfour\rfive\nsi").await;
    let lines = "event: log\ndata: three\ndata: four\u{fffd}five";
    assert_eq!(stream.next().await.as_deref(), Some(lines));
    wrote(&hub, hub.instance, 27, "x").await;
    hub.store.instance_ended(hub.instance, &EndCause::Idle).await.expect("an answer");
    hub.store.keep_log(hub.instance).await.expect("an answer");
    assert_eq!(stream.next().await.as_deref(), Some("event: log\ndata: six"));
    assert_eq!(stream.next().await.as_deref(), Some("event: end\ndata: {}"));
    assert_eq!(stream.next().await, None);
    let whole = root.get(&logs).send().await.expect("an answer").text().await.expect("text");
    assert_eq!(whole, "one\ntwo\nthree\r\nfour\rfive\nsix");
    let refused = problem(root.get(&format!("{logs}?tail=10001"))).await;
    assert_eq!(refused["parameter"], "tail");
}

/// brief: IN-3
#[tokio::test]
async fn administrators_are_told_of_instances_and_nobody_else_of_what_they_do() {
    let hub = Hub::alone(|_| {}).await;
    let (root, person) = (hub.admin("root").await, hub.person().await);
    let (mut mine, mut theirs) = (follow(&root).await, follow(&person).await);
    hub.boot().await;
    while mine.next().await.expect("an event") != "event: instances\ndata: {}" {}
    hub.store.note_instances(vec![notes(hub.instance)]).await.expect("an answer");
    while mine.next().await.expect("an event") != "event: instances\ndata: {}" {}
    person.submit(&["CCO"]).await;
    loop {
        let event = theirs.next().await.expect("an event");
        assert!(!event.contains("instances"), "{event}");
        if event.contains("event: request") {
            break;
        }
    }
}

/// Several hubs on one PostgreSQL: any of them shows and stops what another one runs.
#[tokio::test]
async fn a_server_stops_what_another_one_runs() {
    let schema = schema();
    let one = Hub::on(postgres(&schema), |_| {}).await;
    let two = Hub::on(postgres(&schema), |_| {}).await;
    let root = one.admin("root").await;
    let there = two.with_token(&root, &root.token);
    one.boot().await;
    wrote(&one, one.instance, 0, "hello\n").await;
    let body = json!({"work": "requeue", "reason": "It leaks."});
    there.send(Method::POST, &path(one.instance, "/stop"), body).await;
    let order = one.store.instances().await.expect("an answer").remove(0).stop;
    assert_eq!(order.expect("it is seen here").reason, "It leaks.");
    let logs = there.get(&path(one.instance, "/logs")).send().await.expect("an answer");
    assert_eq!(logs.text().await.expect("text"), "hello\n");
}
