//! What waits, in which order it goes, and what is said of it.

use std::time::Duration;

use muster_core::retry::Retry;
use muster_core::{Ended, InstanceId, Phase, RequestId};
use muster_store::{Claim, NewRequest};
use uuid::Uuid;

use crate::lab::{LEASE, LONG, Lab, claim, complete, model, nothing_for};

on_both!(
    a_claim_takes_whole_tasks_up_to_its_size,
    a_claim_waits_for_work,
    of_claims_that_wait_the_newest_gets_the_work,
    who_has_nothing_to_do_gets_work_before_who_works,
    a_claim_takes_only_its_model_and_version,
    a_claim_nobody_waits_for_gives_its_tasks_back,
    every_task_is_claimed_once_however_many_ask,
    a_small_request_passes_a_big_backlog,
    requests_of_one_person_go_in_order,
    queues_say_what_waits_since_when,
    of_a_long_queue_only_its_head_is_counted,
    many_waiting_requests_fail_some_at_a_time,
    waiting_requests_fail_together_and_running_ones_stay,
    why_a_model_is_held_is_known_until_it_is_not,
    figures_count_what_is_open_and_how_long_it_takes,
);

async fn a_claim_takes_whole_tasks_up_to_its_size(lab: Lab) {
    for _ in 0..3 {
        lab.submit(&["a", "b", "c", "d"]).await;
    }
    let sizes = |tasks: &[muster_store::ClaimedTask]| tasks.iter().map(|t| t.count).sum::<u32>();
    assert_eq!(sizes(&lab.claim(10).await), 8);
    // A task bigger than the wish goes alone rather than never.
    assert_eq!(sizes(&lab.claim(1).await), 4);
    assert!(nothing_for(&lab.store, lab.wish(10)).await);
}

async fn a_claim_waits_for_work(lab: Lab) {
    assert!(nothing_for(&lab.store, lab.wish(10)).await);
    let (tasks, request) = tokio::join!(lab.claim(10), lab.submit(&["a"]));
    assert_eq!(tasks[0].key.request, request.id);
    assert_eq!((tasks[0].attempt, tasks[0].failures), (1, 0));
    assert!(matches!(lab.find(request.id).await.phase, Phase::Running { .. }));
}

async fn of_claims_that_wait_the_newest_gets_the_work(lab: Lab) {
    let of = |n| Claim { instance: InstanceId(Uuid::from_u128(n)), ..lab.wish(1) };
    let mut waiting: Vec<_> = (0..4).map(|n| Box::pin(lab.store.claim(of(n)))).collect();
    for claim in &mut waiting {
        assert!(futures::poll!(claim).is_pending());
    }
    for n in [3, 2] {
        let id = lab.submit(&["a"]).await.id;
        let mut newest = waiting.pop().expect("a claim");
        let tasks = tokio::time::timeout(LONG, &mut newest).await.expect("the newest gets it");
        assert_eq!(tasks.expect("an answer")[0].key.request, id, "{n}");
        for claim in &mut waiting {
            assert!(futures::poll!(claim).is_pending());
        }
    }
}

async fn who_has_nothing_to_do_gets_work_before_who_works(lab: Lab) {
    let mut idle = Box::pin(lab.store.claim(lab.wish(1)));
    assert!(futures::poll!(&mut idle).is_pending());
    let mut ahead = Box::pin(lab.store.claim(Claim { ahead: true, ..lab.wish(1) }));
    assert!(futures::poll!(&mut ahead).is_pending());
    for (claim, what) in [(&mut idle, "idle"), (&mut ahead, "ahead")] {
        let id = lab.submit(&["a"]).await.id;
        let tasks = tokio::time::timeout(LONG, claim).await.expect(what).expect("an answer");
        assert_eq!(tasks[0].key.request, id, "{what}");
    }
}

async fn a_claim_takes_only_its_model_and_version(lab: Lab) {
    lab.submit(&["a"]).await;
    let other = Claim { model: "other".parse().expect("an id"), ..lab.wish(10) };
    assert!(nothing_for(&lab.store, other).await);
    assert!(nothing_for(&lab.store, Claim { version: "2".into(), ..lab.wish(10) }).await);
    assert_eq!(lab.claim(10).await.len(), 1);
}

async fn a_claim_nobody_waits_for_gives_its_tasks_back(lab: Lab) {
    let mut left = Box::pin(lab.store.claim(lab.wish(10)));
    assert!(futures::poll!(&mut left).is_pending());
    let (_, ()) = tokio::join!(lab.submit(&["a"]), async { drop(left) });
    let task = lab.claim(10).await.remove(0);
    assert_eq!(task.failures, 0, "it is not the task's doing");
    assert!(complete(&lab.store, &task).await);
}

async fn every_task_is_claimed_once_however_many_ask(lab: Lab) {
    let claims = (0..40).map(|_| claim(&lab.store, lab.wish(3)));
    let submitting = async {
        for _ in 0..40 {
            lab.submit(&["a", "b", "c"]).await;
        }
    };
    let (claimed, ()) = tokio::join!(futures::future::join_all(claims), submitting);
    let mut keys: Vec<_> = claimed.into_iter().flatten().map(|task| task.key).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((all, keys.len()), (40, 40));
}

async fn a_small_request_passes_a_big_backlog(lab: Lab) {
    let big = lab.submit(&["x"; 1000]).await.id;
    let newcomer = NewRequest { principal: lab.another_person().await, ..lab.new_request(&["y"]) };
    let small = lab.store.submit(newcomer).await.expect("it is taken").request.id;
    let order: Vec<RequestId> = [lab.claim(1).await, lab.claim(1).await, lab.claim(1).await]
        .iter()
        .map(|tasks| tasks[0].key.request)
        .collect();
    assert_eq!(order, [big, small, big]);
}

async fn requests_of_one_person_go_in_order(lab: Lab) {
    let mut submitted = Vec::new();
    for n in 1..=12 {
        submitted.push(lab.submit(&vec!["x"; n % 4 + 1]).await.id);
    }
    let mut claimed: Vec<RequestId> = Vec::new();
    while claimed.len() < submitted.len() {
        claimed.extend(lab.claim(1).await.iter().map(|task| task.key.request));
    }
    assert_eq!(claimed, submitted);
}

async fn queues_say_what_waits_since_when(lab: Lab) {
    assert!(lab.store.queues().await.expect("an answer").is_empty());
    let first = lab.submit(&["x"; 15]).await;
    lab.submit(&["y"]).await;
    let queue = lab.store.queues().await.expect("an answer").remove(0);
    assert_eq!((&queue.model, queue.version.as_str()), (&lab.model.id, "1"));
    assert_eq!((queue.tasks, queue.inputs), (3, 16));
    assert_eq!((queue.oldest, queue.due), (first.submitted_at, first.submitted_at));
    let tasks = lab.claim(100).await;
    assert!(lab.store.queues().await.expect("an answer").is_empty());
    let later = Retry::Again { after: Duration::from_secs(100), counts: false };
    lab.give_back(&tasks[0], later).await;
    let queue = lab.store.queues().await.expect("an answer").remove(0);
    assert_eq!(queue.oldest, first.submitted_at);
    assert!(queue.due.since(first.submitted_at) >= Duration::from_secs(100));
    assert!(nothing_for(&lab.store, lab.wish(100)).await, "it is not due yet");
}

async fn of_a_long_queue_only_its_head_is_counted(lab: Lab) {
    let most = lab.model.limits.most_at_once();
    let first = lab.submit(&["x"]).await;
    for _ in 0..most + 5 {
        lab.submit(&["x"]).await;
    }
    let queue = lab.store.queues().await.expect("an answer").remove(0);
    assert_eq!((queue.tasks, queue.inputs), (most, most));
    assert_eq!((queue.oldest, queue.due), (first.submitted_at, first.submitted_at));
    // Behind a head that is put off somebody may be due.
    let head = lab.claim(u32::try_from(most).expect("few")).await;
    let later = Retry::Again { after: Duration::from_secs(100), counts: false };
    for task in &head {
        lab.give_back(task, later.clone()).await;
    }
    let queue = lab.store.queues().await.expect("an answer").remove(0);
    assert!(queue.due.since(first.submitted_at) < Duration::from_secs(100));
}

async fn many_waiting_requests_fail_some_at_a_time(lab: Lab) {
    for _ in 0..60 {
        lab.submit(&["x"]).await;
    }
    lab.store.lead(LEASE).await.expect("an answer");
    let before = lab.store.counters().transactions.get();
    let failed = lab.store.fail_waiting(&lab.model.id, "1", "It cannot be started.").await;
    assert_eq!(failed.expect("an answer"), 60);
    assert!(lab.store.counters().transactions.get() - before >= 3, "twenty at a time at first");
    assert!(lab.store.queues().await.expect("an answer").is_empty());
}

async fn waiting_requests_fail_together_and_running_ones_stay(lab: Lab) {
    let running = lab.submit(&["x"; 15]).await.id;
    let task = lab.claim(1).await.remove(0);
    let waiting = [lab.submit(&["y"]).await.id, lab.submit(&["z"; 30]).await.id];
    let fail = async |version| {
        let failed = lab.store.fail_waiting(&lab.model.id, version, "It cannot be started.").await;
        failed.expect("an answer")
    };
    assert_eq!(fail("0").await, 0, "they are of another version");
    assert_eq!(fail("1").await, 2);
    for id in waiting {
        let how = Ended::Failed { reason: "It cannot be started.".into() };
        assert!(matches!(&lab.find(id).await.phase, Phase::Ended { how: h, .. } if *h == how));
    }
    assert_eq!(lab.find(running).await.phase.name(), "running");
    assert_eq!(lab.store.counters().failed.get(), 2);
    assert!(complete(&lab.store, &task).await);
    let other = "other".parse().expect("an id");
    assert_eq!(lab.store.fail_waiting(&other, "1", "").await.expect("an answer"), 0);
}

async fn why_a_model_is_held_is_known_until_it_is_not(lab: Lab) {
    let id = lab.model.id.clone();
    let held = "SELECT COALESCE(held, '-') FROM model";
    for why in ["its instance starts", "another reason"] {
        let all = vec![(id.clone(), why.to_owned())];
        lab.store.set_held(all.clone()).await.expect("an answer");
        assert_eq!(lab.store.held(&id).as_deref(), Some(why));
        assert_eq!(lab.raw.texts(held).await, [why]);
        let before = lab.store.counters().transactions.get();
        lab.store.set_held(all).await.expect("an answer");
        assert_eq!(lab.store.counters().transactions.get(), before, "nothing new, nothing written");
    }
    lab.store.set_held(vec![]).await.expect("an answer");
    assert_eq!((lab.store.held(&id), lab.raw.texts(held).await), (None, vec!["-".to_owned()]));
}

async fn figures_count_what_is_open_and_how_long_it_takes(lab: Lab) {
    lab.store.sync_models(vec![model("echo", "1"), model("idle", "1")]).await.expect("a catalogue");
    for _ in 0..3 {
        lab.submit(&["x"]).await;
    }
    assert!(lab.work().await);
    lab.claim(1).await;
    let new = crate::instances::new_instance(&lab, 0);
    lab.store.add_instance(new).await.expect("an answer");
    let address = muster_core::Address::Url("http://model".into());
    let id = lab.store.instances().await.expect("an answer")[0].id;
    lab.store.instance_ready(id, &address).await.expect("an answer");
    let all = lab.store.model_figures().await.expect("an answer");
    let echo = all[&lab.model.id];
    assert_eq!((echo.waiting, echo.running), (1, 1));
    for seconds in [echo.p50_seconds, echo.start_seconds] {
        assert!(seconds.is_some_and(|s| (0.0..LONG.as_secs_f64()).contains(&s)), "{seconds:?}");
    }
    let idle = all[&"idle".parse().expect("an id")];
    assert_eq!(idle, muster_store::Figures::default());
    lab.store.fail_waiting(&lab.model.id, "1", "").await.expect("an answer");
    let cached = lab.store.model_figures().await.expect("an answer");
    assert_eq!(cached[&lab.model.id].waiting, 1, "they may be a second old");
}
