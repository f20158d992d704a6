use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{FINALIZER, GROUP, MachineFault, Settings, VICTIM, deployments, machines};
use crate::{
    Logs, Objects, Resource,
    actors::{Actors, Order, Running, kubelet::Image, start},
};

struct Stage {
    objects: Objects,
    running: Running,
    version: &'static str,
}

fn stage(version: &'static str, settings: Settings) -> Stage {
    let objects = Objects::new(10_000);
    let mut actors = Actors { machines: settings, ..Actors::default() };
    actors.kubelet.images.insert("pause:1".into(), Image::default());
    let running = start(&objects, &Logs::default(), actors).unwrap();
    Stage { objects, running, version }
}

fn quick() -> Settings {
    Settings { boot: Duration::from_millis(200), ..Settings::default() }
}

fn note(what: &str) -> String {
    format!("capacity.cluster-autoscaler.kubernetes.io/{what}")
}

fn limit(what: &str) -> String {
    format!("cluster.x-k8s.io/cluster-api-autoscaler-node-group-{what}-size")
}

fn pod(name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "a", "name": name,
            "labels": { "app": name } },
        "spec": { "containers": [{ "name": "main", "image": "pause:1",
            "resources": { "requests": { "cpu": cpu } } }] },
        "status": { "phase": "Pending" },
    })
}

impl Stage {
    fn group(&self, name: &str, replicas: u64, notes: Value) {
        let mut annotations = json!({ note("cpu"): "4", note("memory"): "16Gi" });
        for (key, value) in notes.as_object().unwrap() {
            annotations[key] = value.clone();
        }
        let group = json!({
            "apiVersion": format!("{GROUP}/{}", self.version), "kind": "MachineDeployment",
            "metadata": { "namespace": "c", "name": name, "annotations": annotations },
            "spec": {
                "clusterName": "main", "replicas": replicas,
                "template": { "metadata": { "labels": { "node-role.kubernetes.io/model": "", "x": "y" } },
                    "spec": { "clusterName": "main" } },
            },
        });
        self.objects.create(&deployments(self.version), group).unwrap();
    }

    fn replicas(&self, name: &str, replicas: u64) {
        let scale = |group: &mut Value| group["spec"]["replicas"] = json!(replicas);
        self.objects.change(&deployments(self.version), Some("c"), name, scale).unwrap();
    }

    fn status(&self, name: &str) -> Value {
        let group = self.objects.get(&deployments(self.version), Some("c"), name).unwrap();
        group["status"].clone()
    }

    fn machines(&self) -> Vec<Arc<Value>> {
        self.objects.list(&machines(self.version)).1
    }

    fn nodes(&self) -> Vec<Arc<Value>> {
        self.objects.list(&Resource::nodes()).1
    }

    fn said(&self, reason: &str) -> Vec<String> {
        let (_, events) = self.objects.list(&Resource::events());
        let these = events.iter().filter(|event| event["reason"] == reason);
        these.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    fn change_machine(&self, name: &str, change: impl FnOnce(&mut Value)) {
        self.objects.change(&machines(self.version), Some("c"), name, change).unwrap();
    }

    async fn until(&self, so: impl Fn(&Self) -> bool) {
        let wait = async {
            while !so(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = timeout(Duration::from_secs(30), wait).await;
        waited.unwrap_or_else(|_| panic!("{:#?} {:#?}", self.machines(), self.nodes()));
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

#[tokio::test]
async fn replicas_become_machines_and_machines_become_nodes_after_their_boot() {
    for version in ["v1beta2", "v1beta1"] {
        let stage = stage(version, quick());
        let mut changes = stage.objects.changes();
        stage.group(
            "g",
            2,
            json!({
                note("labels"): "zone=a,disk=ssd", note("taints"): "dedicated=models:NoSchedule",
                note("gpu-type"): "nvidia.com/gpu", note("gpu-count"): "2", note("maxPods"): "20",
            }),
        );
        stage.until(|stage| stage.status("g")["readyReplicas"] == 2).await;
        let node = &stage.nodes()[0];
        let room = &node["status"]["allocatable"];
        assert_eq!(
            (&room["cpu"], &room["memory"], &room["pods"]),
            (&json!("4"), &json!("16Gi"), &json!("20"))
        );
        assert_eq!(room["nvidia.com/gpu"], "2");
        let labels = &node["metadata"]["labels"];
        assert_eq!((&labels["zone"], &labels["disk"]), (&json!("a"), &json!("ssd")));
        assert_eq!(labels["node-role.kubernetes.io/model"], "");
        assert!(labels.get("x").is_none(), "not every label of a machine goes on to its node");
        let taint = json!({ "key": "dedicated", "value": "models", "effect": "NoSchedule" });
        assert_eq!(node["spec"]["taints"], json!([taint]));
        let machine = &stage.machines()[0];
        assert_eq!(machine["spec"]["providerID"], node["spec"]["providerID"]);
        assert_eq!(machine["status"]["nodeRef"]["name"], name(node));
        assert_eq!(machine["status"]["nodeRef"].get("kind").is_some(), version == "v1beta1");
        let status = stage.status("g");
        assert_eq!((&status["phase"], &status["replicas"]), (&json!("Running"), &json!(2)));
        let updated = if version == "v1beta1" { "updatedReplicas" } else { "upToDateReplicas" };
        assert_eq!(status[updated], 2);
        let mut phases = Vec::new();
        while let Ok(change) = changes.try_recv() {
            let phase = change.object["status"]["phase"].as_str().unwrap_or_default().to_owned();
            if change.of == machines(version)
                && name(&change.object) == name(machine)
                && phases.last() != Some(&phase)
            {
                phases.push(phase);
            }
        }
        assert_eq!(phases, ["Pending", "Provisioning", "Provisioned", "Running"]);
    }
}

#[tokio::test]
async fn the_marked_machine_goes_and_else_the_newest_and_its_node_is_drained_before() {
    let stage = stage("v1beta2", quick());
    stage.group("g", 1, json!({}));
    stage.until(|stage| stage.status("g")["readyReplicas"] == 1).await;
    let oldest = name(&stage.machines()[0]).to_owned();
    // Times of creation are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    stage.replicas("g", 2);
    stage.until(|stage| stage.status("g")["readyReplicas"] == 2).await;
    stage.replicas("g", 1);
    stage.until(|stage| stage.machines().len() == 1).await;
    assert_eq!(name(&stage.machines()[0]), oldest);
    assert_eq!(name(&stage.nodes()[0]), oldest);

    stage.replicas("g", 2);
    stage.until(|stage| stage.status("g")["readyReplicas"] == 2).await;
    let mut one = pod("p", "1");
    one["spec"]["nodeName"] = json!(oldest);
    stage.objects.create(&Resource::pods(), one).unwrap();
    let get = |stage: &Stage| stage.objects.get(&Resource::pods(), Some("a"), "p");
    stage.until(|stage| get(stage).unwrap()["status"]["phase"] == "Running").await;
    let budget = json!({ "metadata": { "namespace": "a", "name": "b" },
        "spec": { "selector": { "matchLabels": { "app": "p" } } }, "status": { "disruptionsAllowed": 0 } });
    stage.objects.create(&Resource::disruption_budgets(), budget).unwrap();
    stage.change_machine(&oldest, |machine| {
        machine["metadata"]["annotations"] = json!({ VICTIM: "yes" });
    });
    stage.replicas("g", 1);
    stage
        .until(|stage| {
            stage.machines().iter().any(|machine| machine["status"]["phase"] == "Deleting")
        })
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(get(&stage).unwrap()["metadata"]["deletionTimestamp"].is_null(), "its budget holds it");
    let machines = stage.machines();
    let going = machines.iter().find(|machine| name(machine) == oldest).unwrap();
    let draining = going["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["type"] == "Deleting");
    assert_eq!(draining.unwrap()["message"], "Drain not completed yet: pods a/p remain");
    assert_eq!(going["metadata"]["finalizers"], json!([FINALIZER]));
    stage.objects.remove(&Resource::disruption_budgets(), Some("a"), "b");
    stage.until(|stage| stage.machines().len() == 1).await;
    assert!(get(&stage).is_none());
    assert_ne!(name(&stage.machines()[0]), oldest);
    assert_eq!(stage.nodes().len(), 1);
}

#[tokio::test]
async fn a_drain_without_end_ends_at_its_limit() {
    let stage = stage("v1beta1", quick());
    stage.group("g", 1, json!({}));
    stage.until(|stage| stage.status("g")["readyReplicas"] == 1).await;
    let machine = name(&stage.machines()[0]).to_owned();
    stage.change_machine(&machine, |machine| machine["spec"]["nodeDrainTimeout"] = json!("1s"));
    let mut one = pod("p", "1");
    one["spec"]["nodeName"] = json!(machine);
    stage.objects.create(&Resource::pods(), one).unwrap();
    let budget = json!({ "metadata": { "namespace": "a", "name": "b" }, "spec": { "selector": {} },
        "status": { "disruptionsAllowed": 0 } });
    stage.objects.create(&Resource::disruption_budgets(), budget).unwrap();
    let start = std::time::Instant::now();
    stage.replicas("g", 0);
    stage.until(|stage| stage.nodes().is_empty() && stage.machines().is_empty()).await;
    assert!(start.elapsed() > Duration::from_millis(950), "{:?}", start.elapsed());
}

#[tokio::test]
async fn machines_fail_on_demand_and_go_on_when_the_cause_is_gone() {
    let stage = stage("v1beta2", quick());
    let with = |fault: Option<MachineFault>| {
        let faults = fault.map(|fault| ("g".to_owned(), fault)).into_iter().collect();
        Order::Machines(Settings { faults, ..quick() })
    };
    let order = |fault| stage.running.controls().order(with(fault)).unwrap();
    order(Some(MachineFault::Quota));
    stage.group("g", 1, json!({}));
    let condition = |stage: &Stage| {
        let machines = stage.machines();
        let conditions = machines.first()?["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|one| one["type"] == "InfrastructureReady")
    };
    let told = |words: &'static str| {
        move |stage: &Stage| {
            condition(stage)
                .is_some_and(|it| it["message"].as_str().unwrap_or_default().starts_with(words))
        }
    };
    stage.until(told("VcpuLimitExceeded")).await;
    order(Some(MachineFault::NoCapacity));
    stage.until(told("InsufficientInstanceCapacity")).await;
    assert_eq!(stage.machines()[0]["status"]["phase"], "Provisioning");
    order(None);
    stage.until(|stage| stage.nodes().len() == 1).await;
    order(Some(MachineFault::Fails("no such flavor".into())));
    stage.replicas("g", 2);
    stage.until(|stage| stage.machines().iter().any(|it| it["status"]["phase"] == "Failed")).await;
    let failed = stage.machines();
    let failed = failed.iter().find(|it| it["status"]["phase"] == "Failed").unwrap();
    assert_eq!(failed["status"]["deprecated"]["v1beta1"]["failureMessage"], "no such flavor");
    stage.replicas("g", 1);
    stage.until(|stage| stage.machines().len() == 1).await;
    assert_eq!(stage.machines()[0]["status"]["phase"], "Running", "the failed one goes first");
}

#[tokio::test]
async fn gpus_come_after_their_node() {
    let stage = stage("v1beta2", Settings { devices: Duration::from_millis(400), ..quick() });
    stage.group("g", 1, json!({ note("gpu-count"): "1" }));
    stage.until(|stage| stage.nodes().len() == 1).await;
    let gpu = |stage: &Stage| stage.nodes()[0]["status"]["allocatable"]["nvidia.com/gpu"].clone();
    assert_eq!(gpu(&stage), Value::Null);
    stage.until(|stage| gpu(stage) == "1").await;
}

#[tokio::test]
async fn a_size_that_no_annotation_tells_is_that_of_the_infrastructure() {
    let stage = stage("v1beta2", quick());
    let template = json!({ "metadata": { "namespace": "c", "name": "t" },
        "status": { "capacity": { "cpu": "7", "memory": "3Gi" } } });
    let of = Resource::new("infrastructure.cluster.x-k8s.io", "v1beta1", "fakemachinetemplates");
    stage.objects.create(&of, template).unwrap();
    stage.group("g", 0, json!({}));
    stage.objects.change(&deployments("v1beta2"), Some("c"), "g", |group| {
        group["metadata"]["annotations"] = json!({});
        group["spec"]["template"]["spec"]["infrastructureRef"] = json!({
            "apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "FakeMachineTemplate", "name": "t" });
        group["spec"]["replicas"] = json!(1);
    }).unwrap();
    stage.until(|stage| stage.nodes().len() == 1).await;
    let room = &stage.nodes()[0]["status"]["capacity"];
    assert_eq!((&room["cpu"], &room["memory"]), (&json!("7"), &json!("3Gi")));
}

#[tokio::test]
async fn the_autoscaler_makes_a_group_larger_for_pods_that_would_fit_and_says_so() {
    let stage = stage("v1beta2", Settings { autoscaler: true, ..quick() });
    let sizes = |max: &str| json!({ limit("min"): "0", limit("max"): max });
    stage.group("big", 0, sizes("2"));
    stage.group("none", 0, json!({}));
    for (name, cpu) in [("p", "3"), ("q", "1"), ("r", "3"), ("s", "3"), ("t", "64")] {
        stage.objects.create(&Resource::pods(), pod(name, cpu)).unwrap();
    }
    let running = |stage: &Stage, name: &str| {
        let pod = stage.objects.get(&Resource::pods(), Some("a"), name).unwrap();
        pod["status"]["phase"] == "Running"
    };
    stage.until(|stage| ["p", "q", "r"].iter().all(|name| running(stage, name))).await;
    assert_eq!(stage.nodes().len(), 2, "one node for two pods that fit on it");
    let mut said = stage.said("TriggeredScaleUp");
    said.sort();
    assert_eq!(
        said,
        [
            "pod triggered scale-up: [{MachineDeployment/c/big 0->1 (max: 2)}]",
            "pod triggered scale-up: [{MachineDeployment/c/big 1->2 (max: 2)}]",
        ]
    );
    stage.until(|stage| stage.said("NotTriggerScaleUp").len() >= 2).await;
    let said = stage.said("NotTriggerScaleUp");
    assert!(
        said.contains(&"pod didn't trigger scale-up: 1 max node group size reached".to_owned()),
        "{said:?}"
    );
    assert!(
        said.contains(&"pod didn't trigger scale-up: 1 Insufficient cpu".to_owned()),
        "{said:?}"
    );
}

#[tokio::test]
async fn the_autoscaler_takes_a_node_that_is_not_needed_unless_a_pod_holds_it() {
    let unneeded = Duration::from_millis(400);
    let stage = stage("v1beta2", Settings { autoscaler: true, unneeded, ..quick() });
    stage.group("g", 2, json!({ limit("min"): "2", limit("max"): "3" }));
    stage
        .objects
        .create(
            &Resource::nodes(),
            crate::actors::node("own", "4", "8Gi", &[], &["own:NoSchedule"]),
        )
        .unwrap();
    stage.until(|stage| stage.status("g")["readyReplicas"] == 2).await;
    // Each on a node of its own, which neither fills.
    for name in ["busy", "idle"] {
        let mut one = pod(name, "1");
        one["metadata"]["labels"]["app"] = json!("model");
        one["metadata"]["annotations"] = json!({
            "cluster-autoscaler.kubernetes.io/safe-to-evict": if name == "busy" { "false" } else { "true" } });
        one["spec"]["tolerations"] = json!([{ "key": "own", "operator": "Exists" }]);
        one["spec"]["nodeSelector"] = json!({ "node-role.kubernetes.io/model": "" });
        one["spec"]["affinity"] = json!({ "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": {
                "labelSelector": { "matchLabels": { "app": "model" } },
                "topologyKey": "kubernetes.io/hostname" } }] } });
        stage.objects.create(&Resource::pods(), one).unwrap();
    }
    let get = |stage: &Stage, name: &str| stage.objects.get(&Resource::pods(), Some("a"), name);
    let mut changes = stage.objects.changes();
    let runs = |stage: &Stage, name: &str| {
        get(stage, name).is_some_and(|pod| pod["status"]["phase"] == "Running")
    };
    stage.until(|stage| runs(stage, "busy") && runs(stage, "idle")).await;
    stage
        .objects
        .change(&deployments("v1beta2"), Some("c"), "g", |group| {
            group["metadata"]["annotations"][limit("min")] = json!("0");
        })
        .unwrap();
    let held = get(&stage, "busy").unwrap()["spec"]["nodeName"].clone();
    // The idle one is moved off its node, and that goes.
    stage.until(|stage| stage.machines().len() == 1 && get(stage, "idle").is_none()).await;
    assert_eq!(name(&stage.machines()[0]), held);
    tokio::time::sleep(unneeded * 2).await;
    assert_eq!(stage.machines().len(), 1, "its pod is not safe to evict");
    assert!(get(&stage, "busy").unwrap()["metadata"]["deletionTimestamp"].is_null());
    let mut marks = Vec::new();
    while let Ok(change) = changes.try_recv() {
        for taint in change.object["spec"]["taints"].as_array().into_iter().flatten() {
            let mark = (taint["key"].clone(), taint["effect"].clone());
            if change.of == Resource::nodes()
                && name(&change.object) != held
                && !marks.contains(&mark)
            {
                marks.push(mark);
            }
        }
    }
    let has = |key: &str, effect: &str| marks.contains(&(json!(key), json!(effect)));
    assert!(has("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule"), "{marks:?}");
    assert!(has("ToBeDeletedByClusterAutoscaler", "NoSchedule"), "{marks:?}");
    assert!(
        stage
            .said("ScaleDown")
            .contains(&"marked the node as toBeDeleted/unschedulable".to_owned())
    );
    let told = stage
        .objects
        .get(&Resource::config_maps(), Some("kube-system"), "cluster-autoscaler-status")
        .unwrap();
    let status = told["data"]["status"].as_str().unwrap();
    assert!(status.contains("autoscalerStatus: Running"), "{status}");
    assert!(status.contains("name: MachineDeployment/c/g"), "{status}");
    assert!(
        told["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/last-updated"]
            .is_string()
    );

    // With its work done it may go, but it has nowhere to go: it fits no other node.
    stage
        .objects
        .change(&Resource::pods(), Some("a"), "busy", |pod| {
            pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] =
                json!("true");
        })
        .unwrap();
    tokio::time::sleep(unneeded * 2).await;
    assert_eq!(stage.machines().len(), 1);
    stage.objects.remove(&Resource::pods(), Some("a"), "busy");
    stage.until(|stage| stage.machines().is_empty() && stage.nodes().len() == 1).await;
}
