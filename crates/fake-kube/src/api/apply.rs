//! Server-side apply, and who has set which field. A list is one value, or told apart by the same keys as in a
//! strategic merge.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::objects::{meta, now};
use crate::{Kind, Status};

use super::patch::item_key;
use super::shape::{Shape, whole};
use super::{Answer, Call, Kube, json_answer, write};

/// Steps to a field: `f:name`, `k:{"name":"x"}`, `v:"x"`.
type Path = Vec<String>;
type Fields = BTreeSet<Path>;

/// Who writes, and how.
#[derive(Clone)]
pub(super) struct By {
    manager: String,
    operation: &'static str,
    api_version: String,
    sub: String,
    /// Lists of kinds without a schema are one value.
    schema: bool,
    /// What is applied, all of it the applier's in a new object.
    applied: Fields,
}

impl By {
    pub fn update(call: &Call) -> Self {
        Self {
            manager: call.manager().to_owned(),
            operation: "Update",
            api_version: call.resource().api_version(),
            sub: call.sub.clone().unwrap_or_default(),
            schema: call.kind.builtin,
            applied: Fields::new(),
        }
    }

    /// Writes down who has set what is different now. Who sends other owners than there were wants those.
    pub fn track(&self, before: &Value, after: &mut Value) {
        if self.operation == "Apply" {
            if before.is_null() {
                let mut owners = Owners(Vec::new());
                owners.mine(self).fields.clone_from(&self.applied);
                owners.write(after);
            }
            return;
        }
        let owners = |object: &Value| object["metadata"]["managedFields"].clone();
        let sent = owners(after);
        if sent.as_array().is_none_or(Vec::is_empty) {
            if !owners(before).is_null() {
                meta(after).insert("managedFields".to_owned(), owners(before));
            }
        } else if owners(before) != sent {
            if sent == json!([{}]) {
                meta(after).remove("managedFields");
            }
            return;
        }
        let (was, is) = (fields(before, self.schema), fields(after, self.schema));
        let changed: Fields = is
            .iter()
            .filter(|path| at(before, path) != at(after, path) && !is_item(path))
            .cloned()
            .chain(is.difference(&was).cloned())
            .collect();
        let gone: Fields = was.difference(&is).cloned().collect();
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        let mut owners = Owners::of(before);
        owners.forget(&gone);
        if !changed.is_empty() {
            owners.forget(&changed);
            owners.mine(self).fields.extend(changed);
            owners.mine(self).time = now();
        }
        owners.write(after);
    }
}

pub(super) fn apply(kube: &Kube, call: &Call) -> Answer {
    if call.param("fieldManager").is_none() {
        let text = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                    required for apply patch";
        return Err(Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text));
    }
    let mut sent = call.object()?;
    if sent["apiVersion"].is_null() || sent["kind"].is_null() {
        return Err(Status::bad_request("apiVersion and kind have to be set"));
    }
    let managed = sent["metadata"]["managedFields"].as_array();
    if managed.is_some_and(|all| !all.is_empty()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    meta(&mut sent).remove("managedFields");
    let by = By { operation: "Apply", ..By::update(call) };
    let exists = kube.objects.get(&call.stored(), call.namespace.as_deref(), call.name()).is_some();
    if !exists && call.sub.is_none() {
        let mut new = sent.clone();
        meta(&mut new).insert("name".to_owned(), json!(call.name()));
        let by = By { applied: applied(&sent, &call.kind, ""), ..by };
        let made = write::store_new(kube, call, new, by)?;
        return Ok(json_answer(StatusCode::CREATED, &Shape::of(call).one(&made)));
    }
    let force = call.flag("force");
    let made = write::change(kube, call, by.clone(), |live| {
        merged(&whole(&call.kind, &call.version, live), &sent, &by, (&call.kind, force))
    })?;
    Ok(json_answer(StatusCode::OK, &write::shown(call, &made)))
}

fn merged(
    live: &Value,
    sent: &Value,
    by: &By,
    (kind, force): (&Kind, bool),
) -> Result<Value, Status> {
    let wanted = applied(sent, kind, &by.sub);
    let mut owners = Owners::of(live);
    let mut conflicts: Vec<(String, String, Path)> = Vec::new();
    for owner in owners.0.iter().filter(|owner| !owner.is(by)) {
        for path in wanted.intersection(&owner.fields) {
            if !is_item(path) && at(live, path) != at(sent, path) {
                conflicts.push((owner.manager.clone(), owner.api_version.clone(), path.clone()));
            }
        }
    }
    let taken_over = by.manager == "kubectl" && {
        let before = client_side(live, by.schema);
        conflicts.iter().all(|(.., path)| before.contains(path))
    };
    if !conflicts.is_empty() && !force && !taken_over {
        return Err(conflict(&conflicts));
    }
    let lost: Fields = conflicts.into_iter().map(|(.., path)| path).collect();
    owners.others(by, |owner| owner.fields.retain(|path| !lost.contains(path)));
    let before = std::mem::replace(&mut owners.mine(by).fields, wanted.clone());
    let mut object = live.clone();
    let mut sent = sent.clone();
    if !by.sub.is_empty() {
        sent = json!({ by.sub.as_str(): sent[by.sub.as_str()] });
    } else if kind.status {
        sent.as_object_mut().map(|sent| sent.remove("status"));
    }
    put(&mut object, &sent, (by.schema, ""));
    // What is no longer sent goes, unless somebody else has it.
    let mut left: Vec<&Path> = before.difference(&wanted).collect();
    left.sort_by_key(|path| std::cmp::Reverse(path.len()));
    for path in left {
        let shared = owners.0.iter().any(|owner| owner.fields.iter().any(|f| f.starts_with(path)));
        if !shared {
            take(&mut object, path);
        }
    }
    let unchanged = object == *live;
    if !unchanged || before != wanted {
        owners.mine(by).time = now();
    }
    owners.write(&mut object);
    Ok(object)
}

/// What `kubectl apply` wrote down of itself before it applied on the server: that is no conflict.
fn client_side(live: &Value, schema: bool) -> Fields {
    let text = &live["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    let object: Option<Value> = text.as_str().and_then(|text| serde_json::from_str(text).ok());
    fields(&object.unwrap_or_default(), schema)
}

fn conflict(conflicts: &[(String, String, Path)]) -> Status {
    let named = |path: &Path| {
        path.iter()
            .map(|step| match step.split_once(':') {
                Some(("f", name)) => format!(".{name}"),
                Some((_, key)) => {
                    let key: Value = serde_json::from_str(key).unwrap_or_default();
                    let pairs = key.as_object().into_iter().flatten();
                    let pairs: Vec<String> =
                        pairs.map(|(name, value)| format!("{name}={value}")).collect();
                    format!("[{}]", pairs.join(","))
                }
                None => String::new(),
            })
            .collect::<String>()
    };
    let each = conflicts.iter().map(|(manager, api, path)| {
        format!("conflict with {manager:?} using {api}: {}", named(path))
    });
    let each: Vec<String> = each.collect();
    let (count, text) = match each.as_slice() {
        [one] => ("1 conflict".to_owned(), one.clone()),
        several => (format!("{} conflicts", several.len()), several.join("\n")),
    };
    let mut status =
        Status::new(StatusCode::CONFLICT, "Conflict", format!("Apply failed with {count}: {text}"));
    for (manager, api, path) in conflicts {
        let message = format!("conflict with {manager:?} using {api}");
        status = status.cause("FieldManagerConflict", message, &named(path));
    }
    status
}

/// The fields that an applied object is about.
fn applied(sent: &Value, kind: &Kind, sub: &str) -> Fields {
    let all = fields(sent, kind.builtin);
    let of_status = |path: &Path| path.first().is_some_and(|step| step == "f:status");
    match sub {
        "status" => all.into_iter().filter(of_status).collect(),
        _ if kind.status => all.into_iter().filter(|path| !of_status(path)).collect(),
        _ => all,
    }
}

struct Owner {
    manager: String,
    operation: String,
    sub: String,
    api_version: String,
    time: String,
    fields: Fields,
}

impl Owner {
    fn is(&self, by: &By) -> bool {
        self.manager == by.manager && self.operation == by.operation && self.sub == by.sub
    }
}

struct Owners(Vec<Owner>);

impl Owners {
    fn of(object: &Value) -> Self {
        let all = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let owner = |each: &Value| {
            let text = |field: &str| each[field].as_str().unwrap_or_default().to_owned();
            let mut fields = Fields::new();
            read_tree(&each["fieldsV1"], &mut Vec::new(), &mut fields);
            Owner {
                manager: text("manager"),
                operation: text("operation"),
                sub: text("subresource"),
                api_version: text("apiVersion"),
                time: text("time"),
                fields,
            }
        };
        Self(all.map(owner).collect())
    }

    fn mine(&mut self, by: &By) -> &mut Owner {
        let at = self.0.iter().position(|owner| owner.is(by)).unwrap_or_else(|| {
            self.0.push(Owner {
                manager: by.manager.clone(),
                operation: by.operation.to_owned(),
                sub: by.sub.clone(),
                api_version: by.api_version.clone(),
                time: now(),
                fields: Fields::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    fn others(&mut self, by: &By, change: impl Fn(&mut Owner)) {
        self.0.iter_mut().filter(|owner| !owner.is(by)).for_each(change);
    }

    fn forget(&mut self, fields: &Fields) {
        for owner in &mut self.0 {
            owner.fields.retain(|path| is_item(path) || !fields.contains(path));
        }
    }

    fn write(&self, object: &mut Value) {
        let all: Vec<Value> = self
            .0
            .iter()
            .filter(|owner| !owner.fields.is_empty())
            .map(|owner| {
                let mut tree = json!({});
                for path in &owner.fields {
                    let place = path.iter().fold(&mut tree, |tree, step| {
                        if tree[step].is_null() {
                            tree[step] = json!({});
                        }
                        &mut tree[step]
                    });
                    let inside =
                        owner.fields.iter().any(|f| f.len() > path.len() && f.starts_with(path));
                    if is_item(path) && inside {
                        place["."] = json!({});
                    }
                }
                let mut one = json!({
                    "manager": owner.manager, "operation": owner.operation, "time": owner.time,
                    "apiVersion": owner.api_version, "fieldsType": "FieldsV1", "fieldsV1": tree,
                });
                if !owner.sub.is_empty() {
                    one["subresource"] = json!(owner.sub);
                }
                one
            })
            .collect();
        meta(object).insert("managedFields".to_owned(), json!(all));
    }
}

fn read_tree(tree: &Value, path: &mut Path, fields: &mut Fields) {
    let Some(tree) = tree.as_object() else { return };
    if (tree.is_empty() && !path.is_empty()) || tree.contains_key(".") {
        fields.insert(path.clone());
    }
    for (step, below) in tree.iter().filter(|(step, _)| *step != ".") {
        path.push(step.clone());
        read_tree(below, path, fields);
        path.pop();
    }
}

/// Every field of an object that somebody sets.
fn fields(object: &Value, schema: bool) -> Fields {
    const OF_META: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];
    let mut found = Fields::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for name in OF_META {
                    if let Some(value) = value.get(name) {
                        let mut path = vec!["f:metadata".to_owned(), format!("f:{name}")];
                        // Metadata has a schema in every kind.
                        leaves(value, &mut path, ("metadata", name), (true, &mut found));
                    }
                }
            }
            name => {
                let mut path = vec![format!("f:{name}")];
                leaves(value, &mut path, ("", name), (schema, &mut found));
            }
        }
    }
    found
}

fn leaves(
    value: &Value,
    path: &mut Path,
    (within, name): (&str, &str),
    (schema, found): (bool, &mut Fields),
) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (field, below) in map {
                path.push(format!("f:{field}"));
                leaves(below, path, (name, field), (schema, found));
                path.pop();
            }
        }
        Value::Array(items) if name == "finalizers" => {
            for item in items {
                path.push(format!("v:{item}"));
                found.insert(path.clone());
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() => match item_key(within, name).filter(|_| schema)
        {
            Some(by) if items.iter().all(|item| !item[by].is_null()) => {
                for item in items {
                    path.push(format!("k:{}", json!({ by: item[by] })));
                    found.insert(path.clone());
                    for (field, below) in item.as_object().into_iter().flatten() {
                        path.push(format!("f:{field}"));
                        leaves(below, path, (name, field), (schema, found));
                        path.pop();
                    }
                    path.pop();
                }
            }
            _ => {
                found.insert(path.clone());
            }
        },
        Value::Null => {}
        _ => {
            found.insert(path.clone());
        }
    }
}

/// Whether it is an item of a list as such, not one of its fields.
fn is_item(path: &Path) -> bool {
    path.last().is_some_and(|step| step.starts_with("k:"))
}

fn at<'a>(object: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, step| match step.split_once(':')? {
        ("f", name) => value.get(name),
        ("k", key) => value.as_array()?.iter().find(|item| is_keyed(item, key)),
        (_, item) => value.as_array()?.iter().find(|each| is_spelled(each, item)),
    })
}

fn is_keyed(item: &Value, key: &str) -> bool {
    let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
    key.iter().all(|(name, value)| item[name] == *value)
}

/// Whether it is what a `v:` step names.
fn is_spelled(item: &Value, text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|named| named == *item)
}

fn take(object: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else { return };
    let Some((kind, name)) = step.split_once(':') else { return };
    match (kind, object, rest) {
        ("f", Value::Object(map), []) => {
            map.remove(name);
        }
        ("f", Value::Object(map), rest) => {
            let Some(below) = map.get_mut(name) else { return };
            take(below, rest);
            // A map that was there only for its fields goes with them.
            if below.as_object().is_some_and(Map::is_empty)
                || below.as_array().is_some_and(Vec::is_empty)
            {
                map.remove(name);
            }
        }
        ("k", Value::Array(items), []) => items.retain(|item| !is_keyed(item, name)),
        ("k", Value::Array(items), rest) => {
            if let Some(item) = items.iter_mut().find(|item| is_keyed(item, name)) {
                take(item, rest);
            }
        }
        ("v", Value::Array(items), _) => items.retain(|item| !is_spelled(item, name)),
        _ => {}
    }
}

fn put(object: &mut Value, sent: &Value, (schema, within): (bool, &str)) {
    let (Some(object), Some(sent)) = (object.as_object_mut(), sent.as_object()) else {
        *object = sent.clone();
        return;
    };
    for (name, value) in sent {
        let schema = schema || name == "metadata";
        match (object.get_mut(name), value) {
            (Some(is @ Value::Object(_)), Value::Object(_)) => put(is, value, (schema, name)),
            (Some(Value::Array(is)), Value::Array(items)) if name == "finalizers" => {
                let more: Vec<Value> = items.iter().filter(|i| !is.contains(i)).cloned().collect();
                is.extend(more);
            }
            (Some(Value::Array(is)), Value::Array(items)) => {
                match item_key(within, name).filter(|_| schema) {
                    Some(by) => {
                        for item in items {
                            match is.iter_mut().find(|each| each[by] == item[by]) {
                                Some(each) => put(each, item, (schema, name)),
                                None => is.push(item.clone()),
                            }
                        }
                    }
                    None => *is = items.clone(),
                }
            }
            (_, Value::Null) => {}
            _ => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}
