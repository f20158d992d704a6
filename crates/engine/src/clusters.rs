//! Where instances run: processes of this machine, external servers, pods.

use std::sync::Arc;
use std::time::Duration;

use muster_cluster::Cluster;
use muster_core::instance::Runs;
use muster_core::{InstanceId, Model, Source};
use tokio::sync::watch;

/// Where instances run. A hub has at least one of the first and the last.
#[derive(Clone)]
pub struct Clusters {
    /// Runs models that are folders.
    pub local: Option<Arc<dyn Cluster>>,
    /// Watches external servers.
    pub external: Arc<dyn Cluster>,
    /// Runs models that are images, and folders that were pushed if it has an image that runs them.
    pub pods: Option<Arc<dyn Cluster>>,
}

impl Clusters {
    pub(crate) fn of(&self, runs: Runs) -> Option<&Arc<dyn Cluster>> {
        match runs {
            Runs::Process => self.local.as_ref(),
            Runs::Elsewhere => Some(&self.external),
            Runs::Pod => self.pods.as_ref(),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<dyn Cluster>> {
        Runs::ALL.into_iter().filter_map(|runs| self.of(runs))
    }

    /// Each says on its own channel when it has news.
    pub(crate) fn changed(&self) -> Changed {
        Changed(self.all().map(|cluster| cluster.changed()).collect())
    }

    /// Wherever it is.
    pub(crate) fn stop(&self, instance: InstanceId, grace: Duration) {
        for cluster in self.all() {
            cluster.stop(instance, grace);
        }
    }

    /// Why instances of the model cannot run on this hub at all.
    pub(crate) fn cannot_run(&self, model: &Model) -> Option<&'static str> {
        let runs = model.source.runs();
        if self.of(runs).is_some() {
            return None;
        }
        Some(match runs {
            Runs::Process if matches!(model.source, Source::Pushed { .. }) => {
                "it is a folder, and this hub runs pods: `muster model image` makes an image of it, which an administrator adds, or the operator names an image that runs folders (kubernetes.runner_image)"
            }
            Runs::Process => {
                "it is a folder of the hub's machine, and this hub runs pods: `muster model image` makes an image of it, which an administrator adds, or `muster model push` sends it where kubernetes.runner_image is set"
            }
            Runs::Elsewhere | Runs::Pod => "it is an image, and this hub runs no pods",
        })
    }
}

/// Hears of news of any cluster.
pub(crate) struct Changed(Vec<watch::Receiver<u64>>);

impl Changed {
    pub(crate) async fn hear(&mut self) {
        let each = self.0.iter_mut().map(|changed| Box::pin(changed.changed()));
        if futures::future::select_all(each).await.0.is_err() {
            // Its cluster is gone, which ends with the hub.
            std::future::pending::<()>().await;
        }
    }
}
