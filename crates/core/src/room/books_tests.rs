//! What the books of a group make of providers that do not do as they say.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::Timestamp;

const LIMIT: Duration = Duration::from_secs(900);

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn told(target: u32, machines: &[(&str, MachineState)]) -> Told {
    let machine = |(id, state): &(&str, MachineState)| ToldMachine {
        id: (*id).to_owned(),
        node: Some(NodeId((*id).to_owned())),
        state: state.clone(),
    };
    let machines = machines.iter().map(machine).collect();
    Told { target, min: None, max: Some(5), template: Some(template()), price: 3, machines }
}

fn template() -> Template {
    let allocatable = json!({"cpu": 4000, "named": {"nvidia.com/gpu": 1}});
    serde_json::from_value(json!({"allocatable": allocatable})).expect("a template")
}

fn node(id: &str, gpus: u64) -> NodeView {
    let allocatable = json!({"cpu": 4000, "named": {"nvidia.com/gpu": gpus}});
    let node = json!({"id": id, "stage": {"is": "ready"}, "allocatable": allocatable});
    serde_json::from_value(node).expect("a node")
}

fn order(number: u128, wanted: Wanted, (from, to): (u32, u32), seconds: i64) -> PlacedOrder {
    let (id, why, stage) = (Uuid::from_u128(number), String::new(), OrderStage::Placed);
    PlacedOrder { id, wanted, from, to, at: at(seconds), why, stage }
}

/// Books that were told of this at second 0.
fn books(first: Told) -> GroupBooks {
    let mut books = GroupBooks::default();
    books.hear(first, &[], LIMIT, at(0));
    books
}

fn view(books: &GroupBooks, seconds: i64) -> GroupView {
    books.view(&"g".into(), &GroupSettings::default(), None, at(seconds))
}

fn other(message: &str) -> Refusal {
    Refusal { class: FailureClass::Other, message: message.to_owned() }
}

#[test]
fn an_order_counts_until_it_is_seen_and_no_other_is_placed() {
    let mut books = books(told(1, &[]));
    assert!(books.place(order(1, Wanted::Size, (1, 3), 10)));
    assert!(!books.place(order(2, Wanted::Size, (3, 4), 11)), "one at a time");
    assert_eq!(view(&books, 12).target, 3);
    books.answered(Uuid::from_u128(7), Err(other("of another order")), at(12));
    books.answered(Uuid::from_u128(1), Ok(()), at(13));
    // It was asked before it had begun.
    books.hear(told(1, &[]), &[], LIMIT, at(14));
    assert_eq!((view(&books, 15).target, books.is_moving()), (3, true));
    assert!(!books.place(order(2, Wanted::Size, (3, 4), 15)));
    books.hear(told(3, &[]), &[], LIMIT, at(16));
    assert_eq!(books.order.as_ref().expect("it").stage, OrderStage::Done);
    assert_eq!((view(&books, 17).only_advised, books.is_moving()), (None, true));
    assert!(books.place(order(2, Wanted::Size, (3, 4), 17)));
}

#[test]
fn a_yes_that_nothing_follows_counts_until_it_is_overdue() {
    let mut books = books(told(0, &[]));
    books.place(order(1, Wanted::Size, (0, 2), 10));
    books.answered(Uuid::from_u128(1), Ok(()), at(11));
    books.hear(told(0, &[]), &[], LIMIT, at(500));
    assert_eq!(view(&books, 909).target, 2);
    books.hear(told(0, &[]), &[], LIMIT, at(911));
    let failures = books.failures.clone().expect("a failure");
    assert_eq!((failures.class, failures.in_a_row), (FailureClass::DidNotCome, 1));
    assert_eq!(failures.message, "2 nodes were ordered, it has 0");
    assert_eq!((view(&books, 912).target, books.is_moving()), (0, false));
    assert!(books.place(order(2, Wanted::Size, (0, 2), 1300)), "it may be tried again");
}

/// What is refused to be taken away holds up no order for more, and counts for itself.
#[test]
fn a_removal_that_is_refused_is_not_asked_for_again_at_once() {
    let running = told(1, &[("m1", MachineState::Running)]);
    let mut books = books(running.clone());
    books.place(order(1, Wanted::Without { machines: vec!["m1".into()] }, (1, 0), 10));
    books.answered(Uuid::from_u128(1), Err(other("it is protected")), at(11));
    let seen = view(&books, 12);
    assert_eq!((seen.failures.clone(), seen.keeps_until(at(12))), (None, Some(at(311))));
    assert_eq!(seen.keeps_until(at(311)), None);
    assert_eq!((seen.order.clone(), seen.upcoming(&[], LIMIT, at(12))), (None, 0));
    books.hear(Told { target: 0, ..running }, &[], LIMIT, at(20));
    assert_eq!(view(&books, 21).keeps_until(at(21)), None, "it was done all the same");
}

#[test]
fn a_failed_machine_with_a_hub_finishes_what_it_has() {
    let failed = MachineState::Failed { class: FailureClass::Capacity, message: String::new() };
    let live = [node("m1", 1)];
    let mut books = books(told(1, &[("m1", MachineState::Running)]));
    books.hear(told(1, &[("m1", MachineState::Running)]), &live, LIMIT, at(5));
    books.hear(told(1, &[("m1", failed.clone())]), &live, LIMIT, at(10));
    let seen = view(&books, 11);
    assert_eq!(seen.lost_machines(LIMIT, at(5000)), Vec::<String>::new());
    let mut nodes = live.to_vec();
    books.mark_nodes(&seen, &mut nodes, LIMIT, at(11));
    assert!(matches!(nodes[0].stage, NodeStage::Leaving { .. }));
    books.hear(told(1, &[("m1", failed)]), &[], LIMIT, at(40));
    assert_eq!(view(&books, 41).lost_machines(LIMIT, at(41)), ["m1"]);
    assert_eq!(view(&books, 41).why_lost(&["m1".into()]), None, "it has been a node");
}

#[test]
fn a_no_counts_as_a_failure_unless_it_was_done() {
    let mut books = books(told(0, &[]));
    books.place(order(1, Wanted::Size, (0, 2), 10));
    books.answered(Uuid::from_u128(1), Err(other("no")), at(11));
    let failures = books.failures.clone().expect("a failure");
    assert_eq!((failures.in_a_row, &*failures.message), (1, "no"));
    assert_eq!(view(&books, 12).target, 0);
    let mut again = books.clone();
    again.place(order(2, Wanted::Size, (0, 2), 400));
    again.answered(Uuid::from_u128(2), Err(other("no")), at(401));
    assert_eq!(again.failures.expect("a failure").in_a_row, 2);
    books.hear(told(2, &[]), &[], LIMIT, at(12));
    assert_eq!((books.failures.clone(), view(&books, 13).target), (None, 2));
    assert_eq!(view(&books, 13).only_advised, None, "it is its own order");
}

#[test]
fn whoever_else_resizes_it_is_noticed_and_forgotten_after_an_hour() {
    let mut books = books(told(1, &[]));
    books.hear(told(4, &[]), &[], LIMIT, at(100));
    assert!(view(&books, 101).only_advised.is_some());
    books.hear(told(4, &[]), &[], LIMIT, at(2000));
    assert!(view(&books, 3699).only_advised.is_some());
    assert_eq!(view(&books, 3700).only_advised, None);
}

#[test]
fn a_machine_is_a_node_while_its_hub_is_there() {
    let running = told(1, &[("m1", MachineState::Running)]);
    let mut books = books(running.clone());
    books.place(order(1, Wanted::Size, (0, 1), 0));
    assert_eq!(view(&books, 1).machines[0].node, None, "its hub is not there yet");
    books.hear(running.clone(), &[node("m1", 1)], LIMIT, at(60));
    let seen = view(&books, 61);
    assert_eq!(
        (&seen.machines[0].node, seen.machines[0].since),
        (&Some(NodeId("m1".into())), at(60))
    );
    assert_eq!(seen.boot_seconds, Some(60));
    let mut nodes = vec![node("m1", 1), node("m2", 1)];
    books.mark_nodes(&seen, &mut nodes, LIMIT, at(61));
    assert_eq!((&nodes[0].group, nodes[0].price), (&Some("g".into()), 3));
    assert_eq!(nodes[1].group, None, "nobody says that it is one of the group");
    // It is not heard of: it is kept as unready, and not lost before its time.
    let mut none = Vec::new();
    books.mark_nodes(&seen, &mut none, LIMIT, at(70));
    assert!(matches!(none[0].stage, NodeStage::Unready { .. }));
    books.hear(running, &[], LIMIT, at(90));
    let gone = view(&books, 91);
    assert_eq!((&gone.machines[0].node, gone.machines[0].since), (&None, at(90)));
    assert_eq!(gone.lost_machines(LIMIT, at(989)), Vec::<String>::new());
    assert_eq!(gone.lost_machines(LIMIT, at(990)), ["m1"]);
}

#[test]
fn a_node_without_its_gpu_is_booting() {
    let running = told(1, &[("m1", MachineState::Running)]);
    let mut books = books(running.clone());
    books.hear(running, &[node("m1", 0)], LIMIT, at(5));
    let mut nodes = vec![node("m1", 0)];
    books.mark_nodes(&view(&books, 6), &mut nodes, LIMIT, at(6));
    let lacks = vec!["nvidia.com/gpu".to_owned()];
    assert_eq!(nodes[0].stage, NodeStage::Booting { since: at(5), lacks });
}

#[test]
fn who_was_sent_away_leaves_and_one_of_its_name_that_comes_later_does_not() {
    let running = told(1, &[("m1", MachineState::Running)]);
    let live = [node("m1", 1)];
    let mut books = books(running.clone());
    books.hear(running.clone(), &live, LIMIT, at(5));
    let away = Wanted::Without { machines: vec!["m1".into()] };
    books.place(order(1, away.clone(), (1, 0), 10));
    let stage = |books: &GroupBooks, seconds| {
        let mut nodes = live.to_vec();
        books.mark_nodes(&view(books, seconds), &mut nodes, LIMIT, at(seconds));
        nodes.remove(0).stage
    };
    assert!(matches!(stage(&books, 11), NodeStage::Leaving { .. }));
    let mut refused = books.clone();
    refused.answered(Uuid::from_u128(1), Err(other("no")), at(12));
    assert_eq!(stage(&refused, 13), NodeStage::Ready);
    // It is still told of, and goes all the same.
    books.answered(Uuid::from_u128(1), Ok(()), at(12));
    books.hear(Told { target: 0, ..running.clone() }, &live, LIMIT, at(13));
    assert!(matches!(stage(&books, 14), NodeStage::Leaving { .. }));
    books.hear(told(1, &[("m1", MachineState::Booting)]), &[], LIMIT, at(20));
    books.hear(running, &live, LIMIT, at(30));
    assert_eq!(stage(&books, 31), NodeStage::Ready);
}

#[test]
fn what_nobody_says_for_certain_is_no_group_to_order_of() {
    let nothing = GroupBooks::default();
    assert!(view(&nothing, 1).unseen.is_some(), "nobody asked yet");
    let endless = books(Told { max: None, ..told(1, &[]) });
    let seen = view(&endless, 1);
    assert_eq!(seen.unseen.as_deref(), Some("nobody says how many nodes it may have"));
    let odd = books(Told { min: Some(9), ..told(1, &[]) });
    let seen = view(&odd, 1);
    assert_eq!(seen.unseen.as_deref(), Some("its minimum of 9 is above its maximum of 5"));
    assert!(seen.min <= seen.max);
    // The settings go before the provider.
    let settings = GroupSettings { min: Some(1), max: Some(2), priority: 4, spare: None };
    let seen = endless.view(&"g".into(), &settings, None, at(1));
    assert_eq!((seen.min, seen.max, seen.priority, seen.unseen), (1, 2, 4, None));
    let away = endless.view(&"g".into(), &settings, Some("it hangs"), at(1));
    assert_eq!(away.unseen.as_deref(), Some("it hangs"));
}

#[test]
fn what_a_node_is_is_learned_if_nobody_says_it() {
    let unsaid = Told { template: None, ..told(1, &[("m1", MachineState::Running)]) };
    let mut books = books(unsaid.clone());
    assert_eq!(view(&books, 1).template, None);
    books.hear(unsaid.clone(), &[node("m1", 2)], LIMIT, at(5));
    books.hear(unsaid, &[], LIMIT, at(10));
    let template = view(&books, 11).template.expect("it was seen");
    assert_eq!(template.allocatable.of("nvidia.com/gpu"), 2);
}

/// A machine of 8 GiB is a node with less: what asks for all of it must not have nodes ordered again and again.
#[test]
fn a_node_that_was_seen_says_how_large_they_are_as_long_as_the_same_is_told() {
    let sized = |memory: u64| -> Template {
        let allocatable = json!({"cpu": 4000, "memory": memory, "storage": 100, "pods": 110});
        serde_json::from_value(json!({"allocatable": allocatable})).expect("a template")
    };
    let telling = |memory, machines: &[(&str, MachineState)]| Told {
        template: Some(sized(memory)),
        ..told(1, machines)
    };
    let has = |books: &GroupBooks| view(books, 0).template.expect("one").allocatable.memory;
    let running = [("m1", MachineState::Running)];
    let mut books = books(telling(800, &running));
    assert_eq!(has(&books), 800, "none was seen");
    let is = |stage| {
        let allocatable = json!({"cpu": 3900, "memory": 700, "storage": 100, "pods": 110});
        let node = json!({"id": "m1", "stage": stage, "allocatable": allocatable});
        serde_json::from_value::<NodeView>(node).expect("a node")
    };
    let boots = is(json!({"is": "booting", "since": "2026-01-01T00:00:00Z", "lacks": ["x"]}));
    books.hear(telling(800, &running), &[boots], LIMIT, at(1));
    assert_eq!(has(&books), 800, "it is not what it will be");
    books.hear(telling(800, &running), &[is(json!({"is": "ready"}))], LIMIT, at(2));
    assert_eq!((has(&books), view(&books, 2).template.expect("one").allocatable.cpu), (700, 3900));
    books.hear(telling(800, &[]), &[], LIMIT, at(3));
    assert_eq!(has(&books), 700, "it is remembered when there is none");
    books.hear(telling(1600, &[]), &[], LIMIT, at(4));
    assert_eq!(has(&books), 1600, "somebody takes larger machines now");
}

#[test]
fn a_size_that_is_not_on_the_way_of_an_order_is_somebody_elses() {
    let mut books = books(told(4, &[]));
    assert!(books.place(order(1, Wanted::Size, (4, 2), 10)));
    books.answered(Uuid::from_u128(1), Ok(()), at(11));
    books.hear(told(3, &[]), &[], LIMIT, at(12));
    assert_eq!(view(&books, 12).only_advised, None, "it goes down step by step");
    books.hear(told(5, &[]), &[], LIMIT, at(13));
    assert!(view(&books, 13).only_advised.is_some_and(|words| words.contains("somebody else")));
    assert_eq!(view(&books, 13).target, 5, "what was ordered is not waited for");
}
