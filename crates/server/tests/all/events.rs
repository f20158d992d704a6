//! Server-sent events.

use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;

use crate::hub::{Hub, Person, problem, slug};

pub struct Stream {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

pub async fn follow(person: &Person) -> Stream {
    open(person, "/api/v1/events").await
}

pub async fn open(person: &Person, path: &str) -> Stream {
    let answer = person.get(path).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = Stream { bytes: answer.bytes_stream().boxed(), text: String::new() };
    if path.ends_with("/events") {
        assert_eq!(stream.next().await.as_deref(), Some(": connected"));
    }
    stream
}

impl Stream {
    /// The next event or comment; nothing at the end.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let piece = tokio::time::timeout(Duration::from_secs(20), self.bytes.next());
            let piece = piece.await.expect("something in time")?.ok()?;
            self.text.push_str(std::str::from_utf8(&piece).expect("text"));
        }
    }

    /// Reads until a request is told to be in a phase.
    async fn until(&mut self, phase: &str) -> Value {
        loop {
            let event = self.next().await.expect("an event");
            let Some(data) = event.strip_prefix("event: request\ndata: ") else { continue };
            let data: Value = serde_json::from_str(data).expect("JSON");
            if data["phase"] == phase {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn people_follow_their_own_requests() {
    let hub = Hub::alone(|_| {}).await;
    let (person, other) = (hub.person().await, hub.person().await);
    let mut stream = follow(&person).await;
    let theirs = other.submit(&["CC"]).await;
    let request = person.submit(&["CCO", "bad"]).await;
    assert_eq!(stream.until("waiting").await["id"], request["id"]);
    let tasks = hub.claim().await;
    hub.complete(tasks).await;
    let done = stream.until("completed").await;
    assert_eq!(done["id"], request["id"]);
    assert_eq!(
        (&done["done"], &done["failed"], &done["inputs"]),
        (&2.into(), &1.into(), &2.into())
    );
    assert_ne!(done["id"], theirs["id"]);
}

#[tokio::test]
async fn changes_of_models_are_told_to_all() {
    let hub = Hub::alone(|_| {}).await;
    let person = hub.person().await;
    let mut stream = follow(&person).await;
    hub.boot().await;
    while stream.next().await.expect("an event") != "event: models\ndata: {}" {}
}

#[tokio::test]
async fn comments_keep_a_stream_open_and_the_end_of_the_server_ends_it() {
    let mut hub = Hub::alone(|config| config.times.event_comment = Duration::from_millis(50)).await;
    let person = hub.person().await;
    let mut stream = follow(&person).await;
    assert_eq!(stream.next().await.as_deref(), Some(": still here"));
    assert_eq!(stream.next().await.as_deref(), Some(": still here"));
    let stopped = hub.stop();
    while stream.next().await.is_some() {}
    stopped.await.expect("ended").expect("in order");
}

#[tokio::test]
async fn streams_are_limited_and_their_places_come_back() {
    let hub = Hub::alone(|config| {
        config.event_streams_each = 2;
        config.event_streams = 3;
        config.times.event_comment = Duration::from_millis(50);
    })
    .await;
    let (person, other) = (hub.person().await, hub.person().await);
    let streams = (follow(&person).await, follow(&person).await);
    assert_eq!(slug(&problem(person.get("/api/v1/events")).await), "busy");
    let _theirs = follow(&other).await;
    assert_eq!(slug(&problem(other.get("/api/v1/events")).await), "busy");
    drop(streams);
    // The server notices with the next comment that it cannot send.
    while person.get("/api/v1/events").send().await.expect("an answer").status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_burst_of_changes_is_told_as_one() {
    let hub = Hub::alone(|_| {}).await;
    let person = hub.person().await;
    let mut stream = follow(&person).await;
    let inputs = ["CCO"];
    futures::future::join_all((0..120).map(|_| person.submit(&inputs))).await;
    while stream.next().await.expect("an event") != "event: resync\ndata: {}" {}
}

#[tokio::test]
async fn administrators_are_told_once_a_second_that_anybodys_requests_changed() {
    const TOLD: &str = "event: requests\ndata: {}";
    let hub = Hub::alone(|_| {}).await;
    let (admin, person, other) = (hub.admin("grace").await, hub.person().await, hub.person().await);
    let (mut to_admin, mut to_other) = (follow(&admin).await, follow(&other).await);
    person.submit(&["CCO"]).await;
    while to_admin.next().await.expect("an event") != TOLD {}
    let first = std::time::Instant::now();
    person.submit(&["CC"]).await;
    while to_admin.next().await.expect("an event") != TOLD {}
    // The answers' way here takes some time as well.
    assert!(first.elapsed() > Duration::from_millis(900), "{:?}", first.elapsed());
    // What others are told of it says nothing of requests.
    other.submit(&["C"]).await;
    loop {
        let event = to_other.next().await.expect("an event");
        assert_ne!(event, TOLD);
        if event.starts_with("event: request\n") {
            break;
        }
    }
}
