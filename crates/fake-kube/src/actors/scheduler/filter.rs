//! Whether a pod may run on a node, and the words of kube-scheduler 1.36 where it may not.

use std::borrow::Cow;

use super::{
    super::{
        needs::{add, amount, lacks},
        shapes::{Node, NodeTerm, Pod, PodSpec, Port, Taint, Toleration},
    },
    between::Between,
    world::{Place, Seen, World},
};

#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reasons: Vec<String>,
    /// Taking pods away would not help.
    pub is_final: bool,
}

fn never(reason: &str) -> Result<(), Refusal> {
    Err(Refusal { reasons: vec![reason.into()], is_final: true })
}

fn not_now(reason: &str) -> Result<(), Refusal> {
    Err(Refusal { reasons: vec![reason.into()], is_final: false })
}

/// The first rule that a node breaks speaks, as in the framework of the real one.
pub fn check(
    world: &World,
    between: &Between,
    pod: &Seen,
    (node, place): (&Node, &Place),
) -> Result<(), Refusal> {
    let spec = &pod.pod.spec;
    if node.spec.unschedulable && !tolerates_cordon(&spec.tolerations) {
        return never("node(s) were unschedulable");
    }
    if untolerated(node, &spec.tolerations).is_some() {
        return never("node(s) had untolerated taint(s)");
    }
    if only_nodes(spec).is_some_and(|names| !names.contains(&node.metadata.name)) {
        return never("node(s) didn't satisfy plugin(s) [NodeAffinity]");
    }
    if !is_wanted(&pod.pod, node) {
        return never("node(s) didn't match Pod's node affinity/selector");
    }
    let nominated: Vec<&Seen> = world
        .nominated
        .values()
        .filter(|(at, other)| {
            *at == node.metadata.name
                && other.key != pod.key
                && other.pod.spec.priority >= spec.priority
        })
        .map(|(_, other)| &**other)
        .collect();
    let ports = host_ports(spec);
    let mut others = place.pods.values().map(|other| &**other).chain(nominated.iter().copied());
    if !ports.is_empty() && others.any(|other| ports_clash(&ports, &other.pod.spec)) {
        return not_now("node(s) didn't have free ports for the requested pod ports");
    }
    let pods = place.pods.len() + nominated.len();
    let mut used = Cow::Borrowed(&place.used);
    nominated.iter().for_each(|other| add(used.to_mut(), &other.needs));
    let lacks = lacks(&pod.needs, &used, pods, &node.status.allocatable);
    if !lacks.is_empty() {
        let is_final = lacks.iter().any(|lack| lack.of != "pods" && lack.asked > lack.has);
        let words = |of: &str| match of {
            "pods" => "Too many pods".to_owned(),
            of => format!("Insufficient {of}"),
        };
        let reasons = lacks.iter().map(|lack| words(&lack.of)).collect();
        return Err(Refusal { reasons, is_final });
    }
    match between.check(node) {
        Ok(()) => Ok(()),
        Err((reason, true)) => never(reason),
        Err((reason, false)) => not_now(reason),
    }
}

pub fn tolerates_cordon(tolerations: &[Toleration]) -> bool {
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: String::new(),
        effect: "NoSchedule".into(),
    };
    tolerations.iter().any(|one| one.tolerates(&cordon))
}

pub fn untolerated<'a>(node: &'a Node, tolerations: &[Toleration]) -> Option<&'a Taint> {
    node.spec.taints.iter().find(|taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !tolerations.iter().any(|one| one.tolerates(taint))
    })
}

/// The names of nodes that the pod is bound to by field, as those of a DaemonSet are.
fn only_nodes(spec: &PodSpec) -> Option<Vec<String>> {
    let terms = &spec.affinity.node_affinity.required.as_ref()?.node_selector_terms;
    let names = |term: &NodeTerm| {
        let by_name = term
            .match_fields
            .iter()
            .find(|one| one.key == "metadata.name" && one.operator == "In")?;
        Some(by_name.values.clone())
    };
    let all: Option<Vec<_>> = terms.iter().map(names).collect();
    all.filter(|all| !all.is_empty()).map(|all| all.concat())
}

/// Its node selector and its required node affinity.
pub fn is_wanted(pod: &Pod, node: &Node) -> bool {
    let labels = &node.metadata.labels;
    let required = &pod.spec.affinity.node_affinity.required;
    pod.spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && required
            .as_ref()
            .is_none_or(|terms| terms.node_selector_terms.iter().any(|term| matches(term, node)))
}

/// A term that asks for nothing matches nothing.
pub fn matches(term: &NodeTerm, node: &Node) -> bool {
    let (expressions, fields) = (&term.match_expressions, &term.match_fields);
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|one| one.matches(node.metadata.labels.get(&one.key)))
        && fields
            .iter()
            .all(|one| one.key == "metadata.name" && one.matches(Some(&node.metadata.name)))
}

fn ports_clash(ports: &[Port], other: &PodSpec) -> bool {
    let every =
        |ip: &Option<String>| ip.as_deref().is_none_or(|ip| ip == "0.0.0.0" || ip.is_empty());
    let protocol = |port: &Port| port.protocol.clone().unwrap_or_else(|| "TCP".into());
    ports.iter().any(|one| {
        host_ports(other).iter().any(|other| {
            one.host_port == other.host_port
                && protocol(one) == protocol(other)
                && (every(&one.host_ip) || every(&other.host_ip) || one.host_ip == other.host_ip)
        })
    })
}

/// On the host's network every port of a container is one of the host.
fn host_ports(spec: &PodSpec) -> Vec<Port> {
    let mut ports = Vec::new();
    for port in spec.containers.iter().flat_map(|container| &container.ports) {
        let mut port = port.clone();
        if spec.host_network && port.host_port == 0 {
            port.host_port = port.container_port;
        }
        if port.host_port > 0 {
            ports.push(port);
        }
    }
    ports
}

/// The part of a node that its resources of this pod would fill, for scores.
pub fn filled(pod: &Seen, node: &Node, place: &Place, of: &str) -> f64 {
    let has = amount(&node.status.allocatable, of).0;
    if has <= 0 {
        return 1.0;
    }
    let used = amount(&place.used, of).0 + amount(&pod.needs, of).0;
    (used as f64 / has as f64).min(1.0)
}
