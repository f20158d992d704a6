//! What is around: the machines that run hubs, as nodes, and what a model asks of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_cluster::Cluster;
use muster_core::instance::{Observed, ObservedState, Runs};
use muster_core::room::{Ask, Condition, Folder, NodeId, NodeView, Place, Requirement};
use muster_core::waits::{Scheduler, Waits};
use muster_core::{Amounts, Model, ModelId, ServerId};
use muster_store::{Error, Instance, Queue, Store};
use tokio::time::Instant;

/// Reads what the machine that runs this hub has for instances.
pub type ThisNode = Arc<dyn Fn() -> NodeView + Send + Sync>;

/// How old the largest memory that is known of versions may be.
const PEAKS: Duration = Duration::from_secs(60);
/// What so many instances of a model with different amounts ask for is remembered.
const MOST_ASKS: usize = 8;

/// What instances of a model ask for, by what they have of their node.
type Asks = Vec<(Arc<Model>, Amounts, Ask)>;

#[derive(Default)]
pub(crate) struct Around {
    /// None if room is not counted.
    pub this: Option<ThisNode>,
    /// Runs pods, if the hub does.
    pods: Option<Arc<dyn Cluster>>,
    /// The nodes of their cluster, as they were seen last.
    seen: Vec<NodeView>,
    /// Why they are not known, if they are not.
    blind: Option<String>,
    /// What pods of models ask for: their pods have to be made up to know it.
    asks: Mutex<HashMap<ModelId, Asks>>,
    /// Models of which a pod ran out of memory, as they were then and with more of it.
    short: HashMap<ModelId, (Arc<Model>, Arc<Model>)>,
    /// Of the other servers that live.
    pub others: Vec<(ServerId, NodeView)>,
    /// The most memory that an instance of a version had, bytes.
    peaks: HashMap<(ModelId, String), u64>,
    learned: Option<Instant>,
}

impl Around {
    pub fn new(this: Option<ThisNode>, pods: Option<Arc<dyn Cluster>>) -> Self {
        Self { this, pods, ..Self::default() }
    }

    /// Looks at what is around the pods; their nodes are among [`Self::nodes`] from then on.
    pub fn look(&mut self) -> muster_cluster::Around {
        let mut around = self.pods.as_ref().map(|pods| pods.around()).unwrap_or_default();
        self.blind = around.blind();
        self.seen = std::mem::take(&mut around.nodes);
        around
    }

    /// Nodes of the cluster that runs pods; else each machine with a hub once: two hubs on one share its room.
    pub fn nodes(&self) -> Vec<NodeView> {
        if self.pods.is_some() {
            return self.seen.clone();
        }
        let Some(this) = &self.this else { return Vec::new() };
        let mut nodes = vec![this()];
        for (_, node) in &self.others {
            if nodes.iter().all(|known| known.id != node.id) {
                nodes.push(node.clone());
            }
        }
        nodes
    }

    /// Why it is not known which nodes there are.
    pub fn blind(&self) -> Option<&str> {
        self.blind.as_deref()
    }

    /// The server that launches on the node: this one if it is its own.
    pub fn server_of(&self, node: &NodeId, this: ServerId) -> Option<ServerId> {
        if self.this.as_ref().is_some_and(|view| view().id == *node) {
            return Some(this);
        }
        self.others.iter().find(|(_, view)| view.id == *node).map(|(server, _)| *server)
    }

    /// Which hubs launch instances where.
    pub fn servers(&self, this: ServerId) -> Vec<(NodeId, ServerId)> {
        let own = self.this.as_ref().map(|view| (view().id, this));
        let others = self.others.iter().map(|(server, node)| (node.id.clone(), *server));
        own.into_iter().chain(others).collect()
    }

    /// How much memory instances had, where work waits. Nothing is asked while none does.
    pub async fn learn(
        &mut self,
        store: &Store,
        models: &[Arc<Model>],
        queues: &[Queue],
    ) -> Result<(), Error> {
        let waits = queues.iter().any(|queue| queue.tasks > 0);
        if !self.counts_room() || !waits || self.learned.is_some_and(|at| at.elapsed() < PEAKS) {
            return Ok(());
        }
        let versions = models.iter().map(|model| (&model.id, model.version.as_str()));
        self.peaks = store.memory_peaks(versions).await?;
        self.learned = Some(Instant::now());
        Ok(())
    }

    /// An instance ended: what it used is known now.
    pub fn learn_again(&mut self) {
        self.learned = None;
    }

    fn counts_room(&self) -> bool {
        self.this.is_some() || self.pods.is_some()
    }

    /// What an instance of the model asks of its node, never more memory than `largest`; an external server
    /// has none.
    pub fn ask(&self, model: &Arc<Model>, largest: Option<u64>) -> Option<Ask> {
        if !self.counts_room() || model.source.runs() == Runs::Elsewhere {
            return None;
        }
        let model = &self.with_memory(model);
        let peak = self.peaks.get(&(model.id.clone(), model.version.clone())).copied();
        let need = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            is: Condition::In(vec![value.clone()]),
        };
        let folder = || Folder { model: model.id.clone(), version: model.version.clone() };
        let ask = Ask {
            amounts: model.resources.amounts(Some(model.limits.memory_mib), peak, largest),
            folder: (model.source.runs() == Runs::Process).then(folder),
            needs: model.resources.node.iter().map(need).collect(),
            ..Ask::default()
        };
        Some(self.of_pod(model, ask))
    }

    /// A pod of the model ran out of memory.
    pub fn give_more_memory(&mut self, model: Arc<Model>) {
        let limits = &model.limits;
        let more = limits.memory_mib.saturating_add(limits.memory_mib / 2);
        let more = more.min(limits.memory_most_mib);
        let is_known = self.short.get(&model.id).is_some_and(|(of, _)| *of == model);
        if more <= limits.memory_mib || is_known {
            return;
        }
        tracing::info!(model.id = %model.id, memory_mib = more, "its pods get more memory");
        let mut with = (*model).clone();
        with.limits.memory_mib = more;
        with.resources.memory_mib = with.resources.memory_mib.map(|_| more);
        self.short.insert(model.id.clone(), (model, Arc::new(with)));
    }

    /// The model as its next instance gets it.
    pub fn with_memory(&self, model: &Arc<Model>) -> Arc<Model> {
        let more = self.short.get(&model.id).filter(|(of, _)| of == model);
        Arc::clone(more.map_or(model, |(_, with)| with))
    }

    /// The same of a pod, with all that its template adds.
    fn of_pod(&self, model: &Arc<Model>, ask: Ask) -> Ask {
        let Some(pods) = self.pods.as_ref().filter(|_| model.source.runs() == Runs::Pod) else {
            return ask;
        };
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = asks.entry(model.id.clone()).or_default();
        known.retain(|(of, ..)| Arc::ptr_eq(of, model));
        if let Some((.., ask)) = known.iter().find(|(_, amounts, _)| *amounts == ask.amounts) {
            return ask.clone();
        }
        let amounts = ask.amounts.clone();
        let ask = pods.ask(model, ask);
        known.truncate(MOST_ASKS);
        known.push((Arc::clone(model), amounts, ask.clone()));
        ask
    }

    /// What an instance holds, and where. Of a pod the scheduler says where.
    pub fn holds(
        &self,
        instance: &Instance,
        model: Option<Arc<Model>>,
    ) -> (Option<Ask>, Option<Place>) {
        let Some(amounts) = instance.asked.clone() else { return (None, instance.place.clone()) };
        let ask = Ask { amounts, ..Ask::default() };
        let Some(pods) = self.pods.as_ref().filter(|_| instance.runs == Runs::Pod) else {
            return (Some(ask), instance.place.clone());
        };
        let ask = match model {
            Some(model) => self.of_pod(&model, ask),
            None => ask,
        };
        let place = match pods.find(instance.id) {
            Some(Observed { node: Some(node), .. }) => Some(Place { node, devices: Vec::new() }),
            Some(Observed { state: ObservedState::Starting { waits, .. }, .. }) => match waits {
                Waits::Scheduler(Scheduler::Silent) => instance.place.clone(),
                // The scheduler did not take the place that the plan saw.
                _ => None,
            },
            _ => instance.place.clone(),
        };
        (Some(ask), place)
    }
}
