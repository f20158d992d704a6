//! Results on their way into the store, and what an instance does meanwhile.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use muster_core::InstanceId;
use muster_store::{Claim, ClaimedTask, Objects};
use tokio::sync::watch;

use crate::hub::{Hub, Reply, Setup, echo, echoes, limits};

const LONG: Duration = Duration::from_secs(20);

/// Object storage that takes nothing until it is let, and says that somebody waits.
struct Slow {
    open: watch::Sender<bool>,
    uploads: watch::Sender<u32>,
}

impl Slow {
    async fn start() -> (Arc<Self>, Objects) {
        let (open, uploads) = (watch::channel(false).0, watch::channel(0).0);
        let slow = Arc::new(Self { open, uploads });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(take).with_state(Arc::clone(&slow));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        let options = [
            ("endpoint", format!("http://{address}")),
            ("allow_http", "true".into()),
            ("region", "here".into()),
            ("access_key_id", "key".into()),
            ("secret_access_key", "secret".into()),
        ];
        let options = options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        (slow, Objects::S3 { url: "s3://results".into(), options })
    }

    async fn upload(&self) {
        self.uploads.subscribe().wait_for(|uploads| *uploads > 0).await.expect("it lives");
    }
}

async fn take(State(slow): State<Arc<Slow>>, method: Method) -> (StatusCode, HeaderMap) {
    if method == Method::PUT {
        slow.uploads.send_modify(|uploads| *uploads += 1);
        slow.open.subscribe().wait_for(|open| *open).await.expect("it lives");
    }
    let mut headers = HeaderMap::new();
    headers.insert("etag", "\"1\"".parse().expect("a header"));
    (StatusCode::OK, headers)
}

/// The result of "large" is an object.
async fn hub(objects: Objects) -> Hub {
    Hub::on(Setup { objects: (objects, 500), ..Setup::default() }, |inputs| {
        match inputs[0].as_str() {
            "large" => Reply::Rows(vec![serde_json::json!({"text": "x".repeat(1000)})]),
            _ => echo(inputs),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_works_on_while_a_result_is_uploaded() {
    let (slow, objects) = Slow::start().await;
    let hub = hub(objects).await;
    let large = hub.submit(&["large"]).await;
    slow.upload().await;
    let small = hub.run(&["small"]).await;
    assert_eq!(small.phase.name(), "completed");
    assert_eq!(hub.find(large.request.id).await.phase.name(), "running");
    slow.open.send_replace(true);
    let ended = large.ended.wait(LONG).await.expect("it ends");
    assert_eq!(ended.request.phase.name(), "completed");
    assert_eq!(hub.cluster.calls().len(), 2);
}

/// Time passes only where the test says so: whoever reads the clock of the machine would otherwise go on.
struct StandStill(std::sync::mpsc::Sender<()>);

impl StandStill {
    fn begin() -> Self {
        let (end, ended) = std::sync::mpsc::channel();
        // As long as this blocks, the paused clock does not run ahead.
        tokio::task::spawn_blocking(move || ended.recv());
        tokio::time::pause();
        Self(end)
    }

    fn end(self) {
        tokio::time::resume();
        drop(self.0);
    }
}

#[tokio::test]
async fn a_lease_is_extended_while_a_result_is_uploaded() {
    let (slow, objects) = Slow::start().await;
    let hub = hub(objects).await;
    let large = hub.submit(&["large"]).await;
    slow.upload().await;
    let still = StandStill::begin();
    for _ in 0..4 {
        // Longer than a lease together.
        hub.store.clock().advance(Duration::from_secs(11));
        tokio::time::advance(Duration::from_secs(11)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // Whatever was asked of the store before this is done after it.
        hub.store.heartbeat().await.expect("an answer");
        assert_eq!(hub.store.release_expired().await.expect("an answer"), 0);
    }
    still.end();
    slow.open.send_replace(true);
    let ended = large.ended.wait(LONG).await.expect("it ends");
    assert_eq!(ended.request.phase.name(), "completed");
    assert_eq!(hub.cluster.calls().len(), 1, "nobody else got it");
}

/// A claim of another instance.
async fn claim(hub: &Hub, max_inputs: u32) -> Vec<ClaimedTask> {
    let claim = Claim {
        instance: InstanceId(hub.store.clock().id()),
        model: hub.model.id.clone(),
        version: hub.model.version.clone(),
        max_inputs,
        lease: Duration::from_secs(600),
        ahead: false,
    };
    let claimed = tokio::time::timeout(LONG, hub.store.claim(claim)).await;
    claimed.expect("there is work").expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quick_instance_claimed_ahead_goes_back_when_a_job_takes_long() {
    let (open, gate) = watch::channel(false);
    let hub = Hub::start(move |inputs| match inputs[0].as_str() {
        "slow" => Reply::Held(gate.clone(), echoes(inputs)),
        _ => echo(inputs),
    })
    .await;
    hub.run(&["quick"]).await;
    let mut happened = hub.cluster.happened();
    let slow = hub.submit(&["slow"]).await;
    happened.wait_for(|()| hub.cluster.calls().len() == 2).await.expect("it is called");
    let next = hub.submit(&["next"]).await.request.id;
    // It claims ahead, or it was later than that: whoever else is there gets it in any case.
    let task = claim(&hub, 10).await.remove(0);
    assert_eq!((task.key.request, task.failures), (next, 0));
    open.send_replace(true);
    assert!(slow.ended.wait(LONG).await.is_some());
    assert_eq!(hub.cluster.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_quick_jobs_are_each_done_once() {
    let hub = Hub::start(echo).await;
    let inputs: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let large = hub.submit(&inputs).await;
    let small: Vec<_> =
        futures::future::join_all((0..50).map(|_| async { hub.run(&["small"]).await })).await;
    assert!(small.iter().all(|request| request.phase.name() == "completed"));
    assert!(large.ended.wait(LONG).await.is_some());
    let rows = hub.rows(large.request.id).await;
    assert!(rows.iter().zip(&inputs).all(|(row, input)| row["echo"] == *input));
    let called: usize = hub.cluster.calls().iter().map(Vec::len).sum();
    assert_eq!(called, 2_050);
    assert_eq!(hub.store.counters().stale_writes_refused.get(), 0);
}

/// A job that ends its instance takes nothing with it that was only claimed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_ahead_of_a_death_uses_up_no_attempt() {
    let once = muster_core::model::ModelLimits { batch_size: 1, max_attempts: 1, ..limits() };
    let hub = Hub::with(once, false, None, |inputs| match inputs[0].as_str() {
        "poison" => Reply::Die,
        _ => echo(inputs),
    })
    .await;
    hub.run(&["quick"]).await;
    let poison = hub.submit(&["poison"]).await;
    let others = (0..20).map(|_| async { hub.run(&["fine"]).await });
    for other in futures::future::join_all(others).await {
        assert_eq!(other.phase.name(), "completed");
    }
    let ended = poison.ended.wait(LONG).await.expect("it ends");
    assert_eq!(ended.request.phase.name(), "failed");
}

/// I-26: also while the long answer of a quick instance, which is read beside its next job, cannot be read
/// and is asked for again in pieces.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_gets_one_call_at_a_time() {
    let (open, gate) = watch::channel(false);
    let hub = Hub::start(move |inputs| match inputs {
        [_, _] => Reply::Raw("x".repeat(20 << 10)),
        [bad] if bad == "bad" => Reply::Held(gate.clone(), echoes(inputs)),
        _ => echo(inputs),
    })
    .await;
    hub.run(&["quick"]).await;
    let mut happened = hub.cluster.happened();
    let long = hub.submit(&["bad", "b"]).await;
    let mut called = async |input: &str| {
        while !hub.cluster.calls().iter().any(|inputs| inputs == &[input]) {
            happened.changed().await.expect("it lives");
        }
    };
    tokio::time::timeout(LONG, called("bad")).await.expect("it is asked for in pieces");
    let next = hub.submit(&["next"]).await;
    let beside = tokio::time::timeout(Duration::from_millis(300), called("next")).await;
    assert!(beside.is_err(), "it works already");
    open.send_replace(true);
    for submitted in [long, next] {
        let ended = submitted.ended.wait(LONG).await.expect("it ends");
        assert_eq!(ended.request.phase.name(), "completed");
    }
}
