use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use muster_core::{EndCause, InstanceId, ObservedState, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::make::{any_model, name};
use super::pods::{Named, Pods, Stopped, Todo, instance_of};
use crate::Launch;

const ID: InstanceId = InstanceId(Uuid::from_u128(7));

fn pods() -> Pods {
    let micros = AtomicI64::new(0);
    Pods::new(Arc::new(move || Timestamp(micros.fetch_add(1, Ordering::Relaxed))))
}

fn launched() -> Pods {
    let pods = pods();
    let model = any_model().expect("a model");
    assert!(pods.enter(Launch::anywhere(ID, Arc::new(model))), "it has no pod yet");
    pods
}

fn its_name() -> String {
    name(&"any".parse().expect("a model"), ID)
}

fn pod(uid: &str, status: Value) -> Pod {
    let pod = json!({
        "metadata": {"name": its_name(), "uid": uid, "labels": {"muster.dev/instance": ID.to_string()}},
        "spec": {"nodeName": "n", "containers": [{"name": "model", "image": "x"}]},
        "status": status,
    });
    serde_json::from_value(pod).expect("a pod")
}

fn deleted(uid: &str, grace: i64) -> Pod {
    let mut pod = json!(pod(uid, json!({"phase": "Running"})));
    pod["metadata"]["deletionTimestamp"] = json!("2026-11-28T14:00:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    serde_json::from_value(pod).expect("a pod")
}

fn is_over(pods: &Pods) -> bool {
    pods.find(ID).is_some_and(|seen| matches!(seen.state, ObservedState::Ended { .. }))
}

fn named(uid: &str) -> Named {
    Named { name: its_name(), uid: uid.to_owned() }
}

#[test]
fn a_list_that_is_older_than_a_pod_does_not_end_it() {
    let pods = launched();
    let asked = Instant::now();
    assert_eq!(pods.saw(pod("a", json!({"phase": "Pending"})), true), []);
    assert_eq!(pods.all(Vec::new(), asked), [], "the list was asked for before it was made");
    let later = Instant::now() + Duration::from_secs(1);
    assert_eq!(pods.all(Vec::new(), later), [Todo::Check(ID)], "this one should have it");
    assert!(!is_over(&pods), "it is looked for first");
    assert_eq!(pods.is_gone(ID, &named("a")), Some(Todo::End(ID)));
    assert!(!is_over(&pods), "its last words come first");
    pods.ended(ID, None);
    assert!(is_over(&pods));
    assert_eq!(pods.forget(ID), None, "nothing is left of it");
}

#[test]
fn the_watch_is_ahead_of_an_answer() {
    let pods = launched();
    let ready = json!({"phase": "Running", "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}]});
    pods.saw(pod("a", ready), false);
    pods.saw(pod("a", json!({"phase": "Pending"})), true);
    assert!(matches!(pods.find(ID).map(|it| it.state), Some(ObservedState::Ready { .. })));
}

#[test]
fn an_end_is_told_once_and_is_final() {
    let pods = launched();
    let mut changed = pods.changed();
    let failed = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
    assert_eq!(pods.saw(pod("a", failed.clone()), false), [Todo::End(ID)]);
    assert_eq!(pods.saw(pod("a", failed), false), []);
    pods.ended(ID, None);
    changed.mark_unchanged();
    pods.ended(ID, Some(EndCause::Preempted));
    pods.saw(pod("a", json!({"phase": "Running"})), false);
    let state = pods.find(ID).map(|it| it.state);
    assert!(
        matches!(state, Some(ObservedState::Ended { cause: EndCause::Evicted { .. } })),
        "{state:?}"
    );
    assert!(!changed.has_changed().expect("it goes on"));
    assert_eq!(pods.forget(ID), Some(named("a")), "its pod is still there");
    assert_eq!(pods.saw(deleted("a", 0), false), [], "what is buried is no stray");
    assert_eq!(pods.find(ID), None);
    pods.gone(&deleted("a", 0));
    assert!(!pods.is_buried(&named("a")));
}

#[test]
fn what_does_not_end_after_its_grace_is_given_up() {
    let pods = launched();
    assert!(matches!(pods.stop(ID, Duration::from_secs(5)), Stopped::Unmade));
    pods.saw(deleted("a", 30), false);
    let after = |seconds| {
        let at = Instant::now() + Duration::from_secs(seconds);
        pods.with(ID, |entry| entry.overdue(at, Duration::from_secs(60))).flatten()
    };
    assert_eq!(after(85), None);
    assert_eq!(after(95), Some(Todo::End(ID)));
    pods.ended(ID, None);
    let state = pods.find(ID).map(|it| it.state);
    let asked = EndCause::Retired { why: "it was asked to stop".into() };
    assert_eq!(state, Some(ObservedState::Ended { cause: asked }));
}

#[test]
fn only_what_changes_what_is_told_is_news() {
    let pods = launched();
    pods.saw(pod("a", json!({"phase": "Pending"})), false);
    let mut changed = pods.changed();
    changed.mark_unchanged();
    pods.saw(pod("a", json!({"phase": "Pending", "qosClass": "Burstable"})), false);
    assert!(!changed.has_changed().expect("it goes on"));
    pods.saw(
        pod(
            "a",
            json!({"phase": "Pending", "conditions": [
        {"type": "PodReadyToStartContainers", "status": "True"}]}),
        ),
        false,
    );
    assert!(changed.has_changed().expect("it goes on"));
}

#[test]
fn an_instance_is_known_by_the_name_of_its_pod() {
    let id = ID.to_string();
    assert_eq!(instance_of(&its_name()), Some(ID));
    for other in [
        "x",
        "",
        &id,
        &format!("x{id}"),
        &format!("x-{}", id.replace('-', "")),
        &format!("x-{id}-y"),
    ] {
        assert_eq!(instance_of(other), None, "{other}");
    }
    let pods = launched();
    let mut other = pod("a", json!({}));
    other.metadata.name = Some(format!("other-{id}"));
    assert!(
        matches!(&pods.saw(other, false)[..], [Todo::Fake(..)]),
        "it has a pod of another name"
    );
}

/// As long as it may reach others it gets no input; the last words of our model server are why it did not start.
#[test]
fn a_pod_that_prepares_says_so_and_is_ready_once_its_network_is_closed() {
    let pods = launched();
    let running = |ready: &str, prepares: bool| {
        let status = json!({
            "phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "model", "image": "x", "imageID": "x", "ready": true,
                "restartCount": 0, "state": {"running": {}}}],
        });
        let mut pod = pod("a", status);
        if prepares {
            let labels = pod.metadata.labels.get_or_insert_default();
            labels.insert("muster.dev/prepares".into(), "true".into());
        }
        pod
    };
    let state = || pods.find(ID).expect("it is known").state;
    pods.saw(running("False", true), false);
    pods.with(ID, |entry| entry.log.push(b"2026-11-28T14:00:00Z preparing: step 1 of 2\n"));
    pods.wrote(ID);
    assert_eq!(state(), ObservedState::Preparing { doing: "step 1 of 2".into() });
    assert_eq!(pods.saw(running("True", true), false), [Todo::Close(ID)]);
    assert!(matches!(state(), ObservedState::Starting { .. }), "{:?}", state());
    assert_eq!(pods.saw(running("True", true), false), [], "it is being closed already");
    pods.saw(running("True", false), false);
    assert!(matches!(state(), ObservedState::Ready { .. }), "{:?}", state());

    let pods = launched();
    let words = r#"{"failed": {"reason": "no index", "fault": "passing"}}"#;
    let ended = json!({"phase": "Failed", "containerStatuses": [{"name": "model", "image": "x",
        "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 1, "reason": "Error", "message": words}}}]});
    pods.saw(pod("a", ended), false);
    pods.ended(ID, None);
    let cause = EndCause::not_started_now("no index");
    assert_eq!(pods.find(ID).expect("it is known").state, ObservedState::Ended { cause });
}
