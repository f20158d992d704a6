//! Groups of a served Cluster API, whose controllers are played.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_kube::actors::machines::{self, MachineFault};
use fake_kube::actors::{Actors, Order};
use fake_kube::{Config, FakeKube, Fault, Kind, Resource, What};
use muster_core::room::{FailureClass, GroupId, MachineState, Refusal, Told};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ClusterApi, GROUP, MachineDeployment, Provider};

const NAMESPACE: &str = "clusters";

struct World {
    fake: FakeKube,
    api: ClusterApi,
    version: &'static str,
}

fn resource(version: &str, plural: &str) -> Resource {
    Resource::new(GROUP, version, plural)
}

fn settings() -> machines::Settings {
    machines::Settings { boot: Duration::from_millis(100), ..machines::Settings::default() }
}

async fn world(versions: &[&'static str]) -> World {
    drop(rustls::crypto::ring::default_provider().install_default());
    let kind = |plural: &str, kind: &str| Kind::custom(GROUP, versions, plural, kind).with_scale();
    let infrastructure = Kind::custom(
        "infrastructure.cluster.x-k8s.io",
        &["v1beta1"],
        "fakemachinetemplates",
        "FakeMachineTemplate",
    );
    let kinds = match versions {
        [] => Vec::new(),
        _ => vec![
            kind("machinedeployments", "MachineDeployment"),
            kind("machinesets", "MachineSet"),
            kind("machines", "Machine"),
            infrastructure,
        ],
    };
    let actors = Some(Actors { machines: settings(), ..Actors::default() });
    let config = Config { kinds, actors, ..Config::default() };
    let fake = FakeKube::start(config).await.expect("a cluster");
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, fake.kubeconfig()).expect("a file");
    let client = crate::kube::client(Some(&path), None).await.expect("a client");
    let group = |name: &str| {
        let of = MachineDeployment { namespace: NAMESPACE.into(), name: name.into() };
        (GroupId(name.into()), of)
    };
    let api = ClusterApi::new(client, BTreeMap::from(["a", "b"].map(group)));
    let version = versions.first().copied().unwrap_or("v1beta2");
    World { fake, api, version }
}

impl World {
    fn add(&self, name: &str, replicas: u64, notes: Value) {
        let deployment = json!({
            "apiVersion": format!("{GROUP}/{}", self.version), "kind": "MachineDeployment",
            "metadata": {"namespace": NAMESPACE, "name": name, "annotations": notes},
            "spec": {"clusterName": "main", "replicas": replicas, "template": {
                "metadata": {"labels": {"node.cluster.x-k8s.io/kind": name, "plain": "x"}},
                "spec": {"clusterName": "main", "infrastructureRef": {
                    "apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "FakeMachineTemplate", "name": name,
                }},
            }},
        });
        self.fake.objects().create(&self.deployments(), deployment).expect("it is created");
    }

    fn deployments(&self) -> Resource {
        resource(self.version, "machinedeployments")
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let changed =
            self.fake.objects().change(&self.deployments(), Some(NAMESPACE), name, change);
        changed.expect("a deployment");
    }

    fn replicas(&self, name: &str) -> u64 {
        let found = self.fake.objects().get(&self.deployments(), Some(NAMESPACE), name);
        found.expect("a deployment")["spec"]["replicas"].as_u64().expect("a number")
    }

    fn machines(&self) -> Vec<Arc<Value>> {
        self.fake.objects().list(&resource(self.version, "machines")).1
    }

    fn names(&self) -> Vec<String> {
        let name = |it: Arc<Value>| it["metadata"]["name"].as_str().expect("a name").to_owned();
        self.machines().into_iter().map(name).collect()
    }

    fn change_machine(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let of = resource(self.version, "machines");
        self.fake.objects().change(&of, Some(NAMESPACE), name, change).expect("a machine");
    }

    async fn told(&self, group: &str) -> Result<Told, String> {
        let mut groups = self.api.groups().await.expect("groups");
        let at = groups.iter().position(|(id, _)| id.0 == group).expect("the group");
        groups.remove(at).1
    }

    async fn resize(&self, to: u32) -> Result<(), Refusal> {
        self.api.resize(&"a".into(), to, Uuid::nil()).await
    }

    async fn remove(&self, machines: &[&str], order: u128) -> Result<(), Refusal> {
        let machines: Vec<String> = machines.iter().map(|it| (*it).to_owned()).collect();
        self.api.remove(&"a".into(), &machines, Uuid::from_u128(order)).await
    }

    /// The group when its machines are so.
    async fn until(&self, what: &str, is_so: impl Fn(&Told) -> bool) -> Told {
        let begun = Instant::now();
        loop {
            let told = self.told("a").await.expect("the group");
            if is_so(&told) {
                return told;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {told:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn all_run(count: usize) -> impl Fn(&Told) -> bool {
    move |told| {
        let runs = |it: &muster_core::room::ToldMachine| it.state == MachineState::Running;
        told.machines.len() == count && told.machines.iter().all(runs)
    }
}

fn note(what: &str) -> String {
    format!("capacity.cluster-autoscaler.kubernetes.io/{what}")
}

fn limit(what: &str) -> String {
    format!("cluster.x-k8s.io/cluster-api-autoscaler-node-group-{what}-size")
}

#[tokio::test]
async fn a_deployment_is_a_group_with_limits_and_a_template_in_each_version() {
    for versions in [&["v1beta2", "v1beta1"][..], &["v1beta1"]] {
        let world = world(versions).await;
        let notes = json!({
            limit("min"): "1", limit("max"): "5", note("cpu"): "4", note("memory"): "16Gi",
            note("gpu-count"): "2", note("labels"): "zone=a", note("taints"): "gpu=yes:NoSchedule",
        });
        world.add("a", 2, notes);
        let told = world.until("they run", all_run(2)).await;
        assert_eq!((told.target, told.min, told.max), (2, Some(1), Some(5)));
        let template = told.template.expect("a template");
        let has = &template.allocatable;
        assert_eq!((has.cpu, has.memory, has.of("nvidia.com/gpu")), (4000, 16 << 30, 2));
        assert_eq!(template.labels["zone"], "a");
        assert_eq!(template.labels["node.cluster.x-k8s.io/kind"], "a");
        assert!(!template.labels.contains_key("plain"));
        assert_eq!(template.taints[0].to_string(), "gpu=yes:NoSchedule");
        assert!(told.machines.iter().all(|it| it.node.is_some()));
        // The other one is not there, and that is said of it alone.
        let missing = world.told("b").await.expect_err("it is not there");
        assert_eq!(missing, "there is no MachineDeployment clusters/b");
    }
}

#[tokio::test]
async fn the_template_of_machines_says_what_a_node_has_if_annotations_do_not() {
    let world = world(&["v1beta2"]).await;
    world.add("a", 0, json!({}));
    assert_eq!(world.told("a").await.expect("the group").template, None);
    let template = json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1beta1", "kind": "FakeMachineTemplate",
        "metadata": {"namespace": NAMESPACE, "name": "a"},
        "status": {"capacity": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"},
            "nodeInfo": {"architecture": "arm64"}},
    });
    let of = Resource::new("infrastructure.cluster.x-k8s.io", "v1beta1", "fakemachinetemplates");
    world.fake.objects().create(&of, template).expect("it is created");
    let template = world.told("a").await.expect("the group").template.expect("a template");
    let has = &template.allocatable;
    assert_eq!((has.cpu, has.memory, has.of("nvidia.com/gpu")), (8000, 32 << 30, 1));
    assert_eq!(template.labels["kubernetes.io/arch"], "arm64");
}

#[tokio::test]
async fn a_size_is_set_and_nothing_that_runs_goes_by_it() {
    let world = world(&["v1beta2"]).await;
    world.add("a", 0, json!({}));
    world.resize(2).await.expect("it grows");
    world.resize(2).await.expect("the same again");
    world.until("they run", all_run(2)).await;
    // Somebody made it larger meanwhile.
    world.change("a", |it| it["spec"]["replicas"] = json!(3));
    world.until("the third runs", all_run(3)).await;
    let refused = world.resize(1).await.expect_err("three run");
    assert!(refused.message.contains("has 3 machines"), "{refused:?}");
    assert_eq!(world.replicas("a"), 3);
    let gone = world.api.resize(&"b".into(), 1, Uuid::nil()).await.expect_err("it is not there");
    assert_eq!(gone.message, "there is no MachineDeployment clusters/b");
}

#[tokio::test]
async fn exactly_the_named_machine_goes_and_the_same_order_takes_no_second_one() {
    let world = world(&["v1beta2"]).await;
    world.add("a", 3, json!({}));
    world.until("they run", all_run(3)).await;
    let names = world.names();
    // The newest would go by itself: the oldest is named.
    world.remove(&[&names[0]], 7).await.expect("it goes");
    world.until("two are left", all_run(2)).await;
    assert_eq!(world.names(), names[1..]);
    world.remove(&[&names[0]], 7).await.expect("it is done already");
    // A hub that heard no answer asks again while the machine has not been picked yet.
    world.remove(&[&names[1]], 8).await.expect("it goes");
    world.remove(&[&names[1]], 8).await.expect("once");
    world.until("one is left", all_run(1)).await;
    assert_eq!((world.names(), world.replicas("a")), (vec![names[2].clone()], 1));
    // The answer to the scale is lost: it is read what came of it.
    world.resize(3).await.expect("it grows");
    world.until("they run", all_run(3)).await;
    let loses = Fault::new(What::LoseAnswer).verb("patch").resource("machinedeployments/scale");
    world.fake.faults().set(loses.times(1));
    world.remove(&[&names[2]], 9).await.expect("it goes");
    world.until("two are left", all_run(2)).await;
    assert!(!world.names().contains(&names[2]) && world.replicas("a") == 2);
}

#[tokio::test]
async fn a_machine_that_does_not_go_is_not_marked_any_more() {
    let world = world(&["v1beta2"]).await;
    world.add("a", 2, json!({}));
    world.until("they run", all_run(2)).await;
    let names = world.names();
    let mark = "cluster.x-k8s.io/delete-machine";
    let is_marked = |at: usize| !world.machines()[at]["metadata"]["annotations"][mark].is_null();
    let scales = |what| Fault::new(what).verb("patch").resource("machinedeployments/scale");
    world.fake.faults().set(scales(What::Fail));
    world.remove(&[&names[0]], 1).await.expect_err("the scale is refused");
    assert!(!is_marked(0), "{:?}", world.machines());
    world.fake.faults().clear();
    // What another order left behind goes away, and what somebody else marked is not taken for it.
    world.change_machine(&names[1], |it| it["metadata"]["annotations"][mark] = json!("by hand"));
    let refused = world.remove(&[&names[0]], 2).await.expect_err("the other would go");
    assert!(refused.message.contains("would go instead"), "{refused:?}");
    assert!(!is_marked(0));
    world.change_machine(&names[1], |it| it["metadata"]["annotations"][mark] = json!("muster/old"));
    world.remove(&[&names[0]], 3).await.expect("it goes");
    world.until("one is left", all_run(1)).await;
    assert_eq!(world.names(), names[1..]);
}

#[tokio::test]
async fn what_is_wrong_with_machines_has_its_class() {
    let world = world(&["v1beta2"]).await;
    world.add("a", 0, json!({}));
    for (fault, class) in [
        (MachineFault::Quota, FailureClass::Quota),
        (MachineFault::NoCapacity, FailureClass::Capacity),
        (MachineFault::Fails("its disk is broken".into()), FailureClass::Other),
    ] {
        let faults = BTreeMap::from([("a".to_owned(), fault)]);
        let order = Order::Machines(machines::Settings { faults, ..settings() });
        world.fake.controls().expect("actors").order(order).expect("it is done");
        world.resize(1).await.expect("it grows");
        let failed = |told: &Told| {
            told.machines.iter().any(|it| matches!(it.state, MachineState::Failed { .. }))
        };
        let told = world.until("it fails", failed).await;
        let MachineState::Failed { class: its, message } = &told.machines[0].state else {
            panic!("{told:?}")
        };
        assert_eq!(*its, class, "{message}");
        let name = world.names().remove(0);
        world.remove(&[&name], u128::from(class as u8) + 50).await.expect("it goes");
        world.until("none is left", |told| told.machines.is_empty()).await;
    }
}

#[tokio::test]
async fn what_cannot_be_worked_with_is_said() {
    let world = world(&["v1beta2"]).await;
    world.add("a", 1, json!({limit("max"): "many"}));
    let why = world.told("a").await.expect_err("no number");
    assert!(why.contains("max-size is no whole number"), "{why}");
    world.change("a", |it| {
        it["metadata"]["annotations"] = json!({"cluster.x-k8s.io/paused": "true"});
    });
    let why = world.told("a").await.expect_err("paused");
    assert_eq!(why, "MachineDeployment clusters/a: it is paused");
    let none = self::world(&[]).await;
    let refused = none.api.groups().await.expect_err("not served");
    assert!(refused.message.contains("does not serve Cluster API"), "{refused:?}");
    let old = self::world(&["v1alpha4"]).await;
    let refused = old.api.groups().await.expect_err("too old");
    assert!(refused.message.contains("v1beta2 or v1beta1"), "{refused:?}");
}
