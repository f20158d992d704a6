//! A pod of ours: where it is between its making and its end.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodCondition};
use muster_core::EndCause;
use muster_core::Timestamp;
use muster_core::instance::{StartFault, never_called};
use muster_core::room::NodeId;
use muster_core::waits::{Pull, Scheduler, Waits};

use super::{MODEL_CONTAINER, ends, image, scheduler, status, time};

/// The port of a model server whose pod names none.
const PORT: u16 = 80;
/// A container that ended so often is not waited for any more.
const MOST_RESTARTS: i32 = 3;

/// What a pod says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodState {
    /// Another pod of the same name has another one.
    pub uid: String,
    /// The word of `kubectl get pods`.
    pub status: String,
    /// In the words of the cluster; never what a model wrote.
    pub message: String,
    pub node: Option<NodeId>,
    /// What its model's container runs, as the container runtime names it.
    pub image_id: Option<String>,
    pub phase: Phase,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits for this, since then if that is known.
    Starts { waits: Waits, since: Option<Timestamp> },
    /// It answers there.
    Ready { ip: IpAddr, port: u16 },
    /// It is there and does not start as long as nobody changes anything: nothing ends it but a deletion.
    Stuck { cause: EndCause },
    /// It is being taken away, or nothing is heard of it any more. It may still run, and gets nothing new.
    /// Of one that the hub deleted itself the hub knows a better cause.
    Leaves { cause: EndCause },
    /// It does not run any more.
    Ended { cause: EndCause, at: Option<Timestamp> },
}

/// What a pod says of itself. It never fails: what is not there is not known.
pub fn pod_state(pod: &Pod) -> PodState {
    let its = pod.status.as_ref();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let model = Its::model(pod);
    let image_id = model.status.map(|it| it.image_id.clone()).filter(|id| !id.is_empty());
    PodState {
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        status: status::word(pod),
        message: message(pod, its.and_then(|its| its.message.as_deref()).unwrap_or_default()),
        node: node.filter(|node| !node.is_empty()).map(NodeId::from),
        image_id,
        phase: phase(pod),
    }
}

impl PodState {
    /// Why it is no more, if it is not there any more and this was seen last.
    pub fn gone(&self) -> EndCause {
        match &self.phase {
            Phase::Stuck { cause } | Phase::Leaves { cause } | Phase::Ended { cause, .. } => {
                cause.clone()
            }
            Phase::Starts { .. } | Phase::Ready { .. } => ends::deleted(),
        }
    }

    /// What an administrator reads: the word that they know, and what the cluster says.
    pub fn for_admin(&self) -> String {
        match self.message.is_empty() {
            true => self.status.clone(),
            false => format!("{}: {}", self.status, self.message),
        }
    }
}

fn phase(pod: &Pod) -> Phase {
    let its = pod.status.as_ref();
    if let Some((cause, at)) = ends::ended(pod) {
        return Phase::Ended { cause, at };
    }
    if let Some(cause) = ends::leaves(pod) {
        return Phase::Leaves { cause };
    }
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let Some(node) = node.filter(|node| !node.is_empty()) else {
        let scheduler = scheduler::scheduler(pod);
        let since = match scheduler {
            Scheduler::Silent | Scheduler::Gated(_) => created(pod),
            _ => transition(scheduler::said(pod)).or_else(|| created(pod)),
        };
        return Phase::Starts { waits: Waits::Scheduler(scheduler), since };
    };
    let is_running = its.and_then(|its| its.phase.as_deref()) == Some("Running");
    let ip = its.and_then(|its| its.pod_ip.as_deref()?.parse::<IpAddr>().ok());
    if let Some(ip) = ip.filter(|ip| is_running && is_true(pod, "Ready") && !never_called(*ip)) {
        return Phase::Ready { ip, port: port(pod) };
    }
    on_its_node(pod, node)
}

/// It has a node, and is not ready.
fn on_its_node(pod: &Pod, node: &str) -> Phase {
    let waits = |waits: Waits, since| Phase::Starts { waits, since };
    let bound = || {
        let since = transition(scheduler::said(pod)).or_else(|| created(pod));
        waits(Waits::Scheduler(Scheduler::Bound(node.into())), since)
    };
    let sandbox = condition(pod, "PodReadyToStartContainers").filter(|it| it.status == "True");
    let all: Vec<Its<'_>> = Its::all(pod).collect();
    let waiting = all.iter().filter_map(|it| {
        let waiting = it.status?.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref().filter(|it| !it.is_empty())?;
        Some((it, reason, waiting.message.as_deref().unwrap_or_default()))
    });
    for (it, reason, message) in waiting {
        let image = it.spec.and_then(|it| it.image.as_deref()).unwrap_or_default();
        if let Some(fault) = image::fault(reason, message, image) {
            let message = short(message);
            if fault.is_lasting() {
                return Phase::Stuck { cause: EndCause::Image { fault, message } };
            }
            let pull = Pull { size: None, failed: Some((fault, message)) };
            return waits(Waits::Image(pull), transition(sandbox));
        }
        match reason {
            "CrashLoopBackOff" => {
                let last = it.status.and_then(|it| it.last_state.as_ref()?.terminated.as_ref());
                let often = it.status.is_some_and(|it| it.restart_count >= MOST_RESTARTS);
                let cause = last.map(|last| ends::of_container(it, last));
                if let Some(cause) = cause
                    && (often || matches!(cause, EndCause::OutOfMemory { .. }))
                {
                    return Phase::Stuck { cause };
                }
                return waits(Waits::Program, None);
            }
            "CreatePodSandboxError" => return bound(),
            "CreateContainerConfigError"
            | "CreateContainerError"
            | "PreCreateHookError"
            | "PreStartHookError"
            | "PostStartHookError"
            | "RunContainerError" => {
                let fault = match reason {
                    "CreateContainerConfigError" => ends::config_fault(message),
                    _ => ends::start_fault(message),
                };
                if fault == StartFault::Lasting {
                    return Phase::Stuck { cause: ends::refused(reason, message, fault) };
                }
                return waits(Waits::Program, transition(sandbox));
            }
            _ => {}
        }
    }
    let started = all.iter().rev().find_map(|it| {
        let running = it.status?.state.as_ref()?.running.as_ref()?;
        Some(running.started_at.as_ref().map(time::of))
    });
    match (started, sandbox) {
        (Some(since), _) => waits(Waits::Program, since),
        (None, Some(_)) => waits(Waits::Image(Pull::default()), transition(sandbox)),
        (None, None) => bound(),
    }
}

/// What the cluster says of it: the first of those who say something.
fn message(pod: &Pod, of_pod: &str) -> String {
    let of_condition = |name: &str, status: &str| {
        condition(pod, name).filter(|it| it.status == status)?.message.as_deref()
    };
    let mut containers = Its::all(pod).filter_map(|it| {
        let state = it.status?.state.as_ref()?;
        match (&state.waiting, &state.terminated) {
            (Some(waiting), _) => waiting.message.as_deref(),
            (None, Some(ended)) if ends::is_of_the_node(ended) => ended.message.as_deref(),
            _ => None,
        }
    });
    let all = [
        Some(of_pod),
        of_condition("DisruptionTarget", "True"),
        containers.find(|it| !it.is_empty()),
        of_condition("PodScheduled", "False"),
        of_condition("Ready", "False"),
    ];
    short(all.into_iter().flatten().find(|it| !it.trim().is_empty()).unwrap_or_default())
}

/// A container with what is said of it.
#[derive(Clone, Copy)]
pub struct Its<'p> {
    pub pod: &'p Pod,
    pub spec: Option<&'p Container>,
    pub status: Option<&'p ContainerStatus>,
    pub is_init: bool,
}

impl<'p> Its<'p> {
    /// In the order in which they begin. Those of which nothing is said are left out.
    pub fn all(pod: &'p Pod) -> impl Iterator<Item = Self> {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let init = spec.and_then(|it| it.init_containers.as_deref()).unwrap_or_default();
        let init_statuses = status.and_then(|it| it.init_container_statuses.as_deref());
        let containers = spec.map(|it| it.containers.as_slice()).unwrap_or_default();
        let statuses = status.and_then(|it| it.container_statuses.as_deref());
        let find = |of: &'p [Container], name: &str| of.iter().find(|it| it.name == name);
        let first = init_statuses.unwrap_or_default().iter().map(move |it| Self {
            pod,
            spec: find(init, &it.name),
            status: Some(it),
            is_init: true,
        });
        let then = statuses.unwrap_or_default().iter().map(move |it| Self {
            pod,
            spec: find(containers, &it.name),
            status: Some(it),
            is_init: false,
        });
        first.chain(then)
    }

    /// That in which the model runs.
    pub fn model(pod: &'p Pod) -> Self {
        let containers = pod.spec.as_ref().map(|it| it.containers.as_slice()).unwrap_or_default();
        let named = containers.iter().find(|it| it.name == MODEL_CONTAINER);
        let spec = named.or_else(|| containers.first());
        let statuses = pod.status.as_ref().and_then(|it| it.container_statuses.as_deref());
        let name = spec.map_or(MODEL_CONTAINER, |it| it.name.as_str());
        let status = statuses.unwrap_or_default().iter().find(|it| it.name == name);
        Self { pod, spec, status, is_init: false }
    }
}

fn port(pod: &Pod) -> u16 {
    let ports = Its::model(pod).spec.and_then(|it| it.ports.as_deref()).unwrap_or_default();
    let mut tcp = ports.iter().filter(|it| it.protocol.as_deref().is_none_or(|it| it == "TCP"));
    tcp.find_map(|it| u16::try_from(it.container_port).ok()).unwrap_or(PORT)
}

/// A condition of a pod, whatever it says.
pub fn condition<'p>(pod: &'p Pod, name: &str) -> Option<&'p PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == name)
}

/// Does the condition hold?
pub fn is_true(pod: &Pod, name: &str) -> bool {
    condition(pod, name).is_some_and(|it| it.status == "True")
}

fn transition(condition: Option<&PodCondition>) -> Option<Timestamp> {
    condition?.last_transition_time.as_ref().map(time::of)
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(time::of)
}

/// As much of what somebody said as is kept.
pub fn short(text: &str) -> String {
    text.trim().chars().take(1000).collect()
}
