//! What people do to pods by hand, and other hubs.

use std::time::Duration;

use fake_kube::Resource;
use muster_cluster::kube::KubeConfig;
use muster_cluster::{Cluster, Launch};
use muster_core::ObservedState;
use muster_core::instance::Whose;
use serde_json::{Value, json};

use crate::world::{NAMESPACE, config, model, name, new_id, until, world};

fn pod(named: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": named, "namespace": NAMESPACE, "labels": labels},
        "spec": {"containers": [{"name": "model", "image": "x"}], "restartPolicy": "Never"},
    })
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_is_over_and_nobody_is_to_blame() {
    let world = world().await;
    let id = world.ready().await;
    world.remove(id);
    let cause = world.over(id).await;
    assert_ne!(cause.whose(), Whose::Model, "{cause:?}");
    assert_eq!(world.pods(), 0, "it is not made again by itself");
}

#[tokio::test]
async fn another_pod_under_its_name_is_another() {
    let world = world().await;
    let id = world.ready().await;
    let labels = world.pod(id).expect("a pod")["metadata"]["labels"].clone();
    world.remove(id);
    world.fake.objects().create(&Resource::pods(), pod(&name(id), labels)).expect("a pod");
    world.over(id).await;
    world.kube.forget(id);
    until("the other one is deleted", || world.pods() == 0).await;
}

#[tokio::test]
async fn labels_that_somebody_takes_away_are_put_back() {
    let world = world().await;
    let id = world.ready().await;
    for (label, value) in [
        ("muster.dev/hub", json!("other")),
        ("muster.dev/instance", json!("00000000-0000-0000-0000-00000000ffff")),
    ] {
        world.write(id, |pod| pod["metadata"]["labels"][label] = value);
        let is_back = || {
            let labels = world.pod(id).expect("a pod")["metadata"]["labels"].clone();
            labels["muster.dev/hub"] == "h1" && labels["muster.dev/instance"] == id.to_string()
        };
        until("its labels are back", is_back).await;
        assert!(world.is_ready(id));
    }
    assert_eq!(world.kube.observe().len(), 1);
}

#[tokio::test]
async fn what_only_says_that_it_is_the_hubs_is_deleted() {
    let world = world().await;
    let id = world.ready().await;
    let labels = json!({"muster.dev/hub": "h1", "muster.dev/instance": id.to_string()});
    for named in ["made-by-hand".to_owned(), format!("other-{id}")] {
        world.fake.objects().create(&Resource::pods(), pod(&named, labels.clone())).expect("a pod");
    }
    let other = pod("of-another", json!({"muster.dev/hub": "h2"}));
    world.fake.objects().create(&Resource::pods(), other).expect("a pod");
    until("both are deleted", || world.pods() == 2).await;
    assert!(world.is_ready(id));
    assert_eq!(world.kube.observe().len(), 1);
}

#[tokio::test]
async fn a_pod_that_is_in_no_books_is_told_and_goes_when_it_is_stopped() {
    let world = world().await;
    let id = new_id();
    let labels = json!({"muster.dev/hub": "h1", "muster.dev/instance": id.to_string()});
    world.fake.objects().create(&Resource::pods(), pod(&name(id), labels)).expect("a pod");
    until("it is told", || world.kube.find(id).is_some()).await;
    world.kube.stop(id, Duration::ZERO);
    world.kube.forget(id);
    until("it is deleted", || world.pods() == 0).await;
    until("nothing is known of it", || world.kube.find(id).is_none()).await;
}

#[tokio::test]
async fn two_hubs_in_one_namespace_leave_each_other_alone() {
    let world = world().await;
    let other = world.another(KubeConfig { hub: "h2".into(), ..config() }).await;
    let ours = world.ready().await;
    let theirs = new_id();
    other.launch(Launch::anywhere(theirs, model()));
    world.made(theirs).await;
    world.run(theirs);
    let is_ready =
        || other.find(theirs).is_some_and(|it| matches!(it.state, ObservedState::Ready { .. }));
    until("the other hub sees what came after ours", is_ready).await;
    assert_eq!(other.find(ours), None);
    let fake = pod("made-by-hand", json!({"muster.dev/hub": "h1"}));
    world.fake.objects().create(&Resource::pods(), fake).expect("a pod");
    until("what came after theirs is deleted", || world.pods() < 3).await;
    let goes =
        |id| world.pod(id).is_none_or(|pod| pod["metadata"]["deletionTimestamp"].is_string());
    assert_eq!((world.kube.find(theirs), goes(theirs)), (None, false));
    world.kube.stop(theirs, Duration::ZERO);
    world.kube.forget(theirs);
    world.kube.stop(ours, Duration::ZERO);
    until("its own is deleted, which was asked for later", || goes(ours)).await;
    assert!(!goes(theirs));
    let room = || {
        let tenants = world.kube.around().tenants;
        tenants.iter().map(|it| it.id.0.clone()).collect::<Vec<_>>()
    };
    until("they hold room", || room() == [format!("{NAMESPACE}/{}", name(theirs))]).await;
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_told() {
    let world = world().await;
    let id = new_id();
    let foreign = pod(&name(id), json!({"app": "x"}));
    world.fake.objects().create(&Resource::pods(), foreign).expect("a pod");
    world.kube.launch(Launch::anywhere(id, model()));
    let cause = world.over(id).await;
    assert!(cause.to_string().contains("that is not the hub's is there already"), "{cause}");
    world.kube.forget(id);
    let fake = pod("made-by-hand", json!({"muster.dev/hub": "h1"}));
    world.fake.objects().create(&Resource::pods(), fake).expect("a pod");
    let objects = world.fake.objects();
    let is_there = || objects.get(&Resource::pods(), Some(NAMESPACE), "made-by-hand").is_some();
    until("it is made", is_there).await;
    until("what the hub deletes later is gone", || !is_there()).await;
    assert!(world.pod(id).is_some(), "it is left alone");
}

#[tokio::test]
async fn what_a_later_planning_hub_made_is_left_to_it() {
    let world = world().await;
    world.kube.lead(4);
    let (stray, mine) = (new_id(), new_id());
    let labels = |id| json!({"muster.dev/hub": "h1", "muster.dev/instance": format!("{id}")});
    let make = |named: &str, id, epoch: &str| {
        let mut pod = pod(named, labels(id));
        pod["metadata"]["annotations"] = json!({"muster.dev/epoch": epoch});
        world.fake.objects().create(&Resource::pods(), pod).expect("a pod");
    };
    make(&name(stray), stray, "5");
    make(&name(mine), mine, "4");
    make("fake-of-5", new_id(), "5");
    make("fake-of-4", new_id(), "4");
    until("both are told", || world.kube.find(stray).is_some() && world.kube.find(mine).is_some())
        .await;
    assert!(world.kube.sweep(mine), "its own go");
    assert!(!world.kube.sweep(stray), "it is not this hub's to end");
    let is_there =
        |named: &str| world.fake.objects().get(&Resource::pods(), Some(NAMESPACE), named).is_some();
    until("those of its own time are gone", || !is_there(&name(mine)) && !is_there("fake-of-4"))
        .await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert!(is_there(&name(stray)) && is_there("fake-of-5"));
    assert!(world.kube.find(stray).is_some());
    // It plans again, and its books are the newest.
    world.kube.lead(6);
    assert!(world.kube.sweep(stray));
    until("all are gone", || world.pods() == 0).await;
}

/// A hub that hears nothing of nodes any more does not know those that came since.
#[tokio::test]
async fn a_pod_on_a_node_that_no_watch_showed_gets_its_grace() {
    let world = world().await;
    world.settled().await;
    let id = world.ready().await;
    until("nodes are watched", || world.calls("watch", "nodes") > 0).await;
    world
        .fake
        .faults()
        .set(fake_kube::Fault::new(fake_kube::What::Freeze).verb("watch").resource("nodes"));
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}});
    world.fake.objects().create(&Resource::nodes(), node).expect("a node");
    world.write(id, |pod| pod["metadata"]["finalizers"] = json!(["example.org/test"]));
    world.kube.stop(id, Duration::from_secs(30));
    let deletes = || world.calls("delete", "pods");
    until("it is asked to end", || deletes() == 1).await;
    // It is looked every ten seconds whether its node is there.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(deletes(), 1, "its node is there");
    world.fake.objects().remove(&Resource::nodes(), None, "node-1").expect("a node");
    until("it is ended without its node", || deletes() == 2).await;
}
