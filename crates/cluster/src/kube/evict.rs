//! Evictions: what others run on a cordoned node is asked to go elsewhere, as their budgets allow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::DefaultBackoff;
use muster_core::room::{NodeId, NodeStage, Tenant, TenantId};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Inner;
use super::client::Failed;

/// The longest pause between two tries.
const LATER: Duration = Duration::from_secs(30);
/// A pod that did not go is remembered so long.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Who was asked to go and is still there.
#[derive(Default)]
pub(super) struct Evictions(Mutex<HashMap<TenantId, Eviction>>);

struct Eviction {
    asks: bool,
    at: Instant,
    /// What the cluster said last.
    said: Option<String>,
    /// It will say the same whenever it is asked.
    lasting: bool,
}

/// What came of a try.
enum Came {
    /// It goes, or is gone.
    Goes,
    Gone,
    Later(String),
    Never(String),
}

impl Evictions {
    /// True if nobody asks it already, and there is some use in that.
    fn begin(&self, tenant: &TenantId) -> bool {
        let mut all = self.lock();
        if all.get(tenant).is_some_and(|it| it.asks || it.lasting) {
            return false;
        }
        let said = all.remove(tenant).and_then(|before| before.said);
        let begun = Eviction { asks: true, at: Instant::now(), said, lasting: false };
        all.insert(tenant.clone(), begun);
        true
    }

    fn refuse(&self, tenant: &TenantId, words: String, lasting: bool) {
        let why = words.clone();
        if self.keep(tenant, words, lasting) {
            tracing::warn!(%tenant, why, lasting, "it does not go elsewhere yet");
        }
    }

    fn agree(&self, tenant: &TenantId, node: &NodeId) {
        let words = "it was asked to go and has not ended yet".to_owned();
        if self.keep(tenant, words, false) {
            tracing::info!(%tenant, %node, "it is asked to go elsewhere");
        }
    }

    /// True if something else was said before.
    fn keep(&self, tenant: &TenantId, words: String, lasting: bool) -> bool {
        let mut all = self.lock();
        let Some(it) = all.get_mut(tenant) else { return false };
        let is_new = it.said.as_ref() != Some(&words);
        (it.at, it.said, it.lasting) = (Instant::now(), Some(words), lasting);
        is_new
    }

    fn end(&self, tenant: &TenantId, is_gone: bool) {
        let mut all = self.lock();
        let silent = all.get(tenant).is_some_and(|it| it.said.is_none());
        if is_gone || silent {
            all.remove(tenant);
        } else if let Some(it) = all.get_mut(tenant) {
            it.asks = false;
        }
    }

    /// The tenants, with what came of asking them to go. Those who are gone are forgotten.
    pub(super) fn tell(&self, tenants: Arc<Vec<Arc<Tenant>>>) -> Arc<Vec<Arc<Tenant>>> {
        let mut all = self.lock();
        if all.is_empty() {
            return tenants;
        }
        let mut told = (*tenants).clone();
        let mut there = HashMap::new();
        for tenant in &mut told {
            let Some(it) = all.remove(&tenant.id) else { continue };
            let tenant = Arc::make_mut(tenant);
            match (&it.said, it.lasting) {
                (Some(words), true) => tenant.stays_because = Some(words.clone()),
                (words, _) => tenant.refused.clone_from(words),
            }
            if it.asks || it.at.elapsed() < REMEMBERED {
                there.insert(tenant.id.clone(), it);
            }
        }
        all.retain(|_, it| it.asks);
        all.extend(there);
        Arc::new(told)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Eviction>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(super) fn evict(self: &Arc<Self>, tenant: &TenantId) {
        if self.node_of(tenant).is_none() || !self.evictions.begin(tenant) {
            return;
        }
        let (inner, tenant) = (Arc::clone(self), tenant.clone());
        self.spawn(async move {
            let is_gone = ask(&inner, &tenant).await;
            inner.evictions.end(&tenant, is_gone);
        });
    }

    /// The node on which it is, if that is seen to be cordoned as the hub wants it.
    fn node_of(&self, tenant: &TenantId) -> Option<NodeId> {
        let node = self.around.tenants.get(&tenant.0)?.node.clone()?;
        let seen = self.around.nodes.get(&node.0)?;
        let is_cordoned = matches!(seen.view.stage, NodeStage::Cordoned { ours: true, .. });
        (is_cordoned && self.cordons.is_wanted(&node)).then_some(node)
    }
}

/// Asks until it goes, or nobody wants it any more. True: it is gone.
async fn ask(inner: &Inner, tenant: &TenantId) -> bool {
    let mut pause = DefaultBackoff::default();
    while let Some(node) = inner.node_of(tenant) {
        let came = {
            let Ok(_one_of_some) = inner.deletes.acquire().await else { return false };
            evict(inner, tenant, &node).await
        };
        let (words, after) = match came {
            (Came::Gone, _) => return true,
            (Came::Goes, _) => {
                inner.evictions.agree(tenant, &node);
                return false;
            }
            (Came::Never(words), _) => {
                inner.evictions.refuse(tenant, words, true);
                inner.pods.bump();
                return false;
            }
            (Came::Later(words), after) => (words, after),
        };
        inner.evictions.refuse(tenant, words, false);
        let own = pause.next().unwrap_or(LATER).min(LATER);
        sleep(after.unwrap_or(own).max(own)).await;
    }
    false
}

async fn evict(inner: &Inner, tenant: &TenantId, node: &NodeId) -> (Came, Option<Duration>) {
    let Some((namespace, name)) = tenant.0.split_once('/') else { return (Came::Gone, None) };
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let found: Result<Pod, Failed> = inner.calls.call(Method::GET, &path, None).await;
    let pod = match found {
        Ok(pod) => pod,
        Err(failed) => return (came(&failed), failed.retry_after()),
    };
    let its = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    if its != Some(&node.0) {
        // Another one of its name is elsewhere.
        return (Came::Gone, None);
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return (Came::Goes, None);
    }
    let Some(uid) = pod.metadata.uid else { return (Came::Gone, None) };
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    });
    let path = format!("{path}/eviction");
    let done: Result<Value, Failed> = inner.calls.call(Method::POST, &path, Some(&eviction)).await;
    match done {
        Ok(_) => (Came::Goes, None),
        Err(failed) => (came(&failed), failed.retry_after()),
    }
}

fn came(failed: &Failed) -> Came {
    match failed {
        // Also if another pod has its name by now.
        Failed::Answer { code: 404 | 409, .. } => Came::Gone,
        Failed::Answer { code: 500, message, .. }
            if message.contains("more than one PodDisruptionBudget") =>
        {
            Came::Never(message.clone())
        }
        failed => Came::Later(failed.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, message: &str) -> Failed {
        let (reason, message) = (String::new(), message.to_owned());
        Failed::Answer { code, reason, message, retry_after: None }
    }

    #[test]
    fn each_answer_to_an_eviction_has_its_meaning() {
        for code in [404, 409] {
            assert!(matches!(came(&answer(code, "")), Came::Gone), "{code}");
        }
        let two = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        assert!(matches!(came(&answer(500, two)), Came::Never(words) if words == two));
        let budget = "Cannot evict pod as it would violate the pod's disruption budget.";
        for (code, message) in [(429, budget), (403, "no rights"), (500, "etcd"), (503, "away")] {
            let Came::Later(words) = came(&answer(code, message)) else { panic!("{code}") };
            assert_eq!(words, message);
        }
        assert!(matches!(came(&Failed::Lost { why: "reset".into() }), Came::Later(_)));
    }
}
