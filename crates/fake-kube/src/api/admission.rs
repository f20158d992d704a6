//! What the server adds to an object that is sent, and what it refuses.

use serde_json::{Map, Value, json};

use crate::actors::quantity::Quantity;
use crate::config::Asked;
use crate::objects::{View, items, meta};
use crate::{Resource, Status};

use super::{Call, Kube, quota};

/// Defaults, and what admission adds.
pub(super) fn prepare(kube: &Kube, call: &Call, object: &mut Value) -> Result<(), Status> {
    let of = call.kind.resource();
    if counts(&of) {
        meta(object).insert("generation".to_owned(), json!(1));
    }
    // Kubelets register nodes with their status.
    if call.kind.status && of != Resource::nodes() {
        object.as_object_mut().map(|object| object.remove("status"));
    }
    match (of.group.as_str(), of.plural.as_str()) {
        ("", "pods") => pod(kube, call, object)?,
        ("", "namespaces") => {
            object["spec"] = json!({ "finalizers": ["kubernetes"] });
            object["status"] = json!({ "phase": "Active" });
            let name = object["metadata"]["name"].clone();
            map(&mut object["metadata"]["labels"])
                .insert("kubernetes.io/metadata.name".into(), name);
        }
        ("", "nodes") => {
            map(&mut object["spec"]);
            map(&mut object["status"]);
        }
        ("apps", _) => {
            default(&mut object["spec"], "replicas", json!(1));
            if of == Resource::daemon_sets() {
                map(&mut object["spec"]).remove("replicas");
            }
            template(&mut object["spec"]["template"]["spec"]);
            object["status"] = json!({});
        }
        ("batch", "jobs") => {
            for (field, value) in [("parallelism", 1), ("completions", 1), ("backoffLimit", 6)] {
                default(&mut object["spec"], field, json!(value));
            }
            template(&mut object["spec"]["template"]["spec"]);
            object["status"] = json!({});
        }
        ("", "secrets") => {
            default(object, "type", json!("Opaque"));
            let sent = object.as_object_mut().and_then(|object| object.remove("stringData"));
            for (key, value) in sent.as_ref().and_then(Value::as_object).into_iter().flatten() {
                let value = value.as_str().unwrap_or_default();
                let value =
                    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value);
                map(&mut object["data"]).insert(key.clone(), json!(value));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whose spec is counted.
fn counts(of: &Resource) -> bool {
    !matches!(of.group.as_str(), "" | "coordination.k8s.io" | "events.k8s.io" | "metrics.k8s.io")
        && of.group != "rbac.authorization.k8s.io"
}

fn pod(kube: &Kube, call: &Call, object: &mut Value) -> Result<(), Status> {
    let spec = &mut object["spec"];
    template(spec);
    default(spec, "serviceAccountName", json!("default"));
    let account = spec["serviceAccountName"].clone();
    default(spec, "serviceAccount", account);
    default(spec, "enableServiceLinks", json!(true));
    priority(kube, call, object)?;
    let spec = &mut object["spec"];
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|toleration| {
            (toleration["key"] == key || toleration["key"].as_str().unwrap_or_default().is_empty())
                && matches!(toleration["effect"].as_str(), None | Some("" | "NoExecute"))
        });
        if !tolerated {
            tolerations.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300 }));
        }
    }
    spec["tolerations"] = json!(tolerations);
    let class = quality(spec);
    object["status"] = json!({ "phase": "Pending", "qosClass": class });
    let gated = object["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty());
    if gated {
        object["status"]["conditions"] = json!([{ "type": "PodScheduled", "status": "False",
            "lastProbeTime": null, "lastTransitionTime": crate::objects::now(),
            "reason": "SchedulingGated", "message": "Scheduling is blocked due to non-empty scheduling gates" }]);
    }
    Ok(())
}

fn priority(kube: &Kube, call: &Call, pod: &mut Value) -> Result<(), Status> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let spec = &mut pod["spec"];
    let of = Resource::priority_classes();
    let class = match spec["priorityClassName"].as_str().filter(|name| !name.is_empty()) {
        Some("system-node-critical") => Some(json!({ "value": 2_000_001_000 })),
        Some("system-cluster-critical") => Some(json!({ "value": 2_000_000_000 })),
        Some(class) => {
            let found = kube.objects.get(&of, None, class).ok_or_else(|| {
                let why = format!("no PriorityClass with name {class} was found");
                Status::forbidden(&call.resource(), &name, why)
            })?;
            Some(Value::clone(&found))
        }
        None => {
            let all = kube.objects.list(&of).1;
            all.iter().find(|class| class["globalDefault"] == true).map(|class| Value::clone(class))
        }
    };
    let class = class.unwrap_or_default();
    spec["priority"] = json!(class["value"].as_i64().unwrap_or(0));
    if let Some(class_name) = class["metadata"]["name"].as_str() {
        spec["priorityClassName"] = json!(class_name);
    }
    let policy = class["preemptionPolicy"].as_str().unwrap_or("PreemptLowerPriority");
    default(spec, "preemptionPolicy", json!(policy));
    Ok(())
}

/// Of pods, and of what pods are made of.
fn template(spec: &mut Value) {
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        default(spec, field, value);
    }
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            let image = container["image"].as_str().unwrap_or_default();
            let moves = image.ends_with(":latest")
                || (!image.contains('@')
                    && !image.rsplit('/').next().unwrap_or_default().contains(':'));
            let pull = if moves { "Always" } else { "IfNotPresent" };
            for (field, value) in [
                ("imagePullPolicy", json!(pull)),
                ("terminationMessagePath", json!("/dev/termination-log")),
                ("terminationMessagePolicy", json!("File")),
                ("resources", json!({})),
            ] {
                default(container, field, value);
            }
            // What is limited is asked for.
            let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
            for (name, limit) in limits {
                default(&mut container["resources"]["requests"], &name, limit);
            }
            for port in items(container, "ports") {
                default(port, "protocol", json!("TCP"));
            }
        }
    }
}

/// Guaranteed, Burstable or BestEffort.
fn quality(spec: &Value) -> &'static str {
    let containers = spec["containers"].as_array().into_iter().flatten();
    let (mut any, mut all) = (false, true);
    for container in containers {
        let (asked, limits) =
            (&container["resources"]["requests"], &container["resources"]["limits"]);
        for name in ["cpu", "memory"] {
            let amount = |of: &Value| of[name].as_str().and_then(Quantity::parse);
            any |= !asked[name].is_null() || !limits[name].is_null();
            all &= !limits[name].is_null() && amount(asked) == amount(limits);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Whether an object may be stored, with all else as it is at that moment.
pub(super) fn may_create(
    kube: &Kube,
    view: &View<'_>,
    call: &Call,
    object: &Value,
) -> Result<(), Status> {
    let of = call.resource();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(namespace) = &call.namespace {
        let Some(found) = view.get(&Resource::namespaces(), "", namespace) else {
            return Err(Status::not_found(&Resource::namespaces(), namespace));
        };
        // Events tell also of the end.
        if found["metadata"]["deletionTimestamp"].is_string() && of.plural != "events" {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let ends = format!("namespace {namespace} is being terminated");
            return Err(Status::forbidden(&of, name, why).cause(
                "NamespaceTerminating",
                ends,
                "metadata.namespace",
            ));
        }
        if of == Resource::pods() {
            let account = object["spec"]["serviceAccountName"].as_str().unwrap_or("default");
            let exists = view.get(&Resource::service_accounts(), namespace, account).is_some();
            // The first one is made beside the namespace.
            if account != "default" && !exists {
                let why = format!(
                    "error looking up service account {namespace}/{account}: serviceaccount \
                     {account:?} not found"
                );
                return Err(Status::forbidden(&of, name, why));
            }
        }
        quota::check(view, call, object)?;
    }
    ask(kube, call, object)
}

/// What whoever set the cluster up says.
pub(super) fn ask(kube: &Kube, call: &Call, object: &Value) -> Result<(), Status> {
    let Some(admission) = &kube.config.admission else { return Ok(()) };
    let of = call.kind.resource();
    let asked = Asked { verb: call.verb(), of: &of, object };
    admission(&asked).map_err(|text| Status::new(http::StatusCode::FORBIDDEN, "Forbidden", text))
}

fn default(object: &mut Value, field: &str, value: Value) {
    let object = map(object);
    if object.get(field).is_none_or(|is| is.is_null() || *is == "") {
        object.insert(field.to_owned(), value);
    }
}

/// The map that it is afterwards.
fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("an object, as just seen to")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_move_are_pulled_always_and_limits_are_asked_for() {
        for (image, policy) in [
            ("a/b:1", "IfNotPresent"),
            ("a/b", "Always"),
            ("host:5000/a", "Always"),
            ("a:latest", "Always"),
            ("a@sha256:00", "IfNotPresent"),
        ] {
            let mut spec = json!({ "containers": [{ "name": "c", "image": image,
                "resources": { "limits": { "memory": "1Gi" } } }] });
            template(&mut spec);
            let container = &spec["containers"][0];
            assert_eq!(container["imagePullPolicy"], policy, "{image}");
            assert_eq!(container["resources"]["requests"]["memory"], "1Gi");
        }
    }

    #[test]
    fn quality_is_what_is_asked_for_and_limited() {
        let quality =
            |resources: Value| quality(&json!({ "containers": [{ "resources": resources }] }));
        let both = json!({ "cpu": "1", "memory": "1Gi" });
        assert_eq!(quality(json!({})), "BestEffort");
        assert_eq!(quality(json!({ "requests": both })), "Burstable");
        let same = json!({ "cpu": "1000m", "memory": "1024Mi" });
        assert_eq!(quality(json!({ "requests": both, "limits": same })), "Guaranteed");
    }
}
