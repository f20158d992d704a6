//! Sessions, their secrets, and their ends.

use std::time::Duration;

use muster_core::session::EndReason;
use muster_core::{Permission, SessionId};
use muster_store::{AdminAct, Rotation, SessionKind, Store, Successor};

use crate::lab::{LEASE, Lab, token};
use crate::people::{account, admin, end_of, find, session};

on_both!(
    a_secret_that_was_replaced_is_good_for_a_minute_and_ends_its_session_after_that,
    of_twenty_rotations_at_once_one_happens,
    a_secret_is_made_anew_as_often_as_its_answer_is_lost,
    a_secret_replaced_before_successors_had_a_salt_gets_one_more,
    sessions_end_one_by_one_or_all,
    the_oldest_of_too_many_sessions_ends,
    a_session_lives_as_long_as_its_owner_may_stay,
    whoever_changes_is_told_of,
    sessions_of_the_schema_before_live_on,
    what_is_long_over_is_forgotten,
);

fn successor(n: u8) -> Successor {
    Successor { hash: [n; 32], salt: [n; 32] }
}

fn overlap(n: u8) -> Rotation {
    Rotation::Overlap { salt: [n; 32] }
}

/// Secrets of people's sessions that were not replaced.
const CURRENT: &str = "SELECT COUNT(*) FROM token t JOIN session s ON s.id = t.session_id \
     WHERE t.replaced_at IS NULL AND s.name = 'n'";

async fn a_secret_that_was_replaced_is_good_for_a_minute_and_ends_its_session_after_that(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (first, old) = session(&lab.store, ada.id, SessionKind::Bearer).await;
    let new = successor(7).hash;
    let rotate = async |old, n| lab.store.rotate(old, successor(n)).await.expect("an answer");
    assert_eq!(rotate(old, 7).await, Rotation::Rotated);
    assert_eq!(rotate(old, 8).await, overlap(7));
    for hash in [&old, &new] {
        assert_eq!(end_of(&lab.store, hash).await, None);
        assert_eq!(find(&lab.store, hash).await.id, first.id);
    }
    let past = lab.raw.earlier("replaced_at", 61);
    lab.raw.run(&format!("UPDATE token SET replaced_at = {past}")).await;
    assert_eq!(end_of(&lab.store, &old).await, Some(EndReason::Revoked));
    assert_eq!(end_of(&lab.store, &new).await, None);
    assert_eq!(rotate(old, 8).await, Rotation::Reused);
    assert_eq!(end_of(&lab.store, &new).await, Some(EndReason::Revoked));
    assert_eq!(rotate(new, 9).await, Rotation::Unknown);
    assert_eq!(rotate([1; 32], 9).await, Rotation::Unknown);
}

async fn of_twenty_rotations_at_once_one_happens(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (_, old) = session(&lab.store, ada.id, SessionKind::Bearer).await;
    let all = (0..20).map(|n| lab.store.rotate(old, successor(100 + n)));
    let all = futures::future::join_all(all).await;
    let all: Vec<Rotation> = all.into_iter().map(|one| one.expect("an answer")).collect();
    assert_eq!(all.iter().filter(|one| **one == Rotation::Rotated).count(), 1);
    let other = |one: &&Rotation| matches!(one, Rotation::Overlap { .. });
    let others: Vec<&Rotation> = all.iter().filter(other).collect();
    assert_eq!(others.len(), 19);
    assert!(others.iter().all(|one| *one == others[0]), "of the same successor");
    assert_eq!(lab.raw.number(CURRENT).await, 1);
}

/// I-42
async fn a_secret_replaced_before_successors_had_a_salt_gets_one_more(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (_, old) = session(&lab.store, ada.id, SessionKind::Bearer).await;
    let rotate = async |n| lab.store.rotate(old, successor(n)).await.expect("an answer");
    assert_eq!(rotate(1).await, Rotation::Rotated);
    lab.raw.run("UPDATE token SET salt = NULL").await;
    assert_eq!([rotate(2).await, rotate(3).await], [Rotation::Rotated, overlap(2)]);
    let past = lab.raw.earlier("replaced_at", 61);
    lab.raw.run(&format!("UPDATE token SET salt = NULL, replaced_at = {past}")).await;
    assert_eq!(rotate(4).await, Rotation::Reused);
}

async fn a_secret_is_made_anew_as_often_as_its_answer_is_lost(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (first, old) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    let act = AdminAct::Grant(Permission::Admin);
    lab.store.administer(None, ada.id, act).await.expect("an answer");
    let version = find(&lab.store, &old).await.account.expect("an account").version;
    assert!(version > first.permissions_version);
    let reissue = async |old, n| lab.store.reissue(old, successor(n)).await.expect("an answer");
    assert_eq!([reissue(old, 1).await, reissue(old, 2).await], [Rotation::Rotated, overlap(1)]);
    let new = find(&lab.store, &successor(1).hash).await;
    assert_eq!((new.id, new.replaced), (first.id, None));
    assert_eq!(new.permissions_version, version);
    assert_eq!(lab.raw.number(CURRENT).await, 1);
    assert!(find(&lab.store, &old).await.replaced.is_some());
    let past = lab.raw.earlier("replaced_at", 61);
    lab.raw.run(&format!("UPDATE token SET replaced_at = {past}")).await;
    assert_eq!(reissue(old, 3).await, Rotation::Reused, "too late");
    assert_eq!(end_of(&lab.store, &successor(1).hash).await, None, "which ends nothing");
    assert_eq!(reissue([9; 32], 3).await, Rotation::Unknown);
}

async fn sessions_end_one_by_one_or_all(lab: Lab) {
    let (ada, eve) = (account(&lab.store, "ada").await, account(&lab.store, "eve").await);
    let (one, one_hash) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    let (two, two_hash) = session(&lab.store, ada.id, SessionKind::Token).await;
    let (_, other_hash) = session(&lab.store, eve.id, SessionKind::Cookie).await;
    let end = async |principal, id: SessionId| {
        lab.store.end_session(principal, id, EndReason::SignedOut).await.expect("an answer")
    };
    assert!(!end(eve.id, one.id).await, "it is somebody else's");
    assert_eq!(lab.store.list_sessions(ada.id).await.expect("a list").len(), 2);
    assert!(end(ada.id, one.id).await);
    assert!(!end(ada.id, one.id).await, "once");
    assert_eq!(end_of(&lab.store, &one_hash).await, Some(EndReason::SignedOut));
    let left = lab.store.list_sessions(ada.id).await.expect("a list");
    assert_eq!(left.iter().map(|session| session.id).collect::<Vec<_>>(), [two.id]);
    assert_eq!((left[0].kind, left[0].scopes.as_str()), (SessionKind::Token, "read"));
    let (kept, kept_hash) = session(&lab.store, ada.id, SessionKind::Bearer).await;
    lab.store.set_password(ada.id, "new".into(), kept.id).await.expect("it is set");
    assert_eq!(end_of(&lab.store, &two_hash).await, Some(EndReason::Revoked));
    assert_eq!(end_of(&lab.store, &kept_hash).await, None);
    assert_eq!(end_of(&lab.store, &other_hash).await, None);
}

async fn the_oldest_of_too_many_sessions_ends(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (_, api) = session(&lab.store, ada.id, SessionKind::Token).await;
    let (_, first) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    let past = lab.raw.earlier("created_at", 5);
    lab.raw.run(&format!("UPDATE session SET created_at = {past}")).await;
    for _ in 0..20 {
        session(&lab.store, ada.id, SessionKind::Cookie).await;
    }
    assert_eq!(end_of(&lab.store, &first).await, Some(EndReason::Revoked));
    assert_eq!(end_of(&lab.store, &api).await, None);
    assert_eq!(lab.store.list_sessions(ada.id).await.expect("a list").len(), 21);
}

async fn a_session_lives_as_long_as_its_owner_may_stay(lab: Lab) {
    let (ada, root) = (account(&lab.store, "ada").await, admin(&lab.store, "root").await);
    let (_, user) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    let (super_, power) = session(&lab.store, root.id, SessionKind::Cookie).await;
    let past = lab.raw.earlier("seen_at", 31 * 60);
    lab.raw.run(&format!("UPDATE session SET seen_at = {past}, created_at = {past}")).await;
    assert_eq!(end_of(&lab.store, &power).await, Some(EndReason::Idle));
    assert_eq!(end_of(&lab.store, &user).await, None);
    lab.store.touch_session(super_.id).await.expect("it is touched");
    assert_eq!(end_of(&lab.store, &power).await, None);
    lab.store.end_session(root.id, super_.id, EndReason::SignedOut).await.expect("an answer");
    lab.store.touch_session(super_.id).await.expect("nothing");
    assert_eq!(end_of(&lab.store, &power).await, Some(EndReason::SignedOut));
}

async fn whoever_changes_is_told_of(lab: Lab) {
    let changed = async || lab.store.changed_principals(LEASE).await.expect("an answer");
    assert_eq!(changed().await, []);
    let ada = account(&lab.store, "ada").await;
    let (one, _) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    assert_eq!(changed().await, [], "a new session is no news");
    lab.store.touch_session(one.id).await.expect("it is touched");
    assert_eq!(changed().await, []);
    lab.store.end_session(ada.id, one.id, EndReason::SignedOut).await.expect("an answer");
    assert_eq!(changed().await, [ada.id]);
    let past = lab.raw.earlier("changed_at", 5);
    lab.raw.run(&format!("UPDATE principal SET changed_at = {past}")).await;
    let lately = lab.store.changed_principals(Duration::from_secs(4)).await;
    assert_eq!(lately.expect("an answer"), []);
    let act = AdminAct::Grant(Permission::Admin);
    lab.store.administer(None, ada.id, act).await.expect("an answer");
    assert_eq!(changed().await, [ada.id]);
}

async fn sessions_of_the_schema_before_live_on(lab: Lab) {
    // Back to the first schema, as far as sessions go, and forward again.
    let hash = lab.raw.bytes("SELECT hash FROM token").await;
    lab.raw
        .run(
            "CREATE TABLE before AS SELECT t.hash AS token_hash, s.principal_id, s.created_at, \
             s.expires_at FROM token t JOIN session s ON s.id = t.session_id",
        )
        .await;
    for table in ["chosen_secret", "token", "session", "link", "account", "login_failure", "audit"]
    {
        lab.raw.run(&format!("DROP TABLE {table}")).await;
    }
    for index in ["principal_by_change", "principal_by_claim"] {
        lab.raw.run(&format!("DROP INDEX {index}")).await;
    }
    if !lab.is_postgres() {
        // SQLite changes no table as long as a trigger writes to one that is gone.
        for (name, what) in [("request_submitted", "INSERT"), ("request_ended", "UPDATE")] {
            let empty = format!(
                "DROP TRIGGER {name}; \
                 CREATE TRIGGER {name} AFTER {what} ON request BEGIN SELECT 1; END"
            );
            lab.raw.run(&empty).await;
        }
    }
    for table in ["ended", "model_statistic", "person_statistic", "model_seen", "person_seen"] {
        lab.raw.run(&format!("DROP TABLE {table}")).await;
    }
    for column in ["changed_at", "claimed_by"] {
        lab.raw.run(&format!("ALTER TABLE principal DROP COLUMN {column}")).await;
    }
    lab.raw.run("ALTER TABLE before RENAME TO session").await;
    lab.raw.run("DELETE FROM migration WHERE version IN (2, 3, 4, 9)").await;
    lab.store.close().await;
    let store = Store::open(lab.config(), muster_store::Clock::system()).await.expect("a store");
    let hash: [u8; 32] = hash.try_into().expect("a hash");
    let found = find(&store, &hash).await;
    assert_eq!((found.principal, found.kind), (lab.me, SessionKind::Bearer));
    assert_eq!(end_of(&store, &hash).await, None);
}

async fn what_is_long_over_is_forgotten(lab: Lab) {
    let over = token();
    lab.store.create_session(over, Duration::ZERO).await.expect("a session");
    assert_eq!(lab.store.clean_sessions().await.expect("an answer"), 0);
    let past = lab.raw.earlier("expires_at", 31 * 24 * 3600);
    lab.raw.run(&format!("UPDATE session SET expires_at = {past}")).await;
    assert_eq!(lab.store.clean_sessions().await.expect("an answer"), 2);
    assert_eq!(lab.store.find_session(&over).await.expect("an answer"), None);
}
