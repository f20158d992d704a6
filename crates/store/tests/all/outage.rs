//! PostgreSQL goes away and comes back; SQLite is locked. I-33, trap T1.

use std::time::Duration;

use muster_core::RequestId;
use muster_store::{Clock, Error, NewRequest, Store};

use crate::cluster::{self, Cluster};
use crate::lab::{LONG, Lab, complete, until};

/// Ends all connections of stores to this database.
pub const KILL: &str = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'muster'";

fn is_away<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unavailable { .. }))
}

/// Every request is there with all its tasks, those that were acknowledged for sure.
async fn nothing_is_half_written(lab: &Lab, acknowledged: &[RequestId]) {
    let half = "SELECT COUNT(*) FROM request r WHERE r.open_tasks <> \
         (SELECT COUNT(*) FROM task t WHERE t.request_id = r.id AND t.state <> 'done')";
    assert_eq!(lab.raw.number(half).await, 0);
    for id in acknowledged {
        assert_eq!(lab.find(*id).await.progress.inputs, 25);
    }
}

#[tokio::test]
async fn killed_connections_lose_nothing_and_come_back() {
    let lab = Lab::postgres_alone(cluster::shared()).await;
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let submissions = futures::future::join_all((0..60).map(|n| {
            let new =
                NewRequest { key: Some(format!("{round}-{n}")), ..lab.new_request(&["x"; 25]) };
            let id = new.id;
            let store = &lab.store;
            async move {
                tokio::time::sleep(Duration::from_millis(n / 2)).await;
                (id, store.submit(new).await)
            }
        }));
        let killing = async {
            for _ in 0..3 {
                lab.raw.number(KILL).await;
                tokio::time::sleep(Duration::from_millis(8)).await;
            }
        };
        let (answers, ()) = tokio::join!(submissions, killing);
        for (id, answer) in answers {
            assert!(answer.is_ok() || is_away(&answer), "{:?}", answer.err());
            acknowledged.extend(answer.is_ok().then_some(id));
        }
    }
    until("it is back", async || lab.store.submit(lab.new_request(&["x"])).await.is_ok()).await;
    nothing_is_half_written(&lab, &acknowledged).await;
}

#[tokio::test]
async fn a_claim_survives_the_end_of_its_connection() {
    let lab = Lab::postgres_alone(cluster::shared()).await;
    lab.submit(&["x"; 30]).await;
    let mut held = lab.raw.postgres().begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE task").execute(&mut *held).await.expect("a lock");
    let claims = futures::future::join_all((0..3).map(|_| lab.store.claim(lab.wish(10))));
    let killing = async {
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
             AND datname = current_database() AND query LIKE 'WITH found%'";
        until("one waits", async || lab.raw.number(waiting).await == 1).await;
        lab.raw.number(KILL).await;
        held.rollback().await.expect("the lock goes");
    };
    let (claimed, ()) = tokio::join!(tokio::time::timeout(LONG, claims), killing);
    for claim in claimed.expect("in time") {
        assert_eq!(claim.expect("an answer").len(), 1);
    }
}

/// Trap T1, I-59: what fails right after BEGIN goes back to the pool without its transaction.
#[tokio::test]
async fn cancelled_statements_leave_no_transaction_to_inherit() {
    let lab = Lab::postgres_alone(cluster::shared()).await;
    let cancel = KILL.replace("terminate", "cancel");
    let submitting = async {
        for _ in 0..300 {
            let id = match lab.store.submit(lab.new_request(&["x"; 25])).await {
                Ok(taken) => taken.request.id,
                away => {
                    assert!(is_away(&away), "{:?}", away.err());
                    continue;
                }
            };
            let found = lab.store.find_request(lab.me, id).await;
            assert!(is_away(&found) || found.is_ok_and(|found| found.is_some()));
        }
    };
    let cancelling = async {
        loop {
            lab.raw.number(&cancel).await;
        }
    };
    tokio::select! {
        () = submitting => {}
        () = cancelling => {}
    }
    nothing_is_half_written(&lab, &[]).await;
}

#[tokio::test]
async fn a_listener_that_was_cut_off_looks_again() {
    let lab = Lab::postgres_alone(cluster::shared()).await;
    let listening = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' \
         AND datname = current_database()";
    until("it listens", async || lab.raw.number(listening).await == 1).await;
    let mut changes = lab.store.changes();
    lab.raw.number(KILL).await;
    let heard =
        async { while !matches!(changes.recv().await, Ok(muster_store::Change::Elsewhere)) {} };
    tokio::time::timeout(LONG, heard).await.expect("something may have been missed");
    until("it listens again", async || lab.raw.number(listening).await == 1).await;
}

/// Trap T1, I-59: whoever leaves in the middle leaves no transaction behind.
#[tokio::test]
async fn calls_that_are_cancelled_leave_no_transaction_open() {
    let lab = Lab::postgres_alone(cluster::shared()).await;
    for polls in 1..12 {
        for _ in 0..4 {
            let new = lab.new_request(&["a"]);
            let id = new.id;
            leave_after(polls, lab.store.submit(new)).await;
            leave_after(polls, lab.store.find_request(lab.me, id)).await;
            leave_after(polls, lab.store.cancel_request(lab.me, id, "left")).await;
            leave_after(polls, lab.store.claim(lab.wish(1))).await;
            leave_after(polls, lab.store.queues()).await;
        }
        leave_after(polls * 3, Store::open(lab.config(), Clock::system())).await;
    }
    let inside = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'muster' AND state LIKE 'idle in transaction%'";
    until("no transaction is open", async || lab.raw.number(inside).await == 0).await;
    // Whoever inherited an open transaction would lose what it writes.
    let id = lab.submit(&["a"]).await.id;
    let written = format!("SELECT COUNT(*) FROM request WHERE id = {}", lab.raw.id(id.0));
    assert_eq!(lab.raw.number(&written).await, 1);
}

/// Lets a call run for some steps and then drops it.
async fn leave_after<T>(polls: u32, call: impl Future<Output = T>) {
    let mut call = std::pin::pin!(call);
    for _ in 0..polls {
        if futures::poll!(&mut call).is_ready() {
            return;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

#[tokio::test]
async fn a_database_that_crashes_and_comes_back_is_used_without_reopening() {
    let cluster = Cluster::open("crash");
    let lab = Lab::postgres_alone(&cluster).await;
    let acknowledged = lab.submit(&["x"; 25]).await.id;
    let claims = futures::future::join_all((0..4).map(|_| lab.store.claim(lab.wish(10))));
    let mut claims = std::pin::pin!(claims);
    assert!(futures::poll!(&mut claims).is_pending());
    lab.store.heartbeat().await.expect("an answer");
    cluster.down();
    // A socket that nobody answers: connections are refused, as on a machine that is up again.
    let socket = std::os::unix::net::UnixListener::bind(cluster.socket()).expect("a socket");
    drop(socket);
    let started = std::time::Instant::now();
    assert!(is_away(&lab.store.ping().await));
    assert!(started.elapsed() < Duration::from_secs(3), "not ready within 2 seconds");
    let many = (0..40).map(|_| lab.store.submit(lab.new_request(&["x"; 25])));
    let many = tokio::time::timeout(LONG, futures::future::join_all(many));
    let (answers, found) = tokio::join!(many, lab.store.find_request(lab.me, acknowledged));
    for answer in answers.expect("an answer in time") {
        assert!(is_away(&answer), "no acknowledgement without a database");
    }
    assert!(is_away(&found));
    cluster.up();
    let id = lab.new_request(&[]).id;
    until("it is back", async || {
        let again = NewRequest { id, key: Some("k".into()), ..lab.new_request(&["x"; 5]) };
        lab.store.submit(again).await.is_ok()
    })
    .await;
    nothing_is_half_written(&lab, &[acknowledged]).await;
    let claimed = tokio::time::timeout(LONG, claims).await.expect("whoever waited is served");
    for task in claimed.into_iter().flat_map(|tasks| tasks.expect("an answer")) {
        assert!(complete(&lab.store, &task).await);
    }
    let open = "SELECT COUNT(*) FROM task WHERE state <> 'done'";
    assert_eq!(lab.raw.number(open).await, 0);
}

/// `muster clean` beside the hub.
#[tokio::test]
async fn a_lock_of_another_process_on_sqlite_is_waited_for() {
    let lab = Lab::sqlite().await;
    let first = lab.submit(&["a"]).await.id;
    let held = lab.raw.sqlite().begin_with("BEGIN IMMEDIATE").await.expect("the lock");
    let mut submitted = std::pin::pin!(lab.submit(&["b"]));
    let soon = tokio::time::timeout(Duration::from_millis(100), &mut submitted).await;
    assert!(soon.is_err(), "it is written while another process has the lock");
    held.commit().await.expect("a commit");
    let second = submitted.await.id;
    let claimed: Vec<RequestId> = lab.claim(2).await.iter().map(|task| task.key.request).collect();
    assert_eq!(claimed, [first, second]);
}
