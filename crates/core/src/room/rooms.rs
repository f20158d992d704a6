//! Who holds what on which node, while a plan is made.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::ask::{Ask, Port};
use super::fit::{Lack, short, suits};
use super::holder::{Holder, Who};
use super::neighbours::{Around, Others};
use super::node::{DeviceId, Effect, NodeId, NodeStage, NodeView, Place, Taint, Tenant};
use crate::{Amounts, InstanceId};

/// Names are short, and looked up for each of tens of thousands of pods.
pub(super) type HashMap<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;

/// All nodes with who is on them, in an order that does not depend on the one in which they were given.
#[derive(Clone, Default)]
pub struct Rooms<'w> {
    nodes: Vec<NodeRoom<'w>>,
    index: HashMap<NodeId, usize>,
    instances: HashMap<InstanceId, usize>,
    others: Others<'w>,
    /// For who needs nothing but cores and memory: in this order nodes are tried, the fullest first.
    order: OnceCell<BTreeSet<Rank>>,
    /// Some keep others away a little.
    has_unwanted: bool,
    /// Where the last one got its place: the next one that asks the same gets its place there too as long
    /// as it fits, since the node has become fuller.
    last: Option<(&'w Ask, usize)>,
}

/// Does it have GPUs, how full is it, which is it?
type Rank = (bool, Reverse<u64>, usize);

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
        let mut nodes: Vec<&NodeView> = nodes.into_iter().collect();
        nodes.sort_unstable_by_key(|node| &node.id);
        for node in nodes {
            rooms.add(Cow::Borrowed(node));
        }
        rooms
    }

    /// One more node, with nobody on it.
    pub fn add(&mut self, node: Cow<'w, NodeView>) -> usize {
        let index = self.nodes.len();
        self.index.insert(node.id.clone(), index);
        let unwanted = |taint: &Taint| taint.effect == Effect::PreferNoSchedule;
        self.has_unwanted |= node.taints.iter().any(unwanted);
        self.nodes.push(NodeRoom {
            node,
            held: Amounts::default(),
            reserved: Amounts::default(),
            holders: Vec::new(),
            closed: false,
        });
        let rank = self.nodes[index].rank(index);
        if let Some(order) = self.order.get_mut() {
            order.insert(rank);
        }
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
        self.others.come(index, holder.ask);
        if let Who::Instance(id) = holder.who {
            self.instances.insert(id, index);
        }
        self.change(index, |room| {
            room.held.add(&holder.ask.amounts);
            room.holders.push(holder);
        });
    }

    /// There are many of them, and room is made for all at once.
    pub fn put_tenants(&mut self, tenants: &'w [Arc<Tenant>]) {
        let mut there: Vec<(usize, &'w Tenant)> = Vec::with_capacity(tenants.len());
        there.extend(tenants.iter().filter_map(|it| Some((self.find(it.node.as_ref()?)?, &**it))));
        let mut counts = vec![0; self.nodes.len()];
        for (index, _) in &there {
            counts[*index] += 1;
        }
        for (room, count) in self.nodes.iter_mut().zip(counts) {
            room.holders.reserve(count);
        }
        // What is made of it is made again when it is asked for.
        self.order.take();
        for (index, tenant) in there {
            let who = Who::Tenant(tenant);
            let room = &mut self.nodes[index];
            room.held.add(&tenant.ask.amounts);
            room.holders.push(Holder { who, ask: &tenant.ask, devices: Cow::Borrowed(&[]) });
            self.others.come(index, &tenant.ask);
        }
    }

    fn change<T>(&mut self, index: usize, change: impl FnOnce(&mut NodeRoom<'w>) -> T) -> T {
        let room = &mut self.nodes[index];
        let Some(order) = self.order.get_mut() else { return change(room) };
        order.remove(&room.rank(index));
        let changed = change(room);
        order.insert(room.rank(index));
        changed
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
        let gone = self.change(index, |room| {
            let holder = room.holders.pop()?;
            room.held = room.held.less(&holder.ask.amounts);
            Some(holder)
        });
        self.others.go(index, gone.into_iter().map(|holder| holder.ask));
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
        for id in gone {
            let Some(index) = self.instances.remove(id) else { continue };
            let asks = self.change(index, |room| room.remove(|who| who == Who::Instance(*id)));
            self.others.go(index, asks);
        }
        self.last = None;
    }

    /// Gives it the fullest node that it fits; those with GPUs last if it needs none.
    pub fn place(&mut self, ask: &'w Ask, who: Who<'w>) -> Result<Place, NoPlace> {
        let index = self.best(ask, 0).ok_or_else(|| self.why_not(ask))?;
        Ok(self.take(index, ask, who))
    }

    /// Would any node take it?
    pub fn has_place(&self, ask: &Ask) -> Result<(), NoPlace> {
        self.best(ask, 0).map(drop).ok_or_else(|| self.why_not(ask))
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
        let around = self.around(ask);
        let takes = |index: usize| {
            let room = &self.nodes[index];
            is_so(index, &room.node) && room.takes(ask, &around)
        };
        if let Some((last, index)) = self.last
            && std::ptr::eq(last, ask)
            && !ask.minds_others()
            && takes(index)
        {
            return Some(index);
        }
        let plain = ask.amounts.named.values().all(|amount| *amount == 0);
        if plain && !self.has_unwanted {
            let order = self.order.get_or_init(|| {
                self.nodes.iter().enumerate().map(|(index, room)| room.rank(index)).collect()
            });
            return order.iter().map(|(.., index)| *index).find(|index| takes(*index));
        }
        let rank = |room: &NodeRoom<'_>| {
            let node = &room.node;
            let unwanted = node
                .taints
                .iter()
                .any(|taint| taint.effect == Effect::PreferNoSchedule && !ask.tolerates(taint));
            (unwanted, plain && node.has_named(), Reverse(room.fullness(ask)))
        };
        let fitting = (0..self.nodes.len()).filter(|index| takes(*index));
        fitting.min_by_key(|index| (rank(&self.nodes[*index]), *index))
    }

    fn around<'a>(&'a self, ask: &'a Ask) -> Around<'a> {
        Around::of(ask, &self.nodes, &self.others)
    }

    /// Why it fits nowhere: of the node that is nearest to taking it.
    fn why_not(&self, ask: &Ask) -> NoPlace {
        if !ask.not_understood.is_empty() {
            let lack = Lack::NotUnderstood { what: ask.not_understood.clone() };
            return NoPlace { lack, node: None };
        }
        let around = self.around(ask);
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
        let around = self.around(ask);
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
        self.nodes[index].check(ask, &self.around(ask))
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

    /// Is nobody there but who goes with the node?
    pub fn is_empty(&self) -> bool {
        self.holders
            .iter()
            .all(|holder| matches!(holder.who, Who::Tenant(tenant) if tenant.goes_with_node()))
    }

    fn rank(&self, index: usize) -> Rank {
        (self.node.has_named(), Reverse(self.common_fullness()), index)
    }

    fn busy_amounts(&self) -> Cow<'_, Amounts> {
        match self.reserved == Amounts::default() {
            true => Cow::Borrowed(&self.held),
            false => Cow::Owned(self.held.clone().plus(&self.reserved)),
        }
    }

    /// Would [`Self::check`] be content? What is quickly known comes first.
    fn takes(&self, ask: &Ask, around: &Around<'_>) -> bool {
        !self.closed
            && self.node.is_open()
            && ask.amounts.fits_beside(&self.busy_amounts(), &self.node.allocatable)
            && suits(ask, &self.node).is_ok()
            && self.taken_port(ask).is_none()
            && around.allows(&self.node).is_ok()
    }

    fn taken_port(&self, ask: &Ask) -> Option<u16> {
        let taken = |port: &&Port| {
            let its = self.holders.iter().flat_map(|holder| &holder.ask.ports);
            its.into_iter().any(|taken| taken.collides(port))
        };
        ask.ports.iter().find(taken).map(|port| port.port)
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
        let held = self.busy_amounts();
        if !ask.amounts.fits_beside(&held, of) {
            return Err(Lack::Taken { short: short(&ask.amounts, &held, of) });
        }
        if let Some(port) = self.taken_port(ask) {
            return Err(Lack::Port { port });
        }
        around.allows(&self.node)
    }

    fn without(&self, goes: impl Fn(Who<'w>) -> bool) -> Self {
        let mut room = self.clone();
        room.remove(goes);
        room
    }

    fn remove(&mut self, goes: impl Fn(Who<'w>) -> bool) -> Vec<&'w Ask> {
        let gone = self.holders.extract_if(.., |holder| goes(holder.who));
        let gone: Vec<&Ask> = gone.map(|holder| holder.ask).collect();
        for ask in &gone {
            self.held = self.held.less(&ask.amounts);
        }
        gone
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
        named.sum::<u64>() + self.common_fullness()
    }

    fn common_fullness(&self) -> u64 {
        let of = &self.node.allocatable;
        share(self.held.cpu, of.cpu) + share(self.held.memory, of.memory)
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
