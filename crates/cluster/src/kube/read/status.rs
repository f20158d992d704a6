//! The word that `kubectl get pods` prints in its column STATUS.
//!
//! It is put together from the reason of the pod and the states of its containers; the documentation of the life
//! of a pod says what the words mean (<https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/>).

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};

use super::pod::{condition, is_true};

/// The word, for example `Running`, `Init:0/1`, `ImagePullBackOff`, `Evicted`.
pub fn word(pod: &Pod) -> String {
    let nothing = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&nothing);
    let phase = status.phase.as_deref().unwrap_or_default();
    let reason = status.reason.as_deref().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        if reason == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !matches!(phase, "Succeeded" | "Failed") {
            return "Terminating".to_owned();
        }
    }
    let mut word = if reason.is_empty() { phase } else { reason }.to_owned();
    let gated = |it: &str| it == "SchedulingGated";
    if condition(pod, "PodScheduled").and_then(|it| it.reason.as_deref()).is_some_and(gated) {
        word = "SchedulingGated".to_owned();
    }
    let initializing = of_init(pod, status);
    let is_initializing = initializing.is_some();
    word = initializing.unwrap_or(word);
    if !is_initializing || is_true(pod, "Initialized") {
        word = of_containers(pod, status).unwrap_or(word);
    }
    word
}

/// Of the first init container that is neither done nor a sidecar that runs.
fn of_init(pod: &Pod, status: &PodStatus) -> Option<String> {
    let statuses = status.init_container_statuses.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref());
    let of_spec = spec.unwrap_or_default();
    let is_sidecar = |name: &str| {
        let mut its = of_spec.iter().filter(|it| it.name == name);
        its.any(|it| it.restart_policy.as_deref() == Some("Always"))
    };
    let is_past = |it: &ContainerStatus| {
        let ended = terminated(it).is_some_and(|ended| ended.exit_code == 0);
        ended || (is_sidecar(&it.name) && it.started == Some(true))
    };
    let (at, first) = statuses.iter().enumerate().find(|(_, it)| !is_past(it))?;
    let waiting = first.state.as_ref().and_then(|it| it.waiting.as_ref()?.reason.as_deref());
    Some(match (terminated(first), waiting) {
        (Some(ended), _) => format!("Init:{}", how(ended)),
        (None, Some(reason)) if !reason.is_empty() && reason != "PodInitializing" => {
            format!("Init:{reason}")
        }
        _ => format!("Init:{at}/{}", of_spec.len()),
    })
}

/// Of the first container that has something to say.
fn of_containers(pod: &Pod, status: &PodStatus) -> Option<String> {
    let mut word = None;
    let mut has_running = false;
    for it in status.container_statuses.as_deref().unwrap_or_default().iter().rev() {
        let Some(state) = &it.state else { continue };
        let waiting = state.waiting.as_ref().and_then(|it| it.reason.as_deref());
        match (waiting.filter(|reason| !reason.is_empty()), &state.terminated) {
            (Some(reason), _) => word = Some(reason.to_owned()),
            (None, Some(ended)) => word = Some(how(ended)),
            (None, None) => has_running |= it.ready && state.running.is_some(),
        }
    }
    let is_completed = match &word {
        Some(word) => word == "Completed",
        None => false,
    };
    if is_completed && has_running {
        let ready = is_true(pod, "Ready");
        word = Some(if ready { "Running" } else { "NotReady" }.to_owned());
    }
    word
}

fn terminated(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

fn how(ended: &ContainerStateTerminated) -> String {
    match (ended.reason.as_deref().unwrap_or_default(), ended.signal.unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", ended.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
