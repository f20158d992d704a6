//! Attempts: who may write, and what never changes again. Trap T11, I-02, I-11, I-14.

use std::time::Duration;

use muster_core::retry::Retry;
use muster_core::{Ended, Phase, TaskKey};

use crate::lab::{Lab, again, complete, done, nothing_for, ones};

on_both!(
    a_request_completes_with_its_last_task,
    rows_and_failures_and_known_ones_are_counted,
    of_two_racing_completions_one_wins,
    an_earlier_attempt_is_refused_and_counted,
    a_stale_attempt_gives_nothing_back,
    a_task_given_back_is_claimed_again_when_it_is_due,
    a_task_that_is_given_up_fails_its_request,
    a_cancelled_request_never_gets_a_result,
    a_completion_racing_with_a_cancellation_ends_once,
    the_database_refuses_to_change_a_request_that_ended,
    the_database_refuses_to_decrease_an_attempt,
    every_request_ends_once_in_the_transition_log,
    a_new_version_starts_unfinished_requests_over,
);

async fn a_request_completes_with_its_last_task(lab: Lab) {
    let id = lab.submit(&["x"; 25]).await.id;
    let tasks = lab.claim(100).await;
    for (n, task) in tasks.iter().enumerate() {
        let before = lab.find(id).await;
        assert_eq!(before.phase.name(), "running");
        assert!(before.progress.done < 25);
        assert!(complete(&lab.store, task).await, "task {n}");
    }
    let ended = lab.find(id).await;
    assert_eq!((ended.phase.name(), ended.progress.done), ("completed", 25));
    let (submitted, started) = (ended.submitted_at, ended.phase.started_at().expect("it started"));
    assert!(submitted <= started && Some(started) <= ended.phase.ended_at());
}

async fn rows_and_failures_and_known_ones_are_counted(lab: Lab) {
    let id = lab.submit(&["a", "b", "c"]).await.id;
    let task = lab.claim(10).await.remove(0);
    let mut done = done(&task, r#"[{"n": 1}, {"error": "too big"}, {"n": 3}]"#);
    done.cached = 2;
    assert_eq!(lab.store.complete(vec![done]).await.expect("an answer"), [true]);
    let progress = lab.find(id).await.progress;
    assert_eq!((progress.done, progress.failed, progress.cached), (3, 1, 2));
}

async fn of_two_racing_completions_one_wins(lab: Lab) {
    let id = lab.submit(&["a"]).await.id;
    let task = lab.claim(1).await.remove(0);
    let racers = (0..8).map(|n| {
        let done = done(&task, &format!(r#"[{{"n": {n}}}]"#));
        lab.store.complete(vec![done])
    });
    let outcomes = futures::future::join_all(racers).await;
    let won = outcomes.iter().filter(|one| one.as_ref().is_ok_and(|one| one == &[true])).count();
    assert_eq!(won, 1);
    assert_eq!(lab.store.counters().stale_writes_refused.get(), 7);
    assert_eq!(lab.find(id).await.progress.done, 1);
}

async fn an_earlier_attempt_is_refused_and_counted(lab: Lab) {
    let id = lab.submit(&["a"]).await.id;
    let first = lab.claim(1).await.remove(0);
    lab.give_back(&first, again(true)).await;
    assert!(!complete(&lab.store, &first).await, "it is queued");
    let second = lab.claim(1).await.remove(0);
    assert_eq!((second.attempt, second.failures), (2, 1));
    assert!(!complete(&lab.store, &first).await, "somebody else works on it");
    assert_eq!(lab.store.counters().stale_writes_refused.get(), 2);
    assert_eq!(lab.find(id).await.progress.done, 0);
    let answer = done(&second, r#"[{"n": 2}]"#);
    assert_eq!(lab.store.complete(vec![answer]).await.expect("an answer"), [true]);
    assert!(!complete(&lab.store, &first).await, "it is done");
    let csv = lab.download(id, muster_store::Format::Csv).await.expect("a result");
    assert_eq!(String::from_utf8_lossy(&csv), "input,n\na,2\n");
}

async fn a_stale_attempt_gives_nothing_back(lab: Lab) {
    let id = lab.submit(&["a"]).await.id;
    let first = lab.claim(1).await.remove(0);
    lab.give_back(&first, again(false)).await;
    let second = lab.claim(1).await.remove(0);
    lab.give_back(&first, again(true)).await;
    lab.give_back(
        &first,
        Retry::Fail { cause: muster_core::Cause::ModelError, reason: "late".into() },
    )
    .await;
    assert_eq!(lab.find(id).await.phase.name(), "running");
    assert!(nothing_for(&lab.store, lab.wish(1)).await);
    assert_eq!(lab.store.counters().stale_writes_refused.get(), 2);
    assert!(complete(&lab.store, &second).await);
}

async fn a_task_given_back_is_claimed_again_when_it_is_due(lab: Lab) {
    lab.submit(&["a"]).await;
    let first = lab.claim(1).await.remove(0);
    let before = lab.store.clock().now();
    let after = Duration::from_millis(300);
    lab.give_back(&first, Retry::Again { after, counts: true }).await;
    let second = lab.claim(1).await.remove(0);
    assert!(lab.store.clock().now().since(before) >= after);
    assert_eq!((second.attempt, second.failures), (2, 1));
    let after = Duration::from_secs(3600);
    lab.give_back(&second, Retry::Again { after, counts: true }).await;
    lab.submit(&["b"]).await;
    let other = lab.claim(10).await;
    assert!(other.len() == 1 && other[0].key != first.key, "only what is due is taken");
}

async fn a_task_that_is_given_up_fails_its_request(lab: Lab) {
    let id = lab.submit(&["x"; 25]).await.id;
    let tasks = lab.claim(100).await;
    assert!(complete(&lab.store, &tasks[0]).await);
    lab.give_back(
        &tasks[1],
        Retry::Fail { cause: muster_core::Cause::ModelError, reason: "The model failed.".into() },
    )
    .await;
    let how = Ended::Failed { reason: "The model failed.".into() };
    assert!(matches!(&lab.find(id).await.phase, Phase::Ended { how: h, .. } if *h == how));
    assert!(!complete(&lab.store, &tasks[2]).await, "the rest is dropped");
    assert!(nothing_for(&lab.store, lab.wish(100)).await);
    assert_eq!(lab.store.counters().failed.get(), 1);
    let result = lab.download(id, muster_store::Format::Csv).await;
    assert!(matches!(result, Err(muster_store::Error::NoResult)));
}

async fn a_cancelled_request_never_gets_a_result(lab: Lab) {
    let id = lab.submit(&["x"; 25]).await.id;
    let tasks = lab.claim(10).await;
    assert!(complete(&lab.store, &tasks[0]).await);
    lab.cancel(id).await;
    let late: Vec<_> = tasks[1..].iter().map(ones).collect();
    assert!(lab.store.complete(late).await.expect("an answer").iter().all(|taken| !taken));
    assert!(nothing_for(&lab.store, lab.wish(100)).await);
    let result = lab.download(id, muster_store::Format::Csv).await;
    assert!(matches!(result, Err(muster_store::Error::NoResult)));
    let open = "SELECT COUNT(*) FROM task WHERE state IN ('queued', 'leased')";
    assert_eq!(lab.raw.number(open).await, 0);
}

async fn a_completion_racing_with_a_cancellation_ends_once(lab: Lab) {
    for n in 0..20 {
        let id = lab.submit(&["a"]).await.id;
        let task = lab.claim(1).await.remove(0);
        let done = vec![ones(&task)];
        let (taken, seen) = if n % 2 == 0 {
            let (taken, seen) = tokio::join!(lab.store.complete(done), lab.cancel(id));
            (taken, seen)
        } else {
            let (seen, taken) = tokio::join!(lab.cancel(id), lab.store.complete(done));
            (taken, seen)
        };
        let phase = if taken.expect("an answer") == [true] { "completed" } else { "cancelled" };
        assert_eq!((seen.phase.name(), lab.find(id).await.phase.name()), (phase, phase));
    }
}

async fn the_database_refuses_to_change_a_request_that_ended(lab: Lab) {
    lab.submit(&["a"]).await;
    assert!(lab.work().await);
    for change in [
        "phase = 'waiting', ended_at = NULL",
        "phase = 'cancelled'",
        "ended_at = submitted_at",
        "done = 0",
        "reason = 'because'",
        "model_version = '2'",
    ] {
        let changed = lab.raw.try_run(&format!("UPDATE request SET {change}")).await;
        let error = changed.expect_err(change).to_string();
        assert!(error.contains("a request that ended does not change"), "{change}: {error}");
    }
}

async fn the_database_refuses_to_decrease_an_attempt(lab: Lab) {
    lab.submit(&["a"]).await;
    lab.claim(1).await;
    let error = lab.raw.try_run("UPDATE task SET attempt = 0").await.expect_err("it is refused");
    assert!(error.to_string().contains("an attempt number never decreases"), "{error}");
}

async fn every_request_ends_once_in_the_transition_log(lab: Lab) {
    let completed = lab.submit(&["x"; 25]).await.id;
    for task in lab.claim(100).await {
        assert!(complete(&lab.store, &task).await);
        assert!(!complete(&lab.store, &task).await);
    }
    let cancelled = lab.submit(&["a"]).await.id;
    lab.cancel(cancelled).await;
    lab.cancel(cancelled).await;
    for (id, phase) in [(completed, "completed"), (cancelled, "cancelled")] {
        let id = lab.raw.id(id.0);
        let sql = format!("SELECT phase FROM transition WHERE request_id = {id} ORDER BY version");
        assert_eq!(lab.raw.texts(&sql).await, ["waiting", phase]);
    }
}

async fn a_new_version_starts_unfinished_requests_over(lab: Lab) {
    let id = lab.submit(&["x"; 25]).await.id;
    let old = lab.claim(100).await;
    assert!(complete(&lab.store, &old[0]).await);
    lab.store.sync_models(vec![crate::lab::model("echo", "2")]).await.expect("a catalogue");
    assert!(!complete(&lab.store, &old[1]).await, "a result never mixes versions");
    let found = lab.find(id).await;
    assert_eq!((found.model_version.as_str(), found.progress.done), ("2", 0));
    assert!(nothing_for(&lab.store, lab.wish(100)).await, "nothing is left for the old one");
    let wish = muster_store::Claim { version: "2".into(), ..lab.wish(100) };
    let new = crate::lab::claim(&lab.store, wish).await;
    let keys: Vec<TaskKey> = new.iter().map(|task| task.key).collect();
    assert_eq!(keys, old.iter().map(|task| task.key).collect::<Vec<_>>());
    for task in &new {
        assert!(complete(&lab.store, task).await);
    }
    assert_eq!(lab.find(id).await.phase.name(), "completed");
}
