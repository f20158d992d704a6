//! What an administrator may say of a model's pods: see [`PodSettings`].

use serde_json::{Map, Value};

use crate::model::PodSettings;
use crate::pointer::escaped;
use crate::resources::names::{label_key, label_value};
use crate::restricted::{annotation_contradicts, contradictions};

const MOST_BYTES: usize = 32 << 10;
const MOST_REASON: usize = 500;
/// Labels and annotations of the hub itself.
const OURS: &str = "muster.dev/";

impl PodSettings {
    /// The images that the template names, and where, as JSON pointers into the settings.
    pub fn images(&self) -> Vec<(String, &str)> {
        let mut images = Vec::new();
        for kind in ["containers", "initContainers"] {
            let all = self.template["spec"][kind].as_array().into_iter().flatten();
            let named = all.enumerate().filter_map(|(n, one)| Some((n, one["image"].as_str()?)));
            images.extend(
                named.map(|(n, image)| (format!("/template/spec/{kind}/{n}/image"), image)),
            );
        }
        images
    }

    /// What is wrong with them: where, as a JSON pointer into them, and what, in words.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let reason = self.unrestricted.as_ref();
        let reads = |reason: &String| {
            let length = reason.chars().count();
            length <= MOST_REASON
                && !reason.trim().is_empty()
                && !reason.chars().any(char::is_control)
        };
        if !reason.is_none_or(reads) {
            let what = "a reason has 1 to 500 visible characters".to_owned();
            faults.push(("/unrestricted".to_owned(), what));
        }
        let mut wrong =
            |at: &str, what: &str| faults.push((format!("/template{at}"), what.to_owned()));
        let Value::Object(template) = &self.template else {
            if !self.template.is_null() {
                wrong("", "it is an object with `metadata` and `spec`");
            }
            return faults;
        };
        if self.template.to_string().len() > MOST_BYTES {
            wrong("", "it has at most 32 KiB");
            return faults;
        }
        let mut loose = Vec::new();
        for (name, part) in template {
            match (&**name, part) {
                ("metadata", Value::Object(metadata)) => {
                    check_metadata(metadata, &mut wrong, &mut loose);
                }
                ("spec", Value::Object(_)) => {
                    look(part, "/spec", &mut |at, name, value| {
                        if value.is_null() {
                            wrong(at, "there is no null: leave it out");
                        } else if loosens(name, value) {
                            loose.push(at.to_owned());
                        }
                    });
                    let found = contradictions(part).into_iter();
                    loose.extend(found.map(|(at, _)| format!("/spec{at}")));
                }
                ("metadata" | "spec", _) => wrong(&format!("/{name}"), "it is an object"),
                _ => wrong(&format!("/{}", escaped(name)), "there are `metadata` and `spec` only"),
            }
        }
        for at in loose.iter().filter(|_| reason.is_none()) {
            wrong(
                at,
                "it gives more than a pod has at Kubernetes' level `restricted`, or takes a wall away: that \
                 needs a reason in `unrestricted`",
            );
        }
        faults
    }
}

fn check_metadata(
    metadata: &Map<String, Value>,
    wrong: &mut impl FnMut(&str, &str),
    loose: &mut Vec<String>,
) {
    for (kind, entries) in metadata {
        let at = format!("/metadata/{}", escaped(kind));
        let entries = match (&**kind, entries) {
            ("labels" | "annotations", Value::Object(entries)) => entries,
            ("labels" | "annotations", _) => {
                wrong(&at, "it is an object of texts");
                continue;
            }
            _ => {
                wrong(&at, "there are `labels` and `annotations` only");
                continue;
            }
        };
        for (key, value) in entries {
            let at = format!("{at}/{}", escaped(key));
            if key.starts_with(OURS) {
                wrong(&at, "what begins with muster.dev/ is the hub's own");
            } else if let Err(why) = label_key(key) {
                wrong(&at, &format!("it {why}"));
            } else if kind == "annotations" && annotation_contradicts(key, value) {
                loose.push(at.clone());
            }
            match value {
                Value::String(text) if kind == "labels" => {
                    let bad = label_value(text).err();
                    bad.into_iter().for_each(|why| wrong(&at, &format!("its value {why}")));
                }
                Value::String(_) => {}
                _ => wrong(&at, "its value is a text"),
            }
        }
    }
}

/// Goes through all members, those of members too.
fn look(value: &Value, at: &str, found: &mut impl FnMut(&str, &str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let at = format!("{at}/{}", escaped(name));
                found(&at, name, value);
                look(value, &at, found);
            }
        }
        Value::Array(elements) => {
            for (n, value) in elements.iter().enumerate() {
                let at = format!("{at}/{n}");
                found(&at, "", value);
                look(value, &at, found);
            }
        }
        _ => {}
    }
}

/// Does it reach the cluster's API, or take away what the hub wrote?
fn loosens(name: &str, value: &Value) -> bool {
    match name {
        "automountServiceAccountToken" => value != false,
        "serviceAccountToken" => true,
        // `$patch` and its like.
        _ => name.starts_with('$'),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(template: Value, unrestricted: Option<&str>) -> Vec<(String, String)> {
        let unrestricted = unrestricted.map(str::to_owned);
        PodSettings { template, unrestricted, limit_cpu: false }.faults()
    }

    fn places(template: Value) -> Vec<String> {
        faults(template, None).into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn a_template_says_what_a_pod_has_and_nothing_of_the_hub() {
        assert_eq!(PodSettings::default().faults(), []);
        let good = json!({"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "lab"}, "annotations": {"note": "ü, any text"}},
            "spec": {"serviceAccountName": "models", "imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}], "priorityClassName": "low", "hostNetwork": false,
                "securityContext": {"runAsUser": 1000, "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "model", "securityContext": {"allowPrivilegeEscalation": false}}]}});
        assert_eq!(faults(good, None), []);
        for (template, place) in [
            (json!([]), "/template"),
            (json!("x"), "/template"),
            (json!({"spec": {"x": "x".repeat(MOST_BYTES)}}), "/template"),
            (json!({"kind": "Pod"}), "/template/kind"),
            (json!({"spec": []}), "/template/spec"),
            (json!({"metadata": {"name": "x"}}), "/template/metadata/name"),
            (json!({"metadata": {"labels": ["x"]}}), "/template/metadata/labels"),
            (
                json!({"metadata": {"labels": {"muster.dev/hub": "x"}}}),
                "/template/metadata/labels/muster.dev~1hub",
            ),
            (
                json!({"metadata": {"annotations": {"muster.dev/x": "x"}}}),
                "/template/metadata/annotations/muster.dev~1x",
            ),
            (json!({"metadata": {"labels": {"a b": "x"}}}), "/template/metadata/labels/a b"),
            (json!({"metadata": {"labels": {"a": "b c"}}}), "/template/metadata/labels/a"),
            (json!({"metadata": {"annotations": {"a": 1}}}), "/template/metadata/annotations/a"),
            (
                json!({"metadata": {"labels": {"privileged": null}}}),
                "/template/metadata/labels/privileged",
            ),
            (json!({"spec": {"nodeName": null}}), "/template/spec/nodeName"),
            (json!({"spec": {"tolerations": [null]}}), "/template/spec/tolerations/0"),
        ] {
            assert_eq!(places(template.clone()), [place], "{template}");
            let all = faults(template.clone(), Some("its image runs as root"));
            assert_eq!(all.len(), 1, "a reason does not help {template}");
        }
    }

    #[test]
    fn more_than_a_pod_may_have_needs_a_reason() {
        for (spec, place) in [
            (json!({"hostNetwork": true}), "hostNetwork"),
            (json!({"nodeSelector": {"privileged": "false"}}), "nodeSelector/privileged"),
            (json!({"hostNetwork": "true"}), "hostNetwork"),
            (json!({"hostPID": true}), "hostPID"),
            (json!({"hostIPC": true}), "hostIPC"),
            (json!({"automountServiceAccountToken": true}), "automountServiceAccountToken"),
            (json!({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}), "volumes/0/hostPath"),
            (
                json!({"volumes": [{"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}),
                "volumes/0/projected/sources/0/serviceAccountToken",
            ),
            (
                json!({"containers": [{"securityContext": {"privileged": true}}]}),
                "containers/0/securityContext/privileged",
            ),
            (
                json!({"initContainers": [{"securityContext": {"allowPrivilegeEscalation": true}}]}),
                "initContainers/0/securityContext/allowPrivilegeEscalation",
            ),
            (
                json!({"containers": [{"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}),
                "containers/0/securityContext/capabilities",
            ),
            (
                json!({"containers": [{"ports": [{"hostPort": 80}]}]}),
                "containers/0/ports/0/hostPort",
            ),
            (json!({"securityContext": {"runAsUser": 0}}), "securityContext/runAsUser"),
            (json!({"securityContext": {"runAsNonRoot": false}}), "securityContext/runAsNonRoot"),
            (
                json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
                "securityContext/seccompProfile",
            ),
            (
                json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
                "securityContext/sysctls",
            ),
            (json!({"securityContext": {"$patch": "replace"}}), "securityContext/$patch"),
        ] {
            let template = json!({ "spec": spec });
            assert_eq!(places(template.clone()), [format!("/template/spec/{place}")], "{template}");
            assert_eq!(faults(template.clone(), Some("its image runs as root")), [], "{template}");
        }
        let profile = "container.apparmor.security.beta.kubernetes.io/model";
        let old = json!({"metadata": {"annotations": {profile: "unconfined"}}});
        assert_eq!((faults(old.clone(), None).len(), faults(old, Some("it traces")).len()), (1, 0));
        for blank in ["", "  ", "a\nb", &"x".repeat(501)] {
            let all = faults(Value::Null, Some(blank));
            assert_eq!(all.first().map(|(at, _)| &**at), Some("/unrestricted"), "{blank:?}");
        }
    }
}
