//! What people call their requests, and how they find them again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, Person, problem, slug};

const REQUESTS: &str = "/api/v1/requests";

fn path(request: &Value) -> String {
    format!("{REQUESTS}/{}", request["id"].as_str().expect("an id"))
}

async fn labels(person: &Person, query: &str) -> Vec<String> {
    let page = person.find(&format!("{REQUESTS}?{query}")).await;
    let items = page["items"].as_array().expect("items").iter();
    items.map(|request| request["label"].as_str().unwrap_or("-").to_owned()).collect()
}

async fn called(person: &Person, label: &str) -> Value {
    let body = json!({"model": "lengths", "inputs": ["CCO"], "label": label});
    person.send(Method::POST, REQUESTS, body).await
}

#[tokio::test]
async fn a_request_is_called_what_its_owner_says() {
    let hub = Hub::start().await;
    let (person, stranger) = (hub.person().await, hub.person().await);
    assert_eq!(person.submit(&["CCO"]).await["label"], Value::Null);
    let request = called(&person, "  Plate 7, día 2 ").await;
    assert_eq!(request["label"], "Plate 7, día 2");
    let upload = person.upload("model=lengths&label=From%20a%20file", "CCO\n");
    let upload: Value = upload.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(upload["label"], "From a file");
    let form = "--x\r\nContent-Disposition: form-data; name=\"label\"\r\n\r\nA form\r\n--x\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\nCCO\n\r\n--x--\r\n";
    let form = person
        .post(&format!("{REQUESTS}?model=lengths"))
        .header("content-type", "multipart/form-data; boundary=x")
        .body(form);
    let form: Value = form.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(form["label"], "A form");
    // Also when it has ended, and on whichever way it is found.
    hub.complete(hub.claim().await).await;
    let changed = person.send(Method::PATCH, &path(&request), json!({"label": "Plate 8"})).await;
    assert_eq!((&changed["label"], &changed["phase"]), (&json!("Plate 8"), &json!("completed")));
    assert_eq!(person.find(&path(&request)).await["label"], "Plate 8");
    assert_eq!(labels(&person, "").await, ["A form", "From a file", "Plate 8", "-"]);
    let foreign = stranger.request(Method::PATCH, &path(&request)).json(&json!({"label": "x"}));
    assert_eq!(slug(&problem(foreign).await), "not-found");
    for nothing in [json!(null), json!(" ")] {
        let body = json!({"label": nothing});
        assert_eq!(person.send(Method::PATCH, &path(&request), body).await["label"], Value::Null);
    }
    for label in [json!("x".repeat(101)), json!("two\nlines"), json!("nul \0"), json!(7)] {
        let submit = json!({"model": "lengths", "inputs": ["CCO"], "label": &label});
        let change = person.request(Method::PATCH, &path(&request)).json(&json!({"label": &label}));
        for refused in [person.post(REQUESTS).json(&submit), change] {
            let refused = problem(refused).await;
            assert_eq!(
                (slug(&refused), &refused["pointer"]),
                ("bad-json", &json!("/label")),
                "{label}"
            );
        }
    }
    let nothing = problem(person.request(Method::PATCH, &path(&request)).json(&json!({}))).await;
    assert_eq!((slug(&nothing), &nothing["pointer"]), ("bad-json", &json!("/label")));
    let long = person.upload(&format!("model=lengths&label={}", "x".repeat(101)), "CCO\n");
    assert_eq!(problem(long).await["parameter"], "label");
}

#[tokio::test]
async fn requests_are_found_by_label_models_phases_and_days() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    called(&person, "done ÉTÉ 100%").await;
    hub.complete(hub.claim().await).await;
    called(&person, "failed 100_").await;
    hub.fail().await;
    let waits = called(&person, "=waits").await;
    let id = waits["id"].as_str().expect("an id");
    let day = muster_core::stats::Day::of(hub.store.now());
    let before = muster_core::stats::Day(day.0 - 1);
    let all = ["=waits", "failed 100_", "done ÉTÉ 100%"];
    for (query, found) in [
        ("search=%C3%A9t%C3%A9".to_owned(), &all[2..]),
        ("search=100%25".into(), &all[2..]),
        ("search=100_".into(), &all[1..2]),
        ("search=FAILED&phase=failed".into(), &all[1..2]),
        ("search=failed&phase=waiting".into(), &[]),
        (format!("search={id}"), &all[..1]),
        ("search=".into(), &all),
        ("phase=waiting&phase=failed".into(), &all[..2]),
        ("model=other&model=lengths".into(), &all),
        ("model=other".into(), &[]),
        (format!("from={before}&to={day}"), &all),
        (format!("to={before}"), &[]),
    ] {
        assert_eq!(labels(&person, &query).await, found, "{query}");
    }
    let first = person.find(&format!("{REQUESTS}?search=100&limit=1")).await;
    let next = first["next"].as_str().expect("more");
    assert_eq!(labels(&person, &format!("search=100&after={next}")).await, all[2..]);
    for (query, name) in [
        ("phase=waiting&phase=lost", "phase"),
        ("from=2026-11-28&to=2026-11-27", "to"),
        ("search=%00", ""),
    ] {
        let refused = problem(person.get(&format!("{REQUESTS}?{query}"))).await;
        assert_eq!(slug(&refused), "bad-parameter", "{query}");
        assert!(name.is_empty() || refused["parameter"] == name, "{refused}");
    }
    let csv = person.get(&format!("{REQUESTS}?format=csv")).send().await.expect("an answer");
    let csv = csv.text().await.expect("text");
    assert!(csv.lines().next().expect("a header").ends_with(",reason,label"), "{csv}");
    assert!(csv.contains(",'=waits\r\n"), "no formula: {csv}");
}

/// # brief: RQ-2
#[tokio::test]
async fn no_administrator_reads_a_label() {
    let hub = Hub::start().await;
    let (person, root) = (hub.person().await, hub.admin("root").await);
    let request = called(&person, "canary of mine").await;
    hub.fail().await;
    let id = request["id"].as_str().expect("an id");
    let all = "/api/v1/admin/requests";
    let again = root.send(Method::POST, &format!("{all}/{id}/requeue"), json!({})).await;
    let new = again["id"].as_str().expect("an id").to_owned();
    let cancel = format!("{all}/{new}/cancel");
    let cancelled = root.send(Method::POST, &cancel, json!({"reason": "a test"})).await;
    let mut seen = vec![again.to_string(), cancelled.to_string()];
    for read in [
        all.to_owned(),
        format!("{all}/{id}"),
        format!("{all}/{new}"),
        format!("{all}?format=csv"),
        "/api/v1/audit".into(),
        "/api/v1/stats".into(),
        "/api/v1/instances".into(),
    ] {
        let answer = root.get(&read).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{read}");
        seen.push(answer.text().await.expect("text"));
    }
    for text in seen {
        assert!(!text.contains("canary") && !text.contains("label"), "{text}");
    }
    let mine = person.find(&format!("{REQUESTS}/{new}")).await;
    assert_eq!(mine["label"], "canary of mine", "its owner does");
}
