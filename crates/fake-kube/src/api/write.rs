//! Objects that are created and changed.

use std::sync::Arc;

use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::objects::{Key, items, meta, version};
use crate::status::Fault;
use crate::{Resource, Status};

use super::shape::{Shape, api_version, whole};
use super::{Answer, Call, Kube, admission, apply, events, json_answer, known, validate};

/// What the server alone sets in metadata.
const SET_BY_SERVER: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "resourceVersion",
];

pub(super) fn create(kube: &Kube, call: &Call) -> Answer {
    if call.name.is_some() {
        return Err(super::not_allowed());
    }
    let mut object = call.object()?;
    let sent = object["metadata"]["resourceVersion"].as_str();
    if sent.is_some_and(|version| !version.is_empty() && version != "0") {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let unknown = match call.kind.resource() == Resource::pods() {
        true => known::keep(call, &mut object)?,
        false => Vec::new(),
    };
    let made = store_new(kube, call, object, apply::By::update(call))?;
    let mut answer = json_answer(StatusCode::CREATED, &Shape::of(call).one(&made));
    for unknown in unknown {
        let text = format!("299 - {}", json!(unknown));
        if let Ok(text) = text.parse() {
            answer.headers_mut().append(header::WARNING, text);
        }
    }
    Ok(answer)
}

/// Stores an object that was sent, or does all but that.
pub(super) fn store_new(
    kube: &Kube,
    call: &Call,
    mut object: Value,
    by: apply::By,
) -> Result<Arc<Value>, Status> {
    expect(call, &mut object)?;
    let meta = meta(&mut object);
    for field in SET_BY_SERVER {
        meta.remove(field);
    }
    if let Some(namespace) = &call.namespace {
        meta.insert("namespace".to_owned(), json!(namespace));
    }
    meta.remove("managedFields");
    to_stored(call, &mut object);
    admission::prepare(kube, call, &mut object)?;
    let faults = validate::new(&call.kind, &object);
    refuse(call, &object, &faults)?;
    by.track(&Value::Null, &mut object);
    kube.objects.create_if(&call.stored(), object, call.is_dry()?, |view, object| {
        admission::may_create(kube, view, call, object)
    })
}

pub(super) fn update(kube: &Kube, call: &Call) -> Answer {
    let sent = call.object()?;
    let of = call.resource();
    // Kinds that can only be changed by whoever has seen them.
    let seen_only =
        !call.kind.builtin || of == Resource::leases() || of == Resource::disruption_budgets();
    let version = sent["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if seen_only && version.is_empty() && call.sub.as_deref() != Some("scale") {
        let zero = json!(0);
        let fault =
            Fault::invalid("metadata.resourceVersion", &zero, "must be specified for an update");
        return Err(Status::invalid(&of, &call.kind.kind, call.name(), &[fault]));
    }
    let object = change(kube, call, apply::By::update(call), |_| Ok(sent))?;
    Ok(json_answer(StatusCode::OK, &shown(call, &object)))
}

/// The object, or its scale where that was asked for.
pub(super) fn shown(call: &Call, object: &Value) -> Value {
    match call.sub.as_deref() {
        Some("scale") => scale(object),
        _ => Shape::of(call).one(object),
    }
}

/// Changes what is stored to what `make` makes of it, as it is shown to the caller.
pub(super) fn change(
    kube: &Kube,
    call: &Call,
    by: apply::By,
    make: impl FnOnce(&Value) -> Result<Value, Status>,
) -> Result<Arc<Value>, Status> {
    let key: Key = (call.namespace.clone().unwrap_or_default(), call.name().to_owned());
    let changed = kube.objects.try_change(&call.stored(), key, call.is_dry()?, |object, _| {
        let before = object.clone();
        let new = match call.sub.as_deref() {
            Some("scale") => with_scale(call, &before, make(&scale(&before))?)?,
            _ => {
                let mut new = make(&whole(&call.kind, &call.version, &before))?;
                expect(call, &mut new)?;
                to_stored(call, &mut new);
                new
            }
        };
        *object = settled(kube, call, &before, new)?;
        by.track(&before, object);
        Ok(())
    });
    // In the words of the kind that was asked for.
    changed.map_err(|status| match status.code {
        404 if status.reason == "NotFound" => Status::not_found(&call.resource(), call.name()),
        _ => status,
    })
}

/// What a change may change, and what it may not.
fn settled(kube: &Kube, call: &Call, before: &Value, mut new: Value) -> Result<Value, Status> {
    let of = call.resource();
    let sent = &new["metadata"];
    let text = |field: &str| sent[field].as_str().filter(|text| !text.is_empty());
    if text("resourceVersion")
        .is_some_and(|sent| sent != version(before).to_string() && sent != "0")
    {
        return Err(Status::modified(&of, call.name()));
    }
    if let Some(uid) = text("uid")
        && before["metadata"]["uid"] != uid
    {
        let is = before["metadata"]["uid"].as_str().unwrap_or_default();
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {is}");
        return Err(Status::conflict(&of, call.name(), why));
    }
    if let Some(name) = text("name")
        && name != call.name()
    {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name()
        )));
    }
    let kept = meta(&mut new);
    kept.insert("name".to_owned(), json!(call.name()));
    for field in ["namespace"].iter().chain(&SET_BY_SERVER) {
        match before["metadata"].get(field) {
            Some(value) => kept.insert((*field).to_owned(), value.clone()),
            None => kept.remove(*field),
        };
    }
    match call.sub.as_deref() {
        Some("status") => {
            let mut changed = before.clone();
            put(&mut changed, &new, "status");
            if call.kind.builtin {
                changed["metadata"] = new["metadata"].take();
            } else if let Some(managed) = new["metadata"].get("managedFields") {
                changed["metadata"]["managedFields"] = managed.clone();
            }
            new = changed;
        }
        Some("resize") => new = resized(before, &new),
        _ if call.kind.status => {
            let mut kept = json!({ "status": before["status"] });
            if before.get("status").is_none() {
                kept = json!({});
            }
            put(&mut new, &kept, "status");
        }
        _ => {}
    }
    let counts = !matches!(call.kind.group.as_str(), "" | "coordination.k8s.io" | "events.k8s.io");
    if counts && new["spec"] != before["spec"] {
        let generation = before["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
        new["metadata"]["generation"] = json!(generation);
    }
    let faults = validate::changed(call, before, &new);
    refuse(call, &new, &faults)?;
    if new != *before {
        admission::ask(kube, call, &new)?;
    }
    Ok(new)
}

/// One field as the other object has it, absent if it is there.
fn put(object: &mut Value, other: &Value, field: &str) {
    let Some(object) = object.as_object_mut() else { return };
    match other.get(field) {
        Some(value) => object.insert(field.to_owned(), value.clone()),
        None => object.remove(field),
    };
}

fn refuse(call: &Call, object: &Value, faults: &[Fault]) -> Result<(), Status> {
    if faults.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Status::invalid(&call.resource(), &call.kind.kind, name, faults))
}

/// What is sent to a path has to be of its kind and namespace.
fn expect(call: &Call, object: &mut Value) -> Result<(), Status> {
    let api = api_version(&call.kind, &call.version);
    if !object.is_object() {
        return Err(Status::bad_request("the body is no object"));
    }
    match object["kind"].as_str() {
        Some(kind) if kind != call.kind.kind => {
            let sent = object["apiVersion"].as_str().unwrap_or_default();
            return Err(Status::bad_request(format!(
                "{kind} in version {sent:?} cannot be handled as a {}: no kind {kind:?} is served there",
                call.kind.kind
            )));
        }
        _ => {}
    }
    if let Some(sent) = object["apiVersion"].as_str()
        && sent != api
    {
        return Err(Status::bad_request(format!(
            "the API version in the data ({sent}) does not match the expected API version ({api})"
        )));
    }
    let namespace = object["metadata"]["namespace"].as_str().filter(|sent| !sent.is_empty());
    if namespace.is_some() && namespace != call.namespace.as_deref() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if call.kind.namespaced && call.namespace.is_none() {
        return Err(Status::bad_request("an empty namespace may not be set during creation"));
    }
    Ok(())
}

fn to_stored(call: &Call, object: &mut Value) {
    if call.kind.group == "events.k8s.io" {
        events::age(object);
        object["apiVersion"] = json!("v1");
    } else {
        object["apiVersion"] = json!(call.kind.resource().api_version());
    }
    object["kind"] = json!(call.kind.kind);
}

/// How many replicas there are to be, and are.
pub(super) fn scale(object: &Value) -> Value {
    let meta = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
            "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": { "replicas": object["spec"]["replicas"].as_u64().unwrap_or(0) },
        "status": { "replicas": object["status"]["replicas"].as_u64().unwrap_or(0) },
    });
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let labels: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if !labels.is_empty() {
        scale["status"]["selector"] = json!(labels.join(","));
    }
    scale
}

fn with_scale(call: &Call, before: &Value, scale: Value) -> Result<Value, Status> {
    // Whoever has types leaves out a zero.
    let sent = &scale["spec"]["replicas"];
    let replicas = if sent.is_null() { Some(0) } else { sent.as_u64() };
    let Some(replicas) = replicas else {
        let why = "must be greater than or equal to 0";
        let fault = Fault::invalid("spec.replicas", sent, why);
        return Err(Status::invalid(&call.resource(), "Scale", call.name(), &[fault]));
    };
    let mut new = before.clone();
    new["spec"]["replicas"] = json!(replicas);
    let sent = &scale["metadata"]["resourceVersion"];
    if sent.as_str().is_some_and(|sent| !sent.is_empty()) {
        new["metadata"]["resourceVersion"] = sent.clone();
    }
    Ok(new)
}

/// Only what the containers ask for changes.
fn resized(before: &Value, new: &Value) -> Value {
    let mut resized = before.clone();
    let sent = new["spec"]["containers"].as_array().cloned().unwrap_or_default();
    for container in items(&mut resized["spec"], "containers") {
        if let Some(sent) = sent.iter().find(|sent| sent["name"] == container["name"]) {
            container["resources"] = sent["resources"].clone();
        }
    }
    resized
}
