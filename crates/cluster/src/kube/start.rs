//! What has to be right before pods are made, and what is watched then.

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use muster_core::room::NodeId;
use muster_core::{InstanceId, Model};
use tokio::time::sleep;
use uuid::Uuid;

use super::client::{Calls, Failed, KubeError};
use super::pods::instance_of;
use super::read::events::event;
use super::read::time;
use super::rights::{OWNS, Place, RIGHTS};
use super::sight::Eye;
use super::watch::{Scope, Told, follow};
use super::{Inner, KubeConfig, buffers, cordons, ending, make, usage};
use crate::{Launch, Now};

/// Where Kubernetes writes events of what is in no namespace.
pub(super) const NODES_EVENTS: &str = "default";

/// What came of trying a pod.
pub(super) enum Tried {
    /// Its templates are wrong already here.
    Template(String),
    Cluster(Failed),
}

/// Can this hub run pods there?
pub(super) async fn check(calls: &Calls, config: &KubeConfig) -> Result<(), KubeError> {
    if !make::is_label(&config.hub) {
        return Err(KubeError::Hub(config.hub.clone()));
    }
    if let Err(failed) = rights(calls, config).await? {
        return unreachable(&failed);
    }
    if config.owns_nodes {
        of_nodes(calls).await?;
    }
    let any = make::any_model().map_err(|error| KubeError::Template(error.to_string()))?;
    match try_pod(calls, config, &any).await {
        Ok(()) => Ok(()),
        Err(Tried::Template(why)) => Err(KubeError::Template(why)),
        Err(Tried::Cluster(failed)) if failed.passes() => unreachable(&failed),
        Err(Tried::Cluster(failed)) if failed.is(404) => {
            let namespace = config.namespace.clone();
            Err(KubeError::Namespace { namespace, why: failed.to_string() })
        }
        Err(Tried::Cluster(failed)) if is_of_a_policy(&failed) => {
            tracing::warn!(why = %failed, "a policy of the cluster refuses a pod without a model's image");
            Ok(())
        }
        Err(Tried::Cluster(failed)) => Err(KubeError::Template(failed.to_string())),
    }
}

/// A policy may be about images, and what is tried has none of a model: then it says nothing of the template.
pub(super) fn is_of_a_policy(failed: &Failed) -> bool {
    let words = failed.to_string();
    ["admission webhook ", "ValidatingAdmissionPolicy "].iter().any(|it| words.contains(it))
}

/// An API that does not answer now is waited for, one that is another's is not.
fn unreachable(failed: &Failed) -> Result<(), KubeError> {
    let why = failed.to_string();
    if matches!(failed, Failed::Lost { .. }) && why.contains("certificate") {
        return Err(KubeError::Unreachable(why));
    }
    tracing::error!(why, "the Kubernetes API does not answer; instances start when it does");
    Ok(())
}

/// Which rights are there. A failure if that cannot be asked.
async fn rights(calls: &Calls, config: &KubeConfig) -> Result<Result<(), Failed>, KubeError> {
    let Missing { needed, wished } = match missing(calls).await {
        Ok(missing) => missing,
        Err(failed) if failed.passes() => return Ok(Err(failed)),
        Err(failed) => {
            tracing::warn!(why = %failed, "the cluster does not say what the hub may do");
            return Ok(Ok(()));
        }
    };
    if !wished.is_empty() {
        let missing = wished.join(", ");
        tracing::warn!(missing, "the hub may not do all that it could in its namespace");
    }
    match &*needed {
        [] => Ok(Ok(())),
        needed => Err(KubeError::Rights {
            namespace: config.namespace.clone(),
            missing: needed.join(", "),
        }),
    }
}

/// Rights in its namespace that the hub does not have.
pub(super) struct Missing {
    /// Without these no pod can be run.
    pub(super) needed: Vec<String>,
    /// Without these less is told.
    pub(super) wished: Vec<String>,
}

pub(super) async fn missing(calls: &Calls) -> Result<Missing, Failed> {
    let here = RIGHTS.iter().filter(|right| right.place == Place::Models);
    let each = here.flat_map(|right| right.verbs.iter().map(move |verb| (right, *verb)));
    let asked = each.map(|(right, verb)| async move {
        let wish = (verb, right.group, right.resource);
        (right, verb, calls.may(wish, Some(&calls.namespace)).await)
    });
    let (mut needed, mut wished) = (Vec::new(), Vec::new());
    for (right, verb, may) in join_all(asked).await {
        if !may? {
            let list = if right.is_needed() { &mut needed } else { &mut wished };
            list.push(format!("{verb} {}", right.named()));
        }
    }
    Ok(Missing { needed, wished })
}

/// May it do with nodes what it has to?
async fn of_nodes(calls: &Calls) -> Result<(), KubeError> {
    let each =
        OWNS.iter().flat_map(|it| it.verbs.iter().map(|verb| (*verb, it.group, it.resource)));
    let asked = each.map(|right| async move { (right, calls.may(right, None).await) });
    let missing = join_all(asked).await.into_iter();
    // Where that cannot be asked, the first call says it.
    let missing = missing.filter(|(_, may)| *may == Ok(false));
    let missing: Vec<String> =
        missing.map(|((verb, _, resource), _)| format!("{verb} {resource}")).collect();
    match &*missing {
        [] => Ok(()),
        missing => Err(KubeError::NodeRights { missing: missing.join(", ") }),
    }
}

/// Asks the cluster about a pod of a model, which is not made. A quota that is used up says nothing about it.
pub(super) async fn try_pod(
    calls: &Calls,
    config: &KubeConfig,
    model: &Model,
) -> Result<(), Tried> {
    let instance = InstanceId(Uuid::nil());
    let launch = Launch::anywhere(instance, Arc::new(model.clone()));
    let pod = make::pod(config, &launch).map_err(Tried::Template)?;
    match calls.create_pod(&pod, true).await {
        Ok(_) => Ok(()),
        Err(failed) if failed.to_string().contains("exceeded quota") => Ok(()),
        Err(failed) => Err(Tried::Cluster(failed)),
    }
}

/// Begins all that goes on.
pub(super) fn watch(inner: &Arc<Inner>, now: &Now) {
    let its = Arc::clone(inner);
    let api = Api::<Pod>::namespaced(inner.calls.client.clone(), &inner.config.namespace);
    let labels = Some(format!("{}={}", make::HUB, inner.config.hub));
    let scope = Scope { api, labels, fields: None, silence: inner.config.silence };
    inner.spawn(async move {
        let mut listed = Vec::new();
        let hear = |told| {
            let todo: Vec<_> = match told {
                Told::Lists => {
                    listed.clear();
                    Vec::new()
                }
                Told::Listed(pod) => {
                    listed.push(pod);
                    Vec::new()
                }
                Told::All(asked) => its.pods.all(std::mem::take(&mut listed), asked),
                Told::Seen(pod) => its.pods.saw(pod, false),
                Told::Gone(pod) => its.pods.gone(&pod).into_iter().collect(),
            };
            todo.into_iter().for_each(|todo| its.act(todo));
        };
        follow(scope, &its.pods_eye, hear).await;
    });
    let places = [("Pod", &*inner.config.namespace), ("Node", NODES_EVENTS)];
    for (kind, namespace) in places {
        if kind == "Pod" || inner.config.observe_cluster {
            let api = Api::<Event>::namespaced(inner.calls.client.clone(), namespace);
            let fields = Some(format!("involvedObject.kind={kind}"));
            let scope = Scope { api, labels: None, fields, silence: inner.config.silence };
            let eye = Eye::new("events", Arc::clone(now));
            let its = Arc::clone(inner);
            inner.spawn(async move { events(its, scope, eye).await });
        }
    }
    if inner.config.observe_cluster {
        inner.look_around();
    }
    if inner.config.observe_cluster {
        inner.spawn(cordons::keep(Arc::clone(inner)));
    }
    inner.spawn(buffers::keep(Arc::clone(inner)));
    inner.spawn(usage::measure(Arc::clone(inner)));
    inner.spawn(ending::give_up(Arc::clone(inner)));
}

/// Events of pods that are not known yet would be lost, so pods come first.
async fn events(inner: Arc<Inner>, scope: Scope<Event>, eye: Eye) {
    while inner.pods_eye.fresh_for().is_none() {
        sleep(std::time::Duration::from_millis(100)).await;
    }
    let hear = |told| match told {
        Told::Listed(event) | Told::Seen(event) => hear(&inner, &event),
        Told::Lists | Told::All(_) | Told::Gone(_) => {}
    };
    follow(scope, &eye, hear).await;
}

fn hear(inner: &Inner, it: &Event) {
    let about = &it.involved_object;
    let (kind, name) = (about.kind.as_deref(), about.name.as_deref().unwrap_or_default());
    match kind {
        Some("Pod") => {
            let Some(instance) = instance_of(name) else { return };
            inner.pods.with(instance, |entry| {
                let is = entry.pod.as_ref().map(|seen| &seen.is);
                let other = |uid: &String| is.is_some_and(|is| is.uid != *uid);
                if !about.uid.as_ref().is_some_and(other) {
                    entry.events.add(event(it));
                }
            });
        }
        // Of a node: for all that were there then.
        Some("Node") => {
            let (node, event) = (NodeId::from(name), event(it));
            inner.pods.each(|_, entry| {
                let made = entry
                    .pod
                    .as_ref()
                    .and_then(|seen| seen.pod.metadata.creation_timestamp.as_ref().map(time::of));
                let was_there = made.is_none_or(|made| made <= event.last_at);
                if entry.observed.node.as_ref() == Some(&node) && was_there && !entry.is_over() {
                    entry.events.add(event.clone());
                }
            });
        }
        _ => {}
    }
}
