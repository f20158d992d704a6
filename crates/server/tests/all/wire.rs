//! HTTP itself, byte by byte.

use tokio::io::AsyncWriteExt;

use crate::hub::{Hub, read_answer};

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[tokio::test]
async fn exactly_one_host_that_is_ours_is_needed() {
    let hub = Hub::start().await;
    for head in [
        "GET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.0\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let answer = hub.raw(head.as_bytes()).await;
        assert_eq!(status(&answer), "400", "{head}");
        assert!(answer.contains("/problems/bad-request"), "{answer}");
        let names = answer.contains("allowed_hosts");
        assert_eq!(names, head.contains("Host: evil") || head.contains("Host:\r\n"), "{answer}");
    }
    for head in [
        "GET /livez HTTP/1.1\r\nHost: LOCALHOST:1\r\n\r\n",
        "GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /livez HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n",
    ] {
        assert_eq!(status(&hub.raw(head.as_bytes()).await), "200", "{head}");
    }
}

#[tokio::test]
async fn a_server_for_everybody_answers_for_any_host() {
    let hub = Hub::with(|config| config.listen = ([0, 0, 0, 0], 0).into()).await;
    let head = b"GET /livez HTTP/1.1\r\nHost: hub.example\r\n\r\n";
    assert_eq!(status(&hub.raw(head).await), "200");
    let hub = Hub::with(|config| config.hosts = vec!["hub.example".into()]).await;
    assert_eq!(status(&hub.raw(head).await), "200");
    let other = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(status(&hub.raw(other).await), "400");
}

#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let hub = Hub::start().await;
    let post = "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\n";
    for rest in [
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        "Content-Length: +1\r\n\r\n1",
        " folded: header\r\n\r\n",
        "na me: x\r\n\r\n",
    ] {
        let answer = hub.raw(format!("{post}{rest}").as_bytes()).await;
        assert_eq!(status(&answer), "400", "{rest}: {answer}");
    }
}

#[tokio::test]
async fn heads_are_limited() {
    let hub = Hub::start().await;
    let many = "x: y\r\n".repeat(100);
    let long = format!("x: {}\r\n", "y".repeat(64 << 10));
    for headers in [many, long] {
        let head = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        assert_eq!(status(&hub.raw(head.as_bytes()).await), "431");
    }
    let path = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(70_000));
    let answer = hub.raw(path.as_bytes()).await;
    assert!(["414", "431"].contains(&status(&answer)), "{answer}");
}

#[tokio::test]
async fn paths_and_methods_are_taken_by_the_letter() {
    let hub = Hub::start().await;
    for path in ["/api/v1/models/", "//api/v1/models", "/API/v1/models", "/api/v1/../livez", "/%00"]
    {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = hub.raw(head.as_bytes()).await;
        assert_eq!(status(&answer), "404", "{path}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    for (method, allow) in
        [("TRACE", "POST"), ("DELETE", "POST"), ("PUT", "POST"), ("BREW", "POST")]
    {
        let head = format!("{method} /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = hub.raw(head.as_bytes()).await;
        assert_eq!(status(&answer), "405", "{method}");
        assert!(answer.contains(&format!("allow: {allow}\r\n")), "{answer}");
        assert!(answer.contains("/problems/method-not-allowed"), "{answer}");
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_keep_browsers_safe() {
    let hub = Hub::start().await;
    for path in ["/livez", "/nothing", "/api/v1/models", "/api/docs/"] {
        let answer = hub.http.get(hub.url(path)).send().await.expect("an answer");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        let cached = if path == "/api/docs/" { "max-age=3600" } else { "no-store" };
        assert_eq!(header("cache-control"), cached);
        assert_eq!(header("x-request-id").len(), 17);
    }
}

#[tokio::test]
async fn requests_sent_together_are_answered_in_order() {
    let hub = Hub::start().await;
    let mut stream = hub.connect().await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let all = format!("{}{}{}", one("/livez"), one("/nothing"), one("/livez"));
    stream.write_all(all.as_bytes()).await.expect("sent");
    let mut seen = String::new();
    while seen.matches("HTTP/1.1 ").count() < 3 || !seen.ends_with("ok") {
        seen.push_str(&read_answer(&mut stream).await);
    }
    let statuses: Vec<&str> = seen.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[tokio::test]
async fn odd_bytes_in_a_target_are_refused() {
    let hub = Hub::start().await;
    for target in [b"/\xff\xfe".as_slice(), b"/\x01", b"/%ff", b"/%"] {
        let mut head = b"GET ".to_vec();
        head.extend_from_slice(target);
        head.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = hub.raw(&head).await;
        assert!(["400", "404"].contains(&status(&answer)), "{answer}");
    }
}

/// What hyper refuses by itself says why, as everything else.
#[tokio::test]
async fn a_head_that_cannot_be_read_is_answered_with_a_problem() {
    let hub = Hub::start().await;
    let many = "X: y\r\n".repeat(70);
    let long = format!("X: {}\r\n", "y".repeat(60_000));
    for (more, want, slug) in [
        (many.as_str(), "431", "head-too-large"),
        (long.as_str(), "431", "head-too-large"),
        (" folded: x\r\n", "400", "bad-request"),
    ] {
        let head = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
        let answer = hub.raw(head.as_bytes()).await;
        assert_eq!(status(&answer), want, "{answer}");
        assert!(answer.contains("content-type: application/problem+json"), "{answer}");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{answer}");
        if want == "431" {
            let detail = problem["detail"].as_str().expect("words");
            assert!(detail.contains("64 headers") && detail.contains("32 KiB"), "{detail}");
        }
    }
    let tls = hub.raw(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n").await;
    assert!(tls.contains("/problems/bad-request"), "{tls}");
}

/// A cookie of somebody else, such as that of a single sign-on, says nothing about who asks.
#[tokio::test]
async fn a_foreign_cookie_is_no_session() {
    let hub = Hub::start().await;
    let post = |cookie: &str| hub.http.post(hub.url("/api/v1/sessions")).header("cookie", cookie);
    for foreign in ["_sso=1", "a=1; xmuster=2", "__Host-muster-x=1"] {
        assert_eq!(post(foreign).send().await.expect("an answer").status(), 201, "{foreign}");
    }
    for ours in ["__Host-muster=x", "_sso=1; muster=x", "__Secure-muster="] {
        assert_eq!(post(ours).send().await.expect("an answer").status(), 403, "{ours}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_may_use_tokens_if_the_operator_says_so_and_never_the_cookie() {
    let lab = "https://lab.example";
    let hub = Hub::with(|config| config.cors_origins = vec![lab.into()]).await;
    let person = hub.person().await;
    let ask = |origin: &str| {
        let ask = hub.http.request(reqwest::Method::OPTIONS, hub.url("/api/v1/requests"));
        let ask = ask.header("origin", origin).header("access-control-request-method", "POST");
        ask.header("access-control-request-headers", "authorization,content-type")
    };
    let allowed = ask(lab).send().await.expect("an answer");
    assert_eq!(allowed.status(), 200);
    assert_eq!(allowed.headers()["access-control-allow-origin"], lab);
    let named = allowed.headers()["access-control-allow-headers"].to_str().expect("text");
    assert!(named.contains("authorization") && named.contains("idempotency-key"), "{named}");
    assert!(!allowed.headers().contains_key("access-control-allow-credentials"));
    let other = ask("https://evil.example").send().await.expect("an answer");
    assert!(!other.headers().contains_key("access-control-allow-origin"));
    let submit = |origin: &str| person.upload("model=lengths", "CCO").header("origin", origin);
    let sent = submit(lab).header("sec-fetch-site", "cross-site").send().await.expect("an answer");
    assert_eq!(sent.status(), 201);
    assert_eq!(sent.headers()["access-control-allow-origin"], lab);
    assert_eq!(submit("https://evil.example").send().await.expect("an answer").status(), 403);
    let cookie = format!("__Host-muster={}", person.token);
    let by_cookie = hub.http.post(hub.url("/api/v1/requests?model=lengths")).body("CCO");
    let by_cookie = by_cookie.header("content-type", "text/csv").header("cookie", cookie);
    let refused = by_cookie.header("origin", lab).send().await.expect("an answer");
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn below_a_path_everything_stays_below_it() {
    let hub = Hub::with(|config| {
        config.public_url = Some("https://example.org/hub".into());
        config.cookie = muster_server::Cookie::SecureBelow("/hub".into());
    })
    .await;
    let person = hub.person().await;
    let sent = person.upload("model=lengths", "CCO").send().await.expect("an answer");
    let place = sent.headers()["location"].to_str().expect("text").to_owned();
    assert!(place.starts_with("/hub/api/v1/requests/"), "{place}");
    let answer = hub.raw(b"GET /api/docs HTTP/1.1\r\nHost: example.org\r\n\r\n").await;
    assert!(answer.contains("location: docs/\r\n"), "{answer}");
    let described = person.find("/api/v1/openapi.json").await;
    assert_eq!(described["servers"][0]["url"], "https://example.org/hub");
    let body = serde_json::json!({"kind": "cookie"});
    let made = hub.send(reqwest::Method::POST, "/api/v1/sessions", body).await;
    let cookie = made.headers()["set-cookie"].to_str().expect("text");
    assert!(cookie.starts_with("__Secure-muster=") && cookie.contains("; Path=/hub;"), "{cookie}");
}
