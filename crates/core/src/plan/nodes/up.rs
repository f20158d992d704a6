//! Up: one order a group, with the whole count, for everything that waits.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, InstanceView, Planner, Stage, Why};
use super::Demand;
use super::headroom::{Needed, Spare, place_all};
use crate::room::{
    Ask, FailureClass, GroupId, GroupView, LEFT_ALONE, NoOption, NodeId, NodeStage, NodeView,
    Rooms, Template, Who, split,
};
use crate::{Amounts, ModelId};

/// How many nodes of a group, and for whom; for nobody if only its minimum is filled.
pub(super) type Orders = BTreeMap<GroupId, (u32, BTreeSet<String>)>;

/// What was ordered by this plan.
struct Ordered {
    of: Orders,
    /// How many nodes there were to be before, and what they have.
    before: (u32, Amounts),
}

/// What nodes of a group would do for what waits.
struct Offer<'w> {
    group: &'w GroupView,
    nodes: u32,
    /// Of each demand, how many of it they serve.
    served: Vec<u32>,
    /// Thousandths of the new nodes that stay free.
    waste: u64,
}

impl<'w> Planner<'w> {
    /// Orders what is missing.
    pub(super) fn scale_up(&mut self) -> Needed<'w> {
        let world = self.world;
        let mut demands = std::mem::take(&mut self.demands);
        self.drop_lost();
        let filled = self.fill_minimum();
        // Who waits for its own place, as a pod does.
        let pending = world.instances.iter().filter(|it| it.place.is_none() && self.starts(it));
        let asked = pending.filter_map(|instance| Some((&instance.model, instance.ask.as_ref()?)));
        demands.extend(asked.map(|(model, ask)| Demand {
            model: Some(model),
            ask,
            count: 1,
            group: None,
            no: BTreeMap::new(),
        }));
        let headroom = self.headroom();
        if demands.is_empty() && headroom.is_empty() {
            self.act_on_orders(filled);
            return Needed::default();
        }
        let mut rooms = self.rooms_soon();
        self.add_ordered(&mut rooms, &filled);
        sort(&mut demands);
        let nodes = self.wait_for_what_comes(&mut rooms, &mut demands);
        let (taken, missing) = place_all(&mut rooms, &headroom);
        demands.extend(headroom.iter().zip(&missing).map(|(Spare { ask, group, .. }, count)| {
            Demand { model: None, ask, count: *count, group: *group, no: BTreeMap::new() }
        }));
        demands.retain(|demand| demand.count > 0);
        let groups = self.order(demands, &rooms, filled);
        rooms.take_all_back(taken);
        Needed { nodes, groups, headroom, missing: missing.iter().sum(), soon: rooms }
    }

    fn starts(&self, instance: &InstanceView) -> bool {
        let starts = matches!(instance.stage, Stage::Starting { .. } | Stage::Preparing { .. });
        starts && !self.leaving.contains(&instance.id)
    }

    /// Nodes as they will be when who leaves has left and who boots is there.
    fn rooms_soon(&mut self) -> Rooms<'w> {
        let world = self.world;
        let mut rooms = self.rooms().clone();
        let draining = world.instances.iter().filter(|it| it.stage == Stage::Draining);
        let leaving: BTreeSet<_> =
            draining.map(|it| it.id).chain(self.leaving.iter().copied()).collect();
        rooms.remove(&leaving);
        for node in &world.nodes {
            // Who is needed after all is uncordoned.
            if let (NodeStage::Cordoned { ours: true, .. }, Some(index)) =
                (&node.stage, rooms.find(&node.id))
            {
                rooms.make_ready(index);
            }
        }
        self.add_booting(&mut rooms);
        rooms
    }

    /// Nodes that this plan orders anyway.
    fn add_ordered(&self, rooms: &mut Rooms<'w>, orders: &Orders) {
        let limit = self.policy.nodes.boot_limit();
        for (id, (count, _)) in orders {
            let group = self.world.groups.iter().find(|group| group.id == *id);
            let Some((group, template)) = group.and_then(|it| Some((it, it.template.as_ref()?)))
            else {
                continue;
            };
            let first = group.upcoming(&self.world.nodes, limit, self.now);
            for n in first..first + count {
                self.add_new(rooms, template.node(group, n));
            }
        }
    }

    fn act_on_orders(&mut self, orders: Orders) {
        for (group, (count, models)) in orders {
            let min = self.world.groups.iter().find(|it| it.id == group).map_or(0, |it| it.min);
            let why = match models.is_empty() {
                true => format!("the group keeps at least {min}"),
                false => {
                    let models: Vec<String> = models.into_iter().collect();
                    format!("room for {}", models.join(", "))
                }
            };
            self.act_on(&group, Action::AddNodes { group: group.clone(), count, why });
        }
    }

    /// Nodes that are not ready yet, as they will be.
    fn add_booting(&self, rooms: &mut Rooms<'w>) {
        let (world, limit) = (self.world, self.policy.nodes.boot_limit());
        let mut nodes: Vec<&NodeView> = world.nodes.iter().collect();
        nodes.sort_unstable_by_key(|node| &node.id);
        for node in nodes {
            let NodeStage::Booting { since, .. } = node.stage else { continue };
            if since + limit <= self.now {
                continue;
            }
            let group = world.groups.iter().find(|group| Some(&group.id) == node.group.as_ref());
            let will_be = group.and_then(|group| Some((group, group.template.as_ref()?)));
            let soon = match will_be {
                Some((group, template)) => {
                    NodeView { id: node.id.clone(), ..template.node(group, 0) }
                }
                None => NodeView { stage: NodeStage::Ready, ..node.clone() },
            };
            self.add_new(rooms, soon);
        }
        let mut groups: Vec<&GroupView> = world.groups.iter().collect();
        groups.sort_unstable_by_key(|group| &group.id);
        for group in groups {
            let Some(template) = &group.template else { continue };
            for n in 0..group.upcoming(&world.nodes, limit, self.now) {
                self.add_new(rooms, template.node(group, n));
            }
        }
    }

    /// A node on which only what every node runs is.
    fn add_new(&self, rooms: &mut Rooms<'w>, mut node: NodeView) {
        let daemons = self.world.daemons.iter();
        let there = daemons.filter(|it| crate::room::suits(&it.ask, &node).is_ok());
        let taken = there.fold(Amounts::default(), |sum, it| sum.plus(&it.ask.amounts));
        node.allocatable = node.allocatable.less(&taken);
        rooms.add(Cow::Owned(node));
    }

    /// What has room on what is being freed, or on nodes that are still booting, waits for that.
    fn wait_for_what_comes(
        &mut self,
        rooms: &mut Rooms<'w>,
        demands: &mut [Demand<'w>],
    ) -> BTreeSet<NodeId> {
        let mut needed = BTreeSet::new();
        let there: BTreeSet<&NodeId> =
            self.world.nodes.iter().filter(|it| it.is_open()).map(|it| &it.id).collect();
        for demand in demands {
            while demand.count > 0
                && let Some(place) = rooms.place_from(0, demand.ask, Who::Planned)
            {
                demand.count -= 1;
                if let Some(model) = demand.model.filter(|_| !there.contains(&place.node)) {
                    let index = rooms.find(&place.node);
                    let group = index.and_then(|index| rooms.get(index).node().group.clone());
                    self.say(model, self.starting(group.as_ref()));
                }
                needed.insert(place.node);
            }
        }
        needed
    }

    fn starting(&self, group: Option<&GroupId>) -> Why {
        let view = self.world.groups.iter().find(|view| Some(&view.id) == group);
        Why::NodeStarting {
            group: group.cloned(),
            usual_seconds: view.and_then(|view| view.boot_seconds),
        }
    }

    /// Answers with the groups of which no more may be had, and would be.
    fn order(
        &mut self,
        mut demands: Vec<Demand<'w>>,
        soon: &Rooms<'w>,
        filled: Orders,
    ) -> BTreeSet<&'w GroupId> {
        let mut ordered = Ordered { of: filled, before: self.all_nodes() };
        for demand in &mut demands {
            let no = self
                .world
                .groups
                .iter()
                .filter_map(|group| Some((&group.id, self.no_option(group, demand)?)));
            demand.no = no.collect();
        }
        sort(&mut demands);
        while let Some(offer) = self.best_offer(&demands, &ordered, soon) {
            let siblings = self.siblings(offer.group, &demands, &ordered);
            let parts = split(offer.nodes, &siblings.iter().collect::<Vec<_>>());
            for (demand, served) in demands.iter_mut().zip(&offer.served) {
                demand.count -= served;
                // What is only advised comes if somebody else orders it: nothing is promised.
                let comes = *served > 0 && !self.is_advised(&offer.group.id);
                if let (Some(model), true) = (demand.model, comes) {
                    self.say(model, self.starting(Some(&offer.group.id)));
                }
                for (group, _) in parts.iter().filter(|_| *served > 0) {
                    let for_whom = demand.model.map_or("headroom".to_owned(), ModelId::to_string);
                    ordered.of.entry(group.clone()).or_default().1.insert(for_whom);
                }
            }
            for (group, count) in parts {
                ordered.of.entry(group).or_default().0 += count;
            }
            demands.retain(|demand| demand.count > 0);
        }
        self.act_on_orders(ordered.of);
        let mut full = BTreeSet::new();
        for demand in demands {
            let its =
                self.world.groups.iter().filter(|it| demand.group.is_none_or(|g| *g == it.id));
            let no_more = its.filter(|group| {
                matches!(demand.no.get(&group.id), None | Some(NoOption::AtMaximum { .. }))
            });
            full.extend(no_more.map(|group| &group.id));
            self.say_no(&demand);
        }
        full
    }

    /// Groups that differ from this one only in their zone, with what is ordered already, this one too.
    fn siblings(
        &self,
        group: &GroupView,
        demands: &[Demand<'w>],
        ordered: &Ordered,
    ) -> Vec<GroupView> {
        let named = demands.iter().any(|demand| demand.group.is_some());
        let all = self.world.groups.iter();
        let like = all.filter(|other| {
            other.id == group.id
                || (!named
                    && other.is_sibling(group)
                    && other.only_advised.is_some() == group.only_advised.is_some()
                    && demands.iter().all(|demand| {
                        demand.no.contains_key(&group.id) || !demand.no.contains_key(&other.id)
                    }))
        });
        like.map(|group| sized(group, ordered)).collect()
    }

    /// Of the groups that serve anything: by priority, then the least waste, the price, the fewest nodes.
    fn best_offer(
        &self,
        demands: &[Demand<'w>],
        ordered: &Ordered,
        soon: &Rooms<'w>,
    ) -> Option<Offer<'w>> {
        let offers =
            self.world.groups.iter().filter_map(|group| self.offer(group, demands, ordered, soon));
        offers.min_by_key(|offer| {
            let GroupView { id, priority, price, .. } = offer.group;
            let price = price.saturating_mul(u64::from(offer.nodes));
            (Reverse(*priority), offer.waste, price, offer.nodes, id)
        })
    }

    /// How many nodes of the group what waits needs, and which part of it they serve.
    fn offer(
        &self,
        group: &'w GroupView,
        demands: &[Demand<'w>],
        ordered: &Ordered,
        soon: &Rooms<'w>,
    ) -> Option<Offer<'w>> {
        let template = group.template.as_ref()?;
        let open = self.room_for_nodes(group, template, demands, ordered);
        // Who looks at others has to see them all.
        let all = demands.iter().any(|demand| demand.ask.minds_others());
        let mut rooms = if all { soon.clone() } else { Rooms::default() };
        let first = rooms.len();
        let mut served = Vec::new();
        for demand in demands {
            let mut count = 0;
            let is_for_it = demand.group.is_none_or(|only| *only == group.id);
            if is_for_it && !demand.no.contains_key(&group.id) {
                while count < demand.count {
                    if rooms.place_from(first, demand.ask, Who::Planned).is_none() {
                        let new = (rooms.len() - first) as u32;
                        if new >= open {
                            break;
                        }
                        self.add_new(&mut rooms, template.node(group, new));
                        if rooms.place_from(first, demand.ask, Who::Planned).is_none() {
                            break;
                        }
                    }
                    count += 1;
                }
            }
            served.push(count);
        }
        if served.iter().all(|count| *count == 0) {
            return None;
        }
        let used = (first..rooms.len()).filter(|index| !rooms.get(*index).holders().is_empty());
        let nodes = used.clone().count() as u32;
        let waste: u64 = used.map(|index| 1000 - rooms.get(index).share().min(1000)).sum();
        Some(Offer { group, nodes, served, waste: waste / u64::from(nodes.max(1)) })
    }

    /// How many more nodes of the group there may be: its maximum, and what all nodes together may be.
    fn room_for_nodes(
        &self,
        group: &GroupView,
        template: &Template,
        demands: &[Demand<'w>],
        ordered: &Ordered,
    ) -> u32 {
        let siblings = self.siblings(group, demands, ordered).into_iter();
        let open: u32 = siblings.map(|group| group.max.saturating_sub(group.target)).sum();
        let limits = &self.policy.nodes;
        let (mut nodes, mut amounts) = ordered.before.clone();
        for group in &self.world.groups {
            let Some((count, _)) = ordered.of.get(&group.id) else { continue };
            nodes += count;
            if let Some(template) = &group.template {
                amounts.add(&template.allocatable.times(u64::from(*count)));
            }
        }
        let mut open = limits.most_nodes.map_or(open, |most| open.min(most.saturating_sub(nodes)));
        let limited =
            ["cpu", "memory"].into_iter().chain(limits.most.named.keys().map(String::as_str));
        for name in limited {
            let (most, each) = (limits.most.get(name), template.allocatable.get(name));
            if most > 0 && each > 0 {
                let left = most.saturating_sub(amounts.get(name)) / each;
                open = open.min(u32::try_from(left).unwrap_or(u32::MAX));
            }
        }
        open
    }

    /// How many nodes there are or will be, and what they have.
    pub(super) fn all_nodes(&self) -> (u32, Amounts) {
        let (mut count, mut all) = (self.world.nodes.len() as u32, Amounts::default());
        for node in &self.world.nodes {
            all.add(&node.allocatable);
        }
        for group in &self.world.groups {
            let there = group.registered(&self.world.nodes).count() as u32;
            let coming = group.target.saturating_sub(there);
            count += coming;
            if let Some(template) = &group.template {
                all.add(&template.allocatable.times(u64::from(coming)));
            }
        }
        (count, all)
    }

    /// Why nothing is ordered of the group for this.
    fn no_option(&self, group: &GroupView, demand: &Demand<'_>) -> Option<NoOption> {
        let daemons = |group: &GroupView| {
            let template = group.template.as_ref();
            template.map(|it| it.daemons(group, &self.world.daemons)).unwrap_or_default()
        };
        if let Err(why) = group.option(demand.ask, &daemons(group), self.now) {
            return Some(why);
        }
        if self.lost.contains(&group.id) {
            // It is counted as a failure, and the group left alone, once this plan is carried out.
            let (until, class) = (self.now + LEFT_ALONE, FailureClass::DidNotCome);
            return Some(NoOption::Failing { until, class, message: String::new() });
        }
        let plain = demand.ask.amounts.named.values().all(|of| *of == 0);
        let elsewhere = |ask: &Ask| {
            self.world.groups.iter().filter(|other| !other.has_gpus()).any(|other| {
                !matches!(
                    other.option(ask, &daemons(other), self.now),
                    Err(NoOption::Fits { .. } | NoOption::NoTemplate)
                )
            })
        };
        let anywhere = demand.group.is_none();
        (anywhere && plain && group.has_gpus() && elsewhere(demand.ask))
            .then_some(NoOption::KeptForGpus)
    }

    /// No node is ordered for it: the model waits for this reason.
    fn say_no(&mut self, demand: &Demand<'w>) {
        let Some(model) = demand.model else { return };
        let mut reasons: Vec<(u8, &GroupId, NoOption)> = Vec::new();
        for group in &self.world.groups {
            let why = demand
                .no
                .get(&group.id)
                .cloned()
                .unwrap_or_else(|| NoOption::AtLimit { what: "nodes.most".to_owned() });
            let rank = match why {
                NoOption::Failing { .. } => 0,
                NoOption::AtMaximum { .. } | NoOption::AtLimit { .. } => 1,
                NoOption::Unseen { .. } | NoOption::NoTemplate => 2,
                NoOption::KeptForGpus => 3,
                NoOption::Fits { .. } => 4,
            };
            if let NoOption::Failing { until, .. } = why {
                self.look_at(until);
            }
            reasons.push((rank, &group.id, why));
        }
        let nearest = reasons.into_iter().min_by_key(|(rank, group, _)| (*rank, *group));
        match nearest {
            // It is said already why it fits no node.
            None | Some((_, _, NoOption::Fits { .. } | NoOption::KeptForGpus)) => {}
            Some((_, group, no)) => {
                let why = Why::NoNode { group: group.clone(), no };
                self.say(model, why);
            }
        }
    }

    /// A better reason than the one that was found without nodes to come.
    fn say(&mut self, model: &ModelId, why: Why) {
        let held = self.plan.held.iter_mut().find(|held| held.model == *model);
        if let Some(held) = held
            && matches!(held.why, Why::NoRoom { .. } | Why::FitsNowhere { .. } | Why::NoNode { .. })
        {
            held.why = why;
        }
    }
}

/// Work, then headroom that may be in one group only, then other headroom; of these the largest first, since what
/// is left of their nodes is for the smaller ones.
fn sort(demands: &mut [Demand<'_>]) {
    demands
        .sort_by_key(|it| (it.model.is_none(), it.group.is_none(), Reverse(size(&it.ask.amounts))));
}

/// The group with what is ordered of it.
fn sized(group: &GroupView, ordered: &Ordered) -> GroupView {
    let more = ordered.of.get(&group.id).map_or(0, |(count, _)| *count);
    GroupView { target: group.target.saturating_add(more), ..group.clone() }
}

/// For an order of asks: who needs GPUs, then memory, then cores.
pub(super) fn size(amounts: &Amounts) -> (u64, u64, u64) {
    (amounts.named.values().sum(), amounts.memory, amounts.cpu)
}
