//! What administrators are told of the cluster whose pods are instances.

use std::sync::{Arc, OnceLock};

use muster_cluster::Cluster;
use muster_cluster::kube::{Survey, sights};
use muster_core::{Check, CheckState};
use muster_server::Scalers;
use tokio::runtime::Handle;

use crate::config::kubernetes::Kubernetes;
use crate::failure::Failure;

#[derive(Clone)]
pub struct Surroundings {
    survey: Arc<Survey>,
    /// Once the engine has begun to watch them.
    pods: Arc<OnceLock<Arc<dyn Cluster>>>,
    runtime: Handle,
}

impl Surroundings {
    pub async fn of(kubernetes: &Kubernetes) -> Result<Self, Failure> {
        let survey = kubernetes.survey().await;
        let survey = survey.map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self { survey: Arc::new(survey), pods: Arc::default(), runtime: Handle::current() })
    }

    pub fn watched_by(&self, pods: &Arc<dyn Cluster>) {
        self.pods.get_or_init(|| Arc::clone(pods));
    }

    /// How the cluster is. It takes as long as the cluster does: not to be called where nothing may wait.
    pub fn examine(&self) -> Vec<Check> {
        let mut checks = self.runtime.block_on(self.survey.examine());
        checks.push(match self.pods.get() {
            Some(pods) => sights(&pods.around().watches),
            None => Check::new("cluster", CheckState::Note, "nothing is watched yet"),
        });
        checks
    }

    pub fn scalers(&self) -> Scalers {
        let survey = Arc::clone(&self.survey);
        Scalers::new(move || {
            let survey = Arc::clone(&survey);
            Box::pin(async move { survey.scalers().await })
        })
    }
}
