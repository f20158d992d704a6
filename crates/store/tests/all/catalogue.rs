//! The catalogue, people and their sessions, and known predictions.

use std::time::Duration;

use muster_core::session::{EndReason, SessionPolicy};
use muster_core::{Cell, ColumnKind, ModelId, Row};
use sha2::{Digest, Sha256};

use crate::lab::{LEASE, Lab, done, model, token};

on_both!(
    the_catalogue_is_what_was_said_last,
    the_catalogue_outlives_the_server,
    a_model_that_left_keeps_its_history_and_may_return,
    a_session_is_found_by_its_tokens_hash_until_it_ends,
    every_session_is_a_person_of_its_own,
    known_predictions_are_found_by_model_version_and_input,
    the_first_known_prediction_stays,
    a_store_that_is_closed_says_so,
);

fn names(lab: &Lab) -> Vec<String> {
    lab.store.models().iter().map(|model| format!("{} {}", model.id, model.version)).collect()
}

fn id(name: &str) -> ModelId {
    name.parse().expect("an id")
}

async fn the_catalogue_is_what_was_said_last(lab: Lab) {
    let mut changes = lab.store.changes();
    lab.store.sync_models(vec![model("b", "1"), model("a", "1")]).await.expect("a catalogue");
    assert_eq!(names(&lab), ["a 1", "b 1"], "sorted by id");
    // On PostgreSQL there may be news of before.
    while !matches!(changes.recv().await.expect("a change"), muster_store::Change::Models) {}
    lab.store.sync_models(vec![model("a", "2")]).await.expect("a catalogue");
    assert_eq!(names(&lab), ["a 2"]);
    assert!(lab.store.find_model(&id("b")).is_none());
    assert_eq!(lab.store.find_model(&id("a")).as_deref(), Some(&model("a", "2")));
    let enabled = "SELECT id FROM model WHERE enabled ORDER BY id";
    assert_eq!(lab.raw.texts(enabled).await, ["a"]);
}

async fn the_catalogue_outlives_the_server(mut lab: Lab) {
    let mut models = vec![model("a", "1"), model("b", "7")];
    models[1].card.description = "ä \u{0} é".into();
    lab.store.sync_models(models.clone()).await.expect("a catalogue");
    lab.restart(64 << 10).await;
    let read: Vec<_> = lab.store.models().iter().map(|model| (**model).clone()).collect();
    assert_eq!(read, models);
}

async fn a_model_that_left_keeps_its_history_and_may_return(lab: Lab) {
    let request = lab.submit(&["a"]).await.id;
    assert!(lab.work().await);
    lab.store.sync_models(vec![]).await.expect("a catalogue");
    assert_eq!(lab.find(request).await.model, lab.model.id);
    let csv = lab.download(request, muster_store::Format::Csv).await.expect("a result");
    assert_eq!(String::from_utf8_lossy(&csv), "input,n\na,1\n");
    lab.store.sync_models(vec![model("echo", "1")]).await.expect("a catalogue");
    assert_eq!(names(&lab), ["echo 1"]);
}

async fn a_session_is_found_by_its_tokens_hash_until_it_ends(lab: Lab) {
    let (mine, over) = (token(), token());
    let policy = SessionPolicy::default();
    let session = lab.store.create_session(mine, LEASE).await.expect("a session");
    assert!(session.account.is_none());
    let found = lab.store.find_session(&mine).await.expect("an answer");
    assert_eq!(found.expect("the session"), session);
    assert_eq!(session.left(&policy, lab.store.now()).expect("it lives").min(LEASE / 2), LEASE / 2);
    let short = lab.store.create_session(over, Duration::ZERO).await.expect("a session");
    assert_eq!(short.left(&policy, lab.store.now()), Err(EndReason::Lifetime));
    assert_eq!(lab.store.find_session(&[0; 32]).await.expect("an answer"), None);
    assert!(lab.store.create_session(mine, LEASE).await.is_err(), "a token has one session");
}

async fn every_session_is_a_person_of_its_own(lab: Lab) {
    assert_ne!(lab.another_person().await, lab.another_person().await);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM principal").await, 3);
}

fn hash(input: &str) -> [u8; 32] {
    Sha256::digest(input.as_bytes()).into()
}

/// Completes a request of one input with these records and keeps its prediction.
async fn learn(lab: &Lab, input: &str, records: &str) {
    let fresh = muster_store::NewRequest { use_cache: false, ..lab.new_request(&[input]) };
    lab.store.submit(fresh).await.expect("it is taken");
    let task = lab.claim(1).await.remove(0);
    let mut done = done(&task, records);
    done.predictions = vec![(hash(input), 0)];
    assert_eq!(lab.store.complete(vec![done]).await.expect("an answer"), [true]);
}

async fn known_predictions_are_found_by_model_version_and_input(lab: Lab) {
    let hashes = [hash("a"), hash("b"), hash("c")];
    let known = lab.store.predictions(&lab.model.id, "1", &hashes).await.expect("an answer");
    assert_eq!(known, [None, None, None]);
    let x = 0.1 + 0.2;
    learn(&lab, "b", &format!(r#"[{{"x": {x:?}, "t": "ä"}}]"#)).await;
    learn(&lab, "c", r#"[{"error": "it is too big"}]"#).await;
    let known = lab.store.predictions(&lab.model.id, "1", &hashes).await.expect("an answer");
    let (columns, row) = known[1].clone().expect("it is known");
    let kinds = [("x".to_owned(), ColumnKind::Float), ("t".to_owned(), ColumnKind::String)];
    assert_eq!(*columns, kinds);
    assert_eq!(row, Row::Values(vec![Cell::Float(x), Cell::Text("ä".into())]));
    assert_eq!((&known[0], &known[2]), (&None, &None), "an error is not kept");
    for (other, version) in [(id("echo"), "2"), (id("other"), "1")] {
        let known = lab.store.predictions(&other, version, &hashes).await.expect("an answer");
        assert_eq!(known, [None, None, None]);
    }
    assert_eq!(lab.store.counters().cache_hits.get(), 1);
}

async fn the_first_known_prediction_stays(lab: Lab) {
    learn(&lab, "a", r#"[{"n": 1}]"#).await;
    learn(&lab, "a", r#"[{"n": 2}]"#).await;
    let known = lab.store.predictions(&lab.model.id, "1", &[hash("a")]).await.expect("an answer");
    assert_eq!(known[0].as_ref().map(|(_, row)| row), Some(&Row::Values(vec![Cell::Integer(1)])));
}

async fn a_store_that_is_closed_says_so(lab: Lab) {
    assert!(lab.store.ping().await.is_ok());
    lab.store.close().await;
    lab.store.close().await;
    let closed = |error| matches!(error, muster_store::Error::Unavailable { .. });
    assert!(lab.store.ping().await.is_err_and(closed));
    assert!(lab.store.submit(lab.new_request(&["a"])).await.is_err_and(closed));
    assert!(lab.store.claim(lab.wish(1)).await.is_err_and(closed));
    assert!(lab.store.heartbeat().await.is_err_and(closed));
    let found = lab.store.find_request(lab.me, lab.new_request(&[]).id).await;
    assert!(found.is_err_and(closed));
}
