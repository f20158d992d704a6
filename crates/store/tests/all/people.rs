//! Accounts, their sessions, and what admins do with them.

use std::time::Duration;

use muster_core::session::{EndReason, SessionPolicy};
use muster_core::{Permission, PrincipalId, SessionId};
use muster_store::{
    Account, AccountFilter, AdminAct, Administered, LoginTry, NewAccount, NewLink, NewSession,
    Purpose, Rotation, Session, SessionKind, Store,
};

use crate::lab::{LEASE, Lab, token};

on_both!(
    a_name_is_taken_whatever_its_case,
    one_of_many_who_want_a_name_gets_it,
    a_secret_that_was_replaced_is_good_for_a_minute_and_ends_its_session_after_that,
    of_twenty_rotations_at_once_one_happens,
    a_secret_is_made_anew_as_often_as_its_answer_is_lost,
    sessions_end_one_by_one_or_all,
    the_oldest_of_too_many_sessions_ends,
    a_session_lives_as_long_as_its_owner_may_stay,
    whoever_changes_is_told_of,
    a_link_works_once_and_only_the_last_one,
    an_expired_link_does_not_work,
    an_anonymous_session_is_claimed_once_with_all_its_requests,
    a_key_that_both_used_stays_with_the_accounts_request,
    what_was_submitted_during_a_claim_follows,
    an_account_goes_with_its_data,
    every_act_has_one_line_in_the_audit,
    the_last_admin_stays,
    of_two_admins_who_demote_each_other_one_stays,
    accounts_are_listed_by_what_is_asked,
    failures_make_the_next_try_wait_on_every_server,
    a_try_that_was_not_judged_forgives_no_other,
    tries_at_once_count_each,
    sessions_of_the_schema_before_live_on,
    what_is_long_over_is_forgotten,
);

fn new_account(name: &str) -> NewAccount {
    NewAccount {
        name: name.into(),
        first_name: "Ada".into(),
        last_name: "Lovelace".into(),
        email: format!("{name}@Example.org"),
        password: "$argon2id$".into(),
        permissions: vec![],
    }
}

pub async fn account(store: &Store, name: &str) -> Account {
    store.add_account(new_account(name)).await.expect("an answer").expect("the name is free")
}

async fn admin(store: &Store, name: &str) -> Account {
    let new = NewAccount { permissions: vec![Permission::Admin], ..new_account(name) };
    store.add_account(new).await.expect("an answer").expect("the name is free")
}

pub async fn session(
    store: &Store,
    principal: PrincipalId,
    kind: SessionKind,
) -> (Session, [u8; 32]) {
    let hash = token();
    let new = NewSession {
        principal: Some(principal),
        token_hash: hash,
        kind,
        name: "n".into(),
        scopes: "read".into(),
        lifetime: LEASE,
    };
    (store.add_session(new).await.expect("a session"), hash)
}

pub async fn find(store: &Store, hash: &[u8; 32]) -> Session {
    store.find_session(hash).await.expect("an answer").expect("the session")
}

async fn end_of(store: &Store, hash: &[u8; 32]) -> Option<EndReason> {
    find(store, hash).await.left(&SessionPolicy::default(), store.now()).err()
}

async fn a_name_is_taken_whatever_its_case(lab: Lab) {
    let ada = account(&lab.store, "Ada").await;
    assert_eq!(lab.store.add_account(new_account("aDA")).await.expect("an answer"), None);
    let found = lab.store.find_account_named("ADA").await.expect("an answer");
    assert_eq!(found.as_ref(), Some(&ada));
    assert_eq!(ada.email, "Ada@Example.org");
    let of = lab.store.find_accounts_of("ada@example.ORG").await.expect("an answer");
    assert_eq!(of, std::slice::from_ref(&ada));
    let password = lab.store.find_password(ada.id).await.expect("an answer");
    assert_eq!(password.as_deref(), Some("$argon2id$"));
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM principal").await, 2);
}

async fn one_of_many_who_want_a_name_gets_it(lab: Lab) {
    let wishes = (0..20).map(|_| lab.store.add_account(new_account("ada")));
    let got = futures::future::join_all(wishes).await;
    assert_eq!(got.into_iter().filter_map(|one| one.expect("an answer")).count(), 1);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM principal").await, 2);
}

async fn a_secret_that_was_replaced_is_good_for_a_minute_and_ends_its_session_after_that(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (first, old) = session(&lab.store, ada.id, SessionKind::Bearer).await;
    let new = [7; 32];
    assert_eq!(lab.store.rotate(old, new).await.expect("an answer"), Rotation::Rotated);
    assert_eq!(lab.store.rotate(old, [8; 32]).await.expect("an answer"), Rotation::Overlap);
    for hash in [&old, &new] {
        assert_eq!(end_of(&lab.store, hash).await, None);
        assert_eq!(find(&lab.store, hash).await.id, first.id);
    }
    let past = lab.raw.earlier("replaced_at", 61);
    lab.raw.run(&format!("UPDATE token SET replaced_at = {past}")).await;
    assert_eq!(end_of(&lab.store, &old).await, Some(EndReason::Revoked));
    assert_eq!(end_of(&lab.store, &new).await, None);
    assert_eq!(lab.store.rotate(old, [8; 32]).await.expect("an answer"), Rotation::Reused);
    assert_eq!(end_of(&lab.store, &new).await, Some(EndReason::Revoked));
    assert_eq!(lab.store.rotate(new, [9; 32]).await.expect("an answer"), Rotation::Unknown);
    assert_eq!(lab.store.rotate([1; 32], [9; 32]).await.expect("an answer"), Rotation::Unknown);
}

async fn of_twenty_rotations_at_once_one_happens(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (_, old) = session(&lab.store, ada.id, SessionKind::Bearer).await;
    let all = (0..20).map(|n| lab.store.rotate(old, [100 + n; 32]));
    let all = futures::future::join_all(all).await;
    let all: Vec<Rotation> = all.into_iter().map(|one| one.expect("an answer")).collect();
    assert_eq!(all.iter().filter(|one| **one == Rotation::Rotated).count(), 1);
    assert_eq!(all.iter().filter(|one| **one == Rotation::Overlap).count(), 19);
    let current = "SELECT COUNT(*) FROM token t JOIN session s ON s.id = t.session_id \
         WHERE t.replaced_at IS NULL AND s.kind = 'bearer' AND s.name = 'n'";
    assert_eq!(lab.raw.number(current).await, 1);
}

async fn a_secret_is_made_anew_as_often_as_its_answer_is_lost(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (first, old) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    let act = AdminAct::Grant(Permission::Admin);
    lab.store.administer(None, ada.id, act).await.expect("an answer");
    let version = find(&lab.store, &old).await.account.expect("an account").version;
    assert!(version > first.permissions_version);
    for n in [1, 2] {
        assert!(lab.store.reissue(old, [n; 32]).await.expect("an answer"));
        let new = find(&lab.store, &[n; 32]).await;
        assert_eq!((new.id, new.replaced), (first.id, None));
        assert_eq!(new.permissions_version, version);
    }
    assert!(find(&lab.store, &old).await.replaced.is_some());
    let past = lab.raw.earlier("replaced_at", 61);
    lab.raw.run(&format!("UPDATE token SET replaced_at = {past}")).await;
    assert!(!lab.store.reissue(old, [3; 32]).await.expect("an answer"), "too late");
    assert_eq!(end_of(&lab.store, &[2; 32]).await, None);
    assert!(!lab.store.reissue([9; 32], [3; 32]).await.expect("an answer"));
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

fn link(principal: PrincipalId, purpose: Purpose, n: u8, lifetime: Duration) -> NewLink {
    NewLink { token_hash: [n; 32], principal, purpose, email: "new@example.org".into(), lifetime }
}

async fn a_link_works_once_and_only_the_last_one(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (_, before) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    for n in [1, 2] {
        let new = link(ada.id, Purpose::Password, n, LEASE);
        lab.store.add_link(new).await.expect("it is kept");
    }
    let reset =
        async |n: u8| lab.store.reset_password([n; 32], "set".into()).await.expect("an answer");
    assert_eq!(reset(1).await, None, "a newer one was made");
    assert_eq!(lab.store.verify_email([2; 32]).await.expect("an answer"), None);
    let found = lab.store.find_link([2; 32]).await.expect("an answer");
    assert_eq!(found.map(|account| account.id), Some(ada.id));
    assert_eq!(reset(2).await, Some(ada.id));
    assert_eq!(reset(2).await, None, "once");
    assert_eq!(end_of(&lab.store, &before).await, Some(EndReason::Revoked));
    let password = lab.store.find_password(ada.id).await.expect("an answer");
    assert_eq!(password.as_deref(), Some("set"));
    assert_eq!(lab.store.find_account(ada.id).await.expect("it").expect("is").verified_at, None);
    lab.store.add_link(link(ada.id, Purpose::Email, 3, LEASE)).await.expect("it is kept");
    assert_eq!(lab.store.verify_email([3; 32]).await.expect("an answer"), Some(ada.id));
    let verified = lab.store.find_account(ada.id).await.expect("an answer").expect("the account");
    assert_eq!(verified.email, "new@example.org");
    assert!(verified.verified_at.is_some());
}

async fn an_expired_link_does_not_work(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let new = link(ada.id, Purpose::Password, 1, Duration::ZERO);
    lab.store.add_link(new).await.expect("it is kept");
    let used = lab.store.reset_password([1; 32], "set".into()).await.expect("an answer");
    assert_eq!(used, None);
    assert_eq!(lab.store.find_link([1; 32]).await.expect("an answer"), None);
}

async fn an_anonymous_session_is_claimed_once_with_all_its_requests(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let ended = lab.submit(&["a"]).await.id;
    assert!(lab.work().await);
    let waiting = lab.submit(&["b"]).await.id;
    let claims = (0..5).map(|_| lab.store.claim_requests(lab.me, ada.id));
    let claimed: Vec<_> = futures::future::join_all(claims).await;
    let claimed: Vec<u64> = claimed.into_iter().filter_map(|one| one.expect("an answer")).collect();
    assert_eq!(claimed, [2], "once");
    for id in [ended, waiting] {
        assert!(lab.store.find_request(lab.me, id).await.expect("an answer").is_none());
        let found = lab.store.find_request(ada.id, id).await.expect("an answer");
        assert_eq!(found.expect("the request").principal, ada.id);
    }
    assert!(lab.work().await, "what waits goes on");
    let done = lab.store.find_request(ada.id, waiting).await.expect("an answer");
    assert_eq!(done.expect("the request").phase.name(), "completed");
    assert!(lab.store.list_sessions(lab.me).await.expect("a list").is_empty());
    let eve = account(&lab.store, "eve").await;
    assert_eq!(lab.store.claim_requests(ada.id, eve.id).await.expect("an answer"), None);
}

async fn a_key_that_both_used_stays_with_the_accounts_request(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let with_key = |principal| muster_store::NewRequest {
        principal,
        key: Some("k".into()),
        ..lab.new_request(&["a"])
    };
    let theirs = lab.store.submit(with_key(ada.id)).await.expect("it is taken").request.id;
    let mine = lab.store.submit(with_key(lab.me)).await.expect("it is taken").request.id;
    assert_eq!(lab.store.claim_requests(lab.me, ada.id).await.expect("an answer"), Some(1));
    assert!(lab.store.find_request(ada.id, mine).await.expect("an answer").is_some());
    let again = lab.store.submit(with_key(ada.id)).await.expect("it is known");
    assert_eq!((again.request.id, again.created), (theirs, false));
}

async fn what_was_submitted_during_a_claim_follows(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    lab.store.claim_requests(lab.me, ada.id).await.expect("an answer");
    let late = lab.submit(&["a"]).await.id;
    lab.store.claim_late(LEASE).await.expect("an answer");
    assert!(lab.store.find_request(ada.id, late).await.expect("an answer").is_some());
}

async fn an_account_goes_with_its_data(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let (_, hash) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    lab.store.add_link(link(ada.id, Purpose::Email, 1, LEASE)).await.expect("it is kept");
    for text in ["a", "b"] {
        let new = muster_store::NewRequest { principal: ada.id, ..lab.new_request(&[text]) };
        lab.store.submit(new).await.expect("it is taken");
    }
    let task = lab.claim(1).await.remove(0);
    let mine = lab.submit(&["mine"]).await.id;
    assert!(lab.store.delete_account(ada.id).await.expect("an answer"));
    assert!(!crate::lab::complete(&lab.store, &task).await, "what ran is refused");
    assert_eq!(lab.store.find_account(ada.id).await.expect("an answer"), None);
    assert_eq!(lab.store.find_session(&hash).await.expect("an answer"), None);
    for (table, left) in [("request", 1), ("task", 1), ("transition", 1), ("link", 0)] {
        assert_eq!(lab.raw.number(&format!("SELECT COUNT(*) FROM {table}")).await, left, "{table}");
    }
    assert!(lab.work().await);
    assert_eq!(lab.find(mine).await.phase.name(), "completed");
    account(&lab.store, "ada").await;
}

async fn every_act_has_one_line_in_the_audit(lab: Lab) {
    let new = NewAccount { permissions: vec![Permission::Admin], ..new_account("root") };
    let root = lab.store.add_account_here(new).await.expect("an answer").expect("free");
    let ada = account(&lab.store, "ada").await;
    let (_, hash) = session(&lab.store, ada.id, SessionKind::Cookie).await;
    let acts = [
        AdminAct::Grant(Permission::Admin),
        AdminAct::Revoke(Permission::Admin),
        AdminAct::EndSessions,
        AdminAct::Disable,
        AdminAct::Enable,
        AdminAct::ResetLink { token_hash: [1; 32], lifetime: LEASE },
        AdminAct::Delete,
    ];
    let mut version = ada.version;
    for act in acts {
        let done = lab.store.administer(Some(root.id), ada.id, act).await.expect("an answer");
        let Administered::Done(after) = done else { panic!("{act:?}: {done:?}") };
        let admin = act == AdminAct::Grant(Permission::Admin);
        assert_eq!(after.permissions.contains(&Permission::Admin), admin, "{act:?}");
        assert_eq!(after.disabled_at.is_some(), act == AdminAct::Disable, "{act:?}");
        let changes = matches!(
            act,
            AdminAct::Grant(_) | AdminAct::Revoke(_) | AdminAct::Disable | AdminAct::Enable
        );
        assert_eq!(after.version > version, changes, "{act:?}");
        version = after.version;
        if act == AdminAct::EndSessions {
            assert_eq!(end_of(&lab.store, &hash).await, Some(EndReason::Revoked));
        }
    }
    let unknown = PrincipalId(lab.store.clock().id());
    let done = lab.store.administer(Some(root.id), unknown, AdminAct::Disable).await;
    assert_eq!(done.expect("an answer"), Administered::Unknown);
    let audit = lab.store.list_audit(None, 100).await.expect("a list");
    let names: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    let want =
        ["delete", "reset-link", "enable", "disable", "end-sessions", "revoke", "grant", "create"];
    assert_eq!(names, want);
    assert!(audit[..7].iter().all(|e| e.actor == Some(root.id) && e.subject == Some(ada.id)));
    assert_eq!((audit[7].actor, audit[7].subject), (None, Some(root.id)));
    let older = lab.store.list_audit(Some(audit[5].id), 1).await.expect("a list");
    assert_eq!(older, audit[6..7]);
}

async fn the_last_admin_stays(lab: Lab) {
    let root = admin(&lab.store, "root").await;
    for act in [AdminAct::Revoke(Permission::Admin), AdminAct::Disable, AdminAct::Delete] {
        let done = lab.store.administer(None, root.id, act).await.expect("an answer");
        assert_eq!(done, Administered::LastAdmin, "{act:?}");
    }
    assert!(lab.store.list_audit(None, 10).await.expect("a list").is_empty());
    admin(&lab.store, "second").await;
    let done = lab.store.administer(None, root.id, AdminAct::Delete).await.expect("an answer");
    assert!(matches!(done, Administered::Done(_)));
}

async fn of_two_admins_who_demote_each_other_one_stays(lab: Lab) {
    let (one, two) = (admin(&lab.store, "one").await, admin(&lab.store, "two").await);
    let other = if lab.is_postgres() { lab.other_server().await } else { lab.store.clone() };
    let act = AdminAct::Revoke(Permission::Admin);
    let (first, second) = tokio::join!(
        lab.store.administer(Some(one.id), two.id, act),
        other.administer(Some(two.id), one.id, act)
    );
    let outcomes = [first.expect("an answer"), second.expect("an answer")];
    assert_eq!(outcomes.iter().filter(|one| **one == Administered::LastAdmin).count(), 1);
    let left = "SELECT COUNT(*) FROM account WHERE permissions = 'ADMIN'";
    assert_eq!(lab.raw.number(left).await, 1);
}

async fn accounts_are_listed_by_what_is_asked(lab: Lab) {
    let root = admin(&lab.store, "root").await;
    let (ada, eve) = (account(&lab.store, "ada").await, account(&lab.store, "e_e%").await);
    lab.store.administer(None, eve.id, AdminAct::Disable).await.expect("an answer");
    let list = async |filter: AccountFilter| {
        let limit = filter.limit.max(2);
        let found = lab.store.list_accounts(&AccountFilter { limit, ..filter }).await;
        let found = found.expect("a list");
        found.into_iter().map(|account| account.id).collect::<Vec<_>>()
    };
    let all = AccountFilter::default;
    assert_eq!(list(all()).await, [root.id, ada.id]);
    assert_eq!(list(AccountFilter { after: Some(ada.id), ..all() }).await, [eve.id]);
    let search = |text: &str| AccountFilter { search: Some(text.into()), limit: 10, ..all() };
    assert_eq!(list(search("AD")).await, [ada.id]);
    assert_eq!(list(search("_")).await, [eve.id]);
    assert_eq!(list(search("%")).await, [eve.id]);
    assert_eq!(list(search("ada@example")).await, [ada.id]);
    let admins = AccountFilter { permission: Some(Permission::Admin), ..all() };
    assert_eq!(list(admins).await, [root.id]);
    assert_eq!(list(AccountFilter { disabled: Some(true), ..all() }).await, [eve.id]);
    assert_eq!(list(AccountFilter { disabled: Some(false), ..all() }).await, [root.id, ada.id]);
}

fn a_try(name: &str, network: &str) -> LoginTry {
    LoginTry { name: name.into(), network: network.into() }
}

async fn failures_make_the_next_try_wait_on_every_server(lab: Lab) {
    let other = if lab.is_postgres() { lab.other_server().await } else { lab.store.clone() };
    for n in 0..5 {
        let (store, name) = if n % 2 == 0 { (&lab.store, "ada") } else { (&other, "ADA") };
        let wait = store.try_login(a_try(name, &format!("net {n}"))).await.expect("an answer");
        assert_eq!(wait, None, "try {n}");
    }
    let wait = other.try_login(a_try("ada", "net 9")).await.expect("an answer");
    let wait = wait.expect("it is too early");
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!(other.try_login(a_try("eve", "net 9")).await.expect("an answer"), None);
    lab.store.forgive_login(a_try("ada", "net 0")).await.expect("an answer");
    assert_eq!(other.try_login(a_try("ada", "net 9")).await.expect("an answer"), None);
}

async fn a_try_that_was_not_judged_forgives_no_other(lab: Lab) {
    let try_once = async || lab.store.try_login(a_try("ada", "net")).await.expect("an answer");
    for _ in 0..4 {
        assert_eq!(try_once().await, None);
    }
    for _ in 0..3 {
        assert_eq!(try_once().await, None);
        lab.store.withdraw_login(a_try("ada", "net")).await.expect("an answer");
    }
    assert_eq!(try_once().await, None, "the fifth that counts");
    assert!(try_once().await.is_some());
    let failures = "SELECT failures FROM login_failure WHERE subject = 'account ada'";
    assert_eq!(lab.raw.number(failures).await, 5);
}

async fn tries_at_once_count_each(lab: Lab) {
    let tries = (0..130).map(|n| lab.store.try_login(a_try(&format!("a{n}"), "one net")));
    let waits = futures::future::join_all(tries).await;
    let refused = waits.into_iter().filter(|wait| wait.as_ref().is_ok_and(Option::is_some)).count();
    assert_eq!(refused, 30);
    let past = lab.raw.earlier("last_at", 901);
    lab.raw.run(&format!("UPDATE login_failure SET last_at = {past}, next_at = {past}")).await;
    assert_eq!(lab.store.try_login(a_try("b", "one net")).await.expect("an answer"), None);
    lab.store.clean_logins().await.expect("an answer");
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM login_failure").await, 2);
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
    for table in ["ended", "model_statistic", "person_statistic"] {
        lab.raw.run(&format!("DROP TABLE {table}")).await;
    }
    for column in ["changed_at", "claimed_by"] {
        lab.raw.run(&format!("ALTER TABLE principal DROP COLUMN {column}")).await;
    }
    lab.raw.run("ALTER TABLE before RENAME TO session").await;
    lab.raw.run("DELETE FROM migration WHERE version IN (2, 3, 4)").await;
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
