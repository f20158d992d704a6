//! Clients that leave in the middle of an upload: nothing is stored.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::hub::{Hub, problem, read_answer, slug};

/// Sends the beginnings of a request on connections that then close, and gives the number of
/// requests that are stored afterwards.
async fn stored_after_leaving(hub: &Hub, whole: &str, head: usize) -> usize {
    let person = hub.person().await;
    let whole = whole.replace("TOKEN", &person.token);
    let body = whole.len() - (whole.find("\r\n\r\n").expect("a head") + 4);
    assert_eq!(body, head, "the body's length");
    let cuts = (0..body).map(|n| whole.len() - 1 - n).step_by(7).chain([whole.len() - 1]);
    for cut in cuts {
        let mut stream = hub.connect().await;
        stream.write_all(&whole.as_bytes()[..cut]).await.expect("sent");
        // Half-closed: the server sees the end of what comes, and closes when it is done with it.
        stream.shutdown().await.expect("closed");
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
        let answer = String::from_utf8_lossy(&rest);
        assert!(!answer.starts_with("HTTP/1.1 2"), "cut at {cut}: {answer}");
    }
    person.list().await.len()
}

#[tokio::test]
async fn a_json_upload_that_breaks_off_stores_nothing() {
    let hub = Hub::start().await;
    let body = json!({"model": "lengths", "inputs": ["CCO", "c1ccccc1", "CC(=O)O"]}).to_string();
    let whole = format!(
        "POST /api/v1/requests HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(stored_after_leaving(&hub, &whole, body.len()).await, 0);
}

#[tokio::test]
async fn a_chunked_file_that_breaks_off_stores_nothing() {
    let hub = Hub::start().await;
    let body = "e\r\nsmiles\nCCO\nCC\n\r\n4\r\nCCC\n\r\n0\r\n\r\n";
    let whole = format!(
        "POST /api/v1/requests?model=lengths HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
         TOKEN\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
    );
    assert_eq!(stored_after_leaving(&hub, &whole, body.len()).await, 0);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_finds_its_request_by_its_key() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    let body = json!({"model": "lengths", "inputs": ["CCO"]}).to_string();
    let head = format!(
        "POST /api/v1/requests?wait=60 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Idempotency-Key: k1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        person.token,
        body.len()
    );
    let mut stream = hub.connect().await;
    stream.write_all(head.as_bytes()).await.expect("sent");
    // The tasks are there, so the request was stored; its answer would come only with its end.
    let tasks = hub.claim().await;
    drop(stream);
    let again = person.post("/api/v1/requests").header("idempotency-key", "k1");
    let again = again.header("content-type", "application/json").body(body);
    let answer = again.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    hub.complete(tasks).await;
    assert_eq!(person.list().await.len(), 1);
}

#[tokio::test]
async fn two_gigabytes_are_refused_before_they_are_sent() {
    let hub = Hub::start().await;
    let person = hub.person().await;
    for kind in ["text/csv", "application/json"] {
        let query = if kind == "text/csv" { "?model=lengths" } else { "" };
        let head = format!(
            "POST /api/v1/requests{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\
             \r\nContent-Type: {kind}\r\nContent-Length: 2147483648\r\n\r\n",
            person.token
        );
        let mut stream = hub.connect().await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(
            answer.contains("/problems/body-too-large") && answer.contains("connection: close")
        );
    }
    assert_eq!(person.list().await.len(), 0);
}

#[tokio::test]
async fn a_client_that_sends_on_still_reads_why_it_was_refused() {
    let hub = Hub::with(|config| config.limits.body_bytes = 100_000).await;
    let person = hub.person().await;
    // No length is declared, so the limit is found while reading.
    let line = bytes::Bytes::from_static(b"CCO,abcdefghijklmnopqrstuvwxyz\n");
    let lines = std::iter::once(bytes::Bytes::from_static(b"smiles,name\n"))
        .chain(std::iter::repeat_n(line, 20_000));
    let body =
        reqwest::Body::wrap_stream(futures::stream::iter(lines.map(Ok::<_, std::io::Error>)));
    let refused = problem(person.upload("model=lengths", body)).await;
    assert_eq!(slug(&refused), "body-too-large");
    assert_eq!(person.list().await.len(), 0);
}

#[tokio::test]
async fn uploads_share_a_limited_space() {
    let hub = Hub::with(|config| {
        config.limits.body_bytes = 1 << 20;
        config.upload_bytes = 1 << 20;
        // However many come before the space is full.
        config.quotas.account.waiting_inputs = u64::MAX >> 1;
        config.quotas.account.day_inputs = u64::MAX >> 1;
    })
    .await;
    let person = hub.user("ada").await;
    let head = format!(
        "POST /api/v1/requests?model=lengths HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
         {}\r\nContent-Type: text/csv\r\nContent-Length: 1000000\r\n\r\nsmiles\n",
        person.token
    );
    let begin = async || {
        let mut slow = hub.connect().await;
        slow.write_all(head.as_bytes()).await.expect("sent");
        // A refusal may come before all is sent.
        drop(slow.write_all("CCCCCCCCCCCCCCC\n".repeat(50_000).as_bytes()).await);
        // Otherwise it is read, which cannot be seen; a while for that.
        drop(timeout(Duration::from_millis(200), slow.peek(&mut [0])).await);
        slow
    };
    let mut slow = begin().await;
    let file = format!("smiles\n{}", "CCCCCCCCC\n".repeat(60_000));
    // The server may still be reading the first one.
    let refused = loop {
        let answer = person.upload("model=lengths", file.clone()).send().await.expect("an answer");
        if answer.status() != 201 {
            break answer;
        }
        // Or it came later than the second one and was refused itself.
        let answered = timeout(Duration::from_millis(1), slow.peek(&mut [0])).await;
        if answered.is_ok() {
            slow = begin().await;
        }
    };
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    drop(slow);
    loop {
        let answer = person.upload("model=lengths", file.clone()).send().await.expect("an answer");
        if answer.status() == 201 {
            break;
        }
    }
}
