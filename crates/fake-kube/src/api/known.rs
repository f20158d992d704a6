//! The fields that a pod and its containers have: whoever sends others hears of it, or is refused.

use serde_json::{Map, Value};

use crate::Status;

use super::Call;

const POD: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];

const SPEC: &[&str] = &[
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "initContainers",
    "nodeName",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
];

const CONTAINER: &[&str] = &[
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];

/// Takes out of a pod what no pod has, and says what that was. With `fieldValidation=Strict` it is refused.
pub(super) fn keep(call: &Call, pod: &mut Value) -> Result<Vec<String>, Status> {
    let unknown = sift(pod);
    if unknown.is_empty() || call.param("fieldValidation") != Some("Strict") {
        let silent = call.param("fieldValidation") == Some("Ignore");
        return Ok(if silent { Vec::new() } else { unknown });
    }
    Err(Status::bad_request(format!(
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: {}",
        unknown.join(", ")
    )))
}

fn sift(pod: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Some(pod) = pod.as_object_mut() {
        only(pod, POD, "", &mut unknown);
    }
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return unknown };
    only(spec, SPEC, "spec.", &mut unknown);
    for list in ["initContainers", "containers"] {
        let all = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (at, container) in all.enumerate() {
            if let Some(container) = container.as_object_mut() {
                only(container, CONTAINER, &format!("spec.{list}[{at}]."), &mut unknown);
            }
        }
    }
    unknown
}

fn only(map: &mut Map<String, Value>, known: &[&str], within: &str, unknown: &mut Vec<String>) {
    map.retain(|field, _| {
        let is_known = known.contains(&field.as_str());
        if !is_known {
            unknown.push(format!("unknown field \"{within}{field}\""));
        }
        is_known
    });
}
