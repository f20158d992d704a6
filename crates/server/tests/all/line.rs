//! What somebody who waits is told.

use muster_store::{InstanceNotes, Served};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

use crate::hub::{Hub, Person, problem, slug};

const REQUESTS: &str = "/api/v1/requests";

async fn find(person: &Person, request: &Value) -> Value {
    person.find(&format!("{REQUESTS}/{}", request["id"].as_str().expect("an id"))).await
}

#[tokio::test]
async fn who_waits_is_told_what_is_ahead_and_for_how_long() {
    // How fast instances are, another hub knows a moment later.
    let hub = Hub::alone(|_| {}).await;
    let (person, other) = (hub.person().await, hub.person().await);
    let before = person.submit(&["C", "CC"]).await;
    // Who does not wait for the answer is not kept waiting.
    assert_eq!(
        (&before["ahead_inputs"], &before["expected_seconds"]),
        (&Value::Null, &Value::Null)
    );
    // No instance ever did anything.
    let seen = find(&person, &before).await;
    assert_eq!((&seen["ahead_inputs"], &seen["expected_seconds"]), (&json!(0), &Value::Null));
    hub.complete(hub.claim().await).await;
    let now = hub.store.clock().now();
    let id = before["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let served = Served { request: id, jobs: 1, inputs: 10, first_at: now, last_at: now };
    let notes = InstanceNotes {
        instance: hub.instance,
        node: None,
        pod: None,
        usage: Default::default(),
        busy: Duration::from_secs(1),
        events: vec![],
        served: vec![served],
        log: None,
    };
    hub.store.note_instances(vec![notes]).await.expect("an answer");
    // Before anything is sent: of one input, and of so many.
    crate::hub::until("it is known how fast it is", async || {
        !person.find("/api/v1/models/lengths").await["expected_seconds"].is_null()
    })
    .await;
    let model = person.find("/api/v1/models/lengths").await;
    assert_eq!(model["expected_seconds"], json!({"low": 0.1, "high": 2.5}));
    let model = person.find("/api/v1/models/lengths?inputs=5000").await;
    assert_eq!(model["expected_seconds"], json!({"low": 5.0, "high": 751.0}));
    for bad in ["inputs=0", "inputs=-1", "inputs=many", "input=1"] {
        let refused = hub.http.get(hub.url(&format!("/api/v1/models/lengths?{bad}")));
        assert_eq!(slug(&problem(refused).await), "bad-parameter", "{bad}");
    }
    let first = person.submit(&["CCC", "CCCC"]).await;
    let second = other.submit(&["CCO"]).await;
    // Of who came a moment ago nothing is known yet.
    crate::hub::until("its place is known", async || {
        find(&other, &second).await["ahead_inputs"] == 2
    })
    .await;
    let seen = find(&other, &second).await;
    assert_eq!(seen["expected_seconds"], json!({"low": 0.3, "high": 2.5}));
    let page = other.find(REQUESTS).await;
    assert_eq!(page["items"][0]["expected_seconds"], Value::Null, "lists do not say it");
    let body = json!({"model": "lengths", "inputs": ["CCCC"]});
    let waited = other.send(Method::POST, &format!("{REQUESTS}?wait=1"), body).await;
    assert_eq!((&waited["phase"], &waited["ahead_inputs"]), (&json!("waiting"), &json!(3)));
    assert_eq!(waited["expected_seconds"].as_object().map(|range| range.len()), Some(2));
    let model = person.find("/api/v1/models/lengths").await;
    assert_eq!(model["inputs_per_second"], 10.0);
    hub.complete(hub.claim().await).await;
    for request in [&first, &second] {
        let who = if request["id"] == first["id"] { &person } else { &other };
        let ended = find(who, request).await;
        assert_eq!(
            (&ended["ahead_inputs"], &ended["expected_seconds"]),
            (&Value::Null, &Value::Null)
        );
    }
}
