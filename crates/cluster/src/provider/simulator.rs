//! A provider in memory: it does as it is told, or fails as a test tells it to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_core::room::{FailureClass, GroupId, MachineState, NodeId, Refusal, Told, ToldMachine};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Answer, Groups, Provider};

/// Its groups, what becomes of the next orders, and which orders it got.
#[derive(Default)]
pub struct SimProvider {
    state: Mutex<State>,
    called: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<GroupId, Told>,
    made: u32,
    orders: BTreeSet<Uuid>,
    calls: Vec<String>,
    moods: Vec<Mood>,
}

/// What it makes of an order, or of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    Refuses(Refusal),
    /// It does it, and says that it did not.
    DoesAndRefuses,
    /// It says yes, and does nothing.
    OnlySaysYes,
    Hangs,
}

impl SimProvider {
    pub fn new(groups: impl IntoIterator<Item = (GroupId, Told)>) -> Self {
        let state = State { groups: groups.into_iter().collect(), ..State::default() };
        Self { state: Mutex::new(state), called: watch::Sender::default() }
    }

    /// The next call ends like this; those after it as told before, or well.
    pub fn next(&self, mood: Mood) {
        self.lock().moods.push(mood);
    }

    /// Changes a group as its provider does by itself.
    pub fn change(&self, group: &str, change: impl FnOnce(&mut Told)) {
        change(self.lock().groups.entry(group.into()).or_insert_with(empty));
    }

    pub fn told(&self, group: &str) -> Option<Told> {
        self.lock().groups.get(&group.into()).cloned()
    }

    /// The orders it got, each as often as it came: `pool to 3`, `pool without pool-1`.
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// Changes with each order that it gets.
    pub fn called(&self) -> watch::Receiver<()> {
        self.called.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn order(
        &self,
        call: String,
        order: Uuid,
        act: impl FnOnce(&mut State) + Send,
    ) -> Result<(), Refusal> {
        let mood = {
            let mut state = self.lock();
            state.calls.push(call);
            let mood = state.moods.pop();
            let does = !matches!(mood, Some(Mood::Refuses(_) | Mood::OnlySaysYes));
            if does && state.orders.insert(order) {
                act(&mut state);
            }
            mood
        };
        self.called.send_replace(());
        match mood {
            None | Some(Mood::OnlySaysYes) => Ok(()),
            Some(Mood::Refuses(refusal)) => Err(refusal),
            Some(Mood::DoesAndRefuses) => {
                Err(Refusal { class: FailureClass::Other, message: "it did not work".to_owned() })
            }
            Some(Mood::Hangs) => std::future::pending().await,
        }
    }
}

fn empty() -> Told {
    Told { target: 0, min: None, max: None, template: None, price: 0, machines: Vec::new() }
}

impl Provider for SimProvider {
    fn groups(&self) -> Answer<'_, Groups> {
        Box::pin(async {
            let groups = &self.lock().groups;
            Ok(groups.iter().map(|(id, told)| (id.clone(), Ok(told.clone()))).collect())
        })
    }

    fn resize<'a>(&'a self, group: &'a GroupId, to: u32, order: Uuid) -> Answer<'a, ()> {
        Box::pin(self.order(format!("{group} to {to}"), order, move |state| {
            let told = state.groups.entry(group.clone()).or_insert_with(empty);
            told.target = to;
            while (told.machines.len() as u32) < to {
                state.made += 1;
                let id = format!("{group}-{}", state.made);
                let (node, state) = (Some(NodeId(id.clone())), MachineState::Booting);
                told.machines.push(ToldMachine { id, node, state });
            }
        }))
    }

    fn remove<'a>(
        &'a self,
        group: &'a GroupId,
        machines: &'a [String],
        order: Uuid,
    ) -> Answer<'a, ()> {
        let call = format!("{group} without {}", machines.join(" "));
        Box::pin(self.order(call, order, move |state| {
            let Some(told) = state.groups.get_mut(group) else { return };
            let before = told.machines.len();
            told.machines.retain(|machine| !machines.contains(&machine.id));
            let gone = (before - told.machines.len()) as u32;
            told.target = told.target.saturating_sub(gone);
        }))
    }
}
