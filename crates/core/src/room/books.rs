//! What the hub has in its books of a group: the last order, what its provider told, what failed.
//!
//! A provider is another program: it may do something and answer no, answer yes and do nothing, or do
//! something else. So an order is only done when the provider tells of the size that was asked for, and
//! each change of the books is a function of what was heard.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Ask;
use super::group::{FailureClass, Failures, GroupView, Machine, MachineState, Order, Template};
use super::node::{GroupId, NodeId, NodeStage, NodeView};
use crate::{Amounts, Timestamp};

/// How long a group that somebody else resized is only advised for.
pub const LEFT_TO_OTHERS: Duration = Duration::from_secs(3600);

/// What the configuration says of a group. Its minimum and maximum go before those of the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    pub min: Option<u32>,
    pub max: Option<u32>,
    /// Of two that will do, the one with more.
    pub priority: i32,
    /// Room that one of its nodes shall have free.
    pub spare: Option<Amounts>,
}

/// A group as its provider tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub target: u32,
    pub min: Option<u32>,
    pub max: Option<u32>,
    pub template: Option<Template>,
    pub price: u64,
    pub machines: Vec<ToldMachine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldMachine {
    pub id: String,
    pub node: Option<NodeId>,
    pub state: MachineState,
}

/// What an order asks of the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Wanted {
    /// This many nodes in all.
    Size,
    /// Exactly these machines go, and the group is smaller by as many.
    Without { machines: Vec<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStage {
    /// It stands in the books; the call may have been made or not.
    Placed,
    /// The provider said yes.
    Answered,
    /// The provider told of the size that was asked for.
    Done,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedOrder {
    pub id: Uuid,
    pub wanted: Wanted,
    pub from: u32,
    pub to: u32,
    pub at: Timestamp,
    pub why: String,
    pub stage: OrderStage,
}

/// Why a provider did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub class: FailureClass,
    /// In its own words.
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupBooks {
    pub told: Option<Told>,
    /// Of each machine, since when it is what it is.
    pub machines: Vec<Known>,
    pub order: Option<PlacedOrder>,
    pub failures: Option<Failures>,
    /// How long its nodes usually take, seconds.
    pub boot_seconds: Option<u32>,
    pub resized_by_others: Option<Timestamp>,
}

/// A machine as it was last told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub id: String,
    pub state: MachineState,
    /// Its node is there.
    pub alive: bool,
    pub since: Timestamp,
    /// When it was ordered to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_away: Option<Timestamp>,
}

/// A node that gets nothing new, by the plan or because an administrator said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub node: NodeId,
    pub kind: MarkKind,
    /// It is the plan's.
    pub ours: bool,
    pub since: Timestamp,
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// What is there stays.
    Cordoned,
    /// What is there finishes, and is replaced elsewhere.
    Drained,
}

impl MarkKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cordoned => "cordoned",
            Self::Drained => "drained",
        }
    }
}

impl GroupBooks {
    /// The order of which it is not known what the provider made of it.
    fn open(&self, boot_limit: Duration, now: Timestamp) -> Option<&PlacedOrder> {
        self.order.as_ref().filter(|order| {
            let open = matches!(order.stage, OrderStage::Placed | OrderStage::Answered);
            open && order.at + boot_limit > now
        })
    }

    /// Is something on its way, so that it is worth asking again soon?
    pub fn is_moving(&self) -> bool {
        let comes =
            |known: &Known| matches!(known.state, MachineState::Booting | MachineState::Leaving);
        let waits = |known: &Known| known.state == MachineState::Running && !known.alive;
        let ordered = self
            .order
            .as_ref()
            .is_some_and(|order| matches!(order.stage, OrderStage::Placed | OrderStage::Answered));
        ordered || self.machines.iter().any(|known| comes(known) || waits(known))
    }

    /// Writes down an order; none beside one that is open.
    pub fn place(&mut self, order: PlacedOrder, boot_limit: Duration) -> bool {
        if self.open(boot_limit, order.at).is_some() {
            return false;
        }
        if let Wanted::Without { machines } = &order.wanted {
            let sent = self.machines.iter_mut().filter(|known| machines.contains(&known.id));
            sent.for_each(|known| known.sent_away = Some(order.at));
        }
        self.order = Some(order);
        true
    }

    /// The provider answered, or could not be asked.
    pub fn answered(&mut self, id: Uuid, answer: Result<(), Refusal>, now: Timestamp) {
        let Some(order) = self.order.as_mut().filter(|order| order.id == id) else { return };
        match answer {
            Ok(()) => order.stage = OrderStage::Answered,
            Err(refusal) => {
                order.stage = OrderStage::Failed;
                let at = order.at;
                let sent = self.machines.iter_mut().filter(|known| known.sent_away == Some(at));
                sent.for_each(|known| known.sent_away = None);
                self.failed(refusal, now);
            }
        }
    }

    pub fn failed(&mut self, Refusal { class, message }: Refusal, now: Timestamp) {
        let in_a_row = self.failures.as_ref().map_or(0, |failures| failures.in_a_row) + 1;
        self.failures = Some(Failures { in_a_row, last_at: now, class, message });
    }

    /// Takes in what the provider tells; `nodes` are those that are there.
    pub fn hear(&mut self, told: Told, nodes: &[NodeView], now: Timestamp) {
        let before = self.told.as_ref().map(|told| told.target);
        let mut ours = false;
        if let Some(order) = &mut self.order
            && order.stage != OrderStage::Done
            && order.to == told.target
            && (order.stage != OrderStage::Failed || order.from != order.to)
        {
            if order.stage == OrderStage::Failed {
                // It did it, and said no.
                self.failures = None;
            }
            order.stage = OrderStage::Done;
            ours = true;
        }
        let waits = self
            .order
            .as_ref()
            .is_some_and(|order| matches!(order.stage, OrderStage::Placed | OrderStage::Answered));
        if before.is_some_and(|before| before != told.target) && !ours && !waits {
            self.resized_by_others = Some(now);
        }
        let machines = told.machines.iter().map(|machine| self.known(machine, nodes, now));
        let machines: Vec<Known> = machines.collect();
        let came = |known: &&Known| {
            known.alive && self.machines.iter().all(|old| old.id != known.id || !old.alive)
        };
        if machines.iter().any(|known| came(&known)) {
            self.failures = None;
            if let Some(order) = self.order.as_ref().filter(|order| order.to > order.from) {
                let took = u32::try_from(now.since(order.at).as_secs()).unwrap_or(u32::MAX);
                self.boot_seconds =
                    Some(self.boot_seconds.map_or(took, |usual| (usual / 4) * 3 + took / 4));
            }
        }
        self.machines = machines;
        let template = told.template.clone().or_else(|| self.learned(nodes, &told));
        self.told = Some(Told { template, ..told });
    }

    fn known(&self, machine: &ToldMachine, nodes: &[NodeView], now: Timestamp) -> Known {
        let alive = machine.node.as_ref().is_some_and(|id| nodes.iter().any(|node| node.id == *id));
        let (id, state) = (machine.id.clone(), machine.state.clone());
        let old = self.machines.iter().find(|old| old.id == id);
        let same = old.filter(|old| old.alive == alive && old.state == state);
        // One that boots has nothing but its name from one that was sent away.
        let goes = old.filter(|_| state != MachineState::Booting);
        Known {
            id,
            state,
            alive,
            since: same.map_or(now, |old| old.since),
            sent_away: goes.and_then(|old| old.sent_away),
        }
    }

    /// What its nodes are, if its provider does not say: as one that was seen.
    fn learned(&self, nodes: &[NodeView], told: &Told) -> Option<Template> {
        let its = |node: &&NodeView| {
            told.machines.iter().any(|machine| machine.node.as_ref() == Some(&node.id))
        };
        let seen = nodes.iter().find(its).map(|node| Template {
            labels: node.labels.clone(),
            taints: node.taints.clone(),
            allocatable: node.allocatable.clone(),
        });
        seen.or_else(|| self.told.as_ref()?.template.clone())
    }

    /// The group for a plan. `unseen`: why its provider cannot be asked.
    pub fn view(
        &self,
        id: &GroupId,
        settings: &GroupSettings,
        unseen: Option<&str>,
        boot_limit: Duration,
        now: Timestamp,
    ) -> GroupView {
        let told = self.told.as_ref();
        let target = told.map_or(0, |told| told.target);
        let waits = self.open(boot_limit, now);
        let min = settings.min.or(told.and_then(|told| told.min)).unwrap_or(0);
        let max = settings.max.or(told.and_then(|told| told.max));
        let wrong = match max {
            None if told.is_some() => Some("nobody says how many nodes it may have".to_owned()),
            Some(max) if min > max => {
                Some(format!("its minimum of {min} is above its maximum of {max}"))
            }
            _ => None,
        };
        let machine = |machine: &ToldMachine| {
            let known = self.machines.iter().find(|known| known.id == machine.id);
            Machine {
                id: machine.id.clone(),
                node: machine.node.clone().filter(|_| known.is_some_and(|known| known.alive)),
                state: machine.state.clone(),
                since: known.map_or(now, |known| known.since),
            }
        };
        let spare = settings.spare.clone().map(|amounts| Ask { amounts, ..Ask::default() });
        let by_others = self.resized_by_others.filter(|at| *at + LEFT_TO_OTHERS > now);
        GroupView {
            id: id.clone(),
            min: min.min(max.unwrap_or(min)),
            max: max.unwrap_or(0),
            target: waits.map_or(target, |order| order.to),
            template: told.and_then(|told| told.template.clone()),
            price: told.map_or(0, |told| told.price),
            priority: settings.priority,
            boot_seconds: self.boot_seconds,
            machines: told
                .map(|told| told.machines.iter().map(machine).collect())
                .unwrap_or_default(),
            order: self.order.as_ref().map(|order| Order {
                id: order.id,
                to: order.to,
                at: order.at,
            }),
            failures: self.failures.clone(),
            spare,
            only_advised: by_others.map(|at| format!("somebody else resized it at {at}")),
            unseen: unseen
                .map(str::to_owned)
                .or(wrong)
                .or_else(|| told.is_none().then(|| "its provider was not asked yet".to_owned())),
        }
    }

    /// The nodes of the group: those of `nodes` that are its machines get its name, its price and their stage,
    /// and a machine that is running without a node is one that is not heard of.
    pub fn mark_nodes(
        &self,
        view: &GroupView,
        nodes: &mut Vec<NodeView>,
        boot_limit: Duration,
        now: Timestamp,
    ) {
        let Some(told) = &self.told else { return };
        for machine in &told.machines {
            let Some(id) = &machine.node else { continue };
            let known = self.machines.iter().find(|known| known.id == machine.id);
            let since = known.map_or(now, |known| known.since);
            let sent = known.and_then(|known| known.sent_away);
            let goes = machine.state == MachineState::Leaving
                || sent.is_some_and(|at| at + boot_limit > now);
            let going =
                || NodeStage::Leaving { since, why: "its machine is taken away".to_owned() };
            match nodes.iter_mut().find(|node| node.id == *id) {
                Some(node) if node.group.is_none() => {
                    node.group = Some(view.id.clone());
                    node.price = view.price;
                    let lacks =
                        view.template.as_ref().map(|it| it.lacking(node)).unwrap_or_default();
                    if goes {
                        node.stage = going();
                    } else if !lacks.is_empty() {
                        node.stage = NodeStage::Booting { since, lacks };
                    }
                }
                Some(_) => {}
                None => {
                    let (Some(template), true) = (&view.template, known.is_some_and(|it| it.alive))
                    else {
                        continue;
                    };
                    let stage = if goes { going() } else { NodeStage::Unready { since: now } };
                    nodes.push(NodeView { id: id.clone(), stage, ..template.node(view, 0) });
                }
            }
        }
    }

    /// The machine of a node of the group.
    pub fn machine_of(&self, node: &NodeId) -> Option<&str> {
        let machines = &self.told.as_ref()?.machines;
        let its = machines.iter().find(|machine| machine.node.as_ref() == Some(node));
        its.map(|machine| machine.id.as_str())
    }
}
