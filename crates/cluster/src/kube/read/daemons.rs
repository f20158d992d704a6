//! Daemon sets: what every node of some kind runs.

use k8s_openapi::api::apps::v1::DaemonSet;
use muster_core::room::{Daemon, Effect, Toleration};

use super::ask;

/// Taints that the pods of every daemon set tolerate
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations>).
const TOLERATED: [(&str, Effect); 6] = [
    ("node.kubernetes.io/not-ready", Effect::NoExecute),
    ("node.kubernetes.io/unreachable", Effect::NoExecute),
    ("node.kubernetes.io/disk-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/memory-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/pid-pressure", Effect::NoSchedule),
    ("node.kubernetes.io/unschedulable", Effect::NoSchedule),
];

/// What it runs on each node that it selects; nothing if it has no pods.
pub fn daemon(it: &DaemonSet) -> Option<Daemon> {
    let namespace = it.metadata.namespace.as_deref().unwrap_or_default();
    let name = it.metadata.name.as_deref().unwrap_or_default();
    let template = &it.spec.as_ref()?.template;
    let labels = template.metadata.as_ref().and_then(|it| it.labels.clone()).unwrap_or_default();
    let mut ask = ask::of_template(template.spec.as_ref()?, namespace, labels);
    let tolerated = |(key, effect): (&str, Effect)| Toleration {
        key: Some(key.to_owned()),
        value: None,
        effect: Some(effect),
    };
    ask.tolerates.extend(TOLERATED.map(tolerated));
    Some(Daemon { name: format!("{namespace}/{name}"), ask })
}
