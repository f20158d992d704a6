//! Links that are mailed, through a real SMTP server.

use muster_server::{Mail, ServerConfig};
use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, PASSWORD, problem, slug};
use crate::smtp::SmtpServer;

const PASSWORD_PAGE: &str = "/account/password";
const EMAIL_PAGE: &str = "/account/email";
const NEW: &str = "seven lanterns hum above";

async fn start() -> (Hub, SmtpServer) {
    let smtp = SmtpServer::start(&[]).await;
    (Hub::with(mailing(&smtp)).await, smtp)
}

/// One hub: how many mails are sent is counted by each.
async fn start_alone(change: impl FnOnce(&mut ServerConfig)) -> (Hub, SmtpServer) {
    let smtp = SmtpServer::start(&[]).await;
    let mailing = mailing(&smtp);
    let hub = Hub::alone(|config| {
        mailing(config);
        change(config);
    });
    (hub.await, smtp)
}

fn mailing(smtp: &SmtpServer) -> impl FnOnce(&mut ServerConfig) + use<> {
    let mail = Mail::new(&smtp.url, "Muster <hub@example.org>").expect("it fits");
    |config| {
        config.mail = Some(mail);
        config.public_url = Some("https://hub.example.org".into());
    }
}

async fn sign_up(hub: &Hub, name: &str, email: &str) {
    let new = json!({"name": name, "first_name": "Ada", "last_name": "Lovelace", "email": email,
        "password": PASSWORD});
    assert_eq!(hub.send(Method::POST, "/api/v1/accounts", new).await.status(), 201);
}

async fn log_in(hub: &Hub, name: &str, password: &str) -> reqwest::Response {
    let body = json!({"name": name, "password": password});
    hub.send(Method::POST, "/api/v1/session", body).await
}

async fn post(hub: &Hub, path: &str, body: Value) -> (u16, Value) {
    let answer = hub.send(Method::POST, path, body).await;
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn an_address_is_confirmed_before_the_first_login() {
    let (hub, mut smtp) = start().await;
    sign_up(&hub, "ada", "ada@example.org").await;
    let mail = smtp.message().await;
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("hub@example.org", &["ada@example.org".to_owned()][..])
    );
    assert_eq!(mail.subject, "Confirm your address");
    let refused = json!({"name": "ada", "password": PASSWORD});
    let refused = hub.http.post(hub.url("/api/v1/session")).json(&refused);
    assert_eq!(slug(&problem(refused).await), "email-not-verified");
    assert_eq!(log_in(&hub, "ada", "wrong").await.status(), 403);

    let verifications = "/api/v1/email-verifications";
    assert_eq!(post(&hub, verifications, json!({"name": "ada"})).await.0, 200);
    let again = smtp.message().await;
    let complete = format!("{verifications}/complete");
    let token = json!({"token": mail.token(EMAIL_PAGE)});
    assert_eq!(post(&hub, &complete, token).await.0, 422, "only the last one works");
    let token = json!({"token": again.token(EMAIL_PAGE)});
    assert_eq!(post(&hub, &complete, token.clone()).await.0, 200);
    assert_eq!(post(&hub, &complete, token).await.0, 422, "once");
    assert_eq!(log_in(&hub, "ada", PASSWORD).await.status(), 201);
}

#[tokio::test]
async fn whoever_asks_for_a_link_learns_nothing() {
    let (hub, mut smtp) = start().await;
    hub.user("ada").await;
    let mut answers = Vec::new();
    for who in [
        json!({"name": "nobody"}),
        json!({"email": "nobody@example.org"}),
        json!({"email": "x"}),
        json!({"email": "ADA@example.org"}),
        json!({"name": "ADA"}),
    ] {
        for path in ["/api/v1/password-resets", "/api/v1/email-verifications"] {
            answers.push(post(&hub, path, who.clone()).await);
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 200), "{answers:?}");
    for _ in 0..4 {
        assert_eq!(smtp.message().await.to, ["ada@example.org"]);
    }
    let both = json!({"name": "ada", "email": "ada@example.org"});
    assert_eq!(post(&hub, "/api/v1/password-resets", both).await.0, 400);
}

#[tokio::test]
async fn a_forgotten_password_is_set_with_a_mailed_link() {
    let (hub, mut smtp) = start().await;
    let ada = hub.user("ada").await;
    for _ in 0..6 {
        log_in(&hub, "ada", "wrong").await;
    }
    assert_eq!(log_in(&hub, "ada", PASSWORD).await.status(), 429);
    post(&hub, "/api/v1/password-resets", json!({"email": "ada@example.org"})).await;
    let mail = smtp.message().await;
    assert_eq!(mail.subject, "Set a new password");
    let token = mail.token(PASSWORD_PAGE).to_owned();
    let complete = "/api/v1/password-resets/complete";
    let (status, refused) =
        post(&hub, complete, json!({"token": token, "password": "Ada Lovelace 2026!"})).await;
    assert_eq!((status, slug(&refused)), (422, "bad-values"));
    let body = json!({"token": token, "password": NEW});
    assert_eq!(post(&hub, complete, body.clone()).await.0, 200);
    assert_eq!(post(&hub, complete, body).await.0, 422, "once");
    assert_eq!(ada.status("/api/v1/session").await, 401);
    assert_eq!(
        log_in(&hub, "ada", NEW).await.status(),
        201,
        "it also ends the wait, and the mail arrived"
    );
}

#[tokio::test]
async fn another_address_is_the_accounts_once_it_is_confirmed() {
    let (hub, mut smtp) = start().await;
    hub.admin("root").await;
    let ada = hub.user("ada").await;
    // It was confirmed before.
    post(&hub, "/api/v1/email-verifications", json!({"name": "ada"})).await;
    let body = json!({"token": smtp.message().await.token(EMAIL_PAGE)});
    post(&hub, "/api/v1/email-verifications/complete", body).await;
    let change = json!({"email": "new@example.org", "password": PASSWORD});
    let me = ada.send(Method::PATCH, "/api/v1/me", change).await;
    assert_eq!(me["email"], "ada@example.org");
    let mail = smtp.message().await;
    assert_eq!(mail.to, ["new@example.org"]);
    let body = json!({"token": mail.token(EMAIL_PAGE)});
    assert_eq!(post(&hub, "/api/v1/email-verifications/complete", body).await.0, 200);
    let me = ada.find("/api/v1/me").await;
    assert_eq!((&me["email"], &me["email_verified"]), (&json!("new@example.org"), &json!(true)));
}

/// 306 mails in five seconds, once.
#[tokio::test]
async fn nobodys_mailbox_is_filled_and_nobody_fills_many() {
    let (hub, mut smtp) = start_alone(|config| config.sessions.mails_of_network = 12).await;
    for name in ["ada", "grace"] {
        hub.user(name).await;
    }
    let resets = "/api/v1/password-resets";
    let known = post(&hub, resets, json!({"name": "nobody"})).await;
    for n in 0..7 {
        let email = json!({"email": "ADA@example.org"});
        let who = if n % 2 == 0 { json!({"name": "ada"}) } else { email };
        assert_eq!(post(&hub, resets, who).await, known, "whoever asks learns nothing");
    }
    for _ in 0..5 {
        assert_eq!(smtp.message().await.to, ["ada@example.org"]);
    }
    for _ in 0..4 {
        post(&hub, resets, json!({"name": "grace"})).await;
        assert_eq!(smtp.message().await.to, ["grace@example.org"], "ada's are no more than five");
    }
    let asked = hub.http.post(hub.url(resets)).json(&json!({"name": "ada"}));
    let refused = problem(asked).await;
    assert_eq!(slug(&refused), "too-many-mails", "of this network: {refused}");
    let new = json!({"name": "eve", "first_name": "E", "last_name": "E", "email": "x@example.org",
        "password": PASSWORD});
    assert_eq!(
        slug(&problem(hub.http.post(hub.url("/api/v1/accounts")).json(&new)).await),
        "too-many-mails"
    );
    let eve = hub.store.find_account_named("eve").await.expect("an answer");
    assert_eq!(eve, None, "nothing was changed");
}

#[tokio::test]
async fn an_address_gets_few_mails_whatever_accounts_are_made_for_it() {
    let (hub, mut smtp) = start_alone(|_| {}).await;
    let new = |n: usize| {
        json!({"name": format!("eve{n}"), "first_name": "Buy at evil.example",
            "last_name": "Cheap!", "email": format!("victim+{n}@example.org"),
            "password": PASSWORD})
    };
    for n in 0..5 {
        assert_eq!(post(&hub, "/api/v1/accounts", new(n)).await.0, 201);
        let text = smtp.message().await.text;
        for word in ["evil.example", "Cheap", "eve"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    let refused = problem(hub.http.post(hub.url("/api/v1/accounts")).json(&new(5))).await;
    assert_eq!(slug(&refused), "too-many-mails");
    assert!(hub.store.find_account_named("eve5").await.expect("an answer").is_none());
    // A reset of an account whose address nobody confirmed has no name in it either.
    post(&hub, "/api/v1/password-resets", json!({"name": "eve0"})).await;
    let text = smtp.message().await.text;
    assert!(!text.contains("evil.example") && !text.contains("eve0"), "{text}");
}

#[tokio::test]
async fn an_admin_made_by_a_command_logs_in_where_addresses_are_confirmed() {
    let (hub, _smtp) = start().await;
    let new = muster_store::NewAccount {
        name: "root".into(),
        first_name: "Ada".into(),
        last_name: "Lovelace".into(),
        email: "root@example.org".into(),
        password: muster_server::hash_password(PASSWORD).expect("a hash"),
        permissions: vec![muster_core::Permission::Admin],
    };
    hub.store.add_account_here(new).await.expect("an answer").expect("a free name");
    assert_eq!(log_in(&hub, "root", PASSWORD).await.status(), 201);
}
