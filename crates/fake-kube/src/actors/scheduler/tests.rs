use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::{Mode, Packing, Scheduler, Settings};
use crate::{Objects, Resource, actors::node::node};

/// A scheduler beside objects.
struct Stage {
    objects: Objects,
    settings: watch::Sender<Settings>,
    task: JoinHandle<()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn stage(nodes: &[Value]) -> Stage {
    let objects = Objects::new(10_000);
    for node in nodes {
        objects.create(&Resource::nodes(), node.clone()).unwrap();
    }
    let (settings, receiver) = watch::channel(Settings::default());
    let task = tokio::spawn(Scheduler::new(&objects, receiver).run());
    Stage { objects, settings, task }
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "a", "name": name, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "main", "image": "x" }] },
        "status": { "phase": "Pending" },
    });
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

fn asks(cpu: &str) -> Value {
    json!([{ "name": "main", "image": "x", "resources": { "requests": { "cpu": cpu } } }])
}

impl Stage {
    fn put(&self, pod: Value) {
        self.objects.create(&Resource::pods(), pod).unwrap();
    }

    async fn until(&self, name: &str, what: impl Fn(&Value) -> bool) -> Arc<Value> {
        let mut changes = self.objects.changes();
        let wait = async {
            loop {
                if let Some(pod) = self.objects.get(&Resource::pods(), Some("a"), name)
                    && what(&pod)
                {
                    return pod;
                }
                changes.recv().await.unwrap();
            }
        };
        let waited = timeout(Duration::from_secs(30), wait).await;
        waited.unwrap_or_else(|_| {
            panic!("{:#}", self.objects.get(&Resource::pods(), Some("a"), name).unwrap())
        })
    }

    /// Where a pod went.
    async fn place(&self, pod: Value) -> String {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.put(pod);
        let bound = self.until(&name, |pod| pod["spec"]["nodeName"].is_string()).await;
        assert_eq!(scheduled(&bound)["status"], "True");
        bound["spec"]["nodeName"].as_str().unwrap().to_owned()
    }

    /// Why a pod went nowhere.
    async fn refusal(&self, pod: Value) -> String {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        self.put(pod);
        let refused = self.until(&name, |pod| !scheduled(pod).is_null()).await;
        assert_eq!(scheduled(&refused)["reason"], "Unschedulable", "{refused:#}");
        scheduled(&refused)["message"].as_str().unwrap().to_owned()
    }

    fn events(&self, reason: &str) -> Vec<Arc<Value>> {
        let (_, events) = self.objects.list(&Resource::events());
        events.into_iter().filter(|event| event["reason"] == reason).collect()
    }
}

fn scheduled(pod: &Value) -> &Value {
    let conditions = pod["status"]["conditions"].as_array();
    let found =
        conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "PodScheduled"));
    found.unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_says_so_in_the_words_of_the_real_one() {
    let stage = stage(&[
        node("n1", "2", "4Gi", &[], &[]),
        node("n2", "8", "4Gi", &[], &["dedicated=other:NoSchedule"]),
        node("n3", "8", "4Gi", &[], &["dedicated=other:NoSchedule"]),
    ]);
    let said = stage.refusal(pod("big", json!({ "containers": asks("4") }))).await;
    assert_eq!(
        said,
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). \
         preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
    let event = &stage.events("FailedScheduling")[0];
    assert_eq!(event["message"], said);
    assert_eq!(event["action"], "Scheduling");
    assert_eq!(event["reportingComponent"], "default-scheduler");
}

#[tokio::test]
async fn every_reason_of_a_node_has_its_documented_words() {
    let own = node("n1", "2", "4Gi", &["zone=a"], &[]);
    let anti = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": { "matchLabels": { "app": "lone" } }, "topologyKey": "zone" }] } });
    let near = json!({ "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": { "matchLabels": { "app": "nobody" } }, "topologyKey": "zone" }] } });
    let shuns_all = json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "labelSelector": {}, "topologyKey": "zone" }] } });
    let port = json!([{ "name": "main", "image": "x", "ports": [{ "containerPort": 80, "hostPort": 80 }] }]);
    let gpu = json!([{ "name": "main", "image": "x", "resources": { "limits": { "nvidia.com/gpu": 1 } } }]);
    let spread = |key: &str| {
        json!([{ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
            "minDomains": 2, "labelSelector": { "matchLabels": { "app": "p" } } }])
    };
    let selector = json!({ "zone": "b" });
    // What is there, what comes, what is said of the node.
    let cases = [
        (
            None,
            json!({ "nodeSelector": selector }),
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (None, json!({ "containers": gpu }), "Insufficient nvidia.com/gpu"),
        (
            Some(json!({ "containers": port })),
            json!({ "containers": port }),
            "node(s) didn't have free ports for the requested pod ports",
        ),
        (None, json!({ "affinity": near }), "node(s) didn't match pod affinity rules"),
        (
            Some(json!({})),
            json!({ "affinity": anti }),
            "node(s) didn't match pod anti-affinity rules",
        ),
        (
            Some(json!({ "affinity": shuns_all })),
            json!({}),
            "node(s) didn't satisfy existing pods anti-affinity rules",
        ),
        (
            None,
            json!({ "topologySpreadConstraints": spread("rack") }),
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ),
    ];
    for (there, comes, said) in cases {
        let stage = stage(std::slice::from_ref(&own));
        if let Some(there) = there {
            assert_eq!(stage.place(pod("lone", there)).await, "n1");
        }
        let reason = stage.refusal(pod("p", comes)).await;
        assert!(reason.starts_with(&format!("0/1 nodes are available: 1 {said}.")), "{reason}");
    }
    // Two domains are asked for and there is one: the second pod would skew.
    let stage = stage(std::slice::from_ref(&own));
    assert_eq!(
        stage.place(pod("p", json!({ "topologySpreadConstraints": spread("zone") }))).await,
        "n1"
    );
    let mut second = pod("q", json!({ "topologySpreadConstraints": spread("zone") }));
    second["metadata"]["labels"]["app"] = json!("p");
    let reason = stage.refusal(second).await;
    assert!(reason.contains("1 node(s) didn't match pod topology spread constraints."), "{reason}");
}

#[tokio::test]
async fn cordoned_full_and_absent_nodes_are_named() {
    let mut cordoned = node("n1", "2", "4Gi", &[], &[]);
    cordoned["spec"]["unschedulable"] = json!(true);
    let mut full = node("n2", "2", "4Gi", &[], &[]);
    full["status"]["allocatable"]["pods"] = json!("0");
    let said = stage(&[cordoned, full]).refusal(pod("p", json!({}))).await;
    assert!(
        said.starts_with("0/2 nodes are available: 1 Too many pods, 1 node(s) were unschedulable.")
    );
    let said = stage(&[]).refusal(pod("p", json!({}))).await;
    assert_eq!(said, "no nodes available to schedule pods");
}

#[tokio::test]
async fn every_operator_of_node_affinity_chooses() {
    let nodes = [
        node("n1", "4", "4Gi", &["size=10", "zone=a"], &[]),
        node("n2", "4", "4Gi", &["size=20"], &[]),
    ];
    for (operator, key, values, at) in [
        ("In", "zone", json!(["a", "b"]), "n1"),
        ("NotIn", "zone", json!(["a"]), "n2"),
        ("Exists", "zone", json!([]), "n1"),
        ("DoesNotExist", "zone", json!([]), "n2"),
        ("Gt", "size", json!(["15"]), "n2"),
        ("Lt", "size", json!(["15"]), "n1"),
    ] {
        let term =
            json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        let affinity = json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } } });
        let place = stage(&nodes).place(pod("p", json!({ "affinity": affinity }))).await;
        assert_eq!(place, at, "{operator}");
    }
    let term = json!({ "matchFields": [
        { "key": "metadata.name", "operator": "In", "values": ["n2"] }] });
    let affinity = json!({ "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } } });
    let place = stage(&nodes).place(pod("p", json!({ "affinity": affinity }))).await;
    assert_eq!(place, "n2");
    let stage = stage(&nodes[..1]);
    let said = stage.refusal(pod("p", json!({ "affinity": affinity }))).await;
    assert!(said.contains("1 node(s) didn't satisfy plugin(s) [NodeAffinity]."), "{said}");
}

#[tokio::test]
async fn preferences_choose_among_nodes_that_fit_and_else_the_emptier_or_the_fuller() {
    let nodes = [node("n1", "8", "8Gi", &[], &[]), node("n2", "8", "8Gi", &["fast=yes"], &[])];
    let stage = stage(&nodes);
    let likes = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 10, "preference": { "matchExpressions": [
            { "key": "fast", "operator": "Exists" }] } }] } });
    assert_eq!(
        stage.place(pod("a", json!({ "affinity": likes, "containers": asks("2") }))).await,
        "n2"
    );
    assert_eq!(stage.place(pod("b", json!({ "containers": asks("1") }))).await, "n1", "emptier");
    stage.settings.send_modify(|settings| settings.packing = Packing::MostAllocated);
    assert_eq!(stage.place(pod("c", json!({ "containers": asks("1") }))).await, "n2", "fuller");
    let near = json!({ "podAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 100, "podAffinityTerm": { "topologyKey": "kubernetes.io/hostname",
            "labelSelector": { "matchLabels": { "app": "b" } } } }] } });
    assert_eq!(
        stage.place(pod("d", json!({ "affinity": near, "containers": asks("1") }))).await,
        "n1"
    );
}

#[tokio::test]
async fn a_gate_holds_a_pod_until_it_is_taken_away() {
    let stage = stage(&[node("n1", "8", "8Gi", &[], &[])]);
    stage.put(pod("p", json!({ "schedulingGates": [{ "name": "quota" }] })));
    let held = stage.until("p", |pod| scheduled(pod)["reason"] == "SchedulingGated").await;
    assert_eq!(
        scheduled(&held)["message"],
        "Scheduling is blocked due to non-empty scheduling gates"
    );
    stage
        .objects
        .change(&Resource::pods(), Some("a"), "p", |pod| {
            pod["spec"].as_object_mut().unwrap().remove("schedulingGates");
        })
        .unwrap();
    stage.until("p", |pod| pod["spec"]["nodeName"] == "n1").await;
}

#[tokio::test]
async fn a_pod_that_waits_is_tried_again_after_a_second_when_room_comes() {
    let stage = stage(&[node("n1", "1", "8Gi", &[], &[])]);
    let start = std::time::Instant::now();
    stage.refusal(pod("p", json!({ "containers": asks("4") }))).await;
    stage.objects.create(&Resource::nodes(), node("n2", "8", "8Gi", &[], &[])).unwrap();
    let bound = stage.until("p", |pod| pod["spec"]["nodeName"] == "n2").await;
    let waited = start.elapsed();
    assert!(waited > Duration::from_millis(900) && waited < Duration::from_secs(20), "{waited:?}");
    assert_eq!(scheduled(&bound)["status"], "True");
    let event = &stage.events("Scheduled")[0];
    assert_eq!(event["message"], "Successfully assigned a/p to n2");
}

#[tokio::test]
async fn the_same_refusal_again_is_counted() {
    let stage = stage(&[node("n1", "1", "8Gi", &[], &[])]);
    stage.refusal(pod("p", json!({ "containers": asks("4") }))).await;
    // A change that does not help: the words stay the same.
    let label = |node: &mut Value| node["metadata"]["labels"]["rack"] = json!("7");
    stage.objects.change(&Resource::nodes(), None, "n1", label).unwrap();
    let counted = async {
        while stage.events("FailedScheduling")[0]["series"]["count"] != 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), counted).await.unwrap();
    assert_eq!(stage.events("FailedScheduling").len(), 1);
}

#[tokio::test]
async fn it_can_be_silent_fail_and_bind_late() {
    let stage = stage(&[node("n1", "2", "8Gi", &[], &[])]);
    stage.settings.send_modify(|settings| settings.mode = Mode::Silent);
    stage.put(pod("p", json!({})));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let quiet = stage.objects.get(&Resource::pods(), Some("a"), "p").unwrap();
    assert!(scheduled(&quiet).is_null());
    let why = "binding rejected: etcdserver: request timed out";
    stage.settings.send_modify(|settings| settings.mode = Mode::Fails(why.into()));
    let broken = stage.until("p", |pod| scheduled(pod)["reason"] == "SchedulerError").await;
    assert_eq!(scheduled(&broken)["message"], why);
    stage.settings.send_modify(|settings| {
        settings.mode = Mode::Works;
        settings.bind_after = Duration::from_millis(400);
    });
    // The room is held from the choice on, and not twice given away.
    stage.put(pod("first", json!({ "containers": asks("2") })));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let chosen = stage.objects.get(&Resource::pods(), Some("a"), "first").unwrap();
    assert!(chosen["spec"]["nodeName"].is_null());
    let said = stage.refusal(pod("second", json!({ "containers": asks("1") }))).await;
    assert!(said.contains("1 Insufficient cpu"), "{said}");
    stage.until("first", |pod| pod["spec"]["nodeName"] == "n1").await;
}

#[tokio::test]
async fn the_less_important_leave_for_the_more_important() {
    let stage = stage(&[node("n1", "4", "8Gi", &[], &[])]);
    stage.place(pod("low", json!({ "containers": asks("2") }))).await;
    stage.place(pod("mid", json!({ "containers": asks("1"), "priority": 5 }))).await;
    stage.put(pod("high", json!({ "containers": asks("3"), "priority": 9 })));
    let waits = stage.until("high", |pod| !scheduled(pod).is_null()).await;
    assert_eq!(waits["status"]["nominatedNodeName"], "n1");
    assert_eq!(scheduled(&waits)["message"], "0/1 nodes are available: 1 Insufficient cpu.");
    let victim = stage.until("low", |pod| pod["metadata"]["deletionTimestamp"].is_string()).await;
    let disrupted = &victim["status"]["conditions"][1];
    assert_eq!(disrupted["reason"], "PreemptionByScheduler");
    assert_eq!(
        disrupted["message"],
        "default-scheduler: preempting to accommodate a higher priority pod"
    );
    // The one that can stay does.
    let mid = stage.objects.get(&Resource::pods(), Some("a"), "mid").unwrap();
    assert!(mid["metadata"]["deletionTimestamp"].is_null());
    stage.objects.remove(&Resource::pods(), Some("a"), "low");
    let bound = stage.until("high", |pod| pod["spec"]["nodeName"] == "n1").await;
    assert!(bound["status"]["nominatedNodeName"].is_null());
}

#[tokio::test]
async fn preemption_may_be_turned_off_or_not_wanted() {
    let stage = stage(&[node("n1", "2", "8Gi", &[], &[])]);
    stage.place(pod("low", json!({ "containers": asks("2") }))).await;
    let shy = json!({ "containers": asks("1"), "priority": 9, "preemptionPolicy": "Never" });
    let said = stage.refusal(pod("shy", shy)).await;
    assert!(said.ends_with("preemption: not eligible due to preemptionPolicy=Never."), "{said}");
    stage.settings.send_modify(|settings| settings.preempts = false);
    let said = stage.refusal(pod("high", json!({ "containers": asks("1"), "priority": 9 }))).await;
    assert!(said.ends_with("1 No preemption victims found for incoming pod."), "{said}");
}

#[tokio::test]
async fn many_pods_at_once_are_spread_evenly() {
    let nodes: Vec<Value> =
        (0..50).map(|at| node(&format!("n{at:02}"), "16", "64Gi", &[], &[])).collect();
    let stage = stage(&nodes);
    for at in 0..500 {
        stage.put(pod(&format!("p{at}"), json!({ "containers": asks("1") })));
    }
    for at in 0..500 {
        stage.until(&format!("p{at}"), |pod| pod["spec"]["nodeName"].is_string()).await;
    }
    let (_, pods) = stage.objects.list(&Resource::pods());
    let mut on = std::collections::BTreeMap::<&str, usize>::new();
    for pod in &pods {
        *on.entry(pod["spec"]["nodeName"].as_str().unwrap()).or_default() += 1;
    }
    assert!(on.values().all(|&pods| pods == 10), "{on:?}");
}
