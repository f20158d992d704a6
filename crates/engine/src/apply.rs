//! Carrying out what the plan says. Each action is written down before it is done (intent first).

use std::sync::Arc;
use std::time::Duration;

use muster_cluster::Launch;
use muster_core::instance::{EndCause, Runs};
use muster_core::plan::Action;
use muster_core::room::Place;
use muster_core::{Amounts, InstanceId, ModelId};
use muster_store::{Error, NewInstance, crash_point};

use crate::look::{Loop, Starting};

impl Loop {
    pub(crate) async fn apply(&mut self, action: Action) -> Result<(), Error> {
        match action {
            Action::Launch { model, slot, why, asks, place } => {
                self.launch(model, slot, why, asks, place).await
            }
            Action::Retire { instance, cause } => self.retire(instance, cause).await,
            Action::FailWaiting { model, version, reason } => {
                self.fail_waiting(model, version, reason);
                Ok(())
            }
            Action::MoveStranded { model } => {
                let moved = self.store.move_stranded(&model).await?;
                tracing::info!(model.id = %model, moved, "what waited for another version is moved");
                Ok(())
            }
            // `Groups` carries out what is of nodes.
            Action::AddNodes { .. }
            | Action::Cordon { .. }
            | Action::Uncordon { .. }
            | Action::Evict { .. }
            | Action::RemoveNode { .. }
            | Action::DropMachines { .. }
            | Action::LowerTarget { .. } => Ok(()),
        }
    }

    /// Beside the loop: there may be many, and others write meanwhile.
    fn fail_waiting(&mut self, model: ModelId, version: String, reason: String) {
        self.failing.retain(|_, failing| !failing.is_finished());
        let store = self.store.clone();
        self.failing.entry((model, version)).or_insert_with_key(|(model, version)| {
            let (model, version) = (model.clone(), version.clone());
            tokio::spawn(async move {
                match store.fail_waiting(&model, &version, &reason).await {
                    Ok(failed) => {
                        tracing::warn!(model.id = %model, version, failed, reason, "requests that wait fail");
                    }
                    Err(error) => {
                        tracing::warn!(%error, model.id = %model, "not all that wait have failed yet");
                    }
                }
            })
        });
    }

    async fn launch(
        &mut self,
        id: ModelId,
        slot: u32,
        why: String,
        asked: Option<Amounts>,
        place: Option<Place>,
    ) -> Result<(), Error> {
        let Some(model) = self.store.find_model(&id) else { return Ok(()) };
        let this = self.store.server();
        let runs = model.source.runs();
        let server = match &place {
            Some(place) if runs == Runs::Process => {
                match self.around.server_of(&place.node, this) {
                    Some(server) => server,
                    // It died since the plan was made.
                    None => return Ok(()),
                }
            }
            _ => this,
        };
        let instance = InstanceId(self.store.clock().id());
        let node = place.as_ref().map(|place| place.node.0.clone());
        tracing::info!(model.id = %id, instance.id = %instance, why, node, "an instance is launched");
        let new = NewInstance {
            id: instance,
            model: id,
            version: model.version.clone(),
            slot,
            server: Some(server).filter(|server| *server != this),
            runs,
            why,
            asked: asked.clone(),
            place: place.clone(),
        };
        if !self.store.add_instance(new).await? {
            // Another server took the place, or plans by now.
            return Ok(());
        }
        crash_point("after-instance-row-before-spawn");
        if server == this {
            self.begin(Launch { asked, place, ..Launch::anywhere(instance, model) });
        }
        Ok(())
    }

    /// Launches here what stands in the books.
    pub(crate) fn begin(&mut self, launch: Launch) {
        let (instance, runs) = (launch.instance, launch.model.source.runs());
        let Some(cluster) = self.clusters.of(runs) else {
            return self.end(instance, EndCause::not_started("this hub cannot run it"));
        };
        self.starting.insert(instance, Starting::new(&launch.model, self.store.now()));
        self.recorder.begin(instance, cluster, runs);
        let model = self.around.with_memory(&launch.model);
        cluster.launch(Launch { model, epoch: self.store.epoch(), ..launch });
    }

    async fn retire(&mut self, instance: InstanceId, cause: EndCause) -> Result<(), Error> {
        if !self.store.instance_draining(instance, &cause).await? {
            // Another server plans by now.
            return Ok(());
        }
        if let Some(supervisor) = self.supervisors.get(&instance) {
            supervisor.retire(cause);
        } else {
            self.stop_start(instance, cause);
        }
        Ok(())
    }

    /// Writes down that it ended, beside the loop: the database may be away for a while.
    pub(crate) fn end(&mut self, instance: InstanceId, cause: EndCause) {
        if !self.ending.insert(instance) {
            return;
        }
        let (recorder, gone) = (Arc::clone(&self.recorder), self.gone.0.clone());
        tokio::spawn(async move {
            recorder.end(instance, &cause).await;
            if gone.send(instance).is_err() {
                tracing::debug!(instance.id = %instance, "the loop ended before its instance");
            }
        });
    }

    /// Ends an instance that is not ready yet, for this.
    pub(crate) fn stop_start(&mut self, instance: InstanceId, cause: EndCause) {
        if let Some(starting) = self.starting.get_mut(&instance) {
            starting.retired = Some(cause);
            self.clusters.stop(instance, Duration::ZERO);
        }
    }
}
