//! The status of a pod from the states of its containers, as a kubelet writes it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{
    edit::{Wanted, seconds, set_condition},
    quantity::Quantity,
    shapes::{Container, PodSpec},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Init,
    Sidecar,
    Main,
}

#[derive(Clone, PartialEq, Debug)]
pub enum State {
    Waiting { reason: String, message: String },
    Running { at: Timestamp, id: String },
    Over(Over),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Over {
    pub code: i32,
    pub reason: String,
    pub message: String,
    pub started: Option<Timestamp>,
    pub at: Timestamp,
    pub id: String,
}

/// A container of a pod, as far as it has come.
#[derive(Clone, Debug)]
pub struct Held {
    pub spec: Container,
    pub role: Role,
    pub state: State,
    pub last: Option<Over>,
    pub restarts: u32,
    pub ready: bool,
    pub started: bool,
    pub image: String,
    pub image_id: String,
}

impl Held {
    fn new(spec: &Container, role: Role, reason: &str) -> Self {
        Self {
            spec: spec.clone(),
            role,
            state: State::Waiting { reason: reason.into(), message: String::new() },
            last: None,
            restarts: 0,
            ready: false,
            started: false,
            image: spec.image.clone(),
            image_id: String::new(),
        }
    }

    fn is_done(&self) -> bool {
        match (&self.state, self.role) {
            (State::Over(over), Role::Init) => over.code == 0,
            (_, Role::Sidecar) => self.started,
            _ => false,
        }
    }

    fn ended(&self) -> Option<&Over> {
        match &self.state {
            State::Over(over) => Some(over),
            State::Waiting { .. } => self.last.as_ref(),
            State::Running { .. } => None,
        }
    }
}

pub fn containers(spec: &PodSpec) -> Vec<Held> {
    let waits =
        if spec.init_containers.is_empty() { "ContainerCreating" } else { "PodInitializing" };
    let init = spec.init_containers.iter().map(|one| {
        Held::new(one, if one.is_sidecar() { Role::Sidecar } else { Role::Init }, "PodInitializing")
    });
    init.chain(spec.containers.iter().map(|one| Held::new(one, Role::Main, waits))).collect()
}

/// All that the status of a pod says.
pub struct Board {
    pub containers: Vec<Held>,
    pub started: Timestamp,
    /// The sandbox is there.
    pub ip: Option<String>,
    pub host_ip: String,
    pub verdict: Option<Verdict>,
}

/// Why the pod as a whole has failed.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    pub reason: String,
    pub message: String,
    /// `DisruptionTarget` with reason `TerminationByKubelet`.
    pub disrupts: bool,
}

impl Board {
    pub fn phase(&self, policy: &str) -> &'static str {
        if self.verdict.is_some() {
            return "Failed";
        }
        let init = || self.containers.iter().filter(|one| one.role != Role::Main);
        let failed = |one: &Held| {
            one.role == Role::Init && matches!(&one.state, State::Over(over) if over.code != 0)
        };
        if init().any(failed) && policy == "Never" {
            return "Failed";
        }
        if !init().all(Held::is_done) && !self.mains().any(|one| one.ended().is_some()) {
            return "Pending";
        }
        let waits = |one: &Held| matches!(one.state, State::Waiting { .. }) && one.last.is_none();
        if self.mains().any(waits) {
            return "Pending";
        }
        let codes: Option<Vec<i32>> =
            self.mains().map(|one| one.ended().map(|over| over.code)).collect();
        let over = self.mains().all(|one| matches!(one.state, State::Over(_)));
        match (codes, policy) {
            (None, _) | (_, "Always") => "Running",
            (Some(codes), _) if over && codes.iter().all(|code| *code == 0) => "Succeeded",
            (Some(_), "Never") if over => "Failed",
            _ => "Running",
        }
    }

    fn mains(&self) -> impl Iterator<Item = &Held> {
        self.containers.iter().filter(|one| one.role == Role::Main)
    }

    /// Writes it; what others have written stays.
    pub fn write(&self, pod: &mut Value, policy: &str, at: Timestamp) {
        let phase = self.phase(policy);
        if !pod["status"].is_object() {
            pod["status"] = json!({});
        }
        let status = &mut pod["status"];
        status["phase"] = json!(phase);
        status["startTime"] = json!(seconds(self.started));
        status["hostIP"] = json!(self.host_ip);
        status["hostIPs"] = json!([{ "ip": self.host_ip }]);
        if let Some(ip) = &self.ip {
            status["podIP"] = json!(ip);
            status["podIPs"] = json!([{ "ip": ip }]);
        }
        if let Some(verdict) = &self.verdict {
            status["reason"] = json!(verdict.reason);
            status["message"] = json!(verdict.message);
        }
        let of = |main: bool| -> Vec<Value> {
            let these = self.containers.iter().filter(|one| (one.role == Role::Main) == main);
            these.map(container).collect()
        };
        status["containerStatuses"] = json!(of(true));
        if self.containers.iter().any(|one| one.role != Role::Main) {
            status["initContainerStatuses"] = json!(of(false));
        }
        for (kind, status, reason, message) in self.conditions(phase) {
            let wanted = Wanted { r#type: kind, status, reason, message: &message };
            set_condition(pod, &wanted, at);
        }
    }

    fn conditions(&self, phase: &str) -> Vec<(&'static str, &'static str, &'static str, String)> {
        let over = matches!(phase, "Succeeded" | "Failed");
        let sandbox = if self.ip.is_some() && !over { "True" } else { "False" };
        let names = |wanted: &dyn Fn(&Held) -> bool| {
            let names: Vec<_> = self.containers.iter().filter(|one| wanted(one)).collect();
            let names: Vec<_> = names.iter().map(|one| one.spec.name.as_str()).collect();
            (!names.is_empty()).then(|| names.join(" "))
        };
        let waits = names(&|one| one.role != Role::Main && !one.is_done());
        let initialized = match waits {
            _ if phase == "Succeeded" => ("True", "PodCompleted", String::new()),
            Some(names) => (
                "False",
                "ContainersNotInitialized",
                format!("containers with incomplete status: [{names}]"),
            ),
            None => ("True", "", String::new()),
        };
        let unready = names(&|one| one.role != Role::Init && !one.ready);
        let ready = match unready {
            _ if phase == "Succeeded" => ("False", "PodCompleted", String::new()),
            _ if phase == "Failed" => ("False", "PodFailed", String::new()),
            Some(names) => (
                "False",
                "ContainersNotReady",
                format!("containers with unready status: [{names}]"),
            ),
            None => ("True", "", String::new()),
        };
        let mut all = vec![
            ("PodReadyToStartContainers", sandbox, "", String::new()),
            ("Initialized", initialized.0, initialized.1, initialized.2),
            ("Ready", ready.0, ready.1, ready.2.clone()),
            ("ContainersReady", ready.0, ready.1, ready.2),
        ];
        if let Some(verdict) = self.verdict.as_ref().filter(|verdict| verdict.disrupts) {
            let message = verdict.message.clone();
            all.push(("DisruptionTarget", "True", "TerminationByKubelet", message));
        }
        all
    }
}

fn container(one: &Held) -> Value {
    let over = |over: &Over| {
        let mut value = json!({
            "exitCode": over.code, "reason": over.reason, "finishedAt": seconds(over.at),
            "startedAt": over.started.map(seconds), "containerID": over.id,
        });
        if !over.message.is_empty() {
            value["message"] = json!(over.message);
        }
        value
    };
    let state = match &one.state {
        State::Waiting { reason, message } if message.is_empty() => {
            json!({ "waiting": { "reason": reason } })
        }
        State::Waiting { reason, message } => {
            json!({ "waiting": { "reason": reason, "message": message } })
        }
        State::Running { at, .. } => json!({ "running": { "startedAt": seconds(*at) } }),
        State::Over(ended) => json!({ "terminated": over(ended) }),
    };
    let id = match (&one.state, &one.last) {
        (State::Running { id, .. } | State::Over(Over { id, .. }), _) => Some(id),
        (_, Some(last)) => Some(&last.id),
        _ => None,
    };
    let last = one.last.as_ref().map_or_else(|| json!({}), |it| json!({ "terminated": over(it) }));
    let mut value = json!({
        "name": one.spec.name, "image": one.image, "imageID": one.image_id, "ready": one.ready,
        "started": one.started, "restartCount": one.restarts, "state": state, "lastState": last,
    });
    if let Some(id) = id {
        value["containerID"] = json!(id);
    }
    value
}

/// What the API server sets at creation and a kubelet repeats.
pub fn qos(spec: &PodSpec) -> &'static str {
    let all = || spec.containers.iter().chain(&spec.init_containers);
    let zero = Quantity::default();
    let asks = |of: &Container| {
        of.resources.requests.values().chain(of.resources.limits.values()).any(|it| *it > zero)
    };
    if !all().any(asks) {
        return "BestEffort";
    }
    let guaranteed = all().all(|one| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = one.resources.limits.get(*name);
            let request = one.resources.requests.get(*name).or(limit);
            limit.is_some() && limit == request
        })
    });
    if guaranteed { "Guaranteed" } else { "Burstable" }
}
