//! What the engine does when models behave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_core::Phase;
use muster_core::model::ModelLimits;

use crate::hub::{Hub, Reply, echo, limits};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_cold_model_starts_one_instance_and_gets_its_rows() {
    let hub = Hub::start(echo).await;
    let request = hub.run(&["a", "bb", "ccc"]).await;
    assert_eq!(request.phase.name(), "completed");
    assert_eq!(request.progress.done, 3);
    let rows = hub.rows(request.id).await;
    assert_eq!(rows[2], serde_json::json!({"input": "ccc", "echo": "ccc", "length": 3}));
    hub.run(&["d"]).await;
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 1);
    hub.engine.stop(Duration::from_secs(5)).await;
    assert!(hub.cluster.live().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn small_requests_are_packed_and_nobodys_rows_are_mixed() {
    let hub = Hub::start(echo).await;
    let mut submitted = Vec::new();
    for n in 0..200 {
        let inputs = [format!("{n}-first"), format!("{n}-second")];
        submitted.push((inputs.clone(), hub.submit(&[&inputs[0], &inputs[1]]).await));
    }
    for (inputs, submitted) in submitted {
        let ended = submitted.ended.wait(Duration::from_secs(20)).await.expect("it ends");
        let rows = hub.rows(ended.request.id).await;
        let echoes: Vec<&str> = rows.iter().filter_map(|row| row["echo"].as_str()).collect();
        assert_eq!(echoes, inputs);
    }
    let calls = hub.cluster.calls();
    assert!(calls.len() < 200, "{} calls for 200 requests", calls.len());
    assert!(calls.iter().all(|inputs| inputs.len() <= 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_request_is_split_over_the_models_instances() {
    let limits = ModelLimits { max_instances: 3, ..limits() };
    let hub = Hub::with(limits, false, None, echo).await;
    let inputs: Vec<String> = (0..500).map(|n| format!("input {n}")).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let request = hub.run(&inputs).await;
    let rows = hub.rows(request.id).await;
    let echoes: Vec<&str> = rows.iter().filter_map(|row| row["echo"].as_str()).collect();
    assert_eq!(echoes, inputs);
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 3);
    let mut instances: Vec<_> =
        hub.cluster.calls.lock().expect("no panic").iter().map(|(id, _)| *id).collect();
    instances.sort();
    instances.dedup();
    assert_eq!(instances.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn known_predictions_are_not_asked_for_again() {
    let hub = Hub::with(limits(), true, None, echo).await;
    hub.run(&["a", "b"]).await;
    let request = hub.run(&["b", "c", "a"]).await;
    assert_eq!((request.progress.done, request.progress.cached), (3, 2));
    let rows = hub.rows(request.id).await;
    let echoes: Vec<&str> = rows.iter().filter_map(|row| row["echo"].as_str()).collect();
    assert_eq!(echoes, ["b", "c", "a"]);
    let calls = hub.cluster.calls();
    assert_eq!(calls, [vec!["a".to_owned(), "b".into()], vec!["c".into()]]);

    // All known: it ends with its submission.
    let request = hub.run(&["a", "c"]).await;
    assert_eq!(request.progress.cached, 2);
    assert_eq!(hub.cluster.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_request_is_never_dispatched() {
    let hold = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&hold);
    let hub = Hub::start(move |inputs| {
        if held.load(Ordering::SeqCst) { Reply::Busy { after_seconds: 0 } } else { echo(inputs) }
    })
    .await;
    let first = hub.submit(&["first"]).await;
    let second = hub.submit(&["second"]).await;
    let cancelled = hub.cancel(second.request.id).await;
    assert_eq!(cancelled.phase.name(), "cancelled");
    hold.store(false, Ordering::SeqCst);
    first.ended.wait(Duration::from_secs(20)).await.expect("it ends");
    let after = hub.cancel(second.request.id).await;
    assert_eq!(after.phase.name(), "cancelled");
    let completed = hub.run(&["third"]).await;
    assert_eq!(completed.phase.name(), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_the_call_of_the_model() {
    let hub =
        Hub::start(|inputs| if inputs[0] == "hang" { Reply::Hang } else { echo(inputs) }).await;
    let hanging = hub.submit(&["hang"]).await;
    while hub.cluster.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    hub.cancel(hanging.request.id).await;
    // The one instance is free again, long before the job's time is over.
    let next = hub.run(&["next"]).await;
    assert_eq!(next.phase.name(), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_instance_goes_after_its_models_idle_time() {
    let limits = ModelLimits { idle_seconds: 1, ..limits() };
    let hub = Hub::with(limits, false, None, echo).await;
    hub.run(&["a"]).await;
    assert_eq!(hub.cluster.live().len(), 1);
    let gone = async {
        while !hub.cluster.live().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), gone).await.expect("it goes");
    let again = hub.run(&["b"]).await;
    assert!(matches!(again.phase, Phase::Ended { .. }));
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_persons_backlog_delays_another_by_one_batch() {
    let hub = Hub::start(echo).await;
    let inputs: Vec<String> = (0..2000).map(|n| format!("big {n}")).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let big = hub.submit(&inputs).await;
    let other =
        hub.store.create_session([8; 32], Duration::from_secs(60)).await.expect("a session");
    let other = Hub { principal: other.principal, ..hub };
    let before = other.cluster.calls().len();
    other.run(&["small"]).await;
    let calls = other.cluster.calls();
    let position = calls.iter().position(|inputs| inputs.iter().any(|i| i == "small"));
    let position = position.expect("it was sent");
    assert!(position <= before + 3, "{} batches went before it", position - before);
    big.ended.wait(Duration::from_secs(20)).await.expect("the big one ends as well");
}
