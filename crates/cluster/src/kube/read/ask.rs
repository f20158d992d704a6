//! What a pod asks of its node, as the scheduler reads it.
//!
//! What cannot be said in values of the hub is named in `not_understood`, so that it is never guessed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container as ItsContainer, ContainerStatus, NodeSelector, Pod, PodAffinityTerm, PodSpec,
    Toleration as ItsToleration, TopologySpreadConstraint, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use muster_core::Amounts;
use muster_core::room::{
    Ask, Condition, Container, Effect, Labels, Neighbours, PodAsk, Port, Requirement, Spread,
    Toleration,
};

use super::pod::condition;
use super::{quantity, selectors};

/// The label that every namespace has for its name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// What the pod asks of its node.
pub fn of_pod(pod: &Pod) -> Ask {
    let mut ask = Ask {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        ..Ask::default()
    };
    let Some(spec) = &pod.spec else {
        ask.not_understood.push("a pod without a spec".to_owned());
        return ask;
    };
    spec_asks(spec, Some(pod), &mut ask);
    ask
}

/// What pods of this template ask, that are to be made in the namespace.
pub fn of_template(spec: &PodSpec, namespace: &str, labels: Labels) -> Ask {
    let mut ask = Ask { namespace: namespace.to_owned(), labels, ..Ask::default() };
    spec_asks(spec, None, &mut ask);
    ask
}

fn spec_asks(spec: &PodSpec, pod: Option<&Pod>, ask: &mut Ask) {
    let mut unclear = Vec::new();
    ask.amounts = amounts(spec, pod, &mut unclear);
    ask.priority = spec.priority.unwrap_or(0);
    ask.needs = spec.node_selector.iter().flatten().map(|(k, v)| selectors::is(k, v)).collect();
    let affinity = spec.affinity.as_ref();
    let of_nodes = affinity.and_then(|it| it.node_affinity.as_ref());
    let required =
        of_nodes.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref());
    if let Some(required) = required {
        nodes(required, ask, &mut unclear);
    }
    for it in spec.tolerations.iter().flatten() {
        match toleration(it) {
            Some(toleration) => ask.tolerates.push(toleration),
            None => unclear.push(format!("a toleration of {}", it.key.as_deref().unwrap_or("all"))),
        }
    }
    let labels = ask.labels.clone();
    for it in spec.topology_spread_constraints.iter().flatten() {
        match spread(it, &labels) {
            Ok(spread) => ask.spread.extend(spread),
            Err(what) => unclear.push(what),
        }
    }
    let beside = affinity.and_then(|it| it.pod_affinity.as_ref());
    let beside =
        beside.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref());
    for it in beside.into_iter().flatten() {
        match neighbours(it, &labels) {
            Ok(Some(beside)) => ask.beside.push(beside),
            Ok(None) => unclear.push("an affinity to nobody".to_owned()),
            Err(what) => unclear.push(what),
        }
    }
    let apart = affinity.and_then(|it| it.pod_anti_affinity.as_ref());
    let apart =
        apart.and_then(|it| it.required_during_scheduling_ignored_during_execution.as_ref());
    for it in apart.into_iter().flatten() {
        match neighbours(it, &labels) {
            Ok(apart) => ask.apart.extend(apart),
            Err(what) => unclear.push(what),
        }
    }
    ask.ports = ports(spec);
    unclear.extend(spec.volumes.iter().flatten().filter_map(bound_volume));
    unclear.extend(
        spec.resource_claims.iter().flatten().map(|it| format!("resource claim {}", it.name)),
    );
    let gates = spec.scheduling_gates.iter().flatten();
    unclear.extend(gates.map(|it| format!("to be held back by {}", it.name)));
    ask.not_understood = unclear;
}

fn amounts(spec: &PodSpec, pod: Option<&Pod>, unclear: &mut Vec<String>) -> Amounts {
    let status = pod.and_then(|pod| pod.status.as_ref());
    let mut read = |of: Option<&BTreeMap<_, _>>| {
        let amounts = of.map(quantity::amounts)?;
        amounts.map_err(|what| unclear.push(what)).ok()
    };
    let mut containers = |of: &[ItsContainer], statuses: Option<&[ContainerStatus]>| {
        let container = |it: &ItsContainer| {
            let mut its = statuses.unwrap_or_default().iter();
            let status = its.find(|status| status.name == it.name);
            Container {
                requests: read(it.resources.as_ref().and_then(|it| it.requests.as_ref()))
                    .unwrap_or_default(),
                allocated: read(status.and_then(|it| it.allocated_resources.as_ref())),
                actual: read(status.and_then(|it| it.resources.as_ref()?.requests.as_ref())),
                is_sidecar: it.restart_policy.as_deref() == Some("Always"),
            }
        };
        of.iter().map(container).collect::<Vec<_>>()
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let init = containers(init, status.and_then(|it| it.init_container_statuses.as_deref()));
    let running =
        containers(&spec.containers, status.and_then(|it| it.container_statuses.as_deref()));
    let overhead = read(spec.overhead.as_ref()).unwrap_or_default();
    let whole = spec.resources.as_ref().and_then(|it| it.requests.as_ref());
    let whole = whole.into_iter().flatten().filter_map(|(name, of)| {
        let (name, amount) = quantity::named(name, of).map_err(|what| unclear.push(what)).ok()?;
        Some((name.to_owned(), amount))
    });
    let whole = whole.collect();
    let resize = pod.and_then(|pod| condition(pod, "PodResizePending"));
    let resize_is_infeasible =
        resize.is_some_and(|it| it.status == "True" && it.reason.as_deref() == Some("Infeasible"));
    PodAsk { init, containers: running, overhead, whole, resize_is_infeasible }.amounts()
}

/// One of its terms has to hold; an empty one never does.
fn nodes(required: &NodeSelector, ask: &mut Ask, unclear: &mut Vec<String>) {
    let mut terms = Vec::new();
    for term in &required.node_selector_terms {
        match selectors::of_node(term) {
            Ok(needs) if needs.is_empty() => {}
            Ok(needs) => terms.push(needs),
            Err(what) => return unclear.push(what),
        }
    }
    match terms.len() {
        0 => unclear.push("a node affinity that holds of no node".to_owned()),
        1 => ask.needs.append(&mut terms[0]),
        _ => ask.needs_one_of = terms,
    }
}

fn toleration(it: &ItsToleration) -> Option<Toleration> {
    let effect = match it.effect.as_deref().unwrap_or_default() {
        "" => None,
        effect => Some(self::effect(effect)?),
    };
    let value = match it.operator.as_deref().unwrap_or_default() {
        "Exists" => None,
        "Equal" | "" => Some(it.value.clone().unwrap_or_default()),
        _ => return None,
    };
    Some(Toleration { key: it.key.clone().filter(|key| !key.is_empty()), value, effect })
}

/// A taint's effect by its name.
pub fn effect(name: &str) -> Option<Effect> {
    Some(match name {
        "NoSchedule" => Effect::NoSchedule,
        "PreferNoSchedule" => Effect::PreferNoSchedule,
        "NoExecute" => Effect::NoExecute,
        _ => return None,
    })
}

/// Nothing if it is only a wish, or counts nobody.
fn spread(it: &TopologySpreadConstraint, labels: &Labels) -> Result<Option<Spread>, String> {
    let Some(selector) = it.label_selector.as_ref() else { return Ok(None) };
    if it.when_unsatisfiable != "DoNotSchedule" {
        return Ok(None);
    }
    let mut counts = selectors::of_labels(selector)?;
    counts.extend(same(it.match_label_keys.as_deref(), labels, Condition::In));
    Ok(Some(Spread {
        topology: it.topology_key.clone(),
        most_skew: u32::try_from(it.max_skew).unwrap_or(1),
        least_domains: it.min_domains.and_then(|it| u32::try_from(it).ok()).unwrap_or(0),
        counts,
        ignores_needs: it.node_affinity_policy.as_deref() == Some("Ignore"),
        honours_taints: it.node_taints_policy.as_deref() == Some("Honor"),
    }))
}

/// Those whose labels of these keys are as its own, or are not.
fn same<'k>(
    keys: Option<&'k [String]>,
    labels: &'k Labels,
    is: fn(Vec<String>) -> Condition,
) -> impl Iterator<Item = Requirement> {
    let keys = keys.unwrap_or_default().iter();
    keys.filter_map(move |key| {
        let value = labels.get(key)?.clone();
        Some(Requirement { key: key.clone(), is: is(vec![value]) })
    })
}

/// Nothing if it is about nobody.
fn neighbours(it: &PodAffinityTerm, labels: &Labels) -> Result<Option<Neighbours>, String> {
    let Some(selector) = it.label_selector.as_ref() else { return Ok(None) };
    let mut who = selectors::of_labels(selector)?;
    who.extend(same(it.match_label_keys.as_deref(), labels, Condition::In));
    who.extend(same(it.mismatch_label_keys.as_deref(), labels, Condition::NotIn));
    let mut namespaces = it.namespaces.clone().unwrap_or_default();
    if let Some(selector) = &it.namespace_selector {
        namespaces.extend(names(selector).ok_or("an affinity to namespaces by their labels")?);
    }
    Ok(Some(Neighbours { topology: it.topology_key.clone(), namespaces, who }))
}

/// The namespaces that are selected, if that is by their names.
fn names(selector: &LabelSelector) -> Option<Vec<String>> {
    match &selectors::of_labels(selector).ok()?[..] {
        [Requirement { key, is: Condition::In(names) }] if key == NAMESPACE_NAME => {
            Some(names.clone())
        }
        _ => None,
    }
}

fn ports(spec: &PodSpec) -> Vec<Port> {
    let stays = |it: &&ItsContainer| it.restart_policy.as_deref() == Some("Always");
    let init = spec.init_containers.iter().flatten().filter(stays);
    let of_node = spec.host_network == Some(true);
    let ports = init.chain(&spec.containers).flat_map(|it| it.ports.iter().flatten());
    let port = ports.filter_map(|it| {
        let port = it.host_port.or(Some(it.container_port).filter(|_| of_node))?;
        let address = it.host_ip.as_deref().and_then(|it| it.parse().ok());
        Some(Port {
            protocol: it.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: u16::try_from(port).ok().filter(|port| *port > 0)?,
            address: address.filter(|it: &std::net::IpAddr| !it.is_unspecified()),
        })
    });
    port.collect()
}

/// A volume that is only to be had on some nodes.
fn bound_volume(it: &Volume) -> Option<String> {
    if let Some(claim) = &it.persistent_volume_claim {
        return Some(format!("volume claim {}", claim.claim_name));
    }
    let is_disk = it.ephemeral.is_some()
        || it.aws_elastic_block_store.is_some()
        || it.azure_disk.is_some()
        || it.gce_persistent_disk.is_some()
        || it.cinder.is_some()
        || it.fc.is_some()
        || it.iscsi.is_some()
        || it.rbd.is_some()
        || it.portworx_volume.is_some()
        || it.vsphere_volume.is_some()
        || it.flex_volume.is_some();
    is_disk.then(|| format!("volume {}", it.name))
}
