//! Room that shall be free for whoever comes next.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::super::Planner;
use super::up::size;
use crate::room::{Ask, GroupId, Holder, NodeId, NodeView, Rooms, Who};

/// What must not go.
#[derive(Default)]
pub(super) struct Needed<'w> {
    /// On these what waits will run.
    pub nodes: BTreeSet<NodeId>,
    /// Of these more would be ordered if there might be more.
    pub groups: BTreeSet<&'w GroupId>,
    pub headroom: Vec<Spare<'w>>,
    /// For how much of it there is no room yet.
    pub missing: u32,
    /// Where it is looked for.
    pub soon: Rooms<'w>,
}

/// Room that shall be free.
pub(super) struct Spare<'w> {
    pub ask: &'w Ask,
    count: u32,
    /// Only nodes of this group count.
    pub group: Option<&'w GroupId>,
}

impl<'w> Planner<'w> {
    /// Room that shall be free: it waits as work does, and gives way to it. The largest come first, and
    /// who may be in one group only before who may be anywhere.
    pub(super) fn headroom(&self) -> Vec<Spare<'w>> {
        let groups = self.world.groups.iter().filter_map(|group| {
            Some(Spare { ask: group.spare.as_ref()?, count: 1, group: Some(&group.id) })
        });
        let mut headroom: Vec<Spare<'w>> = groups.collect();
        headroom.sort_by_key(|spare| spare.group);
        let models = self.world.models.iter().filter_map(|view| {
            // No more than may be launched.
            let count = view.spare.min(self.open_for(view));
            Some((view.id(), Spare { ask: view.ask.as_ref()?, count, group: None }))
        });
        let mut models: Vec<_> = models.filter(|(_, spare)| spare.count > 0).collect();
        models.sort_by_key(|(id, spare)| (Reverse(size(&spare.ask.amounts)), *id));
        headroom.extend(models.into_iter().map(|(_, spare)| spare));
        headroom
    }
}

/// Gives all of it room: answers with where, and how many of each have none.
pub(super) fn place_all<'w>(
    rooms: &mut Rooms<'w>,
    headroom: &[Spare<'w>],
) -> (Vec<usize>, Vec<u32>) {
    let (mut taken, mut missing) = (Vec::new(), Vec::new());
    for Spare { ask, count, group } in headroom {
        let its = |node: &NodeView| group.is_none_or(|group| node.group.as_ref() == Some(group));
        let before = taken.len();
        let places = (0..*count).map_while(|_| rooms.place_where(ask, its));
        let nodes: Vec<NodeId> = places.map(|place| place.node).collect();
        taken.extend(nodes.iter().filter_map(|node| rooms.find(node)));
        missing.push(count - (taken.len() - before) as u32);
    }
    (taken, missing)
}

/// Is there as much room for what shall be free when the node is gone, and what is on it is there? The next
/// plan looks for it in the same way, and must not order a node for it.
pub(super) fn keeps_headroom<'w>(
    index: usize,
    moving: &[&'w Ask],
    to: &[usize],
    needed: &mut Needed<'w>,
) -> bool {
    let Needed { headroom, missing, soon, .. } = needed;
    if headroom.is_empty() {
        return true;
    }
    soon.close(index);
    for (ask, index) in moving.iter().zip(to) {
        soon.put(*index, Holder { who: Who::Planned, ask, devices: Cow::Borrowed(&[]) });
    }
    let (taken, now_missing) = place_all(soon, headroom);
    soon.take_all_back(taken);
    let keeps = now_missing.iter().sum::<u32>() <= *missing;
    if !keeps {
        soon.take_all_back(to.to_vec());
        soon.reopen(index);
    }
    keeps
}
