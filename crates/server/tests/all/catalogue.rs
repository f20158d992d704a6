//! Models, as administrators see and change them.

use muster_core::{Permission, Source};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::hub::{Hub, Person, model, problem, slug};
use crate::replicas::{postgres, schema, soon};

const CATALOGUE: &str = "/api/v1/catalogue";
const LENGTHS: &str = "/api/v1/catalogue/lengths";

async fn hub() -> Hub {
    Hub::alone(|config| {
        config.model_addresses = vec!["http://127.0.0.1:9".parse().expect("an origin")];
    })
    .await
}

fn new_model(id: &str) -> Value {
    json!({"id": id, "address": "http://127.0.0.1:9/x/", "version": "1",
        "input": {"name": "smiles", "description": "A molecule"},
        "outputs": [{"name": "y", "kind": "float"}], "card": {"title": "Elsewhere"}})
}

async fn etag(person: &Person, path: &str) -> String {
    let answer = person.get(path).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    answer.headers()["etag"].to_str().expect("text").to_owned()
}

async fn patch(person: &Person, path: &str, tag: &str, body: Value) -> Response {
    let sent = person.request(Method::PATCH, path).header("if-match", tag).json(&body);
    sent.send().await.expect("an answer")
}

async fn actions(hub: &Hub) -> Vec<String> {
    let entries = hub.audit().await;
    entries.into_iter().rev().map(|entry| format!("{} {}", entry.action, entry.detail)).collect()
}

#[tokio::test]
async fn a_disabled_model_takes_nothing_new_and_finishes_what_it_has() {
    let hub = hub().await;
    let (root, person) = (hub.admin("root").await, hub.person().await);
    let before = person.submit(&["CCO"]).await;
    let body = json!({"reason": "It is wrong about fluorine."});
    let disabled = root.send(Method::POST, &format!("{LENGTHS}/disable"), body).await;
    assert_eq!(disabled["disabled"], "It is wrong about fluorine.");
    let again = person.post("/api/v1/requests").json(&json!({"model": "lengths", "inputs": ["a"]}));
    let refused = problem(again).await;
    assert_eq!(slug(&refused), "model-disabled");
    assert!(refused["detail"].as_str().expect("words").contains("wrong about fluorine"));
    let nul = root.post(&format!("{LENGTHS}/disable")).json(&json!({"reason": "a\0"}));
    assert_eq!(slug(&problem(nul).await), "bad-json");
    assert_eq!(person.find("/api/v1/models").await["items"], json!([]));
    let card = person.find("/api/v1/models/lengths").await;
    assert_eq!(card["disabled"], "It is wrong about fluorine.");
    hub.complete(hub.claim().await).await;
    let path = format!("/api/v1/requests/{}", before["id"].as_str().expect("an id"));
    assert_eq!(person.find(&path).await["phase"], "completed");
    root.send(Method::POST, &format!("{LENGTHS}/enable"), json!({})).await;
    person.submit(&["b"]).await;
    let acts = actions(&hub).await;
    assert_eq!(acts, ["disable-model lengths It is wrong about fluorine.", "enable-model lengths"]);
}

#[tokio::test]
async fn the_edits_of_a_folders_model_are_a_layer_that_outlives_a_restart() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    let tag = etag(&root, LENGTHS).await;
    let body = json!({"card": {"licence": "MIT"}, "limits": {"batch_size": 7}, "cache": false});
    let answer = patch(&root, LENGTHS, &tag, body.clone()).await;
    let new = answer.headers()["etag"].to_str().expect("text").to_owned();
    assert_ne!(new, tag);
    let edited: Value = answer.json().await.expect("JSON");
    assert_eq!(edited["edits"], body);
    let card = root.find("/api/v1/models/lengths").await;
    assert_eq!((&card["card"]["licence"], &card["cache"]), (&json!("MIT"), &json!(false)));
    assert_eq!(card["card"]["title"], "Lengths", "what was not named stays");
    assert_eq!(card["limits"]["batch_size"], 7);
    // The folder is read again at a start, and may have changed.
    let mut folder = model();
    folder.card.description = "Counts characters".into();
    hub.store.sync_models(vec![folder]).await.expect("a catalogue");
    let card = root.find("/api/v1/models/lengths").await;
    assert_eq!(
        (&card["card"]["licence"], &card["limits"]["batch_size"]),
        (&json!("MIT"), &json!(7))
    );
    assert_eq!(card["card"]["description"], "Counts characters");
    let tag = etag(&root, LENGTHS).await;
    let back = json!({"limits": null, "cache": null});
    let back: Value = patch(&root, LENGTHS, &tag, back).await.json().await.expect("JSON");
    assert_eq!((&back["limits"]["batch_size"], &back["cache"]), (&json!(1000), &json!(true)));
    assert_eq!(back["edits"], json!({"card": {"licence": "MIT"}}));
}

#[tokio::test]
async fn nobodys_change_is_lost() {
    let hub = hub().await;
    let (root, eve) = (hub.admin("root").await, hub.admin("eve").await);
    let tag = etag(&root, LENGTHS).await;
    let edit = |title: &str| json!({"card": {"title": title}});
    let without = root.request(Method::PATCH, LENGTHS).json(&edit("x"));
    let needed = problem(without).await;
    assert_eq!((slug(&needed), &needed["parameter"]), ("if-match-needed", &json!("If-Match")));
    assert_eq!(patch(&eve, LENGTHS, &tag, edit("hers")).await.status(), 200);
    assert_eq!(patch(&root, LENGTHS, &tag, edit("mine")).await.status(), 412);
    for tag in ["\"1\"", "W/\"x\"", "", "\u{e4}"] {
        assert_eq!(patch(&root, LENGTHS, tag, edit("mine")).await.status(), 412, "{tag}");
    }
    assert_eq!(root.find("/api/v1/models/lengths").await["title"], "hers");
    let both = format!("\"1\", {}", etag(&root, LENGTHS).await);
    assert_eq!(patch(&root, LENGTHS, &both, edit("mine")).await.status(), 200);
    // Of many at once with the same tag one wins.
    let tag = etag(&root, LENGTHS).await;
    let sent = (0..8).map(|n| patch(&root, LENGTHS, &tag, edit(&format!("t{n}"))));
    let answers = futures::future::join_all(sent).await;
    assert_eq!(answers.iter().filter(|answer| answer.status() == 200).count(), 1);
    assert_eq!(actions(&hub).await.len(), 3, "one line for each change");
}

#[tokio::test]
async fn a_model_of_the_api_comes_changes_and_goes() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    let answer = root.post(CATALOGUE).json(&new_model("far")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["location"], "/api/v1/catalogue/far");
    let made: Value = answer.json().await.expect("JSON");
    assert_eq!((&made["owner"], &made["address"]), (&json!("api"), &json!("http://127.0.0.1:9/x")));
    let version = made["version"].as_str().expect("a version").to_owned();
    assert!(version.starts_with("1+") && version.len() == 10, "{version}");
    assert_eq!(slug(&problem(root.post(CATALOGUE).json(&new_model("far"))).await), "model-taken");
    assert_eq!(
        slug(&problem(root.post(CATALOGUE).json(&new_model("lengths"))).await),
        "model-taken"
    );

    // A folder that wants the same id does not get it.
    let mut folder = model();
    folder.id = "far".parse().expect("an id");
    let taken = hub.store.sync_models(vec![model(), folder]).await.expect("a catalogue");
    assert_eq!(taken, ["far".parse().expect("an id")]);
    let far = hub.store.find_model(&"far".parse().expect("an id")).expect("the model");
    assert!(matches!(&far.source, Source::Server { url } if url == "http://127.0.0.1:9/x"));

    let body = json!({"model": "far", "inputs": ["CCO"]});
    let person = hub.person().await;
    let request = person.send(Method::POST, "/api/v1/requests", body).await;
    let path = format!("{CATALOGUE}/far");
    let outputs = json!([{"name": "y", "kind": "float", "description": "", "unit": "nM",
        "direction": "low"}]);
    let moved = json!({"address": "http://127.0.0.1:9/y", "limits": {"batch_size": 3},
        "outputs": outputs, "card": {"task": "Binding"}, "input": {"kind": "protein"}});
    let moved = patch(&root, &path, "*", moved).await;
    let moved: Value = moved.json().await.expect("JSON");
    assert_ne!(moved["version"], version, "another address, another version");
    let found = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    assert_eq!(person.find(&found).await["model_version"], moved["version"], "it starts over");
    let shown = person.find("/api/v1/models/far").await;
    assert_eq!((&shown["task"], &shown["input"]["kind"]), (&json!("Binding"), &json!("protein")));
    assert_eq!((&shown["outputs"], &moved["outputs"]), (&outputs, &outputs));

    let delete = async |tag: &str| {
        let sent = root.request(Method::DELETE, &path).header("if-match", tag);
        sent.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(delete("*").await, 409, "it is in use");
    root.send(Method::POST, &format!("{path}/disable"), json!({})).await;
    assert_eq!((delete("*").await, delete("\"1\"").await), (409, 412));
    person.send(Method::POST, &format!("{found}/cancel"), json!({})).await;
    assert_eq!(delete("*").await, 200);
    assert_eq!((root.status(&path).await, root.status("/api/v1/models/far").await), (404, 404));
    assert_eq!(person.find(&found).await["phase"], "cancelled", "its history stays");
    let sent = root.request(Method::DELETE, LENGTHS).header("if-match", "*");
    assert_eq!(slug(&problem(sent).await), "model-of-folder");
    let acts: Vec<String> = actions(&hub).await;
    let verbs: Vec<&str> = acts.iter().filter_map(|act| act.split(' ').next()).collect();
    assert_eq!(verbs, ["create-model", "edit-model", "disable-model", "delete-model"]);
}

/// I-48, and the security table: what an administrator sends makes the hub call nobody else.
#[tokio::test]
async fn only_the_operators_addresses_are_called() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    root.send(Method::POST, CATALOGUE, new_model("far")).await;
    for address in [
        "http://127.0.0.1:10",
        "http://127.0.0.1:9@169.254.169.254/",
        "http://169.254.169.254/latest",
        "https://127.0.0.1:9",
        "http://localhost:9",
        "http://[::1]:9",
        "http://2130706433:9",
        "file:///etc/passwd",
        "http://127.0.0.1:9/../x",
        "",
    ] {
        let mut body = new_model("bad");
        body["address"] = json!(address);
        let refused = problem(root.post(CATALOGUE).json(&body)).await;
        assert_eq!((slug(&refused), &refused["pointer"]), ("model-address", &json!("/address")));
        let path = format!("{CATALOGUE}/far");
        let moved = patch(&root, &path, "*", json!({"address": address})).await;
        assert_eq!(moved.status(), 422, "{address}");
    }
    let of_folder = patch(&root, LENGTHS, "*", json!({"address": "http://127.0.0.1:9"})).await;
    assert_eq!(of_folder.status(), 422, "a folder's model has no address");
}

#[tokio::test]
async fn a_description_that_cannot_work_is_refused_in_words() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    for (member, value, words) in [
        (
            "limits",
            json!({"batch_size": 0, "memory_mib": 1}),
            "batch_size is 1 to 100000; limits: memory",
        ),
        ("limits", json!({"job_seconds": 1, "batch_size": -1}), "invalid value"),
        ("limits", json!({"speed": 1}), "unknown field `speed`"),
        ("card", json!({"title": 1}), "invalid type"),
        (
            "outputs",
            json!([{"name": "y", "kind": "float"}, {"name": "y", "kind": "float"}]),
            "same name",
        ),
        ("outputs", json!([{"name": "y", "kind": "float", "units": "m"}]), "unknown field `units`"),
        ("outputs", json!([{"name": "y", "kind": "float", "unit": "a\tb"}]), "a unit and a task"),
        ("outputs", json!([{"name": "y", "kind": "float", "direction": "up"}]), "`high` or `low`"),
        ("card", json!({"task": "x".repeat(101)}), "a unit and a task"),
        ("input", json!({"name": "", "description": ""}), "1 to 100"),
        ("input", json!({"name": "x", "description": "", "kind": "rna"}), "unknown variant `rna`"),
        ("version", json!(" "), "version"),
        ("id", json!("No Id"), "a model id is"),
        ("more", json!(1), "unknown field `more`"),
        ("limits", json!({"min_instances": 17, "max_instances": 20}), "at most 16 instances"),
    ] {
        let mut body = new_model("far");
        body[member] = value.clone();
        let refused = problem(root.post(CATALOGUE).json(&body)).await;
        assert_eq!(slug(&refused), "bad-model", "{member}");
        let detail = refused["detail"].as_str().expect("words");
        assert!(detail.contains(words), "{detail}");
        let place = match words {
            "invalid value" => "/limits/batch_size",
            "invalid type" => "/card/title",
            "unknown field `speed`" => "/limits/speed",
            _ => "",
        };
        let edit = patch(&root, LENGTHS, "*", json!({member: value})).await;
        assert_eq!(edit.status(), 422, "{member}");
        if !place.is_empty() {
            assert_eq!(refused["pointer"], place);
            assert_eq!(edit.json::<Value>().await.expect("JSON")["pointer"], place);
        }
    }
    assert_eq!(root.find(CATALOGUE).await["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_a_model_needs_is_declared_shown_and_edited() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    let mut body = new_model("far");
    body["resources"] = json!({"cpu": 2.5, "memory_mib": 2048, "gpus": 1, "node": {"zone": "a"}});
    let needs = json!({"cpu": 2.5, "memory_mib": 2048, "storage_mib": null, "gpus": 1,
        "gpu": "nvidia.com/gpu", "node": {"zone": "a"}});
    assert_eq!(root.send(Method::POST, CATALOGUE, body).await["resources"], needs);
    assert_eq!(root.find("/api/v1/models/far").await["resources"], needs);
    let far = format!("{CATALOGUE}/far");
    let edit = json!({"resources": {"memory_mib": null, "node": {"zone": null, "disk": "ssd"}}});
    let edited: Value = patch(&root, &far, "*", edit).await.json().await.expect("JSON");
    let needs = json!({"cpu": 2.5, "memory_mib": null, "storage_mib": null, "gpus": 1,
        "gpu": "nvidia.com/gpu", "node": {"disk": "ssd"}});
    assert_eq!(edited["resources"], needs);

    // Of a folder's model it is a layer, which goes when nothing is left of it.
    let version = root.find(LENGTHS).await["version"].clone();
    let edit = json!({"resources": {"gpus": 2, "node": {"zone": "a"}}});
    let edited: Value = patch(&root, LENGTHS, "*", edit.clone()).await.json().await.expect("JSON");
    assert_eq!((&edited["edits"], &edited["version"]), (&edit, &version));
    assert_eq!(edited["resources"]["gpus"], 2);
    let back = json!({"resources": {"gpus": null, "node": {"zone": null}}});
    let back: Value = patch(&root, LENGTHS, "*", back).await.json().await.expect("JSON");
    assert_eq!((&back["edits"], &back["resources"]["gpus"]), (&json!({}), &json!(0)));

    for (field, value, words) in [
        ("cpu", json!(-1), "a number of cores, 0 to 10000, with at most three decimals"),
        ("cpu", json!(0.0001), "a number of cores, 0 to 10000, with at most three decimals"),
        ("cpu", json!("2"), "a number of cores, 0 to 10000, with at most three decimals"),
        ("gpus", json!(0.5), "a whole number of GPUs, 0 to 1000"),
        ("gpus", json!(-1), "a whole number of GPUs, 0 to 1000"),
        ("gpus", json!(1e9 as u64), "a whole number of GPUs, 0 to 1000"),
        ("memory_mib", json!(0), "memory_mib is at least 1"),
        ("memory_mib", json!(5000), "memory_mib is at most the memory_mib of limits, 4096"),
        ("memory_mib", json!(1u64 << 32), "expected u32"),
        ("gpu", json!("gpu"), "\"gpu\" is no resource name"),
        ("node", json!({"a b": "c"}), "key \"a b\" is no label key"),
        ("node", json!({"a": "b c"}), "\"b c\", the value of \"a\", is no label value"),
        ("node", json!({"a": 1}), "expected a string"),
        ("disk", json!(1), "unknown field `disk`"),
    ] {
        let resources = json!({ field: value });
        let mut body = new_model("other");
        body["resources"] = resources.clone();
        let refused = problem(root.post(CATALOGUE).json(&body)).await;
        let edit = json!({ "resources": resources });
        let edit = patch(&root, LENGTHS, "*", edit).await.json::<Value>().await.expect("JSON");
        for refused in [refused, edit] {
            let detail = refused["detail"].as_str().expect("words");
            assert!(slug(&refused) == "bad-model" && detail.contains(words), "{refused}");
            assert_eq!(refused["pointer"], format!("/resources/{field}"), "{refused}");
        }
    }
}

#[tokio::test]
async fn what_a_model_predicted_is_forgotten() {
    let hub = hub().await;
    let (root, person) = (hub.admin("root").await, hub.person().await);
    let run = async || {
        let request = person.submit(&["CCO"]).await;
        if request["phase"] == "completed" {
            return true;
        }
        let mut done = Vec::new();
        for task in hub.claim().await {
            let part = std::sync::Arc::new(crate::hub::lengths(["CCO"]));
            let hash = {
                use sha2::{Digest, Sha256};
                Sha256::digest(b"CCO").into()
            };
            let (key, attempt, predictions) = (task.key, task.attempt, vec![(hash, 0)]);
            done.push(muster_store::TaskDone { key, attempt, part, cached: 0, predictions });
        }
        hub.store.complete(done).await.expect("taken");
        false
    };
    assert_eq!((run().await, run().await), (false, true));
    let path = format!("{LENGTHS}/clear-cache");
    assert_eq!(root.send(Method::POST, &path, json!({})).await, json!({"predictions": 1}));
    assert!(!run().await, "it is computed again");
    assert_eq!(actions(&hub).await, ["clear-cache lengths"]);
}

#[tokio::test]
async fn a_model_editor_administers_models_and_nobody_else() {
    let hub = hub().await;
    let editor = hub.account("editor", vec![Permission::ModelEditor]).await;
    editor.send(Method::POST, CATALOGUE, new_model("far")).await;
    assert_eq!(editor.status(CATALOGUE).await, 200);
    assert_eq!(
        (editor.status("/api/v1/users").await, editor.status("/api/v1/audit").await),
        (403, 403)
    );
    let root = hub.admin("root").await;
    let grant = format!("/api/v1/users/{}/revoke", editor.id);
    root.send(Method::POST, &grant, json!({"permission": "MODEL_EDITOR"})).await;
    assert_eq!(editor.status(CATALOGUE).await, 403);
}

#[tokio::test]
async fn what_a_models_code_may_reach_is_an_administrators_word() {
    let hub = hub().await;
    let (root, eve) =
        (hub.admin("root").await, hub.account("eve", vec![Permission::ModelEditor]).await);
    let network = async || root.find(LENGTHS).await["network"].clone();
    let all = || json!({"network": "all"});
    assert_eq!(network().await, "none");
    assert_eq!(patch(&eve, LENGTHS, "*", all()).await.status(), 403);
    for wrong in [json!("some"), json!(1)] {
        assert_eq!(patch(&root, LENGTHS, "*", json!({"network": wrong})).await.status(), 422);
    }
    assert_eq!(network().await, "none");
    assert_eq!(patch(&root, LENGTHS, "*", all()).await.status(), 200);
    assert_eq!(network().await, "all");
    let model = hub.store.find_model(&"lengths".parse().expect("an id")).expect("it is there");
    assert_eq!(model.network, muster_core::model::Network::All);
    assert_eq!(patch(&root, LENGTHS, "*", json!({"network": null})).await.status(), 200);
    assert_eq!(network().await, "none");
    // What runs elsewhere sees to that itself.
    root.send(Method::POST, CATALOGUE, new_model("far")).await;
    assert_eq!(patch(&root, &format!("{CATALOGUE}/far"), "*", all()).await.status(), 422);
}

#[tokio::test]
async fn what_one_server_changes_the_other_one_sees() {
    let schema = schema();
    let allow = |config: &mut muster_server::ServerConfig| {
        config.model_addresses = vec!["http://127.0.0.1:9".parse().expect("an origin")];
    };
    let (one, two) =
        (Hub::on(postgres(&schema), allow).await, Hub::on(postgres(&schema), allow).await);
    let root = one.admin("root").await;
    let there = two.with_token(&root, &root.token);
    root.send(Method::POST, &format!("{LENGTHS}/disable"), json!({})).await;
    let body = json!({"model": "lengths", "inputs": ["CCO"]});
    let refused = async || {
        let sent = there.post("/api/v1/requests").json(&body).send();
        sent.await.expect("an answer").status() == StatusCode::CONFLICT
    };
    soon("it is disabled there", refused).await;
    root.send(Method::POST, CATALOGUE, new_model("far")).await;
    soon("it is there", async || there.status("/api/v1/models/far").await == 200).await;
    root.send(Method::POST, &format!("{CATALOGUE}/far/disable"), json!({})).await;
    let sent = root.request(Method::DELETE, &format!("{CATALOGUE}/far")).header("if-match", "*");
    assert_eq!(sent.send().await.expect("an answer").status(), 200);
    soon("it is gone there", async || there.status("/api/v1/models/far").await == 404).await;
}
