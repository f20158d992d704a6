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
    /// The last order for more that was taken.
    pub growth: Option<Order>,
    pub failures: Option<Failures>,
    /// Of orders that take nodes away: they hold up no others.
    pub removal_failures: Option<Failures>,
    /// How long its nodes usually take, seconds.
    pub boot_seconds: Option<u32>,
    pub resized_by_others: Option<Timestamp>,
    /// What one of its nodes had, where its provider had told more of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
}

/// What a node turned out to have: machines have more than what is left of them for pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What its provider told of nodes of the group then.
    pub of: Template,
    pub allocatable: Amounts,
}

/// A machine as it was last told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    pub id: String,
    pub state: MachineState,
    /// Its node is there.
    pub alive: bool,
    /// It was, at some time.
    #[serde(default)]
    pub was_node: bool,
    pub since: Timestamp,
    /// When it was ordered to go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_away: Option<Timestamp>,
}

impl PlacedOrder {
    fn grows(&self) -> bool {
        self.to > self.from
    }

    /// It was taken, and the group has a size that is not on the way to what was ordered: somebody else's.
    fn is_overtaken(&self, target: u32) -> bool {
        let way = self.from.min(self.to)..=self.from.max(self.to);
        self.stage == OrderStage::Answered && !way.contains(&target)
    }

    fn known(&self) -> Order {
        Order { id: self.id, to: self.to, at: self.at }
    }
}

fn one_more(before: Option<&Failures>, refusal: Refusal, now: Timestamp) -> Failures {
    let Refusal { class, message } = refusal;
    let in_a_row = before.map_or(0, |before| before.in_a_row) + 1;
    Failures { in_a_row, last_at: now, class, message }
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
    fn open(&self) -> Option<&PlacedOrder> {
        let open =
            |order: &&PlacedOrder| matches!(order.stage, OrderStage::Placed | OrderStage::Answered);
        self.order.as_ref().filter(open)
    }

    /// Is something on its way, so that it is worth asking again soon?
    pub fn is_moving(&self) -> bool {
        let comes = |known: &Known| {
            matches!(known.state, MachineState::Booting | MachineState::Leaving)
                || (known.state == MachineState::Running && !known.alive)
        };
        let fewer = |told: &Told| told.machines.len() < told.target as usize;
        self.open().is_some()
            || self.machines.iter().any(comes)
            || self.told.as_ref().is_some_and(fewer)
    }

    /// Writes down an order; none beside one that is open.
    pub fn place(&mut self, order: PlacedOrder) -> bool {
        if self.open().is_some() {
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
            Ok(()) => {
                order.stage = OrderStage::Answered;
                if order.grows() {
                    self.growth = Some(order.known());
                }
            }
            Err(refusal) => self.order_failed(refusal, now),
        }
    }

    /// The last order came to nothing.
    fn order_failed(&mut self, refusal: Refusal, now: Timestamp) {
        let Some(order) = &mut self.order else { return };
        order.stage = OrderStage::Failed;
        let (at, grows) = (order.at, order.grows());
        let sent = self.machines.iter_mut().filter(|known| known.sent_away == Some(at));
        sent.for_each(|known| known.sent_away = None);
        let failures = if grows { &mut self.failures } else { &mut self.removal_failures };
        *failures = Some(one_more(failures.as_ref(), refusal, now));
    }

    /// Nodes did not come.
    pub fn failed(&mut self, refusal: Refusal, now: Timestamp) {
        self.failures = Some(one_more(self.failures.as_ref(), refusal, now));
    }

    /// Takes in what the provider tells; `nodes` are those that are there.
    pub fn hear(&mut self, told: Told, nodes: &[NodeView], boot_limit: Duration, now: Timestamp) {
        let before = self.told.as_ref().map(|told| told.target);
        let ours = self.is_done_by(&told);
        if before != Some(told.target)
            && let Some(order) = self.order.as_mut().filter(|order| order.is_overtaken(told.target))
        {
            order.stage = OrderStage::Done;
        }
        if let Some(order) = self.open()
            && order.at + boot_limit <= now
        {
            let message = format!("{} nodes were ordered, it has {}", order.to, told.target);
            self.order_failed(Refusal { class: FailureClass::DidNotCome, message }, now);
        }
        let by_others = before.is_some_and(|before| before != told.target) && !ours;
        if by_others && self.open().is_none() {
            self.resized_by_others = Some(now);
        }
        let machines = told.machines.iter().map(|machine| self.known(machine, nodes, now));
        let machines: Vec<Known> = machines.collect();
        // One that was told of before it was a node.
        let came = |known: &Known| {
            let old = self.machines.iter().find(|old| old.id == known.id);
            known.alive && old.is_some_and(|old| !old.was_node)
        };
        if machines.iter().any(came) {
            self.failures = None;
            if let Some(growth) = &self.growth {
                let took = now.since(growth.at).as_secs().max(1);
                let mean = |usual: u32| (u64::from(usual) * 3 + took).div_ceil(4);
                let usual = self.boot_seconds.map_or(took, mean);
                self.boot_seconds = Some(u32::try_from(usual).unwrap_or(u32::MAX));
            }
        }
        self.machines = machines;
        let template = match &told.template {
            Some(template) => Some(self.found(template, nodes, &told)),
            None => self.learned(nodes, &told),
        };
        self.told = Some(Told { template, ..told });
    }

    /// Is the group as it was ordered now? Also if the provider had said no to that.
    fn is_done_by(&mut self, told: &Told) -> bool {
        let Some(order) = &mut self.order else { return false };
        let nothing = order.stage == OrderStage::Failed && order.from == order.to;
        if order.stage == OrderStage::Done || order.to != told.target || nothing {
            return false;
        }
        if !order.grows() {
            self.removal_failures = None;
        } else {
            self.growth = Some(order.known());
            if order.stage == OrderStage::Failed {
                self.failures = None;
            }
        }
        order.stage = OrderStage::Done;
        true
    }

    fn known(&self, machine: &ToldMachine, nodes: &[NodeView], now: Timestamp) -> Known {
        let alive = machine.node.as_ref().is_some_and(|id| nodes.iter().any(|node| node.id == *id));
        let (id, state) = (machine.id.clone(), machine.state.clone());
        let old = self.machines.iter().find(|old| old.id == id);
        let same = old.filter(|old| old.alive == alive && old.state == state);
        // One that boots anew has nothing but its name from one that was there.
        let anew =
            |old: &&Known| state != MachineState::Booting || old.state == MachineState::Booting;
        let again = old.filter(anew);
        Known {
            id,
            alive,
            was_node: alive || again.is_some_and(|old| old.was_node),
            since: same.map_or(now, |old| old.since),
            sent_away: again.and_then(|old| old.sent_away),
            state,
        }
    }

    /// What its nodes are as its provider says, and never more than one that was seen had: else nodes would be
    /// ordered again and again for what does not fit on them.
    fn found(&mut self, of: &Template, nodes: &[NodeView], told: &Told) -> Template {
        let its = |node: &&NodeView| {
            let mut its = told.machines.iter().filter_map(|machine| machine.node.as_ref());
            node.stage == NodeStage::Ready && its.any(|id| *id == node.id)
        };
        let least = nodes.iter().filter(its).map(|node| &node.allocatable);
        let least = least.min_by_key(|has| (has.memory, has.cpu));
        if let Some(has) = least {
            self.found = Some(Found { of: of.clone(), allocatable: has.clone() });
        }
        let mut template = of.clone();
        if let Some(found) = self.found.as_ref().filter(|found| found.of == *of) {
            let (amounts, had) = (&mut template.allocatable, &found.allocatable);
            amounts.cpu = amounts.cpu.min(had.cpu);
            amounts.memory = amounts.memory.min(had.memory);
            amounts.storage = amounts.storage.min(had.storage);
            amounts.pods = amounts.pods.min(had.pods);
        }
        template
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
        now: Timestamp,
    ) -> GroupView {
        let told = self.told.as_ref();
        let target = told.map_or(0, |told| told.target);
        let open = self.open();
        let growth = open.filter(|order| order.grows()).map(PlacedOrder::known);
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
                was_node: known.is_some_and(|known| known.was_node),
            }
        };
        let spare = settings.spare.clone().map(|amounts| Ask { amounts, ..Ask::default() });
        let by_others = self.resized_by_others.filter(|at| *at + LEFT_TO_OTHERS > now);
        GroupView {
            id: id.clone(),
            min: min.min(max.unwrap_or(min)),
            max: max.unwrap_or(0),
            target: open.map_or(target, |order| order.to),
            template: told.and_then(|told| told.template.clone()),
            price: told.map_or(0, |told| told.price),
            priority: settings.priority,
            boot_seconds: self.boot_seconds,
            machines: told
                .map(|told| told.machines.iter().map(machine).collect())
                .unwrap_or_default(),
            order: growth.or_else(|| self.growth.clone()),
            failures: self.failures.clone(),
            removal_failures: self.removal_failures.clone(),
            spare,
            only_advised: by_others
                .map(|at| format!("somebody else resized it at {}", at.to_minutes())),
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
            // One that failed and still has a hub finishes what it has.
            let goes = matches!(machine.state, MachineState::Leaving | MachineState::Failed { .. })
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
}
