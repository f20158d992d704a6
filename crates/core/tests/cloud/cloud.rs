//! A cloud in simulated time: models with work, groups whose machines boot, fail and are taken away, and
//! what others run. It does what a plan says, and does not believe that the plan is right.

mod doing;

use std::sync::Arc;
use std::time::Duration;

use muster_core::plan::{
    InstanceView, NodesMode, NodesPolicy, Policy, QueueView, Stage, Starts, Unseen, World,
};
use muster_core::room::{
    FailureClass, Failures, GroupId, GroupView, Machine, MachineState, NodeId, NodeStage, NodeView,
    Tenant, Who, ZONE,
};
use muster_core::{InstanceId, ModelId, Timestamp};
use serde_json::json;
use uuid::Uuid;

/// Draws the same for the same seed (splitmix64).
pub struct Draw(pub u64);

impl Draw {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What will happen.
enum Next {
    Inputs(ModelId, u64),
    /// An instance is ready, has done its job, or has ended.
    Ready(InstanceId),
    Done(InstanceId),
    Ended(InstanceId),
    /// A machine becomes a node, the node is what it shall be, or the machine fails.
    Node(GroupId, String),
    Whole(NodeId),
    Fails(GroupId, String),
    Gone(NodeId),
    /// Others.
    Comes,
    Goes(muster_core::room::TenantId),
    /// Somebody marks a node, takes one away, does not hear of one, drains one; and takes it back.
    Trouble,
    Over(NodeId),
    Unseen(bool),
}

pub struct Cloud {
    pub world: World,
    pub policy: Policy,
    pub now: Timestamp,
    draw: Draw,
    /// In the order of their time.
    events: Vec<(Timestamp, u64, Next)>,
    number: u64,
    /// Of each group: how long its machines boot at most, and of 100 so many fail.
    boots: Vec<(u64, u64)>,
    /// What busy instances have.
    jobs: Vec<(InstanceId, u64)>,
    pub inputs: u64,
    pub done: u64,
    pub failed: u64,
    pub removed: u64,
    pub ordered: u64,
}

const BATCH: u64 = 10;

impl Cloud {
    pub fn draw(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let now = Timestamp::from_micros(1_000_000_000_000);
        let mode = match draw.below(10) {
            0 => NodesMode::Delegate,
            1 => NodesMode::Advise,
            _ => NodesMode::Own,
        };
        let nodes = NodesPolicy {
            mode,
            unneeded_seconds: draw.between(60, 600) as u32,
            empty_seconds: draw.between(30, 300) as u32,
            boot_limit_seconds: 600,
            most_nodes: draw.chance(30).then(|| draw.between(2, 8) as u32),
            ..NodesPolicy::default()
        };
        let policy = Policy { max_instances: draw.between(3, 20) as u32, nodes };
        let groups = draw.between(1, 3);
        let mut boots = Vec::new();
        let groups = (0..groups).map(|g| {
            boots.push((draw.between(20, 500), [0, 0, 20, 60][draw.below(4) as usize]));
            let min = draw.below(3);
            let gpus = if draw.chance(30) { draw.between(1, 2) } else { 0 };
            let spare = draw.chance(20).then(|| json!({"amounts": {"cpu": draw.between(500, 4000)}, "priority": 0}));
            json!({
                "id": format!("g{g}"), "min": min, "max": min + draw.below(5), "target": 0, "price": draw.below(3),
                "priority": draw.below(2), "spare": spare,
                "template": {
                    "allocatable": {"cpu": 4000 * draw.between(1, 2), "memory": 64u64 << 30, "pods": 20, "named": {"nvidia.com/gpu": gpus}},
                    "labels": {ZONE: format!("z{g}")},
                },
            })
        });
        let groups: Vec<_> = groups.collect();
        let models = (0..draw.between(1, 4)).map(|m| {
            let max = draw.between(1, 5);
            let gpus = u64::from(draw.chance(25));
            json!({
                "model": {
                    "id": format!("m{m}"), "version": "1", "source": {"from": "folder", "path": "models/it"}, "card": {},
                    "input": {"name": "input", "description": ""}, "outputs": [], "example": [], "cache": true,
                    "limits": {
                        "batch_size": BATCH, "max_instances": max, "min_instances": u64::from(draw.chance(30)),
                        "idle_seconds": draw.between(10, 300), "max_attempts": 1000,
                    },
                },
                "ask": {"amounts": {"cpu": draw.between(2, 40) * 100, "memory": 1u64 << 30, "pods": 1, "named": {"nvidia.com/gpu": gpus}}, "priority": 0},
                "spare": if draw.chance(20) { draw.between(1, 2) } else { 0 },
            })
        });
        let models: Vec<_> = models.collect();
        let world =
            serde_json::from_value(json!({"models": models, "groups": groups, "nodes": []}));
        let mut cloud = Self {
            world: world.expect("a world"),
            policy,
            now,
            draw,
            events: Vec::new(),
            number: 0,
            boots,
            jobs: Vec::new(),
            inputs: 0,
            done: 0,
            failed: 0,
            removed: 0,
            ordered: 0,
        };
        cloud.begin();
        cloud
    }

    /// Some machines are there, and everything that will come from outside is drawn.
    fn begin(&mut self) {
        for g in 0..self.world.groups.len() {
            let GroupView { min, max, .. } = self.world.groups[g];
            for _ in 0..min + self.draw.below(u64::from(max - min) + 1) as u32 {
                let id = self.machine(g);
                self.becomes_node(g, &id, NodeStage::Ready);
                self.world.groups[g].target += 1;
            }
        }
        let models: Vec<ModelId> = self.world.models.iter().map(|it| it.id().clone()).collect();
        for _ in 0..self.draw.between(1, 12) {
            let model = models[self.draw.below(models.len() as u64) as usize].clone();
            let (at, inputs) = (self.draw.below(5400), self.draw.between(1, 80));
            self.inputs += inputs;
            self.later(at, Next::Inputs(model, inputs));
        }
        for _ in 0..self.draw.below(12) {
            let at = self.draw.below(5400);
            self.later(at, Next::Comes);
        }
        for _ in 0..self.draw.below(6) {
            let at = self.draw.below(5400);
            self.later(at, Next::Trouble);
        }
        if self.draw.chance(30) {
            let at = self.draw.below(5400);
            self.later(at, Next::Unseen(true));
            self.later(at + 60, Next::Unseen(false));
        }
    }

    fn id(&mut self) -> Uuid {
        self.number += 1;
        Uuid::from_u128(u128::from(self.number))
    }

    fn later(&mut self, seconds: u64, next: Next) {
        self.number += 1;
        self.events.push((self.now + Duration::from_secs(seconds), self.number, next));
        self.events.sort_by_key(|(at, number, _)| (*at, *number));
    }

    /// What happens by itself until then, or the first of it. False: nothing does any more.
    pub fn go_on(&mut self, until: Option<Timestamp>) -> bool {
        let first = self.events.first().map(|(at, ..)| *at);
        let Some(at) = first.into_iter().chain(until).min() else { return false };
        self.now = self.now.max(at);
        while self.events.first().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, _, next) = self.events.remove(0);
            self.happens(next);
        }
        self.work();
        true
    }

    fn happens(&mut self, next: Next) {
        match next {
            Next::Inputs(model, inputs) => self.queue(&model, inputs),
            Next::Ready(id) => {
                let now = self.now;
                let Some(it) = self.world.instances.iter_mut().find(|it| it.id == id) else {
                    return;
                };
                if let Stage::Starting { launched_at, .. } = it.stage {
                    it.stage = Stage::Ready { launched_at, ready_at: now, idle_since: Some(now) };
                    let model = it.model.clone();
                    self.view(&model).starts = Starts::default();
                }
            }
            Next::Done(id) => {
                let Some(at) = self.jobs.iter().position(|(it, _)| *it == id) else { return };
                let (_, inputs) = self.jobs.remove(at);
                self.done += inputs;
                let now = self.now;
                let Some(it) = self.world.instances.iter_mut().find(|it| it.id == id) else {
                    return;
                };
                match &mut it.stage {
                    Stage::Ready { idle_since, .. } => *idle_since = Some(now),
                    _ => self.later(2, Next::Ended(id)),
                }
            }
            Next::Ended(id) => self.world.instances.retain(|it| it.id != id),
            Next::Node(group, id) => {
                let Some(g) = self.group(&group) else { return };
                let since = self.now;
                let lacks = vec!["nvidia.com/gpu".to_owned()];
                self.becomes_node(g, &id, NodeStage::Booting { since, lacks });
                let whole = self.draw.below(30);
                self.later(whole, Next::Whole(NodeId(id)));
            }
            Next::Whole(node) => {
                let Some(it) = self.world.nodes.iter_mut().find(|it| it.id == node) else { return };
                if matches!(it.stage, NodeStage::Booting { .. }) {
                    it.stage = NodeStage::Ready;
                    let group = it.group.clone();
                    if let Some(g) = group.and_then(|id| self.group(&id)) {
                        self.world.groups[g].failures = None;
                    }
                }
            }
            Next::Fails(group, id) => {
                let Some(g) = self.group(&group) else { return };
                let now = self.now;
                if let Some(machine) =
                    self.world.groups[g].machines.iter_mut().find(|it| it.id == id)
                {
                    let class = FailureClass::Capacity;
                    machine.state = MachineState::Failed { class, message: "none left".into() };
                    self.fails(g, class, now);
                }
            }
            Next::Gone(node) => self.goes(&node),
            Next::Comes => self.tenant_comes(),
            Next::Goes(id) => Arc::make_mut(&mut self.world.tenants).retain(|it| it.id != id),
            Next::Trouble => self.trouble(),
            Next::Over(node) => {
                if let Some(it) = self.world.nodes.iter_mut().find(|it| it.id == node)
                    && !matches!(
                        it.stage,
                        NodeStage::Leaving { .. } | NodeStage::Cordoned { ours: true, .. }
                    )
                {
                    it.stage = NodeStage::Ready;
                }
            }
            Next::Unseen(is) => {
                let (since, why) = (self.now, "no answer".to_owned());
                self.world.unseen = is.then_some(Unseen { since, why });
            }
        }
    }

    fn group(&self, id: &GroupId) -> Option<usize> {
        self.world.groups.iter().position(|group| group.id == *id)
    }

    fn view(&mut self, model: &ModelId) -> &mut muster_core::plan::ModelView {
        self.world.models.iter_mut().find(|view| view.id() == model).expect("a model")
    }

    fn queue(&mut self, model: &ModelId, more: u64) {
        let now = self.now;
        let queue = &mut self.view(model).queue;
        let (inputs, oldest) = queue.map_or((0, now), |queue| (queue.inputs, queue.oldest));
        *queue = Some(QueueView { inputs: inputs + more, oldest, due: oldest });
    }

    /// Idle instances take what waits.
    fn work(&mut self) {
        for at in 0..self.world.instances.len() {
            let InstanceView { id, model, stage, .. } = self.world.instances[at].clone();
            let Stage::Ready { launched_at, ready_at, idle_since: Some(_) } = stage else {
                continue;
            };
            let queue = &mut self.view(&model).queue;
            let Some(waiting) = queue else { continue };
            let inputs = waiting.inputs.min(BATCH);
            waiting.inputs -= inputs;
            if waiting.inputs == 0 {
                *queue = None;
            }
            self.world.instances[at].stage =
                Stage::Ready { launched_at, ready_at, idle_since: None };
            self.jobs.push((id, inputs));
            let takes = self.draw.between(5, 200);
            self.later(takes, Next::Done(id));
        }
    }

    fn machine(&mut self, g: usize) -> String {
        let number = self.id().as_u128();
        let id = format!("{}-{number}", self.world.groups[g].id);
        let (state, since) = (MachineState::Booting, self.now);
        self.world.groups[g].machines.push(Machine {
            id: id.clone(),
            node: None,
            state,
            since,
            was_node: false,
        });
        id
    }

    fn becomes_node(&mut self, g: usize, id: &str, stage: NodeStage) {
        let group = &mut self.world.groups[g];
        let Some(machine) = group.machines.iter_mut().find(|it| it.id == id) else { return };
        machine.node = Some(NodeId(id.to_owned()));
        machine.state = MachineState::Running;
        let template = group.template.as_ref().expect("a template");
        let mut node = NodeView { id: NodeId(id.to_owned()), stage, ..template.node(group, 0) };
        node.labels.insert("kubernetes.io/hostname".into(), id.to_owned());
        self.world.nodes.push(node);
    }

    fn fails(&mut self, g: usize, class: FailureClass, last_at: Timestamp) {
        let failures = &mut self.world.groups[g].failures;
        let in_a_row = failures.as_ref().map_or(0, |it| it.in_a_row) + 1;
        *failures = Some(Failures { in_a_row, last_at, class, message: String::new() });
    }

    /// A node's machine is gone: what ran there starts over elsewhere.
    fn goes(&mut self, node: &NodeId) {
        let there = |it: &InstanceView| it.place.as_ref().is_some_and(|place| place.node == *node);
        let lost: Vec<InstanceView> =
            self.world.instances.iter().filter(|it| there(it)).cloned().collect();
        for it in lost {
            if let Some(at) = self.jobs.iter().position(|(id, _)| *id == it.id) {
                let (_, inputs) = self.jobs.remove(at);
                self.queue(&it.model, inputs);
            }
        }
        self.world.instances.retain(|it| !there(it));
        self.world.nodes.retain(|it| it.id != *node);
        for group in &mut self.world.groups {
            group.machines.retain(|it| it.node.as_ref() != Some(node));
        }
        Arc::make_mut(&mut self.world.tenants).retain(|it| it.node.as_ref() != Some(node));
    }

    fn tenant_comes(&mut self) {
        let owner = ["none", "replicated", "replicated", "daemon"][self.draw.below(4) as usize];
        let id = format!("others/{}", self.id().as_u128());
        let cpu = self.draw.between(100, 3000);
        let tenant = json!({"id": id, "owner": owner, "ask": {"amounts": {"cpu": cpu, "pods": 1}, "priority": 0}});
        let mut tenant: Tenant = serde_json::from_value(tenant).expect("a tenant");
        let world = self.world.clone();
        let mut rooms = world.rooms();
        tenant.node = rooms.place(&tenant.ask.clone(), Who::Planned).ok().map(|place| place.node);
        if tenant.node.is_none() {
            return;
        }
        let stays = self.draw.between(60, 3000);
        self.later(stays, Next::Goes(tenant.id.clone()));
        Arc::make_mut(&mut self.world.tenants).push(Arc::new(tenant));
    }

    fn trouble(&mut self) {
        if self.world.nodes.is_empty() {
            return;
        }
        let at = self.draw.below(self.world.nodes.len() as u64) as usize;
        let since = self.now;
        let node = self.world.nodes[at].id.clone();
        if !matches!(self.world.nodes[at].stage, NodeStage::Ready) {
            return;
        }
        let lasts = self.draw.between(20, 900);
        let stage = match self.draw.below(4) {
            0 => NodeStage::Cordoned { ours: false, since },
            1 => NodeStage::Unready { since },
            2 => NodeStage::Drained { since },
            _ => {
                let group = self.world.nodes[at].group.clone();
                if let Some(g) = group.and_then(|id| self.group(&id)) {
                    let target = &mut self.world.groups[g].target;
                    *target = target.saturating_sub(1);
                }
                self.later(120, Next::Gone(node.clone()));
                NodeStage::Leaving { since, why: "spot notice".into() }
            }
        };
        if !matches!(stage, NodeStage::Leaving { .. }) {
            self.later(lasts, Next::Over(node));
        }
        self.world.nodes[at].stage = stage;
    }
}
