//! What a plan asks of those who make nodes, as values.

use uuid::Uuid;

use super::Action;
use crate::Timestamp;
use crate::room::{
    FailureClass, GroupId, GroupView, NodeId, OrderStage, PlacedOrder, Refusal, Wanted,
};

/// An order that is to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    pub group: GroupId,
    pub wanted: Wanted,
    pub from: u32,
    pub to: u32,
    pub why: String,
    /// On these nothing may be, or it is not placed.
    pub empty: Vec<NodeId>,
    /// What it says of the order before it.
    pub failure: Option<Refusal>,
}

impl NewOrder {
    /// As it stands in the books.
    pub fn placed(&self, id: Uuid, at: Timestamp) -> PlacedOrder {
        let Self { wanted, from, to, why, .. } = self.clone();
        PlacedOrder { id, wanted, from, to, at, why, stage: OrderStage::Placed }
    }
}

/// The orders of these actions; nodes of one group go by one.
pub fn orders(actions: &[Action], groups: &[GroupView]) -> Vec<NewOrder> {
    let mut orders: Vec<NewOrder> = Vec::new();
    for action in actions {
        let Some((group, order)) = order(action, groups) else { continue };
        let one = orders.iter_mut().find(|it| it.group == group.id && !it.empty.is_empty());
        match (one, order) {
            (Some(one), NewOrder { wanted: Wanted::Without { machines: more }, empty, .. })
                if !empty.is_empty() =>
            {
                let Wanted::Without { machines } = &mut one.wanted else { continue };
                machines.extend(more);
                one.empty.extend(empty);
                one.to = one.to.saturating_sub(1);
            }
            (_, order) => orders.push(order),
        }
    }
    orders
}

fn order<'g>(action: &Action, groups: &'g [GroupView]) -> Option<(&'g GroupView, NewOrder)> {
    let find = |id: &GroupId| groups.iter().find(|group| group.id == *id);
    let new = |group: &GroupView, wanted, to, why: &str| NewOrder {
        group: group.id.clone(),
        wanted,
        from: group.target,
        to,
        why: why.to_owned(),
        empty: Vec::new(),
        failure: None,
    };
    match action {
        Action::AddNodes { group, count, why } => {
            let group = find(group)?;
            let to = group.target.saturating_add(*count);
            Some((group, new(group, Wanted::Size, to, why)))
        }
        Action::LowerTarget { group, to } => {
            let group = find(group)?;
            let message = format!("{} were ordered, {to} came", group.target);
            let failure = Some(Refusal { class: FailureClass::DidNotCome, message });
            let order = new(group, Wanted::Size, *to, "the others did not come");
            Some((group, NewOrder { failure, ..order }))
        }
        Action::DropMachines { group, machines } => {
            let group = find(group)?;
            let to = group.target.saturating_sub(machines.len() as u32);
            let wanted = Wanted::Without { machines: machines.clone() };
            let failure = group.why_lost(machines);
            Some((group, NewOrder { failure, ..new(group, wanted, to, "they are no nodes") }))
        }
        Action::RemoveNode { node, why } => {
            let its = |group: &'g GroupView| {
                let machines = group.machines.iter();
                let mut its = machines.filter(|machine| machine.node.as_ref() == Some(node));
                Some((group, its.next()?))
            };
            let (group, machine) = groups.iter().find_map(its)?;
            let wanted = Wanted::Without { machines: vec![machine.id.clone()] };
            let order = new(group, wanted, group.target.saturating_sub(1), why);
            Some((group, NewOrder { empty: vec![node.clone()], ..order }))
        }
        Action::Launch { .. }
        | Action::Retire { .. }
        | Action::FailWaiting { .. }
        | Action::MoveStranded { .. }
        | Action::Cordon { .. }
        | Action::Uncordon { .. }
        | Action::Evict { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Vec<GroupView> {
        let machine = |id: &str, is: &str, was: bool| {
            serde_json::json!({"id": id, "node": was.then_some(id), "state": {"is": is, "class": "capacity",
                "message": "none of these"}, "since": "2026-01-01T00:00:00Z", "was_node": was})
        };
        let group = serde_json::json!({"id": "pool", "min": 0, "max": 9, "target": 4, "machines": [
            machine("m1", "running", true), machine("m2", "running", true), machine("m3", "failed", false)]});
        vec![serde_json::from_value(group).expect("a group")]
    }

    #[test]
    fn nodes_of_a_group_go_by_one_order_that_wants_them_empty() {
        let remove = |node: &str| Action::RemoveNode { node: node.into(), why: "empty".into() };
        let all = orders(&[remove("m1"), remove("m2"), remove("gone")], &pool());
        assert_eq!(all.len(), 1);
        let machines = vec!["m1".to_owned(), "m2".to_owned()];
        assert_eq!(all[0].wanted, Wanted::Without { machines });
        assert_eq!((all[0].from, all[0].to), (4, 2));
        assert_eq!(all[0].empty, ["m1".into(), "m2".into()]);
    }

    #[test]
    fn what_did_not_come_is_a_failure_and_what_has_been_a_node_is_none() {
        let drop = |machine: &str| {
            let machines = vec![machine.to_owned()];
            orders(&[Action::DropMachines { group: "pool".into(), machines }], &pool()).remove(0)
        };
        let failure = drop("m3").failure.expect("a failure");
        assert_eq!((failure.class, &*failure.message), (FailureClass::Capacity, "none of these"));
        assert_eq!(drop("m1").failure, None);
        let lower = Action::LowerTarget { group: "pool".into(), to: 3 };
        let late = orders(&[lower], &pool()).remove(0).failure.expect("a failure");
        assert_eq!(late.message, "4 were ordered, 3 came");
    }
}
