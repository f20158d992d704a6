//! Who may do what: `roles.toml` names every route, and this calls each as everybody.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_core::{Model, Permission, Source};
use muster_store::SessionKind;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::hub::{Hub, PASSWORD, Person, base64, legacy, model};

const TABLE: &str = include_str!("../../roles.toml");
/// Behind a path: the same with settings of pods.
const POD: &str = " pod";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Role {
    nobody: u16,
    anonymous: u16,
    other_anonymous: u16,
    user: u16,
    other_user: u16,
    editor: u16,
    admin: u16,
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
    let listed: Vec<String> = roles().into_keys().filter(|key| !key.ends_with(POD)).collect();
    assert_eq!(listed, routes, "roles.toml has to list exactly the routes there are");
}

/// Everybody, new for each route, and what the paths name.
struct Cast {
    anonymous: Person,
    other_anonymous: Person,
    user: Person,
    other_user: Person,
    editor: Person,
    admin: Person,
    victim: Person,
    /// Completed requests of the anonymous session and of the user.
    requests: [String; 2],
    /// A session and an API token of the user.
    session: String,
    token: String,
    /// Not the one that works on requests: it is stopped.
    instance: String,
}

impl Cast {
    async fn of(hub: &Hub, n: usize) -> Self {
        let user = hub.user(&format!("user{n}")).await;
        let anonymous = hub.person().await;
        let mut requests = Vec::new();
        for owner in [&anonymous, &user] {
            let upload = owner.upload("model=lengths", "CCO\n").send().await.expect("an answer");
            let request: Value = upload.json().await.expect("JSON");
            hub.complete(hub.claim().await).await;
            requests.push(request["id"].as_str().expect("an id").to_owned());
        }
        Self {
            anonymous,
            other_anonymous: hub.person().await,
            other_user: hub.user(&format!("other{n}")).await,
            editor: hub.account(&format!("editor{n}"), vec![Permission::ModelEditor]).await,
            admin: hub.admin(&format!("admin{n}")).await,
            victim: hub.user(&format!("victim{n}")).await,
            requests: requests.try_into().expect("two"),
            session: hub.session_of(user.id, SessionKind::Cookie, "").await.1.to_string(),
            token: hub.session_of(user.id, SessionKind::Token, "read").await.1.to_string(),
            instance: hub.launch(100 + n as u32).await.to_string(),
            user,
        }
    }

    fn path(&self, route: &str, anonymous: bool) -> String {
        let request = &self.requests[usize::from(!anonymous)];
        match route {
            path if path.ends_with("/models/{id}") => path.replace("{id}", "lengths"),
            "/api/auth/anonymous-login/{session_id}" => {
                format!("/api/auth/anonymous-login/{}", self.session)
            }
            // Not the one that the cast submits to: it is disabled.
            path if path.contains("/catalogue/") && path.ends_with(POD) => {
                path.replace("{id} pod", "image")
            }
            path if path.contains("/catalogue/") => path.replace("{id}", "other"),
            "/api/v1/catalogue pod" => "/api/v1/catalogue".into(),
            "/api/docs/{file}" => "/api/docs/swagger-ui.css".into(),
            path if path.contains("/nodes/") => path.replace("{id}", "n1"),
            path if path.contains("/instances/") => path.replace("{id}", &self.instance),
            path if path.contains("/users/") => path.replace("{id}", &self.victim.id.to_string()),
            path if path.contains("/sessions/") => path.replace("{id}", &self.session),
            path if path.contains("/tokens/") => path.replace("{id}", &self.token),
            path => path.replace("{id}", request),
        }
    }
}

/// What a route wants to read.
fn body(route: &str, name: &str) -> Option<Value> {
    let person = json!({"name": name, "first_name": "Eve", "last_name": "Adams",
        "email": "eve@example.org", "password": PASSWORD});
    Some(match route {
        "POST /api/v1/catalogue/{id}/rollback" => json!({"version": "1"}),
        "POST /api/v1/catalogue" => json!({"id": name, "address": "http://127.0.0.1:9",
            "version": "1", "input": {"name": "smiles", "description": ""}}),
        "POST /api/v1/catalogue pod" => json!({"id": name, "image": "lab/model:1", "version": "1",
            "input": {"name": "smiles", "description": ""}, "pod": {"limit_cpu": true}}),
        "PATCH /api/v1/catalogue/{id} pod" => json!({"pod": {"limit_cpu": true}}),
        "POST /api/v1/admin/requests/{id}/cancel" => json!({"reason": "a test"}),
        "PATCH /api/v1/catalogue/{id}" => json!({"cache": true}),
        "PATCH /api/v1/requests/{id}" => json!({"label": "Plate 7"}),
        "POST /api/v1/requests" => json!({"model": "lengths", "inputs": ["CCO"]}),
        "POST /api/work-requests" => {
            json!({"model_id": "lengths", "request_payload": {"entries": ["CCO"]}})
        }
        "POST /api/auth/login" => {
            json!({"encoding": base64(&format!("login:{PASSWORD}")), "auth_type": "ErsiliaUser"})
        }
        "POST /api/v1/session" => json!({"name": "login", "password": PASSWORD, "claim": false}),
        "POST /api/v1/accounts" => person,
        "POST /api/v1/password-resets" | "POST /api/v1/email-verifications" => {
            json!({"name": "login"})
        }
        "POST /api/v1/password-resets/complete" => {
            json!({"token": "0".repeat(64), "password": PASSWORD})
        }
        "POST /api/v1/email-verifications/complete" => json!({"token": "0".repeat(64)}),
        "PATCH /api/v1/me" => json!({"first_name": "Eve"}),
        "DELETE /api/v1/me" => json!({"password": PASSWORD}),
        "POST /api/v1/me/password" => {
            json!({"current": PASSWORD, "new": "seven lanterns hum above"})
        }
        "POST /api/v1/instances/{id}/stop" => json!({"work": "drain"}),
        "POST /api/v1/me/tokens" => json!({"name": "nightly"}),
        "POST /api/v1/users/{id}/grant" | "POST /api/v1/users/{id}/revoke" => {
            json!({"permission": "ADMIN"})
        }
        _ => return None,
    })
}

#[tokio::test]
async fn everybody_may_do_what_the_table_says() {
    let address = "http://127.0.0.1:9";
    let allow = |text: &str| vec![text.parse().expect("an origin")];
    let hub = Hub::with(|config| {
        config.model_addresses = allow(address);
        config.model_images = vec!["lab".parse().expect("a prefix")];
    })
    .await;
    hub.user("login").await;
    let root = hub.admin("root").await;
    let (id, source) = ("other".parse().expect("an id"), Source::Server { url: address.into() });
    let other = Model { id, source, ..model() };
    let (id, image) = ("image".parse().expect("an id"), "lab/model:1".to_owned());
    let image = Model { id, source: Source::Image { image, port: 80 }, ..model() };
    for model in [other, image] {
        hub.store.create_model(root.id, model).await.expect("an answer").expect("a free id");
    }
    hub.store.set_planned(Some(crate::nodes::some()));
    for (n, (route, role)) in roles().into_iter().enumerate() {
        let cast = Cast::of(&hub, n).await;
        // Whoever succeeds may change what the next one finds: owners and admins come last.
        let everybody = [
            ("nobody", None, role.nobody),
            ("other_anonymous", Some(&cast.other_anonymous), role.other_anonymous),
            ("anonymous", Some(&cast.anonymous), role.anonymous),
            ("other_user", Some(&cast.other_user), role.other_user),
            ("user", Some(&cast.user), role.user),
            ("editor", Some(&cast.editor), role.editor),
            ("admin", Some(&cast.admin), role.admin),
        ];
        for (name, person, want) in everybody {
            let (method, path) = route.split_once(' ').expect("a method and a path");
            let path = cast.path(path, name.contains("anonymous"));
            // Redirects are followed: what counts is what comes of it.
            let mut sent = hub.http.request(method.parse().expect("a method"), hub.url(&path));
            if let Some(body) = body(&route, &format!("{name}{n}-new")) {
                sent = sent.json(&body);
            }
            if let Some(person) = person {
                sent = match path.starts_with("/api/v1/") {
                    true => sent.bearer_auth(&person.token),
                    false => sent.header("authorization", legacy(&person.token)),
                };
            }
            if path.contains("/catalogue/") {
                sent = sent.header("if-match", "*");
            }
            let got = sent.send().await.expect("an answer").status().as_u16();
            assert_eq!(got, want, "{route} as {name}");
        }
    }
}

/// I-37: whoever asks for what is not theirs learns nothing.
#[tokio::test]
async fn foreign_and_unknown_ids_are_answered_with_the_same_bytes() {
    let hub = Hub::start().await;
    let cast = Cast::of(&hub, 0).await;
    let unknown = hub.store.clock().id().to_string();
    for (route, foreign) in [
        ("DELETE /api/v1/requests/{id}", &cast.requests[1]),
        ("GET /api/v1/requests/{id}", &cast.requests[1]),
        ("GET /api/v1/requests/{id}/inputs", &cast.requests[1]),
        ("PATCH /api/v1/requests/{id}", &cast.requests[1]),
        ("GET /api/work-requests/{id}", &cast.requests[1]),
        ("GET /api/v1/requests/{id}/result", &cast.requests[1]),
        ("POST /api/v1/requests/{id}/cancel", &cast.requests[1]),
        ("POST /api/v1/me/sessions/{id}/end", &cast.session),
        ("POST /api/v1/me/tokens/{id}/revoke", &cast.token),
    ] {
        let (method, path) = route.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a method");
        let mut answers = Vec::new();
        for id in [foreign, &unknown, "no-id"] {
            let mut sent = cast.other_user.request(method.clone(), &path.replace("{id}", id));
            if !path.starts_with("/api/v1/") {
                let header = legacy(&cast.other_user.token);
                sent = hub
                    .http
                    .get(hub.url(&path.replace("{id}", id)))
                    .header("authorization", header);
            }
            if let Some(body) = body(route, "nobody") {
                sent = sent.json(&body);
            }
            let answer = sent.send().await.expect("an answer");
            assert_eq!(answer.status(), 404, "{route}");
            answers.push(answer.bytes().await.expect("bytes"));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{route}");
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
    let over = Duration::ZERO;
    let hub = Hub::with(|config| config.sessions.policy.anonymous.absolute = over).await;
    let person = hub.person().await;
    let answer = person.get("/api/v1/requests").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
}
