//! Two servers on one PostgreSQL: what one of them ends or changes holds on the other within two
//! seconds, although it answers known sessions from memory.

use std::time::{Duration, Instant};

use muster_store::{Clock, Database};
use reqwest::Method;
use serde_json::json;

use crate::cluster;
use crate::hub::{Hub, PASSWORD, Person, until};

const SESSION: &str = "/api/v1/session";

pub fn schema() -> String {
    format!("t{}", Clock::system().id().simple())
}

/// The schema of a PostgreSQL that all tests share.
pub fn postgres(schema: &str) -> Database {
    let url = cluster::shared().url("postgres");
    Database::Postgres { url, schema: Some(schema.to_owned()), max_connections: 4 }
}

async fn two() -> (Hub, Hub) {
    let schema = schema();
    (Hub::on(postgres(&schema), |_| {}).await, Hub::on(postgres(&schema), |_| {}).await)
}

impl Hub {
    /// The same person at this server, who is known here without a statement.
    async fn knows(&self, person: &Person) -> Person {
        let here = self.with_token(person, &person.token);
        until("it is remembered", async || {
            let before = self.store.counters().session_lookups.get();
            assert_eq!(here.status(SESSION).await, 200);
            self.store.counters().session_lookups.get() == before
        })
        .await;
        here
    }
}

pub async fn soon<F: Future<Output = bool>>(what: &str, look: impl FnMut() -> F) {
    let begun = Instant::now();
    until(what, look).await;
    let took = begun.elapsed();
    println!("{what}: {took:?}");
    assert!(took < Duration::from_secs(2), "{what}: {took:?}");
}

#[tokio::test]
async fn what_one_server_ends_is_over_on_the_other() {
    let (one, two) = two().await;
    let root = one.admin("root").await;
    for n in 0..4 {
        let ada = one.user(&format!("ada{n}")).await;
        let there = two.knows(&ada).await;
        let users = format!("/api/v1/users/{}", ada.id);
        let over = async || there.status(SESSION).await == 401;
        match n {
            0 => drop(ada.send(Method::DELETE, SESSION, json!({})).await),
            1 => drop(root.send(Method::POST, &format!("{users}/disable"), json!({})).await),
            2 => drop(root.send(Method::POST, &format!("{users}/delete"), json!({})).await),
            _ => {
                let (token, _) =
                    one.session_of(ada.id, muster_store::SessionKind::Bearer, "").await;
                let body = json!({"current": PASSWORD, "new": "seven lanterns hum above"});
                let other = one.with_token(&ada, &token);
                other.send(Method::POST, "/api/v1/me/password", body).await;
            }
        }
        soon("it is over", over).await;
    }
}

#[tokio::test]
async fn a_server_with_another_clock_judges_sessions_as_the_others_do() {
    let (one, two) = two().await;
    let root = one.admin("root").await;
    let there = two.knows(&root).await;
    let left = async |person: &Person| {
        person.find(SESSION).await["seconds_left"].as_u64().expect("a number")
    };
    // Five minutes apart, and a jump by more than an administrator may be idle.
    for minutes in [5, 120] {
        two.store.clock().advance(Duration::from_secs(minutes * 60));
        assert_eq!(there.status(SESSION).await, 200);
        until("both give it the same time", async || {
            left(&root).await.abs_diff(left(&there).await) < 5
        })
        .await;
    }
    // And a new one, which no server knows.
    let ada = two.admin("ada").await;
    let here = one.with_token(&ada, &ada.token);
    assert!(left(&here).await.abs_diff(left(&ada).await) < 5);
}

#[tokio::test]
async fn permissions_that_one_server_changes_hold_on_the_other() {
    let (one, two) = two().await;
    let (root, ada) = (one.admin("root").await, one.user("ada").await);
    let there = two.knows(&ada).await;
    assert_eq!(there.status("/api/v1/users").await, 403);
    let admin = json!({"permission": "ADMIN"});
    let users = format!("/api/v1/users/{}", ada.id);
    root.send(Method::POST, &format!("{users}/grant"), admin.clone()).await;
    soon("it is granted", async || there.status("/api/v1/users").await == 200).await;
    root.send(Method::POST, &format!("{users}/revoke"), admin).await;
    soon("it is taken away", async || there.status("/api/v1/users").await == 403).await;
}

#[tokio::test]
async fn failed_logins_are_counted_over_both() {
    let (one, two) = two().await;
    one.user("ada").await;
    let wrong = json!({"name": "ada", "password": "wrong"});
    for n in 0..5 {
        let hub = if n % 2 == 0 { &one } else { &two };
        assert_eq!(hub.send(Method::POST, SESSION, wrong.clone()).await.status(), 403);
    }
    assert_eq!(two.send(Method::POST, SESSION, wrong.clone()).await.status(), 429);
    assert_eq!(one.send(Method::POST, SESSION, wrong).await.status(), 429);
}
