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
