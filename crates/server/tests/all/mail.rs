//! Links that are mailed, through a real SMTP server.

use muster_server::Mail;
use reqwest::Method;
use serde_json::{Value, json};

use crate::hub::{Hub, PASSWORD, problem, slug};
use crate::smtp::SmtpServer;

const PASSWORD_PAGE: &str = "/account/password";
const EMAIL_PAGE: &str = "/account/email";
const NEW: &str = "seven lanterns hum above";

async fn start() -> (Hub, SmtpServer) {
    let smtp = SmtpServer::start(&[]).await;
    let mail = Mail::new(&smtp.url, "Muster <hub@example.org>").expect("it fits");
    let hub = Hub::with(|config| {
        config.mail = Some(mail);
        config.public_url = Some("https://hub.example.org".into());
    });
    (hub.await, smtp)
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
