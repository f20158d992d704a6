//! What clients of the predecessor send, and what they get.

use std::sync::Arc;
use std::time::Duration;

use muster_store::{Database, SessionKind};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::hub::{Hub, PASSWORD, base64, legacy, until};

const ID: &str = "3f0b4c1e-8a52-4f1d-9d0e-0a1b2c3d4e5f";
const REFRESH: &str = "/api/auth/session/refresh";
const REQUESTS: &str = "/api/work-requests";

/// Somebody who sends the whole session back, as it was given.
struct Client<'h> {
    hub: &'h Hub,
    session: Value,
}

impl<'h> Client<'h> {
    async fn anonymous(hub: &'h Hub, id: &str) -> Self {
        let path = format!("/api/auth/anonymous-login/{id}");
        let answer = ok(hub.http.post(hub.url(&path))).await;
        Self { hub, session: answer["session"].clone() }
    }

    fn authorization(&self) -> String {
        let scheme = self.session["auth_type"].as_str().expect("a word");
        format!("{scheme} {}", base64(&self.session.to_string()))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.hub.http.request(method, self.hub.url(path));
        request.header("authorization", self.authorization())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    fn submission(&self, payload: Value) -> RequestBuilder {
        let body = json!({"model_id": "lengths", "request_payload": payload});
        self.post(REQUESTS).json(&body)
    }

    async fn submit(&self, entries: &[&str]) -> Value {
        ok(self.submission(json!({"entries": entries}))).await
    }

    /// Submits, plays the engine, and fetches the result.
    async fn run(&self, entries: &[&str]) -> Value {
        let id = self.submit(entries).await["id"].as_str().expect("an id").to_owned();
        self.hub.complete(self.hub.claim().await).await;
        ok(self.get(&format!("{REQUESTS}/{id}?include_result=True&csv_result=true"))).await
    }

    async fn ids(&self, query: &str) -> Vec<String> {
        let list = ok(self.get(&format!("{REQUESTS}?{query}"))).await;
        let ids = list["items"].as_array().expect("items").iter();
        ids.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn ok(request: RequestBuilder) -> Value {
    let answer = send(request).await;
    let status = answer.status();
    let text = answer.text().await.expect("text");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The words of an answer that is an error of this status and nothing else.
async fn detail(request: RequestBuilder, status: u16) -> String {
    let answer = send(request).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let got = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(got, status, "{body}");
    let members = body.as_object().expect("an object");
    assert_eq!(members.len(), 1, "{body}");
    let words = members["detail"].as_str().expect("words").to_owned();
    for ours in ["/api/v1", "Bearer", "sqlx", "serde"] {
        assert!(!words.contains(ours), "{words}");
    }
    words
}

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
    let hub = Hub::start().await;
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
async fn results_are_lines_with_a_header_one_for_each_input() {
    let hub = Hub::start().await;
    let client = Client::anonymous(&hub, ID).await;
    let done = client.run(&["smiles\n", "CCO\n", "a,\"b\"\r\n", "bad\n"]).await;
    assert_eq!(
        done["result"],
        json!([
            "input,length,half,error",
            "CCO,3,1.5,",
            "\"a,\"\"b\"\"\",5,2.5,",
            "bad,,,'=cannot read it",
        ])
    );
    assert_eq!(done["request_payload"], json!({"entries": ["CCO", "a,\"b\"", "bad"]}));
    assert_eq!(done["request_status"], "COMPLETED");
    assert_eq!((&done["input_size"], &done["metadata"]["header"]), (&json!(3), &json!("used")));
    assert_eq!(done["request_status_reason"], Value::Null, "nothing surprises");
    for member in [
        "request_date",
        "last_updated",
        "processed_timestamp",
        "job_submission_timestamp",
        "pod_ready_timestamp",
    ] {
        let text = done[member].as_str().expect(member);
        text.parse::<muster_core::Timestamp>().expect("RFC 3339");
    }
    let path = format!("{REQUESTS}/{}", done["id"].as_str().expect("an id"));
    for query in ["", "?csv_result=true", "?include_result=False", "?include_result=0&unknown=1"] {
        assert_eq!(ok(client.get(&format!("{path}{query}"))).await["result"], Value::Null);
    }
    detail(client.get(&format!("{path}?include_result=maybe")), 422).await;
}

/// The predecessor's own sample file has no header.
#[tokio::test]
async fn a_file_without_a_header_loses_nothing_and_says_so() {
    let hub = Hub::start().await;
    let client = Client::anonymous(&hub, ID).await;
    let done = client.run(&["CCO\n", "C\n", "\n"]).await;
    assert_eq!(done["result"], json!(["input,length,half", "CCO,3,1.5", "C,1,0.5"]));
    assert_eq!(done["metadata"]["header"], "absent");
    let reason = done["request_status_reason"].as_str().expect("words");
    assert!(reason.contains("all of them are inputs, 2") && reason.contains("passed over: 1"));
    assert_eq!(done["metadata"]["note"], reason);
    let table = client.run(&["name,smiles\n", "ethanol,CCO\n"]).await;
    assert_eq!(table["result"], json!(["input,length,half", "CCO,3,1.5"]));
    let payload = json!({"entries": ["smiles", "C"], "has_header": false, "cache_opt_in": true});
    assert_eq!(ok(client.submission(payload)).await["input_size"], 2);
}

#[tokio::test]
async fn admins_get_objects_and_lines_if_they_ask() {
    let hub = Hub::start().await;
    let root = hub.admin("root").await;
    let session = json!({"auth_type": "ErsiliaUser", "session_token": root.token});
    let client = Client { hub: &hub, session };
    let done = client.run(&["smiles", "CCO"]).await;
    assert!(done["result"][0].is_string());
    let path = format!("{REQUESTS}/{}?include_result=yes", done["id"].as_str().expect("an id"));
    let want = json!([{"input": "CCO", "length": 3, "half": 1.5}]);
    assert_eq!(ok(client.get(&path)).await["result"], want);
}

#[tokio::test]
async fn lists_keep_to_their_filters() {
    let hub = Arc::new(Hub::start().await);
    let client = Client::anonymous(&hub, ID).await;
    let done = client.run(&["CCO"]).await;
    let open = client.submit(&["C"]).await;
    let id = |request: &Value| request["id"].as_str().expect("an id").to_owned();
    let (done_id, open_id) = (id(&done), id(&open));
    let at = done["request_date"].as_str().expect("a time");
    let both = vec![open_id.clone(), done_id.clone()];
    for (query, want) in [
        (String::new(), both.clone()),
        ("limit=1".into(), vec![open_id.clone()]),
        (format!("id={done_id}"), vec![done_id.clone()]),
        ("id=42".into(), vec![]),
        ("id='%20OR%201=1".into(), vec![]),
        ("model_ids=lengths&model_ids=other".into(), both.clone()),
        ("model_ids=other".into(), vec![]),
        ("request_statuses=COMPLETED".into(), vec![done_id.clone()]),
        ("request_statuses=COMPLETED&request_statuses=QUEUED".into(), both.clone()),
        ("request_statuses=FAILED&request_statuses=PROCESSING".into(), vec![]),
        ("request_statuses=SCHEDULING".into(), vec![]),
        (format!("request_date_to={at}"), vec![done_id.clone()]),
        (format!("request_date_from={at}"), both.clone()),
        ("request_date_from=2999-01-01".into(), vec![]),
    ] {
        assert_eq!(client.ids(&query).await, want, "{query}");
    }
    for bad in ["limit=0", "limit=501", "limit=x", "request_date_from=yesterday", "id=%ff"] {
        detail(client.get(&format!("{REQUESTS}?{bad}")), 422).await;
    }
    let other = Client::anonymous(&hub, "00000000-0000-4000-8000-000000000001").await;
    assert!(other.ids(&format!("id={done_id}")).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_words() {
    let hub = Hub::with(|config| {
        config.limits.body_bytes = 2_000;
        config.limits.inputs = 3;
        config.limits.input_bytes = 20;
    })
    .await;
    let client = Client::anonymous(&hub, ID).await;
    let body =
        |text: String| client.post(REQUESTS).header("content-type", "application/json").body(text);
    for bad in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"model_id": "lengths"}"#,
        r#"{"model_id": "lengths", "request_payload": null}"#,
        r#"{"model_id": "lengths", "request_payload": {"entries": "CCO"}}"#,
        r#"{"model_id": "lengths", "request_payload": {"entries": ["C"], "has_header": "x"}}"#,
        r#"{"model_id": 1, "request_payload": {"entries": ["C"]}}"#,
    ] {
        detail(body(bad.into()), 422).await;
    }
    for (entries, words) in [
        (json!([]), "no row"),
        (json!(["smiles"]), "no row"),
        (json!(["C", 1]), "must be a string"),
        (json!(["C", "a\0"]), "NUL"),
        (json!(["C", "x".repeat(21)]), "Line 2"),
        (json!(["C", "C", "C", "C"]), "3 inputs"),
    ] {
        let said = detail(client.submission(json!({"entries": entries})), 400).await;
        assert!(said.contains(words), "{said}");
    }
    let four = json!(["smiles", "C", "C", "C"]);
    ok(client.submission(json!({"entries": four, "unknown": {"a": [1]}}))).await;
    let long = client.submission(json!({"entries": ["C"], "filler": "x".repeat(2_000)}));
    detail(long, 413).await;
    let unknown = json!({"model_id": "nothing", "request_payload": {"entries": ["C"]}});
    detail(client.post(REQUESTS).json(&unknown), 404).await;
}

#[tokio::test]
async fn models_are_listed_as_they_were() {
    let hub = Hub::start().await;
    let list = ok(hub.http.get(hub.url("/api/models"))).await;
    let one = ok(hub.http.get(hub.url("/api/models/lengths"))).await;
    assert_eq!(list["items"], json!([one]));
    assert_eq!((&one["id"], &one["enabled"]), (&json!("lengths"), &json!(true)));
    assert!(one["details"]["description"].is_string() && one.get("last_updated").is_some());
    for unknown in ["nothing", "UPPER", "%ff", "a%20b"] {
        detail(hub.http.get(hub.url(&format!("/api/models/{unknown}"))), 404).await;
    }
}

#[tokio::test]
async fn many_inputs_are_read_and_come_back_whole() {
    let hub = Arc::new(Hub::start().await);
    hub.work().await;
    let client = Client::anonymous(&hub, ID).await;
    let entries: Vec<String> = (0..20_000).map(|n| format!("input number {n}\n")).collect();
    let sent = ok(client.submission(json!({"entries": entries}))).await;
    assert_eq!((&sent["input_size"], &sent["request_payload"]), (&json!(20_000), &Value::Null));
    let path = format!("{REQUESTS}/{}?include_result=true", sent["id"].as_str().expect("an id"));
    until("it is completed", async || ok(client.get(&path)).await["request_status"] == "COMPLETED")
        .await;
    let done = ok(client.get(&path)).await;
    let lines = done["result"].as_array().expect("lines");
    assert_eq!((lines.len(), &lines[0]), (20_001, &json!("input,length,half")));
    for (n, line) in lines[1..].iter().enumerate() {
        let input = format!("input number {n},");
        assert!(line.as_str().is_some_and(|line| line.starts_with(&input)), "{line}");
    }
}

/// One hub, one person, two ways to speak.
#[tokio::test]
async fn both_apis_show_the_same_requests() {
    let hub = Hub::start().await;
    let ada = hub.user("ada").await;
    let session = json!({"auth_type": "ErsiliaUser", "session_token": ada.token});
    let client = Client { hub: &hub, session };
    let theirs = client.submit(&["smiles", "CCO"]).await;
    let ours = ada.submit(&["C"]).await;
    let id = |request: &Value| request["id"].as_str().expect("an id").to_owned();
    assert_eq!(client.ids("").await, [id(&ours), id(&theirs)]);
    assert_eq!(ada.list().await.len(), 2);
    let seen = ok(client.get(&format!("{REQUESTS}/{}", id(&ours)))).await;
    assert_eq!(seen["metadata"]["header"], "not_a_file");
    assert_eq!(
        (&seen["metadata"]["note"], &seen["request_status"]),
        (&Value::Null, &json!("QUEUED"))
    );
    let cancel = format!("/api/v1/requests/{}/cancel", id(&ours));
    ada.send(Method::POST, &cancel, json!({"reason": "not needed"})).await;
    let seen = ok(client.get(&format!("{REQUESTS}/{}?include_result=1", id(&ours)))).await;
    assert_eq!((&seen["request_status"], &seen["result"]), (&json!("FAILED"), &Value::Null));
    assert_eq!(seen["request_status_reason"], "not needed");
}

#[tokio::test]
async fn what_an_account_claimed_is_not_the_chosen_ids_any_more() {
    let hub = Hub::start().await;
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
