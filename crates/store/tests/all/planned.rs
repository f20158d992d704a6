//! What was planned last, on the server that plans and on others.

use std::time::{Duration, Instant};

use muster_core::plan::{Planned, read_planned};
use muster_store::Store;

use crate::lab::Lab;

on_both!(what_is_planned_here_is_known_here);

const FILE: &str =
    include_str!("../../../core/tests/scenarios/down_an_almost_empty_node_is_emptied.json");

fn some() -> Planned {
    read_planned(FILE).expect("a world")
}

async fn known(store: &Store) -> Option<Planned> {
    let planned = store.planned().await.expect("an answer");
    planned.map(|planned| Planned::clone(&planned))
}

async fn what_is_planned_here_is_known_here(lab: Lab) {
    let mut here = lab.store.planned_here();
    lab.store.set_planned(Some(some()));
    assert!(here.has_changed().expect("a store"));
    here.mark_unchanged();
    assert_eq!(known(&lab.store).await, Some(some()));
    assert_eq!(lab.raw.number("SELECT COUNT(*) FROM planned").await, 0, "nobody had to be asked");
    lab.store.set_planned(None);
    assert!(here.has_changed().expect("a store"));
    here.mark_unchanged();
    assert_eq!(known(&lab.store).await, None);
    // Another one plans, look after look.
    lab.store.set_planned(None);
    assert!(!here.has_changed().expect("a store"));
}

#[tokio::test]
async fn another_server_is_told_what_is_planned() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    lab.store.set_planned(Some(some()));
    assert_eq!(known(&other).await, Some(some()));
    // Each question is answered with what is planned then.
    let mut later = some();
    later.now = later.now + Duration::from_secs(1);
    lab.store.set_planned(Some(later.clone()));
    assert_eq!(known(&other).await, Some(later.clone()));
    // They swap.
    lab.store.set_planned(None);
    other.set_planned(Some(some()));
    assert_eq!(known(&lab.store).await, Some(some()));
}

#[tokio::test]
async fn many_who_ask_at_once_are_told_together() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    lab.store.set_planned(Some(some()));
    // Held, so that it stays.
    let first = other.planned().await.expect("an answer");
    let all = futures::future::join_all((0..50).map(|_| other.planned())).await;
    assert!(all.iter().all(|told| *told.as_ref().expect("an answer") == first));
    let asked = lab.raw.number("SELECT asked FROM planned").await;
    assert!(asked <= 4, "asked {asked} times");
}

#[tokio::test]
async fn nobody_waits_long_where_nobody_plans() {
    let lab = Lab::postgres().await;
    let begun = Instant::now();
    assert_eq!(known(&lab.store).await, None);
    let took = begun.elapsed();
    assert!((1..5).contains(&took.as_secs()), "{took:?}");
}
