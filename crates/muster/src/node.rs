//! The machine of this hub, as a node on which instances get their places.

use std::sync::Arc;

use muster_cluster::machine::{Facts, Gpu, Machine};
use muster_cluster::proc;
use muster_core::Amounts;
use muster_core::resources::NOT_COUNTED;
use muster_core::room::{Device, DeviceId, NodeId, NodeStage, NodeView};
use muster_engine::ThisNode;
use tokio::sync::watch;

use crate::config::server::Serve;
use crate::folders::Versions;

/// `here`: folders of the configuration, and those that were pushed.
pub fn this_node(
    serve: &Serve,
    facts: Arc<Facts>,
    here: (watch::Receiver<Versions>, watch::Receiver<Versions>),
) -> ThisNode {
    let name = serve.node.clone().or_else(proc::host);
    let id = NodeId(name.unwrap_or_else(|| "this-machine".to_owned()));
    let labels = serve.labels.clone();
    Arc::new(move || {
        let machine = facts.now();
        let mut folders = here.0.borrow().clone();
        folders.extend(here.1.borrow().clone());
        NodeView {
            id: id.clone(),
            group: None,
            labels: labels.clone(),
            taints: Vec::new(),
            allocatable: allocatable(&machine),
            devices: machine.gpus.iter().map(device).collect(),
            folders: Some(folders),
            stage: NodeStage::Ready,
            price: 0,
            keep: None,
            unneeded_since: None,
        }
    })
}

fn device(gpu: &Gpu) -> Device {
    Device {
        id: DeviceId(gpu.uuid.clone()),
        resource: gpu.resource.to_owned(),
        name: gpu.name.clone(),
        memory: gpu.memory,
        used_by_others: gpu.used_by_others,
    }
}

fn allocatable(machine: &Machine) -> Amounts {
    let mut amounts = Amounts {
        cpu: machine.cores_millis,
        memory: machine.memory,
        // `muster doctor` looks at space on disk, and instances have a maximum.
        storage: NOT_COUNTED,
        pods: NOT_COUNTED,
        ..Amounts::default()
    };
    for gpu in &machine.gpus {
        *amounts.named.entry(gpu.resource.to_owned()).or_default() += 1;
    }
    amounts
}
