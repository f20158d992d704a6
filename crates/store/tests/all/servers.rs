//! Several servers on one PostgreSQL, and group commit.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use muster_core::instance::EndCause;
use muster_core::{RequestId, Timestamp};
use muster_store::{Change, Clock, InstanceState, NewRequest, Store};

use crate::cluster;
use crate::instances::{new_instance, only};
use crate::lab::{LEASE, LONG, Lab, claim, complete, ones, until};

on_both!(many_submissions_take_fewer_transactions);

async fn many_submissions_take_fewer_transactions(lab: Lab) {
    let before = lab.store.counters().transactions.get();
    let submissions = (0..500).map(|_| lab.store.submit(lab.new_request(&["a"])));
    let all = futures::future::join_all(submissions).await;
    assert!(all.iter().all(Result::is_ok));
    let transactions = lab.store.counters().transactions.get() - before;
    // How many come together depends on how fast the database is: five at least.
    assert!(transactions <= 100, "{transactions} transactions for 500 submissions");
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM request").await, 500);
}

#[tokio::test]
async fn two_servers_never_claim_the_same_task() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let ids: Vec<RequestId> = {
        let new = (0..100).map(|_| lab.store.submit(lab.new_request(&["a", "b", "c"])));
        let taken = futures::future::join_all(new).await;
        taken.into_iter().map(|taken| taken.expect("it is taken").request.id).collect()
    };
    let seen = Mutex::new(Vec::new());
    let work = async |store: &Store, who: usize| -> Infallible {
        loop {
            let tasks = claim(store, lab.wish(7)).await;
            let done = tasks.iter().map(ones).collect();
            let taken = store.complete(done).await.expect("an answer");
            assert!(taken.iter().all(|taken| *taken), "nobody else has them");
            let mut seen = seen.lock().expect("no panic");
            seen.extend(tasks.into_iter().map(|task| (task.key.request, who)));
        }
    };
    let ended = "SELECT COUNT(*) FROM request WHERE phase = 'completed'";
    tokio::select! {
        _ = work(&lab.store, 1) => {}
        _ = work(&other, 2) => {}
        () = until("all are done", async || lab.raw.number(ended).await == 100) => {}
    }
    let seen = seen.into_inner().expect("no panic");
    let both: HashSet<usize> = seen.iter().map(|(_, who)| *who).collect();
    let all: HashSet<RequestId> = seen.iter().map(|(id, _)| *id).collect();
    assert_eq!((both.len(), seen.len(), all), (2, 100, ids.iter().copied().collect()));
    for id in ids {
        assert_eq!(lab.find(id).await.phase.name(), "completed");
    }
}

#[tokio::test]
async fn one_server_leads_until_its_lease_is_over_or_it_stops() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let leads = async |store: &Store| store.lead(LEASE).await.expect("an answer");
    lab.raw.run("DELETE FROM leader").await;
    let (one, two) = tokio::join!(leads(&lab.store), leads(&other));
    assert_ne!(one, two, "exactly one");
    let (first, second) = if one { (&lab.store, &other) } else { (&other, &lab.store) };
    assert!(leads(first).await && !leads(second).await);
    let past = lab.raw.earlier("until", 601);
    lab.raw.run(&format!("UPDATE leader SET until = {past}")).await;
    assert!(leads(second).await && !leads(first).await);
    assert_eq!(lab.raw.number("SELECT epoch FROM leader").await, 2);
    // What the first one still wants to do, because it was frozen meanwhile, is not done.
    let id = lab.submit(&["a"]).await.id;
    let fail = async |store: &Store| store.fail_waiting(&lab.model.id, "1", "").await;
    assert_eq!(fail(first).await.expect("an answer"), 0);
    assert_eq!(lab.find(id).await.phase.name(), "waiting");
    assert_eq!(fail(second).await.expect("an answer"), 1);
    let add = async |store: &Store| store.add_instance(new_instance(&lab, 0)).await;
    assert!(!add(first).await.expect("an answer"));
    assert!(add(second).await.expect("an answer"));
    let planned = only(&lab).await.id;
    let drain = async |store: &Store| store.instance_draining(planned, &EndCause::Idle).await;
    assert!(!drain(first).await.expect("an answer"));
    assert_eq!(only(&lab).await.state, InstanceState::Starting);
    assert!(drain(second).await.expect("an answer"));
    lab.submit(&["a"]).await;
    lab.raw.run("UPDATE task SET model_version = '0'").await;
    lab.raw.run("UPDATE request SET model_version = '0' WHERE ended_at IS NULL").await;
    let move_ = async |store: &Store| store.move_stranded(&lab.model.id).await;
    assert_eq!(move_(first).await.expect("an answer"), 0);
    assert_eq!(move_(second).await.expect("an answer"), 1);
    second.close().await;
    assert!(leads(first).await);
}

#[tokio::test]
async fn another_server_hears_of_changes() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let mut changes = other.changes();
    let heard = async { while !matches!(changes.recv().await, Ok(Change::Elsewhere)) {} };
    // The other server may not listen yet when it has just been opened.
    let telling = async {
        loop {
            lab.submit(&["a"]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = heard => {}
        () = telling => {}
        () = tokio::time::sleep(LONG) => panic!("nothing was heard"),
    }
}

#[tokio::test]
async fn another_server_hears_of_work_that_this_one_did_not_know() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let telling = async {
        loop {
            lab.store.set_seen(HashSet::new());
            lab.submit(&["a"]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = other.unseen() => {}
        () = telling => {}
        () = tokio::time::sleep(LONG) => panic!("nothing was heard"),
    }
    // What is known here is no news there. What was said before may still be on its way.
    lab.store.set_seen([lab.model.id.clone()].into());
    until("a change without that word", async || {
        let mut changes = other.changes();
        lab.submit(&["b"]).await;
        let heard = async { while !matches!(changes.recv().await, Ok(Change::Elsewhere)) {} };
        tokio::time::timeout(LONG, heard).await.expect("it hears of the request");
        tokio::time::timeout(Duration::ZERO, other.unseen()).await.is_err()
    })
    .await;
}

/// The end of a request on one server is known on another one no more than this later.
const HEARD: Duration = Duration::from_millis(50);

#[tokio::test]
async fn whoever_waits_hears_what_another_server_ended() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let mut later = Vec::new();
    for round in 0..11 {
        let submitted = lab.store.submit(lab.new_request(&["a"])).await.expect("it is taken");
        let id = submitted.request.id;
        let task = claim(&other, lab.wish(1)).await.remove(0);
        let looking = lab.store.wait_ended(lab.me, id, LONG);
        let waiting = async {
            let (finished, found) = tokio::join!(submitted.ended.wait(LONG), looking);
            (finished, found, Instant::now())
        };
        let ending = async {
            assert!(complete(&other, &task).await);
            Instant::now()
        };
        let ((finished, found, at), ended) = tokio::join!(waiting, ending);
        let found = found.expect("an answer").expect("the request");
        assert_eq!(found.phase.name(), "completed", "{round}");
        assert_eq!(finished.expect("it ended").request, found);
        later.push(at.saturating_duration_since(ended));
    }
    later.sort();
    assert!(later[later.len() / 2] <= HEARD, "{later:?}");
}

#[tokio::test]
async fn whoever_waits_hears_of_an_end_of_which_nothing_is_told() {
    let lab = Lab::postgres().await;
    let submitted = lab.store.submit(lab.new_request(&["a"])).await.expect("it is taken");
    let end = "UPDATE request SET phase = 'failed', reason = 'x', ended_at = clock_timestamp(), \
         version = version + 1";
    lab.raw.run(end).await;
    let finished = submitted.ended.wait(LONG).await.expect("it ended");
    assert_eq!(finished.request.phase.name(), "failed");
}

#[tokio::test]
async fn every_server_says_why_a_request_waits() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let id = lab.model.id.clone();
    for why in [Some("its instance starts"), Some("another reason"), None] {
        let all = why.map(|why| (id.clone(), why.to_owned()));
        lab.store.set_held(all.into_iter().collect()).await.expect("an answer");
        until("it is known", async || other.held(&id).as_deref() == why).await;
    }
    lab.store.set_held(vec![(id.clone(), "the last word".into())]).await.expect("an answer");
    lab.store.close().await;
    let next = lab.other_server().await;
    assert_eq!(next.held(&id).as_deref(), Some("the last word"), "before it plans");
    next.set_held(vec![]).await.expect("an answer");
    until("it is over", async || other.held(&id).is_none()).await;
}

#[tokio::test]
async fn a_request_submitted_here_is_claimed_and_ended_there() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let work = async {
        let task = claim(&other, lab.wish(1)).await.remove(0);
        assert!(complete(&other, &task).await);
    };
    let wait = async {
        let id = lab.submit(&["a"]).await.id;
        lab.store.wait_ended(lab.me, id, LONG).await.expect("an answer").expect("the request")
    };
    let ((), ended) = tokio::join!(work, wait);
    assert_eq!(ended.phase.name(), "completed");
    assert_eq!(other.find_request(lab.me, ended.id).await.expect("an answer"), Some(ended));
}

/// Trap T12: notifications are a hint; a claim that waits looks by itself.
#[tokio::test]
async fn work_is_found_without_notifications() {
    let lab = Lab::postgres().await;
    lab.submit(&["a"]).await;
    let hide = "UPDATE task SET model_version = 'hidden'";
    lab.raw.run(hide).await;
    let mut claimed = std::pin::pin!(lab.store.claim(lab.wish(1)));
    assert!(futures::poll!(&mut claimed).is_pending());
    lab.store.heartbeat().await.expect("an answer");
    assert!(futures::poll!(&mut claimed).is_pending());
    lab.raw.run("UPDATE task SET model_version = '1'").await;
    let tasks = tokio::time::timeout(Duration::from_secs(5), claimed).await;
    assert_eq!(tasks.expect("it looks every second").expect("an answer").len(), 1);
}

/// Trap T12: a NOTIFY inside a transaction would serialise commits; and trap T1, I-59: no
/// connection is handed out inside a transaction.
#[tokio::test]
async fn nothing_is_notified_inside_a_transaction_and_none_is_inherited() {
    let lab = Lab::postgres_alone(cluster::shared()).await;
    let database = lab.raw.texts("SELECT current_database()::text").await.remove(0);
    let all = format!("ALTER DATABASE {database} SET log_statement = 'all'");
    lab.raw.run(&all).await;
    let store = lab.other_server().await;
    let before = store.counters().transactions.get();
    let submissions = (0..300).map(|_| store.submit(lab.new_request(&["a"])));
    let taken: Vec<_> = stream::iter(submissions).buffer_unordered(3).collect().await;
    assert!(taken.iter().all(Result::is_ok));
    let transactions = store.counters().transactions.get() - before;
    let told =
        || cluster::shared().log_of(&database).iter().filter(|l| l.contains("pg_notify")).count();
    until("the others are told", async || told() > 0).await;
    store.close().await;
    let mut open: HashSet<String> = HashSet::new();
    for line in cluster::shared().log_of(&database) {
        let mut words = line.splitn(3, ' ').skip(1);
        let pid = words.next().unwrap_or_default().to_owned();
        let what = words.next().unwrap_or_default();
        assert!(!what.starts_with("WARNING"), "the database's log stays readable: {line}");
        if what.ends_with(": BEGIN") {
            assert!(open.insert(pid), "a transaction inside another: {line}");
        } else if what.ends_with("COMMIT") || what.ends_with("ROLLBACK") {
            open.remove(&pid);
        } else if what.contains("pg_notify") {
            assert!(!open.contains(&pid), "inside a transaction: {line}");
        }
    }
    assert!((told() as u64) < transactions, "{} for {transactions} transactions", told());
}

/// Two servers that end tasks of the same requests in different order wait for each other: the
/// database ends one transaction, which is then done again.
#[tokio::test]
async fn a_deadlock_between_servers_is_nobodys_error() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    let ids = [lab.submit(&["x"; 20]).await.id, lab.submit(&["y"; 20]).await.id];
    let tasks = lab.claim(100).await;
    let of = |n: usize, position| {
        let task = tasks.iter().find(|t| t.key.request == ids[n] && t.key.position == position);
        ones(task.expect("the task"))
    };
    let mut held = lab.raw.postgres().begin().await.expect("a transaction");
    sqlx::query("SELECT id FROM request FOR UPDATE").execute(&mut *held).await.expect("locks");
    let waiting = "SELECT COUNT(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE NOT granted AND l.locktype IN ('transactionid', 'tuple') AND a.query LIKE 'WITH ours AS (UPDATE task SET%'";
    let (one, two, ()) = tokio::join!(
        lab.store.complete(vec![of(0, 0), of(1, 0)]),
        other.complete(vec![of(1, 1), of(0, 1)]),
        async {
            until("both wait", async || lab.raw.number(waiting).await >= 2).await;
            held.commit().await.expect("the locks go");
        }
    );
    assert_eq!(one.expect("an answer"), [true, true]);
    assert_eq!(two.expect("an answer"), [true, true]);
    for id in ids {
        assert_eq!(lab.find(id).await.phase.name(), "completed");
    }
}

#[tokio::test]
async fn a_job_is_adopted_only_from_a_dead_server() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    lab.submit(&["a"]).await;
    let task = claim(&other, lab.wish(1)).await.remove(0);
    other.set_remote_job(&[(task.key, task.attempt)], "job-1").await.expect("an answer");
    assert!(lab.store.running_remote_jobs().await.expect("an answer").is_empty());
    let past = lab.raw.earlier("seen_at", 31);
    let id = lab.raw.id(other.server().0);
    lab.raw.run(&format!("UPDATE server SET seen_at = {past} WHERE id = {id}")).await;
    let jobs = lab.store.running_remote_jobs().await.expect("an answer");
    assert_eq!(jobs[0].tasks, [(task.key, task.attempt)]);
    assert_eq!((&jobs[0].model, jobs[0].version.as_str()), (&lab.model.id, "1"));
}

/// Leases, ends of sessions and dead servers are judged by the database's clock.
#[tokio::test]
async fn the_clock_of_a_server_decides_nothing() {
    let lab = Lab::postgres().await;
    let long_ago = Timestamp::from_micros(1_000_000_000_000_000);
    let slow = Clock::manual(long_ago, 7);
    let store = Store::open(lab.config(), slow).await.expect("a second server");
    let new = NewRequest { id: RequestId(lab.store.clock().id()), ..lab.new_request(&["a"]) };
    let request = store.submit(new).await.expect("it is taken").request;
    let now = lab.store.clock().now();
    assert!(now.since(request.submitted_at) < LONG && request.submitted_at.since(now) < LONG);
    let task = claim(&store, lab.wish(1)).await.remove(0);
    assert_eq!(store.release_expired().await.expect("an answer"), 0);
    lab.store.set_remote_job(&[(task.key, task.attempt)], "job-1").await.expect("an answer");
    let held = format!("UPDATE task SET server_id = {}", lab.raw.id(lab.store.server().0));
    lab.raw.run(&held).await;
    assert!(store.running_remote_jobs().await.expect("an answer").is_empty());
    let past = lab.raw.earlier("seen_at", 31);
    lab.raw.run(&format!("UPDATE server SET seen_at = {past}")).await;
    assert_eq!(store.running_remote_jobs().await.expect("an answer").len(), 1);
    let token = crate::lab::token();
    let session = store.create_session(token, Duration::ZERO).await.expect("a session");
    let policy = muster_core::session::SessionPolicy::default();
    assert!(session.left(&policy, store.now()).is_err());
}

#[tokio::test]
async fn a_jump_of_a_machines_clock_moves_nothing() {
    let lab = Lab::postgres().await;
    let before = lab.store.now();
    lab.store.clock().advance(Duration::from_secs(3600));
    assert!(lab.store.now().since(before) < LONG, "also before the database is asked again");
    let request = lab.submit(&["a"]).await;
    assert!(request.submitted_at.since(before) < LONG && lab.store.now().since(before) < LONG);
}
