//! Everybody's requests over HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_core::Cause;
use muster_core::retry::Retry;
use muster_store::TaskBack;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hub::{Hub, Person, problem, slug, until};

const ALL: &str = "/api/v1/admin/requests";

fn id(request: &Value) -> String {
    request["id"].as_str().expect("an id").to_owned()
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().expect("items").iter().map(id).collect()
}

impl Hub {
    /// What was claimed fails for good.
    pub async fn fail(&self) {
        let retry = Retry::Fail { cause: Cause::ModelError, reason: "it said CCO".into() };
        let back = |task: muster_store::ClaimedTask| TaskBack {
            key: task.key,
            attempt: task.attempt,
            retry: retry.clone(),
        };
        let tasks = self.claim().await.into_iter().map(back).collect();
        self.store.give_back(tasks).await.expect("an answer");
    }
}

/// Two people and an anonymous session, with requests that completed, failed, and wait.
async fn crowd() -> (Hub, Person, [Person; 3], [String; 5]) {
    let hub = Hub::start().await;
    let people = [hub.user("ada").await, hub.user("=bob").await, hub.person().await];
    let mut all = Vec::new();
    for (person, inputs) in [(0, vec!["a"]), (0, vec!["b", "bad c"]), (2, vec!["bad"])] {
        all.push(id(&people[person].submit(&inputs).await));
        hub.complete(hub.claim().await).await;
    }
    all.push(id(&people[1].submit(&["CCO"]).await));
    hub.fail().await;
    all.push(id(&people[2].submit(&["f"]).await));
    let admin = hub.admin("root").await;
    (hub, admin, people, all.try_into().expect("five"))
}

/// # brief: RQ-1, RQ-2
#[tokio::test]
async fn an_admin_sees_whose_request_it_is_and_how_it_went() {
    let (hub, admin, people, all) = crowd().await;
    let page = admin.find(ALL).await;
    let newest: Vec<String> = all.iter().rev().cloned().collect();
    assert_eq!((ids(&page), &page["next"], &page["cut"]), (newest, &Value::Null, &json!(false)));
    let [waiting, failed, errors, partial, complete] =
        page["items"].as_array().expect("items").first_chunk().expect("five");
    for (request, phase, status) in [
        (waiting, "waiting", "none"),
        (failed, "failed", "none"),
        (errors, "completed", "errors"),
        (partial, "completed", "partial"),
        (complete, "completed", "complete"),
    ] {
        assert_eq!((&request["phase"], &request["result_status"]), (&json!(phase), &json!(status)));
        assert_eq!(request["model"], "lengths");
        assert_eq!(request["model_version"], "1.0.0+00000000");
    }
    assert_eq!((&complete["user"], &complete["user_name"]), (&json!(people[0].id), &json!("ada")));
    assert_eq!((&complete["session"], &complete["auth_type"]), (&Value::Null, &json!("account")));
    assert_eq!((&errors["user"], &errors["user_name"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&errors["session"], &errors["auth_type"]),
        (&json!(people[2].id), &json!("anonymous"))
    );
    assert_eq!(
        (&partial["inputs"], &partial["done"], &partial["failed"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!((&partial["input_size"], &complete["input_size"]), (&json!("2-10"), &json!("1")));
    assert_eq!((&complete["attempts"], &waiting["attempts"]), (&json!(1), &json!(0)));
    assert_eq!(complete["instances"].as_array().map(Vec::len), Some(1));
    assert_eq!(failed["error_class"], "model_error");
    assert_eq!(failed["error"], "The model failed. Its words are for the request's owner.");
    let own = people[1].find(&format!("/api/v1/requests/{}", all[3])).await;
    assert_eq!(own["reason"], "it said CCO");
    let whole = admin.find(&format!("{ALL}/{}", all[0])).await;
    let phases: Vec<&Value> = whole["timeline"]
        .as_array()
        .expect("a timeline")
        .iter()
        .map(|step| &step["phase"])
        .collect();
    assert_eq!(phases, ["waiting", "running", "completed"]);
    assert_eq!(whole["timeline"][2]["at"], whole["ended_at"]);
    hub.store
        .set_held(vec![("lengths".parse().expect("an id"), "Nothing is free.".into())])
        .await
        .expect("an answer");
    // Another hub hears of it a moment later.
    until("it is said why it waits", async || {
        admin.find(&format!("{ALL}/{}", all[4])).await["waiting_reason"] == "Nothing is free."
    })
    .await;
}

/// # brief: RQ-3
#[tokio::test]
async fn filters_go_together_and_pages_have_everything_once() {
    let (_hub, admin, people, all) = crowd().await;
    let today = admin.find(ALL).await["items"][0]["submitted_at"].as_str().expect("a time")[..10]
        .to_owned();
    let of = |places: &[usize]| places.iter().map(|n| all[*n].clone()).collect::<Vec<_>>();
    let [ada, bob, anonymous] = people.each_ref().map(|person| person.id);
    for (query, places) in [
        ("sort=oldest".to_owned(), &[0, 1, 2, 3, 4][..]),
        (format!("user={ada}"), &[1, 0]),
        (format!("user={ada}&user={bob}&session={anonymous}"), &[4, 3, 2, 1, 0]),
        (format!("session={anonymous}&phase=completed"), &[2]),
        ("auth_type=account".into(), &[3, 1, 0]),
        ("auth_type=anonymous&phase=waiting&phase=failed".into(), &[4]),
        ("phase=failed&phase=cancelled".into(), &[3]),
        ("phase=failed&model=lengths".into(), &[3]),
        ("phase=running".into(), &[]),
        ("model=lengths&model=other&sort=newest&limit=200".into(), &[4, 3, 2, 1, 0]),
        ("model=other".into(), &[]),
        (format!("from={today}&to={today}"), &[4, 3, 2, 1, 0]),
        (format!("from={today}T00:00:00Z&to={today}T23:59:59Z"), &[4, 3, 2, 1, 0]),
        ("to=2020-01-01".into(), &[]),
        ("to=2020-01-01T12:00:00Z".into(), &[]),
        ("from=2199-01-01".into(), &[]),
        (
            "user=&session=&model=&auth_type=&from=&to=&phase=&sort=&format=".into(),
            &[4, 3, 2, 1, 0],
        ),
    ] {
        assert_eq!(ids(&admin.find(&format!("{ALL}?{query}")).await), of(places), "{query}");
    }
    for sort in ["newest", "oldest"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = admin.find(&format!("{ALL}?limit=2&sort={sort}{after}")).await;
            seen.extend(ids(&page));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        if sort == "newest" {
            seen.reverse();
        }
        assert_eq!(seen, all, "{sort}");
    }
}

#[tokio::test]
async fn what_is_no_filter_is_refused_by_name() {
    let hub = Hub::start().await;
    let admin = hub.admin("root").await;
    let many = "user=0193a1b2-0000-7000-8000-000000000001&".repeat(2);
    assert!(ids(&admin.find(&format!("{ALL}?{many}")).await).is_empty(), "twice is once");
    let many: String = (0..101).map(|n| format!("model=m{n}&")).collect();
    for (bad, name) in [
        ("user=ada", "user"),
        ("session=x", "session"),
        ("model=%20", "model"),
        ("auth_type=none", "auth_type"),
        ("from=yesterday", "from"),
        ("from=2026-11-28&to=2026-11-27", "to"),
        ("to=2026-02-30", "to"),
        ("phase=asleep", "phase"),
        ("sort=ended", "sort"),
        ("after=x", "after"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("format=xml", "format"),
        ("colour=red", "colour"),
        (many.as_str(), "model"),
    ] {
        let refused = problem(admin.get(&format!("{ALL}?{bad}"))).await;
        assert_eq!(
            (slug(&refused), &refused["parameter"]),
            ("bad-parameter", &json!(name)),
            "{bad}"
        );
    }
}

/// I-56
#[tokio::test]
async fn csv_is_the_same_table() {
    let (_hub, admin, _, all) = crowd().await;
    for query in ["", "phase=completed&sort=oldest", "phase=running"] {
        let table = admin.find(&format!("{ALL}?{query}")).await;
        let csv = admin.get(&format!("{ALL}?format=csv&limit=1&{query}")).send().await;
        let csv = csv.expect("an answer");
        assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
        let text = csv.text().await.expect("text");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names: Vec<String> =
            reader.headers().expect("names").iter().map(str::to_owned).collect();
        let lines: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a line")).collect();
        let items = table["items"].as_array().expect("rows");
        assert_eq!(lines.len(), items.len(), "all rows, whatever the limit");
        for (line, row) in lines.iter().zip(items) {
            let there: BTreeSet<&String> = row.as_object().expect("a row").keys().collect();
            assert_eq!(there, names.iter().collect(), "a column for each field");
            for (name, cell) in names.iter().zip(line) {
                let same = match &row[name] {
                    Value::Null => cell.is_empty(),
                    Value::Array(ids) => {
                        let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
                        ids.join(" ") == cell
                    }
                    Value::String(text) if text.starts_with('=') => format!("'{text}") == cell,
                    Value::String(text) => text == cell,
                    number => format!("{number}") == *cell,
                };
                assert!(same, "{name}: {} and {cell}", row[name]);
            }
        }
        assert!(!query.is_empty() || text.contains(",'=bob,"), "{text}");
        assert_eq!(query == "phase=running", !text.contains(&all[0]));
    }
}

/// I-14, I-50
#[tokio::test]
async fn an_admin_cancels_with_a_reason_for_the_owner() {
    let (hub, admin, people, all) = crowd().await;
    let path = format!("{ALL}/{}/cancel", all[4]);
    let long = "x".repeat(501);
    for bad in [json!({}), json!({"reason": " "}), json!({"reason": long}), json!({"reason": 1})] {
        let refused = problem(admin.post(&path).json(&bad)).await;
        assert_eq!((slug(&refused), &refused["pointer"]), ("bad-json", &json!("/reason")), "{bad}");
    }
    assert_eq!(problem(admin.post(&path)).await["status"], 415);
    let own = format!("/api/v1/requests/{}", all[4]);
    assert_eq!(people[2].find(&own).await["phase"], "waiting", "nothing happened");
    let cancelled = admin.send(Method::POST, &path, json!({"reason": "for repair"})).await;
    assert_eq!(
        (&cancelled["phase"], &cancelled["error_class"]),
        (&json!("cancelled"), &json!("cancelled_by_admin"))
    );
    let reason = "cancelled by an administrator: for repair";
    assert_eq!(cancelled["error"], reason);
    assert_eq!(people[2].find(&own).await["reason"], reason);
    let again = admin.send(Method::POST, &path, json!({"reason": "twice"})).await;
    assert_eq!(again, cancelled);
    let ended =
        admin.send(Method::POST, &format!("{ALL}/{}/cancel", all[0]), json!({"reason": "x"})).await;
    assert_eq!(ended["phase"], "completed");
    let audit = admin.find("/api/v1/audit").await;
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1));
    let line = &audit["items"][0];
    assert_eq!((&line["action"], &line["actor"]), (&json!("cancel-request"), &json!(admin.id)));
    assert_eq!(line["subject"], json!(people[2].id));
    assert_eq!(line["detail"], format!("{} {reason}", all[4]));
    let unknown = format!("{ALL}/{}/cancel", hub.store.clock().id());
    let body = json!({"reason": "x"});
    assert_eq!(problem(admin.post(&unknown).json(&body)).await["status"], 404);
}

#[tokio::test]
async fn an_admin_moves_a_request_to_the_front() {
    let (hub, admin, people, all) = crowd().await;
    let late = id(&people[0].submit(&["z"]).await);
    let moved = admin.send(Method::POST, &format!("{ALL}/{late}/front"), json!({})).await;
    assert_eq!(moved["phase"], "waiting");
    let order: Vec<String> =
        hub.claim().await.iter().map(|task| task.key.request.to_string()).collect();
    assert_eq!(order, [late, all[4].clone()]);
    // Nothing of it waits any more.
    admin.send(Method::POST, &format!("{ALL}/{}/front", all[4]), json!({})).await;
    let ended = problem(admin.post(&format!("{ALL}/{}/front", all[0]))).await;
    assert_eq!((slug(&ended), &ended["status"]), ("ended", &json!(409)));
    let unknown = format!("{ALL}/{}/front", hub.store.clock().id());
    assert_eq!(problem(admin.post(&unknown)).await["status"], 404);
    let audit = admin.find("/api/v1/audit").await;
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1), "what did nothing is not there");
}

#[tokio::test]
async fn an_admin_has_a_failed_request_tried_again() {
    let (hub, admin, people, all) = crowd().await;
    let path = format!("{ALL}/{}/requeue", all[3]);
    let made = admin.post(&path).send().await.expect("an answer");
    assert_eq!(made.status(), StatusCode::CREATED);
    let location = made.headers()["location"].to_str().expect("text").to_owned();
    let new: Value = made.json().await.expect("JSON");
    assert_eq!(location, format!("{ALL}/{}", id(&new)));
    assert_eq!((&new["phase"], &new["requeued_from"]), (&json!("waiting"), &json!(all[3])));
    assert_eq!(new["user"], json!(people[1].id));
    let again = admin.post(&path).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(id(&again.json().await.expect("JSON")), id(&new));
    let old = admin.find(&format!("{ALL}/{}", all[3])).await;
    assert_eq!((&old["phase"], &old["requeued_as"]), (&json!("failed"), &new["id"]));
    hub.complete(hub.claim().await).await;
    let own = people[1].find(&format!("/api/v1/requests/{}", id(&new))).await;
    assert_eq!(own["phase"], "completed");
    let result = people[1].get(&format!("/api/v1/requests/{}/result", id(&new)));
    let result = result.send().await.expect("an answer").text().await.expect("text");
    assert_eq!(result, "input,length,half\nCCO,3,1.5\n");
    let refused = problem(admin.post(&format!("{ALL}/{}/requeue", all[0]))).await;
    assert_eq!(slug(&refused), "not-failed");
    let unknown = format!("{ALL}/{}/requeue", hub.store.clock().id());
    assert_eq!(problem(admin.post(&unknown)).await["status"], 404);
}

/// An admin's act is none of the owner's, whose limits it passes; but it counts.
#[tokio::test]
async fn a_requeue_passes_the_owner_s_limits_and_counts() {
    let hub = Hub::with(|config| config.quotas.account.day_inputs = 2).await;
    let (ada, admin) = (hub.user("ada").await, hub.admin("root").await);
    let old = id(&ada.submit(&["a", "b"]).await);
    hub.fail().await;
    let body = json!({"model": "lengths", "inputs": ["c"]});
    let refused = problem(ada.post("/api/v1/requests").json(&body)).await;
    assert_eq!(slug(&refused), "too-many-inputs-today");
    let new = admin.send(Method::POST, &format!("{ALL}/{old}/requeue"), json!({})).await;
    assert_eq!(new["phase"], "waiting");
    let kept = hub.store.kept_of(ada.id).await.expect("an answer").expect("a person");
    assert_eq!(kept.day_inputs, 4);
}

/// The owner is told like of any request of theirs; an admin hears nothing of other people's.
#[tokio::test]
async fn what_an_admin_does_is_told_to_the_owner_at_once() {
    let hub = Arc::new(Hub::start().await);
    let (ada, admin) = (hub.user("ada").await, hub.admin("root").await);
    let request = id(&ada.submit(&["a"]).await);
    let waiting = {
        let (hub, ada) = (hub.clone(), hub.with_token(&ada, &ada.token));
        let path = format!("/api/v1/requests/{request}?wait=20");
        tokio::spawn(async move {
            let answer = ada.find(&path).await;
            drop(hub);
            answer
        })
    };
    admin.send(Method::POST, &format!("{ALL}/{request}/cancel"), json!({"reason": "x"})).await;
    let told = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time");
    assert_eq!(told.expect("no panic")["phase"], "cancelled");
}
