//! `/api/models` and `/api/work-requests`.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Client, ID, REQUESTS, detail, ok};
use crate::hub::{Hub, until};

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
