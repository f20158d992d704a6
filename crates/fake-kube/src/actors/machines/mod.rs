//! Plays the controllers of Cluster API: MachineDeployments have MachineSets, those have as many
//! Machines as they ask for, and each Machine becomes a node after a time.

mod autoscaler;
mod machine;
mod scale_down;
mod template;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, watch},
    time::sleep_until,
};

use super::{
    edit::{Wanted, seconds, set_condition},
    events::{Recorder, Style},
    text,
};
use crate::{Change, Objects, Resource};

pub use self::autoscaler::Autoscaler;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// From the creation of a machine to its node.
    #[serde(rename = "bootMillis", with = "super::millis")]
    pub boot: Duration,
    /// The same of single deployments, by name, in milliseconds.
    pub boot_millis_of: BTreeMap<String, u64>,
    /// From a node that is Ready until it offers its GPUs.
    #[serde(rename = "devicesMillis", with = "super::millis")]
    pub devices: Duration,
    /// By the name of a deployment. A machine that hangs goes on when its fault is gone.
    pub faults: BTreeMap<String, MachineFault>,
    /// Whether one runs.
    pub autoscaler: bool,
    /// How long the autoscaler leaves a node that is not needed.
    #[serde(rename = "unneededMillis", with = "super::millis")]
    pub unneeded: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            boot: Duration::from_secs(90),
            boot_millis_of: BTreeMap::new(),
            devices: Duration::ZERO,
            faults: BTreeMap::new(),
            autoscaler: false,
            unneeded: Duration::from_secs(600),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MachineFault {
    Quota,
    NoCapacity,
    /// It has a machine, which never becomes a node.
    Hangs,
    /// For good, with these words.
    Fails(String),
}

pub const GROUP: &str = "cluster.x-k8s.io";
const DEPLOYMENT: &str = "cluster.x-k8s.io/deployment-name";
const SET: &str = "cluster.x-k8s.io/set-name";
const CLUSTER: &str = "cluster.x-k8s.io/cluster-name";
const VICTIM: &str = "cluster.x-k8s.io/delete-machine";
/// Holds a machine until its node is drained and gone.
const FINALIZER: &str = "machine.cluster.x-k8s.io";

/// The shapes that are known; objects are looked for under both.
const VERSIONS: [&str; 2] = ["v1beta2", "v1beta1"];

fn deployments(version: &str) -> Resource {
    Resource::new(GROUP, version, "machinedeployments")
}

fn sets(version: &str) -> Resource {
    Resource::new(GROUP, version, "machinesets")
}

fn machines(version: &str) -> Resource {
    Resource::new(GROUP, version, "machines")
}

pub struct Machines {
    objects: Objects,
    settings: watch::Receiver<Settings>,
    events: Recorder,
    autoscaler: Autoscaler,
    /// Since when a machine boots, by uid; those that wait for a fault to end are not in it.
    boots: HashMap<String, Instant>,
    /// Since when a machine drains its node, by uid.
    drains: HashMap<String, Instant>,
    wakes: Instant,
}

impl Machines {
    pub fn new(objects: &Objects, settings: watch::Receiver<Settings>) -> Self {
        Self {
            objects: objects.clone(),
            settings,
            events: Recorder::new(objects, "machine-controller", Style::Core),
            autoscaler: Autoscaler::new(objects),
            boots: HashMap::new(),
            drains: HashMap::new(),
            wakes: Instant::now(),
        }
    }

    /// Until it is dropped.
    pub async fn run(mut self) {
        let mut changes = self.objects.changes();
        loop {
            let settings = self.settings.borrow_and_update().clone();
            self.wakes = Instant::now() + Duration::from_secs(3600);
            self.look(&settings);
            if settings.autoscaler {
                self.autoscaler.look();
                let now = Instant::now();
                let again = self.autoscaler.look_down(settings.unneeded, now);
                // It tells that it lives at least so often.
                let scan = now + Duration::from_secs(10);
                self.wakes = self.wakes.min(again.unwrap_or(scan)).min(scan);
                self.autoscaler.tell_status();
            }
            loop {
                tokio::select! {
                    change = changes.recv() => match change {
                        Ok(change) if self.matters(&change) => break,
                        Ok(_) => {}
                        Err(broadcast::error::RecvError::Lagged(_)) => break,
                        Err(broadcast::error::RecvError::Closed) => return,
                    },
                    changed = self.settings.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = sleep_until(self.wakes.into()) => break,
                }
            }
            while changes.try_recv().is_ok() {}
        }
    }

    fn matters(&self, change: &Change) -> bool {
        if change.of == Resource::pods() {
            return !self.drains.is_empty() || self.settings.borrow().autoscaler;
        }
        change.of.group == GROUP || change.of == Resource::nodes()
    }

    fn look(&mut self, settings: &Settings) {
        for version in VERSIONS {
            for deployment in self.objects.list(&deployments(version)).1 {
                self.deployment(version, &deployment);
            }
            for machine in self.objects.list(&machines(version)).1 {
                self.machine(version, &machine, settings);
            }
            for deployment in self.objects.list(&deployments(version)).1 {
                self.count(version, &deployment);
            }
        }
    }

    fn of_deployment(&self, version: &str, deployment: &Value) -> Vec<Arc<Value>> {
        let (namespace, name) =
            (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
        let mut all = self.objects.list(&machines(version)).1;
        all.retain(|machine| {
            text(machine, "/metadata/namespace") == namespace
                && machine["metadata"]["labels"][DEPLOYMENT] == name
        });
        all
    }

    /// As many machines as it asks for.
    fn deployment(&mut self, version: &str, deployment: &Arc<Value>) {
        let mut machines = self.of_deployment(version, deployment);
        let going = deployment["metadata"]["deletionTimestamp"].is_string();
        let wanted = match deployment["spec"]["replicas"].as_u64() {
            _ if going => 0,
            replicas => usize::try_from(replicas.unwrap_or(1)).unwrap_or(1),
        };
        let Some(set) = self.set(version, deployment, wanted) else { return };
        machines.retain(|machine| !machine["metadata"]["deletionTimestamp"].is_string());
        for _ in machines.len()..wanted {
            self.make(version, deployment, &set);
        }
        // Those that are marked, those that do not work, then the newest.
        machines.sort_by_key(|machine| {
            let marked = machine["metadata"]["annotations"].get(VICTIM).is_some();
            let well = text(machine, "/status/phase") == "Running";
            let age = text(machine, "/metadata/creationTimestamp").to_owned();
            (marked, !well, age, text(machine, "/metadata/name").to_owned())
        });
        for machine in machines.iter().skip(wanted) {
            let (namespace, name) =
                (text(machine, "/metadata/namespace"), text(machine, "/metadata/name"));
            self.change(&self::machines(version), namespace, name, |machine| {
                machine["metadata"]["deletionTimestamp"] = json!(seconds(Timestamp::now()));
                machine["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            });
        }
    }

    /// The one set of a deployment; there are no roll-outs.
    fn set(&self, version: &str, deployment: &Value, replicas: usize) -> Option<Arc<Value>> {
        let (namespace, name) =
            (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
        let set = format!("{name}-set");
        let held = self.change(&sets(version), namespace, &set, |set| {
            set["spec"]["replicas"] = json!(replicas);
        });
        if held.is_some() {
            return held;
        }
        let set = json!({
            "apiVersion": format!("{GROUP}/{version}"), "kind": "MachineSet",
            "metadata": {
                "namespace": namespace, "name": set, "ownerReferences": [owner(deployment)],
                "labels": { DEPLOYMENT: name, CLUSTER: deployment["spec"]["clusterName"] },
            },
            "spec": {
                "clusterName": deployment["spec"]["clusterName"], "replicas": replicas,
                "selector": deployment["spec"]["selector"],
                "template": deployment["spec"]["template"],
            },
        });
        self.objects.create(&sets(version), set).ok()
    }

    fn make(&self, version: &str, deployment: &Value, set: &Value) {
        let template = &deployment["spec"]["template"];
        let mut labels = template["metadata"]["labels"].clone();
        if !labels.is_object() {
            labels = json!({});
        }
        labels[DEPLOYMENT] = deployment["metadata"]["name"].clone();
        labels[SET] = set["metadata"]["name"].clone();
        labels[CLUSTER] = deployment["spec"]["clusterName"].clone();
        let machine = json!({
            "apiVersion": format!("{GROUP}/{version}"), "kind": "Machine",
            "metadata": {
                "namespace": text(deployment, "/metadata/namespace"),
                "generateName": format!("{}-", text(set, "/metadata/name")),
                "labels": labels,
                "annotations": template["metadata"].get("annotations").unwrap_or(&json!({})),
                "ownerReferences": [owner(set)], "finalizers": [FINALIZER],
            },
            "spec": template["spec"],
            "status": { "phase": "Pending" },
        });
        // Its namespace may be going; the next look tries again.
        drop(self.objects.create(&machines(version), machine));
    }

    /// The status of a deployment, from its machines.
    fn count(&self, version: &str, deployment: &Value) {
        let machines = self.of_deployment(version, deployment);
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let there = machines.len() as u64;
        let ready = machines.iter().filter(|it| text(it, "/status/phase") == "Running");
        let ready = ready.count() as u64;
        let phase = match there.cmp(&wanted) {
            _ if deployment["metadata"]["deletionTimestamp"].is_string() => "Deleting",
            std::cmp::Ordering::Greater => "ScalingDown",
            _ if ready < wanted => "ScalingUp",
            _ => "Running",
        };
        let (namespace, name) =
            (text(deployment, "/metadata/namespace"), text(deployment, "/metadata/name"));
        let write = |object: &mut Value| {
            let name = object["metadata"]["name"].clone();
            let generation = object["metadata"]["generation"].clone();
            if !object["status"].is_object() {
                object["status"] = json!({});
            }
            let status = &mut object["status"];
            let selector = format!("{DEPLOYMENT}={}", name.as_str().unwrap_or_default());
            let mut wish = json!({
                "replicas": there, "readyReplicas": ready, "availableReplicas": ready,
                "phase": phase, "selector": selector, "observedGeneration": generation,
            });
            match version {
                "v1beta1" => {
                    wish["updatedReplicas"] = json!(there);
                    wish["unavailableReplicas"] = json!(wanted.saturating_sub(ready));
                }
                _ => wish["upToDateReplicas"] = json!(there),
            }
            for (field, value) in wish.as_object().into_iter().flatten() {
                status[field] = value.clone();
            }
            let (status, reason) =
                if ready >= wanted { ("True", "Available") } else { ("False", "NotAvailable") };
            let wanted = Wanted { r#type: "Available", status, reason, message: "" };
            set_condition(object, &wanted, Timestamp::now());
        };
        self.change(&deployments(version), namespace, name, write);
        self.change(&sets(version), namespace, &format!("{name}-set"), |set| {
            set["status"] = json!({
                "replicas": there, "readyReplicas": ready, "availableReplicas": ready,
            });
        });
    }

    /// [`None`] of what is gone.
    fn change(
        &self,
        of: &Resource,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Value>> {
        self.objects.change(of, Some(namespace), name, change).ok()
    }
}

fn owner(of: &Value) -> Value {
    json!({
        "apiVersion": of.get("apiVersion"), "kind": of.get("kind"),
        "name": text(of, "/metadata/name"), "uid": text(of, "/metadata/uid"),
        "controller": true, "blockOwnerDeletion": true,
    })
}
