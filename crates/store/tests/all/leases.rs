//! Leases, their end, and what becomes of what a server held that is gone.

use std::time::Duration;

use muster_core::instance::Runs;
use muster_core::{EndCause, InstanceId, TaskKey};
use muster_store::{Claim, ClaimedTask};

use crate::instances::new_instance;
use crate::lab::{LEASE, Lab, claim, complete, nothing_for};

on_both!(
    a_lease_that_is_over_gives_its_task_back,
    a_lease_that_is_extended_does_not_end,
    extending_names_the_tasks_that_are_lost,
    a_server_that_stops_gives_back_what_it_held,
    what_a_dead_server_held_is_given_back,
    a_server_that_lives_keeps_what_it_holds,
    a_running_remote_job_outlives_its_server,
    a_remote_job_is_adopted_once,
    a_remote_job_that_nobody_picks_up_is_queued_again,
    leading_needs_no_asking_on_a_database_of_ones_own,
    a_task_queued_while_the_clock_was_ahead_is_due_when_it_is_not,
);

fn keys(tasks: &[ClaimedTask]) -> Vec<(TaskKey, u32)> {
    tasks.iter().map(|task| (task.key, task.attempt)).collect()
}

fn over(lab: &Lab) -> Claim {
    Claim { lease: Duration::ZERO, ..lab.wish(100) }
}

async fn release(lab: &Lab) -> u64 {
    lab.store.release_expired().await.expect("an answer")
}

/// I-03: found by `make chaos DB=sqlite SEED=2026`, where the clock is two hours ahead for a while.
async fn a_task_queued_while_the_clock_was_ahead_is_due_when_it_is_not(lab: Lab) {
    lab.submit(&["x"]).await;
    let ahead = lab.raw.later("not_before", 7200);
    lab.raw.run(&format!("UPDATE task SET not_before = {ahead}")).await;
    assert!(nothing_for(&lab.store, lab.wish(1)).await);
    assert_eq!(release(&lab).await, 0, "it was not leased");
    assert_eq!(lab.claim(1).await.len(), 1);
}

async fn a_lease_that_is_over_gives_its_task_back(lab: Lab) {
    let id = lab.submit(&["x"; 20]).await.id;
    let late = claim(&lab.store, over(&lab)).await;
    assert_eq!(release(&lab).await, late.len() as u64);
    assert_eq!(release(&lab).await, 0);
    let again = lab.claim(100).await;
    assert_eq!((again.len(), again[0].attempt), (late.len(), 2));
    assert!(!complete(&lab.store, &late[0]).await);
    for task in &again {
        assert!(complete(&lab.store, task).await);
    }
    assert_eq!(lab.find(id).await.phase.name(), "completed");
}

async fn a_lease_that_is_extended_does_not_end(lab: Lab) {
    lab.submit(&["a"]).await;
    let tasks = claim(&lab.store, over(&lab)).await;
    let lost = lab.store.extend(lab.instance, &keys(&tasks), LEASE).await;
    assert!(lost.expect("an answer").is_empty());
    assert_eq!(release(&lab).await, 0);
    assert!(complete(&lab.store, &tasks[0]).await, "the end alone of a lease takes nothing away");
}

async fn extending_names_the_tasks_that_are_lost(lab: Lab) {
    let ids =
        [lab.submit(&["a"]).await.id, lab.submit(&["b"]).await.id, lab.submit(&["c"]).await.id];
    let tasks = lab.claim(100).await;
    let mine = keys(&tasks);
    lab.cancel(ids[0]).await;
    assert!(complete(&lab.store, &tasks[1]).await);
    let lost = lab.store.extend(lab.instance, &mine, LEASE).await.expect("an answer");
    assert_eq!(lost, [mine[0].0, mine[1].0]);
    let other = InstanceId(lab.store.clock().id());
    let lost = lab.store.extend(other, &mine[2..], LEASE).await.expect("an answer");
    assert_eq!(lost, [mine[2].0], "it is another instance's");
    let earlier = [(mine[2].0, 0)];
    let lost = lab.store.extend(lab.instance, &earlier, LEASE).await.expect("an answer");
    assert_eq!(lost, [mine[2].0], "it is another attempt's");
}

async fn a_server_that_stops_gives_back_what_it_held(mut lab: Lab) {
    let (id, first) = (lab.submit(&["a"]).await.id, lab.store.server());
    let instance = new_instance(&lab, 0);
    lab.store.add_instance(instance).await.expect("an answer");
    let old = lab.claim(1).await.remove(0);
    lab.restart(64 << 10).await;
    assert_ne!(lab.store.server(), first);
    assert!(lab.store.instances().await.expect("an answer").is_empty(), "local ones end with it");
    assert!(!complete(&lab.store, &old).await);
    assert!(lab.work().await);
    assert_eq!(lab.find(id).await.phase.name(), "completed");
}

/// Makes what this server holds the property of one that was last seen so many seconds ago.
async fn belongs_to_another_server(lab: &Lab, seen_seconds_ago: u32) {
    let other = lab.raw.id(lab.store.clock().id());
    let seen = lab.raw.earlier("seen_at", seen_seconds_ago);
    let server = format!(
        "INSERT INTO server (id, started_at, seen_at) SELECT {other}, started_at, {seen} FROM server"
    );
    assert_eq!(lab.raw.run(&server).await, 1);
    for table in ["task", "instance"] {
        lab.raw.run(&format!("UPDATE {table} SET server_id = {other}")).await;
    }
}

async fn what_a_dead_server_held_is_given_back(lab: Lab) {
    let local = new_instance(&lab, 0);
    let mut external = new_instance(&lab, 1);
    external.runs = Runs::Elsewhere;
    let kept = external.id;
    for new in [local, external] {
        assert!(lab.store.add_instance(new).await.expect("an answer"));
    }
    lab.submit(&["a"]).await;
    lab.claim(1).await;
    belongs_to_another_server(&lab, 31).await;
    lab.store.heartbeat().await.expect("an answer");
    let instances = lab.store.instances().await.expect("an answer");
    assert_eq!(instances.iter().map(|one| one.id).collect::<Vec<_>>(), [kept]);
    let cause = serde_json::to_string(&EndCause::ServerGone).expect("JSON");
    let causes = "SELECT end_cause FROM instance WHERE end_cause IS NOT NULL";
    assert_eq!(lab.raw.texts(causes).await, [cause]);
    assert_eq!(lab.claim(1).await[0].attempt, 2);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM server").await, 1);
}

async fn a_server_that_lives_keeps_what_it_holds(lab: Lab) {
    lab.store.add_instance(new_instance(&lab, 0)).await.expect("an answer");
    lab.submit(&["a"]).await;
    lab.claim(1).await;
    belongs_to_another_server(&lab, 20).await;
    lab.store.heartbeat().await.expect("an answer");
    assert_eq!(lab.store.instances().await.expect("an answer").len(), 1);
    assert!(nothing_for(&lab.store, lab.wish(1)).await);
}

/// Two tasks of one request run on an external server as "job-1".
async fn remote_job(lab: &Lab) -> Vec<ClaimedTask> {
    lab.submit(&["x"; 20]).await;
    let tasks = claim(&lab.store, over(lab)).await;
    lab.store.set_remote_job(&keys(&tasks), "job-1").await.expect("an answer");
    tasks
}

async fn a_running_remote_job_outlives_its_server(mut lab: Lab) {
    let tasks = remote_job(&lab).await;
    assert!(lab.store.running_remote_jobs().await.expect("an answer").is_empty(), "it is ours");
    assert_eq!(release(&lab).await, 0, "it has a minute to be picked up");
    lab.restart(64 << 10).await;
    let job = lab.store.running_remote_jobs().await.expect("an answer").remove(0);
    assert_eq!((job.job.as_str(), &job.model, &job.tasks), ("job-1", &lab.model.id, &keys(&tasks)));
    let adopted = lab.store.adopt_remote_job(lab.instance, &job.tasks, LEASE).await;
    let adopted = adopted.expect("an answer");
    assert_eq!(keys(&adopted), keys(&tasks), "the attempt stays");
    for (task, old) in adopted.iter().zip(&tasks) {
        assert_eq!(task.remote_job.as_deref(), Some("job-1"));
        assert_eq!((task.count, &task.inputs), (old.count, &old.inputs));
        assert!(complete(&lab.store, task).await);
    }
    assert!(lab.store.running_remote_jobs().await.expect("an answer").is_empty());
}

async fn a_remote_job_is_adopted_once(mut lab: Lab) {
    let tasks = keys(&remote_job(&lab).await);
    lab.restart(64 << 10).await;
    let (first, second) = tokio::join!(
        lab.store.adopt_remote_job(lab.instance, &tasks, LEASE),
        lab.store.adopt_remote_job(InstanceId(lab.store.clock().id()), &tasks, LEASE),
    );
    assert_eq!(first.expect("an answer").len(), tasks.len());
    assert!(second.expect("an answer").is_empty());
}

async fn a_remote_job_that_nobody_picks_up_is_queued_again(lab: Lab) {
    remote_job(&lab).await;
    let past = lab.raw.earlier("lease_until", 61);
    lab.raw.run(&format!("UPDATE task SET lease_until = {past}")).await;
    assert_eq!(release(&lab).await, 2);
    let tasks = lab.claim(100).await;
    assert!(tasks.iter().all(|task| task.attempt == 2 && task.remote_job.is_none()));
    let jobs = "SELECT COUNT(*) FROM task WHERE remote_job IS NOT NULL";
    assert_eq!(lab.raw.number(jobs).await, 0);
}

async fn leading_needs_no_asking_on_a_database_of_ones_own(lab: Lab) {
    for _ in 0..2 {
        assert!(lab.store.lead(LEASE).await.expect("an answer"));
    }
}
