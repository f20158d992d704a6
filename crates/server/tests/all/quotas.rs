//! What people may have: waiting, a day, and stored.

use std::sync::Arc;
use std::time::Duration;

use muster_core::quota::Amounts;
use muster_server::ServerConfig;
use muster_store::Database;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hub::{Hub, Person, problem, slug, until};
use crate::replicas::{postgres, schema};

const REQUESTS: &str = "/api/v1/requests";
const LIMITS: &str = "/api/v1/me/limits";

/// Everybody may have little of one thing.
fn little(change: impl Fn(&mut Amounts)) -> impl FnOnce(&mut ServerConfig) {
    move |config| {
        change(&mut config.quotas.account);
        change(&mut config.quotas.anonymous);
    }
}

async fn refused(person: &Person, inputs: &[&str]) -> (Value, u64) {
    let body = json!({"model": "lengths", "inputs": inputs});
    let again = person.post(REQUESTS).json(&body);
    let answer = again.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let after = answer.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    (problem(person.post(REQUESTS).json(&body)).await, after)
}

async fn is_taken_again(person: &Person, inputs: &[&str]) {
    let body = json!({"model": "lengths", "inputs": inputs});
    until("it is taken", async || {
        let answer = person.post(REQUESTS).json(&body).send().await.expect("an answer");
        answer.status() == StatusCode::CREATED
    })
    .await;
}

#[tokio::test]
async fn waiting_requests_are_limited_until_they_begin() {
    let hub = Hub::alone(little(|may| may.waiting_requests = 2)).await;
    let person = hub.person().await;
    person.submit(&["a"]).await;
    let second = person.submit(&["b"]).await;
    let (problem, after) = refused(&person, &["c"]).await;
    assert_eq!((slug(&problem), after), ("too-many-waiting-requests", 10));
    let words = problem["detail"].as_str().expect("words");
    assert!(words.contains("2 of your requests wait, and at most 2 may"), "{words}");
    assert!(words.contains("People who log in"), "{words}");
    hub.person().await.submit(&["somebody else is not limited by that"]).await;
    let cancel = format!("{REQUESTS}/{}/cancel", second["id"].as_str().expect("an id"));
    person.send(Method::POST, &cancel, json!({})).await;
    is_taken_again(&person, &["c"]).await;
    assert_eq!(slug(&refused(&person, &["d"]).await.0), "too-many-waiting-requests");
    hub.complete(hub.claim().await).await;
    is_taken_again(&person, &["d"]).await;
}

#[tokio::test]
async fn waiting_inputs_are_limited() {
    let hub = Hub::with(little(|may| may.waiting_inputs = 5)).await;
    let person = hub.user("ada").await;
    person.submit(&["a", "b", "c"]).await;
    let (problem, after) = refused(&person, &["d", "e", "f"]).await;
    assert_eq!((slug(&problem), after), ("too-many-waiting-inputs", 10));
    let words = problem["detail"].as_str().expect("words");
    assert!(words.contains("3 of your inputs wait, this request has 3, and at most 5"), "{words}");
    assert!(!words.contains("log in"), "{words}");
    person.submit(&["d", "e"]).await;
}

#[tokio::test]
async fn inputs_of_a_day_are_limited_to_its_end() {
    let hub = Hub::with(little(|may| may.day_inputs = 2)).await;
    let person = hub.person().await;
    person.submit(&["a", "b"]).await;
    hub.complete(hub.claim().await).await;
    let (problem, after) = refused(&person, &["c"]).await;
    assert_eq!(slug(&problem), "too-many-inputs-today");
    let left = person.find(LIMITS).await["seconds_until_next_day"].as_u64().expect("a number");
    assert!(after >= left && after <= left + 2 && left <= 86_400, "{after} {left}");
}

#[tokio::test]
async fn stored_bytes_are_limited_and_deleting_frees_them() {
    let hub = Hub::with(little(|may| may.bytes = 400)).await;
    let person = hub.person().await;
    let request = person.submit(&[&"x".repeat(300)]).await;
    let path = format!("{REQUESTS}/{}", request["id"].as_str().expect("an id"));
    let early = problem(person.request(Method::DELETE, &path)).await;
    assert_eq!(slug(&early), "not-ended");
    hub.complete(hub.claim().await).await;
    let more = "y".repeat(200);
    let (full, after) = refused(&person, &[&more]).await;
    assert_eq!((slug(&full), after), ("no-space-left", 3600));
    let used = person.find(LIMITS).await["used"]["bytes"].as_u64().expect("a number");
    assert!(used > 310, "inputs and results: {used}");
    person.send(Method::DELETE, &path, json!({})).await;
    assert_eq!(person.status(&path).await, 404);
    assert_eq!(person.find(LIMITS).await["used"]["bytes"], 0);
    is_taken_again(&person, &[&more]).await;
}

#[tokio::test]
async fn what_was_submitted_before_is_answered_whatever_the_limits() {
    let hub = Hub::with(little(|may| may.waiting_requests = 1)).await;
    let person = hub.person().await;
    let body = json!({"model": "lengths", "inputs": ["a"]});
    let send = async |key: &str| {
        let sent = person.post(REQUESTS).json(&body).header("idempotency-key", key);
        sent.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!([send("k").await, send("k").await, send("other").await], [201, 200, 429]);
}

#[tokio::test]
async fn many_at_once_pass_no_limit_and_none_is_lost() {
    let hub = Hub::alone(little(|may| may.waiting_requests = 10)).await;
    let person = hub.person().await;
    let body = json!({"model": "lengths", "inputs": ["a"]});
    let sent = (0..40).map(|_| person.post(REQUESTS).json(&body).send());
    let answers = futures::future::join_all(sent).await;
    let statuses: Vec<u16> =
        answers.into_iter().map(|answer| answer.expect("an answer").status().as_u16()).collect();
    let taken = statuses.iter().filter(|status| **status == 201).count();
    assert!(statuses.iter().all(|status| [201, 429].contains(status)), "{statuses:?}");
    assert!((1..=10).contains(&taken), "{taken}");
    assert_eq!(person.list().await.len(), taken);
}

#[tokio::test]
async fn accounts_may_have_more_and_everybody_sees_what() {
    let hub = Hub::start().await;
    let (anonymous, user) = (hub.person().await, hub.user("ada").await);
    user.submit(&["CCO", "c1ccccc1"]).await;
    let (theirs, ours) = (anonymous.find(LIMITS).await, user.find(LIMITS).await);
    assert_eq!(
        theirs["limits"],
        json!({"waiting_requests": 200, "waiting_inputs": 20_000, "day_inputs": 100_000,
            "bytes": 1_073_741_824})
    );
    for (name, more) in ours["limits"].as_object().expect("an object") {
        assert!(more.as_u64() > theirs["limits"][name].as_u64(), "{name}");
    }
    let used = &ours["used"];
    assert_eq!((&used["waiting_requests"], &used["waiting_inputs"]), (&json!(1), &json!(2)));
    assert_eq!(used["day_inputs"], 2);
    // The array of the two inputs as JSON.
    assert_eq!(used["bytes"], r#"["CCO","c1ccccc1"]"#.len());
}

/// Whoever is far from every limit costs no statement: what is asked is asked once.
#[tokio::test]
async fn a_limit_costs_no_statement_for_each_submission() {
    for database in [Database::Memory, postgres(&schema())] {
        let hub = Arc::new(Hub::on(database, |_| {}).await);
        hub.work().await;
        let person = hub.person().await;
        let lookups = || hub.store.counters().quota_lookups.get();
        let before = lookups();
        for n in 0..100 {
            let body = json!({"model": "lengths", "inputs": [format!("a{n}")]});
            let sent = person.post(&format!("{REQUESTS}?wait=10")).json(&body);
            let sent = sent.header("idempotency-key", format!("k{n}"));
            let answer: Value = sent.send().await.expect("an answer").json().await.expect("JSON");
            assert_eq!(answer["phase"], "completed");
        }
        let asked = lookups() - before;
        assert!((2..=6).contains(&asked), "once at first, and once in 10 s: {asked}");
    }
}

/// Another server's requests are seen before anybody is let past a limit by much.
#[tokio::test]
async fn a_limit_is_seen_by_every_server() {
    let few = || little(|may| may.waiting_requests = 3);
    let schema = schema();
    let (one, two) =
        (Hub::on(postgres(&schema), few()).await, Hub::on(postgres(&schema), few()).await);
    let person = one.person().await;
    for _ in 0..3 {
        person.submit(&["a"]).await;
    }
    let there = two.with_token(&person, &person.token);
    let (problem, _) = refused(&there, &["b"]).await;
    assert_eq!(slug(&problem), "too-many-waiting-requests");
}

#[tokio::test]
async fn one_network_makes_few_sessions_and_accounts() {
    let hub = Hub::alone(|config| config.sessions.a_minute_each = 2).await;
    hub.person().await;
    hub.person().await;
    let answer = hub.http.post(hub.url("/api/v1/sessions")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let after: u64 =
        answer.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!(after >= 1 && Duration::from_secs(after) <= Duration::from_secs(30), "{after}");
    let body = json!({"name": "adam", "first_name": "A", "last_name": "B",
        "email": "a@example.org", "password": crate::hub::PASSWORD});
    let refused = problem(hub.http.post(hub.url("/api/v1/accounts")).json(&body)).await;
    assert_eq!(slug(&refused), "too-many-sessions");
}

#[tokio::test]
async fn all_anonymous_sessions_together_have_limited_space() {
    let hub = Hub::alone(|config| config.quotas.anonymous_all_bytes = 1_000).await;
    let text = "x".repeat(300);
    let first = hub.person().await;
    let request = first.submit(&[&text]).await;
    for _ in 0..2 {
        hub.person().await.submit(&[&text]).await;
    }
    let (full, after) = refused(&hub.person().await, &[&text]).await;
    assert_eq!((slug(&full), after), ("anonymous-space-full", 3600));
    assert!(full["detail"].as_str().expect("words").contains("Log in"), "{full}");
    hub.user("ada").await.submit(&[&text]).await;
    let path = format!("{REQUESTS}/{}", request["id"].as_str().expect("an id"));
    first.send(Method::POST, &format!("{path}/cancel"), json!({})).await;
    first.send(Method::DELETE, &path, json!({})).await;
    is_taken_again(&hub.person().await, &[&text]).await;
}
