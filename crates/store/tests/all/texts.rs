//! Trap T9: texts with NUL characters get the same answer on both databases. What identifies
//! something is refused, words for people lose the character.

use muster_core::retry::Retry;
use muster_core::{Ended, Phase, RequestId};
use muster_store::{Claim, Error, InstanceFilter, NewRequest};

use crate::instances::new_instance;
use crate::lab::{Lab, done, model};

on_both!(
    a_key_with_a_nul_is_refused,
    a_filter_with_a_nul_is_refused,
    names_with_a_nul_are_refused,
    words_with_a_nul_are_stored_without_it,
    inputs_and_results_may_have_any_character,
    a_claim_with_a_nul_stops_nobody_else,
);

const NUL: &str = "a\0b";
const SHOWN: &str = "a\u{fffd}b";

fn refused<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Refused(_)))
}

async fn a_key_with_a_nul_is_refused(lab: Lab) {
    let new = NewRequest { key: Some(NUL.into()), ..lab.new_request(&["a"]) };
    assert!(refused(lab.store.submit(new).await));
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 0);
}

async fn a_filter_with_a_nul_is_refused(lab: Lab) {
    let statuses = vec![NUL.into()];
    let filter = InstanceFilter { statuses, limit: 1, ..InstanceFilter::default() };
    assert!(refused(lab.store.list_instances(&filter).await));
}

async fn names_with_a_nul_are_refused(lab: Lab) {
    let store = &lab.store;
    assert!(refused(store.sync_models(vec![model("echo", NUL)]).await));
    assert_eq!(store.models()[0].version, "1");
    assert!(refused(store.predictions(&lab.model.id, NUL, &[[0; 32]]).await));
    let new = muster_store::NewInstance { version: NUL.into(), ..new_instance(&lab, 0) };
    assert!(refused(store.add_instance(new).await));
    lab.submit(&["a"]).await;
    let task = lab.claim(1).await.remove(0);
    assert!(refused(store.set_remote_job(&[(task.key, task.attempt)], NUL).await));
}

async fn reason(lab: &Lab, id: RequestId) -> String {
    match &lab.find(id).await.phase {
        Phase::Ended { how: Ended::Failed { reason } | Ended::Cancelled { reason }, .. } => {
            reason.clone()
        }
        other => panic!("{other:?}"),
    }
}

async fn words_with_a_nul_are_stored_without_it(lab: Lab) {
    let id = lab.submit(&["a"]).await.id;
    lab.store.cancel_request(lab.me, id, NUL).await.expect("an answer");
    assert_eq!(reason(&lab, id).await, SHOWN);
    let id = lab.submit(&["a"]).await.id;
    lab.store.fail_waiting(&lab.model.id, "1", NUL).await.expect("an answer");
    assert_eq!(reason(&lab, id).await, SHOWN);
    let id = lab.submit(&["a"]).await.id;
    let task = lab.claim(1).await.remove(0);
    lab.give_back(&task, Retry::Fail { cause: muster_core::Cause::ModelError, reason: NUL.into() })
        .await;
    assert_eq!(reason(&lab, id).await, SHOWN);
    lab.store.set_held(vec![(lab.model.id.clone(), NUL.into())]).await.expect("an answer");
    assert_eq!(lab.store.held(&lab.model.id).as_deref(), Some(SHOWN));
    let new = muster_store::NewInstance { why: NUL.into(), ..new_instance(&lab, 0) };
    assert!(lab.store.add_instance(new).await.expect("an answer"));
    assert_eq!(lab.raw.texts("SELECT why FROM instance").await, [SHOWN]);
}

async fn inputs_and_results_may_have_any_character(lab: Lab) {
    let mut new = lab.new_request(&[NUL, "ä"]);
    new.reading.column = Some(NUL.into());
    let id = new.id;
    lab.store.submit(new).await.expect("it is taken");
    let task = lab.claim(1).await.remove(0);
    let answer = done(&task, r#"[{"x\u0000y": "p\u0000q"}, {"error": "e\u0000f"}]"#);
    assert_eq!(lab.store.complete(vec![answer]).await.expect("an answer"), [true]);
    assert_eq!(lab.find(id).await.reading.column.as_deref(), Some(NUL));
    for format in muster_store::Format::ALL {
        assert!(lab.download(id, format).await.is_ok(), "{format:?}");
    }
    let json = lab.download(id, muster_store::Format::Json).await.expect("a result");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(rows[0][NUL], NUL);
    assert_eq!(rows[1]["error"], "e\u{fffd}f");
}

async fn a_claim_with_a_nul_stops_nobody_else(lab: Lab) {
    let bad = Claim { version: NUL.into(), ..lab.wish(1) };
    let (bad, good, _) = tokio::join!(lab.store.claim(bad), lab.claim(1), lab.submit(&["a"]));
    assert!(refused(bad));
    assert_eq!(good.len(), 1);
}
