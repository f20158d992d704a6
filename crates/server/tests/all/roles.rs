//! Who may do what: `roles.toml` names every route, and this calls each as everybody.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::hub::{Hub, Person};

const TABLE: &str = include_str!("../../roles.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    /// Without a session.
    nobody: u16,
    /// The anonymous session that the request in the path belongs to.
    owner: u16,
    /// Another anonymous session.
    other: u16,
}

fn roles() -> BTreeMap<String, Role> {
    toml::from_str(TABLE).expect("a table of roles")
}

#[test]
fn every_route_has_its_roles() {
    let api: Value = serde_json::from_str(&muster_server::openapi()).expect("JSON");
    let mut routes = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("operations").keys() {
            routes.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    routes.extend(
        ["GET /", "GET /api/docs", "GET /api/docs/", "GET /api/docs/{file}"].map(Into::into),
    );
    routes.sort();
    let listed: Vec<String> = roles().into_keys().collect();
    assert_eq!(listed, routes, "roles.toml has to list exactly the routes there are");
}

async fn call(hub: &Hub, route: &str, request: &str, person: Option<&Person>) -> StatusCode {
    let (method, path) = route.split_once(' ').expect("a method and a path");
    let path = match path {
        "/api/v1/models/{id}" => "/api/v1/models/lengths".to_owned(),
        "/api/docs/{file}" => "/api/docs/index.css".to_owned(),
        path => path.replace("{id}", request),
    };
    let method: Method = method.parse().expect("a method");
    // Redirects are followed: what counts is what comes of it.
    let mut sent = hub.http.request(method, hub.url(&path));
    if route == "POST /api/v1/requests" {
        sent = sent.json(&json!({"model": "lengths", "inputs": ["CCO"]}));
    }
    if let Some(person) = person {
        sent = sent.bearer_auth(&person.token);
    }
    sent.send().await.expect("an answer").status()
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says() {
    let hub = Hub::start().await;
    let (owner, other) = (hub.person().await, hub.person().await);
    for (route, role) in roles() {
        let upload = owner.upload("model=lengths", "CCO\n").send().await.expect("an answer");
        let request: Value = upload.json().await.expect("JSON");
        let tasks = hub.claim().await;
        hub.complete(tasks).await;
        let id = request["id"].as_str().expect("an id");
        let everybody = [
            ("nobody", None, role.nobody),
            ("other", Some(&other), role.other),
            ("owner", Some(&owner), role.owner),
        ];
        for (name, person, want) in everybody {
            let got = call(&hub, &route, id, person).await.as_u16();
            assert_eq!(got, want, "{route} as {name}");
        }
    }
}

#[tokio::test]
async fn only_a_token_that_was_given_opens() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let token = person.token.clone();
    let changed = token.replace(&token[..1], if token.starts_with('0') { "1" } else { "0" });
    let unknown = "0".repeat(64);
    let values = [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Basic {token}"),
        format!("Bearer {unknown}"),
        format!("Bearer {changed}"),
        format!("Bearer {token}x"),
        format!("Bearer {token} {token}"),
    ];
    for value in values {
        let get = hub.http.get(hub.url("/api/v1/requests")).header("authorization", &value);
        let answer = get.send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{value}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
    let good = format!("bearer {token}");
    let get = hub.http.get(hub.url("/api/v1/requests")).header("authorization", &good);
    assert_eq!(get.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_session_ends() {
    let hub = Hub::with(|config| config.sessions.lifetime = std::time::Duration::ZERO).await;
    let person = hub.person().await;
    let answer = person.get("/api/v1/requests").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
}
