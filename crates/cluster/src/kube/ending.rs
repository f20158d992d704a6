//! Ends pods, and sees to it that what is not the hub's any more is gone.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher::DefaultBackoff;
use muster_core::InstanceId;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::Failed;
use super::pods::{Named, Stopped, Todo, instance_of, named};
use super::runner::PREPARES;
use super::{Inner, logs, make, work};

/// How often it is looked whether the node of a pod that is to end is still there.
const LOOK: Duration = Duration::from_secs(10);
const FORBIDDEN: Duration = Duration::from_secs(60);
/// What says that it is the hub's and is no instance is left alone for so long: somebody may look at it.
const FAKE: Duration = Duration::from_secs(60);
/// A grace of nothing would leave what runs on a node that does not answer to itself.
const LEAST_GRACE: Duration = Duration::from_secs(1);
/// What is to end and does not is given up after its grace and this.
const SILENT: Duration = Duration::from_secs(60);

impl Inner {
    /// Does what is to be done.
    pub(super) fn act(self: &Arc<Self>, todo: Todo) {
        let inner = Arc::clone(self);
        match todo {
            Todo::End(instance) => self.spawn(async move { end(&inner, instance).await }),
            Todo::Check(instance) => self.spawn(async move { check(&inner, instance).await }),
            Todo::Heal(instance) => self.spawn(async move { heal(&inner, instance).await }),
            Todo::Fake(is, epoch) => self.spawn(async move { fake(&inner, is, epoch).await }),
            Todo::Mark(instance) => work::see_to(self, instance),
            Todo::Close(instance) => self.spawn(async move {
                label(&inner, instance, json!({PREPARES: null})).await;
            }),
        }
    }

    /// A pod was made: it may have been stopped meanwhile.
    pub(super) fn begun(self: &Arc<Self>, instance: InstanceId, todo: Vec<Todo>) {
        todo.into_iter().for_each(|todo| self.act(todo));
        if let Some(Some(grace)) = self.pods.with(instance, |entry| entry.stop) {
            self.stop(instance, grace);
        }
    }

    pub(super) fn stop(self: &Arc<Self>, instance: InstanceId, grace: Duration) {
        let inner = Arc::clone(self);
        match self.pods.stop(instance, grace) {
            Stopped::Pod(is, grace) => self.spawn(async move {
                inner.listen(instance, &is);
                logs::opened(&inner, instance, &is).await;
                delete(&inner, &is, Some(grace)).await;
            }),
            // Whoever makes it sees that it is not wanted.
            Stopped::Unmade => {}
            Stopped::Nothing => self.drop_strays(instance),
        }
    }

    /// What nobody launched here is not forgotten by anybody either.
    fn drop_strays(self: &Arc<Self>, instance: InstanceId) {
        if self.pods.is_done_with(instance) {
            self.forget(instance);
        }
    }

    pub(super) fn forget(self: &Arc<Self>, instance: InstanceId) {
        if let Some(is) = self.pods.forget(instance) {
            let inner = Arc::clone(self);
            self.spawn(async move { delete(&inner, &is, None).await });
        }
    }

    /// Follows the log of an instance that can have written something.
    pub(super) fn listen(self: &Arc<Self>, instance: InstanceId, is: &Named) {
        let begins = |entry: &mut super::entry::Entry| {
            entry.has_begun() && !entry.is_ending() && !entry.is_over() && entry.log.ask()
        };
        if self.pods.with(instance, begins) == Some(true) {
            let (inner, is) = (Arc::clone(self), is.clone());
            self.spawn(async move { logs::follow(inner, instance, is).await });
        }
    }

    /// Is the node of a pod known to be no more? A watch that hears nothing may not know a node that is new, so
    /// the cluster is asked.
    async fn has_lost_node(&self, is: &Named) -> bool {
        let node = instance_of(&is.name)
            .and_then(|instance| self.pods.with(instance, |entry| entry.observed.node.clone()));
        let Some(Some(node)) = node else { return false };
        self.around.nodes_eye.heard_at().is_some()
            && !self.around.nodes.has(&node.0)
            && matches!(self.calls.has_node(&node.0).await, Ok(false))
    }
}

/// Takes an instance's last words, then says that it ended.
async fn end(inner: &Arc<Inner>, instance: InstanceId) {
    let pod = |entry: &mut super::entry::Entry| {
        let seen = entry.pod.as_ref()?;
        Some((seen.is.clone(), seen.gone, entry.has_begun()))
    };
    if let Some(Some((is, is_gone, true))) = inner.pods.with(instance, pod) {
        logs::take(inner, instance, &is, is_gone).await;
    }
    inner.pods.ended(instance, None);
    inner.drop_strays(instance);
}

/// It left the watch: it is gone, or somebody took its labels away.
async fn check(inner: &Arc<Inner>, instance: InstanceId) {
    let mut pause = DefaultBackoff::default();
    loop {
        let seen = |entry: &mut super::entry::Entry| entry.pod.as_ref().map(|seen| seen.is.clone());
        let Some(Some(is)) = inner.pods.with(instance, seen) else { return };
        let found = {
            let Ok(_one_of_few) = inner.patches.acquire().await else { return };
            inner.calls.get_pod(&is.name).await
        };
        match found {
            Ok(pod) if named(&pod).as_ref() == Some(&is) => return heal(inner, instance).await,
            Err(failed) if !failed.is(404) => {
                sleep(pause.next().unwrap_or(FORBIDDEN)).await;
            }
            Ok(_) | Err(_) => {
                if let Some(todo) = inner.pods.is_gone(instance, &is) {
                    inner.act(todo);
                }
                return;
            }
        }
    }
}

/// Gives a pod of the hub its labels back.
async fn heal(inner: &Arc<Inner>, instance: InstanceId) {
    tracing::warn!(instance.id = %instance, "somebody changed the labels of its pod; they are put back");
    let labels = json!({make::HUB: inner.config.hub, make::INSTANCE: instance.to_string()});
    label(inner, instance, labels).await;
}

/// Writes labels of a pod of the hub: the pod is the one that the hub made, by its uid.
async fn label(inner: &Arc<Inner>, instance: InstanceId, labels: Value) {
    let seen = |entry: &mut super::entry::Entry| {
        entry.pod.as_ref().filter(|seen| !seen.gone).map(|seen| seen.is.clone())
    };
    let Some(Some(is)) = inner.pods.with(instance, seen) else { return };
    let patch = json!({"metadata": {"uid": is.uid, "labels": labels}});
    let mut pause = DefaultBackoff::default();
    loop {
        let Ok(_one_of_few) = inner.patches.acquire().await else { return };
        match inner.calls.patch_pod(&is.name, &patch).await {
            Ok(_) => return,
            Err(failed) if failed.is(404) || failed.is(409) => {
                if let Some(todo) = inner.pods.is_gone(instance, &is) {
                    inner.act(todo);
                }
                return;
            }
            Err(failed) => {
                tracing::warn!(pod = is.name, why = %failed, "its labels are not written yet");
                drop(_one_of_few);
                sleep(pause.next().unwrap_or(FORBIDDEN)).await;
            }
        }
    }
}

/// A pod with the hub's label that is no instance: it ends, since nobody else sees to it. What a server made that
/// planned later than this one is left to that server: it knows more.
async fn fake(inner: &Arc<Inner>, is: Named, epoch: u64) {
    if !inner.fakes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(is.clone()) {
        return;
    }
    sleep(inner.config.fake).await;
    if inner.is_of_later(epoch) {
        tracing::warn!(
            pod = is.name,
            epoch,
            "a pod says that it is the hub's and is no instance; a server that planned later made it: it stays"
        );
        while inner.is_of_later(epoch) {
            sleep(inner.config.fake).await;
        }
    }
    tracing::warn!(
        pod = is.name,
        "a pod says that it is the hub's and is no instance; it is deleted"
    );
    delete(inner, &is, None).await;
    inner.fakes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&is);
}

/// Deletes a pod, as often as it takes, until it is gone.
async fn delete(inner: &Arc<Inner>, is: &Named, grace: Option<Duration>) {
    let mut grace = grace.map(|grace| grace.max(LEAST_GRACE));
    let mut pause = DefaultBackoff::default();
    loop {
        let done = {
            let Ok(_one_of_some) = inner.deletes.acquire().await else { return };
            inner.calls.delete_pod(&is.name, &is.uid, grace).await
        };
        match done {
            Ok(()) => loop {
                if is_gone(inner, is) {
                    return;
                }
                sleep(LOOK).await;
                if grace != Some(Duration::ZERO) && inner.has_lost_node(is).await {
                    // Nobody is there who could confirm that it ended.
                    grace = Some(Duration::ZERO);
                    break;
                }
            },
            // It, or the pod of that uid, is gone.
            Err(failed) if failed.is(404) || failed.is(409) => {
                inner.pods.unbury(is);
                if let Some(instance) = instance_of(&is.name) {
                    let todo = inner.pods.is_gone(instance, is);
                    todo.into_iter().for_each(|todo| inner.act(todo));
                    inner.drop_strays(instance);
                }
                return;
            }
            Err(failed) => {
                tracing::warn!(pod = is.name, why = %failed, "it is not deleted yet");
                sleep(later(&failed, &mut pause)).await;
            }
        }
    }
}

fn later(failed: &Failed, pause: &mut DefaultBackoff) -> Duration {
    let own = pause.next().unwrap_or(FORBIDDEN);
    let own = if failed.is(403) { FORBIDDEN } else { own };
    failed.retry_after().unwrap_or(own).max(own)
}

/// The watch does not show it any more.
fn is_gone(inner: &Inner, is: &Named) -> bool {
    if inner.pods.is_buried(is) {
        return false;
    }
    let shown = |entry: &mut super::entry::Entry| {
        entry.pod.as_ref().is_some_and(|seen| seen.is == *is && !seen.gone)
    };
    let known = instance_of(&is.name).and_then(|instance| inner.pods.with(instance, shown));
    known != Some(true)
}

/// Gives up what is to end and whose node does not say that it did.
pub(super) async fn give_up(inner: Arc<Inner>) {
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = Instant::now();
        let mut todo = Vec::new();
        inner.pods.each(|_, entry| todo.extend(entry.overdue(now, SILENT)));
        for todo in todo {
            inner.act(todo);
        }
    }
}

pub(super) const DEFAULT_FAKE: Duration = FAKE;
