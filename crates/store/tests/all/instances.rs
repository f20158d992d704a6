//! Instances in the books.

use muster_core::instance::EndCause;
use muster_core::{Address, InstanceId};
use muster_store::{Claim, Instance, InstanceFilter, InstanceState, NewInstance};

use crate::lab::{Lab, again, claim, complete};

on_both!(
    a_slot_holds_one_instance_at_a_time,
    an_instance_goes_from_starting_to_ended,
    an_instance_prepares_before_it_starts,
    an_instance_that_ended_stays_ended,
    an_instance_that_ended_gives_its_tasks_back,
    an_instance_is_idle_since_its_last_task,
    an_instance_whose_request_was_cancelled_is_idle,
    an_instance_that_lost_its_lease_is_idle,
);

pub fn new_instance(lab: &Lab, slot: u32) -> NewInstance {
    NewInstance {
        id: InstanceId(lab.store.clock().id()),
        model: lab.model.id.clone(),
        version: "1".into(),
        slot,
        local: true,
        why: "requests wait".into(),
    }
}

/// An instance that is ready for work.
pub async fn ready(lab: &Lab) -> InstanceId {
    let new = new_instance(lab, 0);
    let id = new.id;
    assert!(lab.store.add_instance(new).await.expect("an answer"));
    let address = Address::Socket("model.sock".into());
    lab.store.instance_ready(id, &address).await.expect("an answer");
    id
}

pub async fn only(lab: &Lab) -> Instance {
    let mut all = lab.store.instances().await.expect("an answer");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn crashed() -> EndCause {
    EndCause::Exited { code: None, signal: Some(9), last_lines: "nul \0".into() }
}

async fn a_slot_holds_one_instance_at_a_time(lab: Lab) {
    let first = new_instance(&lab, 0);
    let id = first.id;
    assert!(lab.store.add_instance(first).await.expect("an answer"));
    assert!(!lab.store.add_instance(new_instance(&lab, 0)).await.expect("an answer"));
    assert!(lab.store.add_instance(new_instance(&lab, 1)).await.expect("an answer"));
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    assert!(lab.store.add_instance(new_instance(&lab, 0)).await.expect("an answer"));
}

async fn an_instance_goes_from_starting_to_ended(lab: Lab) {
    let new = new_instance(&lab, 3);
    let id = new.id;
    lab.store.add_instance(new).await.expect("an answer");
    let seen = only(&lab).await;
    assert_eq!(
        (seen.id, &seen.model, seen.version.as_str(), seen.slot),
        (id, &lab.model.id, "1", 3)
    );
    assert_eq!((seen.local, seen.server), (true, Some(lab.store.server())));
    assert_eq!((&seen.state, seen.idle_since, seen.jobs), (&InstanceState::Starting, None, 0));
    let address = Address::Url("http://model:8080".into());
    lab.store.instance_ready(id, &address).await.expect("an answer");
    assert_eq!(only(&lab).await.state, InstanceState::Ready { address: address.clone() });
    lab.store.instance_draining(id, &EndCause::Idle).await.expect("an answer");
    let draining = InstanceState::Draining { address: Some(address.clone()) };
    assert_eq!(only(&lab).await.state, draining);
    lab.store.instance_ready(id, &address).await.expect("an answer");
    assert_eq!(only(&lab).await.state, draining, "there is no way back");
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    assert!(lab.store.instances().await.expect("an answer").is_empty());
    let kinds = lab.raw.texts("SELECT kind FROM instance_event ORDER BY first_at").await;
    assert_eq!(kinds, ["launched", "ready", "draining", "idle"]);
}

async fn an_instance_prepares_before_it_starts(lab: Lab) {
    let (new, other) = (new_instance(&lab, 0), new_instance(&lab, 1));
    let (id, unprepared) = (new.id, other.id);
    assert!(lab.store.add_instance(new).await.expect("an answer"));
    let preparing = async |is_it| {
        lab.store.instance_preparing(id, is_it).await.expect("an answer");
    };
    let listed = async |word: &str| {
        let statuses = vec![word.to_owned()];
        let filter = InstanceFilter { statuses, limit: 9, ..InstanceFilter::default() };
        let found = lab.store.list_instances(&filter).await;
        found.expect("an answer").iter().map(|it| it.state.name()).collect::<Vec<_>>()
    };
    preparing(true).await;
    assert_eq!(only(&lab).await.state, InstanceState::Preparing);
    assert_eq!((listed("preparing").await, listed("starting").await), (vec!["preparing"], vec![]));
    preparing(false).await;
    assert_eq!(only(&lab).await.state, InstanceState::Starting);
    assert_eq!((listed("preparing").await, listed("starting").await), (vec![], vec!["starting"]));
    let address = Address::Socket("model.sock".into());
    lab.store.instance_ready(id, &address).await.expect("an answer");
    preparing(true).await;
    assert_eq!(only(&lab).await.state, InstanceState::Ready { address: address.clone() });
    // What a start usually takes is told without the environment, which is made once.
    let hour = if lab.is_postgres() { "interval '1 hour'" } else { "3600000000" };
    lab.raw.run(&format!("UPDATE instance SET launched_at = launched_at - {hour}")).await;
    let figures = lab.store.model_figures().await.expect("an answer");
    assert!(figures[&lab.model.id].start_seconds.expect("it started") < 600.0, "{figures:?}");
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    // One that is ready before it was seen to start has prepared until then.
    assert!(lab.store.add_instance(other).await.expect("an answer"));
    lab.store.instance_preparing(unprepared, true).await.expect("an answer");
    lab.store.instance_ready(unprepared, &address).await.expect("an answer");
    let starts = "SELECT COUNT(*) FROM instance WHERE prepared_at = ready_at AND NOT is_preparing";
    assert_eq!(lab.raw.number(starts).await, 1);
}

async fn an_instance_that_ended_stays_ended(lab: Lab) {
    let id = ready(&lab).await;
    lab.store.instance_ended(id, &EndCause::StartTimeout).await.expect("an answer");
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    let address = Address::Socket("model.sock".into());
    lab.store.instance_ready(id, &address).await.expect("an answer");
    lab.store.instance_draining(id, &EndCause::Idle).await.expect("an answer");
    assert!(lab.store.instances().await.expect("an answer").is_empty());
    let causes = lab.raw.texts("SELECT end_cause FROM instance").await;
    assert_eq!(causes, [r#"{"cause":"start_timeout"}"#]);
}

async fn an_instance_that_ended_gives_its_tasks_back(lab: Lab) {
    let id = ready(&lab).await;
    lab.submit(&["x"; 20]).await;
    let tasks = claim(&lab.store, Claim { instance: id, ..lab.wish(100) }).await;
    assert!(complete(&lab.store, &tasks[0]).await);
    let back = lab.store.instance_ended(id, &crashed()).await.expect("an answer");
    assert_eq!(back, tasks.len() as u64 - 1);
    assert_eq!(lab.store.instance_ended(id, &crashed()).await.expect("an answer"), 0);
    assert!(!complete(&lab.store, &tasks[1]).await);
    let again = lab.claim(100).await;
    assert!(again.iter().all(|task| task.attempt == 2));
}

async fn an_instance_is_idle_since_its_last_task(lab: Lab) {
    let id = ready(&lab).await;
    let since = only(&lab).await.idle_since.expect("it waits for work");
    lab.submit(&["x"; 20]).await;
    let tasks = claim(&lab.store, Claim { instance: id, ..lab.wish(100) }).await;
    assert_eq!((only(&lab).await.idle_since, only(&lab).await.jobs), (None, 1));
    assert!(complete(&lab.store, &tasks[0]).await);
    assert_eq!(only(&lab).await.idle_since, None, "it has another one");
    lab.give_back(&tasks[1], again(true)).await;
    assert!(only(&lab).await.idle_since > Some(since));
}

async fn an_instance_whose_request_was_cancelled_is_idle(lab: Lab) {
    let instance = ready(&lab).await;
    let ids = [lab.submit(&["a"]).await.id, lab.submit(&["b"]).await.id];
    claim(&lab.store, Claim { instance, ..lab.wish(10) }).await;
    lab.cancel(ids[0]).await;
    assert_eq!(only(&lab).await.idle_since, None, "it works on the other");
    lab.cancel(ids[1]).await;
    assert!(only(&lab).await.idle_since.is_some());
}

async fn an_instance_that_lost_its_lease_is_idle(lab: Lab) {
    let instance = ready(&lab).await;
    lab.submit(&["a"]).await;
    let short = Claim { instance, lease: std::time::Duration::ZERO, ..lab.wish(10) };
    claim(&lab.store, short).await;
    assert_eq!(lab.store.release_expired().await.expect("an answer"), 1);
    assert!(only(&lab).await.idle_since.is_some());
}
