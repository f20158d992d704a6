//! One machine: Pending, Provisioning, Provisioned, Running, Deleting, or Failed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    super::{
        edit::{Wanted, delete_pod, disrupt, set_condition},
        events::{NORMAL, Said, WARNING},
        shapes::{Key, Selector, read},
        text,
    },
    DEPLOYMENT, FINALIZER, MachineFault, Machines, Settings, deployments, machines,
    template::{node_of, without_devices},
};
use crate::Resource;

/// Type, status, reason, message.
type Said4<'a> = (&'a str, &'a str, &'a str, &'a str);

impl Machines {
    pub(super) fn machine(&mut self, version: &str, machine: &Arc<Value>, settings: &Settings) {
        if machine["metadata"]["deletionTimestamp"].is_string() {
            return self.end(version, machine);
        }
        let uid = text(machine, "/metadata/uid").to_owned();
        let group = machine["metadata"]["labels"][DEPLOYMENT].as_str().unwrap_or_default();
        match (settings.faults.get(group), text(machine, "/status/phase")) {
            (_, "Running") => return self.devices(version, machine, group, settings),
            (_, "Failed") => return,
            (Some(fault), _) => return self.fail(version, machine, fault),
            _ => {}
        }
        let now = Instant::now();
        let since = *self.boots.entry(uid.clone()).or_insert(now);
        let boot = settings.boot_millis_of.get(group).copied().map(Duration::from_millis);
        let boot = boot.unwrap_or(settings.boot);
        let (half, ready) = (since + boot / 2, since + boot);
        if now < half {
            self.wakes = self.wakes.min(half);
            let why: Said4 = ("InfrastructureReady", "False", "Provisioning", "");
            return self.say_phase(version, machine, "Provisioning", &[why]);
        }
        if now < ready {
            self.wakes = self.wakes.min(ready);
            self.provisioned(version, machine);
            return;
        }
        self.provisioned(version, machine);
        self.join(version, machine, group, settings);
        self.boots.remove(&uid);
    }

    fn say_phase(&self, version: &str, machine: &Value, phase: &str, why: &[Said4]) {
        let (namespace, name) =
            (text(machine, "/metadata/namespace"), text(machine, "/metadata/name"));
        self.change(&machines(version), namespace, name, |machine| {
            if machine["status"]["phase"] != phase {
                machine["status"]["phase"] = json!(phase);
                let now = super::super::edit::seconds(Timestamp::now());
                machine["status"]["lastUpdated"] = json!(now);
            }
            let running = phase == "Running";
            let (status, reason) = if running { ("True", "Ready") } else { ("False", "NotReady") };
            let ready: Said4 = ("Ready", status, reason, "");
            for (kind, status, reason, message) in why.iter().chain([&ready]) {
                // The older shape has no reason where all is well.
                let reason = if version == "v1beta1" && *status == "True" { "" } else { reason };
                let wanted = Wanted { r#type: kind, status, reason, message };
                set_condition(machine, &wanted, Timestamp::now());
            }
        });
    }

    fn provisioned(&self, version: &str, machine: &Value) {
        let (namespace, name) =
            (text(machine, "/metadata/namespace"), text(machine, "/metadata/name"));
        self.change(&machines(version), namespace, name, |machine| {
            machine["spec"]["providerID"] = json!(format!("fake:///{namespace}/{name}"));
            match version {
                "v1beta1" => {
                    machine["status"]["infrastructureReady"] = json!(true);
                    machine["status"]["bootstrapReady"] = json!(true);
                }
                _ => {
                    machine["status"]["initialization"] =
                        json!({ "infrastructureProvisioned": true, "bootstrapDataSecretCreated": true });
                }
            }
        });
        let why: Said4 = ("InfrastructureReady", "True", "Ready", "");
        self.say_phase(version, machine, "Provisioned", &[why]);
    }

    /// Its node registers, and is Ready at once.
    fn join(&mut self, version: &str, machine: &Value, group: &str, settings: &Settings) {
        let (namespace, name) =
            (text(machine, "/metadata/namespace"), text(machine, "/metadata/name"));
        let Some(deployment) = self.objects.get(&deployments(version), Some(namespace), group)
        else {
            return;
        };
        let mut node = node_of(&self.objects, &deployment, name);
        node["spec"]["providerID"] = json!(format!("fake:///{namespace}/{name}"));
        node["metadata"]["annotations"] = json!({
            "cluster.x-k8s.io/machine": name, "cluster.x-k8s.io/cluster-namespace": namespace,
            "cluster.x-k8s.io/owner-kind": "MachineSet",
            "cluster.x-k8s.io/cluster-name": deployment["spec"]["clusterName"],
        });
        if !settings.devices.is_zero() && !without_devices(&mut node).is_empty() {
            self.wakes = self.wakes.min(Instant::now() + settings.devices);
        }
        // One of that name is this one: the machine was seen before its last change.
        drop(self.objects.create(&Resource::nodes(), node));
        self.change(&machines(version), namespace, name, |machine| {
            machine["status"]["nodeRef"] = match version {
                "v1beta1" => json!({ "apiVersion": "v1", "kind": "Node", "name": name }),
                _ => json!({ "name": name }),
            };
        });
        let why: [Said4; 2] = match version {
            "v1beta1" => [("NodeHealthy", "True", "", ""), ("BootstrapReady", "True", "", "")],
            _ => {
                [("NodeHealthy", "True", "NodeHealthy", ""), ("NodeReady", "True", "NodeReady", "")]
            }
        };
        self.say_phase(version, machine, "Running", &why);
        self.say(machine, NORMAL, "SuccessfulSetNodeRef", name);
    }

    /// The device plugin comes later than the node.
    fn devices(&mut self, version: &str, machine: &Value, group: &str, settings: &Settings) {
        let (namespace, name) =
            (text(machine, "/metadata/namespace"), text(machine, "/metadata/name"));
        let Some(node) = self.objects.get(&Resource::nodes(), None, name) else { return };
        let Some(deployment) = self.objects.get(&deployments(version), Some(namespace), group)
        else {
            return;
        };
        let devices = without_devices(&mut node_of(&self.objects, &deployment, name));
        if devices.iter().all(|(device, _)| node["status"]["allocatable"].get(device).is_some()) {
            return;
        }
        let uid = text(&node, "/metadata/uid").to_owned();
        let end = *self.boots.entry(uid.clone()).or_insert_with(Instant::now) + settings.devices;
        if Instant::now() < end {
            self.wakes = self.wakes.min(end);
            return;
        }
        self.boots.remove(&uid);
        drop(self.objects.change(&Resource::nodes(), None, name, |node| {
            for (device, amount) in devices {
                for place in ["capacity", "allocatable"] {
                    node["status"][place][&device] = amount.clone();
                }
            }
        }));
    }

    fn fail(&mut self, version: &str, machine: &Value, fault: &MachineFault) {
        self.boots.remove(text(machine, "/metadata/uid"));
        let quota = "VcpuLimitExceeded: You have requested more vCPU capacity than your current \
             vCPU limit of 32 allows for the instance bucket that the specified instance type \
             belongs to.";
        let full = "InsufficientInstanceCapacity: We currently do not have sufficient capacity in \
             the Availability Zone you requested. Our system will be working on provisioning \
             additional capacity.";
        let (phase, message) = match fault {
            MachineFault::Quota => ("Provisioning", quota),
            MachineFault::NoCapacity => ("Provisioning", full),
            MachineFault::Hangs => {
                self.provisioned(version, machine);
                let why: Said4 = ("NodeHealthy", "Unknown", "NodeDoesNotExist", "");
                return self.say_phase(version, machine, "Provisioned", &[why]);
            }
            MachineFault::Fails(message) => ("Failed", message.as_str()),
        };
        let why: Said4 = ("InfrastructureReady", "False", "InstanceProvisionFailed", message);
        self.say_phase(version, machine, phase, &[why]);
        if phase == "Failed" {
            let (namespace, name) =
                (text(machine, "/metadata/namespace"), text(machine, "/metadata/name"));
            self.change(&machines(version), namespace, name, |machine| {
                let old = match version {
                    "v1beta1" => &mut machine["status"],
                    _ => &mut machine["status"]["deprecated"]["v1beta1"],
                };
                old["failureReason"] = json!("CreateError");
                old["failureMessage"] = json!(message);
            });
        }
        self.say(machine, WARNING, "FailedCreate", message);
    }

    /// Drains its node, removes it, and goes.
    fn end(&mut self, version: &str, machine: &Value) {
        let (namespace, name) =
            (text(machine, "/metadata/namespace"), text(machine, "/metadata/name"));
        let uid = text(machine, "/metadata/uid").to_owned();
        let since = *self.drains.entry(uid.clone()).or_insert_with(Instant::now);
        let limit = drain_limit(machine);
        let late = limit.is_some_and(|limit| since.elapsed() >= limit);
        let excluded = machine["metadata"]["annotations"]
            .get("machine.cluster.x-k8s.io/exclude-node-draining")
            .is_some();
        let node = self.objects.get(&Resource::nodes(), None, name);
        let left = if late || excluded || node.is_none() { Vec::new() } else { self.drain(name) };
        if !left.is_empty() {
            if let Some(limit) = limit {
                self.wakes = self.wakes.min(since + limit);
            }
            // A budget may allow more later.
            self.wakes = self.wakes.min(Instant::now() + Duration::from_secs(1));
            let message = format!("Drain not completed yet: pods {} remain", left.join(", "));
            let why: Said4 = ("Deleting", "True", "DrainingNode", &message);
            return self.say_phase(version, machine, "Deleting", &[why]);
        }
        self.say_phase(version, machine, "Deleting", &[]);
        if node.is_some() {
            self.say(machine, NORMAL, "SuccessfulDrainNode", "success draining Machine's node");
        }
        self.objects.remove(&Resource::nodes(), None, name);
        self.drains.remove(&uid);
        self.boots.remove(&uid);
        self.change(&machines(version), namespace, name, |machine| {
            if let Some(held) = machine["metadata"]["finalizers"].as_array_mut() {
                held.retain(|one| *one != FINALIZER);
            }
        });
    }

    /// The pods that are still there.
    fn drain(&self, node: &str) -> Vec<String> {
        drop(self.objects.change(&Resource::nodes(), None, node, |node| {
            node["spec"]["unschedulable"] = json!(true);
        }));
        let mut left = Vec::new();
        for pod in self.objects.list(&Resource::pods()).1 {
            let owners = pod["metadata"]["ownerReferences"].as_array();
            let daemon = owners.is_some_and(|all| all.iter().any(|it| it["kind"] == "DaemonSet"));
            if text(&pod, "/spec/nodeName") != node || daemon {
                continue;
            }
            let key: Key = (
                text(&pod, "/metadata/namespace").to_owned(),
                text(&pod, "/metadata/name").to_owned(),
            );
            left.push(format!("{}/{}", key.0, key.1));
            if pod["metadata"]["deletionTimestamp"].is_string() || self.is_protected(&pod) {
                continue;
            }
            let now = Timestamp::now();
            drop(self.objects.change(&Resource::pods(), Some(&key.0), &key.1, |pod| {
                disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting", now);
            }));
            delete_pod(&self.objects, &key, None, now);
        }
        left
    }

    /// By a budget that allows nothing now.
    fn is_protected(&self, pod: &Value) -> bool {
        let labels = read(&pod["metadata"]["labels"]).unwrap_or_default();
        self.objects.list(&Resource::disruption_budgets()).1.iter().any(|budget| {
            budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
                && budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) <= 0
                && read::<Selector>(&budget["spec"]["selector"])
                    .is_ok_and(|selector| selector.matches(&labels))
        })
    }

    fn say(&self, about: &Value, kind: &str, reason: &str, message: &str) {
        let said = Said { kind, reason, action: "", message, host: "" };
        self.events.say(about, &said, Timestamp::now());
    }
}

/// Without one, a drain has no end.
fn drain_limit(machine: &Value) -> Option<Duration> {
    let spec = &machine["spec"];
    if let Some(seconds) = spec["deletion"]["nodeDrainTimeoutSeconds"].as_u64() {
        return Some(Duration::from_secs(seconds)).filter(|limit| !limit.is_zero());
    }
    // The older shape has a time as Go writes it.
    let text = spec["nodeDrainTimeout"].as_str()?;
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let seconds = number.parse::<u64>().ok()?
        * match unit {
            "s" => 1,
            "m" | "m0s" => 60,
            "h" | "h0m0s" => 3600,
            _ => return None,
        };
    Some(Duration::from_secs(seconds)).filter(|limit| !limit.is_zero())
}
