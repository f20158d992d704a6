//! What the engine does when models do not behave: every request ends, with a reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use muster_core::instance::{EndCause, StopWork};
use muster_core::model::ModelLimits;
use muster_core::{Ended, Phase, Request};
use muster_store::StopWish;

use crate::hub::{Hub, Reply, Setup, echo, limits};

fn reason(request: &Request) -> &str {
    match &request.phase {
        Phase::Ended { how: Ended::Failed { reason }, .. } => reason,
        phase => panic!("it is {}", phase.name()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_built_fails_the_request_with_the_reason() {
    let cause = EndCause::not_started("no matching distribution for x==9");
    let hub = Hub::with(limits(), false, Some(cause), echo).await;
    let request = hub.run(&["a"]).await;
    assert_eq!(
        reason(&request),
        "The model could not be started: no matching distribution for x==9"
    );
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 1);
}

/// A machine that is out of processes for a moment, or a package index that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_for_a_moment_is_tried_again_and_fails_nothing() {
    let cause = EndCause::not_started_now("Resource temporarily unavailable (os error 11)");
    let setup = Setup { start_fails: Some(cause), ..Setup::default() };
    let hub = Hub::on(setup, echo).await;
    hub.cluster.failing.store(1, Ordering::SeqCst);
    let (one, other) = (hub.submit(&["a"]).await, hub.submit(&["b"]).await);
    for submitted in [one, other] {
        let ended = submitted.ended.wait(Duration::from_secs(20)).await.expect("it ends");
        assert_eq!(ended.request.phase.name(), "completed");
    }
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 2);
}

/// Its slot is free when its process is gone: two never run in one place (I-25).
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_does_not_end_keeps_its_place() {
    let hub = Hub::start(echo).await;
    hub.run(&["a"]).await;
    let id = hub.cluster.live()[0];
    hub.cluster.stubborn.store(true, Ordering::SeqCst);
    let wish = StopWish {
        work: StopWork::Requeue,
        reason: "it leaks".into(),
        grace: Duration::from_millis(10),
    };
    hub.store.stop_instance(hub.principal, id, wish).await.expect("an answer");
    let waits = hub.submit(&["b"]).await;
    let mut happened = hub.cluster.happened();
    let another = async {
        while hub.cluster.launched.load(Ordering::SeqCst) < 2 {
            happened.changed().await.expect("the cluster is there");
        }
    };
    // Longer than an instance that is stopped is waited for.
    let another = tokio::time::timeout(Duration::from_secs(8), another).await;
    assert!(another.is_err(), "it lives, and another one has its place");
    hub.cluster.kill(id);
    let ended = waits.ended.wait(Duration::from_secs(20)).await.expect("it ends");
    assert_eq!(ended.request.phase.name(), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_crashes_at_start_is_tried_again_and_then_fails_the_request() {
    let last_lines = "Traceback\nImportError: no module named x".to_owned();
    let cause = EndCause::Exited { code: Some(1), signal: None, last_lines };
    let limits = ModelLimits { max_attempts: 2, ..limits() };
    let hub = Hub::with(limits, false, Some(cause), echo).await;
    let request = hub.run(&["a"]).await;
    assert!(reason(&request).ends_with("ImportError: no module named x"), "{request:?}");
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_one_row_an_input_fail_the_request() {
    for (raw, words) in [
        ("<html>", "it is not JSON records"),
        ("[]", "it has 0 rows for 1 inputs"),
        (r#"[{"x": 1}, {"x": 2}]"#, "it has 2 rows for 1 inputs"),
        (r#"[{"x": NaN}]"#, "it is not JSON records"),
    ] {
        let limits = ModelLimits { max_attempts: 2, ..limits() };
        let hub = Hub::with(limits, false, None, move |_| Reply::Raw(raw.into())).await;
        let request = hub.run(&["a"]).await;
        assert!(reason(&request).contains(words), "{}", reason(&request));
        assert_eq!(hub.cluster.calls().len(), 2);
    }
}

/// An answer that cannot be read, or is too long, costs the inputs it comes from and no others.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_used_is_looked_for_like_any_other_failure() {
    let hub = Hub::start(|inputs: &[String]| match &inputs.join(" ") {
        all if all.contains("bad") => Reply::Raw(r#"[{"echo": "\udce4"}]"#.into()),
        all if all.contains("wide") && inputs.len() > 2 => Reply::Raw(" ".repeat(3 << 20)),
        all if all.contains("huge") => Reply::Raw(" ".repeat(3 << 20)),
        _ => echo(inputs),
    })
    .await;
    let request = hub.run(&["a", "bad", "wide", "b", "huge"]).await;
    assert_eq!(request.phase.name(), "completed");
    let rows = hub.rows(request.id).await;
    for (n, error) in [(1, "it is not JSON records"), (4, "it is longer than 1 MiB")] {
        let said = rows[n]["error"].as_str().unwrap_or_default();
        assert!(said.contains(error), "{said}");
    }
    for (n, input) in [(0, "a"), (2, "wide"), (3, "b")] {
        assert_eq!(rows[n]["echo"], input);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_ends_with_the_models_job_time() {
    let limits = ModelLimits { job_seconds: 1, max_attempts: 1, ..limits() };
    let hub = Hub::with(limits, false, None, |_| Reply::Hang).await;
    let started = Instant::now();
    let request = hub.run(&["a"]).await;
    assert!(reason(&request).contains("within its time limit of 1 seconds"));
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// I-24: its jobs are over before it was silent often enough.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_hangs_is_replaced_however_short_its_jobs_are() {
    let limits = ModelLimits { job_seconds: 1, max_attempts: 1_000, ..limits() };
    let hub = Hub::with(limits, false, None, echo).await;
    hub.run(&["a"]).await;
    let first = hub.cluster.live();
    hub.cluster.deaf.lock().expect("no panic").extend(&first);
    let submitted = hub.submit(&["b"]).await;
    let ended = submitted.ended.wait(Duration::from_secs(60)).await.expect("it ends");
    assert_eq!(ended.request.phase.name(), "completed");
    assert!(!hub.cluster.live().contains(&first[0]), "it is taken for unresponsive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_model_is_asked_again_and_no_attempt_is_used_up() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let limits = ModelLimits { max_attempts: 1, ..limits() };
    let hub = Hub::with(limits, false, None, move |inputs| {
        if counted.fetch_add(1, Ordering::SeqCst) < 3 {
            Reply::Busy { after_seconds: 0 }
        } else {
            echo(inputs)
        }
    })
    .await;
    assert_eq!(hub.run(&["a"]).await.phase.name(), "completed");
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_only_ever_busy_fails_the_request_in_bounded_time() {
    let limits = ModelLimits { job_seconds: 1, max_attempts: 1, ..limits() };
    let hub = Hub::with(limits, false, None, |_| Reply::Busy { after_seconds: 0 }).await;
    let request = hub.run(&["a"]).await;
    assert!(reason(&request).contains("it was busy for 1 seconds"), "{request:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_is_not_repeated() {
    let hub = Hub::start(|_| Reply::Status(413, "the limit is 1 MB")).await;
    let request = hub.run(&["a"]).await;
    assert!(reason(&request).contains("413 the limit is 1 MB"), "{request:?}");
    assert_eq!(hub.cluster.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_is_replaced_and_its_work_done() {
    let died = Arc::new(AtomicU32::new(0));
    let deaths = Arc::clone(&died);
    let hub = Hub::start(move |inputs| {
        if deaths.fetch_add(1, Ordering::SeqCst) == 0 { Reply::Die } else { echo(inputs) }
    })
    .await;
    let request = hub.run(&["a"]).await;
    assert_eq!(request.phase.name(), "completed");
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 2);
}

/// As by another server, while this one stood still for longer than a lease (I-22, I-25).
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ended_in_the_books_is_stopped() {
    let hub = Hub::start(echo).await;
    hub.run(&["a"]).await;
    let old = hub.cluster.live();
    assert_eq!(old.len(), 1);
    hub.store.instance_ended(old[0], &EndCause::ServerGone).await.expect("an answer");
    let mut changed = hub.cluster.changed();
    let stopped = async {
        while hub.cluster.live().contains(&old[0]) {
            changed.changed().await.expect("the cluster is there");
        }
    };
    tokio::time::timeout(Duration::from_secs(15), stopped).await.expect("it does not go on");
    assert_eq!(hub.run(&["b"]).await.phase.name(), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_request_fails_alone() {
    let hub = Hub::start(|inputs| {
        if inputs.iter().any(|input| input == "poison") { Reply::Die } else { echo(inputs) }
    })
    .await;
    let poison = hub.submit(&["poison"]).await;
    let mut others = Vec::new();
    for n in 0..5 {
        others.push(hub.submit(&[&format!("good {n}")]).await);
    }
    for other in others {
        let ended = other.ended.wait(Duration::from_secs(20)).await.expect("it ends");
        assert_eq!(ended.request.phase.name(), "completed");
    }
    let ended = poison.ended.wait(Duration::from_secs(20)).await.expect("it ends");
    assert!(reason(&ended.request).contains("killed by signal 9"), "{:?}", ended.request);
    let deaths = hub.cluster.calls().iter().filter(|i| i.contains(&"poison".to_owned())).count();
    assert_eq!(deaths, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_engine_hands_its_work_back() {
    let hub = Hub::start(|_| Reply::Hang).await;
    let submitted = hub.submit(&["a"]).await;
    while hub.cluster.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    hub.engine.stop(Duration::from_millis(100)).await;
    assert!(hub.cluster.live().is_empty());
    let queues = hub.store.queues().await.expect("a store");
    assert_eq!(queues.iter().map(|queue| queue.tasks).sum::<u64>(), 1);
    let request = hub.store.find_request(hub.principal, submitted.request.id).await;
    assert!(!request.expect("a store").expect("a request").phase.is_ended());
}
