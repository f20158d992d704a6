//! Down: nodes that nobody needs are cordoned, emptied and removed. No job is broken off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::{Action, InstanceView, ModelView, Planner, Stage};
use super::KeptWhy;
use super::headroom::{Needed, keeps_headroom};
use crate::InstanceId;
use crate::instance::EndCause;
use crate::room::{
    Ask, GroupId, GroupView, NodeId, NodeRoom, NodeStage, NodeView, Owner, Rooms, Tenant, TenantId,
    Who, healthy,
};

/// Most nodes that go at once: this part of them, and no more than that many.
const PART: usize = 10;
const MOST: usize = 10;
/// Nodes with something on them that are looked at in one plan, those that are used least first.
const LOOKED_AT: usize = 10;
/// Of a node that may be emptied no more than this is used, thousandths.
const HALF: u64 = 500;

/// How far a node is with moving what others run there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// It only might be emptied.
    Not,
    /// They were asked to go. Whoever is asked looks at the budgets.
    Goes,
    /// Their time for that is over.
    Late,
}

/// What may still go in this plan.
struct Budgets<'w> {
    nodes: usize,
    /// One node with something on it at a time.
    drains: usize,
    /// What a group will have when those that are cordoned are gone, and what it may lose in this plan.
    sizes: BTreeMap<&'w GroupId, u32>,
    removals: BTreeMap<&'w GroupId, u32>,
    /// How many more of what a budget is for may be away.
    disruptions: BTreeMap<&'w str, u32>,
    /// Groups that are well, as far as it can be seen.
    well: BTreeSet<&'w GroupId>,
    /// How many nodes the groups have for certain.
    certain: BTreeMap<&'w GroupId, u32>,
    needed: Needed<'w>,
}

impl<'w> Planner<'w> {
    pub(super) fn scale_down(&mut self, needed: Needed<'w>) {
        let world = self.world;
        let ours = world.nodes.iter().filter_map(|node| Some((node, self.group_of(node)?)));
        let mut ours: Vec<(&NodeView, &GroupView)> = ours.collect();
        ours.sort_by_key(|(node, _)| &node.id);
        self.rooms();
        let Some(mut rooms) = self.rooms.take() else { return };
        let mut left = self.budgets(&ours, &rooms, needed);
        let mut candidates = Vec::new();
        for (node, group) in &ours {
            let Some(index) = rooms.find(&node.id) else { continue };
            let is_going = matches!(node.stage, NodeStage::Cordoned { ours: true, .. });
            if is_going && group.only_advised.is_some() {
                // Whoever resizes the group knows nothing of our marks.
                self.plan.actions.push(Action::Uncordon { node: node.id.clone() });
                continue;
            }
            match self.no_candidate(node, group, rooms.get(index), &left) {
                Some(why) => {
                    if matches!(node.stage, NodeStage::Cordoned { ours: true, .. }) {
                        self.act_on(&group.id, Action::Uncordon { node: node.id.clone() });
                    }
                    self.keep(&node.id, why);
                }
                None => match node.stage {
                    NodeStage::Cordoned { ours: true, since } => {
                        self.go_on(node, group, since, &mut rooms, &mut left);
                    }
                    _ => candidates.push((rooms.get(index).share(), *node, *group)),
                },
            }
        }
        // Those that are empty first, then those that are used least; of these the longest unneeded first.
        candidates.sort_by_key(|(share, node, _)| {
            (*share, node.unneeded_since.unwrap_or(self.now), &node.id)
        });
        let mut looked_at = 0;
        for (_, node, group) in candidates {
            let is_empty = self.is_empty(node, &rooms);
            looked_at += usize::from(!is_empty);
            if looked_at > LOOKED_AT && !is_empty {
                self.keep(&node.id, KeptWhy::InTurn);
                continue;
            }
            self.look_at_candidate(node, group, is_empty, &mut rooms, &mut left);
        }
    }

    fn group_of(&self, node: &NodeView) -> Option<&'w GroupView> {
        self.world.groups.iter().find(|group| Some(&group.id) == node.group.as_ref())
    }

    /// How many nodes the group has for certain: those that are there and that its provider aims at.
    fn size(&self, group: &GroupView) -> u32 {
        group.target.min(group.registered(&self.world.nodes).count() as u32)
    }

    fn budgets(
        &self,
        ours: &[(&'w NodeView, &'w GroupView)],
        rooms: &Rooms<'w>,
        needed: Needed<'w>,
    ) -> Budgets<'w> {
        let going = |node: &NodeView| matches!(node.stage, NodeStage::Cordoned { ours: true, .. });
        let gone: Vec<_> = ours.iter().filter(|(node, _)| going(node)).collect();
        let most = (ours.len() / PART).clamp(1, MOST);
        let draining = gone.iter().filter(|(node, _)| !self.is_empty(node, rooms)).count();
        let world = self.world;
        let certain: BTreeMap<&GroupId, u32> =
            world.groups.iter().map(|group| (&group.id, self.size(group))).collect();
        let all_well = healthy(world.nodes.iter());
        let well = world.groups.iter().filter(|it| all_well && it.is_healthy(&world.nodes));
        let mut sizes = certain.clone();
        for (_, group) in &gone {
            sizes.entry(&group.id).and_modify(|size| *size = size.saturating_sub(1));
        }
        let budgets = world.budgets.iter();
        Budgets {
            nodes: most.saturating_sub(gone.len()),
            drains: 1usize.saturating_sub(draining),
            sizes,
            removals: world
                .groups
                .iter()
                .map(|it| {
                    (&it.id, certain.get(&it.id).map_or(0, |size| size.saturating_sub(it.min)))
                })
                .collect(),
            disruptions: budgets.map(|budget| (budget.name.as_str(), budget.allowed)).collect(),
            well: well.map(|group| &group.id).collect(),
            certain,
            needed,
        }
    }

    /// Why the node stays, whatever is on it can do.
    fn no_candidate(
        &self,
        node: &NodeView,
        group: &GroupView,
        room: &NodeRoom<'w>,
        left: &Budgets<'w>,
    ) -> Option<KeptWhy> {
        match &node.stage {
            NodeStage::Ready | NodeStage::Cordoned { ours: true, .. } => {}
            NodeStage::Cordoned { ours: false, .. } | NodeStage::Drained { .. } => {
                return Some(KeptWhy::CordonedByOthers);
            }
            NodeStage::Booting { .. } | NodeStage::Unready { .. } | NodeStage::Leaving { .. } => {
                return Some(KeptWhy::NotReady);
            }
        }
        if let Some(until) = group.keeps_until(self.now) {
            return Some(KeptWhy::RemovalRefused { until });
        }
        if let Some(why) = &node.keep {
            return Some(KeptWhy::Asked { why: why.clone() });
        }
        if self.world.unseen.is_some() || group.unseen.is_some() {
            return Some(KeptWhy::Unseen);
        }
        if !left.well.contains(&group.id) {
            return Some(KeptWhy::Unhealthy);
        }
        let Needed { nodes, groups, .. } = &left.needed;
        if nodes.contains(&node.id) || groups.contains(&group.id) {
            return Some(KeptWhy::Needed);
        }
        if left.certain.get(&group.id).is_none_or(|size| *size <= group.min) {
            return Some(KeptWhy::AtMinimum { min: group.min });
        }
        let is_ready = node.stage == NodeStage::Ready;
        (room.share() > HALF && is_ready && !room.is_empty()).then_some(KeptWhy::Used)
    }

    fn is_empty(&self, node: &NodeView, rooms: &Rooms<'w>) -> bool {
        rooms.find(&node.id).is_none_or(|index| rooms.get(index).is_empty())
    }

    /// A node that is cordoned: it is emptied, and goes when it was empty for a moment.
    fn go_on(
        &mut self,
        node: &'w NodeView,
        group: &'w GroupView,
        since: crate::Timestamp,
        rooms: &mut Rooms<'w>,
        left: &mut Budgets<'w>,
    ) {
        let why = "nobody needs it".to_owned();
        let late = since + self.policy.nodes.drain_limit();
        let drain = if late > self.now { Drain::Goes } else { Drain::Late };
        let moved = self.moves(node, drain, rooms, left);
        if moved.is_ok() && self.is_empty(node, rooms) {
            let removals = left.removals.entry(&group.id).or_default();
            let Some(fewer) = removals.checked_sub(1) else {
                self.act_on(&group.id, Action::Uncordon { node: node.id.clone() });
                return self.keep(&node.id, KeptWhy::AtMinimum { min: group.min });
            };
            *removals = fewer;
            let settled = since + self.policy.nodes.settled();
            if settled <= self.now {
                self.act_on(&group.id, Action::RemoveNode { node: node.id.clone(), why });
            } else {
                self.look_at(settled);
            }
            return self.plan.unneeded.push(node.id.clone());
        }
        match moved {
            Ok(tenants) => {
                self.plan.unneeded.push(node.id.clone());
                if !tenants.is_empty() {
                    self.look_at(late);
                }
                for tenant in tenants {
                    self.act_on(&group.id, Action::Evict { tenant, why: why.clone() });
                }
                self.empty_of_instances(&node.id);
            }
            Err(why) => {
                self.act_on(&group.id, Action::Uncordon { node: node.id.clone() });
                self.keep(&node.id, why);
            }
        }
    }

    fn look_at_candidate(
        &mut self,
        node: &'w NodeView,
        group: &'w GroupView,
        is_empty: bool,
        rooms: &mut Rooms<'w>,
        left: &mut Budgets<'w>,
    ) {
        let Some(size) = left.sizes.get(&group.id).copied() else { return };
        if size <= group.min {
            return self.keep(&node.id, KeptWhy::AtMinimum { min: group.min });
        }
        if let Err(why) = self.moves(node, Drain::Not, rooms, left) {
            return self.keep(&node.id, why);
        }
        self.plan.unneeded.push(node.id.clone());
        let policy = &self.policy.nodes;
        let seconds = if is_empty { policy.empty_seconds } else { policy.unneeded_seconds };
        let wait = Duration::from_secs(u64::from(seconds));
        let until = node.unneeded_since.unwrap_or(self.now) + wait;
        if until > self.now {
            self.look_at(until);
            return self.keep(&node.id, KeptWhy::Unneeded { until });
        }
        if left.nodes == 0 || (!is_empty && left.drains == 0) {
            return self.keep(&node.id, KeptWhy::InTurn);
        }
        left.nodes -= 1;
        left.drains -= usize::from(!is_empty);
        left.sizes.insert(&group.id, size - 1);
        let why = if is_empty { "it is empty" } else { "what is on it has room elsewhere" };
        self.act_on(&group.id, Action::Cordon { node: node.id.clone(), why: why.into() });
    }

    /// Could all that is on the node be elsewhere at once? Answers with whom to evict; what it found stays
    /// taken, so that the next node finds its own.
    fn moves(
        &self,
        node: &'w NodeView,
        drain: Drain,
        rooms: &mut Rooms<'w>,
        left: &mut Budgets<'w>,
    ) -> Result<Vec<TenantId>, KeptWhy> {
        let Some(index) = rooms.find(&node.id) else { return Ok(Vec::new()) };
        let (mut moving, mut evicted) = (Vec::<&'w Ask>::new(), Vec::new());
        let mut disruptions = left.disruptions.clone();
        let mut holders: Vec<_> = rooms.get(index).holders().iter().collect();
        holders.sort_by_key(|holder| holder.who);
        for holder in holders {
            match holder.who {
                Who::Planned => return Err(KeptWhy::Needed),
                Who::Instance(id) if self.need_not_move(id) => {}
                Who::Instance(_) => moving.push(holder.ask),
                Who::Tenant(tenant) if tenant.goes_with_node() || goes(tenant, drain) => {}
                Who::Tenant(tenant) => {
                    self.may_be_evicted(tenant, drain, &mut disruptions)?;
                    moving.push(holder.ask);
                    evicted.push(tenant.id.clone());
                }
            }
        }
        rooms.close(index);
        let mut taken = Vec::new();
        let all_move = moving.iter().all(|ask| {
            let place = rooms.place(ask, Who::Planned);
            taken.extend(place.as_ref().ok().and_then(|place| rooms.find(&place.node)));
            place.is_ok()
        });
        let why_not = match all_move {
            false => Some(KeptWhy::NoRoomElsewhere),
            true => (!keeps_headroom(index, &moving, &taken, &mut left.needed))
                .then_some(KeptWhy::Needed),
        };
        if let Some(why) = why_not {
            rooms.take_all_back(taken);
            rooms.reopen(index);
            return Err(why);
        }
        left.disruptions = disruptions;
        Ok(evicted)
    }

    /// Is there no need for a place elsewhere for it?
    fn need_not_move(&self, id: InstanceId) -> bool {
        let Some(instance) = self.world.instances.iter().find(|it| it.id == id) else {
            return true;
        };
        if self.leaving.contains(&id) || instance.stage == Stage::Draining {
            return true;
        }
        let Some(view) = self.view_of(instance) else { return true };
        let others = self.instances_of(view.id());
        let kept = self.staying(others) <= view.model.limits.min_instances;
        if self.is_on_a_closed_node(instance) {
            // It finishes what it has. Who does the rest has a place already, or gets it when this one is gone.
            let elsewhere = others.iter().any(|it| {
                it.stage != Stage::Draining && it.place.is_some() && !self.is_on_a_closed_node(it)
            });
            let at_most = others.len() as u32 >= view.most();
            let launched =
                self.plan.actions.iter().any(
                    |action| matches!(action, Action::Launch { model, .. } if model == view.id()),
                );
            return elsewhere || launched || at_most || (view.queue.is_none() && !kept);
        }
        let idle = matches!(instance.stage, Stage::Ready { idle_since: Some(_), .. });
        idle && view.queue.is_none() && !kept
    }

    fn view_of(&self, instance: &InstanceView) -> Option<&'w ModelView> {
        self.world.models.iter().find(|view| *view.id() == instance.model)
    }

    /// How many of them are not going already.
    fn staying(&self, instances: &[&InstanceView]) -> u32 {
        let stays =
            |it: &&&InstanceView| it.stage != Stage::Draining && !self.leaving.contains(&it.id);
        instances.iter().filter(stays).count() as u32
    }

    fn may_be_evicted(
        &self,
        tenant: &'w Tenant,
        drain: Drain,
        left: &mut BTreeMap<&'w str, u32>,
    ) -> Result<(), KeptWhy> {
        let blocked = |why: String| KeptWhy::Blocked { by: tenant.id.0.clone(), why };
        if let Some(why) = &tenant.stays_because {
            return Err(blocked(why.clone()));
        }
        if tenant.owner == Owner::None {
            return Err(blocked("nobody would start it again".to_owned()));
        }
        match (drain, &tenant.refused) {
            (Drain::Goes, _) => return Ok(()),
            (Drain::Not | Drain::Late, Some(why)) => return Err(blocked(why.clone())),
            (Drain::Late, None) => {
                let seconds = self.policy.nodes.drain_limit_seconds;
                let why = format!("it was asked to go elsewhere, and is there after {seconds} s");
                return Err(blocked(why));
            }
            (Drain::Not, None) => {}
        }
        let budgets = self.world.budgets.iter().filter(|budget| {
            budget.namespace == tenant.ask.namespace
                && budget.who.iter().all(|requirement| requirement.holds(&tenant.ask.labels))
        });
        for budget in budgets {
            let allowed = left.entry(&budget.name).or_default();
            *allowed = allowed.checked_sub(1).ok_or_else(|| {
                blocked(format!("the budget {} lets no more of them go", budget.name))
            })?;
        }
        Ok(())
    }

    /// Idle instances go, busy ones finish what they have; if their model needs them, only once another one
    /// is ready elsewhere.
    fn empty_of_instances(&mut self, node: &NodeId) {
        let world = self.world;
        let there = |it: &&InstanceView| it.place.as_ref().is_some_and(|place| place.node == *node);
        let mut there: Vec<&InstanceView> = world.instances.iter().filter(there).collect();
        there.sort_by_key(|instance| instance.id);
        for instance in there {
            let goes = self.leaving.contains(&instance.id) || instance.stage == Stage::Draining;
            if goes || self.is_needed_until_replaced(instance) {
                continue;
            }
            self.retire(instance.id, EndCause::Retired { why: "nobody needs its node".to_owned() });
        }
    }

    fn is_needed_until_replaced(&self, instance: &InstanceView) -> bool {
        let Some(view) = self.view_of(instance) else { return false };
        let others = self.instances_of(view.id());
        let kept = self.staying(others) <= view.model.limits.min_instances;
        let elsewhere = others.iter().any(|other| {
            matches!(other.stage, Stage::Ready { .. }) && !self.is_on_a_closed_node(other)
        });
        // No further one may be launched before this one has ended.
        let at_most = others.len() as u32 >= view.most();
        (view.queue.is_some() || kept) && !elsewhere && !at_most
    }

    /// What runs on nodes that are drained, or that their owner takes away, ends as soon as it can.
    pub(in super::super) fn leave_nodes(&mut self) {
        let world = self.world;
        for instance in &world.instances {
            let node = instance.place.as_ref().and_then(|place| self.stages.get(&place.node));
            let why = match node {
                _ if instance.stage == Stage::Draining => continue,
                Some(NodeStage::Leaving { .. }) => "its node is taken away",
                Some(NodeStage::Drained { .. }) => "its node is drained",
                _ => continue,
            };
            self.retire(instance.id, EndCause::Retired { why: why.to_owned() });
        }
    }

    /// Is it on a node that gets nothing new, so that another one has to do its work soon?
    pub(in super::super) fn is_on_a_closed_node(&self, instance: &InstanceView) -> bool {
        let stage = instance.place.as_ref().and_then(|place| self.stages.get(&place.node));
        stage.is_some_and(|stage| {
            matches!(
                stage,
                NodeStage::Cordoned { ours: true, .. }
                    | NodeStage::Drained { .. }
                    | NodeStage::Leaving { .. }
            )
        })
    }
}

/// Does it leave by itself, so that it need not be moved? Whoever makes it again finds a place for that one.
fn goes(tenant: &Tenant, drain: Drain) -> bool {
    let is_in_time = match drain {
        Drain::Not => tenant.refused.is_none(),
        Drain::Goes => true,
        Drain::Late => false,
    };
    tenant.leaves && is_in_time && tenant.stays_because.is_none()
}
