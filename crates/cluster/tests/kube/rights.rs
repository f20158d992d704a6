use std::collections::BTreeMap;
use std::time::Duration;

use fake_kube::{Config, FakeKube, Fault, Resource, Tls, User, What};
use muster_cluster::kube::{Kube, KubeConfig, KubeError, client};
use muster_cluster::{Cluster, Sight};
use serde_json::{Value, json};

use crate::world::{NAMESPACE, until, world, world_of};

/// A cluster in which the token is of somebody who may do nothing.
fn of_nobody() -> Config {
    let user = User::service_account(NAMESPACE, "hub");
    Config { tokens: BTreeMap::from([("t".to_owned(), user)]), ..Config::default() }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let Err(error) = world_of(of_nobody(), Some("t"), |config| config).await else {
        panic!("it may do nothing");
    };
    let words = error.to_string();
    assert!(matches!(error, KubeError::Rights { .. }), "{words}");
    for part in ["create pods", "delete pods", NAMESPACE, "docs/kubernetes.md"] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[tokio::test]
async fn a_template_with_nonsense_stops_the_start_and_says_why() {
    for (template, why) in [
        (json!({"spec": {"hostNetwork": true}}), "hostNetwork"),
        (json!({"spec": {"containers": [{"image": "x"}]}}), "has no name"),
        (json!({"metadata": {"labels": {"team": "a b"}}}), "a b"),
    ] {
        let shown: Value = template.clone();
        let started = world_of(Config::default(), None, |config| KubeConfig { template, ..config });
        let Err(error) = started.await else { panic!("{shown} is taken") };
        assert!(matches!(error, KubeError::Template(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_there_and_a_name_that_is_none_are_told() {
    let namespace = |config| KubeConfig { namespace: "nowhere".into(), ..config };
    let error = world_of(Config::default(), None, namespace).await.err().expect("it is not there");
    assert!(matches!(error, KubeError::Namespace { .. }), "{error}");
    let hub = |config| KubeConfig { hub: "my hub".into(), ..config };
    let error = world_of(Config::default(), None, hub).await.err().expect("it is no label");
    assert!(matches!(error, KubeError::Hub(_)), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_believed() {
    let tls =
        || Config { tls: Some(Tls::throwaway().expect("a certificate")), ..Config::default() };
    let world = world_of(tls(), None, |config| config).await.expect("a hub");
    world.made(world.launch()).await;
    let other = FakeKube::start(tls()).await.expect("a cluster");
    let read = |fake: &FakeKube| -> Value {
        serde_json::from_str(&fake.kubeconfig()).expect("a kubeconfig is JSON as well")
    };
    let mut kubeconfig = read(&world.fake);
    let authority = "/clusters/0/cluster/certificate-authority-data";
    kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"] =
        read(&other).pointer(authority).expect("an authority").clone();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).expect("a file");
    let client = client(Some(&path), None).await.expect("a client");
    let started = Kube::start(client, crate::world::config(), crate::world::now()).await;
    let error = started.err().expect("it is another's");
    assert!(matches!(error, KubeError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn a_hub_that_starts_while_the_api_is_away_waits_for_it() {
    let world = world().await;
    let away = Fault::new(What::Away).lasting(Duration::from_millis(1500));
    world.fake.faults().set(away);
    let hub = world.another(KubeConfig { hub: "h2".into(), ..crate::world::config() }).await;
    assert!(hub.around().unseen().is_some(), "nothing is seen yet");
    let id = crate::world::new_id();
    hub.launch(muster_cluster::Launch::anywhere(id, crate::world::model()));
    world.made(id).await;
    until("all is seen", || hub.around().unseen().is_none()).await;
}

#[tokio::test]
async fn a_policy_about_images_does_not_stop_the_start() {
    let world = world().await;
    let refuse = |words: &str| {
        let refuse = Fault::new(What::Refuse { message: words.to_owned() });
        world.fake.faults().set(refuse.verb("create").resource("pods").times(1));
    };
    refuse(
        "admission webhook \"images.example.org\" denied the request: registry.invalid is not ours",
    );
    let hub = world.another(crate::world::config()).await;
    assert!(hub.observe().is_empty());
    refuse("pods \"any\" is forbidden: no PriorityClass with name low was found");
    let error = world.join(crate::world::config()).await.err().expect("that is of the template");
    assert!(matches!(error, KubeError::Template(_)), "{error}");
}

#[tokio::test]
async fn a_kubeconfig_that_is_none_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("kubeconfig");
    let error =
        |path| async move { client(Some(path), None).await.err().expect("it is none").to_string() };
    assert!(error(&path).await.contains("kubeconfig"), "it is not there");
    std::fs::write(&path, "clusters: 5").expect("a file");
    assert!(error(&path).await.starts_with("the kubeconfig cannot be used"));
}

#[tokio::test]
async fn nodes_and_who_is_on_them_are_seen() {
    let world = world().await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-28T14:00:00Z"}],
        },
    });
    let foreign = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "namespace": "default"},
        "spec": {"nodeName": "node-1", "containers": [
            {"name": "c", "image": "x", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
        "status": {"phase": "Running"},
    });
    let objects = world.fake.objects();
    objects.create(&Resource::nodes(), node).expect("a node");
    objects.create(&Resource::pods(), foreign).expect("a pod");
    let ours = world.ready().await;
    until("both are seen", || {
        let around = world.kube.around();
        around.nodes.len() == 1 && around.tenants.len() == 1
    })
    .await;
    let around = world.kube.around();
    assert!(around.nodes[0].is_open() && around.nodes[0].allocatable.cpu == 4000, "{around:?}");
    assert_eq!(around.tenants[0].ask.amounts.cpu, 1000);
    assert!(around.unseen().is_none());
    assert!(
        std::sync::Arc::ptr_eq(&around.tenants, &world.kube.around().tenants),
        "it is made once"
    );
    let ends = |pod: &mut Value| pod["status"]["phase"] = json!("Succeeded");
    objects.change(&Resource::pods(), Some("default"), "db", ends).expect("a pod");
    until("it holds no room", || world.kube.around().tenants.is_empty()).await;
    assert!(world.is_ready(ours));
}

#[tokio::test]
async fn with_rights_on_its_pods_alone_it_works_without_all_else() {
    let world = world_of(of_nobody(), None, |config| config).await.expect("an administrator's");
    let rules = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
    ]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "hub", "namespace": NAMESPACE}, "rules": rules});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "hub", "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub"},
        "subjects": [{"kind": "ServiceAccount", "name": "hub", "namespace": NAMESPACE}]});
    let objects = world.fake.objects();
    objects.create(&Resource::roles(), role).expect("a role");
    objects.create(&Resource::role_bindings(), binding).expect("a binding");
    let hub = world.another_as("t", crate::world::config()).await;
    let forbidden = |what: &str| {
        let around = hub.around();
        around
            .watches
            .iter()
            .any(|it| it.what == what && matches!(it.sight, Sight::Forbidden { .. }))
    };
    until("nodes are forbidden", || forbidden("nodes") && forbidden("pods of others")).await;
    let around = hub.around();
    assert!(around.unseen().is_none(), "{around:?}");
    let id = crate::world::new_id();
    hub.launch(muster_cluster::Launch::anywhere(id, crate::world::model()));
    world.made(id).await;
    world.run(id);
    until("it is ready", || {
        hub.find(id)
            .is_some_and(|seen| matches!(seen.state, muster_core::ObservedState::Ready { .. }))
    })
    .await;
    for _ in 0..30 {
        assert_eq!(hub.log(id, 0).bytes, b"");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        world.calls("get", "pods/log"),
        1,
        "it is not asked all the time for what is forbidden"
    );
    assert_eq!(world.calls("list", "events"), 4, "of pods and of nodes, by two hubs");
}
