//! Where a request that waits stands, and when it will have ended.

use std::time::Duration;

use muster_core::expect::Expected;
use muster_core::instance::EndCause;
use muster_core::model::ModelLimits;
use muster_core::{InstanceId, Model};
use muster_store::{Claim, InstanceNotes, NewRequest, Served, Standing};

use crate::instance_notes::{note, notes};
use crate::instances::ready;
use crate::lab::{Lab, claim, complete, until};

on_both!(
    who_waits_is_told_what_is_ahead_and_for_how_long,
    who_has_not_come_yet_is_told_for_how_long,
    nobody_is_told_what_is_not_known,
    two_servers_say_the_same,
);

const SECOND: Duration = Duration::from_secs(1);

/// An instance that answered 10 inputs in one call of a second.
async fn served(lab: &Lab) -> InstanceId {
    let id = ready(lab).await;
    lab.submit(&["x"]).await;
    let wish = Claim { instance: id, ..lab.wish(1) };
    let task = claim(&lab.store, wish).await.remove(0);
    assert!(complete(&lab.store, &task).await);
    let now = lab.store.clock().now();
    let of = Served { request: task.key.request, jobs: 1, inputs: 10, first_at: now, last_at: now };
    note(lab, InstanceNotes { busy: SECOND, served: vec![of], ..notes(id) }).await;
    id
}

async fn who_waits_is_told_what_is_ahead_and_for_how_long(lab: Lab) {
    let instance = served(&lab).await;
    let running = lab.submit(&["a", "b", "c"]).await.id;
    assert_eq!(claim(&lab.store, Claim { instance, ..lab.wish(3) }).await.len(), 1);
    let next = lab.submit(&["d", "e"]).await;
    let last = lab.submit(&["f"]).await;
    // Somebody else's first input goes before one person's second request.
    let other = NewRequest { principal: lab.another_person().await, ..lab.new_request(&["g"]) };
    let other = lab.store.submit(other).await.expect("it is taken").request;
    for (request, ahead, low) in [(&next, 3, 0.2), (&other, 5, 0.3), (&last, 6, 0.4)] {
        let standing = lab.store.standing(request).await.expect("an answer");
        assert_eq!(standing.ahead_inputs, Some(ahead));
        let expected = standing.expected.expect("a range");
        assert!(
            (expected.low - low).abs() < 1e-9 && (expected.high - 2.5).abs() < 1e-9,
            "{expected:?}"
        );
    }
    let running = lab.find(running).await;
    let running = lab.store.standing(&running).await.expect("an answer");
    assert_eq!(running, Standing::default());
    let figures = lab.store.model_figures().await.expect("an answer");
    assert_eq!(figures[&lab.model.id].inputs_per_second, Some(10.0));
}

async fn who_has_not_come_yet_is_told_for_how_long(lab: Lab) {
    let expected = async || lab.store.expected(&lab.model, 1).await.expect("an answer");
    // What is known of the line is looked up anew after a while.
    let becomes = async |low: f64, high: f64| {
        let is_near = |expected: Expected| {
            (expected.low - low).abs() < 1e-9 && (expected.high - high).abs() < 1e-9
        };
        let is_so = async || expected().await.is_some_and(is_near);
        until(&format!("it is {low} to {high}"), is_so).await;
    };
    assert_eq!(expected().await, None, "no instance ever did anything");
    let instance = served(&lab).await;
    becomes(0.1, 2.5).await;
    lab.submit(&["a", "b"]).await;
    assert_eq!(claim(&lab.store, Claim { instance, ..lab.wish(2) }).await.len(), 1);
    lab.submit(&["c", "d", "e"]).await;
    // The same person's next task goes after a newcomer, if that one has a single batch.
    lab.submit(&["f"]).await;
    becomes(0.4, 2.5).await;
    let model = Model {
        limits: ModelLimits { batch_size: 4, ..lab.model.limits.clone() },
        ..Model::clone(&lab.model)
    };
    let two_tasks = lab.store.expected(&model, 5).await.expect("an answer").expect("a range");
    assert!((two_tasks.low - 0.9).abs() < 1e-9, "its end is behind all of them: {two_tasks:?}");
    // What holds a model that nothing runs of has an end that nobody knows.
    lab.store
        .set_held(vec![(lab.model.id.clone(), "It is full.".into())])
        .await
        .expect("an answer");
    tokio::time::sleep(SECOND).await;
    becomes(0.4, 2.5).await;
    lab.store.instance_ended(instance, &EndCause::Idle).await.expect("an answer");
    until("nobody knows", async || expected().await.is_none()).await;
    lab.store.set_held(vec![]).await.expect("an answer");
    let would_start = async || expected().await.is_some_and(|expected| expected.low < 10.0);
    until("one would start", would_start).await;
    let unread = Model { version: "1.0.0+".into(), ..Model::clone(&lab.model) };
    assert_eq!(lab.store.expected(&unread, 1).await.expect("an answer"), None);
}

async fn nobody_is_told_what_is_not_known(lab: Lab) {
    let request = lab.submit(&["a"]).await;
    // No instance ever did anything.
    let standing = lab.store.standing(&request).await.expect("an answer");
    assert_eq!(standing, Standing { ahead_inputs: Some(0), expected: None });
    // There is nothing of it in the queue any more.
    lab.cancel(request.id).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(lab.store.standing(&request).await.expect("an answer"), Standing::default());
}

async fn two_servers_say_the_same(lab: Lab) {
    if !lab.is_postgres() {
        return;
    }
    served(&lab).await;
    let other = lab.other_server().await;
    let request = lab.submit(&["a", "b"]).await;
    let (here, there) = (lab.store.standing(&request).await, other.standing(&request).await);
    let here = here.expect("an answer");
    assert_eq!(here, there.expect("an answer"));
    assert!(here.expected.is_some());
}
