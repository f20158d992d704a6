//! Models that are images: what may be said of them, and by whom.

use muster_core::Permission;
use muster_server::ServerConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hub::{Hub, Person, problem, slug};

const CATALOGUE: &str = "/api/v1/catalogue";
const FAR: &str = "/api/v1/catalogue/far";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn allow(config: &mut ServerConfig) {
    config.model_addresses = vec!["http://127.0.0.1:9".parse().expect("an origin")];
    let prefixes = ["registry.example.org/lab", "models"];
    config.model_images = prefixes.map(|text| text.parse().expect("a prefix")).into();
}

async fn hub() -> Hub {
    Hub::with(allow).await
}

fn new_model() -> Value {
    json!({"id": "far", "image": "registry.example.org/lab/solubility:1.2", "version": "1",
        "input": {"name": "smiles", "description": "A molecule"}})
}

async fn change(person: &Person, body: Value) -> Result<Value, Value> {
    let sent = person.request(Method::PATCH, FAR).header("if-match", "*").json(&body);
    let answer = sent.send().await.expect("an answer");
    let good = answer.status().is_success();
    let body: Value = answer.json().await.expect("JSON");
    if good { Ok(body) } else { Err(body) }
}

#[tokio::test]
async fn an_image_is_a_model_and_another_image_or_port_is_another_version() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    let made = root.send(Method::POST, CATALOGUE, new_model()).await;
    let shown = |model: &Value| {
        json!([model["image"], model["port"], model["runs"], model["address"], model["pod"]])
    };
    let tagged = "registry.example.org/lab/solubility:1.2";
    assert_eq!(shown(&made), json!([tagged, 80, "pod", null, null]));
    let first = made["version"].as_str().expect("a version").to_owned();
    assert!(first.starts_with("1+") && first.len() == 10, "{first}");
    assert_eq!(root.find("/api/v1/catalogue/lengths").await["runs"], "process");

    let mut versions = vec![first.clone()];
    let by_digest = format!("registry.example.org/lab/solubility@{DIGEST}");
    let other_digest = format!("{}e", &by_digest[..by_digest.len() - 1]);
    for body in [
        json!({"port": 8080}),
        json!({"image": "models/solubility"}),
        json!({"image": by_digest, "port": 80}),
        json!({ "image": other_digest }),
        json!({"version": "2"}),
    ] {
        let changed = change(&root, body.clone()).await.expect("it is taken");
        let version = changed["version"].as_str().expect("a version").to_owned();
        assert!(!versions.contains(&version), "{body} {version}");
        versions.push(version);
    }
    let back = json!({"image": tagged, "port": null, "version": "1"});
    let back = change(&root, back).await.expect("it is taken");
    assert_eq!((&back["version"], &back["port"]), (&json!(first), &json!(80)), "the same again");
    let same = change(&root, json!({"card": {"title": "Far"}})).await.expect("it is taken");
    assert_eq!(same["version"], json!(first));
    let listed = root.find(CATALOGUE).await;
    assert_eq!(listed["items"][0]["image"], tagged);
}

#[tokio::test]
async fn a_model_has_an_address_or_an_image_the_operator_allows() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    for (members, kind, pointer) in [
        (json!({"image": null}), "bad-model", "/address"),
        (json!({"address": "http://127.0.0.1:9"}), "bad-model", "/image"),
        (json!({"image": null, "address": "http://127.0.0.1:9", "port": 80}), "bad-model", "/port"),
        (json!({"image": null, "address": "http://127.0.0.1:9", "pod": {}}), "bad-model", "/pod"),
        (json!({"image": 7}), "bad-model", "/image"),
        (json!({"port": 0}), "bad-model", "/port"),
        (json!({"port": 65_536}), "bad-model", "/port"),
        (json!({"image": ""}), "model-image", "/image"),
        (json!({"image": "registry.example.org/lab/Solubility"}), "model-image", "/image"),
        (json!({"image": format!("models/{}", "x/".repeat(300))}), "model-image", "/image"),
        (json!({"image": "registry.example.org/laboratory/x"}), "model-image", "/image"),
        (json!({"image": "registry.example.org:5000/lab/x"}), "model-image", "/image"),
        (json!({"image": "models:5000/x"}), "model-image", "/image"),
        (json!({"limits": {"memory_mib": 512, "memory_most_mib": 511}}), "bad-model", ""),
    ] {
        let mut body = new_model();
        for (name, value) in members.as_object().expect("members") {
            body[name] = value.clone();
        }
        let refused = problem(root.post(CATALOGUE).json(&body)).await;
        let at = refused["pointer"].as_str().unwrap_or_default();
        assert_eq!((slug(&refused), at), (kind, pointer), "{members} {refused}");
    }
    assert_eq!(root.status(FAR).await, 404);
    root.send(Method::POST, CATALOGUE, new_model()).await;
    for (body, kind, pointer) in [
        (json!({"address": "http://127.0.0.1:9"}), "bad-model", "/address"),
        (json!({"image": null}), "bad-model", "/image"),
        (json!({"image": "evil.example/x"}), "model-image", "/image"),
        (json!({"port": 0}), "bad-model", "/port"),
        (json!({"port": "80"}), "bad-model", "/port"),
        (json!({"network": "all"}), "bad-model", "/network"),
    ] {
        let refused = change(&root, body.clone()).await.expect_err("it is refused");
        assert_eq!((slug(&refused), &refused["pointer"]), (kind, &json!(pointer)), "{body}");
    }
    // What runs elsewhere stays there.
    let elsewhere = json!({"id": "elsewhere", "address": "http://127.0.0.1:9", "version": "1",
        "input": {"name": "smiles", "description": "A molecule"}});
    let made = root.send(Method::POST, CATALOGUE, elsewhere).await;
    assert_eq!((&made["runs"], &made["image"]), (&json!("elsewhere"), &Value::Null));
    let path = format!("{CATALOGUE}/elsewhere");
    for body in [json!({"image": "models/x"}), json!({"port": 80}), json!({"pod": {}})] {
        let sent = root.request(Method::PATCH, &path).header("if-match", "*").json(&body);
        assert_eq!(slug(&problem(sent).await), "bad-model", "{body}");
    }
    // Nobody said which images may be.
    let strict = Hub::alone(|_| {}).await;
    let root = strict.admin("root").await;
    let refused = problem(root.post(CATALOGUE).json(&new_model())).await;
    let detail = refused["detail"].as_str().expect("words");
    assert!(detail.contains("model_images"), "{detail}");
}

#[tokio::test]
async fn an_editor_sets_the_image_and_an_administrator_the_rest_of_its_pods() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    let editor = hub.account("editor", vec![Permission::ModelEditor]).await;
    let pod = json!({"template": {"metadata": {"labels": {"team": "canary-label"}},
        "spec": {"securityContext": {"runAsUser": 0}}}, "unrestricted": "canary-reason", "limit_cpu": true});
    let mut with_pod = new_model();
    with_pod["pod"] = pod.clone();
    let refused = problem(editor.post(CATALOGUE).json(&with_pod)).await;
    assert_eq!((slug(&refused), &refused["pointer"]), ("forbidden", &json!("/pod")));
    assert!(refused["detail"].as_str().expect("words").contains("permission ADMIN"));

    editor.send(Method::POST, CATALOGUE, new_model()).await;
    for body in [json!({"pod": {"limit_cpu": true}}), json!({"pod": null})] {
        let refused = change(&editor, body).await.expect_err("it is refused");
        assert_eq!(slug(&refused), "forbidden");
    }
    let set = change(&root, json!({ "pod": pod })).await.expect("it is taken");
    assert_eq!(set["pod"], pod);
    let edited = json!({"image": "models/solubility:2", "port": 8080, "limits": {"memory_most_mib": 8192},
        "resources": {"cpu": 2}});
    let edited = change(&editor, edited).await.expect("it is taken");
    assert_eq!((&edited["pod"], &edited["port"]), (&Value::Null, &json!(8080)), "not shown");
    assert_eq!(edited["limits"]["memory_most_mib"], 8192);
    assert_eq!(root.find(FAR).await["pod"], pod, "kept");
    assert_eq!(editor.find(FAR).await["pod"], Value::Null);
    let listed = editor.find(CATALOGUE).await;
    assert_eq!(listed["items"][0]["pod"], Value::Null);
    let model = hub.store.find_entry(&"far".parse().expect("an id")).await.expect("an answer");
    let kept = model.and_then(|entry| entry.model.pod).expect("settings");
    assert_eq!((kept.unrestricted.as_deref(), kept.limit_cpu), (Some("canary-reason"), true));

    let less = json!({"pod": {"template": {"metadata": null}, "limit_cpu": null}});
    let less = change(&root, less).await.expect("it is taken");
    assert_eq!(
        (&less["pod"]["limit_cpu"], &less["pod"]["template"]["metadata"]),
        (&json!(false), &Value::Null)
    );
    let none = change(&root, json!({"pod": null})).await.expect("it is taken");
    assert_eq!(none["pod"], Value::Null);
    let mut another = with_pod;
    another["id"] = json!("another");
    root.send(Method::POST, CATALOGUE, another).await;

    // The audit says that it was changed, and not to what.
    let entries = hub.audit().await;
    let pods = entries.iter().filter(|entry| entry.detail.contains("pod changed"));
    assert_eq!(pods.count(), 4, "{entries:?}");
    assert!(entries.iter().all(|entry| !entry.detail.contains("canary")), "{entries:?}");
    assert!(entries.iter().any(|entry| entry.detail.contains("models/solubility:2")));
}

#[tokio::test]
async fn a_template_is_looked_at_before_it_is_kept() {
    let hub = hub().await;
    let root = hub.admin("root").await;
    root.send(Method::POST, CATALOGUE, new_model()).await;
    let host = json!({"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}});
    for (pod, pointer) in [
        (json!({"template": {"status": {}}}), "/pod/template/status"),
        (json!({"template": {"metadata": {"name": "x"}}}), "/pod/template/metadata/name"),
        (
            json!({"template": {"metadata": {"labels": {"muster.dev/hub": "x"}}}}),
            "/pod/template/metadata/labels/muster.dev~1hub",
        ),
        (json!({"template": {"spec": {"hostNetwork": true}}}), "/pod/template/spec/hostNetwork"),
        (json!({ "template": host }), "/pod/template/spec/volumes/0/hostPath"),
        (json!({"template": {"spec": {"x": "x".repeat(33 << 10)}}}), "/pod/template"),
        (json!({"template": []}), "/pod/template"),
        (json!({"unrestricted": " "}), "/pod/unrestricted"),
        (json!({"unrestricted": 1}), "/pod/unrestricted"),
        (json!({"limit_cpu": "yes"}), "/pod/limit_cpu"),
        (json!({"limits": {}}), "/pod/limits"),
        (json!("x"), "/pod"),
    ] {
        let refused = change(&root, json!({ "pod": pod })).await.expect_err("it is refused");
        assert_eq!(
            (slug(&refused), &refused["pointer"]),
            ("bad-model", &json!(pointer)),
            "{refused}"
        );
        let mut new = new_model();
        (new["id"], new["pod"]) = (json!("new"), pod);
        let refused = problem(root.post(CATALOGUE).json(&new)).await;
        assert_eq!(refused["pointer"], pointer, "{refused}");
    }
    let beside = json!({"spec": {"containers": [{"name": "side", "image": "evil.example/x"}]}});
    let refused = change(&root, json!({"pod": {"template": beside}})).await;
    let refused = refused.expect_err("the operator does not allow it");
    let at = &json!("/pod/template/spec/containers/0/image");
    assert_eq!((slug(&refused), &refused["pointer"]), ("model-image", at));
    let sent = json!({"pod": {"template": host, "unrestricted": "It reads the node's weights."}});
    change(&root, sent).await.expect("it is taken");
    let refused = change(&root, json!({"pod": {"unrestricted": null}})).await;
    let refused = refused.expect_err("the reason is needed");
    assert_eq!(refused["pointer"], "/pod/template/spec/volumes/0/hostPath");
}

#[tokio::test]
async fn people_see_what_a_model_does_and_not_its_image() {
    // The other one of two hears of a model a moment later.
    let hub = Hub::alone(allow).await;
    let (root, person) = (hub.admin("root").await, hub.person().await);
    root.send(Method::POST, CATALOGUE, new_model()).await;
    let body = json!({"model": "far", "inputs": ["CCO"]});
    let sent = person.post("/api/v1/requests").json(&body).send().await.expect("an answer");
    assert_eq!(sent.status(), StatusCode::CREATED);
    for path in ["/api/v1/models/far", "/api/v1/models"] {
        let text = person.get(path).send().await.expect("an answer").text().await.expect("text");
        assert!(text.contains("far") && !text.contains("registry.example.org"), "{text}");
    }
}
