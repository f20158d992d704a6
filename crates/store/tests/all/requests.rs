//! Submitting, finding, listing, awaiting and cancelling.

use std::collections::HashSet;
use std::time::Duration;

use muster_core::{Ended, Phase, Request, RequestId};
use muster_store::{Change, Error, Finished, NewRequest, RequestFilter};

use crate::lab::{LONG, Lab, complete, until};

on_both!(
    a_submitted_request_is_found_as_it_was_submitted,
    a_foreign_id_is_answered_like_an_unknown_one,
    the_same_key_and_body_is_the_same_request,
    the_same_key_with_another_body_creates_nothing,
    a_key_submitted_many_times_at_once_is_one_request,
    a_request_that_is_sent_again_while_it_ends_is_not_waited_for,
    keys_of_different_people_are_independent,
    pages_are_newest_first_and_without_gaps,
    a_list_keeps_to_its_filter,
    a_cancelled_request_says_why_and_stays_so,
    a_request_that_ended_cannot_be_cancelled,
    whoever_waits_is_told_the_end,
    waiting_ends_with_the_time,
    what_happens_is_told_to_listeners,
    work_of_a_model_that_is_not_seen_is_told_once,
);

async fn a_submitted_request_is_found_as_it_was_submitted(lab: Lab) {
    let mut new = lab.new_request(&["CCO", "C"]);
    new.reading.column = Some("smiles".into());
    new.reading.columns = vec!["smiles".into(), "name".into()];
    new.reading.rows = 2;
    let (id, reading) = (new.id, new.reading.clone());
    let submitted = lab.store.submit(new).await.expect("it is taken");
    assert!(submitted.created);
    let found = lab.find(id).await;
    assert_eq!(*found, *submitted.request);
    assert_eq!((found.phase.clone(), &found.reading), (Phase::Waiting, &reading));
    assert_eq!((found.progress.inputs, found.progress.done), (2, 0));
    assert_eq!((&found.model, found.model_version.as_str()), (&lab.model.id, "1"));
    assert_eq!(lab.store.counters().submitted.get(), 1);
}

async fn a_foreign_id_is_answered_like_an_unknown_one(lab: Lab) {
    let id = lab.submit(&["a"]).await.id;
    assert!(lab.work().await);
    let stranger = lab.another_person().await;
    for id in [id, RequestId(lab.store.clock().id())] {
        let store = &lab.store;
        assert!(store.find_request(stranger, id).await.expect("an answer").is_none());
        assert!(store.cancel_request(stranger, id, "").await.expect("an answer").is_none());
        assert!(store.wait_ended(stranger, id, LONG).await.expect("an answer").is_none());
        let download = store.download(stranger, id, muster_store::Format::Csv).await;
        assert!(download.expect("an answer").is_none());
    }
    let filter = RequestFilter { limit: 10, ..RequestFilter::default() };
    assert!(lab.store.list_requests(stranger, &filter).await.expect("a page").items.is_empty());
    assert_eq!(lab.find(id).await.phase.name(), "completed");
}

fn with_key(lab: &Lab, key: &str, body: u8) -> NewRequest {
    NewRequest { key: Some(key.into()), body_hash: [body; 32], ..lab.new_request(&["a", "b"]) }
}

async fn a_request_that_is_sent_again_while_it_ends_is_not_waited_for(lab: Lab) {
    // Without a look-up before it.
    let new = || NewRequest { use_cache: false, ..with_key(&lab, "once", 1) };
    lab.store.submit(new()).await.expect("it is taken");
    let task = lab.claim(10).await.remove(0);
    let mut again = Box::pin(lab.store.submit(new()));
    let before = lab.store.counters().transactions.get();
    assert!(futures::poll!(&mut again).is_pending());
    // Its transaction is over, and nobody has heard what came of it.
    until("it is looked up", async || lab.store.counters().transactions.get() > before).await;
    assert!(complete(&lab.store, &task).await);
    let again = again.await.expect("it is known");
    assert!(!again.created);
    let ended = again.request.phase.is_ended() || again.ended.wait(LONG).await.is_some();
    assert!(ended, "the end is not missed");
}

async fn the_same_key_and_body_is_the_same_request(lab: Lab) {
    let first = lab.store.submit(with_key(&lab, "k", 1)).await.expect("it is taken");
    let second = lab.store.submit(with_key(&lab, "k", 1)).await.expect("it is known");
    assert_eq!((first.created, second.created), (true, false));
    assert_eq!(second.request.id, first.request.id);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 1);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM task").await, 1);
    assert!(lab.work().await);
    let third = lab.store.submit(with_key(&lab, "k", 1)).await.expect("it is known");
    assert_eq!(third.request.phase.name(), "completed");
}

async fn the_same_key_with_another_body_creates_nothing(lab: Lab) {
    lab.store.submit(with_key(&lab, "k", 1)).await.expect("it is taken");
    let other = lab.store.submit(with_key(&lab, "k", 2)).await;
    assert!(matches!(other, Err(Error::KeyReused)));
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 1);
}

async fn a_key_submitted_many_times_at_once_is_one_request(lab: Lab) {
    let submissions = (0..20).map(|_| lab.store.submit(with_key(&lab, "k", 1)));
    let all = futures::future::join_all(submissions).await;
    let all: Vec<_> = all.into_iter().map(|one| one.expect("an answer")).collect();
    let ids: HashSet<RequestId> = all.iter().map(|one| one.request.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(all.iter().filter(|one| one.created).count(), 1);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 1);
}

async fn keys_of_different_people_are_independent(lab: Lab) {
    let stranger = lab.another_person().await;
    let mine = lab.store.submit(with_key(&lab, "k", 1)).await.expect("it is taken");
    let new = NewRequest { principal: stranger, ..with_key(&lab, "k", 2) };
    let theirs = lab.store.submit(new).await.expect("it is taken");
    assert!(mine.created && theirs.created);
}

async fn ids(lab: &Lab, filter: RequestFilter) -> (Vec<RequestId>, Option<RequestId>) {
    let page = lab.store.list_requests(lab.me, &filter).await.expect("a page");
    (page.items.iter().map(|request| request.id).collect(), page.next)
}

async fn pages_are_newest_first_and_without_gaps(lab: Lab) {
    let mut all = Vec::new();
    for _ in 0..7 {
        all.push(lab.submit(&["a"]).await.id);
    }
    all.reverse();
    let (mut seen, mut after) = (Vec::new(), None);
    for size in [3, 3, 1] {
        let page = ids(&lab, RequestFilter { after, limit: 3, ..RequestFilter::default() }).await;
        assert_eq!(page.0.len(), size);
        seen.extend(page.0);
        after = page.1;
    }
    assert_eq!((seen, after), (all, None));
}

async fn a_list_keeps_to_its_filter(lab: Lab) {
    let cancelled = lab.submit(&["a"]).await.id;
    lab.cancel(cancelled).await;
    let waiting = lab.submit(&["b"]).await.id;
    let of = |phases: &[&str], models: &[&str]| RequestFilter {
        phases: phases.iter().map(|phase| phase.parse().expect("a phase")).collect(),
        models: models.iter().map(|id| id.parse().expect("an id")).collect(),
        limit: 10,
        ..RequestFilter::default()
    };
    assert_eq!(ids(&lab, of(&["waiting"], &[])).await.0, [waiting]);
    assert_eq!(ids(&lab, of(&["cancelled"], &["echo"])).await.0, [cancelled]);
    assert_eq!(ids(&lab, of(&["waiting", "cancelled"], &[])).await.0, [waiting, cancelled]);
    assert_eq!(ids(&lab, of(&[], &["other", "echo"])).await.0, [waiting, cancelled]);
    assert!(ids(&lab, of(&[], &["other"])).await.0.is_empty());
    assert!(ids(&lab, of(&["running"], &[])).await.0.is_empty());
    let found = lab.store.find_request(lab.me, waiting).await.expect("an answer");
    let at = found.expect("a request").submitted_at;
    let then = |from, to| RequestFilter { from, to, ..of(&[], &[]) };
    assert_eq!(ids(&lab, then(Some(at), None)).await.0, [waiting]);
    let (late, early) = (at + Duration::from_micros(1), at - Duration::from_micros(1));
    assert!(ids(&lab, then(Some(late), None)).await.0.is_empty());
    assert_eq!(ids(&lab, then(Some(at), Some(at))).await.0, [waiting]);
    assert_eq!(ids(&lab, then(None, Some(early))).await.0, [cancelled]);
    let one = RequestFilter { id: Some(cancelled), ..of(&[], &[]) };
    assert_eq!(ids(&lab, one).await.0, [cancelled]);
}

fn cancelled(request: &Request) -> &str {
    match &request.phase {
        Phase::Ended { how: Ended::Cancelled { reason }, .. } => reason,
        other => panic!("{other:?}"),
    }
}

async fn a_cancelled_request_says_why_and_stays_so(lab: Lab) {
    let id = lab.submit(&["a"]).await.id;
    let task = lab.claim(1).await.remove(0);
    assert_eq!(cancelled(&*lab.cancel(id).await), "not needed");
    let again = lab.store.cancel_request(lab.me, id, "another reason").await;
    let again = again.expect("an answer").expect("the request");
    assert_eq!(cancelled(&again), "not needed");
    assert!(!complete(&lab.store, &task).await);
    assert_eq!(cancelled(&*lab.find(id).await), "not needed");
    assert_eq!(lab.store.counters().cancelled.get(), 1);
}

async fn a_request_that_ended_cannot_be_cancelled(lab: Lab) {
    let id = lab.submit(&["a"]).await.id;
    assert!(lab.work().await);
    assert_eq!(lab.cancel(id).await.phase.name(), "completed");
    assert_eq!(lab.store.counters().cancelled.get(), 0);
}

async fn whoever_waits_is_told_the_end(lab: Lab) {
    let submitted = lab.store.submit(lab.new_request(&["a"])).await.expect("it is taken");
    let id = submitted.request.id;
    let (ended, waited, worked) = tokio::join!(
        submitted.ended.wait(LONG),
        lab.store.wait_ended(lab.me, id, LONG),
        lab.work()
    );
    assert!(worked);
    let Finished { request, part } = ended.expect("it ended");
    assert_eq!((request.id, request.phase.name()), (id, "completed"));
    assert_eq!(part.expect("a small result comes along").rows.len(), 1);
    assert_eq!(waited.expect("an answer").expect("the request").phase.name(), "completed");
}

async fn waiting_ends_with_the_time(lab: Lab) {
    let submitted = lab.store.submit(lab.new_request(&["a"])).await.expect("it is taken");
    assert!(submitted.ended.wait(Duration::from_millis(20)).await.is_none());
    let short = Duration::from_millis(20);
    let waited = lab.store.wait_ended(lab.me, submitted.request.id, short).await;
    assert_eq!(waited.expect("an answer").expect("the request").phase, Phase::Waiting);
}

/// A permit is kept for whoever comes later, so nothing is missed; and there is one at most.
async fn work_of_a_model_that_is_not_seen_is_told_once(lab: Lab) {
    let told = async || tokio::time::timeout(Duration::ZERO, lab.store.unseen()).await.is_ok();
    lab.submit(&["a"]).await;
    lab.submit(&["b"]).await;
    assert!(told().await);
    assert!(!told().await, "until the next look it is said once");
    lab.store.set_seen([lab.model.id.clone()].into());
    lab.submit(&["c"]).await;
    assert!(!told().await, "it waits for an instance that is there");
    lab.store.set_seen(HashSet::new());
    lab.submit(&["d"]).await;
    assert!(told().await);
}

async fn what_happens_is_told_to_listeners(lab: Lab) {
    let mut changes = lab.store.changes();
    let mut queued = lab.store.queue_changed();
    queued.mark_unchanged();
    let id = lab.submit(&["a"]).await.id;
    assert!(queued.has_changed().expect("a store"));
    assert!(lab.work().await);
    let mut phases = Vec::new();
    while phases.last() != Some(&"completed") {
        let change = tokio::time::timeout(LONG, changes.recv()).await.expect("a change in time");
        if let Change::Request { id: of, principal, phase } = change.expect("a change") {
            assert_eq!((of, principal), (id, lab.me));
            phases.push(phase.name());
        }
    }
    assert_eq!(phases, ["waiting", "running", "completed"]);
}
