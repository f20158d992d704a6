//! Plays the controllers of deployments and replica sets: as many pods as are wanted, and of a new template one after
//! the other, within `maxSurge` and `maxUnavailable`. What they do not know: `minReadySeconds`, paused deployments, and
//! the end of a rollout that makes no progress.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::edit::{Wanted, delete_pod, set_condition};
use super::kubelet::hash;
use super::text;
use crate::objects::key;
use crate::{Objects, Resource};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// Until it is dropped.
pub async fn run(objects: Objects) {
    let mut changes = objects.changes();
    let of = [Resource::deployments(), Resource::replica_sets(), Resource::pods()];
    loop {
        for deployment in objects.list(&of[0]).1 {
            if !is_going(&deployment) {
                roll(&objects, &deployment);
            }
        }
        for set in objects.list(&of[1]).1 {
            if !is_going(&set) {
                fill(&objects, &set);
            }
        }
        loop {
            match changes.recv().await {
                Ok(change) if of.contains(&change.of) => break,
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => break,
                Ok(_) => {}
            }
        }
        while changes.try_recv().is_ok() {}
    }
}

fn is_going(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn owned(objects: &Objects, of: &Resource, owner: &Value) -> Vec<Arc<Value>> {
    let uid = &owner["metadata"]["uid"];
    let is_owner = |it: &Value| {
        it["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["uid"] == *uid))
    };
    objects.list(of).1.into_iter().filter(|it| is_owner(it)).collect()
}

fn owner(of: &Value, kind: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": of["metadata"]["name"], "uid": of["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true }])
}

/// Makes one object into what `change` makes of it; one that has gone meanwhile needs nothing.
fn write(objects: &Objects, of: &Resource, object: &Value, change: impl FnOnce(&mut Value)) {
    let (namespace, name) = key(object);
    drop(objects.change(of, Some(&namespace), &name, change));
}

fn revision(object: &Value) -> i64 {
    object["metadata"]["annotations"][REVISION]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// The replica sets of a deployment: the new one grows and the others shrink.
fn roll(objects: &Objects, deployment: &Value) {
    let of = Resource::replica_sets();
    let sets = owned(objects, &of, deployment);
    let template = &deployment["spec"]["template"];
    let hash = hash(&template.to_string())[..10].to_owned();
    let last = sets.iter().map(|set| revision(set)).max().unwrap_or(0);
    let new = sets.iter().find(|set| set["metadata"]["labels"][HASH] == hash.as_str());
    let Some(new) = new else {
        let mut labelled = template.clone();
        labelled["metadata"]["labels"][HASH] = json!(hash);
        let mut selector = deployment["spec"]["selector"].clone();
        selector["matchLabels"][HASH] = json!(hash);
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{}-{hash}", text(deployment, "/metadata/name")),
                "namespace": deployment["metadata"]["namespace"],
                "labels": labelled["metadata"]["labels"], "annotations": { REVISION: (last + 1).to_string() },
                "ownerReferences": owner(deployment, "Deployment"), "generation": 1,
            },
            "spec": { "replicas": 0, "selector": selector, "template": labelled },
            "status": { "replicas": 0 },
        });
        // Its change brings this about again.
        drop(objects.create(&of, set));
        return;
    };
    if revision(new) < last {
        write(objects, &of, new, |set| {
            set["metadata"]["annotations"][REVISION] = json!((last + 1).to_string())
        });
        return;
    }
    let old: Vec<_> = sets.iter().filter(|set| !Arc::ptr_eq(set, new)).collect();
    scale(objects, deployment, new, &old);
    tell(objects, deployment, new, &sets);
}

fn scale(objects: &Objects, deployment: &Value, new: &Value, old: &[&Arc<Value>]) {
    let of = Resource::replica_sets();
    let spec = &deployment["spec"];
    let desired = spec["replicas"].as_i64().unwrap_or(1);
    let set_to = |set: &Value, replicas: i64| {
        if count(&set["spec"]["replicas"]) != replicas {
            write(objects, &of, set, |set| set["spec"]["replicas"] = json!(replicas));
        }
    };
    if spec["strategy"]["type"] == "Recreate" {
        old.iter().for_each(|set| set_to(set, 0));
        let left = old.iter().any(|set| !owned(objects, &Resource::pods(), set).is_empty());
        if !left {
            set_to(new, desired);
        }
        return;
    }
    let rolling = &spec["strategy"]["rollingUpdate"];
    let (surge, away) = (
        part(&rolling["maxSurge"], desired, true),
        part(&rolling["maxUnavailable"], desired, false),
    );
    let away = if surge + away == 0 { 1 } else { away };
    let has = count(&new["spec"]["replicas"]);
    let total = has + old.iter().map(|set| count(&set["spec"]["replicas"])).sum::<i64>();
    if has > desired {
        set_to(new, desired);
        return;
    }
    if has < desired && total < desired + surge {
        set_to(new, has + (desired - has).min(desired + surge - total));
        return;
    }
    let available = |set: &Value| count(&set["status"]["availableReplicas"]);
    let unavailable = has - available(new);
    let mut may_go = total - (desired - away) - unavailable;
    // Those that do not work first.
    for set in old {
        let broken = (count(&set["spec"]["replicas"]) - available(set)).clamp(0, may_go.max(0));
        if broken > 0 {
            set_to(set, count(&set["spec"]["replicas"]) - broken);
            return;
        }
    }
    let working = available(new) + old.iter().map(|set| available(set)).sum::<i64>();
    may_go = working - (desired - away);
    for set in old {
        let fewer = count(&set["spec"]["replicas"]).min(may_go.max(0));
        may_go -= fewer;
        set_to(set, count(&set["spec"]["replicas"]) - fewer);
    }
}

/// A number or a percentage of the replicas.
fn part(value: &Value, of: i64, up: bool) -> i64 {
    let percent = match value {
        Value::Number(_) => return count(value),
        Value::String(text) => text.trim_end_matches('%').parse().unwrap_or(25),
        _ => 25,
    };
    if up { (of * percent + 99) / 100 } else { of * percent / 100 }
}

fn tell(objects: &Objects, deployment: &Value, new: &Value, sets: &[Arc<Value>]) {
    let sum = |field: &str| sets.iter().map(|set| count(&set["status"][field])).sum::<i64>();
    let desired = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let (all, ready, updated) =
        (sum("replicas"), sum("readyReplicas"), count(&new["status"]["replicas"]));
    let done = updated == desired && all == desired && ready == desired;
    let away =
        part(&deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], desired, false);
    write(objects, &Resource::deployments(), deployment, |deployment| {
        deployment["metadata"]["annotations"][REVISION] = json!(revision(new).to_string());
        let status = &mut deployment["status"];
        for (field, number) in [
            ("replicas", all),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("updatedReplicas", updated),
            ("unavailableReplicas", (desired - ready).max(0)),
        ] {
            status[field] = json!(number);
        }
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
        let now = Timestamp::now();
        let available = if ready >= desired - away {
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        };
        let (status, reason, message) = available;
        set_condition(deployment, &Wanted { r#type: "Available", status, reason, message }, now);
        let reason = if done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
        set_condition(
            deployment,
            &Wanted { r#type: "Progressing", status: "True", reason, message: "" },
            now,
        );
    });
}

/// As many pods as a replica set shall have.
fn fill(objects: &Objects, set: &Value) {
    let pods = owned(objects, &Resource::pods(), set);
    let over = |pod: &Value| matches!(text(pod, "/status/phase"), "Failed" | "Succeeded");
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions
            .is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
    };
    let mut live: Vec<_> = pods.iter().filter(|pod| !is_going(pod) && !over(pod)).collect();
    let wanted = usize::try_from(count(&set["spec"]["replicas"])).unwrap_or(0);
    for _ in live.len()..wanted {
        let mut pod = set["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["generateName"] = json!(format!("{}-", text(set, "/metadata/name")));
        pod["metadata"]["namespace"] = set["metadata"]["namespace"].clone();
        pod["metadata"]["ownerReferences"] = owner(set, "ReplicaSet");
        pod["status"] = json!({ "phase": "Pending" });
        if let Err(refused) = objects.create(&Resource::pods(), pod) {
            eprintln!("fake-kube: a pod of {}: {refused}", text(set, "/metadata/name"));
        }
    }
    // Those that are not ready go first, then the youngest.
    live.sort_by_key(|pod| {
        (is_ready(pod), Reverse(text(pod, "/metadata/creationTimestamp").to_owned()))
    });
    for pod in live.iter().take(live.len().saturating_sub(wanted)) {
        delete_pod(objects, &key(pod), None, Timestamp::now());
    }
    let (all, ready) = (live.len().min(wanted), live.iter().filter(|pod| is_ready(pod)).count());
    write(objects, &Resource::replica_sets(), set, |set| {
        set["status"] = json!({ "replicas": all, "readyReplicas": ready, "availableReplicas": ready,
            "fullyLabeledReplicas": all, "observedGeneration": set["metadata"]["generation"] });
    });
}
