//! The web app as browsers get it.

use muster_server::WebFiles;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};

use crate::hub::Hub;

/// A page as the build leaves it, and a script; `gzip` of `let x = 1;`.
static FILES: &[(&str, &[u8])] = &[
    ("favicon.svg", b"<svg/>"),
    (
        "index.html",
        b"<base href=\"/\"/><script nonce=__CSP_NONCE__></script><p ngCspNonce=__CSP_NONCE__>",
    ),
    ("main-4QZ2XWPB.js.br", b"brotli"),
    ("main-4QZ2XWPB.js.gz", GZIP),
    ("worker-result-4QZ2XWPB.js.gz", GZIP),
];
const GZIP: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x49, 0x2d, 0x51, 0xa8, 0x50,
    0xb0, 0x55, 0x30, 0xb4, 0x06, 0x00, 0x37, 0xc6, 0xe8, 0xb2, 0x0a, 0x00, 0x00, 0x00,
];

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

async fn hub() -> Hub {
    Hub::with(|config| config.web = WebFiles(FILES)).await
}

#[tokio::test]
async fn every_path_outside_the_api_that_a_browser_opens_is_the_page() {
    let hub = hub().await;
    let mut nonces = Vec::new();
    for (path, up) in [
        ("/", "./"),
        ("/requests/01a20ee9", "../"),
        ("/account/password/", "../../"),
        ("/admin/statistics?by=a/model", "../"),
    ] {
        let answer = hub.http.get(hub.url(path)).header(ACCEPT, BROWSER).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
        let page = answer.text().await.expect("text");
        // A proxy may have put a path before it that the hub does not know.
        assert!(page.starts_with(&format!("<base href=\"{up}\"/>")), "{path}: {page}");
        let nonce = page.split("nonce=").nth(1).expect("a nonce");
        let nonce = nonce.split('>').next().expect("its end").to_owned();
        assert_eq!(page.matches(&nonce).count(), 2, "{page}");
        assert!(policy.contains(&format!("'nonce-{nonce}'")), "{policy}");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'"), "{policy}");
        nonces.push(nonce);
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 4, "each answer has a nonce of its own");
}

#[tokio::test]
async fn below_a_path_the_page_says_where_it_is() {
    let hub = Hub::with(|config| {
        config.web = WebFiles(FILES);
        config.public_url = Some("https://example.org/a&b/hub".into());
    })
    .await;
    for path in ["/", "/requests/01a20ee9"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: example.org\r\nAccept: {BROWSER}\r\n\r\n");
        let answer = hub.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("<base href=\"/a&amp;b/hub/\"/>"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_not_a_page_stays_a_problem() {
    let hub = hub().await;
    for (method, path, accept) in [
        ("GET", "/nothing", "*/*"),
        ("GET", "/main-00000000.js", "*/*"),
        ("GET", "/api/nothing", BROWSER),
        ("GET", "/api", BROWSER),
        ("POST", "/requests", BROWSER),
    ] {
        let method = method.parse().expect("a method");
        let answer = hub.http.request(method, hub.url(path)).header(ACCEPT, accept).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    }
}

#[tokio::test]
async fn files_come_in_the_smallest_coding_that_the_client_takes() {
    let hub = hub().await;
    for (accepts, coding, body) in [
        ("gzip, deflate, br", Some("br"), &b"brotli"[..]),
        ("gzip", Some("gzip"), GZIP),
        ("identity", None, b"let x = 1;"),
        ("br;q=0", None, b"let x = 1;"),
    ] {
        let answer = hub.http.get(hub.url("/main-4QZ2XWPB.js")).header(ACCEPT_ENCODING, accepts);
        let answer = answer.send().await.expect("an answer");
        let headers = answer.headers();
        assert_eq!(headers.get(CONTENT_ENCODING).map(|c| c.to_str().expect("text")), coding);
        assert_eq!(headers[CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(headers[CACHE_CONTROL], "max-age=31536000, immutable");
        assert_eq!(headers["vary"], "accept-encoding");
        assert_eq!(answer.bytes().await.expect("bytes"), body);
    }
    let icon = hub.http.get(hub.url("/favicon.svg")).send().await.expect("an answer");
    assert_eq!(icon.headers()[CACHE_CONTROL], "max-age=3600");
    assert_eq!(icon.headers()[CONTENT_TYPE], "image/svg+xml");
}

#[tokio::test]
async fn a_worker_may_read_from_the_hub() {
    let hub = hub().await;
    for (file, policy) in [
        ("/worker-result-4QZ2XWPB.js", "default-src 'none'; connect-src 'self'"),
        (
            "/main-4QZ2XWPB.js",
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ] {
        let answer = hub.http.get(hub.url(file)).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-security-policy"], policy, "{file}");
    }
}

#[tokio::test]
async fn a_hub_without_the_app_says_how_to_build_it() {
    let hub = Hub::start().await;
    let answer = hub.http.get(hub.url("/")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.expect("text");
    assert!(page.contains("make web && cargo build --release -p muster"), "{page}");
    assert!(page.contains("<base href=\"./\">") && page.contains("href=api/docs/"), "{page}");
}
