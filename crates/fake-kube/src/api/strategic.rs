//! The strategic merge patch: lists are merged item by item where the documentation names a key.

use serde_json::{Map, Value, json};

use crate::Status;

use super::patch::item_key;

pub(super) fn merge(object: &mut Value, patch: &Value) -> Result<(), Status> {
    let (Some(object), Some(patch)) = (object.as_object_mut(), patch.as_object()) else {
        return Err(Status::bad_request("a patch of this kind is an object"));
    };
    merge_maps(object, patch, "")
}

fn merge_maps(
    into: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    name: &str,
) -> Result<(), Status> {
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *into = plain(&Value::Object(patch.clone())).as_object().cloned().unwrap_or_default();
            return Ok(());
        }
        Some("delete") => {
            into.clear();
            return Ok(());
        }
        Some(other) => return Err(Status::bad_request(format!("unknown $patch {other:?}"))),
    }
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        into.retain(|key, _| kept.iter().any(|kept| kept == key));
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(is) = into.get_mut(list).and_then(Value::as_array_mut) {
                is.retain(|each| !value.as_array().is_some_and(|gone| gone.contains(each)));
            }
        } else if !key.starts_with('$') {
            let order = patch.get(&format!("$setElementOrder/{key}")).and_then(Value::as_array);
            merge_field(into, key, value, order, name)?;
        }
    }
    // An order can come alone.
    for (key, order) in patch {
        let Some(list) = key.strip_prefix("$setElementOrder/") else { continue };
        if let (None, Some(order), Some(is)) =
            (patch.get(list), order.as_array(), into.get_mut(list).and_then(Value::as_array_mut))
        {
            let by = item_key(name, list);
            let before = is.clone();
            *is = ordered(std::mem::take(is), order, &before, by);
        }
    }
    Ok(())
}

fn merge_field(
    into: &mut Map<String, Value>,
    key: &str,
    value: &Value,
    order: Option<&Vec<Value>>,
    within: &str,
) -> Result<(), Status> {
    match value {
        Value::Null => {
            into.remove(key);
        }
        Value::Object(patch) => match into.get_mut(key).and_then(Value::as_object_mut) {
            Some(is) => {
                merge_maps(is, patch, key)?;
                if patch.get("$patch").is_some_and(|what| what == "delete") {
                    into.remove(key);
                }
            }
            None => {
                if patch.get("$patch").is_none_or(|what| what != "delete") {
                    into.insert(key.to_owned(), plain(value));
                }
            }
        },
        Value::Array(items) => {
            let is = into.entry(key).or_insert_with(|| json!([]));
            let is = match is {
                Value::Array(is) => is,
                other => {
                    *other = json!([]);
                    other.as_array_mut().expect("a list, as just seen to")
                }
            };
            match item_key(within, key) {
                Some(by) => merge_items(is, items, order, (key, by))?,
                None if key == "finalizers" => {
                    let more = items.iter().filter(|each| !is.contains(each)).cloned();
                    let more: Vec<Value> = more.collect();
                    is.extend(more);
                }
                None => *is = items.clone(),
            }
        }
        value => {
            into.insert(key.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn merge_items(
    is: &mut Vec<Value>,
    patch: &[Value],
    order: Option<&Vec<Value>>,
    (list, by): (&str, &str),
) -> Result<(), Status> {
    if patch.iter().any(|item| item["$patch"] == "replace") {
        *is = patch.iter().filter(|item| item["$patch"] != "replace").map(plain).collect();
        return Ok(());
    }
    let before = is.clone();
    for item in patch {
        let key = &item[by];
        if key.is_null() {
            let text = format!("map: {item} does not contain declared merge key: {by}");
            let code = http::StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Status::new(code, "Invalid", text));
        }
        if item["$patch"] == "delete" {
            is.retain(|each| each[by] != *key);
            continue;
        }
        match (is.iter_mut().find(|each| each[by] == *key), item.as_object()) {
            (Some(Value::Object(each)), Some(item)) => merge_maps(each, item, list)?,
            _ => is.push(plain(item)),
        }
    }
    let sent: Vec<Value> = patch.iter().map(|item| json!({ by: item[by] })).collect();
    let order = order.unwrap_or(&sent);
    *is = ordered(std::mem::take(is), order, &before, Some(by));
    Ok(())
}

/// Items of the patch in its order; the others, in theirs, each before the first of the patch's that stood
/// behind it.
fn ordered(items: Vec<Value>, order: &[Value], before: &[Value], by: Option<&str>) -> Vec<Value> {
    let same = |a: &Value, b: &Value| match by {
        Some(by) => a[by] == b[by],
        None => a == b,
    };
    let place = |item: &Value, all: &[Value]| all.iter().position(|each| same(each, item));
    let (mut sent, others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| place(item, order).is_some());
    sent.sort_by_key(|item| place(item, order));
    let mut from = 0;
    for other in others {
        let was = place(&other, before);
        let behind = |item: &Value| match (place(item, before), was) {
            (Some(item), Some(was)) => item > was,
            _ => false,
        };
        let at = sent[from..].iter().position(behind).map_or(sent.len(), |at| from + at);
        sent.insert(at, other);
        from = at + 1;
    }
    sent
}

/// Without directives and nulls.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), plain(value))).collect())
        }
        Value::Array(items) => {
            let kept = items.iter().filter(|item| item["$patch"] != "delete");
            Value::Array(kept.map(plain).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(mut object: Value, patch: Value) -> Value {
        merge(&mut object, &patch).expect("a patch");
        object
    }

    fn pod() -> Value {
        json!({ "spec": {
            "containers": [
                { "name": "a", "image": "a", "env": [{ "name": "X", "value": "1" }], "args": ["1"] },
                { "name": "b", "image": "b" },
            ],
            "tolerations": [{ "key": "one" }],
        } })
    }

    #[test]
    fn containers_are_merged_by_name_and_new_ones_come_first() {
        let after = merged(
            pod(),
            json!({ "spec": { "containers": [
            { "name": "c", "image": "c" },
            { "name": "a", "env": [{ "name": "Y", "value": "2" }], "args": ["2"] },
        ] } }),
        );
        assert_eq!(
            after["spec"]["containers"],
            json!([
                { "name": "c", "image": "c" },
                { "name": "a", "image": "a", "args": ["2"],
                  "env": [{ "name": "Y", "value": "2" }, { "name": "X", "value": "1" }] },
                { "name": "b", "image": "b" },
            ])
        );
    }

    #[test]
    fn an_order_that_is_sent_is_kept() {
        let after = merged(
            pod(),
            json!({ "spec": { "$setElementOrder/containers":
            [{ "name": "b" }, { "name": "a" }], "containers": [{ "name": "a", "image": "z" }] } }),
        );
        let names: Vec<&str> = after["spec"]["containers"]
            .as_array()
            .expect("containers")
            .iter()
            .filter_map(|c| c["name"].as_str())
            .collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn lists_without_a_key_are_replaced() {
        let patch = json!({ "spec": { "tolerations": [{ "key": "two" }] } });
        assert_eq!(merged(pod(), patch)["spec"]["tolerations"], json!([{ "key": "two" }]));
        let node = json!({ "spec": { "taints": [{ "key": "theirs" }] } });
        let patch = json!({ "spec": { "taints": [{ "key": "ours" }] } });
        assert_eq!(merged(node, patch)["spec"]["taints"], json!([{ "key": "ours" }]));
    }

    #[test]
    fn items_maps_and_values_go() {
        let patch = json!({ "spec": { "tolerations": null, "containers":
            [{ "name": "a", "$patch": "delete" }] } });
        let after = merged(pod(), patch);
        assert_eq!(after, json!({ "spec": { "containers": [{ "name": "b", "image": "b" }] } }));
        let patch = json!({ "spec": { "containers": [{ "$patch": "replace" }, { "name": "c" }] } });
        assert_eq!(merged(pod(), patch)["spec"]["containers"], json!([{ "name": "c" }]));
        let meta = json!({ "metadata": { "finalizers": ["a", "b"] } });
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"] } });
        assert_eq!(merged(meta, patch)["metadata"]["finalizers"], json!(["b", "c"]));
    }

    #[test]
    fn keys_that_are_not_retained_go() {
        let object = json!({ "spec": { "volumes": [{ "name": "v", "emptyDir": {} }] } });
        let patch = json!({ "spec": { "volumes":
            [{ "name": "v", "$retainKeys": ["name", "secret"], "secret": { "secretName": "s" } }] } });
        let want = json!([{ "name": "v", "secret": { "secretName": "s" } }]);
        assert_eq!(merged(object, patch)["spec"]["volumes"], want);
    }

    #[test]
    fn conditions_are_merged_by_type_and_an_item_without_its_key_is_refused() {
        let object = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        let patch = json!({ "status": { "conditions": [{ "type": "Other", "status": "False" }] } });
        let after = merged(object.clone(), patch);
        assert_eq!(after["status"]["conditions"].as_array().map(Vec::len), Some(2));
        let patch = json!({ "status": { "conditions": [{ "status": "False" }] } });
        let refused = merge(&mut object.clone(), &patch).expect_err("no type");
        assert!(refused.message.contains("merge key: type"), "{refused}");
    }
}
