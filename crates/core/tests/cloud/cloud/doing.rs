//! What a plan says is done, and whether it may be.

use std::sync::Arc;

use muster_core::InstanceId;
use muster_core::instance::EndCause;
use muster_core::plan::{Action, InstanceView, NodesMode, Plan, Stage};
use muster_core::room::{FailureClass, GroupId, NodeId, NodeStage, NodeView, Order};

use super::{Cloud, Next};

impl Cloud {
    /// Answers with what must not be.
    pub fn carry_out(&mut self, plan: &Plan) -> Result<(), String> {
        for action in &plan.actions {
            self.do_one(action).map_err(|what| format!("{what}: {action:?}"))?;
        }
        for node in &mut self.world.nodes {
            let unneeded = plan.unneeded.contains(&node.id);
            node.unneeded_since = unneeded.then(|| node.unneeded_since.unwrap_or(self.now));
        }
        self.bounds()
    }

    fn do_one(&mut self, action: &Action) -> Result<(), String> {
        let owns = self.policy.nodes.mode == NodesMode::Own;
        let touches = !matches!(
            action,
            Action::Launch { .. } | Action::Retire { .. } | Action::FailWaiting { .. }
        );
        if touches && !owns {
            return Err("a node is touched that is not the hub's".into());
        }
        match action {
            Action::Launch { model, slot, place, .. } => {
                let (id, now) = (InstanceId(self.id()), self.now);
                let node = place.as_ref().ok_or("it has no place")?;
                if !self.node(&node.node)?.is_open() {
                    return Err("its node is closed".into());
                }
                if self.world.instances.iter().any(|it| it.model == *model && it.slot == *slot) {
                    return Err("its slot is taken".into());
                }
                let ask = self.view(model).ask.clone();
                let stage = Stage::Starting {
                    launched_at: now,
                    progressed_at: now,
                    doing: String::new(),
                    waits: None,
                };
                let place = place.clone();
                let (model, slot, version) = (model.clone(), *slot, "1".into());
                self.world.instances.push(InstanceView {
                    id,
                    model: model.clone(),
                    version,
                    slot,
                    stage,
                    ask,
                    place,
                });
                let takes = self.draw.between(2, 60);
                if self.draw.chance(5) {
                    let cause = EndCause::not_started_now("it does not answer");
                    self.view(&model).starts.failed(&cause, now);
                    self.later(takes, Next::Ended(id));
                } else {
                    self.later(takes, Next::Ready(id));
                }
            }
            Action::Retire { instance, .. } => {
                let is_busy = self.jobs.iter().any(|(id, _)| id == instance);
                let it = self.world.instances.iter_mut().find(|it| it.id == *instance);
                let it = it.ok_or("it is not there")?;
                match it.stage {
                    Stage::Draining => return Err("it goes already".into()),
                    Stage::Ready { .. } => it.stage = Stage::Draining,
                    _ => {
                        self.world.instances.retain(|it| it.id != *instance);
                        return Ok(());
                    }
                }
                if !is_busy {
                    self.later(3, Next::Ended(*instance));
                }
            }
            Action::FailWaiting { model, .. } => {
                let queue = self.view(model).queue.take();
                self.failed += queue.map_or(0, |queue| queue.inputs);
            }
            Action::AddNodes { group, count, .. } => self.add(group, *count)?,
            Action::Cordon { node, .. } => {
                let (since, it) = (self.now, self.node(node)?);
                if it.stage != NodeStage::Ready {
                    return Err("it is not ready".into());
                }
                it.stage = NodeStage::Cordoned { ours: true, since };
            }
            Action::Uncordon { node } => {
                let it = self.node(node)?;
                if !matches!(it.stage, NodeStage::Cordoned { ours: true, .. }) {
                    return Err("it is somebody else's".into());
                }
                it.stage = NodeStage::Ready;
            }
            Action::Evict { tenant, .. } => {
                Arc::make_mut(&mut self.world.tenants).retain(|it| it.id != *tenant);
            }
            Action::RemoveNode { node, .. } => self.remove(node)?,
            Action::DropMachines { group, machines } => {
                let g = self.group(group).ok_or("no such group")?;
                let view = &mut self.world.groups[g];
                if view.machines.iter().any(|it| machines.contains(&it.id) && it.node.is_some()) {
                    return Err("it is a node".into());
                }
                view.machines.retain(|it| !machines.contains(&it.id));
                view.target = view.target.saturating_sub(machines.len() as u32);
                self.fails(g, FailureClass::DidNotCome, self.now);
            }
            Action::LowerTarget { group, to } => {
                let g = self.group(group).ok_or("no such group")?;
                if *to < self.world.groups[g].min {
                    return Err("below the minimum".into());
                }
                self.world.groups[g].target = *to;
                self.fails(g, FailureClass::DidNotCome, self.now);
            }
            Action::MoveStranded { .. } => return Err("nothing is stranded".into()),
        }
        Ok(())
    }

    fn node(&mut self, id: &NodeId) -> Result<&mut NodeView, String> {
        let node = self.world.nodes.iter_mut().find(|it| it.id == *id);
        node.ok_or_else(|| "there is no such node".to_owned())
    }

    fn add(&mut self, group: &GroupId, count: u32) -> Result<(), String> {
        let g = self.group(group).ok_or("no such group")?;
        let view = &mut self.world.groups[g];
        if view.failures.as_ref().is_some_and(|it| it.left_alone_until() > self.now) {
            return Err("the group is to be left alone".into());
        }
        view.target += count;
        let (to, at) = (view.target, self.now);
        if to > view.max {
            return Err("above the maximum".into());
        }
        self.ordered += u64::from(count);
        let id = self.id();
        self.world.groups[g].order = Some(Order { id, to, at });
        for _ in 0..count {
            let id = self.machine(g);
            let (longest, bad) = self.boots[g];
            let takes = self.draw.between(10, longest);
            match (self.draw.chance(bad), self.draw.chance(50)) {
                (false, _) => self.later(takes, Next::Node(group.clone(), id)),
                (true, true) => self.later(takes, Next::Fails(group.clone(), id)),
                // It never comes.
                (true, false) => {}
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: &NodeId) -> Result<(), String> {
        let node = self.node(id)?.clone();
        if !matches!(node.stage, NodeStage::Cordoned { ours: true, .. }) {
            return Err("it was not cordoned".into());
        }
        if self.world.unseen.is_some() {
            return Err("nothing can be seen".into());
        }
        let ours = self
            .world
            .instances
            .iter()
            .any(|it| it.place.as_ref().is_some_and(|at| at.node == *id));
        let others = self
            .world
            .tenants
            .iter()
            .any(|it| it.node.as_ref() == Some(id) && !it.goes_with_node());
        if ours || others {
            return Err("something is on it".into());
        }
        let g = node.group.as_ref().and_then(|id| self.group(id)).ok_or("it is in no group")?;
        let nodes = self.world.groups[g].registered(&self.world.nodes).count() as u32;
        let view = &mut self.world.groups[g];
        if view.target.min(nodes) <= view.min {
            return Err("below the minimum".into());
        }
        view.target -= 1;
        self.removed += 1;
        self.goes(id);
        Ok(())
    }

    fn bounds(&self) -> Result<(), String> {
        let rooms = self.world.rooms();
        for index in 0..rooms.len() {
            let room = rooms.get(index);
            if !room.held().fits_in(&room.node().allocatable) {
                return Err(format!("more is on {} than fits", room.node().id));
            }
        }
        for view in &self.world.models {
            let its = self.world.instances.iter().filter(|it| it.model == *view.id()).count();
            if its as u32 > view.model.limits.max_instances {
                return Err(format!("{} has {its} instances", view.id()));
            }
        }
        let all = self.world.instances.len();
        let most = self.policy.max_instances as usize;
        (all <= most).then_some(()).ok_or_else(|| format!("{all} instances of {most}"))
    }

    /// Nothing waits, boots or goes.
    pub fn is_done(&self) -> bool {
        self.jobs.is_empty() && self.events.is_empty()
    }
}
