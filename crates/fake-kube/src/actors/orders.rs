//! What a person or a test lets happen to a cluster.

use std::{net::Ipv4Addr, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use super::{
    edit::{delete_pod, disrupt},
    kubelet::{Contact, Image, ImageFault, PodUsage, Refusal, Shared, Verdict},
    machines, scheduler,
    shapes::Key,
    text,
};
use crate::{Objects, Resource};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Order {
    Scheduler(scheduler::Settings),
    Machines(machines::Settings),
    /// What is known of an image from now on; with another digest its tag has moved.
    Image {
        name: String,
        image: Image,
    },
    /// How pulls of an image go wrong; without a fault they go well again.
    ImageFault {
        name: String,
        fault: Option<ImageFault>,
    },
    Refuse(Refusal),
    /// For the memory of its node.
    Evict {
        namespace: String,
        pod: String,
    },
    OutOfMemory {
        namespace: String,
        pod: String,
        container: String,
    },
    /// Its power is gone, and what ran on it.
    NodeOff {
        node: String,
    },
    /// It runs on, and nobody hears it.
    NodeSilent {
        node: String,
    },
    NodeBack {
        node: String,
    },
    /// By its own word; with none it is Ready again.
    NodeNotReady {
        node: String,
        why: Option<String>,
    },
    /// In good order: its pods are told.
    NodeShutDown {
        node: String,
    },
    /// Cordoned, and its pods evicted.
    NodeDrain {
        node: String,
    },
    NodeRemove {
        node: String,
    },
    /// The next pod gets it, whoever had it.
    GiveAddress {
        address: Ipv4Addr,
    },
    /// How far the clocks of nodes are ahead.
    Skew {
        seconds: i64,
    },
}

/// The handle to what goes on in a cluster.
#[derive(Clone)]
pub struct Controls {
    pub(super) objects: Objects,
    pub(super) shared: Arc<Shared>,
    pub(super) scheduler: watch::Sender<scheduler::Settings>,
    pub(super) machines: watch::Sender<machines::Settings>,
}

impl Controls {
    /// The error says what is not there.
    pub fn order(&self, order: Order) -> Result<(), String> {
        let shared = &self.shared;
        match order {
            Order::Scheduler(settings) => {
                self.scheduler.send_replace(settings);
            }
            Order::Machines(settings) => {
                self.machines.send_replace(settings);
            }
            Order::Image { name, image } => shared.set_image(&name, image),
            Order::ImageFault { name, fault } => shared.set_image_fault(&name, fault),
            Order::Refuse(refusal) => shared.refuse(refusal),
            Order::Evict { namespace, pod } => self.evict(&namespace, &pod)?,
            Order::OutOfMemory { namespace, pod, container } => {
                let runs = shared.worker(&namespace, &pod).is_some_and(|it| it.starve(&container));
                if !runs {
                    return Err(format!("no container {container} of pod {namespace}/{pod} runs"));
                }
            }
            Order::NodeOff { node } => shared.set_contact(self.known(&node)?, Contact::Off),
            Order::NodeSilent { node } => shared.set_contact(self.known(&node)?, Contact::Silent),
            Order::NodeBack { node } => shared.set_contact(self.known(&node)?, Contact::On),
            Order::NodeNotReady { node, why } => shared.set_ill(self.known(&node)?, why),
            Order::NodeShutDown { node } => shared.shut_down(self.known(&node)?),
            Order::NodeDrain { node } => drain(&self.objects, self.known(&node)?),
            Order::NodeRemove { node } => {
                self.objects.remove(&Resource::nodes(), None, self.known(&node)?);
            }
            Order::GiveAddress { address } => shared.give_address(address),
            Order::Skew { seconds } => shared.set_skew(SignedDuration::from_secs(seconds)),
        }
        Ok(())
    }

    /// What containers use, as `metrics.k8s.io` tells it.
    pub fn usage(&self) -> Vec<PodUsage> {
        self.shared.usage()
    }

    fn known<'a>(&self, node: &'a str) -> Result<&'a str, String> {
        let known = self.objects.get(&Resource::nodes(), None, node);
        known.map(|_| node).ok_or_else(|| format!("there is no node {node}"))
    }

    fn evict(&self, namespace: &str, pod: &str) -> Result<(), String> {
        let worker = self.shared.worker(namespace, pod);
        let worker = worker.ok_or_else(|| format!("pod {namespace}/{pod} runs on no node"))?;
        let used = self.shared.usage();
        let used = used.iter().find(|it| it.namespace == namespace && it.pod == pod);
        let mut message = "The node was low on resource: memory. Threshold quantity: 100Mi, \
             available: 4528Ki. "
            .to_owned();
        for container in &worker.pod.spec.containers {
            let usage = used.and_then(|used| used.containers.get(&container.name));
            let kilobytes = usage.map_or(0, |usage| usage.memory_bytes / 1024);
            let request = container.resources.requests.get("memory").copied().unwrap_or_default();
            message += &format!(
                "Container {} was using {kilobytes}Ki, request is {}, has larger consumption of \
                 memory. ",
                container.name,
                request.binary()
            );
        }
        worker.say("Warning", "Evicted", &message);
        worker.order(Verdict { reason: "Evicted".into(), message, disrupts: true });
        Ok(())
    }
}

/// As `kubectl drain` does it, without a look at budgets.
pub fn drain(objects: &Objects, node: &str) {
    // A node that is gone has nothing to drain.
    drop(objects.change(&Resource::nodes(), None, node, |node| {
        node["spec"]["unschedulable"] = json!(true);
    }));
    let now = Timestamp::now();
    for pod in objects.list(&Resource::pods()).1 {
        if text(&pod, "/spec/nodeName") != node || of_daemon(&pod) {
            continue;
        }
        let key: Key =
            (text(&pod, "/metadata/namespace").to_owned(), text(&pod, "/metadata/name").to_owned());
        drop(objects.change(&Resource::pods(), Some(&key.0), &key.1, |pod| {
            disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting", now);
        }));
        delete_pod(objects, &key, None, now);
    }
}

fn of_daemon(pod: &serde_json::Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|all| all.iter().any(|owner| owner["kind"] == "DaemonSet"))
}
