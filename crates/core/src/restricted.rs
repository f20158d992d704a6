//! Kubernetes' level `restricted`: what of a pod contradicts it. The only list of it.
//!
//! Source: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use serde_json::Value;

use crate::pointer::escaped;

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
const SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
/// How annotations of old named the profile of a container.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What in a pod's or a template's `spec` contradicts the level: where, as a JSON pointer into it, and what it
/// is called. By its name, wherever it stands: nothing else of a pod is called so. What is not there is not
/// missed: whoever makes the pod fills it in.
pub fn contradictions(spec: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    look(spec, "", &mut found);
    found
}

/// Does an annotation take the profile of AppArmor away?
pub fn annotation_contradicts(name: &str, value: &Value) -> bool {
    let is_good =
        |text: &str| matches!(text, "" | "runtime/default") || text.starts_with("localhost/");
    name.starts_with(APP_ARMOR) && !value.as_str().is_some_and(is_good)
}

fn look(value: &Value, at: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let at = format!("{at}/{}", escaped(name));
                if let ("volumes", Value::Array(volumes)) = (&**name, value) {
                    volumes_of(volumes, &at, found);
                }
                match contradicts(name, value) {
                    Some(what) => found.push((at, what)),
                    None => look(value, &at, found),
                }
            }
        }
        Value::Array(elements) => {
            for (n, value) in elements.iter().enumerate() {
                look(value, &format!("{at}/{n}"), found);
            }
        }
        _ => {}
    }
}

fn volumes_of(volumes: &[Value], at: &str, found: &mut Vec<(String, String)>) {
    for (n, volume) in volumes.iter().enumerate() {
        let kinds = volume.as_object().into_iter().flatten();
        let kinds = kinds.filter(|(kind, value)| !value.is_null() && *kind != "name");
        for (kind, _) in kinds.filter(|(kind, _)| !VOLUMES.contains(&kind.as_str())) {
            found.push((
                format!("{at}/{n}/{}", escaped(kind)),
                format!("a volume of the kind {kind}"),
            ));
        }
    }
}

/// What a member of this name is called if its value contradicts the level.
fn contradicts(name: &str, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let is_bad = match name {
        "hostNetwork"
        | "hostPID"
        | "hostIPC"
        | "hostProcess"
        | "privileged"
        | "allowPrivilegeEscalation" => *value != false,
        "runAsNonRoot" => *value != true,
        "runAsUser" => *value == 0,
        "hostPort" => *value != 0,
        // Of a probe or a hook: the node would call another host.
        "httpGet" | "tcpSocket" => !matches!(value["host"].as_str(), None | Some("")),
        "procMount" => *value != "Default",
        "capabilities" => {
            let list = |of: &str| value[of].as_array().map_or(&[][..], |all| all);
            let adds = list("add").iter().any(|added| added != "NET_BIND_SERVICE");
            adds || (!value["drop"].is_null() && !list("drop").iter().any(|it| it == "ALL"))
        }
        "seccompProfile" | "appArmorProfile" => {
            !matches!(value["type"].as_str(), Some("RuntimeDefault" | "Localhost"))
        }
        "seLinuxOptions" => {
            let is_set = |of: &str| !matches!(value[of].as_str(), None | Some(""));
            let kind = value["type"].as_str().unwrap_or_default();
            !value.is_object() || is_set("user") || is_set("role") || !SELINUX_TYPES.contains(&kind)
        }
        "sysctls" => {
            let is_safe = |it: &Value| it["name"].as_str().is_some_and(|it| SYSCTLS.contains(&it));
            !value.as_array().is_some_and(|all| all.iter().all(is_safe))
        }
        _ => false,
    };
    let words = || match (name, value) {
        ("capabilities", _) => {
            "capabilities beyond NET_BIND_SERVICE, or without dropping ALL".to_owned()
        }
        ("seccompProfile" | "appArmorProfile", _) => {
            format!("{name} {}", value["type"].as_str().unwrap_or("without a type"))
        }
        ("httpGet" | "tcpSocket", _) => "a probe or hook of another host".to_owned(),
        (_, Value::Bool(_) | Value::Number(_)) => format!("{name}: {value}"),
        _ => name.to_owned(),
    };
    is_bad.then(words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(spec: &Value) -> Vec<String> {
        contradictions(spec).into_iter().map(|(at, _)| at).collect()
    }

    /// The rows of the document, with each value that it allows and some that it does not.
    #[test]
    fn each_row_of_the_document_is_kept() {
        let of_pod = |context: Value| json!({ "securityContext": context });
        let of =
            |list: &str, context: Value| json!({list: [{"name": "c", "securityContext": context}]});
        let port = |port: Value| json!({"containers": [{"ports": [{"containerPort": 1, "hostPort": port}]}]});
        let volume = |kind: &str| json!({"volumes": [{"name": "v", kind: {}}]});
        let sysctl = |name: &str| of_pod(json!({"sysctls": [{"name": name, "value": "1"}]}));
        let probe = |host: Value| json!({"containers": [{"livenessProbe": {"httpGet": {"host": host, "port": 80}}}]});
        let mut rows: Vec<(&str, Vec<Value>, Vec<Value>)> = vec![
            (
                "host namespaces",
                vec![json!({"hostNetwork": false, "hostPID": null}), json!({})],
                vec![
                    json!({"hostNetwork": true}),
                    json!({"hostPID": true}),
                    json!({"hostIPC": true}),
                ],
            ),
            (
                "host ports",
                vec![port(json!(0)), port(Value::Null)],
                vec![port(json!(80)), port(json!("80"))],
            ),
            (
                "host probes and hooks",
                vec![probe(json!("")), probe(Value::Null)],
                vec![
                    probe(json!("10.0.0.1")),
                    json!({"containers": [{"lifecycle": {"preStop": {"tcpSocket": {"host": "a"}}}}]}),
                ],
            ),
            (
                "sysctls",
                SYSCTLS
                    .iter()
                    .map(|name| sysctl(name))
                    .chain([of_pod(json!({"sysctls": []}))])
                    .collect(),
                vec![sysctl("kernel.msgmax"), of_pod(json!({"sysctls": "all"}))],
            ),
            (
                "volumes",
                VOLUMES.iter().map(|kind| volume(kind)).collect(),
                ["hostPath", "nfs", "awsElasticBlockStore", "iscsi", "gitRepo"].map(volume).into(),
            ),
        ];
        let contexts: [(&str, Vec<Value>, Vec<Value>); 9] = [
            (
                "host process",
                vec![json!({"windowsOptions": {"hostProcess": false, "runAsUserName": "ada"}})],
                vec![json!({"windowsOptions": {"hostProcess": true}})],
            ),
            ("privileged", vec![json!({"privileged": false})], vec![json!({"privileged": true})]),
            (
                "capabilities",
                vec![
                    json!({"capabilities": {"drop": ["ALL"]}}),
                    json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
                    json!({"capabilities": {}}),
                ],
                vec![
                    json!({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}),
                    json!({"capabilities": {"add": ["SYS_ADMIN"]}}),
                    json!({"capabilities": {"drop": ["NET_RAW"]}}),
                    json!({"capabilities": {"drop": []}}),
                ],
            ),
            (
                "AppArmor",
                vec![
                    json!({"appArmorProfile": {"type": "RuntimeDefault"}}),
                    json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}}),
                ],
                vec![
                    json!({"appArmorProfile": {"type": "Unconfined"}}),
                    json!({"appArmorProfile": {}}),
                ],
            ),
            (
                "SELinux",
                SELINUX_TYPES
                    .iter()
                    .map(|kind| json!({"seLinuxOptions": {"type": kind, "level": "s0:c1"}}))
                    .chain([json!({"seLinuxOptions": {"user": "", "role": ""}})])
                    .collect(),
                vec![
                    json!({"seLinuxOptions": {"type": "spc_t"}}),
                    json!({"seLinuxOptions": {"user": "root"}}),
                    json!({"seLinuxOptions": {"role": "sysadm_r"}}),
                ],
            ),
            (
                "proc mount",
                vec![json!({"procMount": "Default"})],
                vec![json!({"procMount": "Unmasked"})],
            ),
            (
                "seccomp",
                vec![
                    json!({"seccompProfile": {"type": "RuntimeDefault"}}),
                    json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}}),
                ],
                vec![json!({"seccompProfile": {"type": "Unconfined"}})],
            ),
            (
                "privilege escalation",
                vec![json!({"allowPrivilegeEscalation": false})],
                vec![json!({"allowPrivilegeEscalation": true})],
            ),
            (
                "running as root",
                vec![
                    json!({"runAsNonRoot": true}),
                    json!({"runAsUser": 1000}),
                    json!({"runAsUser": null}),
                ],
                vec![json!({"runAsNonRoot": false}), json!({"runAsUser": 0})],
            ),
        ];
        for (row, good, bad) in contexts {
            let everywhere = |contexts: Vec<Value>| {
                let all = contexts.into_iter().flat_map(|context| {
                    [
                        of_pod(context.clone()),
                        of("containers", context.clone()),
                        of("initContainers", context),
                    ]
                });
                all.collect()
            };
            rows.push((row, everywhere(good), everywhere(bad)));
        }
        for (row, good, bad) in rows {
            for spec in good {
                assert_eq!(contradictions(&spec), [], "{row}: {spec}");
            }
            for spec in bad {
                assert_eq!(places(&spec).len(), 1, "{row}: {spec}");
            }
        }
    }

    #[test]
    fn what_contradicts_is_named_with_its_place() {
        let spec = json!({
            "containers": [{"name": "m", "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "Unconfined"}}}],
            "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/"}}],
        });
        let named = |at: &str, what: &str| (at.to_owned(), what.to_owned());
        assert_eq!(
            contradictions(&spec),
            [
                named("/containers/0/securityContext/runAsUser", "runAsUser: 0"),
                named("/containers/0/securityContext/seccompProfile", "seccompProfile Unconfined"),
                named("/volumes/1/hostPath", "a volume of the kind hostPath"),
            ]
        );
    }

    #[test]
    fn annotations_of_old_name_profiles_too() {
        let of = |value: &str| annotation_contradicts(&format!("{APP_ARMOR}model"), &json!(value));
        assert!(!of("runtime/default") && !of("localhost/mine") && !of(""));
        assert!(of("unconfined") && of("x"));
        assert!(!annotation_contradicts("note", &json!("unconfined")));
    }
}
