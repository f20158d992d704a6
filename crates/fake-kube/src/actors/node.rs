//! Nodes as a kubelet registers them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::edit::seconds;

/// Nobody runs pods on such a node, nor looks after it: those of others, in a crowd.
pub const NO_KUBELET: &str = "fake-kube/no-kubelet";

/// A Ready node. Labels are `key=value`, taints `key=value:Effect` or `key:Effect`.
pub fn node(name: &str, cpu: &str, memory: &str, labels: &[&str], taints: &[&str]) -> Value {
    let mut held = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
    });
    for label in labels {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        held[key] = json!(value);
    }
    let taints: Vec<Value> = taints.iter().map(|text| taint(text)).collect();
    let room = json!({
        "cpu": cpu, "memory": memory, "ephemeral-storage": "100Gi", "pods": "110",
    });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": held },
        "spec": { "taints": taints },
        "status": {
            "capacity": room, "allocatable": room,
            "addresses": [{ "type": "Hostname", "address": name }],
            "conditions": conditions(true, Timestamp::now()),
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "bootID": "", "machineID": "",
                "systemUUID": "", "kernelVersion": "6.1.0", "osImage": "Debian GNU/Linux 12",
                "containerRuntimeVersion": "containerd://2.1.4", "kubeletVersion": "v1.36.2",
                "kubeProxyVersion": "",
            },
        },
    })
}

pub fn taint(text: &str) -> Value {
    let (what, effect) = text.rsplit_once(':').unwrap_or((text, "NoSchedule"));
    match what.split_once('=') {
        Some((key, value)) => json!({ "key": key, "value": value, "effect": effect }),
        None => json!({ "key": what, "effect": effect }),
    }
}

/// As a kubelet posts them.
pub fn conditions(ready: bool, at: Timestamp) -> Vec<Value> {
    let at = seconds(at);
    let one = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": at,
        })
    };
    let enough = "kubelet has sufficient memory available";
    let disk = "kubelet has no disk pressure";
    let pids = "kubelet has sufficient PID available";
    let (status, reason, message) = if ready {
        ("True", "KubeletReady", "kubelet is posting ready status")
    } else {
        ("False", "KubeletNotReady", "container runtime network not ready: NetworkReady=false")
    };
    vec![
        one("MemoryPressure", "False", "KubeletHasSufficientMemory", enough),
        one("DiskPressure", "False", "KubeletHasNoDiskPressure", disk),
        one("PIDPressure", "False", "KubeletHasSufficientPID", pids),
        one("Ready", status, reason, message),
    ]
}
