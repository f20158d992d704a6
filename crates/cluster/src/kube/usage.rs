//! What pods use, if the cluster measures that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use muster_core::news::Usage;
use serde::Deserialize;
use tokio::time::sleep;

use super::pods::instance_of;
use super::read::MODEL_CONTAINER;
use super::read::quantity::named;
use super::{Inner, make};

/// How often it is asked for what is not there.
const ABSENT: Duration = Duration::from_secs(300);

/// <https://github.com/kubernetes/metrics>, `metrics.k8s.io/v1beta1`.
#[derive(Deserialize)]
struct List {
    items: Vec<Metrics>,
}

#[derive(Deserialize)]
struct Metrics {
    metadata: Name,
    /// When it was measured: the same measurement counts once.
    #[serde(default)]
    timestamp: String,
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    usage:
        std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
}

impl Metrics {
    /// Of the model alone: who else is in the pod is none of its business.
    fn usage(&self) -> Option<Usage> {
        let container = self.containers.iter().find(|it| it.name == MODEL_CONTAINER)?;
        let of = |name: &str| named(name, container.usage.get(name)?).ok().map(|(_, used)| used);
        Some(Usage::of(of("cpu")?, of("memory")?))
    }
}

/// Asks for as long as there are pods.
pub(super) async fn measure(inner: Arc<Inner>) {
    let mut measured: HashMap<String, String> = HashMap::new();
    let path = format!(
        "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={}%3D{}",
        inner.calls.namespace,
        make::HUB.replace('/', "%2F"),
        inner.config.hub,
    );
    loop {
        sleep(inner.config.measures).await;
        if inner.pods.is_empty() {
            measured.clear();
            continue;
        }
        let list: List = match inner.calls.call(Method::GET, &path, None).await {
            Ok(list) => list,
            Err(failed) => {
                tracing::debug!(why = %failed, "what pods use is not known");
                if failed.is(403) || failed.is(404) {
                    sleep(ABSENT).await;
                }
                continue;
            }
        };
        let mut latest = HashMap::new();
        for pod in list.items {
            let is_new = measured.get(&pod.metadata.name) != Some(&pod.timestamp);
            if let (true, Some(usage), Some(id)) =
                (is_new, pod.usage(), instance_of(&pod.metadata.name))
            {
                inner.pods.with(id, |entry| entry.usage.add(&usage));
            }
            latest.insert(pod.metadata.name, pod.timestamp);
        }
        measured = latest;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_model_is_measured_and_not_who_is_beside_it() {
        let list = json!({"kind": "PodMetricsList", "items": [{
            "metadata": {"name": "x"}, "timestamp": "2026-11-28T14:00:00Z", "window": "15s",
            "containers": [
                {"name": "side", "usage": {"cpu": "1", "memory": "1Gi"}},
                {"name": "model", "usage": {"cpu": "250000001n", "memory": "12Ki"}},
            ],
        }]});
        let list: List = serde_json::from_value(list).expect("metrics");
        assert_eq!(list.items[0].usage(), Some(Usage::of(251, 12 << 10)));
    }
}
