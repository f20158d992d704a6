//! What an object has to be like: names, labels, and of pods what matters to whoever makes them.

use serde_json::{Value, json};

use crate::actors::quantity::Quantity;
use crate::objects::items;
use crate::status::Fault;
use crate::{Kind, Resource};

use super::Call;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
    or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', \
    regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, \
    '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or \
    'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must \
    start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', \
    regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

pub(super) fn new(kind: &Kind, object: &Value) -> Vec<Fault> {
    let mut faults = metadata(kind, object);
    let of = kind.resource();
    if of == Resource::pods() {
        pod(&object["spec"], "spec", &mut faults);
    }
    if of.group == "apps" {
        workload(object, &mut faults);
    }
    faults
}

pub(super) fn changed(call: &Call, before: &Value, new: &Value) -> Vec<Fault> {
    let mut faults = metadata(&call.kind, new);
    let held = |object: &Value| -> Vec<String> {
        let all = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        all.filter_map(|each| each.as_str().map(str::to_owned)).collect()
    };
    if before["metadata"]["deletionTimestamp"].is_string() {
        let was = held(before);
        let more: Vec<String> = held(new).into_iter().filter(|each| !was.contains(each)).collect();
        if !more.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new \
                 finalizers []string{{{}}}",
                more.iter().map(|each| format!("{each:?}")).collect::<Vec<_>>().join(", ")
            );
            faults.push(Fault::forbidden("metadata.finalizers", &why));
        }
    }
    let of = call.kind.resource();
    if of == Resource::pods() && call.sub.is_none() {
        pod_change(&before["spec"], &new["spec"], &mut faults);
    }
    if of.group == "apps" && before["spec"]["selector"] != new["spec"]["selector"] {
        faults.push(Fault::invalid(
            "spec.selector",
            &new["spec"]["selector"],
            "field is immutable",
        ));
    }
    if of.group == "batch" && before["spec"]["template"] != new["spec"]["template"] {
        faults.push(Fault::invalid("spec.template", &json!(".."), "field is immutable"));
    }
    faults
}

fn metadata(kind: &Kind, object: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap_or_default();
    let (name, generate) = (text("name"), text("generateName"));
    if name.is_empty() && generate.is_empty() {
        faults.push(Fault::required("metadata.name", "name or generateName is required"));
    }
    // Names of roles may be nearly anything.
    let free = kind.group == "rbac.authorization.k8s.io";
    let one_label = kind.builtin
        && matches!(kind.plural.as_str(), "namespaces" | "services")
        && kind.group.is_empty();
    let (fits, why): (fn(&str) -> bool, &str) =
        if one_label { (is_label, LABEL) } else { (is_subdomain, SUBDOMAIN) };
    if free {
        if name.contains('/') || name.contains('%') || name == "." || name == ".." {
            faults.push(Fault::invalid("metadata.name", &meta["name"], "may not contain '/'"));
        }
    } else if !name.is_empty() && !fits(name) {
        faults.push(Fault::invalid("metadata.name", &meta["name"], why));
    } else if name.is_empty() && !generate.is_empty() && !fits(&format!("{generate}x")) {
        faults.push(Fault::invalid("metadata.generateName", &meta["generateName"], why));
    }
    labels(&meta["labels"], "metadata.labels", &mut faults);
    let mut size = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        if !is_key(&key.to_lowercase()) {
            faults.push(Fault::invalid("metadata.annotations", &json!(key), KEY));
        }
        match value.as_str() {
            Some(value) => size += key.len() + value.len(),
            None => faults.push(Fault::invalid("metadata.annotations", value, "must be a string")),
        }
    }
    if size > 256 * 1024 {
        let message = "Too long: may not be more than 262144 bytes".to_owned();
        let field = "metadata.annotations".to_owned();
        faults.push(Fault { field, reason: "FieldValueTooLong", message });
    }
    faults
}

fn labels(labels: &Value, field: &str, faults: &mut Vec<Fault>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if !is_key(key) {
            faults.push(Fault::invalid(field, &json!(key), KEY));
        }
        match value.as_str() {
            Some(text) if text.len() > 63 => {
                faults.push(Fault::invalid(field, value, "must be no more than 63 bytes"));
            }
            Some(text) if is_value(text) => {}
            _ => faults.push(Fault::invalid(field, value, VALUE)),
        }
    }
}

fn workload(object: &Value, faults: &mut Vec<Fault>) {
    let spec = &object["spec"];
    let Some(selector) = super::Labels::from_selector(&spec["selector"]) else {
        faults.push(Fault::required("spec.selector", ""));
        return;
    };
    let labels = &spec["template"]["metadata"]["labels"];
    if !selector.fit(labels) {
        let why = "`selector` does not match template `labels`";
        faults.push(Fault::invalid("spec.template.metadata.labels", labels, why));
    }
    pod(&spec["template"]["spec"], "spec.template.spec", faults);
}

fn pod(spec: &Value, at: &str, faults: &mut Vec<Fault>) {
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        faults.push(Fault::required(format!("{at}.containers"), ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let at = format!("{at}.{list}[{index}]");
            match container["name"].as_str() {
                None | Some("") => faults.push(Fault::required(format!("{at}.name"), "")),
                Some(name) if !is_label(name) => {
                    faults.push(Fault::invalid(format!("{at}.name"), &container["name"], LABEL));
                }
                Some(name) if names.contains(&name) => {
                    let message = format!("Duplicate value: {name:?}");
                    let field = format!("{at}.name");
                    faults.push(Fault { field, reason: "FieldValueDuplicate", message });
                }
                Some(name) => names.push(name),
            }
            if container["image"].as_str().is_none_or(str::is_empty) {
                faults.push(Fault::required(format!("{at}.image"), ""));
            }
            resources(&container["resources"], &format!("{at}.resources"), faults);
            let volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
            for (index, mount) in
                container["volumeMounts"].as_array().into_iter().flatten().enumerate()
            {
                if !volumes.iter().any(|volume| volume["name"] == mount["name"]) {
                    let name = mount["name"].as_str().unwrap_or_default();
                    let message = format!("Not found: {name:?}");
                    let field = format!("{at}.volumeMounts[{index}].name");
                    faults.push(Fault { field, reason: "FieldValueNotFound", message });
                }
            }
        }
    }
    let policy = &spec["restartPolicy"];
    const POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];
    if policy.as_str().is_none_or(|policy| !POLICIES.contains(&policy)) {
        faults.push(Fault::unsupported(format!("{at}.restartPolicy"), policy, &POLICIES));
    }
    for (index, toleration) in spec["tolerations"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{at}.tolerations[{index}]");
        if toleration["tolerationSeconds"].is_number() && toleration["effect"] != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.push(Fault::invalid(format!("{at}.effect"), &toleration["effect"], why));
        }
        if toleration["key"].as_str().is_none_or(str::is_empty)
            && toleration["operator"] != "Exists"
        {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.push(Fault::invalid(format!("{at}.operator"), &toleration["operator"], why));
        }
    }
    labels(&spec["nodeSelector"], &format!("{at}.nodeSelector"), faults);
}

fn resources(resources: &Value, at: &str, faults: &mut Vec<Fault>) {
    let amount = |value: &Value| match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    for kind in ["limits", "requests"] {
        for (name, value) in resources[kind].as_object().into_iter().flatten() {
            let at = format!("{at}.{kind}[{name}]");
            match amount(value) {
                None => {
                    let why = "quantities must match the regular expression \
                               '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
                    faults.push(Fault::invalid(at, value, why));
                }
                Some(Quantity(..0)) => {
                    faults.push(Fault::invalid(at, value, "must be greater than or equal to 0"));
                }
                Some(_) => {}
            }
        }
    }
    for (name, asked) in resources["requests"].as_object().into_iter().flatten() {
        let limit = amount(&resources["limits"][name]);
        let extended = name.contains('/');
        let why = match (amount(asked), limit) {
            (Some(asked), Some(limit)) if asked > limit => "must be less than or equal to",
            (Some(asked), Some(limit)) if extended && asked != limit => "must be equal to",
            (Some(_), None) if extended => {
                let why = "Limit must be set for non overcommitable resources";
                faults.push(Fault::required(format!("{at}.limits"), why));
                continue;
            }
            _ => continue,
        };
        let limit = resources["limits"][name].as_str().unwrap_or_default();
        let why = format!("{why} {name} limit of {limit}");
        faults.push(Fault::invalid(format!("{at}.requests"), asked, &why));
    }
}

/// Of a pod's spec only a few fields can change.
fn pod_change(before: &Value, new: &Value, faults: &mut Vec<Fault>) {
    let mut same = new.clone();
    for list in ["containers", "initContainers"] {
        let was = before[list].as_array().cloned().unwrap_or_default();
        for (container, was) in items(&mut same, list).zip(was) {
            container["image"] = was["image"].clone();
        }
    }
    let tolerated = |spec: &Value| spec["tolerations"].as_array().cloned().unwrap_or_default();
    let after = tolerated(new);
    if tolerated(before).iter().all(|each| after.contains(each)) {
        keep(&mut same, before, "tolerations");
    }
    let gates = |spec: &Value| spec["schedulingGates"].as_array().cloned().unwrap_or_default();
    let was = gates(before);
    if gates(new).iter().all(|gate| was.contains(gate)) {
        keep(&mut same, before, "schedulingGates");
    }
    let deadline = |spec: &Value| spec["activeDeadlineSeconds"].as_i64();
    match (deadline(before), deadline(new)) {
        (Some(was), Some(is)) if is > was => {
            let why = "must be less than or equal to previous value";
            let at = "spec.activeDeadlineSeconds";
            faults.push(Fault::invalid(at, &new["activeDeadlineSeconds"], why));
        }
        (Some(_), None) => {
            let why = "must not update from a positive integer to nil value";
            faults.push(Fault::invalid("spec.activeDeadlineSeconds", &Value::Null, why));
        }
        _ => {}
    }
    keep(&mut same, before, "activeDeadlineSeconds");
    if same != *before {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,\
            `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
            additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be \
            set to 1 if it was previously negative)";
        faults.push(Fault::forbidden("spec", why));
    }
}

/// One field as it was.
fn keep(spec: &mut Value, before: &Value, field: &str) {
    let Some(spec) = spec.as_object_mut() else { return };
    match before.get(field) {
        Some(value) => spec.insert(field.to_owned(), value.clone()),
        None => spec.remove(field),
    };
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty()
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn is_value(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || (text.chars().all(|c| edge(c) || "-_.".contains(c))
            && text.starts_with(edge)
            && text.ends_with(edge))
}

/// `name` or `example.com/name`.
fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(p, name)| (Some(p), name));
    prefix.is_none_or(is_subdomain) && !name.is_empty() && name.len() <= 63 && is_value(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(spec: Value) -> Vec<String> {
        let mut faults = Vec::new();
        pod(&spec, "spec", &mut faults);
        faults.into_iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect()
    }

    #[test]
    fn a_pod_has_containers_with_names_images_and_amounts_that_fit() {
        let good = json!({ "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i",
            "resources": { "requests": { "cpu": "500m" }, "limits": { "cpu": 1, "memory": "1Gi" } } }] });
        assert_eq!(faults(good), Vec::<String>::new());
        let bad = json!({ "restartPolicy": "Sometimes", "containers": [
            { "name": "C", "resources": { "requests": { "cpu": "2", "memory": "lots" }, "limits": { "cpu": "1" } } },
        ] });
        let found = faults(bad).join("\n");
        for part in [
            "spec.containers[0].name: Invalid value: \"C\": a lowercase RFC 1123 label",
            "spec.containers[0].image: Required value",
            "requests[memory]: Invalid value: \"lots\": quantities must match",
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            "spec.restartPolicy: Unsupported value: \"Sometimes\"",
        ] {
            assert!(found.contains(part), "{part}\n{found}");
        }
    }

    #[test]
    fn of_a_pod_only_what_the_documentation_names_changes() {
        let before = json!({ "containers": [{ "name": "c", "image": "a" }], "activeDeadlineSeconds": 60,
            "tolerations": [{ "key": "x" }] });
        let change = |change: fn(&mut Value)| {
            let mut new = before.clone();
            change(&mut new);
            let mut faults = Vec::new();
            pod_change(&before, &new, &mut faults);
            faults.len()
        };
        assert_eq!(change(|spec| spec["containers"][0]["image"] = json!("b")), 0);
        assert_eq!(change(|spec| spec["activeDeadlineSeconds"] = json!(30)), 0);
        assert_eq!(change(|spec| spec["tolerations"] = json!([{ "key": "y" }, { "key": "x" }])), 0);
        assert_eq!(change(|spec| spec["tolerations"] = json!([])), 1);
        assert_eq!(change(|spec| spec["activeDeadlineSeconds"] = json!(90)), 1);
        assert_eq!(change(|spec| spec["nodeName"] = json!("n")), 1);
    }

    #[test]
    fn names_and_labels_follow_their_rules() {
        for (text, fits) in [("a-b.c", true), ("A", false), ("-a", false), ("a..b", false)] {
            assert_eq!(is_subdomain(text), fits, "{text}");
        }
        for (text, fits) in
            [("muster.dev/model", true), ("a/b/c", false), ("x_Y.1", true), ("", false)]
        {
            assert_eq!(is_key(text), fits, "{text}");
        }
        for (text, fits) in
            [("", true), ("a b", false), ("é", false), ("_a", false), ("A.b_c", true)]
        {
            assert_eq!(is_value(text), fits, "{text}");
        }
    }
}
