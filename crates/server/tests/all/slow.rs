//! Clients that are silent, slow or too many.

use std::time::{Duration, Instant};

use muster_server::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hub::{Hub, problem, read_answer, slug, until};

const SHORT: Duration = Duration::from_millis(300);

fn impatient(config: &mut ServerConfig) {
    config.times.head = SHORT;
    config.times.idle = SHORT;
    config.times.write = SHORT;
    config.times.body = SHORT;
}

/// How long until the server closes.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let mut all = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all)).await;
    // A reset is an end as well.
    drop(end.expect("the server closes"));
    begun.elapsed()
}

#[tokio::test]
async fn silent_and_half_said_requests_are_closed() {
    let hub = Hub::with(impatient).await;
    for said in ["", "G", "GET /livez HTTP/1.1\r\nHost: local"] {
        let mut stream = hub.connect().await;
        stream.write_all(said.as_bytes()).await.expect("sent");
        let took = closed_after(&mut stream).await;
        assert!(took >= SHORT - Duration::from_millis(50), "{said:?}: {took:?}");
        assert!(took < Duration::from_secs(5), "{said:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_head_that_comes_drop_by_drop_is_closed() {
    let hub = Hub::with(impatient).await;
    let (mut read, mut write) = hub.connect().await.into_split();
    let begun = Instant::now();
    let drip = async {
        for byte in b"GET /livez HTTP/1.1\r\nHost: localhost\r\nx: yyyyyyyyyyyyyyyyyyyyyyyy".iter()
        {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut all = Vec::new();
    let end = async {
        drop(read.read_to_end(&mut all).await);
        begun.elapsed()
    };
    let took = tokio::select! {
        took = end => took,
        () = drip => panic!("the server listens for ever"),
    };
    assert!(took >= SHORT - Duration::from_millis(50) && took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let hub = Hub::with(impatient).await;
    let mut stream = hub.connect().await;
    for _ in 0..4 {
        tokio::time::sleep(SHORT / 2).await;
        let head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(head).await.expect("sent");
        assert!(read_answer(&mut stream).await.ends_with("ok"));
    }
    let took = closed_after(&mut stream).await;
    assert!(took >= SHORT / 2, "{took:?}");
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_an_idle_client_may_is_not_cut() {
    let hub = Hub::with(impatient).await;
    let person = hub.person().await;
    let body = json!({"model": "lengths", "inputs": ["CCO"]});
    let submitted = person.post("/api/v1/requests?wait=1").json(&body).send().await;
    assert_eq!(submitted.expect("an answer").status(), 201);
}

#[tokio::test]
async fn a_slow_body_is_refused_and_stores_nothing() {
    let hub = Hub::with(impatient).await;
    let person = hub.person().await;
    let mut stream = hub.connect().await;
    let head = format!(
        "POST /api/v1/requests?model=lengths HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
         {}\r\nContent-Type: text/csv\r\nContent-Length: 1000\r\n\r\nsmiles\nCCO\n",
        person.token
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("/problems/too-slow") && answer.contains("connection: close"));
    assert_eq!(person.list().await.len(), 0);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped() {
    let hub = Hub::with(impatient).await;
    let mut stream = hub.connect().await;
    let one = "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let asked = 1_500;
    let (mut read, mut write) = stream.split();
    let ask = async {
        for _ in 0..asked {
            if write.write_all(one.as_bytes()).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    // Nothing is read until the server must have given up.
    drop(tokio::time::timeout(SHORT * 5, ask).await);
    let mut all = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), read.read_to_end(&mut all)).await;
    drop(end.expect("the server closes"));
    let whole = String::from_utf8_lossy(&all).matches("HTTP/1.1 200").count();
    assert!(whole < asked, "all {whole} answers came");
}

#[tokio::test]
async fn places_of_silent_clients_are_given_to_others() {
    let hub = Hub::alone(|config| {
        impatient(config);
        config.connections = 2;
    })
    .await;
    let begun = Instant::now();
    let _silent = (hub.connect().await, hub.connect().await);
    let models = hub.url("/api/v1/models");
    until("a place is free", async || {
        let answer = hub.http.get(&models).send().await.expect("an answer");
        assert!(answer.status() == 200 || answer.headers().contains_key("retry-after"));
        answer.status() == 200
    })
    .await;
    assert!(begun.elapsed() >= SHORT / 2);
}

#[tokio::test]
async fn many_idle_connections_harm_nobody() {
    let hub = Hub::start().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(hub.connect().await);
    }
    let live = hub.http.get(hub.url("/livez")).send().await.expect("an answer");
    assert_eq!(live.status(), 200);
    let head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for stream in &mut idle {
        stream.write_all(head).await.expect("sent");
        assert!(read_answer(stream).await.ends_with("ok"));
    }
}

#[tokio::test]
async fn too_many_sessions_are_refused_for_a_moment() {
    let hub = Hub::alone(|config| config.sessions.a_minute = 3).await;
    for _ in 0..3 {
        hub.person().await;
    }
    let refused = hub.http.post(hub.url("/api/v1/sessions"));
    let answer = refused.try_clone().expect("a request").send().await.expect("an answer");
    let after = answer.headers()["retry-after"].to_str().expect("text").parse::<u64>();
    assert!(after.is_ok_and(|after| (15..=20).contains(&after)), "there is one each 20 seconds");
    assert_eq!(slug(&problem(refused).await), "busy");
}
