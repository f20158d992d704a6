//! Health, figures, models, and the end of a server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::hub::{Hub, problem, read_answer, slug, until};

#[tokio::test]
async fn a_stopping_server_finishes_what_it_began() {
    let mut hub = Hub::alone(|_| {}).await;
    let person = hub.person().await;
    let request = person.submit(&["CCO"]).await;
    let path = format!("/api/v1/requests/{}?wait=60", request["id"].as_str().expect("an id"));
    let begun = Instant::now();
    let waiting = tokio::spawn(person.get(&path).send());
    let mut upload = hub.connect().await;
    let head = format!(
        "POST /api/v1/requests?model=lengths HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
         {}\r\nContent-Type: text/csv\r\nContent-Length: 4\r\n\r\nC",
        person.token
    );
    upload.write_all(head.as_bytes()).await.expect("sent");
    // Something answered after the upload began: the server has both.
    assert_eq!(person.list().await.len(), 1);
    let stopped = hub.stop();
    let waited: Value = waiting.await.expect("a task").expect("answer").json().await.expect("JSON");
    assert_eq!(waited["phase"], "waiting");
    upload.write_all(b"CO\n").await.expect("sent");
    assert!(read_answer(&mut upload).await.starts_with("HTTP/1.1 201 "));
    stopped.await.expect("ended").expect("in order");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(tokio::net::TcpStream::connect(hub.address).await.is_err());
}

#[tokio::test]
async fn a_leaving_server_says_so_and_still_takes_requests() {
    let mut hub = Hub::alone(|config| config.times.leave = Duration::from_secs(2)).await;
    let person = hub.person().await;
    // Accepted and silent when the server begins to leave.
    let mut silent = hub.connect().await;
    let begun = Instant::now();
    let stopped = hub.stop();
    let ready =
        || async { hub.http.get(hub.url("/readyz")).send().await.expect("an answer").status() };
    while ready().await != 503 {
        assert!(begun.elapsed() < Duration::from_secs(2), "still ready");
    }
    person.submit(&["CCO"]).await;
    silent.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    assert!(read_answer(&mut silent).await.starts_with("HTTP/1.1 200 "));
    stopped.await.expect("ended").expect("in order");
    assert!(tokio::net::TcpStream::connect(hub.address).await.is_err());
}

#[tokio::test]
async fn a_server_does_not_wait_for_ever_for_its_clients() {
    let mut hub = Hub::alone(|config| config.times.drain = Duration::from_millis(200)).await;
    let person = hub.person().await;
    let mut upload = hub.connect().await;
    let head = format!(
        "POST /api/v1/requests?model=lengths HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \
         {}\r\nContent-Type: text/csv\r\nContent-Length: 400\r\n\r\nC",
        person.token
    );
    upload.write_all(head.as_bytes()).await.expect("sent");
    assert_eq!(person.list().await.len(), 0);
    let stopped = tokio::time::timeout(Duration::from_secs(10), hub.stop()).await;
    stopped.expect("in time").expect("ended").expect("in order");
}

#[tokio::test]
async fn health_is_told_without_a_session() {
    let hub = Hub::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = hub.http.get(hub.url(path)).send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.text().await.expect("text")),
            (200, "ok".into())
        );
    }
    hub.store.close().await;
    assert_eq!(slug(&problem(hub.http.get(hub.url("/readyz"))).await), "busy");
    assert_eq!(hub.http.get(hub.url("/livez")).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn figures_are_on_an_address_of_their_own() {
    let hub = Hub::alone(|_| {}).await;
    let person = hub.person().await;
    let request = person.submit(&["CCO"]).await;
    let id = request["id"].as_str().expect("an id");
    person.find(&format!("/api/v1/requests/{id}")).await;
    hub.boot().await;
    let answer = hub.http.get(hub.url("/metrics")).send().await.expect("an answer");
    assert_eq!(answer.status(), 404);
    let path = format!("http://{}/metrics", hub.metrics);
    let answer = hub.http.get(&path).send().await.expect("an answer");
    assert!(answer.headers()["content-type"].to_str().expect("text").contains("openmetrics"));
    let text = answer.text().await.expect("text");
    for line in [
        "muster_http_requests_total{method=\"POST\",route=\"/api/v1/requests\",status=\"201\"} 1",
        "muster_http_requests_total{method=\"GET\",route=\"/api/v1/requests/{id}\",status=\"200\"} 1",
        "muster_http_request_seconds_count{route=\"/api/v1/requests/{id}\"} 1",
        "muster_requests{model=\"lengths\",state=\"waiting\"} 1",
        "muster_instances{model=\"lengths\",state=\"ready\"} 1",
        "muster_submitted_total 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(id) && !text.contains(&person.token));
}

#[tokio::test]
async fn a_model_says_what_a_newcomer_needs() {
    let hub = Hub::start().await;
    let get = async |path: &str| -> Value {
        hub.http.get(hub.url(path)).send().await.expect("an answer").json().await.expect("JSON")
    };
    let model = get("/api/v1/models/lengths").await;
    assert_eq!(
        model,
        json!({
            "id": "lengths", "title": "Lengths", "version": "1.0.0+00000000", "state": "cold",
            "waiting": 0, "running": 0, "p50_seconds": null, "sentence": "", "tags": [],
            "card": {"title": "Lengths", "description": "", "interpretation": "", "licence": "",
                "publication": "", "source_code": "", "tags": [], "task": ""},
            "task": "", "week": [0, 0, 0, 0, 0, 0, 0],
            "input": {"name": "smiles", "description": "A molecule", "also": ["structure"],
                "kind": "smiles"},
            "outputs": [
                {"name": "length", "kind": "integer", "description": "a", "unit": "",
                    "direction": null},
                {"name": "half", "kind": "float", "description": "a", "unit": "cm",
                    "direction": "low"},
            ],
            "limits": {"batch_size": 1000, "max_instances": 1, "job_seconds": 600,
                "start_seconds": 300, "inputs": 100_000, "input_bytes": 65536,
                "body_bytes": 67_108_864},
            "example": ["CCO"], "cache": true, "usual_start_seconds": null,
            "inputs_per_second": null, "expected_seconds": null,
            "resources": {"cpu": null, "memory_mib": null, "storage_mib": null, "gpus": 0,
                "gpu": "nvidia.com/gpu", "node": {}},
            "queue": {"waiting": 0, "running": 0}, "held": null, "disabled": null,
        })
    );
    let is = async |state: &str| {
        until(state, async || get("/api/v1/models/lengths").await["state"] == state).await;
    };
    let first = hub.launch(5).await;
    is("starting").await;
    hub.store.instance_preparing(first, true).await.expect("an answer");
    is("preparing").await;
    hub.launch(6).await;
    is("starting").await;
    hub.boot().await;
    is("ready").await;
    let list = get("/api/v1/models?limit=1").await;
    assert_eq!((&list["items"][0]["id"], &list["next"]), (&json!("lengths"), &Value::Null));
    assert_eq!(get("/api/v1/models?after=lengths").await, json!({"items": [], "next": null}));
    for path in ["/api/v1/models/nope", "/api/v1/models/A%2FB", "/api/v1/models/%00"] {
        assert_eq!(slug(&problem(hub.http.get(hub.url(path))).await), "unknown-model");
    }
}

#[tokio::test]
async fn asking_often_costs_the_database_little() {
    let hub = Arc::new(Hub::start().await);
    let begun = Instant::now();
    let url = hub.url("/api/v1/models");
    for _ in 0..50 {
        let answers = (0..4).map(|_| hub.http.get(&url).send());
        for answer in futures::future::join_all(answers).await {
            assert_eq!(answer.expect("an answer").status(), 200);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
}
