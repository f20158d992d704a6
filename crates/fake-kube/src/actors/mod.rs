//! Who acts on the objects of a cluster: a scheduler, kubelets and what makes nodes. They know
//! nothing of Muster, and read and write through [`Objects`](crate::Objects) alone.

mod edit;
mod events;
pub mod kubelet;
pub mod lifecycle;
pub mod machines;
mod millis;
mod needs;
pub mod node;
mod orders;
pub(crate) mod quantity;
pub mod scheduler;
pub mod services;
mod shapes;
mod workloads;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{sync::watch, task::JoinSet};

pub use self::{
    node::node,
    orders::{Controls, Order},
};
use crate::{Logs, Objects};

/// How they act. Times are those of a real cluster unless they are set.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Actors {
    pub scheduler: scheduler::Settings,
    pub kubelet: kubelet::Settings,
    pub lifecycle: lifecycle::Settings,
    pub machines: machines::Settings,
    pub services: services::Settings,
}

/// Dropped, all of them end, and every process that they started.
pub struct Running {
    controls: Controls,
    tasks: JoinSet<()>,
}

impl Running {
    pub fn controls(&self) -> &Controls {
        &self.controls
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.abort_all();
        self.controls.shared.end();
    }
}

/// The error is that of a directory for the files of containers.
pub fn start(objects: &Objects, logs: &Logs, actors: Actors) -> std::io::Result<Running> {
    let shared = Arc::new(kubelet::Shared::new(objects, logs, actors.kubelet)?);
    let (scheduler, settings) = watch::channel(actors.scheduler);
    let mut tasks = JoinSet::new();
    tasks.spawn(scheduler::Scheduler::new(objects, settings).run());
    tasks.spawn(kubelet::Kubelet::new(&shared).run());
    tasks.spawn(lifecycle::Lifecycle::new(&shared, actors.lifecycle).run());
    tasks.spawn(workloads::run(objects.clone()));
    tasks.spawn(services::run(shared.clone(), actors.services));
    let (machines, settings) = watch::channel(actors.machines);
    tasks.spawn(machines::Machines::new(objects, settings).run());
    let controls = Controls { objects: objects.clone(), shared, scheduler, machines };
    Ok(Running { controls, tasks })
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
