//! Signing up, changing and deleting one's account, and administering others.

use muster_core::rule::Rule;
use muster_core::stats::Day;
use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, PASSWORD, problem, slug};

const SESSION: &str = "/api/v1/session";

#[tokio::test]
async fn all_broken_rules_are_reported_together() {
    let hub = Hub::start().await;
    let bad =
        json!({"name": "-", "first_name": " ", "email": "no", "password": "passwordpassword"});
    let refused = hub.http.post(hub.url("/api/v1/accounts")).json(&bad);
    let refused = problem(refused).await;
    assert_eq!((slug(&refused), &refused["status"]), ("bad-values", &json!(422)));
    let errors: Vec<(&str, &str)> = refused["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| (error["pointer"].as_str().expect("it"), error["type"].as_str().expect("it")))
        .collect();
    let want = [
        ("/name", "/problems/bad-name"),
        ("/first_name", "/problems/bad-personal-name"),
        ("/last_name", "/problems/missing"),
        ("/email", "/problems/bad-email"),
        ("/password", "/problems/password-too-common"),
    ];
    assert_eq!(errors, want);
    let owner = json!({"name": "x", "permissions": ["ADMIN"]});
    let refused = hub.http.post(hub.url("/api/v1/accounts")).json(&owner);
    assert_eq!(slug(&problem(refused).await), "bad-json", "nobody makes himself admin");
}

#[tokio::test]
async fn a_password_is_changed_with_the_current_one_and_ends_all_other_sessions() {
    let hub = Hub::alone(|_| {}).await;
    let ada = hub.user("ada").await;
    let other = hub.session_of(ada.id, muster_store::SessionKind::Cookie, "").await.0;
    let other = hub.with_token(&ada, &other);
    assert_eq!(other.status(SESSION).await, 200);
    let change = async |current: &str, new: &str| {
        let body = json!({"current": current, "new": new});
        ada.request(Method::POST, "/api/v1/me/password").json(&body).send().await.expect("it")
    };
    assert_eq!(change("wrong", "seven lanterns hum above").await.status(), 403);
    assert_eq!(change(PASSWORD, "short").await.status(), 422);
    let changed = change(PASSWORD, "seven lanterns hum above").await;
    assert_eq!(changed.status(), 201);
    let session: Value = changed.json().await.expect("JSON");
    let renewed = hub.with_token(&ada, session["token"].as_str().expect("a token"));
    assert_eq!(renewed.status(SESSION).await, 200);
    assert_eq!(ada.status(SESSION).await, 200, "the old token is good for a minute");
    assert_eq!(other.status(SESSION).await, 401);
    let old = json!({"name": "ada", "password": PASSWORD});
    assert_eq!(hub.send(Method::POST, SESSION, old).await.status(), 403);
    let new = json!({"name": "ada", "password": "seven lanterns hum above"});
    assert_eq!(hub.send(Method::POST, SESSION, new).await.status(), 201);
}

#[tokio::test]
async fn a_profile_is_changed_and_another_address_needs_the_password() {
    let hub = Hub::start().await;
    let ada = hub.user("ada").await;
    let me = ada.send(Method::PATCH, "/api/v1/me", json!({"first_name": "Augusta"})).await;
    assert_eq!((&me["first_name"], &me["last_name"]), (&json!("Augusta"), &json!("Lovelace")));
    assert_eq!(ada.find(SESSION).await["principal"]["first_name"], "Augusta");
    let without = ada.request(Method::PATCH, "/api/v1/me").json(&json!({"email": "a@b.org"}));
    assert_eq!(slug(&problem(without).await), "bad-values");
    let body = json!({"email": "new@example.org", "password": PASSWORD});
    let me = ada.send(Method::PATCH, "/api/v1/me", body).await;
    assert_eq!((&me["email"], &me["email_verified"]), (&json!("new@example.org"), &json!(false)));
    let owner = ada.request(Method::PATCH, "/api/v1/me").json(&json!({"permissions": ["ADMIN"]}));
    assert_eq!(slug(&problem(owner).await), "bad-json");
}

#[tokio::test]
async fn an_account_is_deleted_with_its_requests() {
    let hub = Hub::alone(|_| {}).await;
    let ada = hub.user("ada").await;
    ada.submit(&["CCO"]).await;
    let wrong = ada.request(Method::DELETE, "/api/v1/me").json(&json!({"password": "wrong"}));
    assert_eq!(slug(&problem(wrong).await), "wrong-login");
    ada.send(Method::DELETE, "/api/v1/me", json!({"password": PASSWORD})).await;
    assert_eq!(ada.status(SESSION).await, 401);
    assert_eq!(hub.store.find_account(ada.id).await.expect("an answer"), None);
    let login = json!({"name": "ada", "password": PASSWORD});
    assert_eq!(hub.send(Method::POST, SESSION, login).await.status(), 403);
}

#[tokio::test]
async fn an_admin_grants_disables_and_everything_is_written_down() {
    let hub = Hub::alone(|_| {}).await;
    let (root, ada) = (hub.admin("root").await, hub.user("ada").await);
    let users = format!("/api/v1/users/{}", ada.id);
    assert_eq!(ada.status("/api/v1/users").await, 403);
    let admin = json!({"permission": "ADMIN"});
    let granted = root.send(Method::POST, &format!("{users}/grant"), admin.clone()).await;
    assert_eq!(granted["permissions"], json!(["ADMIN"]));
    let before = ada.find(SESSION).await;
    assert_eq!(before["permissions"], json!(["ADMIN"]), "at the next request");
    assert_eq!(ada.status("/api/v1/users").await, 200);
    root.send(Method::POST, &format!("{users}/revoke"), admin.clone()).await;
    assert_eq!(ada.status("/api/v1/users").await, 403);
    assert!(
        ada.find(SESSION).await["permissions_version"].as_i64()
            > before["permissions_version"].as_i64()
    );
    let own = format!("/api/v1/users/{}/revoke", root.id);
    let last = root.request(Method::POST, &own).json(&admin);
    assert_eq!(slug(&problem(last).await), "last-admin");
    root.send(Method::POST, &format!("{users}/disable"), json!({})).await;
    assert_eq!(ada.status(SESSION).await, 401);
    let login = json!({"name": "ada", "password": PASSWORD});
    let refused = hub.http.post(hub.url(SESSION)).json(&login);
    assert_eq!(slug(&problem(refused).await), "forbidden");
    root.send(Method::POST, &format!("{users}/enable"), json!({})).await;
    assert_eq!(hub.send(Method::POST, SESSION, login).await.status(), 201);
    let audit = root.find("/api/v1/audit?limit=2").await;
    let actions = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items").iter();
        items.map(|entry| entry["action"].as_str().expect("it").to_owned()).collect()
    };
    assert_eq!(actions(&audit), ["enable", "disable"]);
    let entry = &audit["items"][0];
    assert_eq!((&entry["actor"], &entry["actor_name"]), (&json!(root.id), &json!("root")));
    assert_eq!((&entry["subject"], &entry["subject_name"]), (&json!(ada.id), &json!("ada")));
    let next = audit["next"].as_str().expect("more");
    let rest = root.find(&format!("/api/v1/audit?after={next}")).await;
    assert_eq!(actions(&rest), ["revoke", "grant"]);
    assert_eq!(rest["next"], Value::Null);
    let day = Day::of(hub.store.now());
    let before = Day(day.0 - 1);
    for (query, count) in [
        (format!("actor={}", root.id), 4),
        (format!("actor={}", ada.id), 0),
        (format!("subject={}&action=grant", ada.id), 1),
        ("action=".into(), 4),
        (format!("from={before}&to={day}"), 4),
        (format!("to={before}"), 0),
    ] {
        let found = actions(&root.find(&format!("/api/v1/audit?{query}")).await).len();
        assert_eq!(found, count, "{query}");
    }
    for (query, name) in [
        ("actor=root", "actor"),
        ("subject=1", "subject"),
        ("action=dance", "action"),
        ("to=soon", "to"),
    ] {
        let refused = problem(root.get(&format!("/api/v1/audit?{query}"))).await;
        assert_eq!((slug(&refused), &refused["parameter"]), ("bad-parameter", &json!(name)));
    }
}

#[tokio::test]
async fn users_are_listed_page_by_page() {
    let hub = Hub::start().await;
    let root = hub.admin("root").await;
    for name in ["ada", "bob", "eve"] {
        hub.user(name).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items").iter();
        items.map(|user| user["name"].as_str().expect("it").to_owned()).collect()
    };
    let first = root.find("/api/v1/users?limit=3").await;
    assert_eq!(names(&first), ["root", "ada", "bob"]);
    let next = first["next"].as_str().expect("more");
    let rest = root.find(&format!("/api/v1/users?limit=3&after={next}")).await;
    assert_eq!((names(&rest), &rest["next"]), (vec!["eve".to_owned()], &Value::Null));
    assert_eq!(names(&root.find("/api/v1/users?search=OB").await), ["bob"]);
    assert_eq!(names(&root.find("/api/v1/users?permission=ADMIN").await), ["root"]);
    let eve = &rest["items"][0];
    assert_eq!((&eve["requests"], eve["last_used_at"].is_string()), (&json!(0), true));
    assert_eq!(
        &root.find(&format!("/api/v1/users/{}", eve["id"].as_str().expect("an id"))).await,
        eve
    );
    assert!(names(&root.find("/api/v1/users?disabled=true").await).is_empty());
    assert_eq!(root.status("/api/v1/users?permission=ALL").await, 400);
}

#[tokio::test]
async fn a_link_made_by_an_admin_sets_a_password_once() {
    let hub = Hub::alone(|config| config.public_url = Some("https://hub.example.org".into())).await;
    let (root, ada) = (hub.admin("root").await, hub.user("ada").await);
    let path = format!("/api/v1/users/{}/reset-link", ada.id);
    let made = root.send(Method::POST, &path, json!({})).await;
    let token = made["token"].as_str().expect("a token");
    assert_eq!(made["link"], format!("https://hub.example.org/account/password#{token}"));
    let complete = async |password: &str| {
        let body = json!({"token": token, "password": password});
        hub.send(Method::POST, "/api/v1/password-resets/complete", body).await.status().as_u16()
    };
    assert_eq!(complete("short").await, 422, "it stays good");
    assert_eq!(ada.status(SESSION).await, 200);
    assert_eq!(complete("seven lanterns hum above").await, 200);
    assert_eq!(ada.status(SESSION).await, 401);
    assert_eq!(complete("seven lanterns hum above").await, 422, "once");
    let login = json!({"name": "ada", "password": "seven lanterns hum above"});
    assert_eq!(hub.send(Method::POST, SESSION, login).await.status(), 201);
}

/// I-39, I-41: what is shown and what is stored opens nothing.
#[tokio::test]
async fn no_answer_and_no_row_holds_a_secret_that_opens_something() {
    let hub = Hub::start().await;
    let (root, ada) = (hub.admin("root").await, hub.user("ada").await);
    let users = format!("/api/v1/users/{}", ada.id);
    for path in ["/api/v1/me", "/api/v1/me/sessions", "/api/v1/users", &users, SESSION] {
        let text = root.find(path).await.to_string();
        for secret in ["$argon2id", root.token.as_str(), ada.token.as_str()] {
            assert!(!text.contains(secret), "{path}");
        }
    }
    let hash = muster_server::Secret::read(&ada.token).expect("a secret").hash();
    let stored: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hub.with_token(&ada, &stored).status(SESSION).await, 401);
}

#[test]
fn every_rule_is_in_the_manual() {
    let manual = include_str!("../../../../docs/accounts.md");
    for rule in Rule::ALL {
        assert!(manual.contains(&format!("| `{}` |", rule.slug())), "{}", rule.slug());
    }
}
