//! Accounts, what is theirs, and what admins do with them.

use std::time::Duration;

use muster_core::session::{EndReason, SessionPolicy};
use muster_core::{Permission, PrincipalId};
use muster_store::{
    Account, AccountFilter, AdminAct, Administered, AuditAction, AuditFilter, LoginTry, NewAccount,
    NewLink, NewSession, Purpose, Session, SessionKind, Store,
};

use crate::lab::{LEASE, Lab, token};

on_both!(
    a_name_is_taken_whatever_its_case,
    one_of_many_who_want_a_name_gets_it,
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

pub async fn admin(store: &Store, name: &str) -> Account {
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

pub async fn end_of(store: &Store, hash: &[u8; 32]) -> Option<EndReason> {
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
    assert!(root.verified_at.is_some(), "a command vouches for the address");
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
    let audit = lab.audit().await;
    let names: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    let want =
        ["delete", "reset-link", "enable", "disable", "end-sessions", "revoke", "grant", "create"];
    assert_eq!(names, want);
    assert!(audit[..7].iter().all(|e| e.actor == Some(root.id) && e.subject == Some(ada.id)));
    assert_eq!((audit[7].actor, audit[7].subject), (None, Some(root.id)));
    let list = async |filter: AuditFilter| {
        let lines = lab.store.list_audit(&filter).await.expect("a list");
        lines.into_iter().map(|line| line.entry).collect::<Vec<_>>()
    };
    let all = AuditFilter { limit: 100, ..AuditFilter::default() };
    let older = list(AuditFilter { after: Some(audit[5].id), limit: 1, ..all.clone() }).await;
    assert_eq!(older, audit[6..7]);
    assert_eq!(list(AuditFilter { actor: Some(root.id), ..all.clone() }).await, audit[..7]);
    assert_eq!(list(AuditFilter { subject: Some(root.id), ..all.clone() }).await, audit[7..]);
    assert_eq!(
        list(AuditFilter { action: Some(AuditAction::Enable), ..all.clone() }).await,
        audit[2..3]
    );
    let (from, to) = (Some(audit[5].at), Some(audit[4].at));
    let between: Vec<_> =
        audit.iter().filter(|e| e.at >= audit[5].at && e.at <= audit[4].at).cloned().collect();
    assert!(between.len() >= 2);
    assert_eq!(list(AuditFilter { from, to, ..all.clone() }).await, between);
    let lines = lab.store.list_audit(&all).await.expect("a list");
    assert_eq!(lines[0].actor_name.as_deref(), Some("root"));
    assert_eq!(lines[0].subject_name, None, "the account is gone");
    assert_eq!((&lines[7].actor_name, lines[7].subject_name.as_deref()), (&None, Some("root")));
}

async fn the_last_admin_stays(lab: Lab) {
    let root = admin(&lab.store, "root").await;
    for act in [AdminAct::Revoke(Permission::Admin), AdminAct::Disable, AdminAct::Delete] {
        let done = lab.store.administer(None, root.id, act).await.expect("an answer");
        assert_eq!(done, Administered::LastAdmin, "{act:?}");
    }
    assert!(lab.audit().await.is_empty());
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
