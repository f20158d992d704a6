//! Room that is kept free by an autoscaler: `CapacityBuffer`s, each with the template of a model's pod.
//!
//! What is wanted is compared with what is there by the hub's labels; what has none of them is never touched. The
//! autoscaler makes nodes for pods that nobody makes, so that the next real ones need not wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use muster_core::{InstanceId, Model};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use super::client::Failed;
use super::{Inner, make};
use crate::Launch;

const GROUP: &str = "autoscaling.x-k8s.io";
/// Versions whose fields are known, the better one first.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];
const STRATEGY: &str = "buffer.x-k8s.io/active-capacity";
/// Says what an object is for, beside whose it is.
const SPARE: &str = "muster.dev/spare";
/// The template as it was written: the API adds to it what is not said.
const WRITTEN: &str = "muster.dev/written";
/// How often it is looked whether somebody changed them, or they are served by now.
const LOOK: Duration = Duration::from_secs(600);

/// How many instances of which models shall find room at once.
type Wanted = Vec<(Arc<Model>, u32)>;

/// None: another hub says it.
pub(super) struct Buffers(watch::Sender<Option<Wanted>>);

impl Default for Buffers {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Buffers {
    pub(super) fn want(&self, spare: Option<Wanted>) {
        self.0.send_if_modified(|wanted| {
            let is_other = *wanted != spare;
            *wanted = spare;
            is_other
        });
    }
}

/// An object of the hub's.
struct Ours {
    name: String,
    uid: String,
    written: String,
    replicas: u64,
}

pub(super) async fn keep(inner: Arc<Inner>) {
    let mut wanted = inner.buffers.0.subscribe();
    let mut pause = DefaultBackoff::default();
    let mut said = String::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        let done = match &now {
            Some(spare) => write_all(&inner, spare).await,
            None => Ok(()),
        };
        let wait = match done {
            Ok(()) => {
                pause.reset();
                said.clear();
                LOOK
            }
            Err(why) => {
                if why != said {
                    tracing::error!(why, "spare room is not kept as it should be");
                    said = why;
                }
                pause.next().unwrap_or(LOOK)
            }
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}

async fn write_all(inner: &Inner, spare: &Wanted) -> Result<(), String> {
    let version = match version(inner).await {
        Ok(version) => version,
        // Whoever wants nothing need not be able to see that there is nothing.
        Err(_) if spare.is_empty() => return Ok(()),
        Err(why) => return Err(why),
    };
    let namespace = &inner.config.namespace;
    let buffers = format!("/apis/{GROUP}/{version}/namespaces/{namespace}/capacitybuffers");
    let templates = format!("/api/v1/namespaces/{namespace}/podtemplates");
    let there = (list(inner, &buffers).await, list(inner, &templates).await);
    let (mut old, mut old_templates) = match there {
        (Ok(buffers), Ok(templates)) => (buffers, templates),
        (Err(failed), _) | (_, Err(failed)) => {
            let forbidden = failed.is(403) || failed.is(404);
            return match spare.is_empty() && forbidden {
                true => Ok(()),
                false => Err(failed.to_string()),
            };
        }
    };
    for (model, count) in spare {
        let name = name(&inner.config.hub, model);
        let template = template(inner, model)?;
        let written = template.to_string();
        let known = old_templates.remove(&name);
        let is_same = known.as_ref().is_some_and(|it| it.written == written);
        if !is_same {
            if let Some(known) = known {
                delete(inner, &templates, &known).await?;
            }
            let labels = labels(inner);
            let metadata =
                json!({"name": name, "labels": labels, "annotations": {WRITTEN: written}});
            let object = json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": template});
            create(inner, &templates, &object).await?;
        }
        match old.remove(&name) {
            Some(known) if known.replicas == u64::from(*count) => {}
            Some(known) => {
                let patch = json!({"metadata": {"uid": known.uid}, "spec": {"replicas": count}});
                let path = format!("{buffers}/{name}");
                call(inner, Method::PATCH, &path, &patch).await?;
            }
            None => {
                let object = json!({
                    "apiVersion": format!("{GROUP}/{version}"), "kind": "CapacityBuffer",
                    "metadata": {"name": name, "labels": labels(inner)},
                    "spec": {"provisioningStrategy": STRATEGY, "podTemplateRef": {"name": name},
                        "replicas": count},
                });
                create(inner, &buffers, &object).await?;
                tracing::info!(model.id = %model.id, count, "an autoscaler keeps room free");
            }
        }
    }
    for (path, gone) in [(&buffers, old), (&templates, old_templates)] {
        for it in gone.into_values() {
            delete(inner, path, &it).await?;
        }
    }
    Ok(())
}

async fn version(inner: &Inner) -> Result<&'static str, String> {
    let path = format!("/apis/{GROUP}");
    let served: Result<Value, Failed> = inner.calls.call(Method::GET, &path, None).await;
    let served = served.map_err(|failed| match failed.is(404) {
        true => format!("the cluster does not serve CapacityBuffer ({GROUP})"),
        false => failed.to_string(),
    })?;
    let all = served["versions"].as_array().into_iter().flatten();
    let all: Vec<&str> = all.filter_map(|it| it["version"].as_str()).collect();
    let known = VERSIONS.into_iter().find(|version| all.contains(version));
    known.ok_or_else(|| {
        format!("the cluster serves {GROUP} as {}, which the hub does not know", all.join(", "))
    })
}

async fn list(inner: &Inner, path: &str) -> Result<BTreeMap<String, Ours>, Failed> {
    let hub = &inner.config.hub;
    let path = format!("{path}?labelSelector={}%3D{hub},{SPARE}%3Dtrue", make::HUB);
    let found: Value = inner.calls.call(Method::GET, &path, None).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ours = found["items"].as_array().into_iter().flatten().map(|it| {
        let metadata = &it["metadata"];
        let written = text(&metadata["annotations"][WRITTEN]);
        let replicas = it["spec"]["replicas"].as_u64().unwrap_or(0);
        let (name, uid) = (text(&metadata["name"]), text(&metadata["uid"]));
        (name.clone(), Ours { name, uid, written, replicas })
    });
    Ok(ours.collect())
}

async fn create(inner: &Inner, path: &str, object: &Value) -> Result<(), String> {
    call(inner, Method::POST, path, object).await
}

async fn delete(inner: &Inner, path: &str, it: &Ours) -> Result<(), String> {
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": it.uid}});
    let path = format!("{path}/{}", it.name);
    let done: Result<Value, Failed> = inner.calls.call(Method::DELETE, &path, Some(&options)).await;
    match done {
        Err(failed) if !failed.is(404) => Err(failed.to_string()),
        _ => Ok(()),
    }
}

async fn call(inner: &Inner, method: Method, path: &str, body: &Value) -> Result<(), String> {
    let done: Result<Value, Failed> = inner.calls.call(method, path, Some(body)).await;
    done.map(drop).map_err(|failed| failed.to_string())
}

fn labels(inner: &Inner) -> Value {
    json!({make::MANAGED_BY: "muster", make::HUB: inner.config.hub, SPARE: "true"})
}

/// Names in Kubernetes have no `_` and no capital letters, and a `.` not everywhere.
fn name(hub: &str, model: &Model) -> String {
    let both = format!("{}-{hub}-spare", model.id);
    both.to_lowercase().replace('_', "-x5f").replace('.', "-x2e")
}

/// What one more instance of the model would be: no pod is ever made of it.
fn template(inner: &Inner, model: &Arc<Model>) -> Result<Value, String> {
    let launch = Launch::anywhere(InstanceId(Uuid::nil()), Arc::clone(model));
    let mut pod = make::pod(&inner.config, &launch)?;
    let mut labels = pod["metadata"]["labels"].take();
    if let Some(labels) = labels.as_object_mut() {
        labels.remove(make::HUB);
        labels.remove(make::INSTANCE);
    }
    Ok(json!({"metadata": {"labels": labels}, "spec": pod["spec"].take()}))
}
