//! Nodes, pods of others, budgets and daemon sets.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use muster_cluster::kube::read::tenants::{Controllers, is_instance, tenant};
use muster_cluster::kube::read::{budgets, daemons, node};
use muster_core::room::{
    Condition, Effect, NodeStage, NodeView, Owner, Requirement, Taint, Tenant, Toleration,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

const CREATED: &str = "2026-11-20T09:00:00Z";

/// A node that is ready, but for what is said otherwise.
fn read(spec: Value, labels: Value, allocatable: Value, conditions: Value) -> NodeView {
    let node: Node = object(json!({
        "metadata": {"name": "n", "creationTimestamp": CREATED, "labels": labels},
        "spec": spec,
        "status": {"allocatable": allocatable, "conditions": conditions},
    }));
    node::node(&node).expect("a node")
}

fn ready() -> Value {
    json!([{"type": "Ready", "status": "True", "lastTransitionTime": CREATED}])
}

fn with_taint(key: &str, effect: &str) -> NodeView {
    read(json!({"taints": [{"key": key, "effect": effect}]}), json!({}), json!({}), ready())
}

#[test]
fn a_node_leaves_by_the_taints_of_whoever_takes_it_away() {
    for key in [
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "cloud.google.com/impending-node-termination",
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/rebalance-recommendation",
        "node.cloudprovider.kubernetes.io/shutdown",
        "node.kubernetes.io/out-of-service",
    ] {
        let node = with_taint(key, "NoSchedule");
        assert!(matches!(node.stage, NodeStage::Leaving { .. }), "{key}: {:?}", node.stage);
        assert_eq!(node.taints, [], "{key} is said by the stage");
    }
    let deleted: Node = object(json!({
        "metadata": {"name": "n", "creationTimestamp": CREATED, "deletionTimestamp": CREATED},
        "status": {"conditions": ready()},
    }));
    let node = node::node(&deleted).expect("a node");
    assert!(matches!(node.stage, NodeStage::Leaving { .. }));
}

#[test]
fn a_node_that_may_go_is_one_to_avoid_and_no_more() {
    let node = with_taint("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule");
    assert_eq!(node.stage, NodeStage::Ready);
    let effect = Effect::PreferNoSchedule;
    let key = "DeletionCandidateOfClusterAutoscaler".to_owned();
    assert_eq!(node.taints, [Taint { key, value: String::new(), effect }]);
}

#[test]
fn a_node_boots_until_it_has_what_it_will_have() {
    let lacks = |node: NodeView| match node.stage {
        NodeStage::Booting { lacks, .. } => lacks,
        stage => panic!("{stage:?}"),
    };
    for key in [
        "node.cloudprovider.kubernetes.io/uninitialized",
        "startup-taint.cluster-autoscaler.kubernetes.io/storage",
        "ignore-taint.cluster-autoscaler.kubernetes.io/network",
        "karpenter.sh/unregistered",
        "readiness.k8s.io/gpu",
        "node.kubernetes.io/network-unavailable",
    ] {
        assert_eq!(lacks(with_taint(key, "NoSchedule")), [format!("an end of the taint {key}")]);
    }
    let status = with_taint("status-taint.cluster-autoscaler.kubernetes.io/x", "NoSchedule");
    assert_eq!((status.stage, status.taints.len()), (NodeStage::Ready, 1));
    let labels = json!({"cloud.google.com/gke-accelerator": "nvidia-l4"});
    let node = read(json!({}), labels.clone(), json!({"cpu": "8"}), ready());
    assert_eq!(lacks(node), ["nvidia.com/gpu"]);
    let empty = read(json!({}), labels.clone(), json!({"nvidia.com/gpu": "0"}), ready());
    assert_eq!(lacks(empty), ["nvidia.com/gpu"]);
    let cut = read(json!({}), labels, json!({"nvidia.com/mig-1g.10gb": "7"}), ready());
    assert_eq!(cut.stage, NodeStage::Ready);
    let labels = json!({"karpenter.sh/nodepool": "gpu"});
    let node = read(json!({}), labels, json!({}), ready());
    assert_eq!(lacks(node), ["to be initialized by Karpenter"]);
    let labels = json!({"karpenter.sh/nodepool": "gpu", "karpenter.sh/initialized": "true"});
    assert_eq!(read(json!({}), labels, json!({}), ready()).stage, NodeStage::Ready);
    assert_eq!(lacks(read(json!({}), json!({}), json!({}), json!([]))), ["to be ready"]);
    let by = |of: &str| json!({ "karpenter.k8s.aws/instance-gpu-manufacturer": of });
    assert_eq!(lacks(read(json!({}), by("amd"), json!({}), ready())), ["amd.com/gpu"]);
    assert_eq!(read(json!({}), by("habana"), json!({}), ready()).stage, NodeStage::Ready);
}

#[test]
fn a_node_that_has_been_ready_and_is_not_does_not_boot() {
    let of = |status: &str, since: &str| {
        let condition = json!([{"type": "Ready", "status": status, "lastTransitionTime": since}]);
        read(json!({}), json!({}), json!({}), condition).stage
    };
    assert!(matches!(of("False", "2026-11-20T09:00:10Z"), NodeStage::Booting { .. }));
    assert!(matches!(of("False", "2026-11-20T12:00:00Z"), NodeStage::Unready { .. }));
    assert!(matches!(of("Unknown", "2026-11-20T09:00:10Z"), NodeStage::Unready { .. }));
}

#[test]
fn a_cordoned_node_is_one_whoever_did_it() {
    let taint = json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule",
        "timeAdded": "2026-11-20T10:00:00Z"});
    let spec = json!({"unschedulable": true, "taints": [taint]});
    let node = read(spec, json!({}), json!({}), ready());
    let since = "2026-11-20T10:00:00Z".parse().expect("a time");
    assert_eq!(node.stage, NodeStage::Cordoned { ours: false, since });
    assert_eq!(node.taints, []);
}

#[test]
fn a_node_has_what_can_be_had() {
    let allocatable = json!({"cpu": "7910m", "memory": "31482300Ki", "pods": "110",
        "ephemeral-storage": "95551679124", "nvidia.com/gpu": "4"});
    let node = read(json!({}), json!({}), allocatable, ready());
    let of = &node.allocatable;
    assert_eq!((of.cpu, of.memory, of.pods), (7910, 31_482_300 << 10, 110));
    assert_eq!((of.storage, of.of("nvidia.com/gpu")), (95_551_679_124, 4));
    let bad: Node =
        object(json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "?"}}}));
    assert_eq!(node::node(&bad), Err("\"?\" of cpu is no amount".to_owned()));
}

fn pod(metadata: Value, spec: Value) -> Pod {
    let mut whole = json!({"metadata": {"namespace": "a", "name": "p", "labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running"}});
    for (at, with) in [("metadata", metadata), ("spec", spec)] {
        let members = with.as_object().expect("members").clone();
        whole[at].as_object_mut().expect("an object").extend(members);
    }
    object(whole)
}

fn tenant_of(metadata: Value, spec: Value) -> Tenant {
    tenant(&pod(metadata, spec), &Controllers::default()).expect("a tenant")
}

fn owned_by(kind: &str) -> Value {
    json!({"ownerReferences": [{"apiVersion": "v1", "kind": kind, "name": "o", "uid": "u",
        "controller": true}]})
}

#[test]
fn a_pod_has_the_owner_that_makes_it_again() {
    let of = |kind: &str| tenant_of(owned_by(kind), json!({}));
    for kind in ["ReplicaSet", "StatefulSet", "Job", "ReplicationController"] {
        assert_eq!((of(kind).owner, of(kind).stays_because), (Owner::Replicated, None), "{kind}");
    }
    assert_eq!((of("DaemonSet").owner, of("Node").owner), (Owner::Daemon, Owner::Node));
    assert_eq!(tenant_of(json!({}), json!({})).owner, Owner::None);
    let custom = of("Workflow");
    assert_eq!(custom.owner, Owner::Replicated);
    assert!(custom.stays_because.expect("it stays").contains("Workflow o"));
    let mirror = json!({"annotations": {"kubernetes.io/config.mirror": "x"}});
    assert_eq!(tenant_of(mirror, json!({})).owner, Owner::Node);
}

#[test]
fn what_is_not_wanted_any_more_is_not_made_again() {
    let mut known = Controllers::default();
    let set = |name: &str, replicas: i32| {
        object(json!({"metadata": {"name": name, "namespace": "a"},
            "spec": {"replicas": replicas, "selector": {}}}))
    };
    known.know_replica_sets(&[set("o", 0), set("other", 1)]);
    let its = tenant(&pod(owned_by("ReplicaSet"), json!({})), &known).expect("a tenant");
    assert_eq!(its.owner, Owner::None);
    known.know_replica_sets(&[set("o", 1)]);
    let its = tenant(&pod(owned_by("ReplicaSet"), json!({})), &known).expect("a tenant");
    assert_eq!(its.owner, Owner::Replicated);
    known.know_jobs(&[object(json!({"metadata": {"name": "o", "namespace": "a"},
        "status": {"conditions": [{"type": "Complete", "status": "True"}]}}))]);
    let its = tenant(&pod(owned_by("Job"), json!({})), &known).expect("a tenant");
    assert_eq!(its.owner, Owner::None);
}

#[test]
fn a_pod_stays_because_of_what_is_said_of_it() {
    let stays = |annotation: Option<(&str, &str)>, spec: Value| {
        let mut metadata = owned_by("ReplicaSet");
        if let Some((key, value)) = annotation {
            metadata["annotations"] = json!({ key: value });
        }
        tenant_of(metadata, spec).stays_because
    };
    let safe = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    let volumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
    let disk = || json!({"volumes": [{"name": "v", "emptyDir": {}}]});
    assert!(stays(Some((safe, "false")), json!({})).is_some());
    assert!(stays(Some(("karpenter.sh/do-not-disrupt", "true")), json!({})).is_some());
    assert!(stays(None, disk()).is_some());
    assert!(stays(None, json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]})).is_some());
    assert_eq!(stays(Some((safe, "true")), disk()), None);
    assert_eq!(stays(Some((volumes, "w, v")), disk()), None);
    let memory = json!({"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]});
    assert_eq!(stays(None, memory), None);
}

#[test]
fn a_pod_that_is_over_holds_nothing() {
    for phase in ["Succeeded", "Failed"] {
        let mut over = pod(json!({}), json!({}));
        over.status.as_mut().expect("a status").phase = Some(phase.to_owned());
        assert_eq!(tenant(&over, &Controllers::default()), None, "{phase}");
    }
}

#[test]
fn instances_are_told_from_others_by_their_hub() {
    let ours = pod(json!({"labels": {"muster.dev/hub": "lab"}}), json!({}));
    assert!(is_instance(&ours, Some("lab")) && is_instance(&ours, None));
    assert!(!is_instance(&ours, Some("other")));
    assert!(!is_instance(&pod(json!({}), json!({})), None));
}

#[test]
fn a_pod_asks_as_the_scheduler_counts() {
    let requests = |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu, "memory": memory}});
    let spec = json!({
        "initContainers": [
            {"name": "first", "resources": requests("3", "1Gi")},
            {"name": "side", "restartPolicy": "Always", "resources": requests("500m", "256Mi")},
        ],
        "containers": [
            {"name": "one", "resources": requests("1", "1Gi"), "ports": [{"containerPort": 1, "hostPort": 80}]},
            {"name": "two", "resources": requests("1", "1Gi")},
        ],
        "overhead": {"cpu": "250m"}, "priority": 7,
    });
    let ask = tenant_of(json!({}), spec).ask;
    assert_eq!((ask.amounts.cpu, ask.amounts.memory), (3250, (2048 + 256) << 20));
    assert_eq!((ask.amounts.pods, ask.priority, ask.namespace.as_str()), (1, 7, "a"));
    assert_eq!((ask.ports[0].port, ask.ports[0].protocol.as_str()), (80, "TCP"));
    let whole = json!({"resources": {"requests": {"cpu": "9"}}});
    assert_eq!(tenant_of(json!({}), whole).ask.amounts.cpu, 9000);
    // It was made smaller, and its node has not given it less yet.
    let mut resized =
        pod(json!({}), json!({"containers": [{"name": "c", "resources": requests("1", "1Gi")}]}));
    resized.status.as_mut().expect("a status").container_statuses =
        Some(vec![object(json!({"name": "c", "image": "", "imageID": "", "ready": true,
            "restartCount": 0, "allocatedResources": {"cpu": "2", "memory": "1Gi"}}))]);
    let its = tenant(&resized, &Controllers::default()).expect("a tenant");
    assert_eq!(its.ask.amounts.cpu, 2000);
}

#[test]
fn a_pod_needs_what_its_selectors_say() {
    let spec = json!({
        "nodeSelector": {"disk": "ssd"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
                {},
            ]}}},
        "tolerations": [
            {"operator": "Exists"},
            {"key": "gpu", "value": "a", "effect": "NoSchedule"},
        ],
    });
    let ask = tenant_of(json!({}), spec).ask;
    let is = |key: &str, is| Requirement { key: key.to_owned(), is };
    assert_eq!(ask.needs, [is("disk", Condition::In(vec!["ssd".into()]))]);
    assert_eq!(
        ask.needs_one_of,
        [
            vec![is("cores", Condition::GreaterThan(8))],
            vec![is("metadata.name", Condition::In(vec!["n1".into()]))],
        ]
    );
    assert_eq!(ask.tolerates[0], Toleration::default());
    assert_eq!(ask.tolerates[1].value.as_deref(), Some("a"));
    assert_eq!(ask.not_understood, [] as [String; 0]);
}

#[test]
fn others_count_as_their_terms_say() {
    let selector = json!({"matchLabels": {"app": "x"}});
    let term = |more: Value| {
        let mut term = json!({"topologyKey": "zone", "labelSelector": selector});
        term.as_object_mut().expect("a term").extend(more.as_object().expect("members").clone());
        let spec = json!({"affinity": {"podAntiAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        tenant_of(json!({}), spec).ask
    };
    let by_name =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}});
    assert_eq!(term(by_name).apart[0].namespaces, ["b"]);
    assert_eq!(term(json!({"namespaces": ["c"]})).apart[0].namespaces, ["c"]);
    for unclear in [json!({}), json!({"matchLabels": {"team": "t"}})] {
        let ask = term(json!({ "namespaceSelector": unclear }));
        assert_eq!((ask.apart.len(), ask.not_understood.len()), (0, 1), "{ask:?}");
    }
    let keys = term(json!({"mismatchLabelKeys": ["app"]}));
    assert_eq!(keys.apart[0].who[1].is, Condition::NotIn(vec!["x".into()]));
    let spread = |when: &str| {
        json!({"topologySpreadConstraints": [{"maxSkew": 2, "minDomains": 3,
        "topologyKey": "zone", "whenUnsatisfiable": when, "labelSelector": {}, "matchLabelKeys": ["app"],
        "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor"}]})
    };
    assert_eq!(tenant_of(json!({}), spread("ScheduleAnyway")).ask.spread, []);
    let it = &tenant_of(json!({}), spread("DoNotSchedule")).ask.spread[0];
    assert_eq!((it.most_skew, it.least_domains, it.counts.len()), (2, 3, 1));
    assert!(it.ignores_needs && it.honours_taints);
}

#[test]
fn what_cannot_be_judged_is_named() {
    for spec in [
        json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}),
        json!({"volumes": [{"name": "v", "ephemeral": {}}]}),
        json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "g"}]}),
        json!({"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}),
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "many"}}}]}),
        json!({"tolerations": [{"key": "a", "operator": "Gt", "value": "3"}]}),
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{}]}}}}),
        json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey": "zone"}]}}}),
    ] {
        let ask = tenant_of(json!({}), spec.clone()).ask;
        assert_eq!(ask.not_understood.len(), 1, "{spec}: {:?}", ask.not_understood);
    }
    let plain = json!({"volumes": [{"name": "v", "nfs": {"path": "/", "server": "s"}},
        {"name": "w", "configMap": {"name": "c"}}, {"name": "x", "csi": {"driver": "d"}}]});
    assert_eq!(tenant_of(json!({}), plain).ask.not_understood, [] as [String; 0]);
}

fn budget_of(generation: i64, observed: i64, allowed: i32, selector: Value) -> Option<u32> {
    let budget: PodDisruptionBudget = object(json!({
        "metadata": {"name": "b", "namespace": "a", "generation": generation},
        "spec": {"selector": selector},
        "status": {"currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": allowed,
            "expectedPods": 1, "observedGeneration": observed},
    }));
    budgets::budget(&budget).expect("a budget").map(|it| it.allowed)
}

#[test]
fn a_budget_allows_what_its_controller_said_of_it_as_it_is() {
    assert_eq!(budget_of(2, 2, 3, json!({})), Some(3));
    assert_eq!(budget_of(3, 2, 3, json!({})), Some(0), "said of another spec");
    assert_eq!(budget_of(2, 2, -1, json!({})), Some(0));
    assert_eq!(budget_of(2, 2, 3, Value::Null), None);
}

#[test]
fn a_daemon_set_takes_room_of_the_nodes_that_it_selects() {
    let set: DaemonSet = object(json!({
        "metadata": {"name": "d", "namespace": "kube-system"},
        "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "d"}}, "spec": {
            "nodeSelector": {"gpu": "true"},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}}},
    }));
    let daemon = daemons::daemon(&set).expect("a daemon");
    assert_eq!((daemon.name.as_str(), daemon.ask.amounts.cpu), ("kube-system/d", 100));
    let node = |labels: Value, key: &str| {
        let spec = json!({"taints": [{"key": key, "effect": "NoSchedule"}]});
        read(spec, labels, json!({"cpu": "1", "pods": "9"}), ready())
    };
    let suits = |node: &NodeView| muster_core::room::suits(&daemon.ask, node).is_ok();
    assert!(suits(&node(json!({"gpu": "true"}), "node.kubernetes.io/memory-pressure")));
    assert!(!suits(&node(json!({"gpu": "true"}), "somebody.else/taint")));
    assert!(!suits(&node(json!({}), "node.kubernetes.io/memory-pressure")));
}
