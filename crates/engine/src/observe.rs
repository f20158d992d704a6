//! What the clusters saw, taken into the books.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use muster_cluster::{Cluster, Launch};
use muster_core::instance::{EndCause, Observed, ObservedState, Runs};
use muster_core::{Address, InstanceId, Model, Source, Timestamp, Waits};
use muster_store::{Instance, InstanceState, SeenImage, crash_point};

use crate::call::ModelServer;
use crate::dispatcher::{Dispatcher, Health};
use crate::job::Runner;
use crate::look::{Loop, Starting};
use crate::running::Leave;
use crate::supervisor::{Ending, STOP_GRACE, Supervisor, hear_end, stopped};

/// How long a pod of this hub may be in no books.
const STRAY: Duration = Duration::from_secs(60);

impl Loop {
    pub(crate) async fn observe(&mut self) {
        let clusters = self.clusters.clone();
        for cluster in clusters.all() {
            for seen in cluster.observe() {
                self.reconcile(seen, cluster).await;
            }
        }
    }

    async fn reconcile(&mut self, seen: Observed, cluster: &Arc<dyn Cluster>) {
        match seen.state {
            ObservedState::Preparing { doing } => {
                self.progress(seen.instance, doing, true, seen.at).await;
            }
            ObservedState::Starting { doing, waits } => {
                self.progress(seen.instance, doing, false, seen.at).await;
                self.waits(seen.instance, waits, seen.at);
            }
            ObservedState::Ready { address } => {
                self.get_ready(seen.instance, &address, cluster).await;
            }
            // One that was ready: its supervisor hears of it.
            ObservedState::Ended { cause } => {
                if let EndCause::OutOfMemory { .. } = &cause {
                    self.ran_out_of_memory(seen.instance);
                }
                if let Some(starting) = self.starting.remove(&seen.instance) {
                    self.start_failed(seen.instance, starting, cause, seen.at);
                }
            }
        }
    }

    /// The next pods of its model get more, if the model has more.
    fn ran_out_of_memory(&mut self, instance: InstanceId) {
        let starting = self.starting.get(&instance).map(|starting| &starting.model);
        let ready = || self.supervisors.get(&instance).map(|supervisor| &supervisor.model);
        if let Some(model) = starting.or_else(ready).filter(|it| it.source.runs() == Runs::Pod) {
            self.around.give_more_memory(Arc::clone(model));
        }
    }

    /// An instance says what it is doing.
    async fn progress(
        &mut self,
        instance: InstanceId,
        doing: String,
        preparing: bool,
        at: Timestamp,
    ) {
        let Some(starting) = self.starting.get_mut(&instance) else { return };
        if starting.doing == doing && starting.preparing == preparing {
            return;
        }
        if starting.preparing != preparing
            && let Err(error) = self.store.instance_preparing(instance, preparing).await
        {
            tracing::warn!(%error, instance.id = %instance, "its state is not written down yet");
            return;
        }
        self.recorder.starting(instance, &doing, preparing);
        if starting.preparing && !preparing {
            starting.prepared_at = Some(at);
        }
        starting.preparing = preparing;
        starting.progressed_at = at;
        starting.doing = doing;
    }

    /// What a pod waits for has a clock of its own, which goes on as long as that is of one kind.
    fn waits(&mut self, instance: InstanceId, waits: Waits, at: Timestamp) {
        let Some(starting) = self.starting.get_mut(&instance) else { return };
        if starting.model.source.runs() != Runs::Pod {
            return;
        }
        let since = match &starting.waits {
            Some((before, since)) if waits.goes_on_as(before) => *since,
            _ => at,
        };
        starting.waits = Some((waits, since));
    }

    /// An instance is ready: from now on its dispatcher looks for work.
    async fn get_ready(
        &mut self,
        instance: InstanceId,
        address: &Address,
        cluster: &Arc<dyn Cluster>,
    ) {
        let ready = |starting: &Starting| starting.retired.is_none();
        if !self.starting.get(&instance).is_some_and(ready) {
            return;
        }
        let Some(starting) = self.starting.remove(&instance) else { return };
        crash_point("after-spawn-before-row");
        if let Err(error) = self.store.instance_ready(instance, address).await {
            tracing::warn!(%error, instance.id = %instance, "its readiness is not written down yet");
            self.starting.insert(instance, starting);
            return;
        }
        let model = starting.model;
        self.note_image(instance, &model, cluster);
        tracing::info!(model.id = %model.id, instance.id = %instance, "an instance is ready");
        self.starts.remove(&(model.id.clone(), model.version.clone()));
        self.supervise(instance, model, address.clone(), cluster);
    }

    /// A tag may mean another image by now, of which nothing that is known of the version holds. Beside the loop.
    fn note_image(&self, instance: InstanceId, model: &Arc<Model>, cluster: &Arc<dyn Cluster>) {
        let Source::Image { image, .. } = &model.source else { return };
        let Some(seen) = cluster.image(instance).filter(|_| !image.contains('@')) else { return };
        let (store, recorder) = (self.store.clone(), Arc::clone(&self.recorder));
        let (model, image) = (Arc::clone(model), image.clone());
        tokio::spawn(async move {
            match store.note_image(&model, &seen).await {
                Ok(SeenImage::Same) => {}
                Ok(SeenImage::Other { first }) => {
                    let what = format!(
                        "{image} is {seen} here, was {first} at first, and has been more than one content: \
                         predictions of this version are not kept any more; name the image by its digest, as \
                         {image}@sha256:.., and allow keeping them again"
                    );
                    tracing::warn!(model.id = %model.id, instance.id = %instance, "{what}");
                    recorder.warn(instance, "image_changed", what);
                }
                Err(error) => {
                    tracing::warn!(%error, model.id = %model.id, "its image is not noted yet");
                }
            }
        });
    }

    /// From now on nothing that it does is waited for here.
    fn supervise(
        &mut self,
        instance: InstanceId,
        model: Arc<Model>,
        address: Address,
        cluster: &Arc<dyn Cluster>,
    ) {
        let supervisor = Supervisor::of(&model);
        let ended = hear_end(Arc::clone(cluster), instance);
        let runs = model.source.runs();
        let stays = runs.outlives_its_hub();
        let ending = Ending {
            store: self.store.clone(),
            recorder: Arc::clone(&self.recorder),
            cluster: Arc::clone(cluster),
            instance,
            runs,
            stopping: self.stop.clone(),
            ended: ended.clone(),
        };
        let (store, stopping) = (self.store.clone(), self.stop.clone());
        let recorder = Arc::clone(&self.recorder);
        let (running, reaped) = (Arc::clone(&self.running), self.reaped.subscribe());
        let (tokens, abort) = (supervisor.tokens.clone(), self.abort.clone());
        let cluster = Arc::clone(cluster);
        let work = async move {
            let server = match ModelServer::new(instance, &address) {
                Ok(server) => server,
                Err(error) => {
                    tracing::error!(%error, instance.id = %instance, "its address cannot be called");
                    return Leave::Ended(EndCause::not_started("its address cannot be called"));
                }
            };
            // An external server may take its time to answer.
            let splits = !stays || server.splits_batches().await;
            let runner = Runner {
                store,
                recorder,
                model,
                instance,
                server,
                place: (cluster, address),
                splits,
                ended,
                stopping,
                calls: Default::default(),
            };
            let (runner, health) = (Arc::new(runner), Health::default());
            Dispatcher { runner, running, tokens, abort, health, reaped }.run().await
        };
        supervisor.spawn(work, ending, self.gone.0.clone());
        self.supervisors.insert(instance, supervisor);
    }

    fn start_failed(
        &mut self,
        instance: InstanceId,
        starting: Starting,
        seen: EndCause,
        at: Timestamp,
    ) {
        let wanted = starting.retired.is_some();
        let cause = starting.retired.unwrap_or(seen);
        let failed = match cause {
            // Nobody is to blame for a place that is not there.
            EndCause::NoRoom { .. } => false,
            EndCause::ServerGone => !wanted,
            _ => !wanted || cause.is_failure(),
        };
        if failed {
            let Model { id, version, .. } = &*starting.model;
            self.starts.entry((id.clone(), version.clone())).or_default().failed(&cause, at);
        }
        self.end(instance, cause);
    }

    /// Does for our instances what another server's plan, or the books, ask for.
    pub(crate) async fn follow(&mut self, instances: &[Instance]) {
        let alive: HashSet<InstanceId> = instances.iter().map(|instance| instance.id).collect();
        // Other servers took us for dead and ended what was ours.
        for (id, supervisor) in &self.supervisors {
            if !alive.contains(id) && !supervisor.is_retired() {
                tracing::warn!(instance.id = %id, "it ended in the books: it is stopped");
                supervisor.retire(EndCause::ServerGone);
            }
        }
        let ended = |(id, starting): &(&InstanceId, &Starting)| {
            !alive.contains(*id) && starting.retired.is_none()
        };
        let ended: Vec<InstanceId> =
            self.starting.iter().filter(ended).map(|(id, _)| *id).collect();
        for id in ended {
            self.stop_start(id, EndCause::ServerGone);
        }
        self.stops_at = None;
        self.sweep_strays(&alive);
        for instance in instances {
            let draining = matches!(instance.state, InstanceState::Draining { .. });
            if draining {
                self.drain(instance);
            }
            let ours = instance.server == Some(self.store.server());
            let known = self.starting.contains_key(&instance.id)
                || self.supervisors.contains_key(&instance.id)
                || self.ending.contains(&instance.id);
            let lives_on = instance.runs.outlives_its_hub();
            if lives_on && !known && draining {
                self.reap(instance).await;
            } else if lives_on && !known {
                // All servers call what outlives its hub, whoever put it into the books.
                self.adopt(instance);
            } else if ours && !known {
                self.take_up(instance, draining);
            }
        }
    }

    /// The planning server gave it its place here: it is launched, if it is still wanted.
    fn take_up(&mut self, instance: &Instance, draining: bool) {
        let model = self.store.find_model(&instance.model);
        let model = model.filter(|model| model.version == instance.version);
        match model {
            Some(model) if !draining => {
                tracing::info!(model.id = %model.id, instance.id = %instance.id, "an instance is launched here");
                let (asked, place) = (instance.asked.clone(), instance.place.clone());
                self.begin(Launch { asked, place, ..Launch::anywhere(instance.id, model) });
            }
            Some(_) => self.end(instance.id, leaving(instance)),
            None => {
                let why = "its model has another version or is gone".to_owned();
                self.end(instance.id, EndCause::Retired { why });
            }
        }
    }

    /// The books say that it gets nothing more: another server's plan, or an administrator.
    fn drain(&mut self, instance: &Instance) {
        let now = self.store.now();
        if let Some(supervisor) = self.supervisors.get(&instance.id) {
            let Some(order) = &instance.stop else { return supervisor.retire(leaving(instance)) };
            let until = supervisor.stop(order, now);
            self.stops_at = self.stops_at.into_iter().chain(until).min();
        } else if self.starting.get(&instance.id).is_some_and(|it| it.retired.is_none()) {
            self.stop_start(instance.id, leaving(instance));
        }
    }

    /// Nobody here calls it any more. It has ended when nobody else does.
    async fn reap(&mut self, instance: &Instance) {
        let over = instance.stop.as_ref().is_some_and(|order| order.until <= self.store.now());
        if over || self.store.is_free(instance.id).await.unwrap_or(false) {
            if let Some(cluster) = self.clusters.of(instance.runs) {
                cluster.stop(instance.id, STOP_GRACE);
            }
            self.end(instance.id, leaving(instance));
        }
    }

    /// Pods that carry this hub's label and that nobody has a row for go after a while; until then it may be
    /// a row that this server has not read yet.
    fn sweep_strays(&mut self, alive: &HashSet<InstanceId>) {
        let Some(pods) = self.clusters.pods.clone() else { return };
        let now = self.store.now();
        let known = |id: &InstanceId| {
            alive.contains(id)
                || self.starting.contains_key(id)
                || self.supervisors.contains_key(id)
                || self.ending.contains(id)
        };
        let strays: Vec<InstanceId> =
            pods.observe().iter().map(|seen| seen.instance).filter(|id| !known(id)).collect();
        self.strays.retain(|id, _| strays.contains(id));
        for id in strays {
            let since = *self.strays.entry(id).or_insert(now);
            if now.since(since) >= STRAY {
                if pods.sweep(id) {
                    tracing::warn!(instance.id = %id, "a pod of this hub is in no books: it is deleted");
                } else {
                    tracing::warn!(
                        instance.id = %id,
                        "a pod of this hub is in no books here, and a server that planned later made it: it stays"
                    );
                }
                self.strays.insert(id, now);
            }
        }
    }

    /// What outlives the hub and is in the books is watched again.
    pub(crate) async fn adopt_all(&mut self) {
        let instances = match self.store.instances().await {
            Ok(instances) => instances,
            Err(error) => {
                tracing::warn!(%error, "pods and external model servers are not adopted yet");
                return;
            }
        };
        let draining =
            |instance: &Instance| matches!(instance.state, InstanceState::Draining { .. });
        for instance in instances.iter().filter(|it| it.runs.outlives_its_hub() && !draining(it)) {
            if !self.adopt(instance) {
                let why = "its model has another version or is gone".to_owned();
                self.end(instance.id, EndCause::Retired { why });
            }
        }
    }

    /// Watches it and gives it work; false if its model is not the one of the books.
    fn adopt(&mut self, instance: &Instance) -> bool {
        let model = self.store.find_model(&instance.model);
        let Some(model) = model.filter(|model| model.version == instance.version) else {
            return false;
        };
        let (asked, place) = (instance.asked.clone(), instance.place.clone());
        let launch = Launch::anywhere(instance.id, model);
        self.begin(Launch { asked, place, adopted: true, ..launch });
        true
    }
}

/// Why an instance that gets nothing more goes.
fn leaving(instance: &Instance) -> EndCause {
    let asked = || EndCause::Retired { why: "it was asked to stop".into() };
    instance.stop.as_ref().map_or_else(asked, stopped)
}
