//! Cluster API makes nodes: each group is a `MachineDeployment` (<https://cluster-api.sigs.k8s.io/>).
//!
//! Sizes are set by the `scale` subresource, only if nobody wrote the deployment since it was read. Machines that go
//! are marked first, so that it is they who go; what was marked is unmarked if the group then stays as it was.

mod read;
mod remove;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use http::Method;
use muster_core::room::{FailureClass, GroupId, Refusal, Told};
use serde_json::{Value, json};
use uuid::Uuid;

use self::read::text;
use super::{Answer, Groups, Provider};
use crate::kube::client::{Calls, Failed};

const GROUP: &str = "cluster.x-k8s.io";
/// Versions whose fields are understood, the better one first.
const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];
/// The label of a machine that says which deployment's it is.
const DEPLOYMENT: &str = "cluster.x-k8s.io/deployment-name";
/// How often something is written that others write all the time before that is a failure.
const TRIES: u32 = 5;

/// Which `MachineDeployment` a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineDeployment {
    pub namespace: String,
    pub name: String,
}

/// Groups that the operator names, and no others.
pub struct ClusterApi {
    calls: Calls,
    groups: BTreeMap<GroupId, MachineDeployment>,
    /// Which version is served; looked for again when something is not there.
    version: Mutex<Option<&'static str>>,
    /// Where templates of infrastructure are, by API group and kind.
    kinds: Mutex<HashMap<(String, String), String>>,
}

impl ClusterApi {
    /// `client` is for the cluster that has the deployments, which need not be the one that they are nodes of.
    pub fn new(client: kube::Client, groups: BTreeMap<GroupId, MachineDeployment>) -> Self {
        let calls = Calls { client, namespace: String::new() };
        Self { calls, groups, version: Mutex::default(), kinds: Mutex::default() }
    }

    async fn version(&self) -> Result<&'static str, Refusal> {
        let known = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = known {
            return Ok(version);
        }
        let path = format!("/apis/{GROUP}");
        let served: Value = match self.calls.call(Method::GET, &path, None).await {
            Err(failed) if failed.is(404) => {
                return Err(other(format!("the cluster does not serve Cluster API ({GROUP})")));
            }
            served => served.map_err(|failed| refusal(&failed, "Cluster API"))?,
        };
        let served = served["versions"].as_array().into_iter().flatten();
        let served: Vec<&str> = served.filter_map(|it| it["version"].as_str()).collect();
        let version = VERSIONS.into_iter().find(|version| served.contains(version));
        let version = version.ok_or_else(|| {
            let (served, known) = (served.join(", "), VERSIONS.join(" or "));
            other(format!("the cluster serves Cluster API as {served}, and the hub knows {known}"))
        })?;
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        Ok(version)
    }

    fn forget_version(&self) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn deployment_of(&self, group: &GroupId) -> Result<Deployment<'_>, Refusal> {
        let of = self.groups.get(group);
        let of = of.ok_or_else(|| other(format!("the configuration has no group {group}")))?;
        Ok(Deployment { api: self, of })
    }

    async fn told(&self, group: &GroupId, version: &str) -> Result<Result<Told, String>, Refusal> {
        let it = self.deployment_of(group)?;
        let found = match it.get(version).await {
            Ok(found) => found,
            Err(failed) if failed.is(404) => {
                self.forget_version();
                return Ok(Err(it.missing()));
            }
            Err(failed) if failed.passes() => return Err(refusal(&failed, &it.words())),
            Err(failed) => return Ok(Err(format!("{}: {failed}", it.words()))),
        };
        let machines = match it.machines(version).await {
            Ok(machines) => machines,
            Err(failed) if failed.passes() => return Err(refusal(&failed, &it.words())),
            Err(failed) => return Ok(Err(format!("{}, its machines: {failed}", it.words()))),
        };
        let infrastructure = self.infrastructure(&found, it.of).await;
        let told = read::told(&found, &machines, infrastructure.as_ref());
        Ok(told.map_err(|why| format!("{}: {why}", it.words())))
    }

    /// The template of the machines, as far as it can be read: without it something else says what nodes are.
    async fn infrastructure(&self, deployment: &Value, of: &MachineDeployment) -> Option<Value> {
        let its = &deployment["spec"]["template"]["spec"]["infrastructureRef"];
        let group = match its["apiGroup"].as_str() {
            Some(group) => group,
            None => its["apiVersion"].as_str()?.split_once('/')?.0,
        };
        let (kind, name) = (its["kind"].as_str()?, its["name"].as_str()?);
        let key = (group.to_owned(), kind.to_owned());
        let known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let place = match known {
            Some(place) => place,
            None => {
                let place = self.kind(group, kind).await?;
                let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
                kinds.insert(key, place.clone());
                place
            }
        };
        let (version, plural) = place.split_once('/')?;
        let path = format!("/apis/{group}/{version}/namespaces/{}/{plural}/{name}", of.namespace);
        match self.calls.call(Method::GET, &path, None).await {
            Ok(found) => Some(found),
            Err(failed) => {
                tracing::debug!(kind, name, why = %failed, "the template of machines cannot be read");
                None
            }
        }
    }

    /// The version and the name in paths of a kind.
    async fn kind(&self, group: &str, kind: &str) -> Option<String> {
        let get = |path: String| async move {
            let found: Result<Value, Failed> = self.calls.call(Method::GET, &path, None).await;
            found.ok()
        };
        let served = get(format!("/apis/{group}")).await?;
        let version = served["preferredVersion"]["version"].as_str()?;
        let resources = get(format!("/apis/{group}/{version}")).await?;
        let mut all = resources["resources"].as_array()?.iter();
        let plural = all.find(|it| it["kind"] == kind && !text(&it["name"]).contains('/'))?;
        Some(format!("{version}/{}", plural["name"].as_str()?))
    }
}

impl Provider for ClusterApi {
    fn groups(&self) -> Answer<'_, Groups> {
        Box::pin(async move {
            let version = self.version().await?;
            let told = self
                .groups
                .keys()
                .map(|group| async move { Ok((group.clone(), self.told(group, version).await?)) });
            join_all(told).await.into_iter().collect()
        })
    }

    fn resize<'a>(&'a self, group: &'a GroupId, to: u32, _order: Uuid) -> Answer<'a, ()> {
        Box::pin(async move { self.deployment_of(group)?.resize(to).await })
    }

    fn remove<'a>(
        &'a self,
        group: &'a GroupId,
        machines: &'a [String],
        order: Uuid,
    ) -> Answer<'a, ()> {
        Box::pin(async move { self.deployment_of(group)?.remove(machines, order).await })
    }
}

/// A deployment, and what can be done with it.
#[derive(Clone, Copy)]
struct Deployment<'a> {
    api: &'a ClusterApi,
    of: &'a MachineDeployment,
}

impl Deployment<'_> {
    fn path(&self, version: &str) -> String {
        let MachineDeployment { namespace, name } = self.of;
        format!("/apis/{GROUP}/{version}/namespaces/{namespace}/machinedeployments/{name}")
    }

    fn machine(&self, version: &str, name: &str) -> String {
        format!("/apis/{GROUP}/{version}/namespaces/{}/machines/{name}", self.of.namespace)
    }

    fn words(&self) -> String {
        format!("MachineDeployment {}/{}", self.of.namespace, self.of.name)
    }

    fn missing(&self) -> String {
        format!("there is no {}", self.words())
    }

    async fn get(&self, version: &str) -> Result<Value, Failed> {
        self.api.calls.call(Method::GET, &self.path(version), None).await
    }

    async fn machines(&self, version: &str) -> Result<Vec<Value>, Failed> {
        let MachineDeployment { namespace, name } = self.of;
        let (mut all, mut next) = (Vec::new(), String::new());
        loop {
            let path = format!(
                "/apis/{GROUP}/{version}/namespaces/{namespace}/machines?\
                 labelSelector={DEPLOYMENT}%3D{name}&limit=500{next}"
            );
            let mut page: Value = self.api.calls.call(Method::GET, &path, None).await?;
            if let Value::Array(items) = page["items"].take() {
                all.extend(items);
            }
            match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
                Some(token) => next = format!("&continue={token}"),
                None => return Ok(all),
            }
        }
    }

    /// Sets the size, if the deployment is still what was read.
    async fn scale(&self, version: &str, read: &Value, to: u32) -> Result<Value, Failed> {
        let path = format!("{}/scale", self.path(version));
        let resource_version = &read["metadata"]["resourceVersion"];
        let patch =
            json!({"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": to}});
        self.api.calls.call(Method::PATCH, &path, Some(&patch)).await
    }

    fn refused(&self, failed: &Failed) -> Refusal {
        match failed.is(404) {
            true => {
                self.api.forget_version();
                other(self.missing())
            }
            false => refusal(failed, &self.words()),
        }
    }

    /// As many machines as that in all. None that is there goes by it.
    async fn resize(&self, to: u32) -> Result<(), Refusal> {
        let version = self.api.version().await?;
        for _ in 0..TRIES {
            let path = format!("{}/scale", self.path(version));
            let found: Result<Value, Failed> = self.api.calls.call(Method::GET, &path, None).await;
            let found = found.map_err(|failed| self.refused(&failed))?;
            // A scale of none does not name the number.
            let is = found["spec"]["replicas"].as_u64().unwrap_or(0);
            if is == u64::from(to) {
                return Ok(());
            }
            if u64::from(to) < is {
                let machines = self.machines(version).await;
                let machines = machines.map_err(|failed| self.refused(&failed))?;
                let there = machines.iter().filter(|it| !read::goes(it)).count();
                if there > to as usize {
                    let why = format!(
                        "{} has {there} machines: it is not made smaller by itself",
                        self.words()
                    );
                    return Err(other(why));
                }
            }
            match self.scale(version, &found, to).await {
                Ok(_) => return Ok(()),
                Err(failed) if failed.is(409) => {}
                Err(failed) => return Err(self.refused(&failed)),
            }
        }
        Err(other(format!("{} is changed by others all the time", self.words())))
    }
}

fn other(message: String) -> Refusal {
    Refusal { class: FailureClass::Other, message }
}

fn refusal(failed: &Failed, what: &str) -> Refusal {
    let class = match failed {
        Failed::Answer { code: 401 | 403, .. } => FailureClass::Credentials,
        Failed::Answer { code: 429, .. } => FailureClass::Throttled,
        _ => FailureClass::Other,
    };
    Refusal { class, message: format!("{what}: {failed}") }
}
