//! What to start, stop and fail next: decided from a picture of the world.
//!
//! `plan` is total and pure: the same world at the same moment gives the same plan, a plan that was
//! carried out leaves nothing more to do, and whatever it leaves undone it explains.

mod held;
mod nodes;
mod orders;
mod place;
mod planned;
mod starting;
#[cfg(test)]
mod tests;
mod words;
mod world;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::instance::{EndCause, StartFault};
use crate::room::{GroupId, NodeId, NodeStage, NodeView, Place, Rooms, TenantId};
use crate::waits::Waits;
use crate::{Amounts, InstanceId, ModelId, Timestamp};

pub use held::{Held, Why};
pub use nodes::{Kept, KeptWhy, NodesMode, NodesPolicy};
pub use orders::{NewOrder, orders};
pub use planned::{MOST_MORE, NotThere, Planned, WhatIf, read_planned};
use starting::{REPLACED_AFTER, program_end, waits_end};
pub use world::{InstanceView, ModelView, QueueView, Stage, Starts, Stranded, Unseen, World};

/// What the operator allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Most instances of all models together; external model servers do not count.
    pub max_instances: u32,
    pub nodes: NodesPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max_instances: 16, nodes: NodesPolicy::default() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Why models with waiting work get nothing more now.
    pub held: Vec<Held>,
    /// Why nodes of groups stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// What would be done with nodes, if it were the hub's to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<Action>,
    /// Nodes that nobody needs now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unneeded: Vec<NodeId>,
    /// Nothing changes by the passing of time before this.
    pub next_look: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    Launch {
        model: ModelId,
        slot: u32,
        why: String,
        /// What it asks of its node, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asks: Option<Amounts>,
        /// Where, if the hub gives it its place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
    /// A starting instance is stopped at once; a ready one finishes its work first.
    Retire {
        instance: InstanceId,
        cause: EndCause,
    },
    /// Nobody can work on them: the requests that wait for this version of the model fail.
    FailWaiting {
        model: ModelId,
        version: String,
        reason: String,
    },
    /// What waits for other versions of the model starts over with the one of the catalogue.
    MoveStranded {
        model: ModelId,
    },
    /// So many more nodes of the group are ordered.
    AddNodes {
        group: GroupId,
        count: u32,
        why: String,
    },
    /// Nothing new comes to the node.
    Cordon {
        node: NodeId,
        why: String,
    },
    Uncordon {
        node: NodeId,
    },
    /// Somebody who runs on a cordoned node is asked to go elsewhere.
    Evict {
        tenant: TenantId,
        why: String,
    },
    /// Its machine goes, and the group is one smaller.
    RemoveNode {
        node: NodeId,
        why: String,
    },
    /// Machines that failed, or did not become nodes in time.
    DropMachines {
        group: GroupId,
        machines: Vec<String>,
    },
    /// Its provider aims at more than can be had.
    LowerTarget {
        group: GroupId,
        to: u32,
    },
}

impl Action {
    /// Is it about nodes, not about instances and requests?
    pub fn is_of_nodes(&self) -> bool {
        match self {
            Self::Launch { .. }
            | Self::Retire { .. }
            | Self::FailWaiting { .. }
            | Self::MoveStranded { .. } => false,
            Self::AddNodes { .. }
            | Self::Cordon { .. }
            | Self::Uncordon { .. }
            | Self::Evict { .. }
            | Self::RemoveNode { .. }
            | Self::DropMachines { .. }
            | Self::LowerTarget { .. } => true,
        }
    }
}

/// How long an instance that has work keeps its place on a full hub while another model has none, from
/// when it was ready; longer if it took long to start.
const SHORTEST_TURN: Duration = Duration::from_secs(60);
const STARTS_A_TURN: u32 = 5;

/// How long work waits for a model that is not in the catalogue any more: its folder may come back with the
/// next start of a hub.
const GONE: Duration = Duration::from_secs(300);

pub fn plan(world: &World, policy: &Policy, now: Timestamp) -> Plan {
    let mut of_model: BTreeMap<&ModelId, Vec<&InstanceView>> = BTreeMap::new();
    for instance in &world.instances {
        of_model.entry(&instance.model).or_default().push(instance);
    }
    let mut planner = Planner {
        world,
        policy,
        now,
        plan: Plan::default(),
        counted: world.counted(),
        of_model,
        leaving: BTreeSet::new(),
        turns: OnceCell::new(),
        rooms: None,
        demands: Vec::new(),
        lost: BTreeSet::new(),
        stages: world.closed_nodes(),
    };
    planner.retire_timed_out();
    planner.retire_foreign_versions();
    planner.leave_nodes();
    planner.free_stranded();
    let mut wanting: Vec<&'_ ModelView> = world.models.iter().collect();
    // Who waits longest gets the next free place.
    wanting.sort_by_key(|view| (view.queue.map_or(Timestamp(i64::MAX), |q| q.oldest), view.id()));
    for view in wanting {
        planner.want(view);
    }
    if let Some(rooms) = &mut planner.rooms {
        rooms.release();
    }
    planner.retire_idle();
    planner.plan_nodes();
    planner.plan
}

/// What is there is kept, so that the next start goes on from there.
fn not_prepared(seconds: u32, doing: &str) -> EndCause {
    let reason = format!(
        "its environment was not made within {seconds} seconds (prepare_seconds); it was at: {doing}"
    );
    EndCause::NotStarted { reason, fault: StartFault::Passing }
}

struct Planner<'w> {
    world: &'w World,
    policy: &'w Policy,
    now: Timestamp,
    plan: Plan,
    counted: u32,
    of_model: BTreeMap<&'w ModelId, Vec<&'w InstanceView>>,
    leaving: BTreeSet<InstanceId>,
    /// Looked for once, when the first model needs a place.
    turns: OnceCell<Turns>,
    /// Who holds what on which node, with what this plan launches.
    rooms: Option<Rooms<'w>>,
    /// What had no room.
    demands: Vec<nodes::Demand<'w>>,
    /// Groups whose nodes did not come.
    lost: BTreeSet<&'w GroupId>,
    /// Of nodes that are not simply ready.
    stages: BTreeMap<&'w NodeId, &'w NodeStage>,
}

/// Whose place a model may get: the same for all that have work.
struct Turns {
    /// Those nobody needs; first the ones of the model of which one is idle the longest, and of these the
    /// ones on the emptiest nodes.
    idle: Vec<InstanceId>,
    /// The busy ones whose turn is over; first those of the model with the most.
    over: Vec<InstanceId>,
    /// When the next turn is over.
    next_ends: Option<Timestamp>,
}

impl<'w> Planner<'w> {
    fn instances_of(&self, model: &ModelId) -> &[&'w InstanceView] {
        self.of_model.get(model).map_or(&[], Vec::as_slice)
    }

    fn retire_timed_out(&mut self) {
        let limits: BTreeMap<_, _> =
            self.world.models.iter().map(|view| (view.id(), &view.model.limits)).collect();
        for instance in &self.world.instances {
            let Some(limits) = limits.get(&instance.model) else { continue };
            let (end, cause) = match &instance.stage {
                Stage::Preparing { launched_at, doing } => {
                    (*launched_at + limits.prepare(), not_prepared(limits.prepare_seconds, doing))
                }
                Stage::Starting { launched_at, progressed_at, waits: None, .. } => {
                    (program_end(limits, *launched_at, *progressed_at), EndCause::StartTimeout)
                }
                Stage::Starting { progressed_at, waits: Some((waits, since)), .. } => {
                    let comes = self.a_node_comes();
                    let end = waits_end(waits, *since, *progressed_at, limits, comes);
                    let Some(end) = end else { continue };
                    end
                }
                Stage::Ready { .. } | Stage::Draining => continue,
            };
            if end <= self.now {
                self.retire(instance.id, cause);
            } else {
                self.look_at(end);
            }
        }
    }

    fn retire_foreign_versions(&mut self) {
        let versions: BTreeMap<_, _> =
            self.world.models.iter().map(|view| (view.id(), &view.model.version)).collect();
        for instance in &self.world.instances {
            let current = versions.get(&instance.model) == Some(&&instance.version);
            if !current && instance.stage != Stage::Draining {
                let why = "its model has another version or is gone".to_owned();
                self.retire(instance.id, EndCause::Retired { why });
            }
        }
    }

    fn free_stranded(&mut self) {
        let world = self.world;
        for Stranded { model, version, since } in &world.stranded {
            if world.models.iter().any(|view| view.id() == model) {
                let moves = Action::MoveStranded { model: model.clone() };
                if !self.plan.actions.contains(&moves) {
                    self.plan.actions.push(moves);
                }
                continue;
            }
            let end = *since + GONE;
            if end <= self.now {
                let reason = "The model was removed from the hub.".to_owned();
                let (model, version) = (model.clone(), version.clone());
                self.plan.actions.push(Action::FailWaiting { model, version, reason });
            } else {
                self.look_at(end);
                self.plan.held.push(Held { model: model.clone(), why: Why::Gone });
            }
        }
    }

    /// Launches what a model needs, or says why not.
    fn want(&mut self, view: &'w ModelView) {
        if !view.model.is_read() {
            return self.hold(view, Why::Reading);
        }
        if let Some(why) = &view.cannot_run {
            return self.hold(view, Why::CannotRun { why: why.clone() });
        }
        let (mut free, mut live) = (0u64, 0u32);
        let (mut booting, mut preparing) = (None, None);
        for instance in self.instances_of(view.id()) {
            let leaves = self.leaving.contains(&instance.id) || self.is_on_a_closed_node(instance);
            match &instance.stage {
                _ if leaves => {}
                Stage::Draining => {}
                Stage::Preparing { doing, .. } => {
                    preparing = Some(doing.clone());
                    free += 1;
                    live += 1;
                }
                Stage::Starting { doing, waits, .. } => {
                    booting = Some(match waits {
                        // A cluster's words are an administrator's.
                        Some((Waits::Program, _)) | None => doing.clone(),
                        Some((waits, _)) => waits.for_users().to_owned(),
                    });
                    free += 1;
                    live += 1;
                }
                Stage::Ready { idle_since, .. } => {
                    free += u64::from(idle_since.is_some());
                    live += 1;
                }
            }
        }
        let jobs = view.jobs(self.now);
        if let Some(due) = view.queue.map(|queue| queue.due).filter(|due| *due > self.now) {
            self.look_at(due);
        }
        let for_minimum = u64::from(view.model.limits.min_instances.saturating_sub(live));
        let needed = jobs.saturating_sub(free).max(for_minimum);
        if view.queue.is_some() && live == 0 && view.cannot_start() {
            let failed_for_this_queue =
                view.queue.is_some_and(|queue| queue.oldest <= view.starts.last_failed_at);
            if failed_for_this_queue {
                let reason = format!("The model could not be started: {}", view.starts.reason);
                let (model, version) = (view.id().clone(), view.model.version.clone());
                self.plan.actions.push(Action::FailWaiting { model, version, reason });
                return;
            }
        }
        // Whatever did not end keeps its slot, so that there are never more than the maximum.
        let taken: BTreeSet<u32> =
            self.instances_of(view.id()).iter().map(|instance| instance.slot).collect();
        let mut slots = (0..view.most()).filter(|slot| !taken.contains(slot));
        for launched in 0..needed {
            if let Err(why) = self.launch(view, &mut slots) {
                match why {
                    Why::NoRoom { .. } | Why::FitsNowhere { .. } => {
                        self.demand(view, needed - launched);
                    }
                    // The room that it will have is kept.
                    Why::AtHubMaximum { .. } => self.demand(view, 1),
                    _ => {}
                }
                self.hold(view, why);
                return;
            }
        }
        if jobs > 0 && free == 0 && needed == 0 {
            self.hold(view, Why::Busy { instances: live });
        } else if let (true, Some(doing)) = (jobs > 0, preparing) {
            self.hold(view, Why::Preparing { doing });
        } else if let (true, Some(doing)) = (jobs > 0, booting) {
            self.hold(view, Why::Booting { doing });
        } else if jobs > 0 && needed > 0 {
            self.hold(view, Why::Booting { doing: String::new() });
        }
    }

    fn launch(
        &mut self,
        view: &'w ModelView,
        slots: &mut impl Iterator<Item = u32>,
    ) -> Result<(), Why> {
        if let Some(at) = view.retry_at().filter(|at| *at > self.now) {
            self.look_at(at);
            return Err(Why::Backoff { until: at, reason: view.starts.reason.clone() });
        }
        let Some(slot) = slots.next() else {
            return Err(Why::AtModelMaximum { most: view.most() });
        };
        if !view.is_external() && self.counted >= self.policy.max_instances {
            // Nobody goes for one that would not run anyway.
            if let Some(ask) = view.ask.as_ref().filter(|_| !view.is_pod()) {
                self.has_place(view, ask)?;
            }
            self.make_place(view);
            return Err(Why::AtHubMaximum { most: self.policy.max_instances });
        }
        let place = match &view.ask {
            // Who makes nodes hears of it by the pod that waits.
            Some(ask) if view.is_pod() => self.place(view, ask).ok(),
            Some(ask) => Some(self.place(view, ask)?),
            None => None,
        };
        self.counted += u32::from(!view.is_external());
        let why = match view.queue {
            Some(queue) => {
                // No more than that is counted.
                let or_more = queue.inputs >= view.model.limits.most_at_once();
                let more = if or_more { ", or more" } else { "" };
                match queue.inputs {
                    1 => format!("1 input waits{more}"),
                    inputs => format!("{inputs} inputs wait{more}"),
                }
            }
            None => "its model keeps a minimum of instances".to_owned(),
        };
        let model = view.id().clone();
        let asks = view.ask.as_ref().map(|ask| ask.amounts.clone());
        self.plan.actions.push(Action::Launch { model, slot, why, asks, place });
        Ok(())
    }

    /// Of those that were idle for long enough, the ones on the emptiest nodes go first, so that nodes
    /// become free; the minimum of a model stays.
    fn retire_idle(&mut self) {
        let world = self.world;
        for view in &world.models {
            if view.is_pod() {
                self.replace_old(view);
            }
            if view.jobs(self.now) > 0 {
                continue;
            }
            let (mut ready, mut idle) = (0u32, Vec::new());
            for instance in self.instances_of(view.id()) {
                let Stage::Ready { idle_since, .. } = instance.stage else { continue };
                if !self.leaving.contains(&instance.id) {
                    ready += 1;
                    idle.extend(idle_since.map(|since| (since, instance.id, *instance)));
                }
            }
            let spare = ready.saturating_sub(view.model.limits.min_instances) as usize;
            let end = |since: Timestamp| since + view.model.limits.idle();
            let (mut over, mut later): (Vec<_>, Vec<_>) =
                idle.into_iter().partition(|(since, ..)| end(*since) <= self.now);
            if over.len() > spare {
                self.rooms();
                over.sort_by_cached_key(|(since, id, it)| (self.fullness_around(it), *since, *id));
            }
            later.sort_unstable_by_key(|(since, id, _)| (*since, *id));
            for (since, instance, _) in over.into_iter().chain(later).take(spare) {
                if end(since) <= self.now {
                    self.retire(instance, EndCause::Idle);
                } else {
                    self.look_at(end(since));
                }
            }
        }
    }

    /// A pod ends by itself some day, whatever it does then: it goes before that while it does nothing.
    fn replace_old(&mut self, view: &'w ModelView) {
        let mut old = Vec::new();
        for instance in self.instances_of(view.id()) {
            if let Stage::Ready { launched_at, idle_since: Some(_), .. } = instance.stage {
                old.push((launched_at + REPLACED_AFTER, instance.id));
            }
        }
        for (end, instance) in old {
            if end <= self.now {
                let why = "it is old, and another one takes its place when it is needed".to_owned();
                self.retire(instance, EndCause::Retired { why });
            } else {
                self.look_at(end);
            }
        }
    }

    /// Is a node on its way?
    fn a_node_comes(&self) -> bool {
        let boots = |node: &NodeView| matches!(node.stage, NodeStage::Booting { .. });
        self.world.nodes.iter().any(boots)
            || self.world.groups.iter().any(|group| group.order.is_some())
    }

    fn retire(&mut self, instance: InstanceId, cause: EndCause) {
        if self.leaving.insert(instance) {
            self.plan.actions.push(Action::Retire { instance, cause });
        }
    }

    fn hold(&mut self, view: &ModelView, why: Why) {
        if view.queue.is_some() {
            self.plan.held.push(Held { model: view.id().clone(), why });
        }
    }

    fn look_at(&mut self, at: Timestamp) {
        let next = self.plan.next_look.map_or(at, |next| next.min(at));
        self.plan.next_look = Some(next);
    }
}
