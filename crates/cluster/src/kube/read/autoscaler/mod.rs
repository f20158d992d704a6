//! What those say who make nodes: words for people. Nothing is decided by them.

mod status;

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::core::v1::{Event, Node};

use super::events::reporter;
use super::pod::short;

pub use status::{GroupStatus, groups};

/// Where the Cluster Autoscaler says how it is.
pub const STATUS_MAP: (&str, &str) = ("kube-system", "cluster-autoscaler-status");

/// Most groups and reasons that are named in one line.
const NAMED: usize = 5;

/// Who makes nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Autoscaler {
    ClusterAutoscaler,
    Karpenter,
}

/// What one of them said of a pod or a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    pub who: Autoscaler,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Groups become larger for it.
    ScalesUp(Vec<Growth>),
    /// No group does; of so many groups for this reason.
    DoesNotScaleUp(Vec<Refused>),
    /// It shall run there: a node, or the claim for one.
    Nominated(String),
    /// No pool can have it.
    NoPool(Vec<Refused>),
    /// The node goes.
    TakesNode,
    TakesNodeFailed(String),
}

/// A group that becomes larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    pub group: String,
    pub from: u32,
    pub to: u32,
}

/// Why something does not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many groups, or the name of the pool.
    pub of: String,
    pub why: String,
}

/// Which of them are there: by what they leave on nodes, what they said, and whether the one says how it is.
pub fn present<'a>(
    nodes: impl IntoIterator<Item = &'a Node>,
    events: impl IntoIterator<Item = &'a Event>,
    has_status_map: bool,
) -> BTreeSet<Autoscaler> {
    let mut found = BTreeSet::new();
    if has_status_map {
        found.insert(Autoscaler::ClusterAutoscaler);
    }
    for node in nodes {
        let labels = node.metadata.labels.iter().flatten().map(|(key, _)| key.as_str());
        let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
        for key in labels.chain(taints.map(|taint| taint.key.as_str())) {
            if key.starts_with("karpenter.sh/") {
                found.insert(Autoscaler::Karpenter);
            } else if key.ends_with("OfClusterAutoscaler") || key.ends_with("ByClusterAutoscaler") {
                found.insert(Autoscaler::ClusterAutoscaler);
            }
        }
    }
    found.extend(events.into_iter().filter_map(|event| Some(says(event)?.who)));
    found
}

/// What it says, if the event is of one of them.
pub fn says(event: &Event) -> Option<Says> {
    let message = event.message.as_deref().unwrap_or_default();
    let by = reporter(event);
    let is_karpenter = by.contains("karpenter");
    // Managed ones have names of their own, and the reasons of the Cluster Autoscaler.
    let what = match (event.reason.as_deref()?, is_karpenter) {
        ("TriggeredScaleUp", false) => What::ScalesUp(growths(message)),
        ("NotTriggerScaleUp", false) => What::DoesNotScaleUp(counted(message)),
        ("ScaleDown" | "ScaleDownEmpty", false) => What::TakesNode,
        ("ScaleDownFailed", false) => What::TakesNodeFailed(short(message)),
        ("Nominated", true) => {
            let place = message.split_once(": ").map_or(message, |(_, place)| place);
            What::Nominated(short(place))
        }
        ("FailedScheduling", true) => What::NoPool(pools(message)),
        ("DisruptionTerminating", true) => What::TakesNode,
        _ => return None,
    };
    let who = if is_karpenter { Autoscaler::Karpenter } else { Autoscaler::ClusterAutoscaler };
    Some(Says { who, what })
}

/// The line that is shown: what was said last.
pub fn line<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<String> {
    let said =
        events.into_iter().filter_map(|it| Some((super::events::event(it).last_at, says(it)?)));
    said.max_by_key(|(at, _)| *at).map(|(_, says)| says.to_string())
}

/// `pod triggered scale-up: [{gpu-a 0->1 (max: 4)} {gpu-b 1->2 (max: 4)}]`
fn growths(message: &str) -> Vec<Growth> {
    let parts = message.split('{').skip(1).filter_map(|part| part.split('}').next());
    let growth = parts.filter_map(|part| {
        let part = part.split(" (max").next()?;
        let (group, sizes) = part.rsplit_once(' ')?;
        let (from, to) = sizes.split_once("->")?;
        Some(Growth { group: short(group), from: from.parse().ok()?, to: to.parse().ok()? })
    });
    growth.collect()
}

/// `pod didn't trigger scale-up: 2 Insufficient nvidia.com/gpu, 1 max node group size reached`
fn counted(message: &str) -> Vec<Refused> {
    let Some((_, rest)) = message.split_once(": ") else { return Vec::new() };
    let mut all: Vec<Refused> = Vec::new();
    for part in rest.trim().split(", ") {
        let counted = part.split_once(' ').filter(|(of, _)| of.parse::<u32>().is_ok());
        match (counted, all.last_mut()) {
            (Some((of, why)), _) => all.push(Refused { of: of.to_owned(), why: short(why) }),
            (None, Some(last)) => last.why = short(&format!("{}, {part}", last.why)),
            (None, None) => {}
        }
    }
    all
}

/// `Failed to schedule pod, incompatible with nodepool "gpu", daemonset overhead={..}, no instance type ..; ..`
fn pools(message: &str) -> Vec<Refused> {
    let refused = message.split("; ").filter_map(|part| {
        let (_, named) = part.split_once("nodepool ").or_else(|| part.split_once("nodepool: "))?;
        let (pool, rest) = named.strip_prefix('"')?.split_once('"')?;
        let rest = rest.trim_start_matches([',', ' ']);
        let why = match rest.strip_prefix("daemonset overhead={") {
            Some(overhead) => overhead.split_once("}, ").map_or(overhead, |(_, why)| why),
            None => rest,
        };
        // What stands before the pool's name says why if nothing does after it.
        let why = if why.is_empty() { part.split(" nodepool").next()? } else { why };
        Some(Refused { of: short(pool), why: short(why) })
    });
    refused.collect()
}

impl fmt::Display for Autoscaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterAutoscaler => "Cluster Autoscaler",
            Self::Karpenter => "Karpenter",
        })
    }
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, what } = self;
        match what {
            What::ScalesUp(groups) if groups.is_empty() => write!(f, "{who} makes a node for it"),
            What::ScalesUp(groups) => {
                let one = |it: &Growth| format!("{} from {} to {} nodes", it.group, it.from, it.to);
                write!(f, "{who} makes nodes for it: {}", some(groups, one))
            }
            What::DoesNotScaleUp(reasons) if reasons.is_empty() => {
                write!(f, "{who} makes no node for it, and does not say why")
            }
            What::DoesNotScaleUp(reasons) => {
                let one = |it: &Refused| {
                    let s = if it.of == "1" { "" } else { "s" };
                    format!("{} group{s}: {}", it.of, it.why)
                };
                write!(f, "{who} makes no node for it; {}", some(reasons, one))
            }
            What::Nominated(place) => write!(f, "{who} has a place for it: {place}"),
            What::NoPool(pools) if pools.is_empty() => write!(f, "{who} can make no node for it"),
            What::NoPool(pools) => {
                let one = |it: &Refused| format!("{}: {}", it.of, it.why);
                write!(f, "{who} can make no node for it; {}", some(pools, one))
            }
            What::TakesNode => write!(f, "{who} takes the node away"),
            What::TakesNodeFailed(why) => write!(f, "{who} could not take the node away: {why}"),
        }
    }
}

fn some<T>(all: &[T], one: impl Fn(&T) -> String) -> String {
    let mut texts: Vec<String> = all.iter().take(NAMED).map(one).collect();
    if all.len() > NAMED {
        texts.push(format!("{} more", all.len() - NAMED));
    }
    texts.join(", ")
}
