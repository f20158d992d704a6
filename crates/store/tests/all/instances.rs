//! Instances in the books.

use muster_core::instance::{EndCause, Runs};
use muster_core::room::Place;
use muster_core::{Address, Amounts, InstanceId};
use muster_store::{Claim, Error, Instance, InstanceFilter, InstanceState, NewInstance};

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
    what_an_instance_was_launched_with_stands_in_its_row,
    a_device_belongs_to_one_instance_until_that_has_ended,
    the_devices_of_a_dead_server_are_free_again,
);

pub fn new_instance(lab: &Lab, slot: u32) -> NewInstance {
    NewInstance {
        id: InstanceId(lab.store.clock().id()),
        model: lab.model.id.clone(),
        version: "1".into(),
        slot,
        server: None,
        runs: Runs::Process,
        why: "requests wait".into(),
        asked: None,
        place: None,
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
    assert_eq!((seen.runs, seen.server), (Runs::Process, Some(lab.store.server())));
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

async fn what_an_instance_was_launched_with_stands_in_its_row(lab: Lab) {
    let named = [("nvidia.com/gpu".to_owned(), 2)].into();
    let asked = Amounts { cpu: 250, memory: u64::MAX, pods: 1, named, ..Amounts::default() };
    let place = Place { node: "one".into(), devices: vec!["GPU-a".into(), "GPU-b".into()] };
    let new = NewInstance {
        asked: Some(asked.clone()),
        place: Some(place.clone()),
        ..new_instance(&lab, 0)
    };
    let id = new.id;
    assert!(lab.store.add_instance(new).await.expect("an answer"));
    let found = only(&lab).await;
    assert_eq!((found.asked, found.place), (Some(asked.clone()), Some(place.clone())));
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    let record = lab.store.find_instance(id).await.expect("an answer").expect("its history");
    assert_eq!((record.asked, record.devices), (Some(asked), place.devices));
    assert_eq!(record.seen.node.as_deref(), Some("one"));

    assert!(lab.store.add_instance(new_instance(&lab, 0)).await.expect("an answer"));
    let found = only(&lab).await;
    assert_eq!((found.asked, found.place), (None, None));
    let place = Some(Place { node: "one\0".into(), devices: vec![] });
    let refused = lab.store.add_instance(NewInstance { place, ..new_instance(&lab, 1) }).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
}

fn with_devices(lab: &Lab, slot: u32, node: &str, devices: &[&str]) -> NewInstance {
    let devices = devices.iter().map(|device| (*device).into()).collect();
    NewInstance { place: Some(Place { node: node.into(), devices }), ..new_instance(lab, slot) }
}

async fn a_device_belongs_to_one_instance_until_that_has_ended(lab: Lab) {
    let add = async |new| lab.store.add_instance(new).await.expect("an answer");
    let first = with_devices(&lab, 0, "one", &["a", "b"]);
    let id = first.id;
    assert!(add(first).await);
    assert!(!add(with_devices(&lab, 1, "one", &["c", "b"])).await, "b is another's");
    assert_eq!(only(&lab).await.id, id, "nothing is left of the second");
    assert!(add(with_devices(&lab, 1, "one", &["c"])).await, "nor does it hold c");
    assert!(add(with_devices(&lab, 2, "two", &["a"])).await, "another node's a is another");
    lab.store.instance_draining(id, &EndCause::Idle).await.expect("an answer");
    assert!(!add(with_devices(&lab, 3, "one", &["a"])).await, "its processes may still be there");
    lab.store.instance_ended(id, &EndCause::Idle).await.expect("an answer");
    assert!(add(with_devices(&lab, 0, "one", &["a", "b"])).await);
    assert!(!add(with_devices(&lab, 3, "one", &["d", "d"])).await, "no device is given twice");
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM instance_device").await, 4);
}

async fn the_devices_of_a_dead_server_are_free_again(mut lab: Lab) {
    let held = with_devices(&lab, 0, "one", &["a"]);
    assert!(lab.store.add_instance(held).await.expect("an answer"));
    lab.restart(64 << 10).await;
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM instance_device").await, 0);
    let lease = std::time::Duration::from_secs(60);
    assert!(lab.store.lead(lease).await.expect("an answer"), "it plans");
    let next = with_devices(&lab, 0, "one", &["a"]);
    assert!(lab.store.add_instance(next).await.expect("an answer"));
}
