//! A served Kubernetes API for tests: what its documentation says of what Muster uses, in memory, with faults on
//! demand. Kubelets and schedulers stand beside it, in [`actors`]: they act through [`Objects`] and [`Logs`].

pub mod actors;
mod api;
mod config;
mod controllers;
mod faults;
mod logs;
pub mod objects;
mod resource;
mod server;
mod status;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::Kube;

pub use config::{Admission, Asked, Config, Tls, User};
pub use faults::{Fault, Faults, What};
pub use logs::Logs;
pub use objects::{Change, Happened, Objects};
pub use resource::{Kind, Resource, builtin};
pub use status::Status;

/// A cluster that is served on a port of this machine until it is dropped.
pub struct FakeKube {
    kube: Arc<Kube>,
    port: u16,
    actors: Option<actors::Running>,
    _tasks: JoinSet<()>,
}

impl FakeKube {
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", config.port)).await?;
        let port = listener.local_addr()?.port();
        let tls = config.tls.as_ref().map(server::acceptor).transpose()?;
        let mut kinds = builtin();
        kinds.extend(config.kinds.iter().cloned());
        let objects = Objects::new(config.history);
        let logs = Logs::default();
        let acting = config.actors.clone();
        let acting = acting.map(|actors| actors::start(&objects, &logs, actors)).transpose()?;
        let kube = Arc::new(Kube {
            config,
            kinds,
            objects,
            logs,
            faults: Faults::default(),
            controls: acting.as_ref().map(|acting| acting.controls().clone()),
            revoked: Mutex::default(),
        });
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": name, "labels": { "kubernetes.io/metadata.name": name } },
                "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
            });
            kube.objects.create(&Resource::namespaces(), namespace).map_err(io::Error::other)?;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(controllers::run(Arc::clone(&kube)));
        tasks.spawn(server::serve(listener, tls, Arc::clone(&kube)));
        Ok(Self { kube, port, actors: acting, _tasks: tasks })
    }

    pub fn url(&self) -> String {
        let scheme = if self.kube.config.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The administrator's, as YAML.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_with(Some(config::ADMIN))
    }

    /// With a bearer token. `kubectl` sends it only over TLS; there it asks for one if there is none.
    pub fn kubeconfig_with(&self, token: Option<&str>) -> String {
        let mut cluster = json!({ "server": self.url() });
        if let Some(tls) = &self.kube.config.tls {
            let authority = base64::engine::general_purpose::STANDARD.encode(&tls.authority);
            cluster["certificate-authority-data"] = json!(authority);
        }
        let user = token.map_or_else(|| json!({}), |token| json!({ "token": token }));
        // JSON is YAML.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{ "name": "fake", "cluster": cluster }],
            "users": [{ "name": "fake", "user": user }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
        });
        format!("{config:#}\n")
    }

    pub fn objects(&self) -> Objects {
        self.kube.objects.clone()
    }

    pub fn logs(&self) -> Logs {
        self.kube.logs.clone()
    }

    /// What else can happen to this cluster, where somebody acts in it.
    pub fn controls(&self) -> Option<&actors::Controls> {
        self.actors.as_ref().map(actors::Running::controls)
    }

    /// From now on nobody is who has this token.
    pub fn revoke(&self, token: &str) {
        let mut revoked = self.kube.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.insert(token.to_owned());
    }

    pub fn faults(&self) -> &Faults {
        &self.kube.faults
    }
}
