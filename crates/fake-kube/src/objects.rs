//! What is stored: in memory, under one lock, with one version that grows with each write. What was stored
//! before can be asked for as long as the history reaches.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use crate::{Resource, Status};

/// How many changes those who take [`Objects::changes`] may be behind.
const BEHIND: usize = 16_384;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    Added,
    Modified,
    Deleted,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Change {
    pub of: Resource,
    pub kind: Happened,
    /// As it is now; of a deleted one, its last state at the version of its end.
    pub object: Arc<Value>,
    pub before: Option<Arc<Value>>,
}

impl Change {
    pub fn version(&self) -> u64 {
        version(&self.object)
    }
}

/// Namespace (empty of the cluster's) and name.
pub(crate) type Key = (String, String);

#[derive(Clone)]
pub struct Objects(Arc<Shared>);

struct Shared {
    stored: Mutex<Stored>,
    changes: broadcast::Sender<Change>,
    /// The version, for those who wait for the next.
    version: watch::Sender<u64>,
}

struct Stored {
    version: u64,
    all: HashMap<Resource, BTreeMap<Key, Arc<Value>>>,
    /// Ascending; those after `forgotten`.
    history: VecDeque<Change>,
    /// Changes up to this version are no longer known.
    forgotten: u64,
    reach: usize,
}

impl Objects {
    /// `reach` is how many changes are remembered.
    pub fn new(reach: usize) -> Self {
        // Versions of a cluster that has lived: 1 is a version that can be too old.
        let stored = Stored {
            version: 100,
            all: HashMap::new(),
            history: VecDeque::new(),
            forgotten: 100,
            reach,
        };
        Self(Arc::new(Shared {
            stored: Mutex::new(stored),
            changes: broadcast::channel(BEHIND).0,
            version: watch::channel(100).0,
        }))
    }

    /// Stores a new object, with its uid, time, version and (for `generateName`) name.
    pub fn create(&self, of: &Resource, object: Value) -> Result<Arc<Value>, Status> {
        self.create_if(of, object, false, |_, _| Ok(()))
    }

    /// The same if `may` allows it; nothing is written between its look and the write. `dry`: all but the write.
    pub(crate) fn create_if(
        &self,
        of: &Resource,
        mut object: Value,
        dry: bool,
        may: impl FnOnce(&View<'_>, &Value) -> Result<(), Status>,
    ) -> Result<Arc<Value>, Status> {
        let mut stored = self.lock();
        name(&mut object);
        let key = key(&object);
        may(&View(&stored), &object)?;
        if stored.all.get(of).is_some_and(|all| all.contains_key(&key)) {
            return Err(Status::already_exists(of, &key.1));
        }
        let meta = meta(&mut object);
        meta.insert("uid".to_owned(), json!(uid()));
        meta.insert("creationTimestamp".to_owned(), json!(now()));
        if dry {
            return Ok(Arc::new(object));
        }
        Ok(self.put(&mut stored, of, object))
    }

    pub fn get(&self, of: &Resource, namespace: Option<&str>, name: &str) -> Option<Arc<Value>> {
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        self.lock().all.get(of)?.get(&key).cloned()
    }

    /// All of a kind, by namespace and name, and the version that this is.
    pub fn list(&self, of: &Resource) -> (u64, Vec<Arc<Value>>) {
        let stored = self.lock();
        let all = stored.all.get(of).map(|all| all.values().cloned().collect());
        (stored.version, all.unwrap_or_default())
    }

    /// The same as it was at an older version; [`None`] if that is forgotten.
    pub fn list_at(&self, of: &Resource, version: u64) -> Option<Vec<Arc<Value>>> {
        let stored = self.lock();
        if version < stored.forgotten {
            return None;
        }
        let mut all = stored.all.get(of).cloned().unwrap_or_default();
        let since = stored.history.iter().rev().take_while(|change| change.version() > version);
        for change in since.filter(|change| change.of == *of) {
            let key = key(&change.object);
            match &change.before {
                Some(before) => all.insert(key, Arc::clone(before)),
                None => all.remove(&key),
            };
        }
        Some(all.into_values().collect())
    }

    /// Changes an object. Where that changes nothing, nothing is written. An object that waits for its end goes
    /// when its last finalizer has.
    pub fn change(
        &self,
        of: &Resource,
        namespace: Option<&str>,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, Status> {
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        self.try_change(of, key, false, |object, _| {
            change(object);
            Ok(())
        })
    }

    /// The same with a change that may be refused, and that sees all else at that moment. `dry`: all but the write.
    pub(crate) fn try_change(
        &self,
        of: &Resource,
        key: Key,
        dry: bool,
        change: impl FnOnce(&mut Value, &View<'_>) -> Result<(), Status>,
    ) -> Result<Arc<Value>, Status> {
        let mut stored = self.lock();
        let before = stored.all.get(of).and_then(|all| all.get(&key)).cloned();
        let Some(before) = before else { return Err(Status::not_found(of, &key.1)) };
        let mut object = Value::clone(&before);
        change(&mut object, &View(&stored))?;
        if object == *before {
            return Ok(before);
        }
        if dry {
            return Ok(Arc::new(object));
        }
        if is_over(&object) {
            return Ok(self.take(&mut stored, of, &key, object));
        }
        Ok(self.put(&mut stored, of, object))
    }

    /// Ends an object for good, without grace: what a kubelet does at the end. One with finalizers goes when they
    /// have gone.
    pub fn remove(&self, of: &Resource, namespace: Option<&str>, name: &str) -> Option<Arc<Value>> {
        let mut stored = self.lock();
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        let mut object = Value::clone(stored.all.get(of)?.get(&key)?);
        let meta = meta(&mut object);
        meta.entry("deletionTimestamp").or_insert_with(|| json!(now()));
        meta.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        if is_over(&object) {
            return Some(self.take(&mut stored, of, &key, object));
        }
        Some(self.put(&mut stored, of, object))
    }

    /// Every write from now on, in order.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.0.changes.subscribe()
    }

    /// The latest version, and a wait for the next.
    pub(crate) fn version(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// What was written to a kind after a version, and up to which version that is; [`None`] if the history does
    /// not reach so far.
    pub(crate) fn since(&self, of: &Resource, version: u64) -> Option<(u64, Vec<Change>)> {
        let stored = self.lock();
        if version < stored.forgotten {
            return None;
        }
        let from = stored.history.partition_point(|change| change.version() <= version);
        let changes = stored.history.range(from..).filter(|change| change.of == *of);
        Some((stored.version, changes.cloned().collect()))
    }

    /// Forgets all that was, as a compaction does: watches and lists of older versions have expired.
    pub fn compact(&self) {
        let mut stored = self.lock();
        stored.forgotten = stored.version;
        stored.history.clear();
    }

    /// Whether there ever was one of the kind.
    pub(crate) fn knows(&self, of: &Resource) -> bool {
        self.lock().all.contains_key(of)
    }

    /// Looks at several kinds at one moment.
    pub(crate) fn view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        look(&View(&self.lock()))
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        // A closure that panicked has written nothing.
        self.0.stored.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn put(&self, stored: &mut Stored, of: &Resource, mut object: Value) -> Arc<Value> {
        stored.version += 1;
        meta(&mut object).insert("resourceVersion".into(), json!(stored.version.to_string()));
        let object = Arc::new(object);
        let all = stored.all.entry(of.clone()).or_default();
        let before = all.insert(key(&object), Arc::clone(&object));
        let kind = if before.is_some() { Happened::Modified } else { Happened::Added };
        self.tell(stored, Change { of: of.clone(), kind, object: Arc::clone(&object), before });
        object
    }

    fn take(&self, stored: &mut Stored, of: &Resource, key: &Key, mut object: Value) -> Arc<Value> {
        let before = stored.all.get_mut(of).and_then(|all| all.remove(key));
        stored.version += 1;
        meta(&mut object).insert("resourceVersion".into(), json!(stored.version.to_string()));
        let object = Arc::new(object);
        let kind = Happened::Deleted;
        self.tell(stored, Change { of: of.clone(), kind, object: Arc::clone(&object), before });
        object
    }

    fn tell(&self, stored: &mut Stored, change: Change) {
        stored.history.push_back(change.clone());
        stored.trim();
        self.0.version.send_replace(stored.version);
        // Nobody may be listening.
        drop(self.0.changes.send(change));
    }
}

impl Stored {
    fn trim(&mut self) {
        while self.history.len() > self.reach {
            let Some(oldest) = self.history.pop_front() else { return };
            self.forgotten = oldest.version();
        }
    }
}

/// All that is stored, at one moment.
pub(crate) struct View<'a>(&'a Stored);

impl View<'_> {
    pub fn get(&self, of: &Resource, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.0.all.get(of)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub fn all(&self, of: &Resource) -> impl Iterator<Item = &Arc<Value>> {
        self.0.all.get(of).into_iter().flat_map(BTreeMap::values)
    }

    pub fn within(&self, of: &Resource, namespace: &str) -> impl Iterator<Item = &Arc<Value>> {
        let first = (namespace.to_owned(), String::new());
        let all = self.0.all.get(of).map(|all| all.range(first..));
        let all = all.into_iter().flatten().take_while(move |(key, _)| key.0 == namespace);
        all.map(|(_, object)| object)
    }

    pub fn kinds(&self) -> impl Iterator<Item = &Resource> {
        self.0.all.keys()
    }
}

/// Whether nothing holds an object back whose end was asked for: no finalizer, no grace.
pub(crate) fn is_over(object: &Value) -> bool {
    let meta = &object["metadata"];
    let asked = meta["deletionTimestamp"].is_string();
    let grace = meta["deletionGracePeriodSeconds"].as_u64().unwrap_or(0);
    let held = meta["finalizers"].as_array().is_some_and(|all| !all.is_empty());
    let content = object["spec"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
    asked && grace == 0 && !held && !content
}

/// `generateName` with five letters more, as long as there is no name.
fn name(object: &mut Value) {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let meta = meta(object);
    if meta.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty()) {
        return;
    }
    let Some(start) = meta.get("generateName").and_then(Value::as_str) else { return };
    let start: String = start.chars().take(58).collect();
    let id = uuid_bytes();
    let end: String = id[11..]
        .iter()
        .map(|&byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]))
        .collect();
    meta.insert("name".to_owned(), json!(format!("{start}{end}")));
}

/// The metadata, which is there afterwards.
pub(crate) fn meta(object: &mut Value) -> &mut serde_json::Map<String, Value> {
    let meta = &mut object["metadata"];
    if !meta.is_object() {
        *meta = json!({});
    }
    meta.as_object_mut().expect("an object, as just seen to")
}

/// The items of a list, if there is one.
pub(crate) fn items<'a>(object: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

pub(crate) fn key(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// The version that an object has; 0 without one.
pub(crate) fn version(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[expect(clippy::disallowed_methods, reason = "ids of a cluster, not of Muster")]
fn uuid_bytes() -> [u8; 16] {
    uuid::Uuid::now_v7().into_bytes()
}

pub(crate) fn uid() -> String {
    uuid::Uuid::from_bytes(uuid_bytes()).to_string()
}

/// In whole seconds, as the API has it.
pub(crate) fn now() -> String {
    seconds(jiff::Timestamp::now())
}

pub(crate) fn seconds(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Value {
        json!({ "metadata": { "namespace": "a", "name": name }, "spec": {} })
    }

    fn names(of: &[Arc<Value>]) -> Vec<&str> {
        of.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect()
    }

    #[test]
    fn what_is_created_has_a_uid_a_time_and_a_version_and_its_name_is_taken() {
        let objects = Objects::new(100);
        let made = objects.create(&Resource::pods(), pod("x")).expect("a pod");
        let meta = &made["metadata"];
        assert!(meta["uid"].is_string() && meta["creationTimestamp"].is_string());
        assert_eq!(meta["resourceVersion"], "101");
        let again = objects.create(&Resource::pods(), pod("x")).expect_err("taken");
        assert_eq!((again.code, again.message.as_str()), (409, "pods \"x\" already exists"));
        let elsewhere = json!({ "metadata": { "namespace": "b", "name": "x" } });
        objects.create(&Resource::pods(), elsewhere).expect("another namespace");
    }

    #[test]
    fn generated_names_differ() {
        let objects = Objects::new(100);
        let wish = json!({ "metadata": { "namespace": "a", "generateName": "job-" } });
        let name = || {
            let made = objects.create(&Resource::pods(), wish.clone()).expect("a pod");
            made["metadata"]["name"].as_str().expect("a name").to_owned()
        };
        let (one, two) = (name(), name());
        assert!(one.starts_with("job-") && one.len() == 9, "{one}");
        assert_ne!(one, two);
    }

    #[test]
    fn a_change_that_changes_nothing_is_no_write() {
        let objects = Objects::new(100);
        let made = objects.create(&Resource::pods(), pod("x")).expect("a pod");
        let mut changes = objects.changes();
        let of = Resource::pods();
        let same = objects.change(&of, Some("a"), "x", |_| {}).expect("the pod");
        assert_eq!(same, made);
        assert!(changes.try_recv().is_err());
        let set = |object: &mut Value| object["spec"]["nodeName"] = json!("n");
        let other = objects.change(&of, Some("a"), "x", set).expect("the pod");
        assert_eq!(other["metadata"]["resourceVersion"], "102");
        let change = changes.try_recv().expect("told");
        assert_eq!((change.kind, change.before), (Happened::Modified, Some(made)));
    }

    #[test]
    fn finalizers_hold_what_was_removed() {
        let objects = Objects::new(100);
        let of = Resource::pods();
        let mut held = pod("x");
        held["metadata"]["finalizers"] = json!(["example.com/hold"]);
        objects.create(&of, held).expect("a pod");
        objects.remove(&of, Some("a"), "x").expect("held");
        let there = objects.get(&of, Some("a"), "x").expect("still there");
        assert!(there["metadata"]["deletionTimestamp"].is_string());
        let free = |object: &mut Value| object["metadata"]["finalizers"] = json!([]);
        objects.change(&of, Some("a"), "x", free).expect("the last state");
        assert!(objects.get(&of, Some("a"), "x").is_none());
    }

    #[test]
    fn older_versions_can_be_listed_as_long_as_they_are_remembered() {
        let objects = Objects::new(3);
        let of = Resource::pods();
        objects.create(&of, pod("x")).expect("101");
        objects.create(&of, pod("y")).expect("102");
        objects.remove(&of, Some("a"), "x").expect("103");
        objects.create(&of, pod("z")).expect("104");
        assert_eq!(names(&objects.list_at(&of, 102).expect("known")), ["x", "y"]);
        assert_eq!(names(&objects.list_at(&of, 103).expect("known")), ["y"]);
        assert_eq!(names(&objects.list(&of).1), ["y", "z"]);
        assert!(objects.list_at(&of, 100).is_none(), "three changes are remembered");
        assert!(objects.since(&of, 100).is_none());
        let (at, since) = objects.since(&of, 102).expect("known");
        assert_eq!((at, since.len()), (104, 2));
        objects.compact();
        assert!(objects.list_at(&of, 103).is_none());
        assert!(objects.since(&of, 104).is_some(), "from now on");
    }
}
