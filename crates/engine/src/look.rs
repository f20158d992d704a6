//! The loop: look at the world, plan, apply, wait until something changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use muster_core::instance::Runs;
use muster_core::plan::{
    Action, InstanceView, ModelView, NodesMode, Planned, Policy, QueueView, Stage, Starts,
    Stranded, World,
};
use muster_core::{Clearing, EndCause, InstanceId, Model, ModelId, Timestamp, Waits};
use muster_store::{Change, Error, Heard, Instance, InstanceState, Queue, Store, crash_point};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::EngineConfig;
use crate::around::Around;
use crate::clusters::Clusters;
use crate::groups::{Groups, Nodes};
use crate::record::Recorder;
use crate::rollup::{ROLL_UP, roll_up};
use crate::running::Running;
use crate::supervisor::Supervisor;
use crate::tidy::{sweep, tidy};

/// Looks that a changed queue asks for come at least this far apart; further while the queue is
/// busy and there is nothing to do.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// The longest time without a look: with instances, and without.
const TICK: Duration = Duration::from_secs(5);
const IDLE_TICK: Duration = Duration::from_secs(12);
/// How often objects and rows are compared and logs that dead servers left are moved, and how often it is
/// looked whether something is to be cleared.
const SWEEP: Duration = Duration::from_secs(3600);
const TIDY: Duration = Duration::from_secs(60);
/// How long the planning lease holds, which is renewed with each housekeeping; and how often who does
/// not have it asks for it.
const LEAD: Duration = Duration::from_secs(20);
const ASK_TO_LEAD: Duration = Duration::from_secs(1);

pub(crate) struct Loop {
    pub(crate) store: Store,
    pub(crate) clusters: Clusters,
    pub(crate) policy: Policy,
    pub(crate) around: Around,
    pub(crate) groups: Groups,
    pub(crate) stop: CancellationToken,
    pub(crate) abort: CancellationToken,
    /// How starts of a model's version went.
    pub(crate) starts: HashMap<(ModelId, String), Starts>,
    /// Since when work waits for what the catalogue does not have.
    stranded: HashMap<(ModelId, String), Timestamp>,
    pub(crate) starting: HashMap<InstanceId, Starting>,
    /// Pods that are in no books, and since when.
    pub(crate) strays: HashMap<InstanceId, Timestamp>,
    pub(crate) supervisors: HashMap<InstanceId, Supervisor>,
    /// Those of which it is being written down that they ended.
    pub(crate) ending: HashSet<InstanceId>,
    pub(crate) running: Arc<Running>,
    pub(crate) gone: (mpsc::UnboundedSender<InstanceId>, mpsc::UnboundedReceiver<InstanceId>),
    pub(crate) reaped: watch::Sender<u64>,
    pub(crate) recorder: Arc<Recorder>,
    /// When the time of work that is being finished on a stopped instance is over.
    pub(crate) stops_at: Option<Timestamp>,
    housekept: Option<Instant>,
    leads: bool,
    swept: Option<Instant>,
    clearing: Clearing,
    tidied: Option<Instant>,
    tidying: Option<JoinHandle<()>>,
    rolled_up: Option<Instant>,
    rolling_up: Option<JoinHandle<()>>,
    /// Versions of models whose waiting requests are failing.
    pub(crate) failing: HashMap<(ModelId, String), JoinHandle<()>>,
}

/// An instance of ours that is not ready yet.
pub(crate) struct Starting {
    /// As it was launched. It serves only that, whatever the catalogue says by now.
    pub model: Arc<Model>,
    pub doing: String,
    pub progressed_at: Timestamp,
    /// What it waits for, and since when for that; of a cluster that says so.
    pub waits: Option<(Waits, Timestamp)>,
    /// Its environment is being made.
    pub preparing: bool,
    /// Since when the environment is there, if it had to be made.
    pub prepared_at: Option<Timestamp>,
    /// It is being stopped, for this.
    pub retired: Option<EndCause>,
}

impl Starting {
    pub(crate) fn new(model: &Arc<Model>, now: Timestamp) -> Self {
        Self {
            model: Arc::clone(model),
            doing: String::new(),
            progressed_at: now,
            waits: None,
            preparing: false,
            prepared_at: None,
            retired: None,
        }
    }
}

/// What one look brought.
struct Looked {
    acted: bool,
    /// How long nothing changes by the passing of time alone.
    rest: Duration,
}

impl Loop {
    pub(crate) fn new(
        config: EngineConfig,
        stop: CancellationToken,
        abort: CancellationToken,
    ) -> Self {
        let EngineConfig { store, clusters, policy, node, groups, clearing } = config;
        Self {
            recorder: Recorder::new(store.clone()),
            stops_at: None,
            store,
            groups: Groups::new(groups, &policy.nodes, clusters.pods.clone()),
            policy,
            around: Around::new(node, clusters.pods.clone()),
            clusters,
            stop,
            abort,
            starts: HashMap::new(),
            stranded: HashMap::new(),
            starting: HashMap::new(),
            strays: HashMap::new(),
            supervisors: HashMap::new(),
            ending: HashSet::new(),
            running: Arc::default(),
            gone: mpsc::unbounded_channel(),
            reaped: watch::channel(0).0,
            housekept: None,
            leads: false,
            swept: None,
            clearing,
            tidied: None,
            tidying: None,
            rolled_up: None,
            rolling_up: None,
            failing: HashMap::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        let marked = Arc::new(Notify::new());
        let passing = pass_on(self.store.changes(), Arc::clone(&self.running), Arc::clone(&marked));
        let passing = tokio::spawn(passing);
        let recording = tokio::spawn(Arc::clone(&self.recorder).run());
        let mut queue = self.store.queue_changed();
        let mut seen = self.clusters.changed();
        self.adopt_all().await;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let begun = Instant::now();
            let looked = self.look().await;
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.store.counters().looks.add(1);
            self.store.counters().look_micros.add(took);
            let looked = match looked {
                Ok(looked) => looked,
                Err(error) => {
                    tracing::warn!(%error, "the world cannot be seen; looking again");
                    Looked { acted: false, rest: Duration::from_secs(1) }
                }
            };
            pause = if looked.acted { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let queue_after_pause = async {
                tokio::time::sleep(pause).await;
                queue.changed().await
            };
            let unseen_after_pause = async {
                tokio::time::sleep(SHORTEST_PAUSE).await;
                self.store.unseen().await;
            };
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = queue_after_pause => {}
                () = unseen_after_pause => {}
                () = seen.hear() => {}
                Some(instance) = self.gone.1.recv() => self.forget(instance),
                () = self.groups.calls.hear() => {}
                // What is said of nodes comes with the next heartbeat.
                () = marked.notified() => self.housekept = None,
                () = tokio::time::sleep(looked.rest) => pause = SHORTEST_PAUSE,
            }
        }
        passing.abort();
        self.wind_down().await;
        recording.abort();
        self.recorder.flush().await;
    }

    async fn look(&mut self) -> Result<Looked, Error> {
        self.observe().await;
        let leads = self.housekeep().await?;
        let instances = self.store.instances().await?;
        self.follow(&instances).await;
        let busy = !instances.is_empty();
        let tick = if busy { TICK } else { IDLE_TICK };
        let now = self.store.now();
        let tick = self.stops_at.map_or(tick, |at| at.since(now).min(tick));
        let tick = tick.max(Duration::from_millis(1));
        if !leads {
            self.tell_seen(&instances, &[]);
            self.stranded.clear();
            self.store.set_planned(None);
            self.groups.rest();
            if let Some(pods) = &self.clusters.pods {
                pods.spare(None);
            }
            return Ok(Looked { acted: false, rest: tick });
        }
        self.groups.tell();
        self.tell_spare();
        self.groups.go_on(&self.store, &self.around.nodes(), self.around.blind()).await?;
        let world = self.world(&instances).await?;
        // The database's, as all times in the world are: this machine's may be off.
        let now = self.store.now();
        let around = self.groups.is_concerned().then(|| Nodes::of(&world));
        let mut planned = Planned::new(world, self.policy.clone(), now);
        planned.servers = self.around.servers(self.store.server());
        let plan = planned.plan.clone();
        self.store.set_planned(Some(planned));
        let held = plan.held.iter().map(|held| (held.model.clone(), held.why.to_string()));
        self.store.set_held(held.collect()).await?;
        self.groups.remember(&plan, now);
        let (nodes, instances): (Vec<Action>, Vec<Action>) =
            plan.actions.into_iter().partition(Action::is_of_nodes);
        let mut acted = !instances.is_empty();
        for action in instances {
            self.apply(action).await?;
        }
        let next = plan.next_look.map_or(tick, |at| at.since(now));
        let next = self.groups.next().map_or(next, |asks| asks.min(next));
        if let Some(around) = around
            && self.groups.apply(&self.store, nodes, &around).await?
        {
            acted = true;
            self.housekept = None;
        }
        Ok(Looked { acted, rest: next.clamp(Duration::from_millis(1), tick) })
    }

    /// Says that this server lives, returns what dead ones held to the queue, sweeps objects, rolls up
    /// statistics and clears. Is this server the one that plans?
    async fn housekeep(&mut self) -> Result<bool, Error> {
        let rest = if self.leads { TICK } else { ASK_TO_LEAD };
        if self.housekept.is_none_or(|at| at.elapsed() >= rest) {
            let asked = Instant::now();
            let store = &self.store;
            let node = self.around.this.as_ref().map(|this| this());
            // Together, so that they share a transaction.
            let (reaped, released, leads) = tokio::join!(
                store.heartbeat_of(node.as_ref()),
                store.release_expired(),
                store.lead(LEAD)
            );
            let Heard { died, others, marks } = reaped?;
            if died > 0 {
                self.reaped.send_modify(|n| *n += 1);
            }
            self.around.others = others;
            self.groups.marks = marks;
            released?;
            self.leads = leads?;
            self.recorder.lead(self.leads);
            if self.leads {
                let epoch = self.store.epoch();
                self.clusters.all().for_each(|cluster| cluster.lead(epoch));
            }
            self.housekept = Some(asked);
        }
        if self.swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            self.swept = Some(Instant::now());
            // Storage may be slow; the loop does not wait for it.
            tokio::spawn(sweep(self.store.clone()));
        }
        let tidies = self.tidying.as_ref().is_some_and(|tidying| !tidying.is_finished());
        if !tidies && self.tidied.is_none_or(|at| at.elapsed() >= TIDY) {
            self.tidied = Some(Instant::now());
            self.tidying = Some(tokio::spawn(tidy(self.store.clone(), self.clearing, self.leads)));
        }
        let rolls_up = self.rolling_up.as_ref().is_some_and(|rolling_up| !rolling_up.is_finished());
        if self.leads && !rolls_up && self.rolled_up.is_none_or(|at| at.elapsed() >= ROLL_UP) {
            self.rolled_up = Some(Instant::now());
            self.rolling_up = Some(tokio::spawn(roll_up(self.store.clone())));
        }
        Ok(self.leads)
    }

    /// Where others make nodes, they are told for whom room shall be free.
    fn tell_spare(&self) {
        let Some(pods) = &self.clusters.pods else { return };
        let delegates = self.policy.nodes.mode == NodesMode::Delegate;
        let models = self.store.models();
        let models = models.iter().filter(|model| {
            let keeps = model.limits.spare_instances > 0 && model.source.runs() == Runs::Pod;
            delegates && keeps && model.is_read()
        });
        let models =
            models.map(|model| (self.around.with_memory(model), model.limits.spare_instances));
        pods.spare(Some(models.collect()));
    }

    /// Work of other models than these is looked at without a pause.
    fn tell_seen(&self, instances: &[Instance], queues: &[Queue]) {
        let queued = queues.iter().filter(|queue| queue.tasks > 0).map(|queue| &queue.model);
        let seen = instances.iter().map(|instance| &instance.model).chain(queued);
        self.store.set_seen(seen.cloned().collect());
    }

    async fn world(&mut self, instances: &[Instance]) -> Result<World, Error> {
        let queues = self.store.queues().await?;
        self.tell_seen(instances, &queues);
        let models = self.store.models();
        self.around.learn(&self.store, &models, &queues).await?;
        let pods = self.around.look();
        let mut nodes = self.around.nodes();
        let groups = self.groups.see(&mut nodes, self.store.now());
        let templates = groups.iter().filter_map(|group| group.template.as_ref());
        let rooms = nodes.iter().map(|node| &node.allocatable);
        let largest = rooms.chain(templates.map(|it| &it.allocatable)).map(|it| it.memory).max();
        let key = |model: &Model| (model.id.clone(), model.version.clone());
        let now = self.store.now();
        let is_today = |id: &ModelId, version: &str| {
            models.iter().any(|model| model.id == *id && model.version == version)
        };
        self.starts.retain(|(id, version), _| is_today(id, version));
        let stranded = queues.iter().filter(|q| !is_today(&q.model, &q.version)).map(|queue| {
            let key = (queue.model.clone(), queue.version.clone());
            let since = self.stranded.get(&key).copied().unwrap_or(now);
            (key, since)
        });
        self.stranded = stranded.collect();
        let view = |model: &Arc<Model>| {
            let is_its =
                |q: &&Queue| q.model == model.id && q.version == model.version && q.tasks > 0;
            let queue = queues.iter().find(is_its);
            let seen = |q: &Queue| QueueView { inputs: q.inputs, oldest: q.oldest, due: q.due };
            let starts = self.starts.get(&key(model)).cloned().unwrap_or_default();
            ModelView {
                model: Arc::clone(model),
                queue: queue.map(seen),
                starts,
                ask: self.around.ask(model, largest),
                spare: model.limits.spare_instances,
                cannot_run: self.clusters.cannot_run(model).map(str::to_owned),
            }
        };
        Ok(World {
            models: models.iter().map(view).collect(),
            instances: instances.iter().map(|instance| self.instance_view(instance)).collect(),
            stranded: self
                .stranded
                .iter()
                .map(|((model, version), since)| Stranded {
                    model: model.clone(),
                    version: version.clone(),
                    since: *since,
                })
                .collect(),
            nodes,
            groups,
            unseen: pods.unseen(),
            tenants: pods.tenants,
            daemons: pods.daemons,
            budgets: pods.budgets,
        })
    }

    fn instance_view(&self, instance: &Instance) -> InstanceView {
        let launched_at = instance.launched_at;
        let retired = self.supervisors.get(&instance.id).is_some_and(Supervisor::is_retired);
        let stage = match &instance.state {
            InstanceState::Draining { .. } => Stage::Draining,
            _ if retired || self.ending.contains(&instance.id) => Stage::Draining,
            InstanceState::Ready { .. } => Stage::Ready {
                launched_at,
                ready_at: instance.ready_at.unwrap_or(launched_at),
                idle_since: instance.idle_since,
            },
            InstanceState::Preparing | InstanceState::Starting => {
                match self.starting.get(&instance.id) {
                    Some(Starting { retired: Some(_), .. }) => Stage::Draining,
                    // A pod waits for its place and its image first.
                    Some(Starting { preparing: true, doing, waits, .. }) => Stage::Preparing {
                        launched_at: waits.as_ref().map_or(launched_at, |(_, since)| *since),
                        doing: doing.clone(),
                    },
                    Some(Starting { doing, progressed_at, prepared_at, waits, .. }) => {
                        let later =
                            |since: Timestamp| prepared_at.map_or(since, |at| at.max(since));
                        Stage::Starting {
                            launched_at: prepared_at.unwrap_or(launched_at),
                            progressed_at: *progressed_at,
                            doing: doing.clone(),
                            waits: waits.clone().map(|(waits, since)| (waits, later(since))),
                        }
                    }
                    None => Stage::Starting {
                        launched_at,
                        progressed_at: launched_at,
                        doing: String::new(),
                        waits: None,
                    },
                }
            }
        };
        let (ask, place) = self.around.holds(instance, self.store.find_model(&instance.model));
        InstanceView {
            id: instance.id,
            model: instance.model.clone(),
            version: instance.version.clone(),
            slot: instance.slot,
            stage,
            ask,
            place,
        }
    }

    fn forget(&mut self, instance: InstanceId) {
        self.supervisors.remove(&instance);
        self.ending.remove(&instance);
        self.around.learn_again();
    }

    /// Ends what is ours: running jobs first, then local processes.
    async fn wind_down(&mut self) {
        // It can end between any two transactions; the next server goes on.
        if let Some(tidying) = &self.tidying {
            tidying.abort();
        }
        for failing in self.failing.values() {
            failing.abort();
        }
        for supervisor in self.supervisors.values() {
            supervisor.retire(EndCause::ServerGone);
        }
        for (id, starting) in std::mem::take(&mut self.starting) {
            let model = &starting.model.id;
            if starting.model.source.runs().outlives_its_hub() {
                continue;
            }
            tracing::info!(instance.id = %id, model.id = %model, "a starting instance is stopped");
            self.clusters.stop(id, Duration::ZERO);
            self.end(id, EndCause::ServerGone);
        }
        crash_point("while-draining");
        while !(self.supervisors.is_empty() && self.ending.is_empty())
            && let Some(instance) = self.gone.1.recv().await
        {
            self.forget(instance);
        }
    }
}

/// Passes cancellations on to the jobs that work on them, and to the loop that something is said of nodes.
async fn pass_on(
    mut changes: broadcast::Receiver<Change>,
    running: Arc<Running>,
    marked: Arc<Notify>,
) {
    loop {
        match changes.recv().await {
            Ok(Change::Cancelled { id }) => running.cancel(id),
            Ok(Change::Nodes) => marked.notify_one(),
            // What was missed is noticed when the lease is extended.
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
