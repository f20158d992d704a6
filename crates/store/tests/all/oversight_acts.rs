//! What administrators do to somebody's request.

use muster_core::retry::Retry;
use muster_core::{Cause, Ended, Phase, PrincipalId, RequestId};
use muster_store::{Format, Moved, NewRequest, Requeued, Store};

use crate::lab::{Lab, claim, complete};

on_both!(
    a_cancelled_request_says_the_admin_s_reason_to_its_owner,
    what_is_moved_to_the_front_goes_first,
    a_failed_request_is_tried_again_as_a_new_one,
    a_request_is_requeued_once_however_often_and_by_whomever,
    inputs_in_object_storage_are_requeued_byte_by_byte,
    what_cannot_be_requeued_is_refused_and_nothing_changes,
);

async fn audited(store: &Store) -> Vec<(String, Option<PrincipalId>, String)> {
    let entries = crate::lab::audit(store).await;
    entries.into_iter().map(|entry| (entry.action, entry.subject, entry.detail)).collect()
}

fn admin(lab: &Lab) -> PrincipalId {
    PrincipalId(lab.store.clock().id())
}

async fn fail(lab: &Lab) {
    let task = lab.claim(1).await.remove(0);
    let (cause, reason) = (Cause::ModelError, "The model failed: x".to_owned());
    lab.give_back(&task, Retry::Fail { cause, reason }).await;
}

/// I-14, I-50
async fn a_cancelled_request_says_the_admin_s_reason_to_its_owner(lab: Lab) {
    let (admin, id) = (admin(&lab), lab.submit(&["a"]).await.id);
    assert!(lab.store.cancel_overseen(admin, id, "maintenance").await.expect("an answer"));
    let Phase::Ended { how: Ended::Cancelled { reason }, .. } = &lab.find(id).await.phase else {
        panic!("it is cancelled")
    };
    assert_eq!(reason, "maintenance");
    let seen = lab.store.find_overseen(id).await.expect("an answer").expect("it").request;
    assert_eq!(seen.cause, Some(Cause::CancelledByAdmin));
    assert_eq!(seen.error.as_deref(), Some("maintenance"));
    // Again: it stays as it is, and nothing was done.
    assert!(lab.store.cancel_overseen(admin, id, "other").await.expect("an answer"));
    let unknown = RequestId(lab.store.clock().id());
    assert!(!lab.store.cancel_overseen(admin, unknown, "x").await.expect("an answer"));
    let line = ("cancel-request".to_owned(), Some(lab.me), format!("{id} maintenance"));
    assert_eq!(audited(&lab.store).await, [line]);
    assert_eq!(lab.store.counters().cancelled.get(), 1);
}

async fn what_is_moved_to_the_front_goes_first(lab: Lab) {
    let admin = admin(&lab);
    let first = lab.submit(&["a"]).await.id;
    let big = lab.submit(&["b"; 25]).await.id;
    assert_eq!(lab.store.move_to_front(admin, big).await.expect("an answer"), Moved::Tasks(3));
    assert_eq!(lab.store.move_to_front(admin, big).await.expect("an answer"), Moved::Tasks(0));
    let mut order = Vec::new();
    for _ in 0..4 {
        let task = lab.claim(1).await.remove(0);
        order.push((task.key.request, task.key.position));
        assert!(complete(&lab.store, &task).await);
    }
    assert_eq!(order, [(big, 0), (big, 1), (big, 2), (first, 0)]);
    assert_eq!(lab.store.move_to_front(admin, big).await.expect("an answer"), Moved::Ended);
    let unknown = RequestId(lab.store.clock().id());
    assert_eq!(lab.store.move_to_front(admin, unknown).await.expect("an answer"), Moved::Unknown);
    let line = ("front-request".to_owned(), Some(lab.me), big.to_string());
    assert_eq!(audited(&lab.store).await, [line]);
}

/// I-02: the failed one stays as it ended.
async fn a_failed_request_is_tried_again_as_a_new_one(lab: Lab) {
    let key = Some("mine".to_owned());
    let new = NewRequest { key: key.clone(), ..lab.new_request(&["a", "b"]) };
    let old = lab.store.submit(new).await.expect("it is taken").request.id;
    fail(&lab).await;
    let failed = lab.find(old).await;
    let before = lab.store.kept_of(lab.me).await.expect("an answer").expect("a person");
    let admin = admin(&lab);
    let done = lab.store.requeue_request(admin, old).await.expect("an answer");
    let Requeued::As { id, created: true } = done else { panic!("{done:?}") };
    let new = lab.find(id).await;
    assert_eq!((new.principal, new.phase.name(), new.progress.inputs), (lab.me, "waiting", 2));
    assert_eq!((&new.reading, &new.model), (&failed.reading, &failed.model));
    assert_eq!(lab.find(old).await, failed, "it ended once");
    let seen =
        async |id| lab.store.find_overseen(id).await.expect("an answer").expect("it").request;
    assert_eq!(seen(id).await.requeued_from, Some(old));
    assert_eq!(seen(old).await.requeued_as, Some(id));
    // It counts as the owner's; the client's key means the request that was sent with it.
    let after = lab.store.kept_of(lab.me).await.expect("an answer").expect("a person");
    assert_eq!(after.day_inputs, before.day_inputs + 2);
    assert_eq!(after.bytes, before.bytes * 2);
    let resent = NewRequest { key, ..lab.new_request(&["a", "b"]) };
    let resent = lab.store.submit(resent).await.expect("an answer");
    assert_eq!((resent.request.id, resent.created), (old, false));
    assert!(lab.work().await);
    assert_eq!(lab.find(id).await.phase.name(), "completed");
    let text = lab.download(id, Format::Csv).await.expect("a result");
    assert_eq!(String::from_utf8(text).expect("text"), "input,n\na,1\nb,1\n");
    let line = ("requeue-request".to_owned(), Some(lab.me), format!("{old} as {id}"));
    assert_eq!(audited(&lab.store).await, [line]);
}

async fn a_request_is_requeued_once_however_often_and_by_whomever(lab: Lab) {
    let old = lab.submit(&["a"]).await.id;
    fail(&lab).await;
    let admin = admin(&lab);
    let other = if lab.is_postgres() { lab.other_server().await } else { lab.store.clone() };
    let tries = (0..6).map(|n| {
        let store = if n % 2 == 0 { &lab.store } else { &other };
        store.requeue_request(admin, old)
    });
    let (mut ids, mut made) = (Vec::new(), 0);
    for done in futures::future::join_all(tries).await {
        let done = done.expect("an answer");
        let Requeued::As { id, created } = done else { panic!("{done:?}") };
        ids.push(id);
        made += u64::from(created);
    }
    ids.dedup();
    assert_eq!((ids.len(), made, audited(&lab.store).await.len()), (1, 1, 1));
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 2);
    // When the new one is gone the old one can be tried once more.
    lab.cancel(ids[0]).await;
    assert_eq!(lab.store.delete_request(lab.me, ids[0]).await.expect("an answer"), Some(true));
    let done = lab.store.requeue_request(admin, old).await.expect("an answer");
    assert!(matches!(done, Requeued::As { created: true, .. }), "{done:?}");
}

/// I-07
async fn inputs_in_object_storage_are_requeued_byte_by_byte(mut lab: Lab) {
    lab.restart(16).await;
    let inputs: Vec<String> = (0..25).map(|n| format!("input \"{n}\" ä")).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let mut new = lab.new_request(&inputs);
    let records: Vec<String> = (0..25).map(|n| format!("x,\"two\nlines {n} ä\"")).collect();
    new.inputs.records = Some(records.iter().map(String::as_str).collect());
    new.reading.columns = vec!["a".into(), "b".into()];
    let old = lab.store.submit(new).await.expect("it is taken").request.id;
    let task = lab.claim(1).await.remove(0);
    let sent = lab.store.load_inputs(&task).await.expect("inputs");
    let (cause, reason) = (Cause::TimedOut, "late".to_owned());
    lab.give_back(&task, Retry::Fail { cause, reason }).await;
    let done = lab.store.requeue_request(admin(&lab), old).await.expect("an answer");
    let Requeued::As { id, .. } = done else { panic!("{done:?}") };
    for n in 0..3 {
        let task = claim(&lab.store, lab.wish(1)).await.remove(0);
        assert_eq!(task.key.request, id);
        if n == 0 {
            assert_eq!(lab.store.load_inputs(&task).await.expect("inputs"), sent);
        }
        assert!(complete(&lab.store, &task).await);
    }
    // What the failed one has can go: the new one has its own.
    assert_eq!(lab.store.delete_request(lab.me, old).await.expect("an answer"), Some(true));
    let csv = lab.download(id, Format::Csv).await.expect("a result");
    let csv = String::from_utf8(csv).expect("text");
    assert!(csv.contains("x,\"two\nlines 24 ä\",1\n"), "{csv}");
}

async fn what_cannot_be_requeued_is_refused_and_nothing_changes(mut lab: Lab) {
    lab.restart(0).await;
    let admin = admin(&lab);
    let refused = async |lab: &Lab, id| lab.store.requeue_request(admin, id).await.expect("it");
    let unknown = RequestId(lab.store.clock().id());
    assert_eq!(refused(&lab, unknown).await, Requeued::Unknown);
    let id = lab.submit(&["a"]).await.id;
    assert_eq!(refused(&lab, id).await, Requeued::NotFailed);
    fail(&lab).await;
    let path = lab.folder.path().join("objects/inputs").join(id.to_string());
    std::fs::remove_file(path).expect("the object");
    assert_eq!(refused(&lab, id).await, Requeued::InputsGone);
    lab.raw.run("UPDATE model SET disabled = 'no more'").await;
    lab.store.sync_models(vec![crate::lab::model("echo", "1")]).await.expect("a catalogue");
    assert_eq!(refused(&lab, id).await, Requeued::Disabled("no more".into()));
    lab.store.sync_models(vec![]).await.expect("a catalogue");
    assert_eq!(refused(&lab, id).await, Requeued::NoModel);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 1);
    assert!(audited(&lab.store).await.is_empty());
}
