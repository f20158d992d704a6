//! `/api/auth`: who these clients are.

use std::time::Duration;

use muster_store::{Database, SessionKind};
use serde_json::{Value, json};

use super::{Client, ID, REQUESTS, detail, ok, send};
use crate::hub::{Hub, PASSWORD, base64, legacy};

const REFRESH: &str = "/api/auth/session/refresh";

#[tokio::test]
async fn the_same_chosen_id_is_the_same_person_and_admins_see_another_one() {
    let hub = Hub::start().await;
    let first = Client::anonymous(&hub, ID).await;
    let request = first.submit(&["CCO"]).await;
    let again = Client::anonymous(&hub, ID).await;
    assert_eq!(again.ids("").await, [request["id"].as_str().expect("an id")]);
    assert_eq!(first.session["userid"], again.session["userid"]);
    assert_ne!(first.session["session_token"], again.session["session_token"]);
    assert_eq!(first.session["session_id"], ID);
    assert_ne!(first.session["userid"], ID);
    let other = Client::anonymous(&hub, "00000000-0000-4000-8000-000000000001").await;
    assert!(other.ids("").await.is_empty());
    for bad in [ID.to_uppercase(), "x".into(), ID.replace('-', ""), format!("{ID}0"), "%ff".into()]
    {
        let path = format!("/api/auth/anonymous-login/{bad}");
        detail(hub.http.post(hub.url(&path)), 400).await;
    }
}

#[tokio::test]
async fn the_stored_database_has_nothing_that_opens() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("muster.db");
    let hub = Hub::on(Database::Sqlite { file }, |_| {}).await;
    let client = Client::anonymous(&hub, ID).await;
    client.submit(&["CCO"]).await;
    let token = client.session["session_token"].as_str().expect("a token");
    let (hex, secrets) = (ID.replace('-', ""), [ID, token]);
    let raw: Vec<u8> =
        (0..16).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("hex")).collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let bytes = std::fs::read(entry.expect("a file").path()).expect("bytes");
        let has = |what: &[u8]| bytes.windows(what.len()).any(|piece| piece == what);
        assert!(secrets.iter().all(|secret| !has(secret.as_bytes())) && !has(&raw));
        seen += bytes.len();
    }
    assert!(seen > 10_000);
}

#[tokio::test]
async fn a_session_is_as_its_clients_know_it() {
    let hub = Hub::start().await;
    let ada = hub.admin("ada").await;
    let body = json!({"encoding": base64(&format!("ada:{PASSWORD}")), "auth_type": "ErsiliaUser"});
    let answer = ok(hub.http.post(hub.url("/api/auth/login")).json(&body)).await;
    let session = &answer["session"];
    assert_eq!(session["userid"], ada.id.to_string());
    assert_eq!(session["auth_type"], "ErsiliaUser");
    for (member, least) in [("userid", 36), ("session_id", 36), ("session_token", 10)] {
        assert!(session[member].as_str().is_some_and(|text| text.len() >= least), "{member}");
    }
    let start = session["session_start_time"].as_str().expect("a time");
    start.parse::<muster_core::Timestamp>().expect("RFC 3339");
    let age = session["session_max_age_seconds"].as_u64().expect("seconds");
    assert!((1_700..=1_800).contains(&age), "an admin may be silent for half an hour: {age}");
    assert_eq!(answer["permissions"], json!(["ADMIN"]));
    let user = &answer["user"];
    assert_eq!((&user["username"], &user["email"]), (&json!("ada"), &json!("ada@example.org")));
    let nobody = ok(hub.http.post(hub.url(&format!("/api/auth/anonymous-login/{ID}")))).await;
    assert_eq!(nobody["permissions"], json!([]));
    assert_eq!(nobody["session"]["auth_type"], "ErsiliaAnonymous");
    assert_eq!(
        (&nobody["user"]["username"], &nobody["user"]["email"]),
        (&json!("anonymous"), &Value::Null)
    );
}

#[tokio::test]
async fn wrong_logins_are_refused_and_counted() {
    let hub = Hub::start().await;
    hub.user("ada").await;
    let login = |encoding: String| {
        hub.http.post(hub.url("/api/auth/login")).json(&json!({"encoding": encoding}))
    };
    let wrong = detail(login(base64("ada:wrong")), 400).await;
    for bad in
        ["%%%".to_owned(), base64("no colon"), base64("a\0:b"), base64("who:x"), String::new()]
    {
        assert_eq!(detail(login(bad), 400).await, wrong);
    }
    detail(hub.http.post(hub.url("/api/auth/login")).body("{"), 422).await;
    detail(hub.http.post(hub.url("/api/auth/login")).body(r#"{"encoding": 1}"#), 422).await;
    for _ in 0..4 {
        detail(login(base64("ada:wrong")), 400).await;
    }
    let words = detail(login(base64(&format!("ada:{PASSWORD}"))), 429).await;
    assert!(words.contains("seconds"), "{words}");
    let answer = send(login(base64("ada:wrong"))).await;
    assert!(answer.headers().contains_key("retry-after"));
}

/// The scheme word, and what else the session object says, grant nothing.
#[tokio::test]
async fn only_the_token_counts() {
    let hub = Hub::start().await;
    let mut client = Client::anonymous(&hub, ID).await;
    let root = hub.admin("root").await;
    client.session["auth_type"] = json!("ErsiliaUser");
    client.session["userid"] = json!(root.id.to_string());
    client.session["permissions"] = json!(["ADMIN"]);
    let done = client.run(&["CCO"]).await;
    let path = format!("{REQUESTS}/{}?include_result=1", done["id"].as_str().expect("an id"));
    assert!(ok(client.get(&path)).await["result"][0].is_string(), "no objects without ADMIN");
    assert_ne!(done["user_id"], root.id.to_string());
    let token = client.session["session_token"].as_str().expect("a token").to_owned();
    let session = base64(&client.session.to_string());
    for bad in [
        String::new(),
        "ErsiliaAnonymous".into(),
        "ErsiliaAnonymous ".into(),
        format!("Bearer {token}"),
        format!("Basic {session}"),
        format!("ErsiliaUser {token}"),
        format!("ErsiliaUser {session}!"),
        format!("ErsiliaUser {}", base64("[]")),
        format!("ErsiliaUser {}", base64(r#"{"session_id": "x"}"#)),
        format!("ErsiliaUser {}", base64(r#"{"session_token": 1}"#)),
        format!("ErsiliaUser {}", base64(&json!({"session_token": ID}).to_string())),
        legacy(&"0".repeat(64)),
    ] {
        for path in [REQUESTS, "/api/models"] {
            let get = hub.http.get(hub.url(path)).header("authorization", &bad);
            detail(get, 401).await;
        }
    }
    let answer = send(hub.http.get(hub.url(REQUESTS))).await;
    assert_eq!(answer.status(), 401);
    assert!(answer.headers()["www-authenticate"].to_str().expect("text").starts_with("Ersilia"));
    let ours = hub.http.get(hub.url("/api/v1/requests")).header("authorization", legacy(&token));
    assert_eq!(send(ours).await.status(), 401, "and our own API does not know the word");
}

#[tokio::test]
async fn an_api_token_may_do_what_its_scope_says() {
    let hub = Hub::start().await;
    let ada = hub.user("ada").await;
    let (token, _) = hub.session_of(ada.id, SessionKind::Token, "read").await;
    let session = json!({"auth_type": "ErsiliaUser", "session_token": token});
    let client = Client { hub: &hub, session };
    assert!(client.ids("").await.is_empty());
    detail(client.submission(json!({"entries": ["CCO"]})), 403).await;
    detail(client.post(REFRESH), 403).await;
}

#[tokio::test]
async fn a_session_that_is_over_is_nobodys() {
    let hub = Hub::with(|config| config.sessions.policy.anonymous.absolute = Duration::ZERO).await;
    let client = Client::anonymous(&hub, ID).await;
    for request in [
        client.get(REQUESTS),
        client.get("/api/models"),
        client.get("/api/models/lengths"),
        client.get(&format!("{REQUESTS}/{ID}")),
        client.submission(json!({"entries": ["CCO"]})),
        client.post(REFRESH),
        client.post("/api/auth/logout"),
    ] {
        detail(request, 401).await;
    }
}

#[tokio::test]
async fn logging_out_ends_the_session_and_not_the_person() {
    let hub = Hub::alone(|_| {}).await;
    let client = Client::anonymous(&hub, ID).await;
    let request = client.submit(&["CCO"]).await;
    assert_eq!(ok(client.post("/api/auth/logout")).await, json!({"status": "ok"}));
    detail(client.get(REQUESTS), 401).await;
    detail(client.post("/api/auth/logout"), 401).await;
    let again = Client::anonymous(&hub, ID).await;
    assert_eq!(again.ids("").await, [request["id"].as_str().expect("an id")]);
}

#[tokio::test]
async fn a_refresh_gives_a_new_token_and_the_old_one_is_good_for_a_moment() {
    let hub = Hub::start().await;
    let client = Client::anonymous(&hub, ID).await;
    let session = ok(client.post(REFRESH)).await;
    assert_eq!(session["session_id"], ID, "as the client calls it");
    assert_eq!(session["userid"], client.session["userid"]);
    assert_ne!(session["session_token"], client.session["session_token"]);
    let new = Client { hub: &hub, session };
    let retried = Client { hub: &hub, session: ok(client.post(REFRESH)).await };
    for one in [&client, &new, &retried] {
        assert!(one.ids("").await.is_empty());
    }
    assert_eq!(retried.session["session_token"], new.session["session_token"]);
}

/// I-42
#[tokio::test]
async fn twenty_refreshes_with_one_token_have_one_successor() {
    let hub = Hub::start().await;
    let client = Client::anonymous(&hub, ID).await;
    let all = (0..20).map(|_| async { ok(client.post(REFRESH)).await["session_token"].clone() });
    let tokens = futures::future::join_all(all).await;
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

#[tokio::test]
async fn a_token_that_comes_back_after_its_moment_ends_the_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("muster.db");
    let hub = Hub::on(Database::Sqlite { file: file.clone() }, |_| {}).await;
    let old = Client::anonymous(&hub, ID).await;
    let new = Client { hub: &hub, session: ok(old.post(REFRESH)).await };
    let late =
        "UPDATE token SET replaced_at = replaced_at - 61000000 WHERE replaced_at IS NOT NULL";
    let done = std::process::Command::new("python3")
        .args(["-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"])
        .args([file.as_os_str(), late.as_ref()])
        .status()
        .expect("python3");
    assert!(done.success());
    assert!(new.ids("").await.is_empty());
    detail(old.post(REFRESH), 401).await;
    detail(new.get(REQUESTS), 401).await;
    detail(new.post(REFRESH), 401).await;
}

#[tokio::test]
async fn what_an_account_claimed_is_not_the_chosen_ids_any_more() {
    let hub = Hub::alone(|_| {}).await;
    hub.user("ada").await;
    let client = Client::anonymous(&hub, ID).await;
    let request = client.submit(&["CCO"]).await;
    let token = client.session["session_token"].as_str().expect("a token");
    let login = json!({"name": "ada", "password": PASSWORD});
    let login = hub.http.post(hub.url("/api/v1/session")).json(&login).bearer_auth(token);
    assert_eq!(send(login).await.status(), 201);
    detail(client.get(REQUESTS), 401).await;
    let again = Client::anonymous(&hub, ID).await;
    assert_ne!(again.session["userid"], client.session["userid"]);
    let path = format!("{REQUESTS}/{}", request["id"].as_str().expect("an id"));
    detail(again.get(&path), 404).await;
}
