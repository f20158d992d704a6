//! Requests that are over go, with all that is their own, and nothing else does. RT-1, I-01, I-10.

use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use muster_core::{Clearing, PrincipalId, RequestId, Retention};
use muster_store::{Clear, Cleared, ClearedBy, Error, Format, NewRequest, Store};

use crate::lab::{Lab, done, ones, until};
use crate::proxy::{Fault, Proxy};
use crate::s3_server::{S3Server, objects};

on_both!(
    a_cleared_request_goes_with_all_that_is_its_own,
    a_request_goes_when_its_age_is_reached_and_not_before,
    each_kind_of_person_has_an_age_and_what_has_none_stays,
    a_request_that_was_claimed_counts_as_its_accounts,
    a_clock_that_was_ahead_clears_too_early_by_no_more_than_that,
    a_dry_run_says_what_would_go_and_changes_nothing,
    many_requests_go_in_many_transactions_and_the_rest_stays,
    a_request_of_many_tasks_is_out_of_sight_at_once_and_goes_bit_by_bit,
    a_clearing_that_ends_anywhere_is_finished_by_the_next,
    objects_that_are_marked_go_with_the_next_housekeeping,
    a_result_that_is_cleared_while_it_is_read_does_not_look_whole,
);

pub const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const LONG_TEXT: &str = "a text that is long enough to be stored in an object of its own";

/// Requests of everybody after a week; nothing else.
pub fn weekly() -> Clear {
    let retention = Retention { anonymous: Some(WEEK), account: Some(WEEK), ..Retention::FOR_EVER };
    Clear { retention, people: false, by: ClearedBy::Schedule }
}

pub async fn clear(store: &Store, clear: &Clear) -> Cleared {
    store.clear(clear, |_| {}).await.expect("an answer").expect("nobody else clears")
}

pub async fn count(lab: &Lab, table: &str) -> i64 {
    lab.raw.number(&format!("SELECT COUNT(*) FROM {table}")).await
}

/// A request that was submitted a month ago, as its id says; other times are set by `age`.
async fn submit_old(lab: &Lab, inputs: &[&str]) -> RequestId {
    let new = NewRequest { id: old_id(lab, 30), ..lab.new_request(inputs) };
    lab.store.submit(new).await.expect("it is taken").request.id
}

pub fn old_id(lab: &Lab, days: u32) -> RequestId {
    let mut id = lab.store.clock().id().into_bytes();
    let millis = (lab.store.clock().now() - days * DAY).micros() as u64 / 1000;
    id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    RequestId(uuid::Uuid::from_bytes(id))
}

pub async fn ended_of(lab: &Lab, principal: PrincipalId) -> RequestId {
    let new = NewRequest { id: old_id(lab, 30), principal, ..lab.new_request(&["a", "b"]) };
    let id = lab.store.submit(new).await.expect("it is taken").request.id;
    assert!(lab.work().await);
    id
}

pub async fn ended(lab: &Lab) -> RequestId {
    ended_of(lab, lab.me).await
}

/// A completed request with its input and its result in objects.
pub async fn ended_large(lab: &Lab) -> RequestId {
    let id = submit_old(lab, &[LONG_TEXT; 5]).await;
    let task = lab.claim(10).await.remove(0);
    let records = vec![format!(r#"{{"t": "{LONG_TEXT}"}}"#); 5].join(",");
    let stored = lab.store.complete(vec![done(&task, &format!("[{records}]"))]).await;
    assert_eq!(stored.expect("an answer"), [true]);
    id
}

/// All its times so many seconds before what they are, although a request that ended does not change.
pub async fn age(lab: &Lab, id: RequestId, seconds: u32) {
    let set = ["submitted_at", "started_at", "ended_at"]
        .map(|column| format!("{column} = {}", lab.raw.earlier(column, seconds)))
        .join(", ");
    let update = format!("UPDATE request SET {set} WHERE id = {}", lab.raw.id(id.0));
    if lab.is_postgres() {
        lab.raw.run("ALTER TABLE request DISABLE TRIGGER request_is_final").await;
        lab.raw.run(&update).await;
        lab.raw.run("ALTER TABLE request ENABLE TRIGGER request_is_final").await;
        return;
    }
    let find = "SELECT sql FROM sqlite_master WHERE name = 'request_is_final'";
    let trigger = lab.raw.texts(find).await.remove(0);
    lab.raw.run(&format!("DROP TRIGGER request_is_final; {update}; {trigger}")).await;
}

pub async fn is_there(lab: &Lab, id: RequestId) -> bool {
    lab.raw.number(&format!("SELECT COUNT(*) FROM request WHERE id = {}", lab.raw.id(id.0))).await
        == 1
}

pub async fn left_of(lab: &Lab, id: RequestId) -> i64 {
    let id = lab.raw.id(id.0);
    let mut left = 0;
    for (table, column) in [("request", "id"), ("task", "request_id"), ("transition", "request_id")]
    {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE {column} = {id}");
        left += lab.raw.number(&sql).await;
    }
    left
}

fn object(lab: &Lab, name: &str) -> PathBuf {
    lab.folder.path().join("objects").join(name)
}

pub fn objects_of(lab: &Lab, id: RequestId) -> [PathBuf; 2] {
    [object(lab, &format!("inputs/{id}")), object(lab, &format!("results/{id}/0-1.parquet"))]
}

async fn a_cleared_request_goes_with_all_that_is_its_own(mut lab: Lab) {
    lab.restart(16).await;
    let (old, young) = (ended_large(&lab).await, ended_large(&lab).await);
    let open = submit_old(&lab, &["a"]).await;
    age(&lab, old, 8 * 86_400).await;
    let size = lab.raw.number("SELECT MAX(input_bytes + result_bytes) FROM request").await;
    assert!(objects_of(&lab, old).iter().all(|path| path.exists()));
    let mut told = Vec::new();
    let cleared = lab.store.clear(&weekly(), |cleared| told.push(cleared.requests)).await;
    let cleared = cleared.expect("an answer").expect("nobody else clears");
    assert_eq!(
        cleared,
        Cleared { requests: 1, bytes: size as u64, objects: 2, ..Cleared::default() }
    );
    assert!(told.contains(&1));
    assert_eq!(left_of(&lab, old).await, 0);
    assert!(objects_of(&lab, old).iter().all(|path| !path.exists()));
    assert_eq!(count(&lab, "object_removal").await, 0);
    assert!(lab.store.find_request(lab.me, old).await.expect("an answer").is_none());
    assert!(objects_of(&lab, young).iter().all(|path| path.exists()));
    lab.download(young, Format::Csv).await.expect("a result");
    assert!(lab.store.download(lab.me, old, Format::Csv).await.expect("an answer").is_none());
    assert_eq!(lab.find(open).await.phase.name(), "waiting");
    let counts = lab.store.counters();
    assert_eq!((counts.requests_cleared.get(), counts.objects_removed.get()), (1, 2));
    assert_eq!(clear(&lab.store, &weekly()).await, Cleared::default());
}

/// Half-open: kept from the end to before the end and the age.
async fn a_request_goes_when_its_age_is_reached_and_not_before(lab: Lab) {
    let id = ended(&lab).await;
    age(&lab, id, 1000).await;
    let after = |seconds| Clear {
        retention: Retention {
            anonymous: Some(Duration::from_secs(seconds)),
            ..Retention::FOR_EVER
        },
        ..weekly()
    };
    // Some time passes while this runs, but not so much.
    assert_eq!(clear(&lab.store, &after(1100)).await.requests, 0);
    assert!(is_there(&lab, id).await);
    assert_eq!(clear(&lab.store, &after(1000)).await.requests, 1, "at its very age");
}

async fn each_kind_of_person_has_an_age_and_what_has_none_stays(lab: Lab) {
    let ada = crate::statistics::account(&lab, "ada").await;
    let (anonymous, account) = (ended(&lab).await, ended_of(&lab, ada).await);
    for id in [anonymous, account] {
        age(&lab, id, 8 * 86_400).await;
    }
    let only = |anonymous, account| Clear {
        retention: Retention { anonymous, account, ..Retention::FOR_EVER },
        ..weekly()
    };
    assert_eq!(clear(&lab.store, &only(None, None)).await, Cleared::default());
    assert_eq!(clear(&lab.store, &only(Some(9 * DAY), Some(9 * DAY))).await.requests, 0);
    assert_eq!(clear(&lab.store, &only(Some(WEEK), None)).await.requests, 1);
    assert!(!is_there(&lab, anonymous).await && is_there(&lab, account).await);
    assert_eq!(clear(&lab.store, &only(None, Some(WEEK))).await.requests, 1);
    assert!(!is_there(&lab, account).await);
}

async fn a_request_that_was_claimed_counts_as_its_accounts(lab: Lab) {
    let ada = crate::statistics::account(&lab, "ada").await;
    let id = ended(&lab).await;
    age(&lab, id, 8 * 86_400).await;
    assert_eq!(lab.store.claim_requests(lab.me, ada).await.expect("an answer"), Some(1));
    let anonymous =
        Clear { retention: Retention { anonymous: Some(WEEK), ..Retention::FOR_EVER }, ..weekly() };
    assert_eq!(clear(&lab.store, &anonymous).await.requests, 0);
    assert!(is_there(&lab, id).await);
}

/// The clock was two hours ahead when it ended, or when it is cleared.
async fn a_clock_that_was_ahead_clears_too_early_by_no_more_than_that(lab: Lab) {
    let (ends_ahead, young) = (ended(&lab).await, ended(&lab).await);
    age(&lab, ends_ahead, 7 * 86_400 - 7200).await;
    age(&lab, young, 7 * 86_400 - 2 * 7200).await;
    assert_eq!(clear(&lab.store, &weekly()).await.requests, 0, "it goes two hours later");
    // As if the clock were two hours ahead now.
    let ahead = Clear {
        retention: Retention {
            anonymous: Some(WEEK - Duration::from_secs(7200)),
            ..Retention::FOR_EVER
        },
        ..weekly()
    };
    assert_eq!(clear(&lab.store, &ahead).await.requests, 1);
    assert!(is_there(&lab, young).await);
}

async fn a_dry_run_says_what_would_go_and_changes_nothing(mut lab: Lab) {
    lab.restart(16).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(ended_large(&lab).await);
        age(&lab, ids[ids.len() - 1], 8 * 86_400).await;
    }
    let everything = Clear { people: true, retention: Retention::default(), ..weekly() };
    let would = lab.store.would_clear(&everything).await.expect("an answer");
    assert_eq!(would.requests, 3);
    for id in &ids {
        lab.download(*id, Format::Csv).await.expect("it is whole");
    }
    for table in ["leader WHERE duty = 'clear'", "clearing", "audit", "object_removal"] {
        assert_eq!(count(&lab, table).await, 0, "{table}");
    }
    let cleared = clear(&lab.store, &everything).await;
    assert_eq!(would, Cleared { objects: 0, ..cleared }, "the same goes then");
    assert_eq!(cleared.objects, 6);
}

async fn many_requests_go_in_many_transactions_and_the_rest_stays(lab: Lab) {
    const OLD: usize = 1500;
    fill(&lab, OLD).await;
    let (young, open) = (ended(&lab).await, lab.submit(&["a"]).await.id);
    let before = lab.store.counters().transactions.get();
    let cleared = clear(&lab.store, &weekly()).await;
    assert_eq!(cleared.requests, OLD as u64);
    assert!(lab.store.counters().transactions.get() - before >= 5, "a few at a time");
    assert!(is_there(&lab, young).await && is_there(&lab, open).await);
    assert_eq!(count(&lab, "request").await, 2);
    assert_eq!(count(&lab, "task").await, 2);
}

/// So many requests that ended long ago, with tasks, written with SQL.
pub async fn fill(lab: &Lab, number: usize) {
    for _ in 0..number / 250 {
        let new = (0..250).map(|_| NewRequest { id: old_id(lab, 30), ..lab.new_request(&["a"]) });
        let taken = futures::future::join_all(new.map(|new| lab.store.submit(new))).await;
        assert!(taken.iter().all(Result::is_ok));
        let tasks = lab.claim(250).await;
        let done = lab.store.complete(tasks.iter().map(ones).collect()).await;
        assert_eq!(done.expect("an answer").len(), 250);
    }
    if lab.is_postgres() {
        lab.raw.run("ALTER TABLE request DISABLE TRIGGER request_is_final").await;
    } else {
        lab.raw.run("DROP TRIGGER request_is_final").await;
    }
    let ended = lab.raw.earlier("ended_at", 20 * 86_400);
    lab.raw.run(&format!("UPDATE request SET ended_at = {ended}")).await;
}

/// More tasks than go in one transaction.
pub async fn large(lab: &Lab) -> RequestId {
    const TASKS: usize = 450;
    let inputs: Vec<String> = (0..TASKS * 10).map(|n| n.to_string()).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let (id, key) = (old_id(lab, 30), Some("once".into()));
    let new = NewRequest { id, key, ..lab.new_request(&inputs) };
    let id = lab.store.submit(new).await.expect("it is taken").request.id;
    while !lab.find(id).await.phase.is_ended() {
        let done = lab.claim(10 * 50).await.iter().map(ones).collect();
        lab.store.complete(done).await.expect("an answer");
    }
    id
}

async fn a_request_of_many_tasks_is_out_of_sight_at_once_and_goes_bit_by_bit(lab: Lab) {
    let id = large(&lab).await;
    age(&lab, id, 8 * 86_400).await;
    let before = lab.store.counters().transactions.get();
    let mut seen = Vec::new();
    let finding = async {
        while let Some(found) = lab.store.find_request(lab.me, id).await.expect("an answer") {
            let tasks =
                format!("SELECT COUNT(*) FROM task WHERE request_id = {}", lab.raw.id(id.0));
            if lab.store.find_request(lab.me, id).await.expect("an answer").is_some() {
                seen.push(lab.raw.number(&tasks).await);
            }
            assert!(found.phase.is_ended());
        }
    };
    let clearing = weekly();
    let (cleared, ()) = tokio::join!(clear(&lab.store, &clearing), finding);
    assert_eq!(cleared.requests, 1);
    assert!(lab.store.counters().transactions.get() - before >= 4, "a few at a time");
    assert_eq!(left_of(&lab, id).await, 0);
    let page = lab.store.list_requests(lab.me, &muster_store::RequestFilter::default()).await;
    assert!(page.expect("a page").items.is_empty());
    // Its key can be used again.
    let again = NewRequest { key: Some("once".into()), ..lab.new_request(&["a"]) };
    assert!(lab.store.submit(again).await.expect("it is taken").created);
}

/// Whatever was the last thing that was done: nobody sees half a request, and the next clearing brings it
/// to its end.
async fn a_clearing_that_ends_anywhere_is_finished_by_the_next(mut lab: Lab) {
    lab.restart(16).await;
    let mut ids = vec![large(&lab).await];
    for _ in 0..4 {
        ids.push(ended_large(&lab).await);
    }
    for id in &ids {
        age(&lab, *id, 8 * 86_400).await;
    }
    let mut polls = 1;
    loop {
        let clearing = weekly();
        let mut work = Box::pin(lab.store.clear(&clearing, |_| {}));
        let mut ended = false;
        for _ in 0..polls {
            ended = tokio::select! {
                biased;
                done = &mut work => { done.expect("an answer"); true }
                () = tokio::task::yield_now() => false,
            };
            if ended {
                break;
            }
            lab.store.ping().await.expect("an answer");
        }
        drop(work);
        for id in &ids {
            let found = lab.store.find_request(lab.me, *id).await.expect("an answer");
            if found.is_some() && left_of(&lab, *id).await > 0 {
                // What the writer has it finishes: the request may go at any moment.
                let read = async {
                    match lab.store.download(lab.me, *id, Format::Csv).await? {
                        Some(read) => read.stream.try_collect::<Vec<_>>().await.map(drop),
                        None => Ok(()),
                    }
                };
                let read = read.await;
                let still = lab.store.find_request(lab.me, *id).await.expect("an answer");
                assert!(read.is_ok() || still.is_none(), "{:?}", read.err());
            }
        }
        if ended {
            break;
        }
        polls += 3;
    }
    assert_eq!(clear(&lab.store, &weekly()).await.requests, 0);
    for id in ids {
        assert_eq!(left_of(&lab, id).await, 0);
    }
    assert_eq!(count(&lab, "object_removal").await, 0);
    let folder = std::fs::read_dir(object(&lab, "inputs")).expect("a folder");
    assert_eq!(folder.count(), 0);
}

async fn objects_that_are_marked_go_with_the_next_housekeeping(mut lab: Lab) {
    lab.restart(16).await;
    let id = ended_large(&lab).await;
    // A server died after it deleted the rows: the objects are there, and so are their marks.
    let at = "(SELECT MAX(created_at) FROM principal)";
    for (table, column, of) in
        [("request", "input_object", "id"), ("task", "result_object", "request_id")]
    {
        let id = lab.raw.id(id.0);
        let mark = format!(
            "INSERT INTO object_removal (path, marked_at) SELECT {column}, {at} FROM {table} WHERE {of} = {id}"
        );
        assert_eq!(lab.raw.run(&mark).await, 1);
    }
    for (table, column) in [("task", "request_id"), ("transition", "request_id"), ("request", "id")]
    {
        let id = lab.raw.id(id.0);
        lab.raw.run(&format!("DELETE FROM {table} WHERE {column} = {id}")).await;
    }
    // One of them is gone already: it died before it took the mark back.
    std::fs::remove_file(&objects_of(&lab, id)[0]).expect("it is gone");
    assert_eq!(lab.store.marked_objects().await.expect("an answer"), 2);
    let tidied = lab.store.tidy(&Clearing::NEVER).await.expect("an answer");
    assert_eq!(tidied, None, "it is not time");
    assert_eq!(lab.store.marked_objects().await.expect("an answer"), 0);
    assert!(objects_of(&lab, id).iter().all(|path| !path.exists()));
}

/// I-09
async fn a_result_that_is_cleared_while_it_is_read_does_not_look_whole(lab: Lab) {
    let id = large(&lab).await;
    let download = lab.store.download(lab.me, id, Format::Csv).await.expect("an answer");
    let mut stream = download.expect("the request").stream;
    stream.next().await.expect("a piece").expect("its bytes");
    assert_eq!(lab.store.delete_request(lab.me, id).await.expect("an answer"), Some(true));
    until("it is gone", async || left_of(&lab, id).await == 0).await;
    let rest: Vec<_> = stream.collect().await;
    assert!(matches!(rest.last(), Some(Err(Error::Gone))), "it breaks off: {:?}", rest.last());
}

#[tokio::test]
async fn a_storage_that_is_busy_leaves_marks_and_the_next_clearing_removes_the_objects() {
    let mut lab = Lab::sqlite().await;
    let server = S3Server::start().await;
    let proxy = Proxy::before(server.address).await;
    lab.move_to(objects(proxy.address)).await;
    for _ in 0..2 {
        let id = ended_large(&lab).await;
        age(&lab, id, 8 * 86_400).await;
    }
    assert_eq!(server.names().await.len(), 4);
    proxy.plan("delete", Fault::Busy, u32::MAX);
    let cleared = clear(&lab.store, &weekly()).await;
    assert_eq!((cleared.requests, cleared.objects, cleared.objects_left), (2, 0, 4));
    assert_eq!(count(&lab, "request").await, 0, "nobody sees them any more");
    assert_eq!(server.names().await.len(), 4);
    // It does what it was asked and does not say so.
    proxy.plan("delete", Fault::AnswerLost, 1);
    let cleared = clear(&lab.store, &weekly()).await;
    assert_eq!((cleared.objects, cleared.objects_left), (4, 0));
    assert_eq!(server.names().await, Vec::<String>::new());
    assert_eq!(count(&lab, "object_removal").await, 0);
}
