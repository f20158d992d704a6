//! Why a pod ended, or is being taken away.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use muster_core::instance::StartFault;
use muster_core::waits::ImageFault;
use muster_core::{EndCause, Timestamp};

use super::pod::{Its, condition, short};
use super::{image, quantity, time};
use crate::said::{Failed, Said};

/// The most of what a model said last.
const LAST_LINES: usize = 2000;

/// Nobody knows who did it.
pub fn deleted() -> EndCause {
    EndCause::Stopped { why: "its pod was deleted".to_owned() }
}

/// Why and when it ended, if it did.
pub fn ended(pod: &Pod) -> Option<(EndCause, Option<Timestamp>)> {
    let status = pod.status.as_ref()?;
    let model = Its::model(pod);
    let model_ended = model.status.and_then(|it| it.state.as_ref()?.terminated.as_ref());
    let is_over = match status.phase.as_deref() {
        Some("Succeeded" | "Failed") => true,
        // Others may run on in the pod, but not the model.
        _ => model_ended.is_some() && starts_no_more(pod),
    };
    if !is_over {
        return None;
    }
    let reason = status.reason.as_deref().unwrap_or_default();
    let message = status.message.as_deref().unwrap_or_default();
    let culprit = culprit(pod);
    let at = culprit.and_then(|(_, it)| it.finished_at.as_ref()).map(time::of);
    let cause = of_pod(reason, message)
        .or_else(|| disrupted(pod).filter(|(_, since)| at.is_none() || at >= *since).map(|it| it.0))
        .or_else(|| out_of_memory(pod))
        .or_else(|| {
            asked_to_go(pod).filter(|asked| at.is_some_and(|at| at >= *asked)).map(|_| deleted())
        })
        .or_else(|| culprit.map(|(container, it)| of_container(&container, it)))
        .unwrap_or_else(|| refused(reason, message, StartFault::Passing));
    Some((cause, at))
}

/// Why it goes, if it does.
pub fn leaves(pod: &Pod) -> Option<EndCause> {
    let status = pod.status.as_ref();
    let reason = status.and_then(|it| it.reason.as_deref()).unwrap_or_default();
    let is_lost = status.and_then(|it| it.phase.as_deref()) == Some("Unknown");
    if reason == "NodeLost" || is_lost {
        let why = status.and_then(|it| it.message.as_deref()).filter(|it| !it.is_empty());
        return Some(EndCause::NodeGone {
            why: short(why.unwrap_or("it is not heard of any more")),
        });
    }
    if let Some((cause, _)) = disrupted(pod) {
        return Some(cause);
    }
    pod.metadata.deletion_timestamp.as_ref().map(|_| deleted())
}

/// By what the pod itself says, which is said of it as a whole.
fn of_pod(reason: &str, message: &str) -> Option<EndCause> {
    let why = || short(if message.is_empty() { reason } else { message });
    Some(match reason {
        "Evicted" if is_over_its_limit(message) => EndCause::OutOfDisk { why: why() },
        "Evicted" => EndCause::Evicted { why: why() },
        // The kubelet made room for a pod that the node itself needs.
        "Preempting" => EndCause::Preempted,
        "NodeShutdown" | "Terminated" | "Shutdown" | "NodeLost" => {
            EndCause::NodeGone { why: why() }
        }
        "DeadlineExceeded" => EndCause::Deadline,
        // Wherever it comes to, it is the same.
        "AppArmor"
        | "SysctlForbidden"
        | "PodOSNotSupported"
        | "PodOSSelectorNodeLabelDoesNotMatch" => refused(reason, message, StartFault::Lasting),
        "UnexpectedAdmissionError"
        | "NodeAffinity"
        | "NodeName"
        | "NodePorts"
        | "TopologyAffinityError" => refused(reason, message, StartFault::Passing),
        _ if reason.starts_with("OutOf") => refused(reason, message, StartFault::Passing),
        _ => return None,
    })
}

/// The kubelet evicts for two things: want of the node, and a limit of the pod.
fn is_over_its_limit(message: &str) -> bool {
    message.starts_with("Pod ephemeral local storage usage exceeds")
        || message.starts_with("Usage of EmptyDir volume")
        || (message.starts_with("Container ")
            && message.contains("exceeded its local ephemeral storage limit"))
}

/// Somebody takes it away, since then: the condition is set before the pod is deleted.
fn disrupted(pod: &Pod) -> Option<(EndCause, Option<Timestamp>)> {
    let target = condition(pod, "DisruptionTarget").filter(|it| it.status == "True")?;
    let reason = target.reason.as_deref().unwrap_or_default();
    let message = target.message.as_deref().filter(|it| !it.is_empty());
    let why = short(message.unwrap_or(reason));
    let cause = match reason {
        "PreemptionByScheduler" => EndCause::Preempted,
        // Of nodes that are not heard of, and that are gone.
        "DeletionByTaintManager" | "DeletionByPodGC" => EndCause::NodeGone { why },
        _ => EndCause::Evicted { why },
    };
    Some((cause, target.last_transition_time.as_ref().map(time::of)))
}

/// When somebody asked for it to be deleted: the time of the deletion is that at which its grace is over.
fn asked_to_go(pod: &Pod) -> Option<Timestamp> {
    let by = time::of(pod.metadata.deletion_timestamp.as_ref()?);
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    Some(by - std::time::Duration::from_secs(u64::try_from(grace).unwrap_or(0)))
}

/// Of any of its containers, now or before the last time that it was started.
fn out_of_memory(pod: &Pod) -> Option<EndCause> {
    let is_so = |it: &&ContainerStateTerminated| it.reason.as_deref() == Some("OOMKilled");
    Its::all(pod).find_map(|it| {
        let status = it.status?;
        let now = status.state.as_ref().and_then(|it| it.terminated.as_ref());
        let last = status.last_state.as_ref().and_then(|it| it.terminated.as_ref());
        // What came after the last start says more, if it is known.
        let last = last.filter(|_| now.is_none_or(|now| now.reason.as_deref() == Some(LOST)));
        let killed = now.filter(is_so).or_else(|| last.filter(is_so))?;
        Some(of_container(&it, killed))
    })
}

/// The kubelet found no trace of the container.
const LOST: &str = "ContainerStatusUnknown";

/// Whose end is that of the pod: an init container that failed, the model's, another one.
fn culprit(pod: &Pod) -> Option<(Its<'_>, &ContainerStateTerminated)> {
    let model = Its::model(pod);
    let runs_on = |it: &Its<'_>| {
        it.is_init && it.spec.and_then(|it| it.restart_policy.as_deref()) == Some("Always")
    };
    let failed = |it: &Its<'_>| terminated(it).is_some_and(|ended| ended.exit_code != 0);
    let init = Its::all(pod).find(|it| it.is_init && !runs_on(it) && failed(it));
    let of_model = terminated(&model).map(|_| model).filter(failed);
    let any = || Its::all(pod).find(failed);
    let it = init.or(of_model).or_else(any).or(Some(model))?;
    Some((it, terminated(&it)?))
}

fn terminated<'p>(it: &Its<'p>) -> Option<&'p ContainerStateTerminated> {
    it.status?.state.as_ref()?.terminated.as_ref()
}

fn starts_no_more(pod: &Pod) -> bool {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    match policy {
        Some("Never") => true,
        Some("OnFailure") => terminated(&Its::model(pod)).is_some_and(|it| it.exit_code == 0),
        _ => false,
    }
}

/// Why a container ended.
pub fn of_container(it: &Its<'_>, ended: &ContainerStateTerminated) -> EndCause {
    let message = ended.message.as_deref().unwrap_or_default();
    let reason = ended.reason.as_deref().unwrap_or_default();
    match reason {
        "OOMKilled" => match memory_limit(it) {
            Some(bytes) => {
                let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
                EndCause::OutOfMemory { limit_mib: mib.max(1) }
            }
            // Nobody limits it: it was the node that had none left.
            None => EndCause::Evicted { why: "the node had no memory left".to_owned() },
        },
        LOST => {
            let why = if message.is_empty() { "its container is lost" } else { message };
            EndCause::NodeGone { why: short(why) }
        }
        _ if is_of_the_node(ended) => match image::is_of_other_platform(message) {
            true => EndCause::Image { fault: ImageFault::WrongPlatform, message: short(message) },
            false => refused(reason, message, start_fault(message)),
        },
        _ => {
            // Our model server says why it could not start.
            let said = serde_json::from_str(message);
            if let Ok(Said::Failed(Failed::Known { reason, fault })) = said {
                return EndCause::NotStarted { reason: short(&reason), fault };
            }
            // What a signal ended has the signal's number and 128 for its exit code.
            let signal = ended.signal.filter(|signal| *signal != 0);
            let by_code = Some(ended.exit_code.saturating_sub(128));
            let signal = signal.or(by_code.filter(|signal| (1..=31).contains(signal)));
            let code = Some(ended.exit_code).filter(|_| signal.is_none());
            let message: Vec<char> = message.trim().chars().collect();
            let kept = &message[message.len().saturating_sub(LAST_LINES)..];
            EndCause::Exited { code, signal, last_lines: kept.iter().collect() }
        }
    }
}

/// The container was not begun, so that its message is that of the node and not of the model.
pub fn is_of_the_node(ended: &ContainerStateTerminated) -> bool {
    let reason = ended.reason.as_deref().unwrap_or_default();
    matches!(reason, "StartError" | "ContainerCannotRun" | LOST)
}

/// The most memory that it may have, or its pod.
fn memory_limit(it: &Its<'_>) -> Option<u64> {
    let now = it.status.and_then(|it| it.resources.as_ref()?.limits.as_ref());
    let asked = it.spec.and_then(|it| it.resources.as_ref()?.limits.as_ref());
    let whole = it.pod.spec.as_ref().and_then(|it| it.resources.as_ref()?.limits.as_ref());
    let of = [now, asked, whole].into_iter().flatten().find_map(|limits| limits.get("memory"))?;
    quantity::named("memory", of).ok().map(|(_, bytes)| bytes).filter(|bytes| *bytes > 0)
}

/// The cluster, or a node of it, would not run it.
pub fn refused(reason: &str, message: &str, fault: StartFault) -> EndCause {
    let why = match (reason, message) {
        ("", "") => "it did not say why".to_owned(),
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    };
    EndCause::Refused { why: short(&why), fault }
}

/// Can it be begun if it is tried again? Only what is certain not to pass is said not to.
pub fn start_fault(message: &str) -> StartFault {
    let message = message.to_lowercase();
    let lasting = [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "no command specified",
        "exec format error",
        "is a directory",
        "runasnonroot",
        "run as non-root",
        "unable to find user",
        "unable to find group",
    ];
    let is_node = ["nvidia-container", "cgroup", "no space left", "prestart hook"];
    let said = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if said(&lasting) && !said(&is_node) { StartFault::Lasting } else { StartFault::Passing }
}

/// What it refers to is not there, or does not fit together; unless the node could not ask.
pub fn config_fault(message: &str) -> StartFault {
    let message = message.to_lowercase();
    let passing = ["failed to sync", "timed out", "timeout", "connection refused", "etcdserver"];
    match passing.iter().any(|word| message.contains(word)) {
        true => StartFault::Passing,
        false => StartFault::Lasting,
    }
}
