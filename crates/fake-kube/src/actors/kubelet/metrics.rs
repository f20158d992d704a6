//! Plays metrics-server: what is used, as objects of `metrics.k8s.io`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::{super::edit::seconds, PodUsage, Shared, Usage};
use crate::{Objects, Resource};

impl Shared {
    /// Writes what there is, and takes away what is of pods and nodes that are no more.
    pub fn post_metrics(&self, nodes: impl Iterator<Item = String>, window: Duration) {
        let used = self.usage();
        let mut of_nodes: BTreeMap<String, Usage> =
            nodes.map(|name| (name, Usage::default())).collect();
        for pod in &used {
            let sum = of_nodes.entry(pod.node.clone()).or_default();
            for usage in pod.containers.values() {
                sum.cpu_nano_cores += usage.cpu_nano_cores;
                sum.memory_bytes += usage.memory_bytes;
            }
        }
        let window = format!("{}s", window.as_secs_f64());
        let pods = used.iter().map(|pod| pod_metrics(&self.objects, pod, &window)).collect();
        write(&self.objects, &Resource::pod_metrics(), pods);
        let at = seconds(self.now());
        let nodes = of_nodes.iter().map(|(name, usage)| {
            json!({
                "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics",
                "metadata": { "name": name }, "timestamp": at, "window": window,
                "usage": amounts(usage),
            })
        });
        write(&self.objects, &Resource::node_metrics(), nodes.collect());
    }
}

fn pod_metrics(objects: &Objects, pod: &PodUsage, window: &str) -> Value {
    let object = objects.get(&Resource::pods(), Some(&pod.namespace), &pod.pod);
    let labels = object.map(|object| object["metadata"]["labels"].clone()).unwrap_or_default();
    let containers: Vec<Value> = pod
        .containers
        .iter()
        .map(|(name, usage)| json!({ "name": name, "usage": amounts(usage) }))
        .collect();
    json!({
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
        "metadata": { "namespace": pod.namespace, "name": pod.pod, "labels": labels },
        "timestamp": seconds(pod.at), "window": window, "containers": containers,
    })
}

fn amounts(usage: &Usage) -> Value {
    json!({
        "cpu": format!("{}n", usage.cpu_nano_cores),
        "memory": format!("{}Ki", usage.memory_bytes / 1024),
    })
}

fn write(objects: &Objects, of: &Resource, wanted: Vec<Value>) {
    let key = |object: &Value| {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        (text("namespace"), text("name"))
    };
    let there: BTreeSet<_> = wanted.iter().map(key).collect();
    for held in objects.list(of).1.iter().map(|held| key(held)) {
        if !there.contains(&held) {
            objects.remove(of, Some(&held.0), &held.1);
        }
    }
    for object in wanted {
        let (namespace, name) = key(&object);
        let changed = objects.change(of, Some(&namespace), &name, |held| {
            for (field, value) in object.as_object().into_iter().flatten() {
                if field != "metadata" {
                    held[field] = value.clone();
                }
            }
        });
        if changed.is_err() {
            // Only this one writes them.
            drop(objects.create(of, object));
        }
    }
}
