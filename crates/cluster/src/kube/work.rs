//! What a pod works on, written at it: autoscalers read whether it may be moved, people which requests it has.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::DefaultBackoff;
use muster_core::InstanceId;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Inner;
use super::entry::Entry;
use super::pods::Named;
use super::watch::number;
use crate::Work;

pub(super) const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
const REQUESTS: &str = "muster.dev/request-ids";

/// At most one patch of a pod in this time.
const PACE: Duration = Duration::from_secs(1);
/// Most ids of requests that are written; of more only how many.
const MOST: usize = 20;
/// How often the same is written: a webhook or a controller may write otherwise each time.
const TRIES: u32 = 5;
/// How often it is tried to write what the hub may not write.
const FORBIDDEN: Duration = Duration::from_secs(60);

/// What is written at a pod, and what shall be.
#[derive(Default)]
pub(super) struct Marks {
    /// None: nobody said what it works on.
    wanted: Option<(Said, Instant)>,
    shown: Said,
    /// The version in which the last patch is: what is older shows nothing new.
    patched: Option<u64>,
    sent: Option<Instant>,
    /// How often what is wanted was written, and somebody wrote otherwise.
    tries: u32,
    /// Somebody writes otherwise again and again, which was told.
    gave_up: bool,
    /// Somebody sees to it.
    is_seen_to: bool,
}

/// Annotations of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    safe_to_evict: Option<String>,
    do_not_disrupt: Option<String>,
    requests: Option<String>,
}

impl Said {
    fn of(work: &Work) -> Self {
        let ids = &work.requests;
        let is_busy = !ids.is_empty();
        let shown: Vec<String> = ids.iter().take(MOST).map(ToString::to_string).collect();
        let mut requests = shown.join(",");
        if ids.len() > MOST {
            requests = format!("{requests},+{}", ids.len() - MOST);
        }
        Self {
            // Both states are said: a pod that says nothing keeps some autoscalers from its node.
            safe_to_evict: Some((!is_busy).to_string()),
            do_not_disrupt: is_busy.then(|| true.to_string()),
            requests: is_busy.then_some(requests),
        }
    }

    fn at(pod: &Pod) -> Self {
        let annotations = pod.metadata.annotations.as_ref();
        let get = |name: &str| annotations.and_then(|all| all.get(name).cloned());
        Self {
            safe_to_evict: get(SAFE_TO_EVICT),
            do_not_disrupt: get(DO_NOT_DISRUPT),
            requests: get(REQUESTS),
        }
    }

    fn is_busy(&self) -> bool {
        self.requests.is_some()
    }

    /// Annotations that are not there are taken away. Only of the pod with this uid.
    fn patch(&self, uid: &str) -> Value {
        json!({"metadata": {"uid": uid, "annotations": {
            SAFE_TO_EVICT: self.safe_to_evict,
            DO_NOT_DISRUPT: self.do_not_disrupt,
            REQUESTS: self.requests,
        }}})
    }
}

impl Marks {
    /// What shall be written. True: it is to be seen to.
    pub(super) fn want(&mut self, work: &Work) -> bool {
        let said = Said::of(work);
        if self.wanted.as_ref().is_none_or(|(wanted, _)| *wanted != said) {
            self.wanted = Some((said, Instant::now()));
            self.tries = 0;
        }
        self.differ()
    }

    /// What the watch shows.
    pub(super) fn shown(&mut self, pod: &Pod) {
        let version = pod.metadata.resource_version.as_deref().and_then(number);
        if matches!((self.patched, version), (Some(patched), Some(version)) if version < patched) {
            return;
        }
        (self.patched, self.shown) = (None, Said::at(pod));
    }

    pub(super) fn differ(&self) -> bool {
        self.tries < self.most_tries()
            && self.wanted.as_ref().is_some_and(|(wanted, _)| *wanted != self.shown)
    }

    fn most_tries(&self) -> u32 {
        if self.gave_up { 1 } else { TRIES }
    }
}

enum Next {
    Nothing,
    Later(Duration),
    Send(Named, Said),
}

/// What is to be done now. A busy pod says so at once, an idle one a moment later: it may get more.
fn next(entry: &mut Entry) -> Next {
    let ours = entry.pod.as_ref().filter(|seen| !seen.gone).map(|seen| seen.is.clone());
    let is_over = entry.is_over() || entry.is_ending() || entry.stop.is_some();
    let marks = &mut entry.marks;
    let is_otherwise = marks.wanted.as_ref().is_some_and(|(wanted, _)| *wanted != marks.shown);
    if marks.tries >= TRIES && is_otherwise && !marks.gave_up && !is_over {
        marks.gave_up = true;
        let pod = ours.as_ref().map_or("", |is| &is.name);
        tracing::warn!(
            pod,
            "somebody writes the marks of what it works on otherwise; each is written once from now on"
        );
    }
    let wanted = marks.wanted.clone().filter(|_| !is_over && marks.differ());
    let (Some(is), Some((wanted, since))) = (ours, wanted) else {
        marks.is_seen_to = false;
        return Next::Nothing;
    };
    let idle = if wanted.is_busy() { Duration::ZERO } else { PACE };
    let paced = marks.sent.map_or(Duration::ZERO, |sent| PACE.saturating_sub(sent.elapsed()));
    match idle.saturating_sub(since.elapsed()).max(paced) {
        Duration::ZERO => {
            marks.sent = Some(Instant::now());
            marks.tries += 1;
            Next::Send(is, wanted)
        }
        later => Next::Later(later),
    }
}

/// Sees to it that a pod says what it works on.
pub(super) fn see_to(inner: &Arc<Inner>, instance: InstanceId) {
    let is_seen_to = |entry: &mut Entry| std::mem::replace(&mut entry.marks.is_seen_to, true);
    if inner.pods.with(instance, is_seen_to) == Some(false) {
        let its = Arc::clone(inner);
        inner.spawn(async move { write(&its, instance).await });
    }
}

async fn write(inner: &Inner, instance: InstanceId) {
    let mut pause = DefaultBackoff::default();
    while let Some(next) = inner.pods.with(instance, next) {
        let (is, said) = match next {
            Next::Nothing => return,
            Next::Later(later) => {
                sleep(later).await;
                continue;
            }
            Next::Send(is, said) => (is, said),
        };
        let Ok(_one_of_few) = inner.patches.acquire().await else { return };
        match inner.calls.patch_pod(&is.name, &said.patch(&is.uid)).await {
            Ok(pod) => {
                pause = DefaultBackoff::default();
                inner.pods.with(instance, |entry| {
                    entry.marks.shown = Said::at(&pod);
                    entry.marks.patched = pod.metadata.resource_version.as_deref().and_then(number);
                });
            }
            // It is gone, or another pod has its name: the watch tells.
            Err(failed) if failed.is(404) || failed.is(409) => {
                inner.pods.with(instance, |entry| entry.marks.is_seen_to = false);
                return;
            }
            Err(failed) => {
                // Nothing was written.
                inner.pods.with(instance, |entry| {
                    entry.marks.tries = entry.marks.tries.saturating_sub(1)
                });
                let own = pause.next().unwrap_or(PACE);
                let own = if failed.is(403) { FORBIDDEN } else { own };
                tracing::warn!(instance.id = %instance, why = %failed, "what it works on is not written at its pod yet");
                drop(_one_of_few);
                sleep(failed.retry_after().unwrap_or(own).max(own)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use muster_core::RequestId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_busy_pod_says_so_and_so_does_an_idle_one() {
        let ids = |n: u128| (0..n).map(|id| RequestId(Uuid::from_u128(id))).collect();
        let said = |n| Said::of(&Work { requests: ids(n) }).patch("u")["metadata"].clone();
        assert_eq!(
            said(0),
            json!({"uid": "u", "annotations": {
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
                "karpenter.sh/do-not-disrupt": null, "muster.dev/request-ids": null,
            }})
        );
        assert_eq!(
            said(2)["annotations"],
            json!({
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
                "karpenter.sh/do-not-disrupt": "true",
                "muster.dev/request-ids":
                    "00000000-0000-0000-0000-000000000000,00000000-0000-0000-0000-000000000001",
            })
        );
        let many = said(1000)["annotations"]["muster.dev/request-ids"].to_string();
        assert!(many.ends_with(",+980\"") && many.len() < 1000, "{many}");
    }
}
