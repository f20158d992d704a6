//! Instances that an administrator stops. I-22, I-50.

use std::time::Duration;

use muster_core::instance::{EndCause, StopWork};
use muster_core::{InstanceId, PrincipalId, RequestId};
use muster_store::{Claim, StopWish, Stopped, WhichEvents};

use crate::instances::{only, ready};
use crate::lab::{LONG, Lab, claim, complete};

on_both!(
    a_stopped_instance_gets_nothing_any_more,
    failing_its_work_fails_every_request_once_with_the_reason,
    what_is_handed_back_is_handed_back_once,
    a_wish_is_written_down_once_and_only_a_harder_one_takes_its_place,
    an_instance_that_ended_is_not_stopped,
    a_wish_outlives_the_server,
);

fn wish(work: StopWork) -> StopWish {
    StopWish { work, reason: "it leaks\0".into(), grace: Duration::from_secs(60) }
}

async fn stop(lab: &Lab, id: InstanceId, work: StopWork) -> Stopped {
    lab.store.stop_instance(lab.me, id, wish(work)).await.expect("an answer")
}

/// So many requests of one input, in the hands of the instance.
async fn working(lab: &Lab, instance: InstanceId, requests: usize) -> Vec<RequestId> {
    let mut ids = Vec::new();
    for n in 0..requests {
        ids.push(lab.submit(&[&format!("input {n}")]).await.id);
    }
    let tasks = claim(&lab.store, Claim { instance, ..lab.wish(100) }).await;
    assert_eq!(tasks.len(), requests);
    ids
}

async fn kinds(lab: &Lab, instance: InstanceId) -> Vec<String> {
    let which = WhichEvents { instance, after: None, limit: 100 };
    let events = lab.store.instance_events(&which).await.expect("an answer");
    events.into_iter().rev().map(|event| event.kind).collect()
}

async fn a_stopped_instance_gets_nothing_any_more(lab: Lab) {
    let id = ready(&lab).await;
    let mine = Claim { instance: id, ..lab.wish(10) };
    // A claim that waits already is answered as well.
    let (store, waiting) = (lab.store.clone(), mine.clone());
    let waiting = tokio::spawn(async move { claim(&store, waiting).await });
    assert_eq!(stop(&lab, id, StopWork::Drain).await, Stopped::Asked { failed: 0 });
    lab.submit(&["a"]).await;
    assert!(waiting.await.expect("no panic").is_empty());
    assert!(claim(&lab.store, mine.clone()).await.is_empty());
    assert_eq!(lab.claim(10).await.len(), 1, "another one gets it");
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    lab.submit(&["b"]).await;
    assert!(claim(&lab.store, mine).await.is_empty());
    assert_eq!(lab.raw.number("SELECT jobs FROM instance").await, 0);
}

async fn failing_its_work_fails_every_request_once_with_the_reason(lab: Lab) {
    let id = ready(&lab).await;
    let requests = working(&lab, id, 3).await;
    let other = lab.submit(&["another"]).await.id;
    assert_eq!(stop(&lab, id, StopWork::Fail).await, Stopped::Asked { failed: 3 });
    assert!(lab.store.is_free(id).await.expect("an answer"), "at once");
    for request in requests {
        let words = format!("{:?}", lab.find(request).await.phase);
        assert!(words.contains("An administrator stopped the model"), "{words}");
        assert!(words.contains("it leaks\u{fffd}"), "{words}");
    }
    assert_eq!(lab.find(other).await.phase.name(), "waiting");
    assert_eq!(lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer"), 0);
    let ends = "SELECT COUNT(*) FROM transition WHERE phase = 'failed'";
    assert_eq!(lab.raw.number(ends).await, 3);
    assert_eq!(lab.store.counters().failed.get(), 3);
}

async fn what_is_handed_back_is_handed_back_once(lab: Lab) {
    let id = ready(&lab).await;
    lab.submit(&["a"]).await;
    let task = claim(&lab.store, Claim { instance: id, ..lab.wish(10) }).await.remove(0);
    assert_eq!(stop(&lab, id, StopWork::Requeue).await, Stopped::Asked { failed: 0 });
    assert!(!lab.store.is_free(id).await.expect("an answer"), "its process still works");
    let why = EndCause::Stopped { why: "it leaks".into() };
    assert_eq!(lab.store.instance_ended(id, &why).await.expect("an answer"), 1);
    assert_eq!(lab.store.instance_ended(id, &why).await.expect("an answer"), 0);
    assert!(lab.store.is_free(id).await.expect("an answer"));
    let again = lab.claim(10).await.remove(0);
    assert_eq!((again.attempt, again.failures), (2, 0));
    assert!(!complete(&lab.store, &task).await, "what it still says changes nothing");
    assert!(complete(&lab.store, &again).await);
    assert_eq!(kinds(&lab, id).await, ["launched", "ready", "stop_asked", "stopped"]);
}

async fn a_wish_is_written_down_once_and_only_a_harder_one_takes_its_place(lab: Lab) {
    let id = ready(&lab).await;
    let asked = Stopped::Asked { failed: 0 };
    for (work, want) in [
        (StopWork::Drain, asked),
        (StopWork::Drain, Stopped::Already),
        (StopWork::Requeue, asked),
        (StopWork::Drain, Stopped::Already),
        (StopWork::Requeue, Stopped::Already),
        (StopWork::Fail, asked),
    ] {
        assert_eq!(stop(&lab, id, work).await, want, "{work:?}");
    }
    assert_eq!(stop(&lab, lab.instance, StopWork::Fail).await, Stopped::Unknown);
    let audit = lab.audit().await;
    let lines: Vec<_> = audit.iter().rev().map(|entry| entry.detail.as_str()).collect();
    let line = |work: &str| format!("{id} of echo, {work}: it leaks\u{fffd}");
    assert_eq!(lines, [line("drain"), line("requeue"), line("fail")]);
    assert!(audit.iter().all(|entry| entry.actor == Some(lab.me)));
    let order = only(&lab).await.stop.expect("it is there");
    assert_eq!((order.work, order.reason.as_str()), (StopWork::Fail, "it leaks\u{fffd}"));
    assert!(order.until > lab.store.now() + Duration::from_secs(30));
    let record = lab.store.find_instance(id).await.expect("an answer").expect("the instance");
    let stop = record.stop.expect("it is there");
    assert_eq!((stop.work, stop.actor, record.state.name()), (StopWork::Fail, lab.me, "draining"));
    let events = kinds(&lab, id).await;
    assert_eq!(events.iter().filter(|kind| *kind == "stop_asked").count(), 3);
}

async fn an_instance_that_ended_is_not_stopped(lab: Lab) {
    let id = ready(&lab).await;
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    let before = lab.store.find_instance(id).await.expect("an answer").expect("the instance");
    assert_eq!(stop(&lab, id, StopWork::Fail).await, Stopped::Already);
    let after = lab.store.find_instance(id).await.expect("an answer").expect("the instance");
    assert_eq!((before.end, before.stop), (after.end, after.stop));
    assert!(lab.audit().await.is_empty());
}

/// As after kill -9: the next server ends what was local, and the wish is still there.
async fn a_wish_outlives_the_server(mut lab: Lab) {
    let id = ready(&lab).await;
    let requests = working(&lab, id, 2).await;
    stop(&lab, id, StopWork::Requeue).await;
    let gone = lab.store.server();
    lab.restart(64 << 10).await;
    if lab.is_postgres() {
        // It left in peace; the books say the same as if it had been taken for dead.
        assert_ne!(gone, lab.store.server());
    }
    let record = lab.store.find_instance(id).await.expect("an answer").expect("the instance");
    assert!(matches!(record.end, Some((_, EndCause::ServerGone))), "{record:?}");
    assert_eq!(record.stop.expect("it is there").reason, "it leaks\u{fffd}");
    assert_eq!(kinds(&lab, id).await, ["launched", "ready", "stop_asked", "server_gone"]);
    for request in &requests {
        assert!(!lab.find(*request).await.phase.is_ended());
    }
    assert_eq!(lab.claim(100).await.len(), 2, "its work is in the queue");
}

/// The server that runs it belongs to the dead: the one that reaps it ends the instance.
#[tokio::test]
async fn the_wish_for_an_instance_of_a_dead_server_comes_true_with_its_burial() {
    let lab = Lab::postgres().await;
    let id = ready(&lab).await;
    let request = working(&lab, id, 1).await[0];
    let other = lab.other_server().await;
    let stopped = other.stop_instance(lab.me, id, wish(StopWork::Requeue)).await;
    assert_eq!(stopped.expect("an answer"), Stopped::Asked { failed: 0 });
    let dead = format!(
        "UPDATE server SET seen_at = timestamptz 'epoch' WHERE id = '{}'",
        lab.store.server()
    );
    lab.raw.run(&dead).await;
    assert_eq!(other.heartbeat().await.expect("an answer"), 1);
    let record = other.find_instance(id).await.expect("an answer").expect("the instance");
    assert!(matches!(record.end, Some((_, EndCause::ServerGone))), "{record:?}");
    assert!(other.is_free(id).await.expect("an answer"));
    // It only stood still, and goes on: nothing is assigned to what it still runs.
    assert!(claim(&lab.store, Claim { instance: id, ..lab.wish(10) }).await.is_empty());
    assert_eq!(lab.find(request).await.phase.name(), "running");
    assert_eq!(claim(&other, lab.wish(10)).await.len(), 1);
}

/// Two servers at the same moment: one claims for the instance, the other one stops it. Whoever comes
/// first, nothing is left in its hands that nobody would hand back.
#[tokio::test]
async fn a_claim_and_a_stop_at_the_same_moment_agree() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    for round in 0..30 {
        let id = ready(&lab).await;
        let request = lab.submit(&["a"]).await.id;
        let wanted = claim(&lab.store, Claim { instance: id, ..lab.wish(10) });
        let stopped = other.stop_instance(PrincipalId(lab.me.0), id, wish(StopWork::Fail));
        let both = async { tokio::join!(wanted, stopped) };
        let (tasks, stopped) = tokio::time::timeout(LONG, both).await.expect("no lock for ever");
        let failed = match stopped.expect("an answer") {
            Stopped::Asked { failed } => failed,
            other => panic!("{other:?}"),
        };
        assert_eq!(tasks.len() as u64, failed, "round {round}");
        assert!(lab.store.is_free(id).await.expect("an answer"), "round {round}");
        let phase = lab.find(request).await.phase.clone();
        assert_eq!(phase.is_ended(), failed == 1, "round {round}: {phase:?}");
        lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
        lab.cancel(request).await;
    }
}
