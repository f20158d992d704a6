//! What only pods have: evictions within disruption budgets, and the place where they run.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use crate::objects::{Key, View, key, now};
use crate::{Resource, Status};

use super::delete::{go, precondition};
use super::selector::Labels;
use super::table::condition;
use super::{Answer, Call, Kube, json_answer};

fn done() -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 })
}

pub(super) fn evict(kube: &Kube, call: &Call) -> Answer {
    let asked = call.object()?;
    let name = call.name();
    if asked["metadata"]["name"].as_str().is_some_and(|sent| sent != name) {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = &asked["deleteOptions"];
    let dry = call.is_dry()? || options["dryRun"].as_array().is_some_and(|all| !all.is_empty());
    let of = Resource::pods();
    let namespace = call.namespace.as_deref();
    let pod = kube.objects.get(&of, namespace, name).ok_or_else(|| Status::not_found(&of, name))?;
    precondition(&of, name, &pod, options)?;
    if !is_free(&pod) {
        let budgets: Vec<Key> = kube.objects.view(|view| {
            let of = Resource::disruption_budgets();
            let within = view.within(&of, namespace.unwrap_or_default());
            within.filter(|budget| covers(budget, &pod)).map(|budget| key(budget)).collect()
        });
        if budgets.len() > 1 {
            let text = "This pod has more than one PodDisruptionBudget, which the eviction \
                        subresource does not support.";
            return Err(Status::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", text));
        }
        for budget in budgets {
            let of = Resource::disruption_budgets();
            kube.objects.try_change(&of, budget, dry, |budget, _| spend(budget, &pod, name))?;
        }
    }
    if !dry {
        kube.objects.change(&of, namespace, name, |pod| {
            let new = json!({ "type": "DisruptionTarget", "status": "True",
                "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
                "lastProbeTime": null, "lastTransitionTime": now() });
            let conditions = &mut pod["status"]["conditions"];
            if !conditions.is_array() {
                *conditions = json!([]);
            }
            if let Some(all) = conditions.as_array_mut() {
                all.retain(|condition| condition["type"] != "DisruptionTarget");
                all.push(new);
            }
        })?;
    }
    go(&kube.objects, &of, key(&pod), options, dry)?;
    Ok(json_answer(StatusCode::CREATED, &done()))
}

/// What no budget keeps: what does not run yet or any more, or goes already.
fn is_free(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Pending" | "Succeeded" | "Failed") | None)
        || pod["metadata"]["deletionTimestamp"].is_string()
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = Labels::from_selector(&budget["spec"]["selector"]);
    selector.is_some_and(|selector| selector.fit(&pod["metadata"]["labels"]))
}

/// Takes one disruption out of a budget, if it has one.
fn spend(budget: &mut Value, pod: &Value, pod_name: &str) -> Result<(), Status> {
    let name = budget["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let (allowed, healthy, wanted) =
        (number("disruptionsAllowed"), number("currentHealthy"), number("desiredHealthy"));
    if !is_ready(pod) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if always || (healthy >= wanted && wanted > 0) {
            return Ok(());
        }
    }
    let refused = "Cannot evict pod as it would violate the pod's disruption budget.";
    let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
    if number("observedGeneration") < generation {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::too_many(refused, Some(10)).cause("DisruptionBudget", why, ""));
    }
    let of = Resource::disruption_budgets();
    if allowed < 0 {
        return Err(Status::forbidden(&of, &name, "pdb disruptions allowed is negative"));
    }
    let pending = budget["status"]["disruptedPods"].as_object().map_or(0, serde_json::Map::len);
    if pending > 2000 {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(&of, &name, why));
    }
    if allowed == 0 {
        let why = format!(
            "The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
        );
        return Err(Status::too_many(refused, None).cause("DisruptionBudget", why, ""));
    }
    budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
    budget["status"]["disruptedPods"][pod_name] = json!(now());
    Ok(())
}

/// The status of a budget, as its controller finds it.
pub(crate) fn disruption(view: &View<'_>, budget: &Value) -> Value {
    let namespace = budget["metadata"]["namespace"].as_str().unwrap_or_default();
    let of = Resource::pods();
    let ended =
        |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let pods: Vec<&Value> = view
        .within(&of, namespace)
        .map(|pod| &**pod)
        .filter(|pod| covers(budget, pod) && !ended(pod))
        .collect();
    // Who was evicted a moment ago counts no more, also if its end is not seen yet.
    let mut evicted = budget["status"]["disruptedPods"].as_object().cloned().unwrap_or_default();
    evicted.retain(|name, _| {
        pods.iter().any(|pod| {
            pod["metadata"]["name"] == name.as_str()
                && !pod["metadata"]["deletionTimestamp"].is_string()
        })
    });
    let is_healthy = |pod: &&&Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        is_ready(pod)
            && !pod["metadata"]["deletionTimestamp"].is_string()
            && !evicted.contains_key(name)
    };
    let healthy = pods.iter().filter(is_healthy).count() as u64;
    let spec = &budget["spec"];
    let wanted = if let Some(at_least) = spec["minAvailable"].as_u64() {
        Some((pods.len() as u64, at_least))
    } else {
        expected(view, namespace, &pods).map(|all| {
            let part = |value: &Value, round_up: bool| match value.as_str() {
                Some(text) => {
                    let percent: u64 = text.trim_end_matches('%').parse().unwrap_or(0);
                    if round_up { (all * percent).div_ceil(100) } else { all * percent / 100 }
                }
                None => value.as_u64().unwrap_or(0),
            };
            let wanted = match &spec["maxUnavailable"] {
                Value::Null => part(&spec["minAvailable"], true),
                most => all.saturating_sub(part(most, true)),
            };
            (all, wanted)
        })
    };
    let (all, wanted) = wanted.unwrap_or((0, 0));
    let (allowed, reason) = match healthy.saturating_sub(wanted) {
        _ if spec["minAvailable"].as_u64().is_none()
            && expected(view, namespace, &pods).is_none() =>
        {
            (0, "SyncFailed")
        }
        0 => (0, "InsufficientPods"),
        allowed => (allowed, "SufficientPods"),
    };
    let allowed = if all == 0 { 0 } else { allowed };
    let condition = condition(budget, "DisruptionAllowed");
    let same = condition.filter(|is| is["reason"] == reason);
    let since = same.map_or_else(|| json!(now()), |is| is["lastTransitionTime"].clone());
    let generation = budget["metadata"]["generation"].as_u64().unwrap_or(1);
    let mut status = json!({
        "observedGeneration": generation, "currentHealthy": healthy, "desiredHealthy": wanted,
        "expectedPods": all, "disruptionsAllowed": allowed,
        "conditions": [{ "type": "DisruptionAllowed", "reason": reason, "message": "",
            "status": if allowed > 0 { "True" } else { "False" },
            "observedGeneration": generation, "lastTransitionTime": since }],
    });
    if !evicted.is_empty() {
        status["disruptedPods"] = Value::Object(evicted);
    }
    status
}

/// How many pods the controllers of these want; [`None`] if one has none.
fn expected(view: &View<'_>, namespace: &str, pods: &[&Value]) -> Option<u64> {
    let mut owners = BTreeSet::new();
    for pod in pods {
        let all = pod["metadata"]["ownerReferences"].as_array()?;
        let owner = all.iter().find(|owner| owner["controller"] == true)?;
        owners.insert((owner["kind"].as_str()?.to_owned(), owner["name"].as_str()?.to_owned()));
    }
    owners.iter().try_fold(0, |sum, (kind, name)| {
        let of = match kind.as_str() {
            "ReplicaSet" => Resource::replica_sets(),
            "Deployment" => Resource::deployments(),
            "StatefulSet" => Resource::stateful_sets(),
            _ => return None,
        };
        Some(sum + view.get(&of, namespace, name)?["spec"]["replicas"].as_u64()?)
    })
}

/// A scheduler's word.
pub(super) fn bind(kube: &Kube, call: &Call) -> Answer {
    let asked = call.object()?;
    let name = call.name();
    let Some(node) = asked["target"]["name"].as_str().filter(|node| !node.is_empty()) else {
        return Err(Status::bad_request("target.name: Required value"));
    };
    let of = Resource::pods();
    let wanted: Key = (call.namespace.clone().unwrap_or_default(), name.to_owned());
    kube.objects.try_change(&of, wanted, call.is_dry()?, |pod, _| {
        if let Some(uid) = asked["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty()) {
            precondition(&of, name, pod, &json!({ "preconditions": { "uid": uid } }))?;
        }
        let refused = |why: String| {
            let of = Resource::new("", "v1", "pods/binding");
            Err(Status::conflict(&of, name, why))
        };
        if pod["metadata"]["deletionTimestamp"].is_string() {
            return refused(format!("pod {name} is being deleted, cannot be assigned to a host"));
        }
        if let Some(is) = pod["spec"]["nodeName"].as_str().filter(|is| !is.is_empty()) {
            return refused(format!("pod {name} is already assigned to node {is:?}"));
        }
        if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            return refused(format!("pod {name} has non-empty .spec.schedulingGates"));
        }
        pod["spec"]["nodeName"] = json!(node);
        let new = json!({ "type": "PodScheduled", "status": "True", "lastProbeTime": null,
            "lastTransitionTime": now() });
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let others = conditions.into_iter().filter(|condition| condition["type"] != "PodScheduled");
        pod["status"]["conditions"] = json!(others.chain([new]).collect::<Vec<_>>());
        Ok(())
    })?;
    Ok(json_answer(StatusCode::CREATED, &done()))
}
