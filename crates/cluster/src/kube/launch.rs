//! Makes pods: some at once, each as often as it takes.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher::DefaultBackoff;
use muster_core::InstanceId;
use muster_core::instance::{EndCause, StartFault};
use muster_core::waits::{Scheduler, Waits};
use tokio::time::sleep;

use super::client::Failed;
use super::entry::Entry;
use super::pods::named;
use super::{Inner, make};

/// What is in the books already is looked for this long in a watch that works.
const LOOKED_FOR: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);
/// The first pause after a quota had no room; it doubles.
const QUOTA: Duration = Duration::from_secs(2);
const QUOTA_MOST: Duration = Duration::from_secs(60);

/// What comes of asking for a pod.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Again { doing: String, waits: Waits, is_quota: bool },
    Exists,
    Refused(EndCause),
}

/// Makes the pod of a launched instance, unless it is there already.
pub(super) async fn launch(inner: Arc<Inner>, instance: InstanceId) {
    let launch = inner.pods.with(instance, |entry| entry.launch.clone()).flatten();
    let Some(launch) = launch else { return };
    if make::image(&inner.config, &launch.model).is_none() {
        let cause = EndCause::not_started(make::NOT_A_POD);
        return inner.pods.ended(instance, Some(cause));
    }
    if launch.adopted && !is_missing(&inner, instance).await {
        // It may have been stopped before it was seen.
        return inner.begun(instance, Vec::new());
    }
    let name = make::name(&launch.model.id, instance);
    let (mut pause, mut quota) = (DefaultBackoff::default(), QUOTA);
    loop {
        let failed = {
            let Ok(_one_of_some) = inner.creates.acquire().await else { return };
            if !is_wanted(&inner, instance) {
                return inner.begun(instance, Vec::new());
            }
            // Anew for each try: what it fetches it fetches by a link that gets old.
            let pod = match make::pod(&inner.config, &launch) {
                Ok(pod) => pod,
                Err(why) => {
                    let cause = EndCause::Refused { why, fault: StartFault::Lasting };
                    return inner.pods.ended(instance, Some(cause));
                }
            };
            match inner.calls.create_pod(&pod, false).await {
                Ok(made) => {
                    let todo = inner.pods.saw(made, true);
                    return inner.begun(instance, todo);
                }
                Err(failed) => failed,
            }
        };
        let own = match came(&failed) {
            Came::Exists => match take_over(&inner, instance, &name).await {
                Ok(()) => return,
                Err(_) => pause.next(),
            },
            Came::Refused(cause) => return inner.pods.ended(instance, Some(cause)),
            Came::Again { doing, waits, is_quota } => {
                tracing::warn!(instance.id = %instance, why = %failed, "its pod is not made yet");
                inner.pods.starts(instance, doing, waits);
                match is_quota {
                    true => {
                        let now = quota;
                        quota = (quota * 2).min(QUOTA_MOST);
                        Some(now)
                    }
                    false => pause.next(),
                }
            }
        };
        let own = own.unwrap_or(QUOTA_MOST);
        sleep(failed.retry_after().unwrap_or(own).max(own)).await;
    }
}

/// It is in the books and may have a pod: true once it is known that it has none.
async fn is_missing(inner: &Inner, instance: InstanceId) -> bool {
    let is_there = |entry: &mut Entry| entry.pod.is_some();
    loop {
        if inner.pods.with(instance, is_there) != Some(false) {
            return false;
        }
        if inner.pods_eye.fresh_for().is_some_and(|fresh| fresh >= inner.config.looked_for) {
            return true;
        }
        sleep(LOOK).await;
    }
}

/// Nobody stopped it meanwhile, and it has no pod.
fn is_wanted(inner: &Inner, instance: InstanceId) -> bool {
    let state = |entry: &mut Entry| (entry.stop.is_some(), entry.pod.is_some(), entry.is_over());
    match inner.pods.with(instance, state) {
        Some((_, true, _) | (_, _, true)) | None => false,
        Some((false, false, false)) => true,
        Some((true, false, false)) => {
            let why = "it was asked to stop".to_owned();
            inner.pods.ended(instance, Some(EndCause::Retired { why }));
            false
        }
    }
}

/// A pod of that name is there: an answer was lost, or somebody else has the name.
async fn take_over(inner: &Arc<Inner>, instance: InstanceId, name: &str) -> Result<(), Failed> {
    let pod = inner.calls.get_pod(name).await?;
    let labels = pod.metadata.labels.as_ref();
    let says = |label: &str| labels.and_then(|labels| labels.get(label)).map(String::as_str);
    let is_ours = says(make::HUB) == Some(&inner.config.hub)
        && says(make::INSTANCE) == Some(&instance.to_string())
        && named(&pod).is_some();
    if is_ours {
        let todo = inner.pods.saw(pod, true);
        inner.begun(instance, todo);
        return Ok(());
    }
    let why = format!("a pod {name} that is not the hub's is there already");
    let cause = EndCause::Refused { why, fault: StartFault::Lasting };
    inner.pods.ended(instance, Some(cause));
    Ok(())
}

fn came(failed: &Failed) -> Came {
    let refused = |fault| Came::Refused(EndCause::Refused { why: failed.to_string(), fault });
    let again = |doing: String, waits, is_quota| Came::Again { doing, waits, is_quota };
    let silent = || Waits::Scheduler(Scheduler::Silent);
    match failed {
        Failed::Answer { code: 403, message, .. } if message.contains("exceeded quota") => {
            let gated = Scheduler::Gated(vec![format!("quota: {}", quota(message))]);
            again(
                format!("the namespace's quota has no room: {message}"),
                Waits::Scheduler(gated),
                true,
            )
        }
        Failed::Answer { code: 403, message, .. } if message.contains("being terminated") => {
            refused(StartFault::Passing)
        }
        Failed::Answer { code: 404, .. } => refused(StartFault::Passing),
        Failed::Answer { code: 409, reason, .. } if reason == "AlreadyExists" => Came::Exists,
        failed if failed.passes() => {
            again(format!("its pod is not made yet: {failed}"), silent(), false)
        }
        _ => refused(StartFault::Lasting),
    }
}

/// The name of the quota, as the API says it: `exceeded quota: NAME, requested: ..`.
fn quota(message: &str) -> &str {
    let after = message.split_once("exceeded quota: ").map_or("", |(_, after)| after);
    match after.split(',').next().unwrap_or_default().trim() {
        "" => "of the namespace",
        name => name,
    }
}

pub(super) const DEFAULT_LOOKED_FOR: Duration = LOOKED_FOR;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, reason: &str, message: &str) -> Failed {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        Failed::Answer { code, reason, message, retry_after: None }
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_told() {
        let quota = "pods \"x\" is forbidden: exceeded quota: gpus, requested: pods=1, used: pods=3, limited: pods=3";
        let Came::Again { waits, is_quota: true, .. } = came(&answer(403, "Forbidden", quota))
        else {
            panic!("a quota may have room later");
        };
        assert_eq!(waits, Waits::Scheduler(Scheduler::Gated(vec!["quota: gpus".into()])));
        let ends = "pods \"x\" is forbidden: unable to create new content in namespace models because it is being terminated";
        let told = |failed: &Failed| match came(failed) {
            Came::Refused(EndCause::Refused { fault, .. }) => Some(fault),
            _ => None,
        };
        for (code, reason, message, fault) in [
            (403, "Forbidden", ends, StartFault::Passing),
            (404, "NotFound", "namespaces \"models\" not found", StartFault::Passing),
            (403, "Forbidden", "violates PodSecurity \"restricted:latest\"", StartFault::Lasting),
            (
                422,
                "Invalid",
                "Pod \"x\" is invalid: spec.containers[0].image: Required value",
                StartFault::Lasting,
            ),
            (
                400,
                "BadRequest",
                "admission webhook \"a.b\" denied the request: no",
                StartFault::Lasting,
            ),
        ] {
            assert_eq!(told(&answer(code, reason, message)), Some(fault), "{message}");
        }
        for failed in [
            Failed::Lost { why: "connection reset".into() },
            answer(401, "Unauthorized", "Unauthorized"),
            answer(409, "Conflict", "Operation cannot be fulfilled on resourcequotas"),
            answer(429, "TooManyRequests", ""),
            answer(500, "InternalError", "etcdserver: request timed out"),
            answer(503, "ServiceUnavailable", ""),
        ] {
            assert!(matches!(came(&failed), Came::Again { is_quota: false, .. }), "{failed}");
        }
        assert_eq!(came(&answer(409, "AlreadyExists", "pods \"x\" already exists")), Came::Exists);
    }
}
