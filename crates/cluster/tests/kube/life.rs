use std::time::Duration;

use fake_kube::{Config, Resource};
use muster_cluster::kube::KubeConfig;
use muster_cluster::{Cluster, Launch};
use muster_core::instance::Whose;
use muster_core::news::Usage;
use muster_core::waits::{Reason, Scheduler, Waits};
use muster_core::{Address, EndCause, ObservedState};
use serde_json::json;

use crate::world::{NAMESPACE, model, name, new_id, until, world, world_of};

#[tokio::test]
async fn an_instance_is_a_pod_from_its_making_to_its_end() {
    let world = world().await;
    let id = world.launch();
    let pod = world.made(id).await;
    assert_eq!(pod["metadata"]["labels"]["muster.dev/hub"], "h1");
    world.write(id, |pod| {
        let message = "0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
        pod["status"]["conditions"] = json!([
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message},
        ]);
    });
    let reasons = vec![Reason { nodes: 2, why: "Insufficient memory".into() }];
    let waits = Waits::Scheduler(Scheduler::Unschedulable(reasons));
    let says = |wanted: &Waits| matches!(world.state(id), Some(ObservedState::Starting { waits, .. }) if waits == *wanted);
    until("it says what the scheduler says", || says(&waits)).await;

    world.run(id);
    until("it is ready", || world.is_ready(id)).await;
    let address = Address::Url("http://10.0.0.7:80".into());
    assert_eq!(world.state(id), Some(ObservedState::Ready { address: address.clone() }));
    assert!(world.kube.is_at(id, &address));
    assert!(!world.kube.is_at(id, &Address::Url("http://10.0.0.8:80".into())), "another pod's");
    let news = world.kube.news(id);
    assert_eq!(news.node.as_deref(), Some("node-1"));
    let shown = news.pod.expect("what kubectl says");
    assert_eq!(shown.status, "Running");
    assert_eq!(shown.raw["status"]["podIP"], "10.0.0.7");
    assert_eq!(world.kube.news(id).pod, None, "it is told once");

    world.write(id, |pod| pod["status"]["conditions"][1]["status"] = json!("False"));
    let idle = |state| matches!(state, Some(ObservedState::Starting { doing, .. }) if doing == "it is not ready");
    until("it is not ready any more", || idle(world.state(id))).await;

    let uid = pod["metadata"]["uid"].as_str().expect("a uid");
    for line in ["loading", "it fell over"] {
        world.fake.logs().line(uid, "model", line);
    }
    world.fake.logs().end(uid, "model");
    world.exit(id, 3);
    let cause = world.over(id).await;
    assert!(matches!(cause, EndCause::Exited { code: Some(3), .. }), "{cause:?}");
    assert!(!world.kube.is_at(id, &address));
    let log = world.kube.log(id, 0);
    assert_eq!(String::from_utf8_lossy(&log.bytes), "loading\nit fell over\n");
    assert_eq!(world.kube.log(id, 8).bytes, b"it fell over\n");
    assert!(world.pod(id).is_some(), "its end is not written down yet");
    world.kube.forget(id);
    until("its pod is deleted", || world.pod(id).is_none()).await;
    assert_eq!(world.kube.find(id), None);
}

#[tokio::test]
async fn what_it_writes_is_followed_and_its_last_words_at_a_stop_are_kept() {
    let world = world().await;
    let id = world.ready().await;
    let uid = world.pod(id).expect("a pod")["metadata"]["uid"].as_str().expect("a uid").to_owned();
    world.fake.logs().line(&uid, "model", "one");
    until("it is read", || world.kube.log(id, 0).bytes == b"one\n").await;
    world.fake.logs().line(&uid, "model", "two");
    until("it is followed", || world.kube.log(id, 4).bytes == b"two\n").await;
    assert_eq!(world.calls("get", "pods/log"), 1, "by one call");

    world.kube.stop(id, Duration::from_secs(9));
    until("it is deleted", || {
        world.pod(id).is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string())
    })
    .await;
    let pod = world.pod(id).expect("its grace is not over");
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 9);
    assert!(!world.is_over(id), "it may still run");
    world.fake.logs().line(&uid, "model", "bye");
    world.fake.logs().end(&uid, "model");
    world.remove(id);
    let cause = world.over(id).await;
    assert_eq!(cause, EndCause::Retired { why: "it was asked to stop".into() });
    assert_eq!(world.kube.log(id, 0).bytes, b"one\ntwo\nbye\n");
}

#[tokio::test]
async fn what_is_stopped_before_it_is_made_is_not_made() {
    let world = world().await;
    world.settled().await;
    world.fake.faults().set(
        fake_kube::Fault::new(fake_kube::What::TooMany { after: 1 })
            .verb("create")
            .resource("pods")
            .times(1),
    );
    let id = world.launch();
    until("it was tried", || world.calls("create", "pods") >= 2).await;
    world.kube.stop(id, Duration::from_secs(5));
    let cause = world.over(id).await;
    assert_eq!(cause.whose(), Whose::Operator);
    assert_eq!(world.pods(), 0);
    world.kube.forget(id);
    assert_eq!(world.kube.find(id), None);
}

#[tokio::test]
async fn what_is_adopted_is_looked_for_and_made_only_if_it_is_not_there() {
    let world = world().await;
    let id = world.ready().await;
    let again = world.another(crate::world::config()).await;
    let launch = |id| Launch { adopted: true, ..Launch::anywhere(id, model()) };
    again.launch(launch(id));
    let is_ready =
        |id| matches!(again.find(id).map(|seen| seen.state), Some(ObservedState::Ready { .. }));
    until("it is found", || is_ready(id)).await;
    let lost = new_id();
    again.launch(launch(lost));
    world.made(lost).await;
    assert_eq!(world.pods(), 2);
    drop(world.kube.news(id));
    assert!(world.fake.objects().get(&Resource::pods(), Some(NAMESPACE), &name(id)).is_some());
}

#[tokio::test]
async fn events_of_a_pod_and_of_its_node_are_told_once() {
    let world = world().await;
    let id = world.ready().await;
    let uid = world.pod(id).expect("a pod")["metadata"]["uid"].clone();
    let event = |named: &str, namespace: &str, about: serde_json::Value, count: u32| {
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": named, "namespace": namespace},
            "involvedObject": about, "reason": "Pulled", "message": "Successfully pulled image",
            "type": "Normal", "count": count,
            "firstTimestamp": "2036-11-28T14:00:00Z", "lastTimestamp": "2036-11-28T14:00:00Z",
        })
    };
    let objects = world.fake.objects();
    let pod = json!({"kind": "Pod", "namespace": NAMESPACE, "name": name(id), "uid": uid});
    let node = json!({"kind": "Node", "name": "node-1"});
    let other = json!({"kind": "Node", "name": "node-2"});
    for (named, namespace, about) in
        [("a", NAMESPACE, &pod), ("b", "default", &node), ("c", "default", &other)]
    {
        objects
            .create(&Resource::events(), event(named, namespace, about.clone(), 1))
            .expect("an event");
    }
    let mut told = Vec::new();
    until("both are told", || {
        told.extend(world.kube.news(id).events);
        told.len() == 2
    })
    .await;
    assert!(
        told.iter().all(|event| event.source == "kubernetes" && event.kind == "Pulled"),
        "{told:?}"
    );
    let again = |event: &mut serde_json::Value| event["count"] = json!(5);
    objects.change(&Resource::events(), Some(NAMESPACE), "a", again).expect("an event");
    let mut more = Vec::new();
    until("it happened again", || {
        more.extend(world.kube.news(id).events);
        !more.is_empty()
    })
    .await;
    assert_eq!(more.iter().map(|event| event.count).collect::<Vec<_>>(), [5]);
    assert!(told.iter().any(|event| event.uid == more[0].uid), "the same one");
}

#[tokio::test]
async fn what_it_uses_is_told_once_for_each_measurement() {
    let measures = Duration::from_millis(100);
    let often = |config| KubeConfig { measures, ..config };
    let world = world_of(Config::default(), None, often).await.expect("a hub");
    let id = new_id();
    let metrics = json!({
        "apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
        "metadata": {"name": name(id), "namespace": NAMESPACE, "labels": {"muster.dev/hub": "h1"}},
        "timestamp": "2026-11-28T14:00:00Z", "window": "15s",
        "containers": [{"name": "model", "usage": {"cpu": "250m", "memory": "12Mi"}}],
    });
    let objects = world.fake.objects();
    objects.create(&Resource::pod_metrics(), metrics).expect("metrics");
    world.kube.launch(Launch::anywhere(id, model()));
    world.made(id).await;
    let mut used = Usage::default();
    until("it is measured", || {
        used.add(&world.kube.news(id).usage);
        used.samples > 0
    })
    .await;
    let asked = world.calls("list", "pods");
    until("the same was read again and again", || world.calls("list", "pods") >= asked + 5).await;
    used.add(&world.kube.news(id).usage);
    assert_eq!(used, Usage::of(250, 12 << 20));
    let more = |metrics: &mut serde_json::Value| {
        metrics["timestamp"] = json!("2026-11-28T14:00:15Z");
        metrics["containers"][0]["usage"]["cpu"] = json!("1");
    };
    objects.change(&Resource::pod_metrics(), Some(NAMESPACE), &name(id), more).expect("metrics");
    until("it is measured again", || {
        used.add(&world.kube.news(id).usage);
        used.samples > 1
    })
    .await;
    assert_eq!((used.cpu.peak, used.memory.now), (1000, 12 << 20));
}

#[tokio::test]
async fn nothing_is_asked_while_nothing_changes() {
    let world = world().await;
    let ids = [world.ready().await, world.ready().await];
    world.settled().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.fake.faults().forget_calls();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop((world.kube.observe(), world.kube.around()));
        for id in ids {
            drop(world.kube.news(id));
            world.kube.work(id, muster_cluster::Work::default());
        }
    }
    assert_eq!(world.fake.faults().calls(), Default::default());
}
