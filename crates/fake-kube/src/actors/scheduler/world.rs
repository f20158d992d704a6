//! Nodes and the pods on them, kept up to date by the changes of the API.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::super::{
    needs::{add, needs, take},
    shapes::{Amounts, Key, Labels, Node, Pod},
};

/// A pod that was read.
#[derive(Debug)]
pub struct Seen {
    pub key: Key,
    pub pod: Pod,
    pub needs: Amounts,
    /// Says something about other pods.
    pub has_rules: bool,
}

impl Seen {
    pub fn new(pod: Pod) -> Self {
        let affinity = &pod.spec.affinity;
        let has_rules = [&affinity.pod_affinity, &affinity.pod_anti_affinity]
            .iter()
            .any(|one| !one.required.is_empty() || !one.preferred.is_empty());
        Self { key: pod.key(), needs: needs(&pod.spec), has_rules, pod }
    }
}

/// A node, or the name of one that pods are bound to and that is not there.
#[derive(Clone, Default, Debug)]
pub struct Place {
    pub node: Option<Node>,
    pub pods: BTreeMap<Key, Arc<Seen>>,
    pub used: Amounts,
    /// How many of the pods have rules about others.
    pub ruled: usize,
}

impl Place {
    pub fn put(&mut self, pod: Arc<Seen>) {
        self.take(&pod.key.clone());
        add(&mut self.used, &pod.needs);
        self.ruled += usize::from(pod.has_rules);
        self.pods.insert(pod.key.clone(), pod);
    }

    pub fn take(&mut self, key: &Key) -> Option<Arc<Seen>> {
        let pod = self.pods.remove(key)?;
        take(&mut self.used, &pod.needs);
        self.ruled -= usize::from(pod.has_rules);
        Some(pod)
    }
}

/// What another pod that waits may make of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    Nothing,
    /// A pod is on a node now, or has other labels.
    Came,
    /// Room, or a rule less.
    Left,
}

#[derive(Clone, Default)]
pub struct World {
    places: BTreeMap<String, Arc<Place>>,
    on: HashMap<Key, String>,
    /// Chosen, and the API does not say it yet.
    assumed: HashMap<Key, String>,
    /// Pods that wait for a place that others have to leave.
    pub nominated: BTreeMap<Key, (String, Arc<Seen>)>,
    pub namespaces: BTreeMap<String, Labels>,
}

impl World {
    pub fn nodes(&self) -> impl Iterator<Item = (&Node, &Place)> {
        self.places.values().filter_map(|place| Some((place.node.as_ref()?, &**place)))
    }

    /// All pods, or those on nodes where some have rules about others.
    pub fn pods(&self, all: bool) -> impl Iterator<Item = (&Node, &Arc<Seen>)> {
        let places = self.nodes().filter(move |(_, place)| all || place.ruled > 0);
        places.flat_map(|(node, place)| place.pods.values().map(move |pod| (node, pod)))
    }

    pub fn place(&self, node: &str) -> Option<&Place> {
        self.places.get(node).map(|place| &**place)
    }

    /// Where a pod is, or is about to be.
    pub fn place_of(&self, key: &Key) -> Option<&str> {
        self.on.get(key).map(String::as_str)
    }

    /// For "what if": another state of one node.
    pub fn with(&self, node: &str, place: Place) -> Self {
        let mut other = self.clone();
        other.places.insert(node.into(), Arc::new(place));
        other
    }

    /// Whether it differs in what a decision looks at.
    pub fn set_node(&mut self, mut node: Node) -> bool {
        node.metadata.resource_version.clear();
        node.metadata.annotations.clear();
        node.status.conditions.clear();
        let place = Arc::make_mut(self.places.entry(node.metadata.name.clone()).or_default());
        let differs = place.node.as_ref() != Some(&node);
        place.node = Some(node);
        differs
    }

    pub fn remove_node(&mut self, name: &str) {
        if let Some(place) = self.places.get_mut(name) {
            Arc::make_mut(place).node = None;
        }
    }

    pub fn set_pod(&mut self, pod: &Arc<Seen>) -> News {
        let spec = &pod.pod.spec;
        let node = if spec.node_name.is_empty() {
            self.assumed.get(&pod.key).cloned()
        } else {
            self.assumed.remove(&pod.key);
            Some(spec.node_name.clone())
        };
        match node {
            Some(node) if !pod.pod.is_over() => self.put(pod.clone(), node),
            _ => self.leave(&pod.key),
        }
    }

    fn put(&mut self, pod: Arc<Seen>, node: String) -> News {
        self.nominated.remove(&pod.key);
        let came = self.on.insert(pod.key.clone(), node.clone()).as_ref() != Some(&node);
        let place = Arc::make_mut(self.places.entry(node).or_default());
        let before = place.pods.get(&pod.key);
        let news = match before {
            _ if came => News::Came,
            None => News::Came,
            Some(before) if before.needs != pod.needs => News::Left,
            Some(before) if before.pod.metadata.labels != pod.pod.metadata.labels => News::Came,
            Some(_) => News::Nothing,
        };
        place.put(pod);
        news
    }

    fn leave(&mut self, key: &Key) -> News {
        let place = self.on.remove(key).and_then(|node| self.places.get_mut(&node));
        match place.and_then(|place| Arc::make_mut(place).take(key)) {
            Some(_) => News::Left,
            None => News::Nothing,
        }
    }

    pub fn remove_pod(&mut self, key: &Key) -> News {
        self.assumed.remove(key);
        self.nominated.remove(key);
        self.leave(key)
    }

    pub fn assume(&mut self, pod: &Arc<Seen>, node: &str) -> News {
        self.assumed.insert(pod.key.clone(), node.into());
        self.put(pod.clone(), node.into())
    }

    pub fn forget(&mut self, key: &Key) {
        if self.assumed.remove(key).is_some() {
            self.leave(key);
        }
    }
}
