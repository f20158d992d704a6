//! Everything that can go wrong on demand does, once and no longer than it should.

use std::time::{Duration, Instant};

use fake_kube::{Config, Fault, Resource, What};
use serde_json::{Value, json};

use crate::client::{PODS, message, pod, start};

#[tokio::test]
async fn calls_fail_as_they_are_told_to() {
    let client = start(Config::default()).await;
    let faults = client.kube.faults();
    faults.set(Fault::new(What::TooMany { after: 3 }).verb("list").resource("pods").times(1));
    let answer = reqwest::get(format!("{}{PODS}", client.kube.url())).await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (429, &"3".parse().expect("a header"))
    );
    assert_eq!(client.get(PODS).await.0, 200);
    faults.set(Fault::new(What::Fail).times(1));
    assert_eq!(client.get(PODS).await.0, 500);
    faults.set(Fault::new(What::Unauthorized).times(1));
    assert_eq!(client.get(PODS).await.0, 401);
    faults.set(Fault::new(What::Refuse { message: "no".to_owned() }).verb("create").times(1));
    let (code, refused) = client.post(PODS, pod("x")).await;
    assert_eq!((code.as_u16(), message(&refused)), (403, "no"));
    faults.set(Fault::new(What::Slow { millis: 300 }).times(1));
    let started = Instant::now();
    assert_eq!(client.get(PODS).await.0, 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
    faults.set(Fault::new(What::Drop).times(1));
    reqwest::get(format!("{}{PODS}", client.kube.url())).await.expect_err("cut");
    assert_eq!(client.get(PODS).await.0, 200);
}

#[tokio::test]
async fn a_lost_answer_is_of_a_write_that_was_done() {
    let client = start(Config::default()).await;
    client.kube.faults().set(Fault::new(What::LoseAnswer).verb("create").times(1));
    let http = reqwest::Client::new();
    let sent = http.post(format!("{}{PODS}", client.kube.url())).body(pod("x").to_string());
    sent.send().await.expect_err("no answer");
    assert_eq!(client.post(PODS, pod("x")).await.0, 409);
}

#[tokio::test]
async fn a_stale_list_is_of_what_was() {
    let client = start(Config::default()).await;
    client.post(PODS, pod("x")).await;
    let (_, before) = client.get(PODS).await;
    client.post(PODS, pod("y")).await;
    client.kube.faults().set(Fault::new(What::Stale { behind: 1 }).times(2));
    let (_, stale) = client.get(PODS).await;
    assert_eq!(stale, before);
    assert_eq!(client.get(&format!("{PODS}/y")).await.0, 404);
    assert_eq!(client.get(&format!("{PODS}/y")).await.0, 200);
}

#[tokio::test]
async fn watches_are_cut_frozen_and_doubled() {
    let client = start(Config::default()).await;
    let faults = client.kube.faults();
    let mut watch = client.watch(&format!("{PODS}?watch=1")).await;
    faults.set(Fault::new(What::Twice).resource("pods").times(1));
    client.post(PODS, pod("x")).await;
    client.post(PODS, pod("y")).await;
    assert_eq!(watch.names(3).await, ["ADDED x", "ADDED x", "ADDED y"]);
    faults.set(Fault::new(What::Drop).verb("watch").resource("pods").times(1));
    assert!(watch.next().await.is_none(), "it is cut in the middle of an event");
    let mut frozen = client.watch(&format!("{PODS}?watch=1")).await;
    assert_eq!(frozen.names(2).await, ["ADDED x", "ADDED y"]);
    faults.set(Fault::new(What::Freeze).resource("pods").times(1));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut other = client.watch(&format!("{PODS}?watch=1")).await;
    client.post(PODS, pod("z")).await;
    assert_eq!(other.names(3).await, ["ADDED x", "ADDED y", "ADDED z"]);
    assert!(frozen.is_silent().await);
}

#[tokio::test]
async fn an_api_that_is_away_answers_nobody_and_comes_back() {
    let client = start(Config::default()).await;
    let mut watch = client.watch(&format!("{PODS}?watch=1")).await;
    client.kube.faults().set(Fault::new(What::Away).lasting(Duration::from_millis(500)));
    assert!(watch.next().await.is_none(), "open connections end");
    reqwest::get(client.kube.url()).await.expect_err("nobody is there");
    tokio::time::sleep(Duration::from_millis(550)).await;
    assert_eq!(client.get(PODS).await.0, 200);
}

#[tokio::test]
async fn calls_are_counted_and_faults_come_by_http_too() {
    let client = start(Config::default()).await;
    client.get(PODS).await;
    client.get(PODS).await;
    client.post(PODS, pod("x")).await;
    let calls = client.kube.faults().calls();
    let count = |verb: &str| calls.get(&(verb.to_owned(), "pods".to_owned())).copied();
    assert_eq!((count("list"), count("create"), count("watch")), (Some(2), Some(1), None));
    client.kube.faults().forget_calls();
    client
        .kube
        .objects()
        .change(&Resource::pods(), Some("default"), "x", |pod| {
            pod["status"]["phase"] = json!("Running")
        })
        .expect("a pod");
    let (_, calls) = client.get("/calls").await;
    assert_eq!(calls, json!([]), "what acts inside is no call");
    let fault = json!({ "what": "fail", "verb": "get", "times": 1 });
    assert_eq!(client.post("/faults", fault).await.0, 201);
    assert_eq!(client.get(&format!("{PODS}/x")).await.0, 500);
    assert_eq!(client.post("/faults", json!({ "what": "nonsense" })).await.0, 400);
    client.post("/faults", json!({ "what": "fail" })).await;
    assert_eq!(client.delete("/faults", Value::Null).await.0, 200);
    assert_eq!(client.get(PODS).await.0, 200);
}
