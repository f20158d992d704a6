//! What something that runs asks of its node, in the words of the Kubernetes scheduler.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Taint;
use super::node::Effect;
use crate::Amounts;
use crate::ModelId;

pub type Labels = BTreeMap<String, String>;

/// What an instance, or a pod of somebody else, asks of the node that it runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ask {
    pub amounts: Amounts,
    /// Where it runs by its own namespace and labels, that others stay away from or come to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// The folder that has to be on the node, in this version: hubs read folders of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<Folder>,
    /// What all has to hold of the node's labels; also where its volumes are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Requirement>,
    /// One of these has to hold as a whole, if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_one_of: Vec<Vec<Requirement>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerates: Vec<Toleration>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<Spread>,
    /// Whom it runs apart from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Neighbours>,
    /// Whom it runs beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Neighbours>,
    /// Of the node itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    pub priority: i32,
    /// What it asks for and Muster does not understand, such as resource claims: whether it fits is not
    /// known, so it never does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_understood: Vec<String>,
}

/// A version of a model's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    pub model: ModelId,
    pub version: String,
}

/// A condition on labels: of a node, or of what runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// A label's name; [`NODE_NAME`] is the node's own name.
    pub key: String,
    #[serde(flatten)]
    pub is: Condition,
}

/// The key of a requirement on the name of a node.
pub const NODE_NAME: &str = "metadata.name";

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "operator", content = "values")]
pub enum Condition {
    In(Vec<String>),
    /// Also if there is no such label.
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

/// A taint that it does not mind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Toleration {
    /// Every key if there is none.
    pub key: Option<String>,
    /// Every value if there is none.
    pub value: Option<String>,
    /// Every effect if there is none.
    pub effect: Option<Effect>,
}

/// Those that it counts are spread over the domains of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The label whose values are the domains.
    pub topology: String,
    /// How many more than the domain with the fewest each may have.
    pub most_skew: u32,
    /// With fewer domains than this, the fewest is taken for zero.
    #[serde(default)]
    pub least_domains: u32,
    /// Whom it counts, of its own namespace.
    pub counts: Vec<Requirement>,
    /// Nodes count whether its own needs hold of them or not.
    #[serde(default)]
    pub ignores_needs: bool,
    /// Nodes whose taints it does not tolerate do not count.
    #[serde(default)]
    pub honours_taints: bool,
}

/// Who runs in the same domain of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Neighbours {
    pub topology: String,
    /// Its own if there are none.
    #[serde(default)]
    pub namespaces: Vec<String>,
    pub who: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub protocol: String,
    pub port: u16,
    /// All of the node's addresses if there is none.
    #[serde(default)]
    pub address: Option<IpAddr>,
}

impl Ask {
    /// Does it have to be looked who else runs where?
    pub fn minds_others(&self) -> bool {
        !(self.spread.is_empty() && self.apart.is_empty() && self.beside.is_empty())
    }

    pub(super) fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerates.iter().any(|toleration| toleration.covers(taint))
    }
}

impl Requirement {
    pub fn holds(&self, labels: &Labels) -> bool {
        self.is.holds(labels.get(&self.key).map(String::as_str))
    }
}

impl Condition {
    pub fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::Exists => value.is_some(),
            Self::DoesNotExist => value.is_none(),
            Self::GreaterThan(than) => number().is_some_and(|number| number > *than),
            Self::LessThan(than) => number().is_some_and(|number| number < *than),
        }
    }
}

impl Toleration {
    fn covers(&self, taint: &Taint) -> bool {
        let all = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        all(self.key.as_deref(), &taint.key)
            && all(self.value.as_deref(), &taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

impl Neighbours {
    /// Is one of this namespace and these labels one of them, for somebody of the first namespace?
    pub(super) fn include(&self, of: &str, namespace: &str, labels: &Labels) -> bool {
        let there = match self.namespaces.is_empty() {
            true => namespace == of,
            false => self.namespaces.iter().any(|its| its == namespace),
        };
        there && self.who.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Port {
    pub(super) fn collides(&self, other: &Self) -> bool {
        let apart = matches!((self.address, other.address), (Some(a), Some(b)) if a != b);
        self.port == other.port && self.protocol == other.protocol && !apart
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.is {
            Condition::In(values) => write!(f, "{key} is {}", values.join(" or ")),
            Condition::NotIn(values) => write!(f, "{key} is not {}", values.join(" or ")),
            Condition::Exists => write!(f, "{key} is there"),
            Condition::DoesNotExist => write!(f, "{key} is not there"),
            Condition::GreaterThan(than) => write!(f, "{key} is greater than {than}"),
            Condition::LessThan(than) => write!(f, "{key} is less than {than}"),
        }
    }
}
