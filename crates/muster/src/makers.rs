//! Who makes nodes, as the configuration says.

use std::sync::Arc;

use muster_cluster::kube;
use muster_cluster::provider::{ClusterApi, Command, Provider};

use crate::config::nodes::{ClusterApiConfig, Maker};

pub async fn provider(maker: &Maker) -> Result<Arc<dyn Provider>, String> {
    Ok(match maker {
        Maker::Command(command) => Arc::new(Command::new(command.clone())),
        Maker::ClusterApi(ClusterApiConfig { kubeconfig, context, groups }) => {
            let client = kube::client(kubeconfig.as_deref(), context.as_deref()).await;
            Arc::new(ClusterApi::new(client.map_err(|error| error.to_string())?, groups.clone()))
        }
    })
}
