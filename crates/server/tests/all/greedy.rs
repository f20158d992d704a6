//! Clients that take as much as they can: what others need stays.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use muster_server::ServerConfig;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::hub::{Hub, PASSWORD, Person, gzip, problem, read_answer, slug, until};

const HERE: &str = "127.0.0.1";
/// Another network: /24.
const THERE: &str = "127.0.1.1";
const MODELS: &str = "GET /api/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn connect(to: SocketAddr, from: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("it is ours");
    socket.connect(to).await
}

/// The status of an answer; nothing if the server closes without one.
async fn ask(to: SocketAddr, from: &str, head: &str) -> Option<u16> {
    let mut stream = connect(to, from).await.ok()?;
    stream.write_all(head.as_bytes()).await.ok()?;
    let answer = read_answer(&mut stream).await;
    answer.split(' ').nth(1)?.parse().ok()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[tokio::test]
async fn one_network_cannot_take_all_connections() {
    let hub = Hub::alone(|config| (config.connections, config.connections_each) = (12, 6)).await;
    let mut silent = Vec::new();
    for _ in 0..9 {
        silent.push(connect(hub.address, HERE).await);
    }
    // A connection of the same network beyond its share is answered, but not served.
    let mut stream = connect(hub.address, HERE).await.expect("a connection");
    stream.write_all(MODELS.as_bytes()).await.expect("sent");
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("/problems/busy"), "{answer}");
    assert!(answer.contains("retry-after") && answer.contains("connection: close"), "{answer}");
    assert_eq!(ask(hub.address, THERE, MODELS).await, Some(200));
    drop(silent);
    until("places come back", async || ask(hub.address, HERE, MODELS).await == Some(200)).await;
}

#[tokio::test]
async fn probes_are_answered_when_every_place_is_taken() {
    let hub = Hub::alone(|config| (config.connections, config.connections_each) = (8, 4)).await;
    let mut silent = Vec::new();
    for from in [HERE, THERE] {
        for _ in 0..6 {
            silent.push(connect(hub.address, from).await);
        }
        for _ in 0..40 {
            silent.push(connect(hub.metrics, from).await);
        }
    }
    let probe = "127.0.2.1";
    let begun = Instant::now();
    for (address, path) in [
        (hub.address, "/livez"),
        (hub.address, "/readyz"),
        (hub.metrics, "/livez"),
        (hub.metrics, "/readyz"),
    ] {
        assert_eq!(ask(address, probe, &get(path)).await, Some(200), "{address} {path}");
    }
    assert_eq!(ask(hub.address, probe, MODELS).await, Some(503));
    // Not after the silent ones had their time.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    silent.clear();
    until("figures are there again", async || {
        ask(hub.metrics, probe, &get("/metrics")).await == Some(200)
    })
    .await;
}

fn from(person: &Person, path: &str, client: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\nAuthorization: \
         Bearer {}\r\n\r\n",
        person.token
    )
}

/// An event stream that is open.
async fn follow(hub: &Hub, person: &Person, client: &str) -> TcpStream {
    let mut stream = hub.connect().await;
    stream.write_all(from(person, "/api/v1/events", client).as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stream
}

#[tokio::test]
async fn behind_a_proxy_the_clients_network_is_what_counts() {
    let hub = Hub::alone(|config| {
        config.proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.connections_each = 2;
        config.times.event_comment = Duration::from_millis(50);
    })
    .await;
    let person = hub.person().await;
    let ask =
        async |path: &str, client: &str| ask(hub.address, HERE, &from(&person, path, client)).await;
    let models = "/api/v1/models";
    let held =
        (follow(&hub, &person, "203.0.113.7").await, follow(&hub, &person, "203.0.113.8").await);
    assert_eq!(ask(models, "203.0.113.9").await, Some(503));
    assert_eq!(
        ask(models, "203.0.113.9, 198.51.100.1").await,
        Some(200),
        "it is said by the client"
    );
    assert_eq!(ask(models, "198.51.100.1").await, Some(200));
    assert_eq!(ask("/livez", "203.0.113.9").await, Some(200));
    drop(held);
    until("places come back", async || ask(models, "203.0.113.9").await == Some(200)).await;
}

#[tokio::test]
async fn one_network_cannot_take_all_event_streams() {
    let hub = Hub::alone(|config| {
        config.proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.event_streams_network = 2;
    })
    .await;
    let people = (hub.person().await, hub.person().await, hub.person().await);
    let _held = (
        follow(&hub, &people.0, "203.0.113.7").await,
        follow(&hub, &people.1, "203.0.113.8").await,
    );
    let third = from(&people.2, "/api/v1/events", "203.0.113.9");
    assert_eq!(ask(hub.address, HERE, &third).await, Some(503));
    follow(&hub, &people.2, "198.51.100.1").await;
}

#[tokio::test]
async fn one_network_cannot_make_all_sessions() {
    let hub = Hub::alone(|config| {
        config.proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.sessions.a_minute_each = 3;
    })
    .await;
    let make = async |client: &str| {
        let made = hub.http.post(hub.url("/api/v1/sessions")).header("x-forwarded-for", client);
        made.send().await.expect("an answer").status().as_u16()
    };
    for n in 0..3 {
        assert_eq!(make(&format!("203.0.113.{n}")).await, 201);
    }
    assert_eq!([make("203.0.113.9").await, make("198.51.100.1").await], [429, 201]);
}

const PART: usize = 200_000;

/// So many bytes in few inputs.
fn part() -> String {
    format!("{}\n", "C".repeat(999)).repeat(PART / 1_000)
}

fn little_space(config: &mut ServerConfig) {
    config.limits.body_bytes = 256 << 10;
    (config.upload_bytes, config.upload_bytes_each) = (600 << 10, 256 << 10);
}

/// Sends a part of a file, and no more.
async fn stall(hub: &Hub, person: &Person) -> TcpStream {
    let mut stream = hub.connect().await;
    let head = format!(
        "POST /api/v1/requests?model=lengths HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
         {}\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        person.token,
        PART + 10_000
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(part().as_bytes()).await.expect("sent");
    stream
}

#[tokio::test]
async fn stalled_uploads_leave_space_to_others() {
    let hub = Hub::alone(|config| {
        little_space(config);
        // As many people as a slow machine takes until it has read the upload.
        (config.sessions.a_minute, config.sessions.a_minute_each) = (100_000, 100_000);
    })
    .await;
    let (person, other, user) = (hub.person().await, hub.person().await, hub.user("ada").await);
    let _stalled = stall(&hub, &person).await;
    let send = |person: &Person| person.upload("model=lengths", part());
    until("the hub has read it", async || {
        // What is taken until then is of somebody else each time, or their own limits would answer.
        let another = hub.person().await;
        send(&another).send().await.expect("an answer").status() == 429
    })
    .await;
    assert_eq!(slug(&problem(send(&other)).await), "too-many-uploads", "of the same network");
    assert_eq!(send(&user).send().await.expect("an answer").status(), 201);
    other.submit(&["what is small holds nothing"]).await;
}

#[tokio::test]
async fn what_was_received_buys_little_time() {
    let hub = Hub::alone(|config| {
        little_space(config);
        config.times.body = Duration::from_millis(300);
        // What was sent in one go is worth more than ten seconds.
        config.times.body_bytes_a_second = 16 << 10;
    })
    .await;
    let person = hub.person().await;
    let mut stream = stall(&hub, &person).await;
    let begun = Instant::now();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(person.list().await.len(), 0);
}

/// The test's runtime has one thread, which the hub shares.
#[tokio::test]
async fn others_are_answered_while_a_body_is_unpacked_and_read() {
    let hub = Hub::alone(|_| {}).await;
    let person = hub.person().await;
    let lines = "\n".repeat(8 << 20);
    let json = format!("{{\"inputs\": [], {}\"model\": \"lengths\"}}", " ".repeat(8 << 20));
    for (kind, body) in [("text/csv", lines), ("application/json", json)] {
        let packed = gzip(&["-9"], body.as_bytes());
        assert!(packed.len() < 64 << 10);
        let query = if kind == "text/csv" { "?model=lengths" } else { "" };
        let sent = person.post(&format!("/api/v1/requests{query}")).header("content-type", kind);
        let sent = sent.header("content-encoding", "gzip").body(packed);
        let mut answered = 0;
        let asking = async {
            loop {
                let live = hub.http.get(hub.url("/livez")).send().await.expect("an answer");
                assert_eq!(live.status(), 200);
                answered += 1;
            }
        };
        let refused = tokio::select! {
            refused = problem(sent) => refused,
            () = asking => unreachable!(),
        };
        assert_eq!(slug(&refused), "empty-input");
        assert!(answered >= 10, "{kind}: {answered} were answered meanwhile");
    }
}

/// A completed request whose result is more than the kernel takes: 24 MB.
async fn large_result(hub: &Hub, person: &Person) -> String {
    let file = format!("smiles,note\n{}", format!("CCO,{}\n", "x".repeat(16_000)).repeat(1_500));
    let sent = person.upload("model=lengths", file).send().await;
    let request: serde_json::Value = sent.expect("an answer").json().await.expect("JSON");
    let id = request["id"].as_str().expect("an id");
    let path = format!("/api/v1/requests/{id}");
    while person.find(&path).await["phase"] != "completed" {
        hub.complete(hub.claim().await).await;
    }
    format!("{path}/result")
}

#[tokio::test]
async fn downloads_that_nobody_reads_leave_room_to_others() {
    let hub = Hub::alone(|config| {
        (config.download_bytes, config.download_bytes_each) = (64 << 20, 2 << 20);
    })
    .await;
    let (person, user) = (hub.person().await, hub.user("ada").await);
    let (path, theirs) = (large_result(&hub, &person).await, large_result(&hub, &user).await);
    let unread = person.get(&path).send().await.expect("an answer");
    until("its first piece waits", async || person.status(&path).await == 429).await;
    assert_eq!(slug(&problem(person.get(&path)).await), "too-many-downloads");
    let others = user.get(&theirs).send().await.expect("an answer");
    assert_eq!(others.text().await.expect("text").lines().count(), 1_501);
    assert_eq!(unread.text().await.expect("text").lines().count(), 1_501, "it is whole");
    until("its room comes back", async || person.status(&path).await == 200).await;
}

#[tokio::test]
async fn a_client_that_reads_a_little_now_and_then_is_dropped() {
    const SHORT: Duration = Duration::from_millis(500);
    let hub = Hub::alone(|config| config.times.write = SHORT).await;
    let mut stream = hub.connect().await;
    let one = get("/api/v1/openapi.json");
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
    let mut all = Vec::new();
    let sip = async {
        let mut little = [0; 512];
        let until = Instant::now() + SHORT * 6;
        while Instant::now() < until {
            match read.read(&mut little).await {
                Ok(0) | Err(_) => return,
                Ok(n) => all.extend_from_slice(&little[..n]),
            }
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    tokio::select! {
        () = ask => {}
        () = sip => {}
    }
    let end = tokio::time::timeout(Duration::from_secs(10), read.read_to_end(&mut all)).await;
    drop(end.expect("the server closes"));
    let whole = String::from_utf8_lossy(&all).matches("HTTP/1.1 200").count();
    assert!(whole < asked, "all {whole} answers came");
}

#[tokio::test]
async fn logins_are_not_stopped_by_what_others_take() {
    let hub = Hub::alone(|config| (config.connections, config.connections_each) = (12, 6)).await;
    hub.user("ada").await;
    let _silent = futures::future::join_all((0..9).map(|_| connect(hub.address, THERE))).await;
    let body = json!({"name": "ada", "password": PASSWORD});
    let login = hub.send(Method::POST, "/api/v1/session", body).await;
    assert_eq!(login.status(), 201);
}
