//! What people see of a pod.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// All that the cluster says of a pod, without what models write and what nobody but the model may read.
pub(super) fn shown(pod: &Pod) -> Value {
    let mut raw = serde_json::to_value(pod).unwrap_or_default();
    for list in ["/spec/containers", "/spec/initContainers"] {
        for container in elements(&mut raw, list) {
            for variable in elements(container, "/env") {
                if let Some(value) = variable.get_mut("value") {
                    *value = Value::from("..");
                }
            }
        }
    }
    for list in ["/status/containerStatuses", "/status/initContainerStatuses"] {
        for container in elements(&mut raw, list) {
            for state in ["/state/terminated", "/lastState/terminated"] {
                let ended = container.pointer_mut(state).and_then(Value::as_object_mut);
                ended.map(|ended| ended.remove("message"));
            }
        }
    }
    raw
}

fn elements<'v>(of: &'v mut Value, list: &str) -> impl Iterator<Item = &'v mut Value> {
    of.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_variables_and_what_models_write_are_not_shown() {
        let ended = |message: &str| json!({"exitCode": 1, "reason": "Error", "message": message});
        let pod = json!({
            "metadata": {"name": "x"},
            "spec": {"containers": [{"name": "model", "image": "i", "env": [
                {"name": "TOKEN", "value": "secret"}, {"name": "OTHER", "valueFrom": {"fieldRef": {"fieldPath": "a"}}},
            ]}]},
            "status": {"phase": "Failed", "message": "said by the node", "containerStatuses": [{
                "name": "model", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": ended("secret")}, "lastState": {"terminated": ended("secret")},
            }]},
        });
        let shown = shown(&serde_json::from_value(pod).expect("a pod"));
        assert!(!shown.to_string().contains("secret"), "{shown}");
        assert_eq!(
            shown["status"]["containerStatuses"][0]["state"]["terminated"]["reason"],
            "Error"
        );
        assert_eq!(
            shown["spec"]["containers"][0]["env"][1]["valueFrom"]["fieldRef"]["fieldPath"],
            "a"
        );
        assert_eq!(shown["status"]["message"], "said by the node");
    }
}
