//! Anonymous people who come back with a secret that they chose themselves.

use std::collections::HashSet;

use crate::lab::Lab;
use crate::people::{account, find, session};

on_both!(a_chosen_secret_is_one_person_on_every_server, a_claimed_person_is_somebody_new_next_time,);

async fn a_chosen_secret_is_one_person_on_every_server(lab: Lab) {
    let (one, other) = ([1; 32], [2; 32]);
    let tries = (0..20).map(|_| lab.store.anonymous_of(one));
    let got = futures::future::join_all(tries).await;
    let got: HashSet<_> = got.into_iter().map(|id| id.expect("an answer")).collect();
    assert_eq!(got.len(), 1);
    let id = *got.iter().next().expect("one");
    assert_ne!(lab.store.anonymous_of(other).await.expect("an answer"), id);
    assert_eq!(lab.store.anonymous_of(one).await.expect("an answer"), id);
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM principal").await, 3);
    let (_, hash) = session(&lab.store, id, muster_store::SessionKind::Bearer).await;
    let found = find(&lab.store, &hash).await;
    assert_eq!((found.principal, found.account), (id, None));
}

async fn a_claimed_person_is_somebody_new_next_time(lab: Lab) {
    let ada = account(&lab.store, "ada").await;
    let before = lab.store.anonymous_of([1; 32]).await.expect("an answer");
    assert_eq!(lab.store.claim_requests(before, ada.id).await.expect("an answer"), Some(0));
    let after = lab.store.anonymous_of([1; 32]).await.expect("an answer");
    assert_ne!(after, before);
}
