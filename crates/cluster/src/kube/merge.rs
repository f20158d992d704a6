//! The strategic merge patch of Kubernetes, for templates of pods.
//!
//! Source: <https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/>
//! and the merge keys of the API reference. In one thing it differs: tolerations are added, since those of
//! the hub would be lost otherwise.

use serde_json::{Map, Value};

/// Lists whose elements have a name, by the field that the list is in.
const KEYS: [(&str, &str); 13] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("imagePullSecrets", "name"),
    ("resourceClaims", "name"),
    ("schedulingGates", "name"),
    ("env", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ownerReferences", "uid"),
];

/// What a volume is: a patch that says it anew replaces it.
const VOLUME: &str = "volumes";

/// Lays a patch over a target. Says what of the patch cannot be understood; the target is of no use then.
pub(crate) fn merge(target: &mut Value, patch: &Value) -> Result<(), String> {
    let Value::Object(patch) = patch else {
        return Err("it is not an object".to_owned());
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else { return Ok(()) };
    merge_members(members, patch, "")
}

fn merge_members(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    path: &str,
) -> Result<(), String> {
    match patch.get("$patch").map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => target.clear(),
        Some(other) => return Err(format!("{path}$patch: {other:?} is not understood here")),
    }
    for (name, value) in patch {
        let path = format!("{path}{name}");
        match value {
            _ if name == "$patch" || name.starts_with("$setElementOrder/") => {}
            _ if name.starts_with('$') => return Err(format!("{path} is not understood")),
            Value::Null => drop(target.remove(name)),
            Value::Object(patch) => {
                let of = target.entry(name.clone()).or_insert(Value::Null);
                if !of.is_object() {
                    *of = Value::Object(Map::new());
                }
                let Value::Object(of) = of else { continue };
                merge_members(of, patch, &format!("{path}."))?;
            }
            Value::Array(patch) => merge_list(target, name, patch, &path)?,
            value => drop(target.insert(name.clone(), value.clone())),
        }
    }
    Ok(())
}

fn merge_list(
    target: &mut Map<String, Value>,
    name: &str,
    patch: &[Value],
    path: &str,
) -> Result<(), String> {
    let key = KEYS.iter().find(|(list, _)| *list == name).map(|(_, key)| *key);
    let of = target.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if !of.is_array() {
        *of = Value::Array(Vec::new());
    }
    let Value::Array(list) = of else { return Ok(()) };
    match (key, name) {
        (Some(key), _) => {
            for element in patch {
                merge_element(list, (name, key), element, path)?;
            }
        }
        (None, "tolerations") => {
            for toleration in patch {
                list.retain(|other| !same_taint(other, toleration));
                list.push(toleration.clone());
            }
        }
        (None, _) => *list = patch.to_vec(),
    }
    Ok(())
}

/// Do they tolerate the same taint, each in its way?
fn same_taint(one: &Value, other: &Value) -> bool {
    ["key", "effect", "value"].iter().all(|field| one.get(field) == other.get(field))
}

fn merge_element(
    list: &mut Vec<Value>,
    (name, key): (&str, &str),
    element: &Value,
    path: &str,
) -> Result<(), String> {
    let Value::Object(patch) = element else {
        return Err(format!("an element of {path} is not an object"));
    };
    let directive = patch.get("$patch").and_then(Value::as_str);
    let Some(wanted) = patch.get(key) else {
        if directive == Some("replace") {
            list.clear();
            return Ok(());
        }
        return Err(format!("an element of {path} has no {key}"));
    };
    let found = list.iter().position(|other| other.get(key) == Some(wanted));
    if directive == Some("delete") {
        list.retain(|other| other.get(key) != Some(wanted));
        return Ok(());
    }
    let mut members = match found.and_then(|at| list[at].as_object()) {
        // Two kinds of volume at once are none.
        Some(_) if name == VOLUME => Map::new(),
        Some(members) => members.clone(),
        None => Map::new(),
    };
    let shown = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
    merge_members(&mut members, patch, &format!("{path}[{shown}]."))?;
    match found {
        Some(at) => list[at] = Value::Object(members),
        None => list.push(Value::Object(members)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_named_things_are_merged_by_their_names() {
        for (target, patch, merged) in [
            (json!({"a": 1, "b": 2}), json!({"a": null, "b": {"c": 3}}), json!({"b": {"c": 3}})),
            (
                json!({"containers": [{"name": "model", "image": "a", "env": [{"name": "X", "value": "1"}]}]}),
                json!({"containers": [
                    {"name": "model", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]},
                    {"name": "helper", "image": "b"},
                ]}),
                json!({"containers": [
                    {"name": "model", "image": "a",
                     "env": [{"name": "X", "value": "3"}, {"name": "Y", "value": "2"}]},
                    {"name": "helper", "image": "b"},
                ]}),
            ),
            (
                json!({"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "x", "emptyDir": {}}]}),
                json!({"volumes": [
                    {"name": "tmp", "persistentVolumeClaim": {"claimName": "big"}},
                    {"$patch": "delete", "name": "x"},
                ]}),
                json!({"volumes": [{"name": "tmp", "persistentVolumeClaim": {"claimName": "big"}}]}),
            ),
            (
                json!({"args": ["a"], "ports": [{"containerPort": 80}]}),
                json!({"args": ["b", "c"], "ports": [{"containerPort": 81}]}),
                json!({"args": ["b", "c"], "ports": [{"containerPort": 80}, {"containerPort": 81}]}),
            ),
            (
                json!({"env": [{"name": "X"}]}),
                json!({"env": [{"$patch": "replace"}, {"name": "Y"}]}),
                json!({"env": [{"name": "Y"}]}),
            ),
            (
                json!({"labels": {"a": "1"}}),
                json!({"labels": {"$patch": "replace", "b": "2"}}),
                json!({"labels": {"b": "2"}}),
            ),
        ] {
            let mut got = target.clone();
            merge(&mut got, &patch).expect("it is understood");
            assert_eq!(got, merged, "{target} {patch}");
        }
    }

    #[test]
    fn tolerations_are_added_and_the_same_one_is_replaced() {
        let mut pod = json!({"tolerations": [
            {"key": "gone", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
        ]});
        let patch = json!({"tolerations": [
            {"key": "gpu", "operator": "Exists"},
            {"key": "gone", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
        ]});
        for _ in 0..2 {
            merge(&mut pod, &patch).expect("it is understood");
            assert_eq!(pod, patch);
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (patch, why) in [
            (json!([]), "it is not an object"),
            (
                json!({"a": {"containers": [{"image": "x"}]}}),
                "an element of a.containers has no name",
            ),
            (json!({"containers": ["x"]}), "an element of containers is not an object"),
            (
                json!({"containers": [{"name": "m", "$retainKeys": ["name"]}]}),
                "containers[m].$retainKeys is not understood",
            ),
            (json!({"a": {"$patch": "delete"}}), "a.$patch: \"delete\" is not understood here"),
        ] {
            assert_eq!(merge(&mut json!({}), &patch), Err(why.to_owned()), "{patch}");
        }
    }
}
