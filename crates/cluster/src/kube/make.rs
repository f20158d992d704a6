//! The pod of an instance.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use muster_core::room::Ask;
use muster_core::{Amounts, InstanceId, Model, ModelId, Source};
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(crate) use super::read::HUB;
use super::read::MODEL_CONTAINER;
use super::read::ask::of_pod;
use super::runner::{self, Runner};
use super::{KubeConfig, merge::merge, secure};
use crate::Launch;

/// Labels and annotations of the hub's pods.
pub(crate) const INSTANCE: &str = "muster.dev/instance";
pub(crate) const MODEL: &str = "muster.dev/model";
pub(crate) const VERSION: &str = "muster.dev/version";
pub(crate) const EPOCH: &str = "muster.dev/epoch";
/// It is a folder or a server.
pub(super) const NOT_A_POD: &str = "its model does not come from an image";
const UNRESTRICTED: &str = "muster.dev/unrestricted";
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Longest name of a pod: it is a host's name as well.
const NAME: usize = 63;
/// Longest value of a label.
const LABEL: usize = 63;
/// An orphan ends after so long; it cannot be prolonged.
pub(crate) const DEADLINE_SECONDS: u64 = 7 * 24 * 60 * 60;
/// How long a node may be away before what is there is given up.
const AWAY_SECONDS: u64 = 30;
/// The hub's own clock ends a start first: it knows what the start waits for.
const START_SLACK_SECONDS: u32 = 30;
/// Most bytes of `/tmp` if the model asks for no storage.
const TMP: u64 = 1 << 30;
/// Most characters of a reason that goes into an annotation.
const REASON: usize = 200;

/// The pod of one instance, or what is wrong with its templates, in words for an administrator.
pub(crate) fn pod(config: &KubeConfig, launch: &Launch) -> Result<Value, String> {
    let model = &*launch.model;
    let (_, port) = image(config, model).ok_or(NOT_A_POD)?;
    let settings = model.pod.clone().unwrap_or_default();
    let unrestricted = settings.unrestricted.as_deref();
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {}, "annotations": {}},
        "spec": {
            "containers": [container(config, launch, (port, settings.limit_cpu))],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": tmp(launch).to_string()}}],
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 30,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "tolerations": [away("not-ready"), away("unreachable")],
        },
    });
    if !model.resources.node.is_empty() {
        pod["spec"]["nodeSelector"] = json!(model.resources.node);
    }
    if unrestricted.is_none() {
        // Not of the level `restricted`, so a template may say otherwise.
        pod["spec"]["containers"][0]["securityContext"] = json!({"readOnlyRootFilesystem": true});
    }
    if let (Some(runner), Source::Pushed { content, .. }) = (&config.runner, &model.source) {
        runner.complete(&mut pod, model, (content, launch.instance))?;
    }
    let templates =
        [("the template of pods", &config.template), ("the model's template", &settings.template)];
    for (whose, template) in templates {
        if !template.is_null() {
            merge(&mut pod, template).map_err(|why| format!("{whose}: {why}"))?;
        }
    }
    finish(&mut pod, config, launch).map_err(str::to_owned)?;
    match unrestricted {
        Some(why) => {
            let why: String = why.chars().take(REASON).collect();
            pod["metadata"]["annotations"][UNRESTRICTED] = json!(why);
        }
        None => secure::restrict(&mut pod)?,
    }
    Ok(pod)
}

/// What the pod of a model runs, and the port at which that listens; nothing if it is no pod here.
pub(super) fn image<'m>(config: &'m KubeConfig, model: &'m Model) -> Option<(&'m str, u16)> {
    match &model.source {
        Source::Image { image, port } => Some((image, *port)),
        Source::Pushed { .. } => Some((&config.runner.as_ref()?.image, runner::PORT)),
        Source::Folder { .. } | Source::Server { .. } => None,
    }
}

/// What one more instance of the model asks of its node: what its pod would, with all that templates add.
pub(crate) fn ask(config: &KubeConfig, model: &Model, ask: Ask) -> Ask {
    if image(config, model).is_none() {
        return ask;
    }
    let launch = Launch::anywhere(InstanceId(Uuid::nil()), Arc::new(model.clone()));
    let launch = Launch { asked: Some(ask.amounts.clone()), ..launch };
    let read = |pod| serde_json::from_value::<Pod>(pod).map_err(|error| error.to_string());
    match pod(config, &launch).and_then(read) {
        Ok(pod) => {
            let mut asked = of_pod(&pod);
            // The operator's claim is for pods of all nodes.
            let cache = config.runner.as_ref().and_then(Runner::understood);
            asked.not_understood.retain(|what| Some(what) != cache.as_ref());
            asked
        }
        Err(why) => Ask { not_understood: vec![format!("its pod: {why}")], ..ask },
    }
}

fn container(config: &KubeConfig, launch: &Launch, (port, limit_cpu): (u16, bool)) -> Value {
    let limits = &launch.model.limits;
    let own = config.runner.as_ref().filter(|_| is_folder(&launch.model));
    let prepare = own.map_or(0, |_| limits.prepare_seconds);
    let start = limits.start_seconds.saturating_add(prepare);
    let health = json!({"path": "/healthz", "port": port});
    json!({
        "name": MODEL_CONTAINER,
        "ports": [{"name": "model", "containerPort": port, "protocol": "TCP"}],
        "env": [{"name": "MUSTER_INSTANCE", "value": launch.instance.to_string()}],
        "resources": resources(launch, limit_cpu, own.map_or(0, Runner::own_bytes)),
        // Every second until it answers once, then seldom: the hub hears at once that it is ready.
        "startupProbe": {
            "httpGet": health, "periodSeconds": 1, "timeoutSeconds": 5,
            "failureThreshold": start.saturating_add(START_SLACK_SECONDS),
        },
        "readinessProbe": {
            "httpGet": health, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

/// What its row says it asks for, and its model's limit of memory. A volume of its own is room on its node's disk.
fn resources(launch: &Launch, limit_cpu: bool, cache: u64) -> Value {
    let asked = asked(launch);
    let limit = u64::from(launch.model.limits.memory_mib) << 20;
    let mut requests = json!({
        "cpu": format!("{}m", asked.cpu),
        "memory": asked.memory.to_string(),
    });
    let mut limits = json!({"memory": limit.max(asked.memory).to_string()});
    if limit_cpu {
        limits["cpu"] = requests["cpu"].clone();
    }
    if asked.storage > 0 {
        let storage = json!((asked.storage + cache).to_string());
        (requests["ephemeral-storage"], limits["ephemeral-storage"]) = (storage.clone(), storage);
    }
    for (name, amount) in asked.named.iter().filter(|(_, amount)| **amount > 0) {
        let amount = json!(amount.to_string());
        (requests[name], limits[name]) = (amount.clone(), amount);
    }
    json!({"requests": requests, "limits": limits})
}

fn is_folder(model: &Model) -> bool {
    matches!(model.source, Source::Pushed { .. })
}

fn asked(launch: &Launch) -> Amounts {
    let declared =
        || launch.model.resources.amounts(Some(launch.model.limits.memory_mib), None, None);
    launch.asked.clone().unwrap_or_else(declared)
}

fn tmp(launch: &Launch) -> u64 {
    Some(asked(launch).storage).filter(|storage| *storage > 0).unwrap_or(TMP)
}

fn away(what: &str) -> Value {
    let key = format!("node.kubernetes.io/{what}");
    json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": AWAY_SECONDS})
}

/// What no template has a say in.
fn finish(pod: &mut Value, config: &KubeConfig, launch: &Launch) -> Result<(), &'static str> {
    let (instance, model) = (launch.instance, &*launch.model);
    let metadata = members(pod, "metadata").ok_or("metadata is not an object")?;
    metadata.insert("name".into(), json!(name(&model.id, instance)));
    metadata.insert("namespace".into(), json!(config.namespace));
    for field in ["generateName", "finalizers", "ownerReferences"] {
        metadata.remove(field);
    }
    let labels = member(metadata, "labels").ok_or("metadata.labels is not an object")?;
    for (key, value) in [
        (MANAGED_BY, "muster".to_owned()),
        (HUB, config.hub.clone()),
        (MODEL, label(model.id.as_str())),
        (INSTANCE, instance.to_string()),
    ] {
        labels.insert(key.into(), json!(value));
    }
    let annotations =
        member(metadata, "annotations").ok_or("metadata.annotations is not an object")?;
    for (key, value) in idle().into_iter().chain([
        (MODEL, model.id.to_string()),
        (VERSION, model.version.clone()),
        (EPOCH, launch.epoch.to_string()),
    ]) {
        annotations.insert(key.into(), json!(value));
    }
    let spec = members(pod, "spec").ok_or("spec is not an object")?;
    spec.insert("restartPolicy".into(), json!("Never"));
    spec.insert("automountServiceAccountToken".into(), json!(false));
    let deadline = spec.get("activeDeadlineSeconds").and_then(Value::as_u64);
    let deadline = deadline.filter(|deadline| (1..=DEADLINE_SECONDS).contains(deadline));
    spec.insert("activeDeadlineSeconds".into(), json!(deadline.unwrap_or(DEADLINE_SECONDS)));
    let (image, _) = image(config, model).ok_or(NOT_A_POD)?;
    let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
    let model = containers.into_iter().flatten().find(|it| it["name"] == MODEL_CONTAINER);
    let model = model.and_then(Value::as_object_mut);
    // What its version says, and the operator allows, is what runs.
    model
        .ok_or("spec.containers: the container `model` has to stay")?
        .insert("image".into(), json!(image));
    let affinity = member(spec, "affinity").ok_or("spec.affinity is not an object")?;
    if let Some(place) = &launch.place {
        let is = json!({"key": "metadata.name", "operator": "In", "values": [place.node.0]});
        let term = json!({"weight": 100, "preference": {"matchFields": [is]}});
        prefer(affinity, "nodeAffinity", term)?;
    }
    // Full nodes stay full, and empty ones can go.
    let ours = json!({"labelSelector": {"matchLabels": {HUB: config.hub}},
        "topologyKey": "kubernetes.io/hostname"});
    prefer(affinity, "podAffinity", json!({"weight": 50, "podAffinityTerm": ours}))
}

/// The state in which a pod may be moved, as autoscalers read it: it is always said, since they differ in
/// what they do with a pod that says nothing.
pub(crate) fn idle() -> [(&'static str, String); 1] {
    [(super::work::SAFE_TO_EVICT, "true".to_owned())]
}

fn prefer(affinity: &mut Map<String, Value>, kind: &str, term: Value) -> Result<(), &'static str> {
    const TERMS: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let kind = member(affinity, kind).ok_or("spec.affinity: a part of it is not an object")?;
    let terms = kind.entry(TERMS).or_insert_with(|| json!([]));
    if terms.is_null() {
        *terms = json!([]);
    }
    terms.as_array_mut().ok_or("spec.affinity: preferred terms are not a list")?.push(term);
    Ok(())
}

fn members<'v>(value: &'v mut Value, name: &str) -> Option<&'v mut Map<String, Value>> {
    member(value.as_object_mut()?, name)
}

fn member<'v>(of: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Map<String, Value>> {
    let value = of.entry(name).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut()
}

/// The name of an instance's pod: made from ids alone, so that making it twice makes one.
pub(crate) fn name(model: &ModelId, instance: InstanceId) -> String {
    let id = instance.to_string();
    let slug: String =
        model.as_str().chars().map(|c| if c == '_' || c == '.' { '-' } else { c }).collect();
    let most = NAME - id.len() - 1;
    let slug = slug[..slug.len().min(most)].trim_matches('-');
    format!("{slug}-{id}")
}

/// A model's id as the value of a label, which is shorter and ends with a letter or digit.
fn label(model: &str) -> String {
    model[..model.len().min(LABEL)].trim_end_matches(['-', '_', '.']).to_owned()
}

/// Can it be the value of a label?
pub(crate) fn is_label(text: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.len() <= LABEL
        && ends(text.bytes().next())
        && ends(text.bytes().last())
        && text.bytes().all(inside)
}

/// A model that stands for all when the template of the configuration is tried.
pub(crate) fn any_model() -> Result<Model, serde_json::Error> {
    serde_json::from_value(json!({
        "id": "any",
        "version": "1",
        "source": {"from": "image", "image": "registry.invalid/any:1", "port": 8080},
        "card": {},
        "input": {"name": "input", "description": ""},
        "outputs": [],
        "example": [],
        "limits": {},
        "cache": false,
    }))
}
