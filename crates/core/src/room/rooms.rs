//! Who holds what on which node, while a plan is made.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::ask::Ask;
use super::fit::{Lack, short, suits};
use super::neighbours::Around;
use super::node::{DeviceId, Effect, NodeId, NodeStage, NodeView, Place, TenantId};
use crate::{Amounts, InstanceId};

/// All nodes with who is on them.
#[derive(Clone, Default)]
pub struct Rooms<'w> {
    nodes: Vec<NodeRoom<'w>>,
    index: HashMap<NodeId, usize>,
    instances: HashMap<InstanceId, usize>,
    /// Those who stay away from somebody, with their nodes.
    strict: Vec<(usize, &'w Ask)>,
    /// Where the last one got its place: the next one that asks the same gets its place there too as long
    /// as it fits, since the node has become fuller.
    last: Option<(&'w Ask, usize)>,
}

/// A node and who holds room on it.
#[derive(Clone)]
pub struct NodeRoom<'w> {
    pub(super) node: Cow<'w, NodeView>,
    held: Amounts,
    /// Kept free, for those who wait until others have left.
    reserved: Amounts,
    holders: Vec<Holder<'w>>,
    /// Nothing more is placed there, whatever its stage.
    closed: bool,
}

/// One who holds room.
#[derive(Clone, Debug)]
pub struct Holder<'w> {
    pub who: Who<'w>,
    pub ask: &'w Ask,
    pub devices: Cow<'w, [DeviceId]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who<'w> {
    Instance(InstanceId),
    Tenant(&'w TenantId),
    /// It is launched by the plan that is being made.
    Planned,
}

/// Why no node takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPlace {
    /// Of the node that lacks the least; lasting if it could be on none of them, however empty.
    pub lack: Lack,
    pub node: Option<NodeId>,
}

impl<'w> Rooms<'w> {
    pub fn new(nodes: impl IntoIterator<Item = &'w NodeView>) -> Self {
        let mut rooms = Self::default();
        for node in nodes {
            rooms.add(Cow::Borrowed(node));
        }
        rooms
    }

    /// One more node, with nobody on it.
    pub fn add(&mut self, node: Cow<'w, NodeView>) -> usize {
        let index = self.nodes.len();
        self.index.insert(node.id.clone(), index);
        self.nodes.push(NodeRoom {
            node,
            held: Amounts::default(),
            reserved: Amounts::default(),
            holders: Vec::new(),
            closed: false,
        });
        index
    }

    pub fn find(&self, node: &NodeId) -> Option<usize> {
        self.index.get(node).copied()
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn get(&self, index: usize) -> &NodeRoom<'w> {
        &self.nodes[index]
    }

    /// Somebody has room there, whether it fits or not.
    pub fn put(&mut self, index: usize, holder: Holder<'w>) {
        if !holder.ask.apart.is_empty() {
            self.strict.push((index, holder.ask));
        }
        if let Who::Instance(id) = holder.who {
            self.instances.insert(id, index);
        }
        let room = &mut self.nodes[index];
        room.held.add(&holder.ask.amounts);
        room.holders.push(holder);
    }

    /// On which node an instance has room.
    pub fn of_instance(&self, id: InstanceId) -> Option<usize> {
        self.instances.get(&id).copied()
    }

    /// So much is for somebody who waits until there is room for it: nobody else gets it.
    pub fn reserve(&mut self, index: usize, amounts: &Amounts) {
        self.nodes[index].reserved.add(amounts);
    }

    /// Nothing is reserved any more.
    pub fn release(&mut self) {
        for room in &mut self.nodes {
            room.reserved = Amounts::default();
        }
    }

    /// Nothing more is placed there.
    pub fn close(&mut self, index: usize) {
        self.nodes[index].closed = true;
    }

    pub fn reopen(&mut self, index: usize) {
        self.nodes[index].closed = false;
    }

    /// As if the node were ready.
    pub fn make_ready(&mut self, index: usize) {
        self.nodes[index].node.to_mut().stage = NodeStage::Ready;
    }

    /// The last one that got room there holds it no more.
    pub fn take_back(&mut self, index: usize) {
        let room = &mut self.nodes[index];
        let Some(holder) = room.holders.pop() else { return };
        room.held = room.held.less(&holder.ask.amounts);
        self.strict.pop_if(|(at, ask)| *at == index && std::ptr::eq(*ask, holder.ask));
        self.last = None;
    }

    /// The same for all who got room there, in this order.
    pub fn take_all_back(&mut self, indices: Vec<usize>) {
        for index in indices.into_iter().rev() {
            self.take_back(index);
        }
    }

    /// They hold nothing any more.
    pub fn remove(&mut self, gone: &BTreeSet<InstanceId>) {
        if gone.is_empty() {
            return;
        }
        for room in &mut self.nodes {
            let goes = |who| matches!(who, Who::Instance(id) if gone.contains(&id));
            if room.holders.iter().any(|holder| goes(holder.who)) {
                *room = room.without(goes);
            }
        }
    }

    /// Gives it the fullest node that it fits; those with GPUs last if it needs none.
    pub fn place(&mut self, ask: &'w Ask, who: Who<'w>) -> Result<Place, NoPlace> {
        let index = self.best(ask, 0).ok_or_else(|| self.why_not(ask))?;
        Ok(self.take(index, ask, who))
    }

    /// The same among the nodes from this one on; the others were tried.
    pub fn place_from(&mut self, first: usize, ask: &'w Ask, who: Who<'w>) -> Option<Place> {
        let index = self.best(ask, first)?;
        Some(self.take(index, ask, who))
    }

    /// The same among the nodes that are so.
    pub fn place_where(
        &mut self,
        ask: &'w Ask,
        is_so: impl Fn(&NodeView) -> bool,
    ) -> Option<Place> {
        let index = self.best_of(ask, |_, node| is_so(node))?;
        Some(self.take(index, ask, Who::Planned))
    }

    fn take(&mut self, index: usize, ask: &'w Ask, who: Who<'w>) -> Place {
        let room = &self.nodes[index];
        let place = Place { node: room.node.id.clone(), devices: room.pick(ask) };
        self.put(index, Holder { who, ask, devices: Cow::Owned(place.devices.clone()) });
        self.last = Some((ask, index));
        place
    }

    fn best(&self, ask: &Ask, first: usize) -> Option<usize> {
        self.best_of(ask, |index, _| index >= first)
    }

    fn best_of(&self, ask: &Ask, is_so: impl Fn(usize, &NodeView) -> bool) -> Option<usize> {
        if !ask.not_understood.is_empty() {
            return None;
        }
        let around = Around::of(ask, &self.nodes, &self.strict);
        if let Some((last, index)) = self.last
            && std::ptr::eq(last, ask)
            && !ask.minds_others()
            && is_so(index, &self.nodes[index].node)
            && self.nodes[index].check(ask, &around).is_ok()
        {
            return Some(index);
        }
        let plain = ask.amounts.named.values().all(|amount| *amount == 0);
        let nodes = self.nodes.iter().enumerate();
        let fitting = nodes
            .filter(|(index, room)| is_so(*index, &room.node) && room.check(ask, &around).is_ok());
        let rank = |room: &NodeRoom<'_>| {
            let node = &room.node;
            let unwanted = node
                .taints
                .iter()
                .any(|taint| taint.effect == Effect::PreferNoSchedule && !ask.tolerates(taint));
            (unwanted, plain && node.has_named(), Reverse(room.fullness(ask)))
        };
        let ranked = fitting.map(|(index, room)| (rank(room), &room.node.id, index));
        ranked.min().map(|(_, _, index)| index)
    }

    /// Why it fits nowhere: of the node that is nearest to taking it.
    fn why_not(&self, ask: &Ask) -> NoPlace {
        if !ask.not_understood.is_empty() {
            let lack = Lack::NotUnderstood { what: ask.not_understood.clone() };
            return NoPlace { lack, node: None };
        }
        let around = Around::of(ask, &self.nodes, &self.strict);
        let lacks = self.nodes.iter().filter_map(|room| {
            let lack = room.check(ask, &around).err()?;
            Some((nearness(&lack), &room.node.id, lack))
        });
        let nearest = lacks.min_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let Some((_, node, lack)) = nearest else {
            let short = short(&ask.amounts, &Amounts::default(), &Amounts::default());
            return NoPlace { lack: Lack::TooLarge { short }, node: None };
        };
        NoPlace { lack, node: Some(node.clone()) }
    }

    /// The fewest of `going`, the first ones first, without whom the node takes it; none if that is not
    /// enough, or if it fits already.
    pub fn fits_without(
        &self,
        index: usize,
        ask: &Ask,
        going: &[InstanceId],
    ) -> Option<Vec<InstanceId>> {
        let around = Around::of(ask, &self.nodes, &self.strict);
        let room = &self.nodes[index];
        let fits = |gone: &[InstanceId]| {
            let without =
                room.without(|who| matches!(who, Who::Instance(id) if gone.contains(&id)));
            without.check(ask, &around).is_ok()
        };
        let enough = (1..=going.len()).find(|count| fits(&going[..*count]))?;
        let mut gone = going[..enough].to_vec();
        for one in &going[..enough] {
            let fewer: Vec<InstanceId> = gone.iter().filter(|id| *id != one).copied().collect();
            if fits(&fewer) {
                gone = fewer;
            }
        }
        (!gone.is_empty()).then_some(gone)
    }

    /// Would the node take it now, and if not: why?
    pub fn fits(&self, index: usize, ask: &Ask) -> Result<(), Lack> {
        self.nodes[index].check(ask, &Around::of(ask, &self.nodes, &self.strict))
    }
}

/// In thousandths.
fn share(held: u64, of: u64) -> u64 {
    held.saturating_mul(1000).checked_div(of).unwrap_or(0)
}

/// The smaller, the nearer is a node to taking it.
fn nearness(lack: &Lack) -> u8 {
    match lack {
        Lack::Taken { .. } | Lack::Port { .. } => 0,
        Lack::Apart { .. } | Lack::Beside { .. } | Lack::Spread { .. } => 1,
        Lack::Closed { .. } => 2,
        Lack::TooLarge { .. } => 3,
        Lack::Taint { .. } | Lack::Label { .. } | Lack::Labels | Lack::Folder => 4,
        Lack::NotUnderstood { .. } => 5,
    }
}

impl<'w> NodeRoom<'w> {
    pub fn node(&self) -> &NodeView {
        &self.node
    }

    pub fn held(&self) -> &Amounts {
        &self.held
    }

    pub fn holders(&self) -> &[Holder<'w>] {
        &self.holders
    }

    pub(super) fn has(&self, who: impl Fn(&Ask) -> bool) -> bool {
        self.holders.iter().any(|holder| who(holder.ask))
    }

    pub(super) fn count(&self, who: impl Fn(&Ask) -> bool) -> u32 {
        self.holders.iter().filter(|holder| who(holder.ask)).count() as u32
    }

    fn check(&self, ask: &Ask, around: &Around<'_>) -> Result<(), Lack> {
        suits(ask, &self.node)?;
        let of = &self.node.allocatable;
        if !ask.amounts.fits_in(of) {
            return Err(Lack::TooLarge { short: short(&ask.amounts, &Amounts::default(), of) });
        }
        if self.closed || !self.node.is_open() {
            return Err(Lack::Closed { stage: self.node.stage.clone() });
        }
        let held = match self.reserved == Amounts::default() {
            true => Cow::Borrowed(&self.held),
            false => Cow::Owned(self.held.clone().plus(&self.reserved)),
        };
        if !ask.amounts.fits_beside(&held, of) {
            return Err(Lack::Taken { short: short(&ask.amounts, &held, of) });
        }
        for port in &ask.ports {
            if self.has(|other| other.ports.iter().any(|taken| taken.collides(port))) {
                return Err(Lack::Port { port: port.port });
            }
        }
        around.allows(&self.node)
    }

    fn without(&self, goes: impl Fn(Who<'w>) -> bool) -> Self {
        let (mut room, mut held) = (self.clone(), Amounts::default());
        room.holders.retain(|holder| !goes(holder.who));
        for holder in &room.holders {
            held.add(&holder.ask.amounts);
        }
        room.held = held;
        room
    }

    /// How much of it is held, in thousandths of each of what is asked for.
    fn fullness(&self, ask: &Ask) -> u64 {
        let of = &self.node.allocatable;
        let named = ask
            .amounts
            .named
            .iter()
            .filter(|(_, asked)| **asked > 0)
            .map(|(name, _)| share(self.held.of(name), of.of(name)));
        named.sum::<u64>() + share(self.held.cpu, of.cpu) + share(self.held.memory, of.memory)
    }

    /// How much of what it has most of is held, in thousandths.
    pub fn share(&self) -> u64 {
        let of = &self.node.allocatable;
        let named = of.named.iter().map(|(name, of)| share(self.held.of(name), *of));
        let common = [share(self.held.cpu, of.cpu), share(self.held.memory, of.memory)];
        named.chain(common).max().unwrap_or(0)
    }

    /// Free devices for what it asks for; those that other programs use last.
    fn pick(&self, ask: &Ask) -> Vec<DeviceId> {
        let mut picked = Vec::new();
        for (resource, count) in &ask.amounts.named {
            let taken =
                |id: &DeviceId| self.holders.iter().any(|holder| holder.devices.contains(id));
            let mut free: Vec<_> = self.node.devices.iter().collect();
            free.retain(|device| device.resource == *resource && !taken(&device.id));
            free.sort_by_key(|device| device.used_by_others);
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            picked.extend(free.into_iter().take(count).map(|device| device.id.clone()));
        }
        picked
    }
}
