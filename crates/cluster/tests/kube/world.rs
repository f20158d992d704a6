//! A served cluster with one hub, and what a scheduler and a kubelet would write.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use fake_kube::{Config, FakeKube, Resource};
use muster_cluster::kube::{Kube, KubeConfig, KubeError, client};
use muster_cluster::{Cluster, Launch, Now, Sight};
use muster_core::{InstanceId, Model, ObservedState, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

pub const NAMESPACE: &str = "models";

pub struct World {
    pub fake: FakeKube,
    pub kube: Arc<Kube>,
    dir: TempDir,
}

/// A cluster and a hub that can see all of it.
pub async fn world() -> World {
    world_of(Config::default(), None, |config| config).await.expect("a hub")
}

/// How this hub is set up: so that tests do not wait.
pub fn config() -> KubeConfig {
    KubeConfig {
        namespace: NAMESPACE.into(),
        hub: "h1".into(),
        looked_for: Duration::from_millis(300),
        fake: Duration::from_millis(300),
        ..KubeConfig::default()
    }
}

pub async fn world_of(
    cluster: Config,
    token: Option<&str>,
    change: impl FnOnce(KubeConfig) -> KubeConfig,
) -> Result<World, KubeError> {
    // Another test of this process may have done it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let fake = FakeKube::start(cluster).await.expect("a cluster");
    let named = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    fake.objects().create(&Resource::namespaces(), named).expect("a namespace");
    join(fake, token, change(config())).await
}

async fn join(fake: FakeKube, token: Option<&str>, config: KubeConfig) -> Result<World, KubeError> {
    let dir = tempfile::tempdir().expect("a folder");
    let kube = hub(&fake, &dir, token, config).await?;
    Ok(World { fake, kube, dir })
}

async fn hub(
    fake: &FakeKube,
    dir: &TempDir,
    token: Option<&str>,
    config: KubeConfig,
) -> Result<Arc<Kube>, KubeError> {
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, fake.kubeconfig_with(token)).expect("a file");
    Kube::start(client(Some(&path), None).await?, config, now()).await
}

/// Time that goes on by itself, a microsecond at each look.
pub fn now() -> Now {
    let micros = AtomicI64::new(1_800_000_000_000_000);
    Arc::new(move || Timestamp::from_micros(micros.fetch_add(1, Ordering::Relaxed)))
}

pub fn new_id() -> InstanceId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    InstanceId(Uuid::from_u128(NEXT.fetch_add(1, Ordering::Relaxed).into()))
}

pub fn model() -> Arc<Model> {
    let model = json!({
        "id": "eos4e40", "version": "1",
        "source": {"from": "image", "image": "registry/eos4e40:1", "port": 80},
        "card": {}, "input": {"name": "input", "description": ""}, "outputs": [], "example": [],
        "limits": {}, "cache": false,
    });
    Arc::new(serde_json::from_value(model).expect("a model"))
}

impl World {
    /// Another hub of the same cluster.
    pub async fn another(&self, config: KubeConfig) -> Arc<Kube> {
        self.join(config).await.expect("a hub")
    }

    /// The same, which may fail.
    pub async fn join(&self, config: KubeConfig) -> Result<Arc<Kube>, KubeError> {
        hub(&self.fake, &self.dir, None, config).await
    }

    pub async fn another_as(&self, token: &str, config: KubeConfig) -> Arc<Kube> {
        self.join_as(token, config).await.expect("a hub")
    }

    pub async fn join_as(&self, token: &str, config: KubeConfig) -> Result<Arc<Kube>, KubeError> {
        hub(&self.fake, &self.dir, Some(token), config).await
    }

    pub fn launch(&self) -> InstanceId {
        let id = new_id();
        self.kube.launch(Launch::anywhere(id, model()));
        id
    }

    pub fn pod(&self, id: InstanceId) -> Option<Arc<Value>> {
        self.fake.objects().get(&Resource::pods(), Some(NAMESPACE), &name(id))
    }

    pub fn pods(&self) -> usize {
        self.fake.objects().list(&Resource::pods()).1.len()
    }

    pub async fn made(&self, id: InstanceId) -> Arc<Value> {
        until("its pod is made", || self.pod(id).is_some()).await;
        self.pod(id).expect("a pod")
    }

    pub fn write(&self, id: InstanceId, change: impl FnOnce(&mut Value)) {
        let changed =
            self.fake.objects().change(&Resource::pods(), Some(NAMESPACE), &name(id), change);
        changed.expect("a pod");
    }

    /// What a scheduler and a kubelet do until a pod is ready.
    pub fn run(&self, id: InstanceId) {
        self.write(id, |pod| {
            pod["spec"]["nodeName"] = json!("node-1");
            pod["status"] = json!({
                "phase": "Running", "podIP": "10.0.0.7",
                "conditions": [
                    {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"},
                ],
                "containerStatuses": [container(json!({"running": {"startedAt": "2026-11-28T14:00:00Z"}}))],
            });
        });
    }

    /// Its program ends.
    pub fn exit(&self, id: InstanceId, code: i32) {
        self.write(id, |pod| {
            let ended = json!({"terminated": {"exitCode": code, "reason": "Error",
                "startedAt": "2026-11-28T14:00:00Z", "finishedAt": "2026-11-28T14:01:00Z"}});
            pod["status"]["phase"] = json!("Failed");
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
            pod["status"]["containerStatuses"] = json!([container(ended)]);
        });
    }

    /// The kubelet has ended it, and it is no more.
    pub fn remove(&self, id: InstanceId) {
        self.fake.objects().remove(&Resource::pods(), Some(NAMESPACE), &name(id)).expect("a pod");
    }

    pub fn state(&self, id: InstanceId) -> Option<ObservedState> {
        self.kube.find(id).map(|seen| seen.state)
    }

    pub fn is_ready(&self, id: InstanceId) -> bool {
        matches!(self.state(id), Some(ObservedState::Ready { .. }))
    }

    pub fn is_over(&self, id: InstanceId) -> bool {
        matches!(self.state(id), Some(ObservedState::Ended { .. }))
    }

    pub async fn ready(&self) -> InstanceId {
        let id = self.launch();
        self.made(id).await;
        self.run(id);
        until("it is ready", || self.is_ready(id)).await;
        id
    }

    pub async fn over(&self, id: InstanceId) -> muster_core::EndCause {
        until("it is over", || self.is_over(id)).await;
        match self.state(id) {
            Some(ObservedState::Ended { cause }) => cause,
            other => panic!("{other:?}"),
        }
    }

    /// Everything is seen.
    pub async fn settled(&self) {
        until("all is seen", || {
            !self.sights().iter().any(|(_, it)| matches!(it, Sight::Blind { .. }))
        })
        .await;
    }

    pub fn sights(&self) -> Vec<(&'static str, Sight)> {
        self.kube.around().watches.into_iter().map(|it| (it.what, it.sight)).collect()
    }

    pub fn sees_pods(&self) -> bool {
        self.sights().iter().any(|(what, it)| *what == "pods" && matches!(it, Sight::Fresh { .. }))
    }

    pub fn calls(&self, verb: &str, resource: &str) -> u64 {
        let calls = self.fake.faults().calls();
        calls.get(&(verb.to_owned(), resource.to_owned())).copied().unwrap_or(0)
    }
}

pub fn name(id: InstanceId) -> String {
    format!("eos4e40-{id}")
}

fn container(state: Value) -> Value {
    json!({"name": "model", "image": "registry/eos4e40:1", "imageID": "sha256:1", "ready": true,
        "restartCount": 0, "state": state})
}

pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came that {what}");
}
