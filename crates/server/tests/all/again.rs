//! The inputs of a request, once more.

use muster_core::Model;
use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, Person, model, problem, slug};

const REQUESTS: &str = "/api/v1/requests";

async fn inputs(person: &Person, request: &Value) -> String {
    let path = format!("{REQUESTS}/{}/inputs", request["id"].as_str().expect("an id"));
    let answer = person.get(&path).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let name = answer.headers()["content-disposition"].to_str().expect("text").to_owned();
    assert!(name.starts_with("attachment; filename=\"lengths-") && name.ends_with("-inputs.csv\""));
    answer.text().await.expect("text")
}

async fn upload(person: &Person, file: String) -> Value {
    let sent = person.upload("model=lengths", file).send().await.expect("an answer");
    assert_eq!(sent.status(), 201);
    sent.json().await.expect("JSON")
}

#[tokio::test]
async fn inputs_come_back_as_they_were_submitted() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let file = "name,smiles,note\n\"a, \"\"b\"\"\",CCO,\"two\nlines\"\n=1+1,bad,\n";
    let request = upload(&person, file.into()).await;
    assert_eq!(inputs(&person, &request).await, file, "also while it waits");
    hub.fail().await;
    assert_eq!(inputs(&person, &request).await, file, "and when it failed");
    let texts = person.submit(&["CCO", "a,b"]).await;
    assert_eq!(inputs(&person, &texts).await, "input\nCCO\n\"a,b\"\n");
    // Many, in several tasks and as an object.
    let rows: String = (0..9_000).map(|n| format!("row {n},C{n}\n")).collect();
    let file = format!("name,smiles\n{rows}");
    let request = upload(&person, file.clone()).await;
    assert_eq!(inputs(&person, &request).await, file);
}

#[tokio::test]
async fn the_inputs_of_a_request_are_submitted_again_for_another_model() {
    let hub = Hub::alone(|_| {}).await;
    let other = Model { id: "other".parse().expect("an id"), ..model() };
    hub.store.sync_models(vec![model(), other]).await.expect("a catalogue");
    let person = hub.person().await;
    let rows: String = (0..9_000).map(|n| format!("row {n},C{n}\n")).collect();
    let old = upload(&person, format!("name,smiles\n{rows}")).await;
    hub.fail().await;
    let body = json!({"model": "other", "inputs_of": old["id"], "label": "again"});
    let submit = || person.post(REQUESTS).header("idempotency-key", "once").json(&body);
    let new = submit().send().await.expect("an answer");
    assert_eq!(new.status(), 201);
    let new: Value = new.json().await.expect("JSON");
    assert_eq!(
        (&new["model"], &new["inputs"], &new["label"]),
        (&json!("other"), &json!(9_000), &json!("again"))
    );
    assert_eq!(new["reading"], old["reading"]);
    let twice = submit().send().await.expect("an answer");
    assert_eq!(twice.status(), 200, "under the same key it is the same request");
    // The same model, with all columns and the rows at once.
    let few = upload(&person, "name,smiles\nethanol,CCO\n".into()).await;
    let again = json!({"model": "lengths", "inputs_of": few["id"]});
    let again = person.send(Method::POST, REQUESTS, again).await;
    hub.complete(hub.claim().await).await;
    let path = format!("{REQUESTS}/{}/result?format=csv", again["id"].as_str().expect("an id"));
    let result = person.get(&path).send().await.expect("an answer").text().await.expect("text");
    assert_eq!(result, "name,smiles,length,half\nethanol,CCO,3,1.5\n");
}

#[tokio::test]
async fn only_ones_own_inputs_that_are_still_there_are_submitted_again() {
    let hub = Hub::start().await;
    let (person, stranger) = (hub.person().await, hub.person().await);
    let old = person.submit(&["CCO"]).await;
    hub.complete(hub.claim().await).await;
    let of = |id: &Value| json!({"model": "lengths", "inputs_of": id});
    let foreign = problem(stranger.post(REQUESTS).json(&of(&old["id"]))).await;
    let unknown = problem(stranger.post(REQUESTS).json(&of(&json!(hub.store.clock().id())))).await;
    for refused in [&foreign, &unknown] {
        assert_eq!((slug(refused), &refused["pointer"]), ("not-found", &json!("/inputs_of")));
    }
    assert_eq!(foreign["detail"], unknown["detail"]);
    for (body, pointer) in [
        (json!({"model": "lengths", "inputs_of": old["id"], "inputs": ["CCO"]}), "/inputs_of"),
        (json!({"model": "lengths", "inputs_of": "last"}), "/inputs_of"),
        (json!({"model": "lengths", "inputs_of": 7}), "/inputs_of"),
        (json!({"model": "lengths"}), "/inputs"),
    ] {
        let refused = problem(person.post(REQUESTS).json(&body)).await;
        assert_eq!((slug(&refused), &refused["pointer"]), ("bad-json", &json!(pointer)), "{body}");
    }
    let path = format!("{REQUESTS}/{}", old["id"].as_str().expect("an id"));
    person.send(Method::DELETE, &path, json!({})).await;
    let cleared = problem(person.post(REQUESTS).json(&of(&old["id"]))).await;
    assert_eq!(slug(&cleared), "not-found");
    assert!(cleared["detail"].as_str().expect("words").contains("cleared"), "{cleared}");
}
