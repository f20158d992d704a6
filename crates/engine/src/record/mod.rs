//! What is noted of instances: what they do, what they use, what they write. It is kept in memory and
//! written down for all of them together every few seconds, so that no job waits for it.

mod job;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_cluster::Cluster;
use muster_core::instance::{EndCause, Runs};
use muster_core::news::{Event, Level, Pod, Usage};
use muster_core::{InstanceId, RequestId, ServerId, Timestamp};
use muster_store::{InstanceNotes, Served, Store};
use tokio::sync::Notify;

use job::Jobs;

/// How often something new is written down; and of an instance that does nothing only what it uses,
/// every so many times.
const EVERY: Duration = Duration::from_secs(2);
const USAGE_EVERY: u32 = 5;
/// Different things that are told of one instance.
const MOST_EVENTS: usize = 100;
const STORE_PAUSE: Duration = Duration::from_millis(500);
const STORE_TRIES: u32 = 120;
/// How long a pod's end is remembered by a server that does not write its log down.
const LOG_OF_OTHERS: Duration = Duration::from_secs(30);

pub(crate) struct Recorder {
    store: Store,
    entries: Mutex<HashMap<InstanceId, Entry>>,
    /// This server plans: it is the one that notes what all servers see of an instance.
    leads: AtomicBool,
    /// There is an instance to note something of.
    begun: Notify,
    /// One at a time writes down.
    writing: tokio::sync::Mutex<()>,
}

/// What is known of one instance and not yet written down.
struct Entry {
    cluster: Arc<dyn Cluster>,
    runs: Runs,
    node: Option<String>,
    pod: Option<Pod>,
    usage: Usage,
    busy: Duration,
    /// Since when it works, as far as that is not in `busy`.
    working: Option<Timestamp>,
    served: HashMap<RequestId, Served>,
    jobs: Jobs,
    /// By uid; true: it is news.
    events: BTreeMap<String, (Event, bool)>,
    /// Bytes of its log that are written down.
    logged: u64,
    /// How often only its usage was news.
    quiet: u32,
}

impl Recorder {
    pub(crate) fn new(store: Store) -> Arc<Self> {
        let (entries, leads, begun, writing) = Default::default();
        Arc::new(Self { store, entries, leads, begun, writing })
    }

    /// Writes down every few seconds, as long as there are instances.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            if self.lock().is_empty() {
                self.begun.notified().await;
            }
            tokio::time::sleep(EVERY).await;
            self.flush().await;
        }
    }

    /// From now on things are noted of this instance.
    pub(crate) fn begin(&self, instance: InstanceId, cluster: &Arc<dyn Cluster>, runs: Runs) {
        self.lock().entry(instance).or_insert_with(|| Entry::new(Arc::clone(cluster), runs));
        self.begun.notify_one();
    }

    pub(crate) fn lead(&self, leads: bool) {
        self.leads.store(leads, Ordering::Relaxed);
    }

    /// Does this server note what is seen of the instance, or another one that sees the same?
    fn notes(&self, entry: &Entry) -> bool {
        entry.runs != Runs::Pod || self.leads.load(Ordering::Relaxed)
    }

    /// It is busy with this while it starts.
    pub(crate) fn starting(&self, instance: InstanceId, doing: &str, preparing: bool) {
        let at = self.store.now();
        self.note(instance, |entry| entry.starts(preparing, doing, at));
    }

    /// Something an administrator should look at.
    pub(crate) fn warn(&self, instance: InstanceId, kind: &str, what: String) {
        let at = self.store.now();
        self.note(instance, |entry| {
            let event = Event { level: Level::Warning, ..Event::once(kind, what, at) };
            entry.events.insert(kind.to_owned(), (event, true));
        });
    }

    fn note(&self, instance: InstanceId, note: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(&instance) {
            note(entry);
        }
    }

    /// Writes down what is new of all instances.
    pub(crate) async fn flush(&self) {
        self.write(None).await;
    }

    /// Of one instance, or of all that have news.
    async fn write(&self, only: Option<InstanceId>) {
        let _alone = self.writing.lock().await;
        let now = self.store.now();
        let mut all = Vec::new();
        for (id, entry) in self.lock().iter_mut() {
            if only.is_none_or(|only| only == *id) {
                let notes = self.notes(entry);
                entry.look(*id, now, notes);
                let hurry = only.is_some();
                all.extend(entry.take((*id, self.store.server()), (hurry, notes)));
            }
        }
        if all.is_empty() {
            return;
        }
        if let Err(error) = self.store.note_instances(all.clone()).await {
            tracing::debug!(%error, "what instances do is not written down yet");
            let mut entries = self.lock();
            for notes in all {
                if let Some(entry) = entries.get_mut(&notes.instance) {
                    entry.put_back(notes, self.store.server());
                }
            }
            return;
        }
        let mut entries = self.lock();
        for (instance, (position, bytes)) in
            all.into_iter().filter_map(|notes| Some((notes.instance, notes.log?)))
        {
            if let Some(entry) = entries.get_mut(&instance) {
                entry.logged = position + bytes.len() as u64;
            }
        }
    }

    /// Writes down that it ended, as often as it takes: its work goes back to the queue. Then its log
    /// moves to where it stays.
    pub(crate) async fn end(&self, instance: InstanceId, cause: &EndCause) {
        self.write(Some(instance)).await;
        end_in_store(&self.store, instance, cause).await;
        let Some(entry) = self.lock().remove(&instance) else { return };
        if !self.notes(&entry) {
            // Who plans reads its log first.
            tokio::spawn(async move {
                tokio::time::sleep(LOG_OF_OTHERS).await;
                entry.cluster.forget(instance);
            });
            return;
        }
        entry.cluster.forget(instance);
        let store = self.store.clone();
        // Storage may be slow; nobody waits for it. What fails is done with the next sweep.
        tokio::spawn(async move {
            if let Err(error) = store.keep_log(instance).await {
                tracing::warn!(%error, instance.id = %instance, "its log is not moved yet");
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end_in_store(store: &Store, instance: InstanceId, cause: &EndCause) {
    for _ in 0..STORE_TRIES {
        match store.instance_ended(instance, cause).await {
            Ok(requeued) => {
                tracing::info!(instance.id = %instance, %cause, requeued, "an instance ended");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, instance.id = %instance, "its end is not written down yet");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

impl Entry {
    fn new(cluster: Arc<dyn Cluster>, runs: Runs) -> Self {
        Self {
            cluster,
            runs,
            node: None,
            pod: None,
            usage: Usage::default(),
            busy: Duration::ZERO,
            working: None,
            served: HashMap::new(),
            jobs: Jobs::default(),
            events: BTreeMap::new(),
            logged: 0,
            quiet: 0,
        }
    }

    /// Installers say much: that is one event, with what was said last.
    fn starts(&mut self, preparing: bool, doing: &str, at: Timestamp) {
        let (kind, uid) = match preparing {
            true => ("preparing", "preparing".to_owned()),
            false => ("starting", format!("starting-{doing}")),
        };
        if self.events.len() >= MOST_EVENTS && !self.events.contains_key(&uid) {
            return;
        }
        let new = || {
            let once = Event::once(kind, doing, at);
            (Event { uid: uid.clone(), count: 0, ..once }, true)
        };
        let (event, is_news) = self.events.entry(uid.clone()).or_insert_with(new);
        event.count += 1;
        doing.clone_into(&mut event.message);
        event.last_at = event.last_at.max(at);
        *is_news = true;
    }

    /// Its job is over.
    fn rest(&mut self, now: Timestamp) {
        if let Some(since) = self.working.take() {
            self.busy += now.since(since);
        }
    }

    /// What its cluster has to say.
    fn look(&mut self, instance: InstanceId, now: Timestamp, notes: bool) {
        if notes {
            let news = self.cluster.news(instance);
            self.node = news.node.or(self.node.take());
            self.pod = news.pod.or(self.pod.take());
            self.usage.add(&news.usage);
            for event in news.events {
                self.events.insert(format!("{} {}", event.source, event.uid), (event, true));
            }
        }
        if let Some(since) = self.working {
            self.busy += now.since(since);
            self.working = Some(now);
        }
    }

    /// What is to be written down, if it is worth it.
    fn take(
        &mut self,
        (instance, server): (InstanceId, ServerId),
        (hurry, notes): (bool, bool),
    ) -> Option<InstanceNotes> {
        let log = notes.then(|| self.cluster.log(instance, self.logged));
        let log = log.map(|written| (written.position, written.bytes.into()));
        let log = log.filter(|(_, bytes): &(u64, bytes::Bytes)| !bytes.is_empty());
        let mut events = self.jobs.take(server);
        let others =
            self.events.values_mut().filter(|(_, is_news)| *is_news).map(|(event, is_news)| {
                *is_news = false;
                event.clone()
            });
        events.extend(others);
        let does = log.is_some()
            || !events.is_empty()
            || !self.served.is_empty()
            || !self.busy.is_zero()
            || self.pod.is_some();
        self.quiet = if does { 0 } else { self.quiet + 1 };
        let uses = self.usage.samples > 0 && (hurry || self.quiet.is_multiple_of(USAGE_EVERY));
        (does || uses).then(|| InstanceNotes {
            instance,
            node: self.node.clone(),
            pod: self.pod.take(),
            usage: std::mem::take(&mut self.usage),
            busy: std::mem::take(&mut self.busy),
            events,
            served: self.served.drain().map(|(_, served)| served).collect(),
            log,
        })
    }

    /// It could not be written down.
    fn put_back(&mut self, notes: InstanceNotes, server: ServerId) {
        let mut usage = notes.usage;
        usage.add(&self.usage);
        self.usage = usage;
        self.pod = self.pod.take().or(notes.pod);
        self.busy += notes.busy;
        for event in notes.events {
            self.jobs.put_back(&event.uid, server);
            for (known, is_news) in self.events.values_mut() {
                *is_news |= known.uid == event.uid && known.source == event.source;
            }
        }
        for earlier in notes.served {
            let served = self.served.entry(earlier.request).or_insert(Served {
                jobs: 0,
                inputs: 0,
                ..earlier
            });
            served.jobs += earlier.jobs;
            served.inputs += earlier.inputs;
            served.first_at = earlier.first_at;
        }
    }
}
