//! What objects of Cluster API say, in both of its versions: functions of what the API told.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use muster_core::Amounts;
use muster_core::resources::{GPU, NOT_COUNTED};
use muster_core::room::{
    FailureClass, Labels, MachineState, NodeId, Taint, Template, Told, ToldMachine,
};
use serde_json::Value;

use crate::kube::read::{ask::effect, quantity};

/// Annotations that the Cluster Autoscaler reads as well.
const LIMIT: &str = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-";
const CAPACITY: &str = "capacity.cluster-autoscaler.kubernetes.io/";
const PAUSED: &str = "cluster.x-k8s.io/paused";
/// How many pods a node has room for if nobody says it.
const PODS: u64 = 110;
/// Most characters of a machine's message that are kept.
const WORDS: usize = 500;

/// Words of clouds that tell what is wrong, in small letters. Throttling is looked for first: its words have those
/// of quotas in them.
const CLASSES: [(FailureClass, &[&str]); 4] = [
    (
        FailureClass::Throttled,
        &[
            "requestlimitexceeded",
            "throttl",
            "toomanyrequests",
            "too many requests",
            "rate limit",
            "ratelimit",
        ],
    ),
    (
        FailureClass::Capacity,
        &[
            "insufficientinstancecapacity",
            "insufficient capacity",
            "sufficient capacity",
            "no valid host",
            "resource_pool_exhausted",
            "resourcepoolexhausted",
            "skunotavailable",
            "allocationfailed",
            "overconstrained",
            "out of capacity",
            "out of stock",
            "stockout",
            "resource_exhausted",
            "insufficient resources",
        ],
    ),
    (
        FailureClass::Quota,
        &[
            "quota",
            "limitexceeded",
            "limit exceeded",
            "exceeds the limit",
            "vcpulimit",
            "toomanyinstances",
        ],
    ),
    (
        FailureClass::Credentials,
        &[
            "unauthorized",
            "authfailure",
            "authentication",
            "forbidden",
            "accessdenied",
            "access denied",
            "invalidclienttokenid",
            "permission",
            "credential",
        ],
    ),
];

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Is it being deleted?
pub(super) fn goes(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// How many it shall have; the API's default is one.
pub(super) fn replicas(object: &Value) -> u32 {
    object["spec"]["replicas"].as_u64().map_or(1, |it| u32::try_from(it).unwrap_or(u32::MAX))
}

/// Are machines of an older template still there?
pub(super) fn is_rolling(deployment: &Value) -> bool {
    let status = &deployment["status"];
    let updated = status["upToDateReplicas"].as_u64().or(status["updatedReplicas"].as_u64());
    updated.zip(status["replicas"].as_u64()).is_some_and(|(updated, all)| updated < all)
}

/// The group.
///
/// # Errors
///
/// Why it cannot be worked with.
pub(super) fn told(
    deployment: &Value,
    machines: &[Value],
    infrastructure: Option<&Value>,
) -> Result<Told, String> {
    let note = |name: &str| deployment["metadata"]["annotations"].get(name).map(text);
    if goes(deployment) {
        return Err("it is being deleted".to_owned());
    }
    if deployment["spec"]["paused"] == true || note(PAUSED).is_some() {
        return Err("it is paused".to_owned());
    }
    let limit = |which: &str| {
        let name = format!("{LIMIT}{which}-size");
        let limit = note(&name).map(|text| {
            text.trim().parse().map_err(|_| format!("its annotation {name} is no whole number"))
        });
        limit.transpose()
    };
    Ok(Told {
        target: replicas(deployment),
        min: limit("min")?,
        max: limit("max")?,
        template: template(deployment, infrastructure)?,
        price: 0,
        machines: machines.iter().filter_map(machine).collect(),
    })
}

fn machine(it: &Value) -> Option<ToldMachine> {
    let node = it["status"]["nodeRef"]["name"].as_str().filter(|name| !name.is_empty());
    let id = it["metadata"]["name"].as_str()?.to_owned();
    Some(ToldMachine { id, node: node.map(NodeId::from), state: state(it, node.is_some()) })
}

fn state(machine: &Value, has_node: bool) -> MachineState {
    let status = &machine["status"];
    let phase = text(&status["phase"]);
    if goes(machine) || matches!(phase, "Deleting" | "Deleted") {
        return MachineState::Leaving;
    }
    // The older version has it in its status, the newer one keeps it apart.
    let old = [status, &status["deprecated"]["v1beta1"]];
    let message = old.iter().find_map(|it| it["failureMessage"].as_str());
    let reason = old.iter().find_map(|it| it["failureReason"].as_str());
    if phase == "Failed" || message.is_some() || reason.is_some() {
        let said = message.or(reason).or_else(|| infrastructure_fails(status).map(|(_, it)| it));
        return failed(said.unwrap_or("its phase is Failed"));
    }
    if has_node {
        return MachineState::Running;
    }
    match infrastructure_fails(status) {
        // Its controller tries again for ever; others can be had meanwhile.
        Some((FailureClass::Quota | FailureClass::Capacity | FailureClass::Credentials, said)) => {
            failed(said)
        }
        _ => MachineState::Booting,
    }
}

/// What its infrastructure says is wrong, if it says that something is.
fn infrastructure_fails(status: &Value) -> Option<(FailureClass, &str)> {
    let mut conditions = status["conditions"].as_array()?.iter();
    let its =
        conditions.find(|it| it["type"] == "InfrastructureReady" && it["status"] == "False")?;
    let said = its["message"].as_str().filter(|text| !text.is_empty())?;
    Some((class(said), said))
}

fn failed(message: &str) -> MachineState {
    let message: String = message.trim().chars().take(WORDS).collect();
    MachineState::Failed { class: class(&message), message }
}

fn class(message: &str) -> FailureClass {
    let message = message.to_lowercase();
    let mut classes = CLASSES.iter();
    let its = classes.find(|(_, words)| words.iter().any(|word| message.contains(word)));
    its.map_or(FailureClass::Other, |(class, _)| *class)
}

/// What a node of it will be: what annotations say, before what the template of its machines says. None if neither
/// says both cores and memory.
fn template(
    deployment: &Value,
    infrastructure: Option<&Value>,
) -> Result<Option<Template>, String> {
    let annotations = &deployment["metadata"]["annotations"];
    let note = |what: &str| annotations.get(format!("{CAPACITY}{what}")).map(text);
    let status = infrastructure.map(|it| &it["status"]);
    let mut all: BTreeMap<String, Quantity> = BTreeMap::new();
    let capacity = status.and_then(|it| it["capacity"].as_object());
    for (name, value) in capacity.into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        all.insert(name.clone(), Quantity(value));
    }
    let names = [
        ("cpu", "cpu"),
        ("memory", "memory"),
        ("ephemeral-disk", "ephemeral-storage"),
        ("maxPods", "pods"),
    ];
    for (noted, name) in names {
        if let Some(value) = note(noted) {
            all.insert(name.to_owned(), Quantity(value.trim().to_owned()));
        }
    }
    if let Some(count) = note("gpu-count") {
        let kind = note("gpu-type").unwrap_or(GPU).trim().to_owned();
        all.insert(kind, Quantity(count.trim().to_owned()));
    }
    let mut allocatable: Amounts = quantity::amounts(&all)?;
    if allocatable.cpu == 0 || allocatable.memory == 0 {
        return Ok(None);
    }
    if allocatable.storage == 0 {
        allocatable.storage = NOT_COUNTED;
    }
    if allocatable.pods == 0 {
        allocatable.pods = PODS;
    }
    let labels = labels(deployment, status, note("labels"))?;
    let taints = taints(deployment, note("taints"))?;
    Ok(Some(Template { labels, taints, allocatable }))
}

fn labels(
    deployment: &Value,
    infrastructure: Option<&Value>,
    noted: Option<&str>,
) -> Result<Labels, String> {
    let mut labels = Labels::new();
    let info = infrastructure.map(|status| &status["nodeInfo"]);
    let says = |what: &str| info.and_then(|it| it[what].as_str()).filter(|it| !it.is_empty());
    let usual = [
        ("kubernetes.io/arch", says("architecture").unwrap_or("amd64")),
        ("kubernetes.io/os", says("operatingSystem").unwrap_or("linux")),
    ];
    labels.extend(usual.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let of_machines = deployment["spec"]["template"]["metadata"]["labels"].as_object();
    for (key, value) in of_machines.into_iter().flatten().filter(|(key, _)| goes_on(key)) {
        labels.insert(key.clone(), text(value).to_owned());
    }
    for pair in parts(noted) {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            format!("its annotation {CAPACITY}labels has {pair:?}, which is not KEY=VALUE")
        })?;
        labels.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(labels)
}

/// Labels of machines that Cluster API writes on their nodes, by their domain.
fn goes_on(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let is_in = |of: &str| {
        domain.strip_suffix(of).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    domain == "node-role.kubernetes.io"
        || is_in("node-restriction.kubernetes.io")
        || is_in("node.cluster.x-k8s.io")
}

fn taints(deployment: &Value, noted: Option<&str>) -> Result<Vec<Taint>, String> {
    let its = deployment["spec"]["template"]["spec"]["taints"].as_array().into_iter().flatten();
    // Those that are written once only go with the start of a node.
    let its = its.filter(|taint| taint["propagation"] != "OnInitialization");
    let mut taints: Vec<Taint> = its
        .filter_map(|taint| {
            let (key, value) = (text(&taint["key"]).to_owned(), text(&taint["value"]).to_owned());
            Some(Taint { key, value, effect: effect(text(&taint["effect"]))? })
        })
        .collect();
    for part in parts(noted) {
        let wrong = || {
            format!("its annotation {CAPACITY}taints has {part:?}, which is not KEY=VALUE:EFFECT")
        };
        let (what, kind) = part.rsplit_once(':').ok_or_else(wrong)?;
        let (key, value) = what.split_once('=').unwrap_or((what, ""));
        let effect = effect(kind.trim()).ok_or_else(wrong)?;
        taints.push(Taint { key: key.trim().to_owned(), value: value.trim().to_owned(), effect });
    }
    Ok(taints)
}

fn parts(list: Option<&str>) -> impl Iterator<Item = &str> {
    list.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty())
}
