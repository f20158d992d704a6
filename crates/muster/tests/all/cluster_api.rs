//! A hub that owns the nodes of a cluster: Cluster API makes them, and each has real pods.
//! brief: NS-4, NS-5

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fake_kube::actors::machines::{self, MachineFault};
use fake_kube::actors::{Actors, Order};
use fake_kube::{Config, Fault, Kind, Resource, What};
use serde_json::{Value, json};

use crate::pods::{self, Kube, NAMESPACE, SLOW};
use crate::support::{Hub, Output, World, until};

const GROUP: &str = "cluster.x-k8s.io";
const VERSION: &str = "v1beta2";
/// Where its deployments are.
const CLUSTERS: &str = "clusters";

fn resource(plural: &str) -> Resource {
    Resource::new(GROUP, VERSION, plural)
}

fn machines() -> machines::Settings {
    machines::Settings { boot: Duration::from_millis(500), ..machines::Settings::default() }
}

/// A cluster with these nodes that has Cluster API.
fn start(world: &World, nodes: &[(&str, &str)]) -> Kube {
    start_with(world, nodes, machines())
}

fn start_with(world: &World, nodes: &[(&str, &str)], machines: machines::Settings) -> Kube {
    let kind = |plural, kind| Kind::custom(GROUP, &[VERSION, "v1beta1"], plural, kind).with_scale();
    let kinds = vec![
        kind("machinedeployments", "MachineDeployment"),
        kind("machinesets", "MachineSet"),
        kind("machines", "Machine"),
    ];
    let actors = Some(Actors { machines, ..Actors::default() });
    Kube::start_with(world, nodes, Config { kinds, actors, ..Config::default() })
}

/// Machines on each of which is room for one instance.
fn add_group(kube: &Kube, name: &str, replicas: u64) {
    let note = |what: &str| format!("capacity.cluster-autoscaler.kubernetes.io/{what}");
    let limit = |what: &str| format!("{GROUP}/cluster-api-autoscaler-node-group-{what}-size");
    let deployment = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "MachineDeployment",
        "metadata": {"namespace": CLUSTERS, "name": name, "annotations": {
            note("cpu"): "1500m", note("memory"): "2Gi", limit("min"): "0", limit("max"): "4",
        }},
        "spec": {"clusterName": "main", "replicas": replicas, "template": {"spec": {"clusterName": "main"}}},
    });
    kube.create(&resource("machinedeployments"), deployment);
}

fn own(command: &mut Command) {
    command.envs([
        ("MUSTER_NODES_MODE", "own"),
        ("MUSTER_NODES_PROVIDER", "cluster-api"),
        ("MUSTER_NODES_NAMESPACE", CLUSTERS),
        ("MUSTER_NODES_GROUPS", "workers"),
        ("MUSTER_NODES_EMPTY_SECONDS", "1"),
        ("MUSTER_NODES_UNNEEDED_SECONDS", "1"),
        ("MUSTER_NODES_SETTLED_SECONDS", "1"),
        ("MUSTER_NODES_ASK_SECONDS", "1"),
    ]);
}

fn limits(most: u32) -> Value {
    json!({"batch_size": 1, "max_instances": most, "max_attempts": 1, "idle_seconds": 1})
}

fn group(kube: &Kube, name: &str) -> Arc<Value> {
    let of = resource("machinedeployments");
    kube.fake.objects().get(&of, Some(CLUSTERS), name).expect("the deployment")
}

fn replicas(kube: &Kube) -> u64 {
    group(kube, "workers")["spec"]["replicas"].as_u64().expect("a number")
}

fn scale(kube: &Kube, replicas: u64) {
    let change = |it: &mut Value| it["spec"]["replicas"] = json!(replicas);
    let of = resource("machinedeployments");
    kube.fake.objects().change(&of, Some(CLUSTERS), "workers", change).expect("the deployment");
}

fn nodes(kube: &Kube) -> Vec<Arc<Value>> {
    kube.fake.objects().list(&Resource::nodes()).1
}

/// Begins so many jobs of two seconds each.
fn begin(hub: &Hub, jobs: usize) -> std::process::Child {
    let rows: Vec<String> = (0..jobs).map(|n| format!("x{n}")).collect();
    hub.world.write("jobs.csv", format!("input\n{}\n", rows.join("\n")));
    hub.begin(&["run", "lengths", "jobs.csv", "--no-cache", "--json", "--quiet"])
}

/// All of them were done, each of them at once.
fn all_done(hub: &Hub, begun: std::process::Child, jobs: usize) {
    let output = Output::from(begun.wait_with_output().expect("it ends"));
    let result = output.json()["result"].as_array().map(Vec::len);
    assert_eq!(result, Some(jobs), "{output:?}\n{}", hub.world.read("log"));
    let all = hub.good(&["admin", "requests", "--json"]).json();
    let request = &all["items"][0];
    assert_eq!((&request["phase"], &request["attempts"]), (&json!("completed"), &json!(1)));
}

fn said(hub: &Hub, command: &[&str], words: &str) {
    let mut text = String::new();
    until(&format!("{command:?} says {words}"), || {
        text = hub.good(command).text;
        text.contains(words)
    });
}

#[test]
fn a_burst_makes_nodes_by_one_order_and_they_go_without_breaking_off_a_job() {
    let world = World::new(&[]);
    let kube = start(&world, &[]);
    add_group(&kube, "workers", 0);
    let mut changes = kube.fake.objects().changes();
    let hub = kube.hub_with(&world, &pods::model(SLOW, limits(3)), own);
    let mut doctor = world.command(&["doctor"]);
    doctor.env("MUSTER_CLUSTER", "kubernetes");
    pods::fill(&world, &mut doctor);
    own(&mut doctor);
    let said = Output::of(doctor).text;
    assert!(said.contains("Cluster API answers: workers has 0 of at most 4"), "{said}");
    let begun = begin(&hub, 6);
    all_done(&hub, begun, 6);
    until("all nodes are given back", || replicas(&kube) == 0 && nodes(&kube).is_empty());
    let mut sizes: Vec<u64> = Vec::new();
    while let Ok(change) = changes.try_recv() {
        let size = change.object["spec"]["replicas"].as_u64();
        if change.of == resource("machinedeployments") && sizes.last() != size.as_ref() {
            sizes.extend(size);
        }
    }
    let grown: Vec<u64> = sizes.into_iter().skip_while(|size| *size == 0).collect();
    assert_eq!(grown.first(), Some(&3), "one order for all that waits: {grown:?}");
    assert!(grown.is_sorted_by(|one, next| one > next), "{grown:?}");
    let groups = hub.good(&["nodes", "groups", "--json"]).json();
    let group = &groups["items"][0];
    assert_eq!((&group["target"], &group["failures"]), (&json!(0), &Value::Null), "{groups}");
    assert!(group["boot_seconds"].as_f64().is_some_and(|seconds| seconds < 30.0), "{groups}");
}

/// The hub dies when its order stands in the books, or when the call was made and it did not hear of it: the next
/// one goes on, and one node comes.
#[test]
fn an_order_survives_a_hub_that_dies_before_or_after_the_call() {
    for point in ["after-order-row-before-call", "after-order-call-before-answer"] {
        let world = World::new(&[]);
        let kube = start(&world, &[]);
        add_group(&kube, "workers", 0);
        let mut first = kube.hub_with(&world, &pods::model(SLOW, limits(1)), |command| {
            own(command);
            command.env("MUSTER_CRASH_AT", point);
        });
        let begun = begin(&first, 2);
        first.until_ended();
        let log = world.read("log");
        assert!(log.contains(&format!("crash point {point}")), "{log}");
        let called = point.starts_with("after-order-call");
        assert_eq!(replicas(&kube), u64::from(called), "{point}");
        let next = world.hub_after_with(&first, &["--cluster", "kubernetes"], |command| {
            pods::fill(&world, command);
            own(command);
        });
        until("there is one node", || nodes(&kube).len() == 1);
        all_done(&next, begun, 2);
        let made = kube.fake.faults().calls();
        let scaled = made[&("patch".to_owned(), "machinedeployments/scale".to_owned())];
        assert!(scaled <= 2, "one order to come, one to go: {scaled}");
    }
}

/// A pod of somebody else's that is ready on the node of the group.
fn add_tenant(kube: &Kube) {
    let node = nodes(kube)
        .iter()
        .map(|node| node["metadata"]["name"].as_str().expect("a name").to_owned())
        .find(|name| name.starts_with("workers"))
        .expect("a node of the group");
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true}]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"app": "web"}, "ownerReferences": owner},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [{
            "name": "web", "image": SLOW, "resources": {"requests": {"cpu": "100m"}},
            "ports": [{"containerPort": 80}],
        }]},
        "status": {"phase": "Pending"},
    });
    kube.create(&Resource::pods(), pod);
    until("it is ready", || {
        let pods = kube.pods();
        let conditions = pods[0]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
    });
}

#[test]
fn a_drain_that_a_budget_forbids_is_given_up_and_said() {
    let world = World::new(&[]);
    let kube = start(&world, &[("fixed", "4")]);
    add_group(&kube, "workers", 1);
    until("its node is there", || nodes(&kube).len() == 2);
    add_tenant(&kube);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    kube.create(&Resource::disruption_budgets(), budget);
    let hub = kube.hub_with(&world, &pods::model(SLOW, limits(1)), |command| {
        own(command);
        command.env("MUSTER_NODES_DRAIN_SECONDS", "3");
    });
    said(&hub, &["plan"], "the budget default/web lets no more of them go");
    let is_closed = || nodes(&kube).iter().any(|node| node["spec"]["unschedulable"] == true);
    assert!(!is_closed(), "nothing is begun that cannot be done");
    // Now it would, and whoever is asked says no all the same.
    let no = Fault::new(What::TooMany { after: 1 }).verb("create").resource("pods/eviction");
    kube.fake.faults().set(no);
    kube.fake
        .objects()
        .remove(&Resource::disruption_budgets(), Some("default"), "web")
        .expect("the budget");
    until("it is cordoned", is_closed);
    until("that is undone", || !is_closed());
    let log = world.read("log");
    assert!(log.contains("it does not go elsewhere yet"), "{log}");
    let kept = hub.good(&["plan", "--json"]).json()["plan"]["kept"].to_string();
    assert!(kept.contains("default/web-1"), "{kept}");
    assert_eq!(
        (replicas(&kube), kube.pods().len()),
        (1, 1),
        "nobody was moved, and no node is gone"
    );
    let taints =
        nodes(&kube).iter().map(|node| node["spec"]["taints"].to_string()).collect::<String>();
    assert!(!taints.contains("muster"), "{taints}");
}

#[test]
fn what_others_run_moves_before_its_node_goes() {
    let world = World::new(&[]);
    let kube = start(&world, &[("fixed", "4")]);
    add_group(&kube, "workers", 1);
    until("its node is there", || nodes(&kube).len() == 2);
    add_tenant(&kube);
    let _hub = kube.hub_with(&world, &pods::model(SLOW, limits(1)), own);
    until("its node is gone", || nodes(&kube).len() == 1 && replicas(&kube) == 0);
    assert_eq!(kube.fake.faults().calls()[&("create".to_owned(), "pods/eviction".to_owned())], 1);
}

#[test]
fn a_group_that_others_resize_or_delete_is_left_to_them_and_work_goes_on() {
    let world = World::new(&[]);
    let kube = start(&world, &[]);
    add_group(&kube, "workers", 0);
    let hub = kube.hub_with(&world, &pods::model(SLOW, limits(1)), own);
    let begun = begin(&hub, 4);
    until("a node is ordered", || replicas(&kube) == 1);
    until("the order is seen to be done", || {
        hub.good(&["nodes", "groups", "--json"]).json()["items"][0]["target"] == 1
    });
    scale(&kube, 3);
    said(&hub, &["nodes", "groups"], "somebody else resized it");
    all_done(&hub, begun, 4);
    until("nothing runs", || kube.pods().is_empty());
    until("it would give them back", || {
        let plan = hub.good(&["plan", "--json"]).json();
        plan["plan"]["advice"].to_string().contains("cordon")
    });
    assert_eq!(replicas(&kube), 3, "what it would do with it is advice");
    kube.fake
        .objects()
        .remove(&resource("machinedeployments"), Some(CLUSTERS), "workers")
        .expect("the deployment");
    said(&hub, &["nodes", "groups"], "there is no MachineDeployment clusters/workers");
}

/// A quota of the cloud: the next group is taken, and the words stand at the first one.
#[test]
fn a_group_at_its_quota_is_passed_over() {
    let world = World::new(&[]);
    let kube = start(&world, &[]);
    add_group(&kube, "workers", 0);
    add_group(&kube, "others", 0);
    let faults = BTreeMap::from([("workers".to_owned(), MachineFault::Quota)]);
    kube.order(Order::Machines(machines::Settings { faults, ..machines() }));
    let hub = kube.hub_with(&world, &pods::model(SLOW, limits(1)), |command| {
        own(command);
        command.env("MUSTER_NODES_GROUPS", "workers,others");
    });
    let begun = begin(&hub, 1);
    all_done(&hub, begun, 1);
    assert_eq!(replicas(&kube), 0, "what never came is given back");
    let groups = hub.good(&["nodes", "groups", "--json"]).json();
    let failures = groups["items"].to_string();
    assert!(failures.contains("quota") && failures.contains("VcpuLimitExceeded"), "{failures}");
}

/// The Cluster Autoscaler makes the nodes, and writes down how it is.
#[test]
fn what_an_autoscaler_does_and_says_is_shown() {
    let world = World::new(&[]);
    let unneeded = Duration::from_secs(1);
    let settings = machines::Settings { autoscaler: true, unneeded, ..machines() };
    let kube = start_with(&world, &[], settings);
    add_group(&kube, "workers", 0);
    let hub = kube.hub(&world, &pods::model(SLOW, limits(1)));
    let autoscalers = ["nodes", "autoscalers"];
    let is = "MachineDeployment/clusters/workers is healthy, its target is";
    let begun = begin(&hub, 1);
    until("the group grows", || replicas(&kube) == 1);
    said(&hub, &autoscalers, &format!("{is} 1 of 0 to 4"));
    all_done(&hub, begun, 1);
    until("its node goes", || nodes(&kube).is_empty());
    said(&hub, &autoscalers, &format!("{is} 0 of 0 to 4"));
    let told = hub.good(&autoscalers).text;
    for words in
        ["Cluster Autoscaler: is there", "it wrote down how it is at", "it takes the node away"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// The cloud takes a node back: what runs there finishes, and the rest is done elsewhere.
#[test]
fn a_node_that_its_cloud_takes_back_gets_nothing_new() {
    let world = World::new(&[]);
    let kube = start(&world, &[("spot", "4")]);
    let limits =
        json!({"batch_size": 1, "max_instances": 1, "max_attempts": 1, "idle_seconds": 300});
    let hub = kube.hub(&world, &pods::model(SLOW, limits));
    let begun = begin(&hub, 3);
    let at = |pods: &[Arc<Value>]| -> Vec<String> {
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running");
        running.map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect()
    };
    until("it works", || world.read("log").contains("an instance is ready"));
    kube.create(&Resource::nodes(), fake_kube::actors::node("other", "4", "8Gi", &[], &[]));
    let taint = |node: &mut Value| {
        node["spec"]["taints"] =
            json!([{"key": "aws-node-termination-handler/spot-itn", "effect": "NoSchedule"}]);
    };
    kube.fake.objects().change(&Resource::nodes(), None, "spot", taint).expect("the node");
    until("another one runs elsewhere", || at(&kube.pods()) == ["other"]);
    all_done(&hub, begun, 3);
    assert_eq!(kube.fake.objects().list(&Resource::pods()).1.len(), 1, "{NAMESPACE}");
    let ended = hub.good(&["instances", "--ended", "--json"]).json().to_string();
    assert!(ended.contains("its node is taken away"), "{ended}");
}
