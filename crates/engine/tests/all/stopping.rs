//! Instances that an administrator stops. I-22, I-27; brief: IN-5

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster_core::instance::{EndCause, StopWork};
use muster_core::{InstanceId, Request};
use muster_store::{InstanceRecord, StopWish, Stopped, Submitted, WhichEvents};
use tokio::sync::watch;

use crate::hub::{Hub, Reply, echo, echoes, limits};

const LONG: Duration = Duration::from_secs(20);
const A_MINUTE: Duration = Duration::from_secs(60);

/// Answers nothing until it is let.
async fn held() -> (Hub, Arc<AtomicBool>) {
    let hold = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&hold);
    let answer = move |inputs: &[String]| {
        if held.load(Ordering::SeqCst) { Reply::Hang } else { echo(inputs) }
    };
    (Hub::start(answer).await, hold)
}

/// A request that the model works on, and the instance that does.
async fn at_work(hub: &Hub) -> (Submitted, InstanceId) {
    let submitted = hub.submit(&["a"]).await;
    until(hub, "it works", async || !hub.cluster.calls().is_empty()).await;
    (submitted, hub.cluster.live()[0])
}

async fn stop(hub: &Hub, id: InstanceId, work: StopWork, grace: Duration) -> Stopped {
    let wish = StopWish { work, reason: "it leaks".into(), grace };
    hub.store.stop_instance(hub.principal, id, wish).await.expect("an answer")
}

async fn record(hub: &Hub, id: InstanceId) -> InstanceRecord {
    hub.store.find_instance(id).await.expect("an answer").expect("the instance")
}

/// Its record once it has ended.
async fn ended(hub: &Hub, id: InstanceId) -> InstanceRecord {
    until(hub, "it ends", async || record(hub, id).await.end.is_some()).await;
    assert!(!hub.cluster.live().contains(&id), "its process is gone");
    assert!(hub.store.is_free(id).await.expect("an answer"), "and owns nothing");
    record(hub, id).await
}

fn cause(record: &InstanceRecord) -> EndCause {
    record.end.clone().expect("it ended").1
}

fn stopped() -> EndCause {
    EndCause::Stopped { why: "it leaks".into() }
}

async fn end_of(submitted: Submitted) -> Arc<Request> {
    submitted.ended.wait(LONG).await.expect("it ends in time").request
}

async fn kinds(hub: &Hub, instance: InstanceId) -> Vec<(String, u64)> {
    let which = WhichEvents { instance, after: None, limit: 100 };
    let events = hub.store.instance_events(&which).await.expect("an answer");
    events.into_iter().map(|event| (event.kind, event.count)).collect()
}

/// Looks again whenever the store or the cluster changes, until it is so.
pub async fn until<F: Future<Output = bool>>(hub: &Hub, what: &str, mut look: impl FnMut() -> F) {
    let (mut changes, mut happened) = (hub.store.changes(), hub.cluster.happened());
    let is_so = async {
        while !look().await {
            tokio::select! {
                // Also when changes were missed.
                _ = changes.recv() => {}
                _ = happened.changed() => {}
            }
        }
    };
    tokio::time::timeout(LONG, is_so).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_handed_back_is_done_by_another_instance() {
    let (hub, hold) = held().await;
    let (submitted, id) = at_work(&hub).await;
    hold.store(false, Ordering::SeqCst);
    let asked = stop(&hub, id, StopWork::Requeue, A_MINUTE).await;
    assert_eq!(asked, Stopped::Asked { failed: 0 });
    assert_eq!(stop(&hub, id, StopWork::Requeue, A_MINUTE).await, Stopped::Already);
    assert_eq!(cause(&ended(&hub, id).await), stopped());
    let request = end_of(submitted).await;
    assert_eq!(request.phase.name(), "completed");
    let calls = hub.cluster.calls.lock().expect("no panic").clone();
    assert_eq!(calls.len(), 2, "once on each: {calls:?}");
    assert_ne!(calls[1].0, id);
    assert_eq!(hub.store.counters().stale_writes_refused.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_failed_fails_at_once_with_the_reason() {
    let (hub, hold) = held().await;
    let (submitted, id) = at_work(&hub).await;
    assert_eq!(stop(&hub, id, StopWork::Fail, A_MINUTE).await, Stopped::Asked { failed: 1 });
    let request = hub.find(submitted.request.id).await;
    let words = format!("{:?}", request.phase);
    assert!(words.contains("An administrator stopped the model") && words.contains("it leaks"));
    assert_eq!(cause(&ended(&hub, id).await), stopped());
    hold.store(false, Ordering::SeqCst);
    assert_eq!(hub.run(&["b"]).await.phase.name(), "completed");
    assert_eq!(hub.find(request.id).await, request, "the end is final");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_waited_for_is_finished_and_nothing_new_comes() {
    let (go, gate) = watch::channel(false);
    let hub = Hub::start(move |inputs| Reply::Held(gate.clone(), echoes(inputs))).await;
    let (submitted, id) = at_work(&hub).await;
    assert_eq!(stop(&hub, id, StopWork::Drain, A_MINUTE).await, Stopped::Asked { failed: 0 });
    let later = hub.submit(&["later"]).await;
    go.send_replace(true);
    assert_eq!(end_of(submitted).await.phase.name(), "completed");
    assert_eq!(cause(&ended(&hub, id).await), stopped());
    assert_eq!(end_of(later).await.phase.name(), "completed");
    let calls = hub.cluster.calls.lock().expect("no panic").clone();
    assert_eq!(calls.iter().filter(|(by, _)| *by == id).count(), 1, "{calls:?}");
    assert_eq!(calls.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_takes_longer_than_the_grace_goes_back_to_the_queue() {
    let (hub, hold) = held().await;
    let (submitted, id) = at_work(&hub).await;
    hold.store(false, Ordering::SeqCst);
    stop(&hub, id, StopWork::Drain, Duration::from_millis(300)).await;
    assert_eq!(cause(&ended(&hub, id).await), stopped());
    assert_eq!(end_of(submitted).await.phase.name(), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harder_wish_does_not_wait_for_the_first_one() {
    let (hub, _hold) = held().await;
    let (submitted, id) = at_work(&hub).await;
    stop(&hub, id, StopWork::Drain, 60 * A_MINUTE).await;
    until(&hub, "it is seen", async || record(&hub, id).await.state.name() == "draining").await;
    assert_eq!(stop(&hub, id, StopWork::Fail, A_MINUTE).await, Stopped::Asked { failed: 1 });
    assert_eq!(cause(&ended(&hub, id).await), stopped());
    assert_eq!(end_of(submitted).await.phase.name(), "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_starts_is_stopped_and_counts_as_no_failed_start() {
    let limits = muster_core::model::ModelLimits { max_attempts: 1, ..limits() };
    let hub = Hub::with(limits, false, None, echo).await;
    hub.cluster.never_ready.store(true, Ordering::SeqCst);
    let submitted = hub.submit(&["a"]).await;
    until(&hub, "it starts", async || !hub.cluster.live().is_empty()).await;
    let id = hub.cluster.live()[0];
    hub.cluster.never_ready.store(false, Ordering::SeqCst);
    stop(&hub, id, StopWork::Drain, A_MINUTE).await;
    assert_eq!(cause(&ended(&hub, id).await), stopped());
    // A failed start would have been the only one.
    assert_eq!(end_of(submitted).await.phase.name(), "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_ended_is_left_as_it_is() {
    let hub = Hub::start(echo).await;
    hub.run(&["a"]).await;
    let id = hub.cluster.live()[0];
    hub.cluster.kill(id);
    let before = ended(&hub, id).await;
    assert!(matches!(cause(&before), EndCause::Exited { signal: Some(9), .. }));
    assert_eq!(stop(&hub, id, StopWork::Fail, A_MINUTE).await, Stopped::Already);
    assert_eq!(cause(&record(&hub, id).await), cause(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_did_used_and_wrote_is_noted() {
    let hub = Hub::start(|inputs| match inputs[0].as_str() {
        "bad" => Reply::Status(413, "canary of a model"),
        _ => echo(inputs),
    })
    .await;
    let one = hub.run(&["a", "b"]).await;
    let two = hub.run(&["c"]).await;
    let failed = hub.run(&["bad"]).await;
    assert_eq!(failed.phase.name(), "failed");
    let id = hub.cluster.live()[0];
    stop(&hub, id, StopWork::Drain, A_MINUTE).await;
    let record = ended(&hub, id).await;
    assert_eq!((record.seen.node.as_deref(), record.jobs), (Some("here"), 3));
    let usage = record.seen.usage;
    assert!(usage.samples > 0 && usage.cpu.peak == 500 && usage.memory.sum == 1000 * usage.samples);
    assert!(record.seen.busy > 0 && record.why.contains("wait"), "{record:?}");
    let served = hub.store.instance_requests(id, None, 10).await.expect("an answer");
    let ids: Vec<_> =
        served.iter().map(|served| (served.request, served.jobs, served.inputs)).collect();
    assert_eq!(ids, [(failed.id, 1, 1), (two.id, 1, 1), (one.id, 1, 2)]);
    let kinds = kinds(&hub, id).await;
    for want in [("job_sent", 3), ("job_done", 2), ("job_failed", 1), ("stopped", 1)] {
        assert!(kinds.contains(&(want.0.to_owned(), want.1)), "{want:?} in {kinds:?}");
    }
    let which = WhichEvents { instance: id, after: None, limit: 100 };
    let events = format!("{:?}", hub.store.instance_events(&which).await.expect("an answer"));
    assert!(!events.contains("canary"), "no words of a model: {events}");
    until(&hub, "its log is an object", async || {
        let record = hub.store.find_instance(id).await.expect("an answer");
        record.expect("the instance").seen.has_log_object
    })
    .await;
    let log = hub.store.instance_log(id, 0).await.expect("an answer").expect("the instance");
    assert_eq!((log.bytes, log.is_last), (format!("log of {id}\n").into(), true));
}
