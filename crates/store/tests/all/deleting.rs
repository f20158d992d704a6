//! What people delete goes at once, or some at a time: a request, and an account with all that it had.

use muster_core::Clearing;
use muster_store::NewRequest;

use crate::clearing::{count, ended_large, is_there, large, left_of, objects_of};
use crate::lab::{Lab, complete, until};

on_both!(
    a_deleted_request_is_gone_at_once_with_its_objects,
    a_deleted_account_goes_with_its_objects,
    what_a_deleted_account_left_goes_some_at_a_time,
    what_a_deleted_account_left_is_cleared_by_whoever_plans,
);

async fn a_deleted_request_is_gone_at_once_with_its_objects(mut lab: Lab) {
    lab.restart(16).await;
    let (small, many) = (ended_large(&lab).await, large(&lab).await);
    for id in [small, many] {
        let foreign = lab.another_person().await;
        assert_eq!(lab.store.delete_request(foreign, id).await.expect("an answer"), None);
        assert_eq!(lab.store.delete_request(lab.me, id).await.expect("an answer"), Some(true));
        assert_eq!(lab.store.delete_request(lab.me, id).await.expect("an answer"), None);
    }
    until("all of them is gone", async || {
        left_of(&lab, many).await + count(&lab, "object_removal").await == 0
    })
    .await;
    assert_eq!(left_of(&lab, small).await, 0);
    assert!(objects_of(&lab, small).iter().all(|path| !path.exists()));
    let open = lab.submit(&["a"]).await.id;
    assert_eq!(lab.store.delete_request(lab.me, open).await.expect("an answer"), Some(false));
    assert!(is_there(&lab, open).await);
}

async fn a_deleted_account_goes_with_its_objects(mut lab: Lab) {
    lab.restart(16).await;
    let id = ended_large(&lab).await;
    let ada = crate::statistics::account(&lab, "ada").await;
    lab.store.claim_requests(lab.me, ada).await.expect("an answer");
    assert_eq!(objects_of(&lab, id).len(), 2);
    assert!(lab.store.delete_account(ada).await.expect("an answer"));
    until("nothing is left", async || {
        lab.store.marked_objects().await.expect("an answer") == 0
            && objects_of(&lab, id).iter().all(|path| !path.exists())
    })
    .await;
}

/// Whoever submits meanwhile does not wait for all of it.
async fn what_a_deleted_account_left_goes_some_at_a_time(lab: Lab) {
    let ada = crate::statistics::account(&lab, "ada").await;
    let many = large(&lab).await;
    for _ in 0..60 {
        lab.submit(&["a"]).await;
    }
    let task = lab.claim(1).await.remove(0);
    lab.store.claim_requests(lab.me, ada).await.expect("an answer");
    let before = lab.store.counters().transactions.get();
    assert!(lab.store.delete_account(ada).await.expect("an answer"));
    until("nothing is left", async || {
        count(&lab, "request").await + count(&lab, "task").await + count(&lab, "transition").await
            == 0
    })
    .await;
    // Twenty at a time at first: to cancel, then to delete, and what has many tasks by itself.
    assert!(lab.store.counters().transactions.get() - before >= 8);
    assert!(!complete(&lab.store, &task).await, "what ran is refused");
    assert_eq!(left_of(&lab, many).await, 0);
    let nobody = lab.raw.id(uuid::Uuid::nil());
    let left = format!("SELECT COUNT(*) FROM principal WHERE claimed_by = {nobody}");
    until("it is forgotten", async || lab.raw.number(&left).await == 0).await;
}

/// The server that began it may be gone.
async fn what_a_deleted_account_left_is_cleared_by_whoever_plans(lab: Lab) {
    let ada = crate::statistics::account(&lab, "ada").await;
    let (open, other) = (lab.submit(&["a"]).await.id, lab.another_person().await);
    let new = NewRequest { principal: other, ..lab.new_request(&["b"]) };
    let kept = lab.store.submit(new).await.expect("it is taken").request.id;
    lab.store.claim_requests(lab.me, ada).await.expect("an answer");
    let (nobody, ada) = (lab.raw.id(uuid::Uuid::nil()), lab.raw.id(ada.0));
    lab.raw.run(&format!("UPDATE principal SET claimed_by = {nobody} WHERE id = {ada}")).await;
    lab.store.tidy(&Clearing::NEVER).await.expect("an answer");
    assert_eq!((left_of(&lab, open).await, count(&lab, "request").await), (0, 1));
    assert!(lab.store.find_request(other, kept).await.expect("an answer").is_some());
}
