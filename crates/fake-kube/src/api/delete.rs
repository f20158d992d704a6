//! Objects that are to go: at once, after their grace, or when their finalizers have gone.

use std::sync::Arc;

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::objects::{Key, is_over, key, meta, seconds};
use crate::{Objects, Resource, Status};

use super::selector::Selector;
use super::shape::Shape;
use super::{Answer, Call, Kube, json_answer};

pub(super) fn delete(kube: &Kube, call: &Call) -> Answer {
    let options = options(call)?;
    let wanted: Key = (call.namespace.clone().unwrap_or_default(), call.name().to_owned());
    let dry = call.is_dry()? || options["dryRun"].as_array().is_some_and(|all| !all.is_empty());
    let gone =
        go(&kube.objects, &call.stored(), wanted, &options, dry).map_err(|status| match status
            .reason
            .as_str()
        {
            "NotFound" => Status::not_found(&call.resource(), call.name()),
            _ => status,
        })?;
    if call.stored() == Resource::pods() || !is_over(&gone) {
        return Ok(json_answer(StatusCode::OK, &Shape::of(call).one(&gone)));
    }
    let mut details = json!({ "name": call.name(), "kind": call.kind.plural,
        "uid": gone["metadata"]["uid"] });
    if !call.kind.group.is_empty() {
        details["group"] = json!(call.kind.group);
    }
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
        "status": "Success", "details": details });
    Ok(json_answer(StatusCode::OK, &status))
}

pub(super) fn collection(kube: &Kube, call: &Call) -> Answer {
    let options = options(call)?;
    let selector = Selector::of(call)?;
    let dry = call.is_dry()?;
    let (_, all) = kube.objects.list(&call.stored());
    let mut gone = Vec::new();
    for object in all.into_iter().filter(|object| selector.has(object)) {
        match go(&kube.objects, &call.stored(), key(&object), &options, dry) {
            Ok(object) => gone.push(object),
            // Somebody else was faster.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let version = kube.objects.list(&call.stored()).0.to_string();
    let list = Shape::of(call).list(&gone, json!({ "resourceVersion": version }));
    Ok(json_answer(StatusCode::OK, &list))
}

/// Of the body; the query can say two of them.
fn options(call: &Call) -> Result<Value, Status> {
    let mut options = call.options()?;
    if !options.is_null() && !options.is_object() {
        return Err(Status::bad_request("the options are no object"));
    }
    if let Some(grace) = call.number::<i64>("gracePeriodSeconds")? {
        options["gracePeriodSeconds"] = json!(grace);
    }
    if let Some(policy) = call.param("propagationPolicy") {
        options["propagationPolicy"] = json!(policy);
    }
    let policy = options["propagationPolicy"].as_str();
    if policy.is_some_and(|policy| !["Orphan", "Background", "Foreground"].contains(&policy)) {
        let text = format!(
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {:?}",
            policy.unwrap_or_default()
        );
        return Err(Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text));
    }
    if options["gracePeriodSeconds"].as_i64().is_some_and(|grace| grace < 0) {
        // As the documentation has it: at once.
        options["gracePeriodSeconds"] = json!(1);
    }
    Ok(options)
}

/// Asks for the end of an object; the answer is its last state, or the one in which it waits.
pub(crate) fn go(
    objects: &Objects,
    of: &Resource,
    key: Key,
    options: &Value,
    dry: bool,
) -> Result<Arc<Value>, Status> {
    let name = key.1.clone();
    objects.try_change(of, key, dry, |object, _| {
        precondition(of, &name, object, options)?;
        let grace = grace(of, object, options);
        let policy = options["propagationPolicy"].as_str();
        let waits = object["metadata"]["deletionTimestamp"].is_string();
        let meta = meta(object);
        let left = meta.get("deletionGracePeriodSeconds").and_then(Value::as_i64);
        if waits && left.is_some_and(|left| left <= grace) {
            // A grace is only ever made shorter. That alone ends nothing which waits for its finalizers.
            return Ok(());
        }
        let held = match policy {
            Some("Orphan") => Some("orphan"),
            Some("Foreground") => Some("foregroundDeletion"),
            _ => None,
        };
        if let Some(held) = held.filter(|_| !waits) {
            let finalizers = meta.entry("finalizers").or_insert_with(|| json!([]));
            if let Some(all) = finalizers.as_array_mut()
                && !all.contains(&json!(held))
            {
                all.push(json!(held));
            }
        }
        let at = jiff::Timestamp::now() + SignedDuration::from_secs(grace);
        meta.insert("deletionTimestamp".to_owned(), json!(seconds(at)));
        meta.insert("deletionGracePeriodSeconds".to_owned(), json!(grace));
        if *of == Resource::namespaces() {
            object["status"]["phase"] = json!("Terminating");
        }
        Ok(())
    })
}

/// Seconds. Only a kubelet gives a pod its grace: where there is none, or no program left, it goes at once.
fn grace(of: &Resource, object: &Value, options: &Value) -> i64 {
    if *of != Resource::pods() {
        return 0;
    }
    let placed = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !placed || ended {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    options["gracePeriodSeconds"].as_i64().unwrap_or(own)
}

pub(super) fn precondition(
    of: &Resource,
    name: &str,
    object: &Value,
    options: &Value,
) -> Result<(), Status> {
    let wanted = &options["preconditions"];
    for (field, words) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (Some(wanted), is) = (wanted[field].as_str(), &object["metadata"][field]) else {
            continue;
        };
        let is = is.as_str().unwrap_or_default();
        if wanted != is {
            let why = format!(
                "Precondition failed: {words} in precondition: {wanted}, {words} in object meta: {is}"
            );
            return Err(Status::conflict(of, name, why));
        }
    }
    Ok(())
}
