//! Kubernetes' security level `restricted`: what pods of models get, and what no template may take from it.
//!
//! Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use serde_json::{Value, json};

/// Volumes that the level allows.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const CONTAINERS: [&str; 2] = ["initContainers", "containers"];

/// Completes a pod to the level `restricted`. Says what in it contradicts the level.
pub(crate) fn restrict(pod: &mut Value) -> Result<(), String> {
    let spec = &mut pod["spec"];
    let mut wrong = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            wrong.push(field.to_owned());
        }
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().into_iter().flatten().map(|(kind, _)| &**kind);
        let other = kinds.filter(|kind| *kind != "name").find(|kind| !VOLUMES.contains(kind));
        wrong.extend(other.map(|kind| format!("a volume of the kind {kind}")));
    }
    context(&mut spec["securityContext"], "", &mut wrong);
    fill(&mut spec["securityContext"], "runAsNonRoot", json!(true));
    fill(&mut spec["securityContext"], "seccompProfile", json!({"type": "RuntimeDefault"}));
    for list in CONTAINERS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default().to_owned();
            let prefix = format!("{name}: ");
            for port in container["ports"].as_array().into_iter().flatten() {
                if port["hostPort"].as_u64().is_some_and(|port| port > 0) {
                    wrong.push(format!("{prefix}hostPort"));
                }
            }
            let its = &mut container["securityContext"];
            context(its, &prefix, &mut wrong);
            fill(its, "allowPrivilegeEscalation", json!(false));
            if !its["capabilities"].is_object() {
                its["capabilities"] = json!({});
            }
            its["capabilities"]["drop"] = json!(["ALL"]);
        }
    }
    match &*wrong {
        [] => Ok(()),
        wrong => Err(format!(
            "the level `restricted` has no {}; a model's `unrestricted` says why it needs that",
            wrong.join(", ")
        )),
    }
}

fn fill(context: &mut Value, name: &str, value: Value) {
    if context[name].is_null() {
        context[name] = value;
    }
}

/// What of a security context contradicts the level.
fn context(context: &mut Value, prefix: &str, wrong: &mut Vec<String>) {
    if !context.is_object() {
        *context = json!({});
    }
    let adds = context["capabilities"]["add"].as_array().into_iter().flatten();
    let adds = adds.filter(|added| **added != "NET_BIND_SERVICE").count() > 0;
    let seccomp = &context["seccompProfile"]["type"];
    for (found, what) in [
        (context["privileged"] == true, "privileged"),
        (context["allowPrivilegeEscalation"] == true, "allowPrivilegeEscalation"),
        (context["runAsNonRoot"] == false, "runAsNonRoot: false"),
        (context["runAsUser"] == 0, "runAsUser: 0"),
        (adds, "added capabilities"),
        (*seccomp == "Unconfined", "seccompProfile Unconfined"),
        (context["procMount"].as_str().is_some_and(|mount| mount != "Default"), "procMount"),
    ] {
        if found {
            wrong.push(format!("{prefix}{what}"));
        }
    }
}
