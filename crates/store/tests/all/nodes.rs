//! Marks of nodes, and the books of their groups.

use muster_core::room::{GroupBooks, GroupId, Mark, MarkKind, NodeId, Place, Told};
use muster_store::{GroupRow, Marking, NewInstance, Store};

use crate::instances::{new_instance, only};
use crate::lab::{LEASE, Lab};

fn node() -> NodeId {
    NodeId("lab 1".into())
}

async fn marks(store: &Store) -> Vec<Mark> {
    store.heartbeat_of(None).await.expect("an answer").marks
}

fn row(version: i64, target: u32) -> GroupRow {
    let told =
        Told { target, min: None, max: None, template: None, price: 0, machines: Vec::new() };
    let books = GroupBooks { told: Some(told), ..GroupBooks::default() };
    GroupRow { id: GroupId("pool".into()), version, books }
}

fn placed(lab: &Lab, slot: u32) -> NewInstance {
    let place = Some(Place { node: node(), devices: Vec::new() });
    NewInstance { place, ..new_instance(lab, slot) }
}

on_both!(a_marked_node_gets_nothing_new);

async fn a_marked_node_gets_nothing_new(lab: Lab) {
    let store = &lab.store;
    assert_eq!(marks(store).await, []);
    assert_eq!(store.cordon(&node(), "it is \"empty\"").await.expect("it"), Marking::Done);
    assert_eq!(store.cordon(&node(), "again").await.expect("it"), Marking::Already);
    let mark = marks(store).await.remove(0);
    assert_eq!((&mark.node, mark.kind, mark.ours), (&node(), MarkKind::Cordoned, true));
    let age = store.now().since(mark.since);
    assert!(age < std::time::Duration::from_secs(60), "{age:?}");
    assert_eq!(mark.why, "it is \"empty\"");
    assert!(!store.add_instance(placed(&lab, 0)).await.expect("an answer"));
    assert!(store.add_instance(new_instance(&lab, 1)).await.expect("elsewhere"));
    assert_eq!(store.uncordon(&node()).await.expect("it"), Marking::Done);
    assert_eq!(store.uncordon(&node()).await.expect("it"), Marking::Already);
    assert!(store.add_instance(placed(&lab, 0)).await.expect("an answer"));
}

on_both!(what_an_administrator_says_of_a_node_stays_and_is_audited);

async fn what_an_administrator_says_of_a_node_stays_and_is_audited(lab: Lab) {
    let (store, admin) = (&lab.store, lab.me);
    let mark = async |kind, why| store.mark_node(admin, &node(), kind, why).await.expect("it");
    store.cordon(&node(), "it is empty").await.expect("it");
    assert_eq!(mark(Some(MarkKind::Cordoned), "a new disk").await, Marking::Done);
    assert_eq!(mark(Some(MarkKind::Cordoned), "a new disk").await, Marking::Already);
    assert_eq!(mark(Some(MarkKind::Drained), "a new disk").await, Marking::Done);
    let said = marks(store).await.remove(0);
    assert_eq!((said.kind, said.ours), (MarkKind::Drained, false));
    assert_eq!(store.uncordon(&node()).await.expect("it"), Marking::Refused);
    assert_eq!(store.cordon(&node(), "it is empty").await.expect("it"), Marking::Refused);
    assert_eq!(mark(None, "").await, Marking::Done);
    assert_eq!(mark(None, "").await, Marking::Already);
    assert_eq!(marks(store).await, []);
    let filter = muster_store::AuditFilter { limit: 10, ..Default::default() };
    let audit = store.list_audit(&filter).await.expect("an audit");
    let acts: Vec<&str> = audit.iter().map(|line| line.entry.action.as_str()).collect();
    assert_eq!(acts, ["uncordon-node", "drain-node", "cordon-node"]);
    assert_eq!(audit[1].entry.detail, "lab 1: a new disk");
}

on_both!(who_changes_the_books_of_a_group_has_read_them);

async fn who_changes_the_books_of_a_group_has_read_them(lab: Lab) {
    let store = &lab.store;
    assert_eq!(store.groups().await.expect("groups"), []);
    let change = async |row: &GroupRow| store.change_group(row, &[]).await.expect("an answer");
    assert_eq!(change(&row(0, 1)).await, Some(1));
    assert_eq!(change(&row(0, 2)).await, None, "somebody was first");
    assert_eq!(change(&row(1, 3)).await, Some(2));
    assert_eq!(change(&row(1, 4)).await, None);
    assert_eq!(store.groups().await.expect("groups"), [row(2, 3)]);
}

on_both!(a_node_with_something_on_it_is_not_ordered_away);

async fn a_node_with_something_on_it_is_not_ordered_away(lab: Lab) {
    let store = &lab.store;
    let remove =
        async |version| store.change_group(&row(version, 1), &[node()]).await.expect("an answer");
    assert_eq!(remove(0).await, None, "it is not cordoned");
    assert!(store.add_instance(placed(&lab, 0)).await.expect("an answer"));
    store.cordon(&node(), "it is almost empty").await.expect("it");
    assert_eq!(remove(0).await, None, "an instance is on it");
    let instance = only(&lab).await.id;
    store.instance_ended(instance, &muster_core::instance::EndCause::Idle).await.expect("it ends");
    assert_eq!(remove(0).await, Some(1));
    store.mark_node(lab.me, &node(), Some(MarkKind::Cordoned), "").await.expect("it");
    assert_eq!(remove(1).await, None, "an administrator wants it");
}

#[tokio::test]
async fn only_the_server_that_plans_orders() {
    let lab = Lab::postgres().await;
    let other = lab.other_server().await;
    lab.raw.run("DELETE FROM leader").await;
    assert!(lab.store.lead(LEASE).await.expect("an answer"));
    assert_eq!(other.change_group(&row(0, 1), &[]).await.expect("an answer"), None);
    assert_eq!(other.cordon(&node(), "").await.expect("an answer"), Marking::Refused);
    assert_eq!(lab.store.change_group(&row(0, 1), &[]).await.expect("an answer"), Some(1));
    // An administrator may ask any server.
    let drained = other.mark_node(lab.me, &node(), Some(MarkKind::Drained), "").await;
    assert_eq!(drained.expect("an answer"), Marking::Done);
    assert_eq!(marks(&lab.store).await.len(), 1);
}
