//! A model that is edited, disabled or deleted while somebody submits to it.

use std::sync::Arc;

use muster_core::retry::Retry;
use muster_core::{Cause, ModelId, Request};
use muster_store::{Claim, Error, ModelAct, NewRequest, Requeued, Store};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::lab::{Lab, claim, complete, done, model, nothing_for};

on_both!(
    a_request_is_of_the_version_that_is_there_when_it_is_stored,
    what_an_earlier_version_predicted_answers_nothing,
    a_model_that_takes_nothing_refuses_and_keeps_nothing,
    what_is_stranded_is_seen_and_moved_whole,
);

async fn edit(store: &Store, version: &str) {
    store.sync_models(vec![model("echo", version)]).await.expect("a catalogue");
}

async fn submitted(lab: &Lab, new: NewRequest) -> Arc<Request> {
    lab.store.submit(new).await.expect("it is taken").request
}

/// Works on what waits for this version of the model, and only for it.
async fn work_as(lab: &Lab, version: &str) {
    let claim_of = Claim { version: version.into(), ..lab.wish(100) };
    let task = claim(&lab.store, claim_of).await.remove(0);
    assert!(complete(&lab.store, &task).await);
}

async fn a_request_is_of_the_version_that_is_there_when_it_is_stored(lab: Lab) {
    // Its model was looked up before its inputs were sent.
    let (new, large) = (lab.new_request(&["a"]), "x".repeat(100_000));
    let large = lab.new_request(&[large.as_str(), "b"]);
    edit(&lab.store, "2").await;
    for new in [new, large] {
        let request = submitted(&lab, new).await;
        assert_eq!(request.model_version, "2");
        work_as(&lab, "2").await;
        let ended = lab.find(request.id).await;
        assert_eq!((ended.phase.name(), ended.model_version.as_str()), ("completed", "2"));
    }
}

async fn what_an_earlier_version_predicted_answers_nothing(lab: Lab) {
    lab.submit(&["a"]).await;
    let task = lab.claim(1).await.remove(0);
    let mut learned = done(&task, r#"[{"n": 1}]"#);
    learned.predictions = vec![(Sha256::digest(b"a").into(), 0)];
    assert_eq!(lab.store.complete(vec![learned]).await.expect("an answer"), [true]);
    assert_eq!(lab.submit(&["a"]).await.phase.name(), "completed", "it is known");
    let new = lab.new_request(&["a"]);
    edit(&lab.store, "2").await;
    let request = submitted(&lab, new).await;
    assert_eq!((request.phase.name(), request.progress.cached), ("waiting", 0));
}

async fn a_model_that_takes_nothing_refuses_and_keeps_nothing(lab: Lab) {
    let keyed = || NewRequest { key: Some("k".into()), ..lab.new_request(&["a"]) };
    let before = submitted(&lab, keyed()).await.id;
    let seen = lab.store.find_entry(&lab.model.id).await.expect("an answer").expect("it").revision;
    let act = ModelAct::Disable { reason: "it is wrong".into() };
    lab.store.change_model(lab.me, (lab.model.id.clone(), seen), act).await.expect("an answer");
    let why = Some("it is wrong".to_owned());
    let refused = lab.store.submit(lab.new_request(&["b"])).await;
    assert!(matches!(refused, Err(Error::NotOffered { disabled }) if disabled == why));
    lab.store.sync_models(vec![]).await.expect("a catalogue");
    let gone = |taken| matches!(taken, Err(Error::NotOffered { disabled: None }));
    assert!(gone(lab.store.submit(lab.new_request(&["b"])).await.map(|_| ())));
    let other = NewRequest { key: Some("l".into()), ..lab.new_request(&["b"]) };
    assert!(gone(lab.store.submit(other).await.map(|_| ())));
    assert_eq!(submitted(&lab, keyed()).await.id, before, "it was taken before");
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 1);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM task").await, 1);
}

async fn what_is_stranded_is_seen_and_moved_whole(lab: Lab) {
    let half_done = lab.submit(&["x"; 15]).await.id;
    assert!(lab.work().await);
    // As if a server that knew another version had stored them meanwhile.
    for table in ["task", "request"] {
        lab.raw.run(&format!("UPDATE {table} SET model_version = '0'")).await;
    }
    lab.submit(&["y"]).await;
    let queues = lab.store.queues().await.expect("an answer");
    let mut seen: Vec<_> = queues.iter().map(|q| (q.version.as_str(), q.tasks)).collect();
    seen.sort_unstable();
    assert_eq!(seen, [("0", 1), ("1", 1)]);
    assert_eq!(lab.store.move_stranded(&lab.model.id).await.expect("an answer"), 2);
    let moved = lab.find(half_done).await;
    assert_eq!((moved.model_version.as_str(), moved.progress.done), ("1", 0), "it starts over");
    assert_eq!(lab.store.move_stranded(&lab.model.id).await.expect("an answer"), 0);
    for _ in 0..3 {
        assert!(lab.work().await);
    }
    assert_eq!(lab.find(half_done).await.phase.name(), "completed");
    assert!(nothing_for(&lab.store, lab.wish(10)).await);
    let unknown: ModelId = "unknown".parse().expect("an id");
    assert_eq!(lab.store.move_stranded(&unknown).await.expect("an answer"), 0);
}

/// This server has not heard yet of what another one changed.
#[tokio::test]
async fn a_server_with_an_old_catalogue_takes_requests_for_the_new_version() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let failed = lab.submit(&["a"]).await.id;
    let task = lab.claim(1).await.remove(0);
    let reason = "it cannot".to_owned();
    lab.give_back(&task, Retry::Fail { cause: Cause::ModelError, reason }).await;
    edit(&other, "2").await;
    assert_eq!(lab.store.find_model(&lab.model.id).expect("it").version, "1", "it is old");
    assert_eq!(lab.submit(&["b"]).await.model_version, "2");
    assert_eq!(lab.store.find_model(&lab.model.id).expect("it").version, "2");
    edit(&other, "3").await;
    let again = lab.store.requeue_request(lab.me, failed).await.expect("an answer");
    let Requeued::As { id, created: true } = again else { panic!("{again:?}") };
    assert_eq!(lab.find(id).await.model_version, "3");
    let seen = other.find_entry(&lab.model.id).await.expect("an answer").expect("it").revision;
    let act = ModelAct::Edit(json!({"card": {"title": "T"}}));
    other.change_model(lab.me, (lab.model.id.clone(), seen), act).await.expect("an answer");
    assert_eq!(lab.submit(&["c"]).await.model_version, "3", "its text is not its version");
}
