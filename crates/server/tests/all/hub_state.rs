//! What a hub is, and how it does.

use std::time::Duration;

use muster_core::{Check, CheckState, Clearing, Retention};
use muster_server::{Machine, Mail, WebFiles};
use serde_json::{Value, json};

use crate::hub::{Hub, problem, slug};
use crate::smtp::SmtpServer;

const HUB: &str = "/api/v1/hub";
const STATE: &str = "/api/v1/hub/state";

async fn public(hub: &Hub) -> Value {
    let answer = hub.http.get(hub.url(HUB)).send().await.expect("an answer");
    answer.json().await.expect("JSON")
}

fn check<'s>(state: &'s Value, name: &str) -> &'s Value {
    let checks = state["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {state}"))
}

#[tokio::test]
async fn everybody_is_told_what_the_hub_is() {
    let hub = Hub::start().await;
    let plain = public(&hub).await;
    assert_eq!(plain["version"], env!("CARGO_PKG_VERSION"));
    let made = hub.http.get(hub.url("/api/v1/version")).send().await.expect("an answer");
    let made: Value = made.json().await.expect("JSON");
    assert_eq!(made["version"], plain["version"]);
    assert_eq!(made["target"], muster_server::MADE.target);
    assert_eq!((&plain["web_build"], &plain["sends_mail"]), (&Value::Null, &json!(false)));
    let week = 7 * 86_400;
    assert_eq!(plain["kept"], json!({"anonymous_seconds": week, "account_seconds": week}));
    let time = plain["time"].as_str().expect("a time");
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    let web = |page: &'static [u8]| {
        let files: &'static [(&str, &[u8])] = vec![("index.html", page)].leak();
        Hub::with(move |config| {
            config.web = WebFiles(files);
            config.mail =
                Some(Mail::new("smtp://127.0.0.1:1", "hub@example.org").expect("it fits"));
            config.clearing.retention.account = None;
        })
    };
    let (one, same, other) = (web(b"<p>1").await, web(b"<p>1").await, web(b"<p>2").await);
    let (one, same, other) = (public(&one).await, public(&same).await, public(&other).await);
    assert_eq!(one["web_build"].as_str().map(str::len), Some(12));
    assert_eq!(one["web_build"], same["web_build"]);
    assert_ne!(one["web_build"], other["web_build"]);
    assert_eq!((&one["sends_mail"], &one["kept"]["account_seconds"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn administrators_are_told_how_the_hub_does() {
    let smtp = SmtpServer::start(&[]).await;
    let mail = Mail::new(&smtp.url, "Muster <hub@example.org>").expect("it fits");
    let day = Duration::from_secs(86_400);
    let retention = Retention { predictions: None, ..Retention::default() };
    let hub = Hub::alone(|config| {
        config.mail = Some(mail);
        config.clearing = Clearing { every: Some(day), retention };
        config.machine =
            Machine::new(|| vec![Check::new("disk", CheckState::Note, "9.9 GiB free")]);
    });
    let hub = hub.await;
    let (root, ada) = (hub.admin("root").await, hub.user("ada").await);
    assert_eq!(slug(&problem(ada.get(STATE)).await), "forbidden");
    hub.boot().await;
    let state = root.find(STATE).await;
    assert_eq!(state["good"], true, "a note is no fault: {state}");
    for (name, word) in
        [("database", "SQLite 3."), ("objects", "removed"), ("mail", "hub@example.org")]
    {
        let found = check(&state, name);
        assert_eq!(found["state"], "good", "{found}");
        assert!(found["what"].as_str().expect("words").contains(word), "{found}");
    }
    assert_eq!(check(&state, "clock")["state"], "good");
    let disk = json!({"name": "disk", "state": "note", "what": "9.9 GiB free"});
    assert_eq!(check(&state, "disk"), &disk);
    let servers = state["servers"].as_array().expect("servers");
    assert_eq!(servers.len(), 1);
    assert_eq!((&servers[0]["plans"], &servers[0]["answers"]), (&json!(true), &json!(true)));
    assert_eq!(state["instances"], json!({"now": 1, "most": 16}));
    assert_eq!(state["event_streams"], json!({"now": 0, "most": 512}));
    let clearing = &state["clearing"];
    assert_eq!((&clearing["every_seconds"], &clearing["last"]), (&json!(86_400), &Value::Null));
    assert_eq!(clearing["predictions_seconds"], Value::Null);
    assert_eq!(clearing["instances_seconds"], 90 * 86_400);
    assert!(clearing["next_at"].is_string(), "it is time: {clearing}");
    hub.store
        .tidy(&Clearing { every: Some(day), retention })
        .await
        .expect("an answer")
        .expect("it");
    let cleared = root.find(STATE).await["clearing"].clone();
    let (last, next) = (&cleared["last"], cleared["next_at"].as_str().expect("a time"));
    assert!(last["ended_at"].is_string(), "{cleared}");
    assert!(next > last["began_at"].as_str().expect("a time"), "{cleared}");
    let stream = root.get("/api/v1/events").send().await.expect("an answer");
    assert_eq!(root.find(STATE).await["event_streams"]["now"], 1);
    drop(stream);
}

#[tokio::test]
async fn what_is_broken_is_said() {
    let mail = Mail::new("smtp://127.0.0.1:1", "hub@example.org").expect("it fits");
    let hub = Hub::alone(|config| config.mail = Some(mail)).await;
    let root = hub.admin("root").await;
    let state = root.find(STATE).await;
    assert_eq!(
        (&state["good"], &check(&state, "mail")["state"]),
        (&json!(false), &json!("broken"))
    );
    // An administrator whose session is in memory is told that the database is gone.
    hub.store.close().await;
    let hub = Hub::alone(|_| {}).await;
    let root = hub.admin("root").await;
    assert_eq!(root.status("/api/v1/session").await, 200);
    hub.store.close().await;
    let state = root.find(STATE).await;
    assert_eq!(check(&state, "database")["state"], "broken");
    assert_eq!((&state["servers"], &state["instances"]["now"]), (&Value::Null, &Value::Null));
    assert_eq!(state["clearing"]["next_at"], Value::Null);
}
