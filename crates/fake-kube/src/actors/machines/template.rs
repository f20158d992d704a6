//! The node that a machine of a deployment becomes: from the annotations for autoscaling from
//! zero, else from the capacity that the template of its infrastructure tells.

use serde_json::{Value, json};

use super::super::{
    node::{node, taint},
    text,
};
use crate::{Objects, Resource};

const CAPACITY: &str = "capacity.cluster-autoscaler.kubernetes.io/";

/// With its GPUs.
pub fn node_of(objects: &Objects, deployment: &Value, name: &str) -> Value {
    let note = |what: &str| {
        let found = deployment["metadata"]["annotations"].get(format!("{CAPACITY}{what}"));
        found.and_then(Value::as_str)
    };
    let infrastructure = infrastructure(objects, deployment).unwrap_or_default();
    let told = |what: &str| {
        let found = &infrastructure["status"]["capacity"][what];
        found.as_str().map(str::to_owned).or_else(|| found.as_u64().map(|it| it.to_string()))
    };
    let amount = |noted: &str, what: &str, else_: &str| {
        note(noted).map(str::to_owned).or_else(|| told(what)).unwrap_or_else(|| else_.into())
    };
    let (cpu, memory) = (amount("cpu", "cpu", "2"), amount("memory", "memory", "8Gi"));
    let split = |text: &'static str| {
        let text = note(text).unwrap_or_default().split(',').map(str::trim);
        text.filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let (labels, taints) = (split("labels"), split("taints"));
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut node = node(name, &cpu, &memory, &labels, &[]);
    let propagated = deployment["spec"]["template"]["metadata"]["labels"].as_object();
    for (key, value) in propagated.into_iter().flatten().filter(|(key, _)| goes_on(key)) {
        node["metadata"]["labels"][key] = value.clone();
    }
    node["spec"]["taints"] = taints.iter().map(|text| taint(text)).collect();
    for place in ["capacity", "allocatable"] {
        let room = &mut node["status"][place];
        room["ephemeral-storage"] = json!(amount("ephemeral-disk", "ephemeral-storage", "100Gi"));
        room["pods"] = json!(amount("maxPods", "pods", "110"));
        if let Some(count) = note("gpu-count") {
            room[note("gpu-type").unwrap_or("nvidia.com/gpu")] = json!(count);
        }
    }
    node
}

/// What a device plugin offers, taken out of a node that does not run it yet.
pub fn without_devices(node: &mut Value) -> Vec<(String, Value)> {
    let usual = ["cpu", "memory", "ephemeral-storage", "pods"];
    let mut taken = Vec::new();
    for place in ["capacity", "allocatable"] {
        let Some(room) = node["status"][place].as_object_mut() else { continue };
        let devices: Vec<String> =
            room.keys().filter(|key| !usual.contains(&key.as_str())).cloned().collect();
        taken.extend(devices.into_iter().filter_map(|key| Some((key.clone(), room.remove(&key)?))));
    }
    taken
}

/// Labels of a machine that its node gets, by their domain.
fn goes_on(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let in_domain = |of: &str| domain == of || domain.ends_with(&format!(".{of}"));
    domain == "node-role.kubernetes.io"
        || in_domain("node-restriction.kubernetes.io")
        || in_domain("node.cluster.x-k8s.io")
}

fn infrastructure(objects: &Objects, deployment: &Value) -> Option<Value> {
    let reference = &deployment["spec"]["template"]["spec"]["infrastructureRef"];
    let group = match reference["apiGroup"].as_str() {
        Some(group) => group,
        None => reference["apiVersion"].as_str()?.split_once('/')?.0,
    };
    let plural = format!("{}s", reference["kind"].as_str()?.to_lowercase());
    let (namespace, name) = (text(deployment, "/metadata/namespace"), reference["name"].as_str()?);
    let found = ["v1", "v1beta2", "v1beta1", "v1alpha1"].iter().find_map(|version| {
        objects.get(&Resource::new(group, version, &plural), Some(namespace), name)
    })?;
    Some(Value::clone(&found))
}
