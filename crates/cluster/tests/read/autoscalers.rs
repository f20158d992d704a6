//! What autoscalers say, in their own words as they are recorded.

use k8s_openapi::api::core::v1::{Event, Node};
use muster_cluster::kube::read::autoscaler::{Autoscaler, groups, line, present, says};
use muster_cluster::kube::read::events::event;
use muster_core::news::Level;
use serde_json::{Value, json};

fn recorded(by: &str, reason: &str, message: &str, at: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": "e", "namespace": "models", "uid": "e1", "managedFields": [{"manager": "m"}]},
        "involvedObject": {"kind": "Pod", "name": "p", "uid": "p1"},
        "reason": reason, "message": message, "type": "Normal", "count": 3,
        "source": {"component": by}, "firstTimestamp": "2026-11-20T09:00:00Z", "lastTimestamp": at,
    }))
    .expect("an event")
}

fn said(by: &str, reason: &str, message: &str) -> Option<String> {
    says(&recorded(by, reason, message, "2026-11-20T09:00:10Z")).map(|says| says.to_string())
}

#[test]
fn words_of_autoscalers_become_one_line() {
    let ca = "cluster-autoscaler";
    for (by, reason, message, line) in [
        (
            ca,
            "TriggeredScaleUp",
            "pod triggered scale-up: [{gpu-a 0->1 (max: 4)} {gpu-b 1->3 (max: 4)}]",
            "Cluster Autoscaler makes nodes for it: gpu-a from 0 to 1 nodes, gpu-b from 1 to 3 nodes",
        ),
        (
            ca,
            "NotTriggerScaleUp",
            "pod didn't trigger scale-up: 2 Insufficient nvidia.com/gpu, 1 max node group size reached",
            "Cluster Autoscaler makes no node for it; 2 groups: Insufficient nvidia.com/gpu, 1 group: max node group size reached",
        ),
        (
            ca,
            "NotTriggerScaleUp",
            "pod didn't trigger scale-up (it wouldn't fit if a new node is added): 1 node(s) had taint {a: b}, that the pod didn't tolerate",
            "Cluster Autoscaler makes no node for it; 1 group: node(s) had taint {a: b}, that the pod didn't tolerate",
        ),
        (
            ca,
            "NotTriggerScaleUp",
            "pod didn't trigger scale-up: ",
            "Cluster Autoscaler makes no node for it, and does not say why",
        ),
        ("gke.io/optimize-utilization-scheduler", "Nominated", "x", ""),
        (
            ca,
            "ScaleDown",
            "node removed by cluster autoscaler",
            "Cluster Autoscaler takes the node away",
        ),
        (
            "karpenter",
            "Nominated",
            "Pod should schedule on: nodeclaim/gpu-7xk2p, node/ip-10-0-3-7",
            "Karpenter has a place for it: nodeclaim/gpu-7xk2p, node/ip-10-0-3-7",
        ),
        (
            "karpenter",
            "FailedScheduling",
            "Failed to schedule pod, incompatible with nodepool \"gpu\", daemonset overhead={\"cpu\":\"150m\",\"pods\":\"4\"}, no instance type satisfied resources {\"nvidia.com/gpu\":\"16\"}; incompatible with nodepool \"default\", daemonset overhead={\"cpu\":\"150m\"}, did not tolerate nvidia.com/gpu=true:NoSchedule",
            "Karpenter can make no node for it; gpu: no instance type satisfied resources {\"nvidia.com/gpu\":\"16\"}, default: did not tolerate nvidia.com/gpu=true:NoSchedule",
        ),
        ("default-scheduler", "FailedScheduling", "0/3 nodes are available", ""),
        ("kubelet", "Pulling", "Pulling image", ""),
    ] {
        assert_eq!(said(by, reason, message).unwrap_or_default(), line, "{message}");
    }
}

#[test]
fn nonsense_is_no_fault() {
    for message in
        ["", "{", "[{a b->c}]", "x: {->} {1 2->3", ": , ,", "nodepool \"", "é; é nodepool é"]
    {
        for reason in ["TriggeredScaleUp", "NotTriggerScaleUp", "Nominated", "FailedScheduling"] {
            for by in ["karpenter", "cluster-autoscaler", ""] {
                let _ = said(by, reason, message);
            }
        }
    }
}

#[test]
fn the_last_word_counts() {
    let events = [
        recorded(
            "cluster-autoscaler",
            "TriggeredScaleUp",
            "pod triggered scale-up: [{a 0->1 (max: 2)}]",
            "2026-11-20T09:05:00Z",
        ),
        recorded(
            "cluster-autoscaler",
            "NotTriggerScaleUp",
            "pod didn't trigger scale-up: 1 in backoff after failed scale-up",
            "2026-11-20T09:01:00Z",
        ),
        recorded("kubelet", "Pulled", "", "2026-11-20T09:09:00Z"),
    ];
    assert_eq!(
        line(&events).expect("a line"),
        "Cluster Autoscaler makes nodes for it: a from 0 to 1 nodes"
    );
    assert_eq!(line(&events[2..]), None);
}

#[test]
fn an_event_keeps_its_count_and_what_it_said() {
    let read = event(&recorded("kubelet", "BackOff", "Back-off", "2026-11-20T09:05:00Z"));
    assert_eq!(
        (read.source.as_str(), read.uid.as_str(), read.kind.as_str()),
        ("kubernetes", "e1", "BackOff")
    );
    assert_eq!((read.count, read.level), (3, Level::Normal));
    assert_eq!(read.last_at.to_string(), "2026-11-20T09:05:00Z");
    let raw = read.raw.expect("what it said");
    assert_eq!(raw["metadata"].get("managedFields"), None);
    assert_eq!(raw["involvedObject"]["uid"], "p1");
    // As newer components write it.
    let series: Event = serde_json::from_value(json!({
        "metadata": {"uid": "e2", "creationTimestamp": "2026-11-20T09:00:00Z"}, "involvedObject": {},
        "eventTime": "2026-11-20T09:00:00.250000Z", "type": "Warning", "reason": "FailedScheduling",
        "reportingComponent": "default-scheduler",
        "series": {"count": 12, "lastObservedTime": "2026-11-20T09:30:00.000000Z"},
    }))
    .expect("an event");
    let read = event(&series);
    assert_eq!((read.count, read.level), (12, Level::Warning));
    assert_eq!(read.first_at.to_string(), "2026-11-20T09:00:00.25Z");
    assert_eq!(read.last_at.to_string(), "2026-11-20T09:30:00Z");
}

const TEXT: &str = "\
Cluster-autoscaler status at 2023-05-01 10:00:00.0 +0000 UTC:
Cluster-wide:
  Health:      Healthy (ready=5 unready=0 notStarted=0 longNotStarted=0 registered=5 longUnregistered=0)
               LastProbeTime:      2023-05-01 09:59:50.0 +0000 UTC
  ScaleUp:     NoActivity (ready=5 registered=5)

NodeGroups:
  Name:        https://www.googleapis.com/compute/v1/projects/p/zones/z/instanceGroups/a
  Health:      Healthy (ready=3 unready=0 registered=3 cloudProviderTarget=3 (minSize=1, maxSize=10))
               LastProbeTime:      2023-05-01 09:59:50.0 +0000 UTC
  ScaleUp:     InProgress (ready=3 cloudProviderTarget=4)
  ScaleDown:   NoCandidates (candidates=0)

  Name:        gpu
  Health:      Unhealthy (ready=0 unready=2 registered=2 cloudProviderTarget=2 (minSize=0, maxSize=2))
  ScaleUp:     Backoff (ready=0 cloudProviderTarget=2)
";

#[test]
fn a_status_is_read_in_both_its_forms() {
    let old = groups(TEXT).expect("a status");
    let words: Vec<String> = old.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "https://www.googleapis.com/compute/v1/projects/p/zones/z/instanceGroups/a is healthy, its target is 3 of 1 to 10; it becomes larger",
            "gpu is not healthy, its target is 2 of 0 to 2; it is left alone for a while",
        ]
    );
    assert!(groups("a: [").is_err());
    assert!(groups("").is_err());
    assert!(groups("just words").is_err());
    assert_eq!(groups("autoscalerStatus: Initializing\n"), Ok(vec![]));
}

#[test]
fn who_is_there_is_seen_by_what_they_leave() {
    let node = |value: Value| -> Node { serde_json::from_value(value).expect("a node") };
    let nobody = || present(&[] as &[Node], &[] as &[Event], false);
    assert!(nobody().is_empty());
    let labels = node(json!({"metadata": {"labels": {"karpenter.sh/nodepool": "a"}}}));
    let taint = node(json!({"metadata": {}, "spec": {"taints": [
        {"key": "DeletionCandidateOfClusterAutoscaler", "effect": "PreferNoSchedule"}]}}));
    let both = present(&[labels, taint], &[] as &[Event], false);
    assert_eq!(Vec::from_iter(both), [Autoscaler::ClusterAutoscaler, Autoscaler::Karpenter]);
    let event = recorded(
        "karpenter",
        "Nominated",
        "Pod should schedule on: node/a",
        "2026-11-20T09:05:00Z",
    );
    let by_event = present(&[] as &[Node], &[event], true);
    assert_eq!(by_event.len(), 2);
}
