//! Kubernetes' security level `restricted`, which pods of models get: [`muster_core::restricted`] has what
//! contradicts it.

use muster_core::restricted::{annotation_contradicts, contradictions};
use serde_json::{Value, json};

const CONTAINERS: [&str; 2] = ["initContainers", "containers"];

/// Completes a pod to the level `restricted`. Says what in it contradicts the level.
pub(crate) fn restrict(pod: &mut Value) -> Result<(), String> {
    let mut wrong: Vec<String> = contradictions(&pod["spec"])
        .into_iter()
        .map(|(at, what)| match container_at(&pod["spec"], &at) {
            Some(container) => format!("{container}: {what}"),
            None => what,
        })
        .collect();
    let annotations = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let bad = annotations.filter(|(name, value)| annotation_contradicts(name, value));
    wrong.extend(bad.map(|(name, value)| format!("annotation {name}: {value}")));
    if !wrong.is_empty() {
        return Err(format!(
            "the level `restricted` has no {}; a model's `unrestricted` says why it needs that",
            wrong.join(", ")
        ));
    }
    let spec = &mut pod["spec"];
    let context = object(&mut spec["securityContext"]);
    fill(context, "runAsNonRoot", json!(true));
    fill(context, "seccompProfile", json!({"type": "RuntimeDefault"}));
    for list in CONTAINERS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let its = object(&mut container["securityContext"]);
            fill(its, "allowPrivilegeEscalation", json!(false));
            fill(object(&mut its["capabilities"]), "drop", json!(["ALL"]));
        }
    }
    Ok(())
}

/// The name of the container that a pointer into the spec goes through.
fn container_at<'s>(spec: &'s Value, at: &str) -> Option<&'s str> {
    let mut parts = at.split('/').skip(1);
    let list = parts.next().filter(|list| CONTAINERS.contains(list))?;
    spec[list].get(parts.next()?.parse::<usize>().ok()?)?["name"].as_str()
}

fn object(value: &mut Value) -> &mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    value
}

fn fill(context: &mut Value, name: &str, value: Value) {
    if context[name].is_null() {
        context[name] = value;
    }
}
