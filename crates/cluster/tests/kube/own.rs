//! Nodes that the hub gives back: cordons with its mark, and evictions.

use std::sync::Arc;
use std::time::Duration;

use fake_kube::actors::node;
use fake_kube::{Config, Fault, Resource, What};
use muster_cluster::kube::{KubeConfig, KubeError};
use muster_cluster::{Cluster, Cordon};
use muster_core::room::{NodeStage, NodeView, Tenant, TenantId};
use serde_json::{Value, json};

use crate::world::{World, config, until, world_of};

async fn world() -> World {
    let world = world_of(Config::default(), None, owns).await.expect("a hub");
    for name in ["n1", "n2"] {
        let node = node(name, "4", "8Gi", &[], &["gpu=a:NoSchedule"]);
        world.fake.objects().create(&Resource::nodes(), node).expect("a node");
    }
    until("nodes are seen", || world.kube.around().nodes.len() == 2).await;
    world
}

fn owns(config: KubeConfig) -> KubeConfig {
    KubeConfig { owns_nodes: true, ..config }
}

fn cordon(world: &World, nodes: &[&str]) {
    let cordon = |node: &&str| Cordon { node: (*node).into(), why: "nobody needs it".to_owned() };
    world.kube.cordon(Some(nodes.iter().map(cordon).collect()));
}

fn object(world: &World, name: &str) -> Arc<Value> {
    world.fake.objects().get(&Resource::nodes(), None, name).expect("a node")
}

fn change(world: &World, name: &str, change: impl FnOnce(&mut Value)) {
    world.fake.objects().change(&Resource::nodes(), None, name, change).expect("a node");
}

fn seen(world: &World, name: &str) -> NodeView {
    let mut nodes = world.kube.around().nodes;
    let at = nodes.iter().position(|node| node.id.0 == name).expect("the node");
    nodes.remove(at)
}

fn is_ours(world: &World, name: &str) -> bool {
    matches!(seen(world, name).stage, NodeStage::Cordoned { ours: true, .. })
}

fn keys(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"].as_array().expect("taints").iter();
    taints.map(|taint| taint["key"].as_str().expect("a key").to_owned()).collect()
}

#[tokio::test]
async fn a_cordon_is_the_hubs_own_and_leaves_all_else_as_it_is() {
    let world = world().await;
    cordon(&world, &["n1", "gone"]);
    until("it is cordoned", || is_ours(&world, "n1")).await;
    let marked = object(&world, "n1");
    assert_eq!(marked["spec"]["unschedulable"], true);
    assert_eq!(keys(&marked), ["gpu", "muster.dev/cordoned"]);
    // What others say of the node is seen; the hub's own is none of a node's properties.
    assert_eq!(seen(&world, "n1").taints.len(), 1);
    // Somebody writes a taint of theirs meanwhile.
    change(&world, "n1", |node| {
        let taint = json!({"key": "disk", "value": "full", "effect": "NoSchedule"});
        node["spec"]["taints"].as_array_mut().expect("taints").push(taint);
    });
    cordon(&world, &[]);
    until("it is used again", || seen(&world, "n1").stage == NodeStage::Ready).await;
    let after = object(&world, "n1");
    assert_eq!(keys(&after), ["gpu", "disk"]);
    assert!(
        after["spec"]["unschedulable"].is_null()
            && after["metadata"]["annotations"]["muster.dev/cordoned"].is_null()
    );
}

#[tokio::test]
async fn what_people_cordon_or_uncordon_is_left_to_them() {
    let world = world().await;
    change(&world, "n2", |node| node["spec"]["unschedulable"] = json!(true));
    until("it is seen", || {
        matches!(seen(&world, "n2").stage, NodeStage::Cordoned { ours: false, .. })
    })
    .await;
    cordon(&world, &["n1", "n2"]);
    until("n1 is cordoned", || is_ours(&world, "n1")).await;
    assert_eq!(keys(&object(&world, "n2")), ["gpu"], "it is somebody else's");
    cordon(&world, &[]);
    until("n1 is used again", || seen(&world, "n1").stage == NodeStage::Ready).await;
    assert_eq!(object(&world, "n2")["spec"]["unschedulable"], true);
    // By hand: the hub hears that the node shall stay, and takes its mark away when it says so.
    cordon(&world, &["n1"]);
    until("n1 is cordoned", || is_ours(&world, "n1")).await;
    change(&world, "n1", |node| node["spec"]["unschedulable"] = json!(false));
    until("it stays", || seen(&world, "n1").keep.as_deref() == Some("somebody uncordoned it"))
        .await;
    cordon(&world, &[]);
    until("its mark is gone", || keys(&object(&world, "n1")) == ["gpu"]).await;
}

#[tokio::test]
async fn another_hub_leaves_the_mark_and_the_next_one_of_the_same_name_goes_on() {
    let world = world().await;
    cordon(&world, &["n1"]);
    until("it is cordoned", || is_ours(&world, "n1")).await;
    let other = world.another(owns(KubeConfig { hub: "h2".into(), ..config() })).await;
    other.cordon(Some(Vec::new()));
    let stage = |hub: &muster_cluster::kube::Kube| {
        let nodes = hub.around().nodes;
        nodes.into_iter().find(|node| node.id.0 == "n1").map(|node| node.stage)
    };
    until("it is seen", || matches!(stage(&other), Some(NodeStage::Cordoned { ours: false, .. })))
        .await;
    // A hub that does not plan writes nothing.
    world.kube.cordon(None);
    let next = world.another(owns(config())).await;
    until("the next one sees it as its own", || {
        matches!(stage(&next), Some(NodeStage::Cordoned { ours: true, .. }))
    })
    .await;
    next.cordon(Some(Vec::new()));
    until("it takes it away", || object(&world, "n1")["spec"]["unschedulable"].is_null()).await;
}

#[tokio::test]
async fn a_node_that_changes_meanwhile_and_an_api_that_fails_are_tried_again() {
    let world = world().await;
    let faults = world.fake.faults();
    faults.set(Fault::new(What::Fail).verb("patch").resource("nodes").times(1));
    faults.set(Fault::new(What::LoseAnswer).verb("patch").resource("nodes").times(1));
    faults.set(Fault::new(What::Stale { behind: 1 }).verb("get").resource("nodes").times(1));
    cordon(&world, &["n1"]);
    until("it is cordoned", || is_ours(&world, "n1")).await;
    assert_eq!(keys(&object(&world, "n1")), ["gpu", "muster.dev/cordoned"]);
}

#[tokio::test]
async fn who_has_no_right_to_cordon_does_not_start() {
    let user = fake_kube::User::service_account("models", "hub");
    let cluster = Config { tokens: [("t".to_owned(), user)].into(), ..Config::default() };
    let world = world_of(cluster, None, |config| config).await.expect("an administrator's hub");
    let allow = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "hub"},
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
        ],
    });
    let bind = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "hub"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "hub"},
        "subjects": [{"kind": "ServiceAccount", "name": "hub", "namespace": "models"}],
    });
    world.fake.objects().create(&Resource::cluster_roles(), allow).expect("a role");
    world.fake.objects().create(&Resource::cluster_role_bindings(), bind).expect("a binding");
    let refused = world.join_as("t", owns(config())).await.err().expect("rights are missing");
    assert!(matches!(refused, KubeError::NodeRights { .. }), "{refused}");
    let words = refused.to_string();
    assert!(words.contains("patch nodes") && words.contains("create pods/eviction"), "{words}");
    world.join_as("t", config()).await.expect("who owns no nodes needs none of it");
}

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}, "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u1", "controller": true,
        }]},
        "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "x"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

fn budget(name: &str, least: u64) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}},
    })
}

fn tenant(world: &World, name: &str) -> Option<Tenant> {
    let tenants = world.kube.around().tenants;
    tenants
        .iter()
        .find(|tenant| tenant.id.0 == format!("default/{name}"))
        .map(|it| Tenant::clone(it))
}

fn goes(world: &World) -> bool {
    tenant(world, "web-1").is_none_or(|tenant| tenant.leaves)
}

async fn evict(world: &World, name: &str) -> TenantId {
    until("it is seen", || tenant(world, name).is_some()).await;
    let id = TenantId(format!("default/{name}"));
    world.kube.evict(&id);
    id
}

#[tokio::test]
async fn nobody_is_evicted_from_a_node_that_is_not_cordoned() {
    let world = world().await;
    world.fake.objects().create(&Resource::pods(), pod("web-1")).expect("a pod");
    evict(&world, "web-1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.calls("create", "pods/eviction"), 0);
    cordon(&world, &["n1"]);
    until("it is cordoned", || is_ours(&world, "n1")).await;
    evict(&world, "web-1").await;
    until("it goes", || goes(&world)).await;
    assert_eq!(world.calls("create", "pods/eviction"), 1);
}

#[tokio::test]
async fn what_a_budget_forbids_is_asked_again_and_told() {
    let world = world().await;
    world.fake.objects().create(&Resource::pods(), pod("web-1")).expect("a pod");
    world.fake.objects().create(&Resource::disruption_budgets(), budget("web", 1)).expect("one");
    cordon(&world, &["n1"]);
    until("it is cordoned", || is_ours(&world, "n1")).await;
    evict(&world, "web-1").await;
    until("it is told", || {
        let refused = tenant(&world, "web-1").and_then(|tenant| tenant.refused);
        refused
            .is_some_and(|words| words.contains("The disruption budget web needs 1 healthy pods"))
    })
    .await;
    // There are enough of them now.
    let mut second = pod("web-2");
    second["spec"]["nodeName"] = json!("n2");
    world.fake.objects().create(&Resource::pods(), second).expect("a pod");
    until("it goes", || goes(&world)).await;
}

#[tokio::test]
async fn two_budgets_for_one_pod_are_no_use_to_ask_again() {
    let world = world().await;
    world.fake.objects().create(&Resource::pods(), pod("web-1")).expect("a pod");
    for name in ["one", "two"] {
        world.fake.objects().create(&Resource::disruption_budgets(), budget(name, 0)).expect("one");
    }
    cordon(&world, &["n1"]);
    until("it is cordoned", || is_ours(&world, "n1")).await;
    let id = evict(&world, "web-1").await;
    until("it stays", || {
        let stays = tenant(&world, "web-1").and_then(|tenant| tenant.stays_because);
        stays.is_some_and(|words| words.contains("more than one PodDisruptionBudget"))
    })
    .await;
    world.kube.evict(&id);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.calls("create", "pods/eviction"), 1);
}

#[tokio::test]
async fn who_waits_is_not_asked_any_more_when_the_node_is_used_again() {
    let world = world().await;
    world.fake.objects().create(&Resource::pods(), pod("web-1")).expect("a pod");
    world.fake.objects().create(&Resource::disruption_budgets(), budget("web", 1)).expect("one");
    cordon(&world, &["n1"]);
    until("it is cordoned", || is_ours(&world, "n1")).await;
    evict(&world, "web-1").await;
    until("it is asked", || world.calls("create", "pods/eviction") > 0).await;
    cordon(&world, &[]);
    until("it is used again", || seen(&world, "n1").stage == NodeStage::Ready).await;
    // Nothing holds it now, and it stays all the same.
    world
        .fake
        .objects()
        .remove(&Resource::disruption_budgets(), Some("default"), "web")
        .expect("one");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(tenant(&world, "web-1").is_some_and(|tenant| !tenant.leaves));
}
