//! Logging in and out, cookies, renewing, and what is remembered of sessions.

use std::time::Duration;

use muster_store::SessionKind;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::hub::{Hub, PASSWORD, problem, slug};

const SESSION: &str = "/api/v1/session";
const RENEW: &str = "/api/v1/session/renew";

fn login(name: &str) -> Value {
    json!({"name": name, "password": PASSWORD})
}

async fn json_of(answer: Response) -> Value {
    answer.json().await.expect("JSON")
}

#[tokio::test]
async fn a_person_signs_up_logs_in_and_out() {
    let hub = Hub::alone(|_| {}).await;
    let new = json!({"name": "Ada", "first_name": "Ada", "last_name": "Lovelace",
        "email": "ada@example.org", "password": PASSWORD});
    let made = hub.send(Method::POST, "/api/v1/accounts", new.clone()).await;
    assert_eq!(made.status(), 201);
    let account = json_of(made).await;
    assert_eq!((&account["name"], &account["permissions"]), (&json!("Ada"), &json!([])));
    let again = hub.http.post(hub.url("/api/v1/accounts")).json(&new);
    assert_eq!(slug(&problem(again).await), "name-taken");

    let answer = hub.send(Method::POST, SESSION, login("aDa")).await;
    assert_eq!(answer.status(), 201);
    let session = json_of(answer).await;
    let id = session["principal"]["id"].as_str().expect("an id").parse().expect("an id");
    let token = session["token"].as_str().expect("a token");
    let ada = hub.with_token(&hub.user("helper").await, token);
    let who = ada.find(SESSION).await;
    assert_eq!((&who["state"], &who["principal"]["name"]), (&json!("live"), &json!("Ada")));
    assert!(who.get("token").is_none(), "a secret is shown once");
    assert!(who["seconds_left"].as_u64().is_some_and(|left| left > 86_000 && left <= 86_400));
    ada.submit(&["CCO"]).await;
    let ended = ada.send(Method::DELETE, SESSION, json!({})).await;
    assert_eq!(ended, json!({"state": "ended", "reason": "signed-out"}));
    assert_eq!(ada.status(SESSION).await, 401);
    let renewed = ada.send(Method::POST, RENEW, json!({})).await;
    assert_eq!(renewed, json!({"state": "ended", "reason": "signed-out"}));
    let stored = hub.store.find_password(id).await.expect("an answer").expect("a password");
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
}

#[tokio::test]
async fn wrong_logins_are_all_alike() {
    let hub = Hub::start().await;
    hub.user("ada").await;
    let mut answers = Vec::new();
    for (name, password) in [("ada", "wrong"), ("nobody", PASSWORD), ("ad\u{e4}", "x"), ("", "")] {
        let body = json!({"name": name, "password": password});
        let answer = hub.send(Method::POST, SESSION, body).await;
        assert_eq!(answer.status(), 403, "{name}");
        answers.push(answer.bytes().await.expect("bytes"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let nul = hub.http.post(hub.url(SESSION)).json(&json!({"name": "a\0", "password": "x"}));
    assert_eq!(slug(&problem(nul).await), "bad-json");
}

#[tokio::test]
async fn failed_logins_make_the_account_wait_and_leave_open_sessions_alone() {
    let hub = Hub::start().await;
    let ada = hub.user("ada").await;
    let wrong = json!({"name": "ada", "password": "wrong"});
    for _ in 0..5 {
        assert_eq!(hub.send(Method::POST, SESSION, wrong.clone()).await.status(), 403);
    }
    let answer = hub
        .http
        .post(hub.url(SESSION))
        .header("x-forwarded-for", "203.0.113.7")
        .json(&login("ADA"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 429, "also with the right password, and whatever it says it is");
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("a").parse().expect("seconds");
    assert!((20..=31).contains(&wait), "{wait}");
    assert_eq!(ada.status(SESSION).await, 200);
    hub.user("eve").await;
    assert_eq!(hub.send(Method::POST, SESSION, login("eve")).await.status(), 201);
}

#[tokio::test]
async fn a_browser_has_a_cookie_and_no_token() {
    let hub = Hub::start().await;
    hub.user("ada").await;
    let body = json!({"name": "ada", "password": PASSWORD, "kind": "cookie"});
    let answer = hub.send(Method::POST, SESSION, body).await;
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(json_of(answer).await.get("token").is_none());
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    assert!(pair.starts_with("__Host-muster="), "{cookie}");
    let age = attributes.strip_prefix("Path=/; Max-Age=").expect("an age");
    let (age, rest) = age.split_once("; ").expect("attributes");
    assert_eq!(rest, "HttpOnly; SameSite=Lax; Secure");
    let days = age.parse::<u32>().expect("seconds").div_ceil(24 * 3600);
    assert_eq!(days, 30);
    let send = async |method: Method, path: &str, headers: &[(&'static str, &str)]| {
        let mut sent = hub.http.request(method, hub.url(path)).header("cookie", pair);
        for (name, value) in headers {
            sent = sent.header(*name, *value);
        }
        let inputs = json!({"model": "lengths", "inputs": ["CCO"]});
        sent.json(&inputs).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(send(Method::GET, SESSION, &[]).await, 200);
    let requests = "/api/v1/requests";
    let origin = format!("http://{}", hub.address);
    assert_eq!(send(Method::POST, requests, &[]).await, 403);
    assert_eq!(send(Method::POST, requests, &[("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(send(Method::POST, requests, &[("origin", "https://evil.example")]).await, 403);
    assert_eq!(send(Method::DELETE, SESSION, &[("origin", "null")]).await, 403);
    assert_eq!(send(Method::POST, requests, &[("origin", &origin)]).await, 201);
    assert_eq!(send(Method::POST, requests, &[("sec-fetch-site", "same-origin")]).await, 201);
    let mine = hub.http.get(hub.url(requests)).header("cookie", pair).send().await.expect("it");
    assert_eq!(json_of(mine).await["items"].as_array().map(Vec::len), Some(2), "without effect");
}

#[tokio::test]
async fn logging_in_claims_the_anonymous_requests_once() {
    let hub = Hub::start().await;
    hub.user("ada").await;
    let (kept, claimed) = (hub.person().await, hub.person().await);
    kept.submit(&["a"]).await;
    claimed.submit(&["b"]).await;
    claimed.submit(&["c"]).await;
    let mut body = login("ada");
    body["claim"] = json!(false);
    let ada = kept.send(Method::POST, SESSION, body).await;
    let ada = hub.with_token(&kept, ada["token"].as_str().expect("a token"));
    assert!(ada.list().await.is_empty());
    assert_eq!(kept.list().await.len(), 1);
    claimed.send(Method::POST, SESSION, login("ada")).await;
    assert_eq!(ada.list().await.len(), 2);
    assert_eq!(claimed.status(SESSION).await, 401, "the anonymous session is over");
    let what = claimed.send(Method::POST, RENEW, json!({})).await;
    assert_eq!(what["reason"], "signed-out");
}

#[tokio::test]
async fn renew_always_answers_and_says_why_a_session_is_over() {
    let hub = Hub::alone(|config| {
        config.sessions.policy.user.absolute = Duration::from_secs(1200);
        config.sessions.policy.admin.idle = Duration::ZERO;
    })
    .await;
    let nobody = hub.send(Method::POST, RENEW, json!({})).await;
    assert_eq!(nobody.status(), 200);
    assert_eq!(json_of(nobody).await, json!({"state": "ended", "reason": "none"}));
    let (ada, root) = (hub.user("ada").await, hub.admin("root").await);
    for _ in 0..3 {
        let live = ada.send(Method::POST, RENEW, json!({})).await;
        assert_eq!((&live["state"], &live["principal"]["name"]), (&json!("live"), &json!("ada")));
        assert!(live["seconds_left"].as_u64().is_some_and(|left| left <= 1200), "{live}");
    }
    assert_eq!(root.status(SESSION).await, 401);
    assert_eq!(root.send(Method::POST, RENEW, json!({})).await["reason"], "idle");
    let (other, id) = hub.session_of(ada.id, SessionKind::Bearer, "").await;
    let other = hub.with_token(&ada, &other);
    assert_eq!(other.status(SESSION).await, 200);
    ada.send(Method::POST, &format!("/api/v1/me/sessions/{id}/end"), json!({})).await;
    assert_eq!(other.status(SESSION).await, 401, "at the next request");
    assert_eq!(other.send(Method::POST, RENEW, json!({})).await["reason"], "revoked");
    assert_eq!(ada.status(SESSION).await, 200);
}

/// A page that is left open reads again by itself, and its session ends all the same.
#[tokio::test]
async fn what_nobody_asked_for_keeps_no_session_alive() {
    const MINUTE: Duration = Duration::from_secs(60);
    let hub = Hub::alone(|_| {}).await;
    let (away, here) = (hub.admin("away").await, hub.admin("here").await);
    let quiet = async |method: Method| {
        let request = away.request(method, SESSION).header("muster-quiet", "1");
        request.send().await.expect("an answer").status().as_u16()
    };
    for _ in 0..2 {
        hub.store.clock().advance(MINUTE * 14);
        assert_eq!((quiet(Method::GET).await, here.status(SESSION).await), (200, 200));
    }
    hub.store.clock().advance(MINUTE * 3);
    assert_eq!((quiet(Method::GET).await, here.status(SESSION).await), (401, 200));
}

#[tokio::test]
async fn a_known_session_needs_no_statement() {
    let hub = Hub::alone(|_| {}).await;
    let (ada, anonymous) = (hub.user("ada").await, hub.person().await);
    for person in [&ada, &anonymous] {
        // The changes have to be heard of once before anything is answered from memory.
        let lookups = || hub.store.counters().session_lookups.get();
        crate::hub::until("it is remembered", async || {
            let before = lookups();
            assert_eq!(person.status(SESSION).await, 200);
            lookups() == before
        })
        .await;
        let (before, writes) = (lookups(), hub.store.counters().transactions.get());
        for _ in 0..50 {
            assert_eq!(person.status(SESSION).await, 200);
        }
        assert_eq!(lookups() - before, 0);
        assert_eq!(hub.store.counters().transactions.get() - writes, 0);
    }
}

#[tokio::test]
async fn what_another_process_changes_is_noticed_within_two_seconds() {
    let hub = Hub::start().await;
    let ada = hub.user("ada").await;
    assert_eq!(ada.status(SESSION).await, 200);
    // As another server or command does it: nobody tells this one.
    let sessions = hub.store.list_sessions(ada.id).await.expect("a list");
    let reason = muster_core::session::EndReason::Revoked;
    hub.store.end_session(ada.id, sessions[0].id, reason).await.expect("an answer");
    let begun = std::time::Instant::now();
    crate::hub::until("it is over", async || ada.status(SESSION).await == 401).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn api_tokens_do_what_their_scopes_say_and_nothing_else() {
    let hub = Hub::alone(|_| {}).await;
    let ada = hub.user("ada").await;
    let made =
        ada.send(Method::POST, "/api/v1/me/tokens", json!({"name": "n", "scopes": ["read"]})).await;
    let reader = hub.with_token(&ada, made["token"].as_str().expect("a token"));
    let submit = json!({"model": "lengths", "inputs": ["CCO"]});
    let refused = reader.request(Method::POST, "/api/v1/requests").json(&submit);
    assert_eq!(slug(&problem(refused).await), "forbidden");
    assert!(reader.list().await.is_empty());
    for path in ["/api/v1/me", "/api/v1/me/tokens", "/api/v1/me/sessions", "/api/v1/users"] {
        assert_eq!(reader.status(path).await, 403, "{path}");
    }
    let made = ada.send(Method::POST, "/api/v1/me/tokens", json!({"name": "both"})).await;
    let both = hub.with_token(&ada, made["token"].as_str().expect("a token"));
    let request = both.submit(&["CCO"]).await;
    let path = format!("/api/v1/requests/{}", request["id"].as_str().expect("an id"));
    both.send(Method::POST, &format!("{path}/cancel"), json!({})).await;
    let refused = problem(both.request(Method::DELETE, &path)).await;
    assert_eq!(slug(&refused), "forbidden");
    assert!(refused["detail"].as_str().expect("words").contains("`delete`"), "{refused}");
    assert_eq!(both.list().await.len(), 1);
    let new = json!({"name": "broom", "scopes": ["delete"]});
    let made_too = ada.send(Method::POST, "/api/v1/me/tokens", new).await;
    let broom = hub.with_token(&ada, made_too["token"].as_str().expect("a token"));
    assert_eq!(broom.status(&path).await, 403);
    broom.send(Method::DELETE, &path, json!({})).await;
    assert!(both.list().await.is_empty());
    let listed = ada.find("/api/v1/me/tokens").await;
    let names: Vec<&str> = listed["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|t| t["name"].as_str())
        .collect();
    assert_eq!(names, ["broom", "both", "n"]);
    assert!(listed["items"][0].get("token").is_none());
    let id = made["id"].as_str().expect("an id");
    ada.send(Method::POST, &format!("/api/v1/me/tokens/{id}/revoke"), json!({})).await;
    assert_eq!(both.status("/api/v1/requests").await, 401);
    for bad in [
        json!({"name": ""}),
        json!({"name": "x", "scopes": ["all"]}),
        json!({"name": "x", "days": 0}),
    ] {
        let refused = ada.request(Method::POST, "/api/v1/me/tokens").json(&bad);
        assert_eq!(slug(&problem(refused).await), "bad-json", "{bad}");
    }
}

#[tokio::test]
async fn an_event_stream_ends_with_its_session() {
    let hub = Hub::alone(|_| {}).await;
    let ada = hub.user("ada").await;
    let (token, id) = hub.session_of(ada.id, SessionKind::Bearer, "").await;
    let other = hub.with_token(&ada, &token);
    let mut stream = other.get("/api/v1/events").send().await.expect("an answer");
    assert!(stream.chunk().await.expect("a chunk").is_some());
    ada.send(Method::PATCH, "/api/v1/me", json!({"first_name": "Augusta"})).await;
    let told = tokio::time::timeout(Duration::from_secs(5), stream.chunk()).await.expect("soon");
    assert_eq!(told.expect("a chunk").as_deref(), Some(&b"event: session\ndata: {}\n\n"[..]));
    ada.send(Method::POST, &format!("/api/v1/me/sessions/{id}/end"), json!({})).await;
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it ends");
}

#[tokio::test]
async fn a_browser_gets_a_new_secret_when_the_permissions_changed() {
    let hub = Hub::start().await;
    let (root, ada) = (hub.admin("root").await, hub.user("ada").await);
    let secret = hub.session_of(ada.id, SessionKind::Cookie, "").await.0;
    let renew = async |secret: &str| {
        let sent = hub.http.post(hub.url(RENEW)).header("sec-fetch-site", "same-origin");
        let answer = sent.header("cookie", format!("__Host-muster={secret}")).send().await;
        let answer = answer.expect("an answer");
        let new = answer.headers().get("set-cookie").map(|cookie| {
            let cookie = cookie.to_str().expect("text");
            let value = cookie.strip_prefix("__Host-muster=").expect("our cookie");
            value.split(';').next().expect("a value").to_owned()
        });
        (new, json_of(answer).await)
    };
    assert_eq!(renew(&secret).await.0, None);
    let path = format!("/api/v1/users/{}/grant", ada.id);
    root.send(Method::POST, &path, json!({"permission": "ADMIN"})).await;
    let (new, view) = renew(&secret).await;
    assert_eq!((&view["state"], &view["permissions"]), (&json!("live"), &json!(["ADMIN"])));
    assert!(view.get("token").is_none());
    let new = new.expect("a new secret");
    assert_eq!(renew(&new).await.0, None);
    let (again, view) = renew(&secret).await;
    assert_eq!(view["state"], "live", "the answer may have been lost");
    assert_eq!(again, Some(new), "it has one successor (I-42)");
}

#[tokio::test]
async fn a_database_that_is_away_ends_no_session() {
    let hub = Hub::alone(|_| {}).await;
    let ada = hub.user("ada").await;
    assert_eq!(ada.status(SESSION).await, 200);
    hub.store.close().await;
    crate::hub::until("it is not answered from memory", async || {
        let status = ada.status(SESSION).await;
        assert!(matches!(status, 200 | 503), "{status}");
        status == 503
    })
    .await;
    let renew = ada.request(Method::POST, RENEW).json(&json!({}));
    assert_eq!(slug(&problem(renew).await), "busy");
    let login = hub.http.post(hub.url(SESSION)).json(&login("ada"));
    assert_eq!(slug(&problem(login).await), "busy");
}

/// Many logins at once: some are told to come back, none breaks anything, and others do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_logins_leaves_others_alone() {
    let hub = Hub::start().await;
    let ada = hub.user("ada").await;
    let storm = async {
        let logins = (0..200).map(|n| {
            let body = json!({"name": format!("somebody{n}"), "password": PASSWORD});
            hub.send(Method::POST, SESSION, body)
        });
        let all = futures::future::join_all(logins).await;
        all.iter().map(|answer| answer.status().as_u16()).collect::<Vec<_>>()
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let others = async {
        let mut times = Vec::new();
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let begun = std::time::Instant::now();
            assert_eq!(ada.status("/api/v1/requests").await, 200);
            times.push(begun.elapsed());
        }
        times.sort();
        times
    };
    let storm = async {
        let statuses = storm.await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        statuses
    };
    let (statuses, times) = tokio::join!(storm, others);
    assert!(statuses.iter().all(|status| matches!(status, 403 | 429 | 503)), "{statuses:?}");
    assert!(statuses.contains(&403) && statuses.iter().any(|status| *status != 403));
    let p99 = times[times.len() * 99 / 100];
    println!("{} others meanwhile, p99 {p99:?}", times.len());
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
}
