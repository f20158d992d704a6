//! Who runs beside whom: spread, apart and beside, counted once for all nodes.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::ask::{Ask, Labels, Neighbours, Requirement, Spread};
use super::fit::{Lack, needs_hold, repels};
use super::node::NodeView;
use super::rooms::{HashMap, NodeRoom};

/// A namespace, and labels in it.
type Kind<'w> = (&'w str, &'w Labels);

/// Who runs where, as far as those look who care about it. Most have the labels of many others.
#[derive(Clone, Default)]
pub(super) struct Others<'w> {
    /// Those who stay away from somebody: whom, and on which nodes they are.
    strict: HashMap<(&'w str, &'w Neighbours), Vec<usize>>,
    /// The nodes of everybody, by namespace and labels; nobody may have asked yet.
    kinds: OnceCell<HashMap<Kind<'w>, Vec<usize>>>,
}

impl<'w> Others<'w> {
    pub(super) fn come(&mut self, index: usize, ask: &'w Ask) {
        for term in &ask.apart {
            self.strict.entry((&ask.namespace, term)).or_default().push(index);
        }
        if let Some(kinds) = self.kinds.get_mut() {
            kinds.entry((&ask.namespace, &ask.labels)).or_default().push(index);
        }
    }

    pub(super) fn go(&mut self, index: usize, asks: impl IntoIterator<Item = &'w Ask>) {
        let leave = |nodes: Option<&mut Vec<usize>>| {
            if let Some(nodes) = nodes
                && let Some(at) = nodes.iter().rposition(|it| *it == index)
            {
                nodes.swap_remove(at);
            }
        };
        for ask in asks {
            for term in &ask.apart {
                leave(self.strict.get_mut(&(&*ask.namespace, term)));
            }
            let kinds = self.kinds.get_mut();
            leave(kinds.and_then(|kinds| kinds.get_mut(&(&*ask.namespace, &ask.labels))));
        }
    }

    /// On which nodes those are for whom this holds; a node comes once for each of them.
    fn like<'a>(
        &'a self,
        nodes: &'a [NodeRoom<'w>],
        is_so: impl Fn(&str, &Labels) -> bool + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        let kinds = self.kinds.get_or_init(|| {
            let mut others = Self { kinds: OnceCell::from(HashMap::default()), ..Self::default() };
            for (index, room) in nodes.iter().enumerate() {
                for holder in room.holders() {
                    others.come(index, holder.ask);
                }
            }
            others.kinds.into_inner().unwrap_or_default()
        });
        let their = kinds.iter().filter(move |((namespace, labels), _)| is_so(namespace, labels));
        their.flat_map(|(_, nodes)| nodes.iter().copied())
    }
}

/// What one ask has to know of the others to be placed.
pub(super) struct Around<'a> {
    /// Domains where it may not be, by topology: somebody there and it stay apart.
    apart: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// For each of its wishes: the domains where such are, or nobody of them is anywhere and it is one.
    beside: Vec<(&'a str, BTreeSet<&'a str>, bool)>,
    spread: Vec<(&'a Spread, BTreeMap<&'a str, u32>, bool)>,
}

impl<'a> Around<'a> {
    pub(super) fn of<'w>(ask: &'a Ask, nodes: &'a [NodeRoom<'w>], others: &'a Others<'w>) -> Self {
        let mut around = Self { apart: BTreeMap::new(), beside: Vec::new(), spread: Vec::new() };
        for ((namespace, term), at) in &others.strict {
            if !at.is_empty() && term.include(namespace, &ask.namespace, &ask.labels) {
                for room in at.iter().filter_map(|index| nodes.get(*index)) {
                    around.forbid(term, &room.node);
                }
            }
        }
        if !ask.minds_others() {
            return around;
        }
        let like = |term: &'a Neighbours| {
            let include =
                |namespace: &str, labels: &Labels| term.include(&ask.namespace, namespace, labels);
            others.like(nodes, include).map(|index| &*nodes[index].node)
        };
        for term in &ask.apart {
            for node in like(term) {
                around.forbid(term, node);
            }
        }
        for term in &ask.beside {
            let domains: BTreeSet<&str> =
                like(term).filter_map(|node| domain(node, &term.topology)).collect();
            // The first of those that want to be together.
            let is_first =
                domains.is_empty() && term.include(&ask.namespace, &ask.namespace, &ask.labels);
            around.beside.push((&term.topology, domains, is_first));
        }
        for spread in &ask.spread {
            let mut on_node = vec![0u32; nodes.len()];
            let counts = |namespace: &str, labels: &Labels| {
                namespace == ask.namespace && matches(&spread.counts, labels)
            };
            for index in others.like(nodes, counts) {
                on_node[index] += 1;
            }
            let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
            for (room, there) in nodes.iter().zip(on_node) {
                let Some(domain) = domain(&room.node, &spread.topology) else { continue };
                if counts_in(spread, ask, &room.node) {
                    *counts.entry(domain).or_default() += there;
                }
            }
            around.spread.push((spread, counts, matches(&spread.counts, &ask.labels)));
        }
        around
    }

    fn forbid(&mut self, term: &'a Neighbours, node: &'a NodeView) {
        if let Some(domain) = domain(node, &term.topology) {
            self.apart.entry(&term.topology).or_default().insert(domain);
        }
    }

    pub(super) fn allows(&self, node: &NodeView) -> Result<(), Lack> {
        let there = |(topology, domains): &(&&str, &BTreeSet<&str>)| {
            domain(node, topology).is_some_and(|domain| domains.contains(domain))
        };
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

fn matches(who: &[Requirement], labels: &Labels) -> bool {
    who.iter().all(|requirement| requirement.holds(labels))
}
