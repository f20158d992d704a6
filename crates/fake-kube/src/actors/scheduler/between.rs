//! Rules between pods: affinity, anti-affinity (also that of pods that run) and spread.
//! They are counted once for a pod and then asked for every node.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::shapes::{Labels, Node, Pod, PodTerm, Requirement, Selector, Spread},
    filter::{is_wanted, untolerated},
    world::{Seen, World},
};

type Domain = (String, String);

#[derive(Default)]
pub struct Between {
    /// Where a pod that runs does not want this one.
    unwanted: BTreeSet<Domain>,
    /// Pods that meet every affinity term of this one, by each term's domain.
    friends: BTreeMap<Domain, i64>,
    affinity: Vec<String>,
    is_first: bool,
    /// Pods that meet an anti-affinity term of this one.
    foes: BTreeSet<Domain>,
    anti: Vec<String>,
    spread: Vec<Counted>,
    /// What nodes are worth for the preferred terms, of either side.
    liked: BTreeMap<Domain, i64>,
}

struct Counted {
    key: String,
    skew: i64,
    itself: i64,
    is_required: bool,
    /// Pods in each domain that could take this pod.
    pods: BTreeMap<String, i64>,
    least: i64,
}

impl Between {
    pub fn new(world: &World, pod: &Seen) -> Self {
        let mut between = Self::default();
        between.count_affinity(world, &pod.pod, pod.has_rules);
        let constraints = &pod.pod.spec.topology_spread_constraints;
        between.spread =
            constraints.iter().map(|one| counted(one, constraints, world, &pod.pod)).collect();
        between
    }

    fn count_affinity(&mut self, world: &World, pod: &Pod, has_rules: bool) {
        let rules = &pod.spec.affinity;
        let (wanted, anti) = (&rules.pod_affinity, &rules.pod_anti_affinity);
        for (node, other) in world.pods(has_rules) {
            let theirs = &other.pod.spec.affinity;
            if !has_rules && !other.has_rules {
                continue;
            }
            for term in &theirs.pod_anti_affinity.required {
                if meets(term, &other.pod, pod, world) {
                    self.unwanted.extend(domain(node, &term.topology_key));
                }
            }
            if !wanted.required.is_empty()
                && wanted.required.iter().all(|term| meets(term, pod, &other.pod, world))
            {
                for term in &wanted.required {
                    if let Some(at) = domain(node, &term.topology_key) {
                        *self.friends.entry(at).or_default() += 1;
                    }
                }
            }
            for term in &anti.required {
                if meets(term, pod, &other.pod, world) {
                    self.foes.extend(domain(node, &term.topology_key));
                }
            }
            let ours = [(&wanted.preferred, 1), (&anti.preferred, -1)].into_iter();
            let ours = ours.map(|(terms, sign)| (terms, sign, pod, &other.pod));
            let other_side =
                [(&theirs.pod_affinity.preferred, 1), (&theirs.pod_anti_affinity.preferred, -1)];
            let other_side =
                other_side.into_iter().map(|(terms, sign)| (terms, sign, &other.pod, pod));
            for (terms, sign, whose, about) in ours.chain(other_side) {
                for one in terms {
                    let term = &one.pod_affinity_term;
                    if meets(term, whose, about, world)
                        && let Some(at) = domain(node, &term.topology_key)
                    {
                        *self.liked.entry(at).or_default() += sign * one.weight;
                    }
                }
            }
        }
        let keys = |terms: &[PodTerm]| terms.iter().map(|term| term.topology_key.clone()).collect();
        self.affinity = keys(&wanted.required);
        self.anti = keys(&anti.required);
        self.is_first = self.friends.is_empty()
            && wanted.required.iter().all(|term| meets(term, pod, pod, world));
    }

    /// The reason, and whether no pod that leaves could change it.
    pub fn check(&self, node: &Node) -> Result<(), (&'static str, bool)> {
        for one in self.spread.iter().filter(|one| one.is_required) {
            let Some(value) = node.metadata.labels.get(&one.key) else {
                let missing = "node(s) didn't match pod topology spread constraints \
                     (missing required label)";
                return Err((missing, true));
            };
            let pods = one.pods.get(value).copied().unwrap_or_default();
            if pods + one.itself - one.least > one.skew {
                return Err(("node(s) didn't match pod topology spread constraints", false));
            }
        }
        let at = |key: &String| domain(node, key);
        let has_friends = |key: &String| {
            at(key).is_some_and(|at| self.is_first || self.friends.contains_key(&at))
        };
        if !self.affinity.iter().all(has_friends) {
            return Err(("node(s) didn't match pod affinity rules", true));
        }
        if self.anti.iter().any(|key| at(key).is_some_and(|at| self.foes.contains(&at))) {
            return Err(("node(s) didn't match pod anti-affinity rules", false));
        }
        let here = |(key, value): &Domain| node.metadata.labels.get(key) == Some(value);
        if self.unwanted.iter().any(here) {
            return Err(("node(s) didn't satisfy existing pods anti-affinity rules", false));
        }
        Ok(())
    }

    pub fn liking(&self, node: &Node) -> i64 {
        let here = |(key, value): &Domain| node.metadata.labels.get(key) == Some(value);
        self.liked.iter().filter(|(at, _)| here(at)).map(|(_, weight)| weight).sum()
    }

    /// Pods in the domains of this node, of the constraints that are only preferred.
    pub fn crowd(&self, node: &Node) -> i64 {
        let pods = |one: &Counted| {
            let value = node.metadata.labels.get(&one.key)?;
            one.pods.get(value).copied()
        };
        self.spread.iter().filter(|one| !one.is_required).filter_map(pods).sum()
    }
}

fn domain(node: &Node, key: &str) -> Option<Domain> {
    node.metadata.labels.get(key).map(|value| (key.to_owned(), value.clone()))
}

/// Whether a term of pod `whose` speaks about pod `about`.
fn meets(term: &PodTerm, whose: &Pod, about: &Pod, world: &World) -> bool {
    let namespace = &about.metadata.namespace;
    let in_reach = if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        *namespace == whose.metadata.namespace
    } else {
        let none = Labels::new();
        let labels = world.namespaces.get(namespace).unwrap_or(&none);
        term.namespaces.contains(namespace)
            || term.namespace_selector.as_ref().is_some_and(|selector| selector.matches(labels))
    };
    in_reach
        && selects(term.label_selector.as_ref(), &term.match_label_keys, whose, about)
        && same_labels(&term.mismatch_label_keys, "NotIn", whose, about)
}

/// No selector matches nothing, an empty one everything.
fn selects(selector: Option<&Selector>, keys: &[String], whose: &Pod, about: &Pod) -> bool {
    selector.is_some_and(|selector| selector.matches(&about.metadata.labels))
        && same_labels(keys, "In", whose, about)
}

/// `matchLabelKeys`: the value that the pod itself has; a key that it lacks says nothing.
fn same_labels(keys: &[String], operator: &str, whose: &Pod, about: &Pod) -> bool {
    keys.iter().all(|key| {
        let Some(value) = whose.metadata.labels.get(key) else { return true };
        let (operator, values) = (operator.into(), vec![value.clone()]);
        Requirement { key: key.clone(), operator, values }.matches(about.metadata.labels.get(key))
    })
}

fn counted(one: &Spread, all: &[Spread], world: &World, pod: &Pod) -> Counted {
    let selected = |other: &Pod| {
        let selector = one.label_selector.as_ref();
        other.metadata.namespace == pod.metadata.namespace
            && selects(selector, &one.match_label_keys, pod, other)
    };
    let mut pods = BTreeMap::new();
    for (node, place) in world.nodes() {
        let has_all = all
            .iter()
            .filter(|other| other.when_unsatisfiable == one.when_unsatisfiable)
            .all(|other| node.metadata.labels.contains_key(&other.topology_key));
        let ignores_affinity = one.node_affinity_policy.as_deref() == Some("Ignore");
        let honours_taints = one.node_taints_policy.as_deref() == Some("Honor");
        if !has_all
            || !ignores_affinity && !is_wanted(pod, node)
            || honours_taints && untolerated(node, &pod.spec.tolerations).is_some()
        {
            continue;
        }
        let here =
            place.pods.values().filter(|other| !other.pod.is_going() && selected(&other.pod));
        let value = node.metadata.labels[&one.topology_key].clone();
        *pods.entry(value).or_default() += here.count() as i64;
    }
    let too_few = pods.len() < one.min_domains.unwrap_or(1);
    Counted {
        key: one.topology_key.clone(),
        skew: one.max_skew,
        itself: i64::from(selected(pod)),
        is_required: one.when_unsatisfiable != "ScheduleAnyway",
        least: if too_few { 0 } else { pods.values().copied().min().unwrap_or_default() },
        pods,
    }
}
