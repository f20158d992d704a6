//! What a control plane does by itself with what is stored: owners that go take what they own with them, namespaces
//! end, disruption budgets and quotas know how things are.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use crate::api::{Kube, delete, disruption, used};
use crate::objects::{Key, View, key, meta};
use crate::{Change, Happened, Resource};

/// Runs until it is dropped.
pub(crate) async fn run(kube: Arc<Kube>) {
    let mut changes = kube.objects.changes();
    // What is there already.
    let of = Resource::namespaces();
    for namespace in kube.objects.list(&of).1 {
        new_namespace(&kube, &key(&namespace).1);
    }
    loop {
        let mut batch = Vec::new();
        match changes.recv().await {
            Ok(change) => batch.push(change),
            // Budgets and quotas are found anew in any case; so many at once is no test of owners.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        while let Ok(change) = changes.try_recv() {
            batch.push(change);
        }
        follow(&kube, &batch);
    }
}

fn follow(kube: &Kube, batch: &[Change]) {
    let namespaces = Resource::namespaces();
    for change in batch {
        let object = &change.object;
        let (_, name) = key(object);
        if change.of == namespaces && change.kind == Happened::Added {
            new_namespace(kube, &name);
        }
        if change.kind == Happened::Deleted {
            if change.of == Resource::pods()
                && let Some(uid) = object["metadata"]["uid"].as_str()
            {
                kube.logs.forget(uid);
            }
        } else if object["metadata"]["deletionTimestamp"].is_string() {
            owner_goes(kube, &change.of, object);
        }
    }
    owners_gone(kube, batch.iter().filter(|change| change.kind == Happened::Deleted));
    // Of namespaces that end, also when something in them has gone.
    for namespace in kube.objects.list(&namespaces).1 {
        if namespace["metadata"]["deletionTimestamp"].is_string() {
            end_namespace(kube, &key(&namespace).1);
        }
    }
    let touched: BTreeSet<String> = batch
        .iter()
        .filter(|change| change.of.plural != "events" && change.of != Resource::leases())
        .map(|change| key(&change.object).0)
        .collect();
    for (of, status) in [
        (Resource::disruption_budgets(), disruption as fn(&View<'_>, &Value) -> Value),
        (Resource::resource_quotas(), used),
    ] {
        for object in kube.objects.list(&of).1 {
            if touched.contains(&key(&object).0) {
                let change = kube.objects.try_change(&of, key(&object), false, |object, view| {
                    object["status"] = status(view, object);
                    Ok(())
                });
                // It may have gone meanwhile.
                drop(change);
            }
        }
    }
}

fn new_namespace(kube: &Kube, name: &str) {
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "namespace": name, "name": "default" } });
    // It may be there already.
    drop(kube.objects.create(&Resource::service_accounts(), account));
}

/// All that is in it goes; then it does.
fn end_namespace(kube: &Kube, name: &str) {
    let within: Vec<(Resource, Key, bool)> = kube.objects.view(|view| {
        let each = |of: &Resource| -> Vec<(Resource, Key, bool)> {
            let all = view.within(of, name);
            all.map(|o| (of.clone(), key(o), o["metadata"]["deletionTimestamp"].is_string()))
                .collect()
        };
        view.kinds().flat_map(each).collect()
    });
    if within.is_empty() {
        let done = kube.objects.change(&Resource::namespaces(), None, name, |namespace| {
            namespace["spec"]["finalizers"] = json!([]);
        });
        drop(done);
    }
    for (of, key, goes) in within {
        if !goes {
            // Somebody else may have been faster.
            drop(delete(&kube.objects, &of, key, &Value::Null, false));
        }
    }
}

/// Those whose last owner has gone follow.
fn owners_gone<'a>(kube: &Kube, changes: impl Iterator<Item = &'a Change>) {
    let gone: Vec<&Value> = changes.map(|change| &*change.object).collect();
    let uids: HashSet<&str> =
        gone.iter().filter_map(|owner| owner["metadata"]["uid"].as_str()).collect();
    if uids.is_empty() {
        return;
    }
    for (of, object) in owned(kube, |uid| uids.contains(uid)) {
        let others = owners(&object).filter_map(|owner| owner["uid"].as_str());
        let alive = others.filter(|uid| !uids.contains(uid)).any(|uid| find(kube, uid).is_some());
        let end = if alive {
            let (namespace, name) = key(&object);
            let namespace = (!namespace.is_empty()).then_some(namespace);
            kube.objects.change(&of, namespace.as_deref(), &name, |object| {
                disown(object, |uid| uids.contains(uid));
            })
        } else {
            delete(&kube.objects, &of, key(&object), &Value::Null, false)
        };
        // Somebody else may have been faster.
        drop(end);
    }
    // Owners that wait for what they own may go now.
    let waiting: HashSet<&str> = gone
        .iter()
        .flat_map(|object| owners(object))
        .filter_map(|owner| owner["uid"].as_str())
        .collect();
    for owner in waiting {
        if let Some((of, owner)) = find(kube, owner) {
            owner_goes(kube, &of, &owner);
        }
    }
}

/// An owner that waits with what it owns to go first, or to be left alone.
fn owner_goes(kube: &Kube, of: &Resource, owner: &Value) {
    let has = |finalizer: &str| {
        let all = owner["metadata"]["finalizers"].as_array();
        all.is_some_and(|all| all.iter().any(|each| each == finalizer))
    };
    let Some(uid) = owner["metadata"]["uid"].as_str() else { return };
    let done = if has("orphan") {
        for (of, object) in owned(kube, |owner| owner == uid) {
            let (namespace, name) = key(&object);
            let namespace = (!namespace.is_empty()).then_some(namespace);
            drop(kube.objects.change(&of, namespace.as_deref(), &name, |object| {
                disown(object, |owner| owner == uid);
            }));
        }
        "orphan"
    } else if has("foregroundDeletion") {
        let left = owned(kube, |owner| owner == uid);
        let foreground = json!({ "propagationPolicy": "Foreground" });
        for (of, object) in &left {
            if !object["metadata"]["deletionTimestamp"].is_string() {
                drop(delete(&kube.objects, of, key(object), &foreground, false));
            }
        }
        if !owned(kube, |owner| owner == uid).is_empty() {
            return;
        }
        "foregroundDeletion"
    } else {
        return;
    };
    let (namespace, name) = key(owner);
    let namespace = (!namespace.is_empty()).then_some(namespace);
    drop(kube.objects.change(of, namespace.as_deref(), &name, |object| {
        if let Some(all) = object["metadata"]["finalizers"].as_array_mut() {
            all.retain(|each| each != done);
        }
    }));
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

fn owned(kube: &Kube, by: impl Fn(&str) -> bool) -> Vec<(Resource, Arc<Value>)> {
    let is_by = |owner: &Value| owner["uid"].as_str().is_some_and(&by);
    kube.objects.view(|view| {
        let of = |of: &Resource| -> Vec<(Resource, Arc<Value>)> {
            let all = view.all(of).filter(|object| owners(object).any(is_by));
            all.map(|object| (of.clone(), Arc::clone(object))).collect()
        };
        view.kinds().flat_map(of).collect()
    })
}

fn find(kube: &Kube, uid: &str) -> Option<(Resource, Arc<Value>)> {
    kube.objects.view(|view| {
        view.kinds().find_map(|of| {
            let found = view.all(of).find(|object| object["metadata"]["uid"] == uid)?;
            Some((of.clone(), Arc::clone(found)))
        })
    })
}

fn disown(object: &mut Value, from: impl Fn(&str) -> bool) {
    if let Some(all) = meta(object).get_mut("ownerReferences").and_then(Value::as_array_mut) {
        all.retain(|owner| !owner["uid"].as_str().is_some_and(&from));
    }
}
