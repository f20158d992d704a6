//! A place for an instance: where there is room, and whose a model may get where there is none.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::nodes::Demand;
use super::{
    Action, InstanceView, ModelView, Planner, SHORTEST_TURN, STARTS_A_TURN, Stage, Turns, Why,
    World,
};
use crate::instance::EndCause;
use crate::room::{Ask, Holder, Lack, NoPlace, NodeId, Place, Rooms, Who};
use crate::{InstanceId, ModelId};

impl World {
    /// Who holds what on which node.
    pub fn rooms(&self) -> Rooms<'_> {
        let mut rooms = Rooms::new(&self.nodes);
        rooms.put_tenants(&self.tenants);
        for instance in &self.instances {
            let (Some(ask), Some(place)) = (&instance.ask, &instance.place) else { continue };
            if let Some(index) = rooms.find(&place.node) {
                let who = Who::Instance(instance.id);
                rooms.put(index, Holder { who, ask, devices: Cow::Borrowed(&place.devices) });
            }
        }
        rooms
    }
}

impl<'w> Planner<'w> {
    pub(super) fn rooms(&mut self) -> &mut Rooms<'w> {
        self.rooms.get_or_insert_with(|| self.world.rooms())
    }

    /// How full the instance's node is, and which it is, if it has one and rooms were looked at.
    pub(super) fn fullness_around(&self, instance: &'w InstanceView) -> Option<(u64, &'w NodeId)> {
        let (rooms, place) = (self.rooms.as_ref()?, instance.place.as_ref()?);
        let index = rooms.find(&place.node)?;
        Some((rooms.get(index).share(), &place.node))
    }

    /// Room for one more instance of the model, or why there is none.
    pub(super) fn place(&mut self, view: &ModelView, ask: &'w Ask) -> Result<Place, Why> {
        self.seen()?;
        let place = self.rooms().place(ask, Who::Planned);
        place.map_err(|no_place| self.no_place(view, ask, no_place))
    }

    /// The same without giving it the room.
    pub(super) fn has_place(&mut self, view: &ModelView, ask: &Ask) -> Result<(), Why> {
        self.seen()?;
        let place = self.rooms().has_place(ask);
        place.map_err(|no_place| self.no_place(view, ask, no_place))
    }

    fn seen(&self) -> Result<(), Why> {
        let unseen = self.world.unseen.as_ref();
        unseen.map_or(Ok(()), |unseen| Err(Why::Unseen { why: unseen.why.clone() }))
    }

    fn no_place(&mut self, view: &ModelView, ask: &Ask, NoPlace { lack, node }: NoPlace) -> Why {
        if lack.is_lasting() {
            return Why::FitsNowhere { lack };
        }
        self.make_room(view, ask);
        let held_by = node.map(|node| self.held_by(&node, &lack, view.id())).unwrap_or_default();
        Why::NoRoom { lack, held_by }
    }

    /// So many more instances would be launched if there were room.
    pub(super) fn demand(&mut self, view: &'w ModelView, needed: u64) {
        let Some(ask) = &view.ask else { return };
        let is_full = self.counted >= self.policy.max_instances;
        let gets_a_place = || {
            let is_first = self.instances_of(view.id()).is_empty();
            view.queue.is_some() && (is_first || !self.turns().idle.is_empty())
        };
        let count = match is_full {
            // Another one gives its place when there is room.
            true => u32::from(gets_a_place()),
            false => u32::try_from(needed).unwrap_or(u32::MAX).min(self.open_for(view)),
        };
        if count == 0 {
            return;
        }
        self.demands.push(Demand {
            model: Some(view.id()),
            ask,
            count,
            group: None,
            no: BTreeMap::new(),
        });
    }

    /// How many more instances of the model there may be.
    pub(super) fn open_for(&self, view: &ModelView) -> u32 {
        let planned =
            |action: &&Action| matches!(action, Action::Launch { model, .. } if model == view.id());
        let there =
            self.instances_of(view.id()).len() + self.plan.actions.iter().filter(planned).count();
        let of_model = view.most().saturating_sub(there as u32);
        of_model.min(self.policy.max_instances.saturating_sub(self.counted))
    }

    /// Which other models have on the node what is lacking.
    fn held_by(&self, node: &NodeId, lack: &Lack, but: &ModelId) -> Vec<ModelId> {
        let Lack::Taken { short } = lack else { return Vec::new() };
        let holds = |ask: &Ask| short.iter().any(|short| ask.amounts.get(&short.name) > 0);
        let there = self.world.instances.iter().filter(|instance| {
            instance.place.as_ref().is_some_and(|place| place.node == *node)
                && instance.ask.as_ref().is_some_and(holds)
                && instance.model != *but
        });
        let models: BTreeSet<&ModelId> = there.map(|instance| &instance.model).collect();
        models.into_iter().cloned().collect()
    }

    /// Retires, of other models' instances, the one that is idle the longest and that nobody needs, unless
    /// one is leaving already. Whoever waits goes before another model's minimum, but instances beyond the
    /// minimum go first.
    ///
    /// A model without any instance gets that of the model with the most, whose turn is over. Otherwise
    /// models that always have work would keep the others out for ever.
    pub(super) fn make_place(&mut self, view: &ModelView) {
        if self.somebody_leaves() || view.queue.is_none() {
            return;
        }
        self.rooms();
        let mut going = self.turns().idle.first().copied();
        if going.is_none() && self.instances_of(view.id()).is_empty() {
            going = self.turns().over.first().copied();
            self.look_when_a_turn_ends();
        }
        self.retire_for(view, going);
    }

    /// The same on the node where the fewest have to go so that it fits. That room is the model's from
    /// now on: what is served after it, such as a model's minimum, could take it again and again.
    fn make_room(&mut self, view: &ModelView, ask: &Ask) {
        if view.queue.is_none() {
            return;
        }
        let leaving = self.on_nodes(self.leavers());
        let Some(rooms) = &self.rooms else { return };
        let soon =
            leaving.iter().filter(|(index, gone)| rooms.fits_without(**index, ask, gone).is_some());
        if let Some((index, _)) = soon.min_by_key(|(index, _)| &rooms.get(**index).node().id) {
            return self.reserve(*index, ask);
        }
        let is_first = self.instances_of(view.id()).is_empty();
        let turns = self.turns();
        let over = if is_first { &turns.over[..] } else { &[] };
        let own: BTreeSet<InstanceId> = self.instances_of(view.id()).iter().map(|i| i.id).collect();
        let stays = |id: &&InstanceId| !own.contains(*id) && !self.leaving.contains(*id);
        let may_go: Vec<InstanceId> =
            turns.idle.iter().chain(over).filter(stays).copied().collect();
        let Some(rooms) = &self.rooms else { return };
        let ways =
            self.on_nodes(may_go.iter().copied()).into_iter().filter_map(|(index, there)| {
                let left = leaving.get(&index).map_or(&[][..], Vec::as_slice);
                let mut gone = rooms.fits_without(index, ask, &[left, &there].concat())?;
                gone.retain(|id| !left.contains(id));
                let busy = gone.iter().filter(|id| over.contains(id)).count();
                let rank = may_go.iter().position(|id| gone.first() == Some(id));
                Some((busy, gone.len(), rank, index, gone))
            });
        match ways.min() {
            Some((.., index, gone)) => {
                self.reserve(index, ask);
                self.retire_for(view, gone);
            }
            None if is_first => self.look_when_a_turn_ends(),
            None => {}
        }
    }

    fn reserve(&mut self, index: usize, ask: &Ask) {
        if let Some(rooms) = &mut self.rooms {
            rooms.reserve(index, &ask.amounts);
        }
    }

    /// Who is where, in the order in which they are given.
    fn on_nodes(
        &self,
        instances: impl IntoIterator<Item = InstanceId>,
    ) -> BTreeMap<usize, Vec<InstanceId>> {
        let mut nodes: BTreeMap<usize, Vec<InstanceId>> = BTreeMap::new();
        let Some(rooms) = &self.rooms else { return nodes };
        for id in instances {
            if let Some(index) = rooms.of_instance(id) {
                nodes.entry(index).or_default().push(id);
            }
        }
        nodes
    }

    /// Who goes: their room is free soon.
    fn leavers(&self) -> impl Iterator<Item = InstanceId> {
        let draining = self.world.instances.iter().filter(|i| i.stage == Stage::Draining);
        let draining: BTreeSet<InstanceId> = draining.map(|instance| instance.id).collect();
        draining.union(&self.leaving).copied().collect::<Vec<_>>().into_iter()
    }

    fn retire_for(&mut self, view: &ModelView, going: impl IntoIterator<Item = InstanceId>) {
        for id in going {
            let why = format!("{} needs the place", view.id());
            self.retire(id, EndCause::Retired { why });
        }
    }

    /// What leaves makes room by itself.
    fn somebody_leaves(&self) -> bool {
        !self.leaving.is_empty() || self.world.instances.iter().any(|i| i.stage == Stage::Draining)
    }

    fn look_when_a_turn_ends(&mut self) {
        if let Some(at) = self.turns().next_ends {
            self.look_at(at);
        }
    }

    fn turns(&self) -> &Turns {
        self.turns.get_or_init(|| self.look_for_turns())
    }

    fn look_for_turns(&self) -> Turns {
        let (mut idle, mut over, mut next_ends) = (Vec::new(), Vec::new(), None);
        for other in self.world.models.iter().filter(|other| !other.is_external()) {
            let instances = self.instances_of(other.id());
            let mut unneeded = Vec::new();
            for instance in instances {
                let Stage::Ready { launched_at, ready_at, idle_since } = instance.stage else {
                    continue;
                };
                if let (None, Some(since)) = (other.queue, idle_since) {
                    unneeded.push((self.fullness_around(instance), since, instance.id));
                }
                let end = ready_at + SHORTEST_TURN.max(ready_at.since(launched_at) * STARTS_A_TURN);
                if end <= self.now {
                    over.push((Reverse(instances.len()), ready_at, instance.id));
                } else {
                    next_ends = Some(next_ends.map_or(end, |first| end.min(first)));
                }
            }
            unneeded.sort_unstable();
            let longest = unneeded.iter().map(|(_, since, _)| *since).min();
            let min = other.model.limits.min_instances as usize;
            let beyond = instances.len().saturating_sub(min);
            let ranked = unneeded.into_iter().enumerate();
            idle.extend(ranked.map(|(n, (.., id))| (n >= beyond, longest, other.id(), n, id)));
        }
        idle.sort_unstable();
        over.sort_unstable();
        Turns {
            idle: idle.into_iter().map(|(.., id)| id).collect(),
            over: over.into_iter().map(|(_, _, id)| id).collect(),
            next_ends,
        }
    }
}
