//! Instances get their places by what they ask for and what machines have.

use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_core::Resources;
use muster_core::model::ModelLimits;
use muster_core::resources::GPU;
use muster_core::room::NodeView;
use muster_store::{Clock, Database};
use serde_json::json;

use crate::cluster;
use crate::hub::{Hub, Setup, echo, limits};

pub fn machine(name: &str, gpus: usize) -> NodeView {
    let device = |n| json!({"id": format!("GPU-{name}-{n}"), "resource": GPU});
    let node = json!({
        "id": name, "stage": {"is": "ready"},
        "allocatable": {"cpu": 4000, "memory": 8u64 << 30, "pods": 100, "named": {GPU: gpus}},
        "devices": (0..gpus).map(device).collect::<Vec<_>>(),
    });
    serde_json::from_value(node).expect("a node")
}

fn gpu() -> Resources {
    Resources { gpus: 1, ..Resources::default() }
}

/// The second one waits with that reason, and gets the GPU when the first one is idle.
#[tokio::test(flavor = "multi_thread")]
async fn two_models_with_a_gpu_each_take_turns_on_the_only_one() {
    let setup = Setup {
        node: Some(machine("lab", 1)),
        resources: gpu(),
        further: vec!["other"],
        limits: ModelLimits { idle_seconds: 600, ..limits() },
        ..Setup::default()
    };
    let hub = Hub::on(setup, echo).await;
    assert_eq!(hub.run(&["a"]).await.phase.name(), "completed");
    let first = hub.store.instances().await.expect("an answer").remove(0);
    let place = first.place.expect("a place");
    assert_eq!((place.node.0.as_str(), place.devices[0].0.as_str()), ("lab", "GPU-lab-0"));
    assert_eq!(first.asked.expect("it asked").of(GPU), 1);

    let other = hub.store.find_model(&"other".parse().expect("an id")).expect("a model");
    let waits = hub.submit_to(&other, &["b"]).await;
    let ended = waits.ended.wait(Duration::from_secs(20)).await.expect("it ends").request;
    assert_eq!(ended.phase.name(), "completed");
    let alive = hub.store.instances().await.expect("an answer");
    let owners = alive.iter().filter_map(|it| it.place.clone()).filter(|it| !it.devices.is_empty());
    assert_eq!(owners.count(), 1, "the idle one went");
    assert_eq!(hub.cluster.most_at_once.load(Ordering::SeqCst), 1, "never both");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_gpus_than_there_are_is_said_with_both_figures() {
    let resources = Resources { gpus: 3, ..Resources::default() };
    let setup = Setup { node: Some(machine("lab", 2)), resources, ..Setup::default() };
    let hub = Hub::on(setup, echo).await;
    let waits = hub.submit(&["a"]).await;
    let why = hub.until_held(|_| true).await;
    assert_eq!(
        why,
        "No node can run the model: it needs 3 GPUs (2 there). An administrator can change that."
    );
    assert_eq!(hub.cluster.launched.load(Ordering::SeqCst), 0);
    drop(waits);
}

/// The hub that plans has no GPU; the other one has, and launches what is placed there.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_runs_on_the_machine_that_has_room_for_it() {
    let schema = format!("t{}", Clock::system().id().simple());
    let setup = |node| Setup {
        database: Database::Postgres {
            url: cluster::shared().url("postgres"),
            schema: Some(schema.clone()),
            max_connections: 4,
        },
        node: Some(node),
        resources: gpu(),
        limits: limits(),
        ..Setup::default()
    };
    let plans = Hub::on(setup(machine("desk", 0)), echo).await;
    let other = Hub::on(setup(machine("lab", 1)), echo).await;
    let ended = plans.submit(&["a", "b"]).await;
    let ended = ended.ended.wait(Duration::from_secs(30)).await.expect("it ends").request;
    assert_eq!(ended.phase.name(), "completed");
    let launched = |hub: &Hub| hub.cluster.launched.load(Ordering::SeqCst);
    assert_eq!((launched(&plans), launched(&other)), (0, 1));
    let record = plans.store.instances().await.expect("an answer").remove(0);
    assert_eq!(record.server, Some(other.store.server()));
    assert_eq!(record.place.expect("a place").node.0, "lab");
}
