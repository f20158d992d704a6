//! Small changes that several actors make to objects.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{shapes::Key, text};
use crate::{Objects, Resource};

pub(crate) use crate::objects::seconds;

/// A condition that an object shall have; its time of transition is kept while its status is.
pub struct Wanted<'a> {
    pub r#type: &'a str,
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
}

pub fn set_condition(object: &mut Value, wanted: &Wanted, at: Timestamp) {
    let mut condition = json!({
        "type": wanted.r#type, "status": wanted.status, "lastTransitionTime": seconds(at),
    });
    for (field, value) in [("reason", wanted.reason), ("message", wanted.message)] {
        if !value.is_empty() {
            condition[field] = json!(value);
        }
    }
    let Some(conditions) = list(object, "status", "conditions") else { return };
    match conditions.iter_mut().find(|one| one["type"] == wanted.r#type) {
        Some(held) => {
            if held["status"] == wanted.status {
                condition["lastTransitionTime"] = held["lastTransitionTime"].clone();
            }
            for field in ["lastProbeTime", "lastHeartbeatTime", "observedGeneration"] {
                if let Some(value) = held.get(field) {
                    condition[field] = value.clone();
                }
            }
            *held = condition;
        }
        None => conditions.push(condition),
    }
}

/// The list at a field of a part of an object, made where it is missing.
pub fn list<'a>(object: &'a mut Value, part: &str, field: &str) -> Option<&'a mut Vec<Value>> {
    if !object[part].is_object() {
        object[part] = json!({});
    }
    if !object[part][field].is_array() {
        object[part][field] = json!([]);
    }
    object[part][field].as_array_mut()
}

/// `DisruptionTarget`, before a pod is taken away.
pub fn disrupt(pod: &mut Value, reason: &str, message: &str, at: Timestamp) {
    let wanted = Wanted { r#type: "DisruptionTarget", status: "True", reason, message };
    set_condition(pod, &wanted, at);
}

/// A delete as the API does it: with the grace that the pod wants, at once if nobody runs it.
pub fn delete_pod(objects: &Objects, key: &Key, grace: Option<u64>, at: Timestamp) {
    let (namespace, name) = (Some(key.0.as_str()), key.1.as_str());
    let Some(pod) = objects.get(&Resource::pods(), namespace, name) else { return };
    let grace =
        grace.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
    if grace == 0 || text(&pod, "/spec/nodeName").is_empty() {
        objects.remove(&Resource::pods(), namespace, name);
        return;
    }
    // One that is gone meanwhile needs no delete.
    drop(objects.change(&Resource::pods(), namespace, name, |pod| {
        if pod["metadata"].get("deletionTimestamp").is_none() {
            let after = jiff::SignedDuration::from_secs(i64::try_from(grace).unwrap_or(30));
            pod["metadata"]["deletionTimestamp"] = json!(seconds(at + after));
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
    }));
}
