//! What must hold at every moment, looked at while faults go on; and whether anything still moves.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use uuid::Uuid;

use super::processes;
use super::view::View;
use crate::{Result, hub};

/// How often leases and instances are looked at, and everything else.
const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(1);
/// How long a process may go on after its instance ended (I-23).
const LEFTOVER: Duration = Duration::from_secs(30);
/// Longest time without any end of a request while some are open.
pub const STUCK: Duration = Duration::from_secs(120);
const STALE: &str = "muster_stale_writes_refused_total";

/// What to look at.
pub struct Subject {
    pub database: String,
    pub runs: Vec<PathBuf>,
    pub metrics: Vec<SocketAddr>,
    /// Most instances of a model.
    pub most: usize,
}

pub struct Watch {
    pub seen: Arc<Seen>,
    view: Arc<View>,
    _tasks: JoinSet<()>,
}

pub struct Seen {
    pub ended: AtomicU64,
    pub open: AtomicU64,
    pub stale: AtomicU64,
    pub looks: AtomicU64,
    /// Every hub runs: what should not be, is not excused.
    pub calm: AtomicBool,
    moved: Mutex<Instant>,
    found: Mutex<BTreeSet<String>>,
}

impl Watch {
    pub fn start(subject: Subject) -> Result<Self> {
        let seen = Arc::new(Seen {
            ended: AtomicU64::new(0),
            open: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            looks: AtomicU64::new(0),
            calm: AtomicBool::new(true),
            moved: Mutex::new(Instant::now()),
            found: Mutex::default(),
        });
        let view = Arc::new(View::new(&subject.database)?);
        let mut tasks = JoinSet::new();
        tasks.spawn(sample(Arc::clone(&view), Arc::clone(&seen), subject.most));
        tasks.spawn(progress(Arc::clone(&view), Arc::clone(&seen)));
        tasks.spawn(leftovers(Arc::clone(&view), Arc::clone(&seen), subject.runs));
        for address in subject.metrics {
            tasks.spawn(stale_writes(address, Arc::clone(&seen)));
        }
        Ok(Self { seen, view, _tasks: tasks })
    }

    pub fn view(&self) -> &View {
        &self.view
    }
}

impl Seen {
    pub fn wrong(&self, what: String) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
    }

    pub fn found(&self) -> BTreeSet<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long nothing ended although something should.
    pub fn still_for(&self) -> Duration {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

async fn progress(view: Arc<View>, seen: Arc<Seen>) {
    loop {
        // While the database is away nothing is known.
        if let Ok((ended, open)) = view.counts().await {
            let before = seen.ended.swap(ended, Ordering::Relaxed);
            seen.open.store(open, Ordering::Relaxed);
            if ended > before || open == 0 {
                *seen.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
        }
        tokio::time::sleep(SELDOM).await;
    }
}

/// I-12, I-25.
async fn sample(view: Arc<View>, seen: Arc<Seen>, most: usize) {
    let mut known: HashMap<(Uuid, i64), (i64, Option<Uuid>)> = HashMap::new();
    loop {
        tokio::time::sleep(OFTEN).await;
        let (Ok(leased), Ok(instances)) = (view.leased().await, view.instances().await) else {
            continue;
        };
        seen.looks.fetch_add(1, Ordering::Relaxed);
        for (request, position, attempt, instance, remote_job) in leased {
            let now = (attempt, instance);
            let Some(before) = known.insert((request, position), now) else { continue };
            if attempt < before.0 {
                seen.wrong(format!("{request}/{position}: attempt {} became {attempt}", before.0));
            }
            // A job of a server elsewhere may be picked up by another hub.
            if attempt == before.0 && instance != before.1 && remote_job.is_none() {
                seen.wrong(format!("{request}/{position}: attempt {attempt} has two instances"));
            }
        }
        let mut living: HashMap<&str, usize> = HashMap::new();
        for (_, model) in &instances {
            *living.entry(model).or_default() += 1;
        }
        for (model, count) in living.into_iter().filter(|(_, count)| *count > most) {
            seen.wrong(format!("{model} has {count} instances, more than {most}"));
        }
    }
}

/// I-22, I-23: whatever a hub started and the books know no more is gone in time.
async fn leftovers(view: Arc<View>, seen: Arc<Seen>, runs: Vec<PathBuf>) {
    let mut since: HashMap<String, Instant> = HashMap::new();
    loop {
        tokio::time::sleep(SELDOM).await;
        // Processes first: an instance is written down before its process is made.
        let all = processes::of_models(&runs);
        let alive = view.instances().await;
        let (true, Ok(alive)) = (seen.calm.load(Ordering::Relaxed), alive) else {
            since.clear();
            continue;
        };
        let alive: BTreeSet<String> = alive.into_iter().map(|(id, _)| id.to_string()).collect();
        let strays: BTreeSet<String> = all
            .into_iter()
            .map(|process| process.instance)
            .filter(|i| !alive.contains(i))
            .collect();
        since.retain(|instance, _| strays.contains(instance));
        for instance in strays {
            let begun = since.entry(instance.clone()).or_insert_with(Instant::now);
            if begun.elapsed() > LEFTOVER {
                seen.wrong(format!("instance {instance} ended, but its processes go on"));
            }
        }
    }
}

/// I-11: refused writes of attempts that were over, of all lives of a hub.
async fn stale_writes(address: SocketAddr, seen: Arc<Seen>) {
    let mut last = 0;
    loop {
        tokio::time::sleep(SELDOM).await;
        let asked = tokio::time::timeout(SELDOM, hub::metric(address, STALE)).await;
        let Ok(Ok(count)) = asked else { continue };
        let count = count as u64;
        // A new life begins at 0.
        let new = if count < last { count } else { count - last };
        seen.stale.fetch_add(new, Ordering::Relaxed);
        last = count;
    }
}
