//! Who runs beside whom: spread, apart and beside, counted once for all nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{Ask, Neighbours, Requirement, Spread};
use super::fit::{Lack, needs_hold, repels};
use super::node::NodeView;
use super::rooms::NodeRoom;

/// What one ask has to know of the others to be placed.
pub(super) struct Around<'a> {
    /// Domains where it may not be, by topology: somebody there and it stay apart.
    apart: BTreeSet<(&'a str, &'a str)>,
    /// For each of its wishes: the domains where such are, or nobody of them is anywhere and it is one.
    beside: Vec<(&'a str, BTreeSet<&'a str>, bool)>,
    spread: Vec<(&'a Spread, BTreeMap<&'a str, u32>, bool)>,
}

impl<'a> Around<'a> {
    /// `strict`: those who already run and stay away from somebody, with their nodes.
    pub(super) fn of(
        ask: &'a Ask,
        nodes: &'a [NodeRoom<'_>],
        strict: &'a [(usize, &'a Ask)],
    ) -> Self {
        let mut around = Self { apart: BTreeSet::new(), beside: Vec::new(), spread: Vec::new() };
        for (index, other) in strict {
            let Some(room) = nodes.get(*index) else { continue };
            let minds = other.apart.iter().filter(|term| term.include(&other.namespace, ask));
            for term in minds {
                around.forbid(term, &room.node);
            }
        }
        if !ask.minds_others() {
            return around;
        }
        for term in &ask.apart {
            for room in
                nodes.iter().filter(|room| room.has(|other| term.include(&ask.namespace, other)))
            {
                around.forbid(term, &room.node);
            }
        }
        for term in &ask.beside {
            let there =
                nodes.iter().filter(|room| room.has(|other| term.include(&ask.namespace, other)));
            let domains: BTreeSet<&str> =
                there.filter_map(|room| domain(&room.node, &term.topology)).collect();
            // The first of those that want to be together.
            let is_first = domains.is_empty() && term.include(&ask.namespace, ask);
            around.beside.push((&term.topology, domains, is_first));
        }
        for spread in &ask.spread {
            let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
            for room in nodes.iter().filter(|room| counts_in(spread, ask, &room.node)) {
                let Some(domain) = domain(&room.node, &spread.topology) else { continue };
                *counts.entry(domain).or_default() += room.count(|other| {
                    other.namespace == ask.namespace && matches(&spread.counts, other)
                });
            }
            around.spread.push((spread, counts, matches(&spread.counts, ask)));
        }
        around
    }

    fn forbid(&mut self, term: &'a Neighbours, node: &'a NodeView) {
        if let Some(domain) = domain(node, &term.topology) {
            self.apart.insert((&term.topology, domain));
        }
    }

    pub(super) fn allows(&self, node: &NodeView) -> Result<(), Lack> {
        let there = |(topology, value): &&(&str, &str)| domain(node, topology) == Some(*value);
        if let Some((topology, _)) = self.apart.iter().find(there) {
            return Err(Lack::Apart { topology: (*topology).to_owned() });
        }
        for (topology, domains, is_first) in &self.beside {
            let fits = domain(node, topology).is_some_and(|at| *is_first || domains.contains(at));
            if !fits {
                return Err(Lack::Beside { topology: (*topology).to_owned() });
            }
        }
        for (spread, counts, counts_itself) in &self.spread {
            let there = domain(node, &spread.topology).and_then(|at| counts.get(at));
            let few = (counts.len() as u32) < spread.least_domains;
            let fewest = if few { 0 } else { counts.values().min().copied().unwrap_or(0) };
            let fits = there.is_some_and(|there| {
                there + u32::from(*counts_itself) <= fewest.saturating_add(spread.most_skew)
            });
            if !fits {
                return Err(Lack::Spread { topology: spread.topology.clone() });
            }
        }
        Ok(())
    }
}

fn domain<'n>(node: &'n NodeView, topology: &str) -> Option<&'n str> {
    node.labels.get(topology).map(String::as_str)
}

/// Is the node one of those over which they are spread?
fn counts_in(spread: &Spread, ask: &Ask, node: &NodeView) -> bool {
    (spread.ignores_needs || needs_hold(ask, node).is_ok())
        && !(spread.honours_taints && node.taints.iter().any(|taint| repels(ask, taint)))
}

fn matches(who: &[Requirement], other: &Ask) -> bool {
    who.iter().all(|requirement| requirement.holds(&other.labels))
}
