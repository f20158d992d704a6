//! Cordons: nodes that get nothing new because the hub says so, with its mark on them.
//!
//! What is wanted is compared with what is seen, again and again: a hub that dies in the middle is followed by one
//! that goes on. What others wrote on a node stays as it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use muster_core::Timestamp;
use muster_core::pointer::escaped;
use muster_core::room::{NodeId, NodeStage};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::Inner;
use super::client::Failed;
use crate::{Cordon, Now};

/// The hub's own, with its name as the value: `node.kubernetes.io/unschedulable` is everybody's.
pub(super) const TAINT: &str = "muster.dev/cordoned";
/// Since when, and which hub's it is.
const SINCE: &str = "muster.dev/cordoned";
const BY: &str = "muster.dev/cordoned-by";
/// How often it is looked without anything having changed.
const LOOK: Duration = Duration::from_secs(60);
/// A node that changes all the time is written so often before that is a failure.
const TRIES: u32 = 5;

/// Which nodes shall get nothing new. None: this hub does not decide it.
pub(super) struct Cordons {
    wanted: watch::Sender<Option<BTreeMap<NodeId, String>>>,
    now: Now,
    /// What was said of a node that cannot be written, so that it is said once.
    said: Mutex<BTreeMap<NodeId, String>>,
}

impl Cordons {
    pub(super) fn new(now: Now) -> Self {
        Self { wanted: watch::Sender::new(None), now, said: Mutex::default() }
    }

    pub(super) fn want(&self, nodes: Option<Vec<Cordon>>) {
        let nodes = nodes.map(|nodes| nodes.into_iter().map(|it| (it.node, it.why)).collect());
        self.wanted.send_if_modified(|wanted| {
            let is_other = *wanted != nodes;
            *wanted = nodes;
            is_other
        });
    }

    pub(super) fn is_wanted(&self, node: &NodeId) -> bool {
        self.wanted.borrow().as_ref().is_some_and(|wanted| wanted.contains_key(node))
    }
}

/// Since when the node has the mark of the hub, if it has it.
pub(super) fn mark(node: &Node, hub: &str) -> Option<Timestamp> {
    let annotations = node.metadata.annotations.as_ref();
    let says = |key: &str| annotations.and_then(|all| all.get(key)).map(String::as_str);
    if says(BY) == Some(hub) {
        let since = says(SINCE).and_then(|text| text.parse().ok());
        return Some(since.unwrap_or_default());
    }
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let is_ours = taints.any(|taint| taint.key == TAINT && taint.value.as_deref() == Some(hub));
    is_ours.then(Timestamp::default)
}

/// Keeps the marks as they are wanted.
pub(super) async fn keep(inner: Arc<Inner>) {
    let mut wanted = inner.cordons.wanted.subscribe();
    let mut changes = inner.around.nodes_change.subscribe();
    let mut pause = DefaultBackoff::default();
    loop {
        match write_all(&inner).await {
            true => {
                pause.reset();
                tokio::select! {
                    changed = wanted.changed() => if changed.is_err() { return },
                    changed = changes.changed() => if changed.is_err() { return },
                    () = sleep(LOOK) => {}
                }
            }
            // Nodes change all the time: what fails waits.
            false => tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = sleep(pause.next().unwrap_or(LOOK)) => {}
            },
        }
    }
}

/// False: not all of them are as they should be.
async fn write_all(inner: &Inner) -> bool {
    let Some(wanted) = inner.cordons.wanted.borrow().clone() else { return true };
    // What is not known for certain is not written.
    if inner.around.nodes_eye.heard_at().is_none() {
        return true;
    }
    let nodes = inner.around.nodes.all();
    let others = nodes.iter().filter_map(|seen| {
        let why = wanted.get(&seen.view.id);
        let is_theirs = matches!(
            seen.view.stage,
            NodeStage::Cordoned { ours: false, .. } | NodeStage::Leaving { .. }
        );
        match (why, seen.is_marked) {
            (Some(why), false) if !is_theirs => Some((&seen.view.id, Some(why.as_str()))),
            (None, true) => Some((&seen.view.id, None)),
            _ => None,
        }
    });
    let written = others.map(|(node, why)| async move {
        let written = write(inner, node, why).await;
        let mut said = inner.cordons.said.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => {
                said.remove(node);
                true
            }
            Err(failed) => {
                let words = failed.to_string();
                if said.insert(node.clone(), words.clone()).is_none_or(|before| before != words) {
                    let cordon = why.is_some();
                    tracing::error!(%node, cordon, why = words, "the node is not marked as it should be yet");
                }
                false
            }
        }
    });
    join_all(written).await.into_iter().all(|done| done)
}

/// Cordons the node, or takes the hub's cordon away.
async fn write(inner: &Inner, node: &NodeId, why: Option<&str>) -> Result<(), Failed> {
    let path = format!("/api/v1/nodes/{node}");
    let hub = &inner.config.hub;
    let mut tries = 0;
    loop {
        let Ok(_one_of_few) = inner.patches.acquire().await else { return Ok(()) };
        let found: Result<Value, Failed> = inner.calls.call(Method::GET, &path, None).await;
        let found = match found {
            Err(failed) if failed.is(404) => return Ok(()),
            found => found?,
        };
        let patch = match why {
            Some(_) => cordoned(&found, hub, (inner.cordons.now)()),
            None => uncordoned(&found, hub),
        };
        let Some(patch) = patch else { return Ok(()) };
        let done: Result<Value, Failed> =
            inner.calls.call(Method::PATCH, &path, Some(&patch)).await;
        tries += 1;
        match done {
            Ok(_) => {
                tracing::info!(%node, why, "its mark in the cluster is written");
                return Ok(());
            }
            // It was changed since it was read: the test of its version says so.
            Err(failed) if (failed.is(409) || failed.is(422)) && tries < TRIES => {}
            Err(failed) => return Err(failed),
        }
    }
}

/// The steps by which a node gets nothing new; none if it is so already, or somebody else's doing.
fn cordoned(node: &Value, hub: &str, now: Timestamp) -> Option<Value> {
    let is_ours = node["metadata"]["annotations"][BY] == hub;
    let is_closed = node["spec"]["unschedulable"] == true;
    if is_ours || is_closed {
        return None;
    }
    let mut steps = tested(node)?;
    if !node["metadata"]["annotations"].is_object() {
        steps.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
    }
    for (key, value) in [(SINCE, now.to_string()), (BY, hub.to_owned())] {
        steps.push(json!({"op": "add", "path": annotation(key), "value": value}));
    }
    let mut taints = others(node, hub);
    taints.push(json!({"key": TAINT, "value": hub, "effect": "NoSchedule"}));
    steps.push(json!({"op": "add", "path": "/spec/taints", "value": taints}));
    steps.push(json!({"op": "add", "path": "/spec/unschedulable", "value": true}));
    Some(Value::Array(steps))
}

/// The steps that take away what the hub wrote, and nothing else.
fn uncordoned(node: &Value, hub: &str) -> Option<Value> {
    let annotations = &node["metadata"]["annotations"];
    let is_ours = annotations[BY] == hub;
    let taints = others(node, hub);
    let all = node["spec"]["taints"].as_array().map_or(0, Vec::len);
    if !is_ours && taints.len() == all {
        return None;
    }
    let mut steps = tested(node)?;
    if is_ours {
        for key in [SINCE, BY].into_iter().filter(|key| !annotations[*key].is_null()) {
            steps.push(json!({"op": "remove", "path": annotation(key)}));
        }
        if !node["spec"]["unschedulable"].is_null() {
            steps.push(json!({"op": "remove", "path": "/spec/unschedulable"}));
        }
    }
    if taints.len() < all {
        steps.push(json!({"op": "add", "path": "/spec/taints", "value": taints}));
    }
    Some(Value::Array(steps))
}

/// A list of taints is written as a whole: only if nobody wrote the node since it was read.
fn tested(node: &Value) -> Option<Vec<Value>> {
    let version = node["metadata"]["resourceVersion"].as_str()?;
    Some(vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})])
}

fn others(node: &Value, hub: &str) -> Vec<Value> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.filter(|taint| taint["key"] != TAINT || taint["value"] != hub).cloned().collect()
}

fn annotation(key: &str) -> String {
    format!("/metadata/annotations/{}", escaped(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(spec: Value, annotations: Value) -> Value {
        json!({"metadata": {"name": "n1", "resourceVersion": "7", "annotations": annotations}, "spec": spec})
    }

    fn steps(patch: Option<Value>) -> Vec<(String, String, Value)> {
        let text = |it: &Value| it.as_str().expect("text").to_owned();
        let patch = patch.expect("a patch");
        let steps = patch.as_array().expect("steps").iter();
        steps.map(|it| (text(&it["op"]), text(&it["path"]), it["value"].clone())).collect()
    }

    #[test]
    fn a_cordon_keeps_what_others_wrote_and_is_taken_away_as_a_whole() {
        let foreign = json!({"key": "gpu", "value": "a", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"});
        let before = node(json!({"taints": [foreign]}), Value::Null);
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let made = steps(cordoned(&before, "h1", now));
        assert_eq!(made[0], ("test".into(), "/metadata/resourceVersion".into(), json!("7")));
        assert_eq!(made[1].1, "/metadata/annotations");
        let taints = made.iter().find(|step| step.1 == "/spec/taints").expect("taints");
        let ours = json!({"key": TAINT, "value": "h1", "effect": "NoSchedule"});
        assert_eq!(taints.2, json!([foreign, ours]));
        assert!(made.iter().any(|step| step.1 == "/spec/unschedulable" && step.2 == true));

        let marks = json!({SINCE: now.to_string(), BY: "h1", "other": "x"});
        let after = node(json!({"taints": [ours, foreign], "unschedulable": true}), marks);
        assert_eq!(cordoned(&after, "h1", now), None, "it is so already");
        let undone = steps(uncordoned(&after, "h1"));
        let removed: Vec<&str> =
            undone.iter().filter(|step| step.0 == "remove").map(|step| step.1.as_str()).collect();
        let annotations =
            ["cordoned", "cordoned-by"].map(|it| format!("/metadata/annotations/muster.dev~1{it}"));
        assert_eq!(removed, [annotations[0].as_str(), &annotations[1], "/spec/unschedulable"]);
        let taints = undone.iter().find(|step| step.1 == "/spec/taints").expect("taints");
        assert_eq!(taints.2, json!([foreign]));
    }

    #[test]
    fn what_is_not_the_hubs_is_left_alone() {
        let closed = node(json!({"unschedulable": true}), Value::Null);
        assert_eq!(
            cordoned(&closed, "h1", Timestamp::default()),
            None,
            "somebody else cordoned it"
        );
        assert_eq!(uncordoned(&closed, "h1"), None);
        let taint = json!({"key": TAINT, "value": "h2", "effect": "NoSchedule"});
        let other = node(json!({"unschedulable": true, "taints": [taint]}), json!({BY: "h2"}));
        assert_eq!(uncordoned(&other, "h1"), None, "it is another hub's");
        // Somebody uncordoned it by hand and left the rest.
        let taint = json!({"key": TAINT, "value": "h1", "effect": "NoSchedule"});
        let open = node(json!({"taints": [taint]}), Value::Null);
        assert_eq!(
            steps(uncordoned(&open, "h1"))[1],
            ("add".into(), "/spec/taints".into(), json!([]))
        );
        let read: Node = serde_json::from_value(open).expect("a node");
        assert_eq!((mark(&read, "h1"), mark(&read, "h2")), (Some(Timestamp::default()), None));
    }
}
