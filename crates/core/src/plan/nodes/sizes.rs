//! Sizes of groups, whatever waits: what did not come is given up, and minimums are filled.

use std::collections::BTreeSet;

use super::super::{Action, Planner};
use super::up::Orders;

impl<'w> Planner<'w> {
    /// Machines that failed or did not come are given up, and a target that is not reached is lowered.
    pub(super) fn drop_lost(&mut self) {
        let limit = self.policy.nodes.boot_limit();
        for group in self.world.groups.iter().filter(|group| group.unseen.is_none()) {
            let id = &group.id;
            let machines = group.lost_machines(limit, self.now);
            let there = group.registered(&self.world.nodes).count().max(group.machines.len());
            let to = (there as u32).max(group.min);
            let short = group.order.as_ref().filter(|_| group.target > to);
            let action = if !machines.is_empty() {
                Action::DropMachines { group: id.clone(), machines }
            } else if let Some(order) = short {
                if !group.is_overdue(limit, self.now) {
                    self.look_at(order.at + limit);
                    continue;
                }
                Action::LowerTarget { group: id.clone(), to }
            } else {
                continue;
            };
            if let Some(until) = group.keeps_until(self.now) {
                self.look_at(until);
                continue;
            }
            self.lost.insert(id);
            self.act_on(id, action);
        }
    }

    pub(super) fn fill_minimum(&self) -> Orders {
        // All nodes together have a maximum, which goes before the minimum of a group.
        let mut left =
            self.policy.nodes.most_nodes.map(|most| most.saturating_sub(self.all_nodes().0));
        let short = self.world.groups.iter().filter(|group| {
            let alone = group.failures.as_ref().is_some_and(|f| f.left_alone_until() > self.now);
            let open = !alone && !self.lost.contains(&group.id) && group.unseen.is_none();
            group.target < group.min && open
        });
        let filled = short.filter_map(|group| {
            let count = (group.min - group.target).min(left.unwrap_or(u32::MAX));
            left = left.map(|left| left - count);
            (count > 0).then(|| (group.id.clone(), (count, BTreeSet::new())))
        });
        filled.collect()
    }
}
