//! The open event streams of this server.
//!
//! One task takes the store's changes and hands each to the streams of its principal, so that a
//! change costs the same however many streams are open; it runs only while some are.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_core::{PrincipalId, RequestId};
use muster_store::{Change, Store};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, watch};

use crate::http::listen::{Life, stopping};
use crate::http::problem::{Kind, Problem};
use crate::http::share::{Hold, Share};
use crate::identity::Caller;

/// More changed requests at one time are told as one `resync`.
const MOST_REQUESTS: usize = 50;

/// The open streams.
pub struct Streams {
    /// In all, and of one network.
    places: Arc<Share>,
    /// Of one principal.
    each: u32,
    store: Store,
    life: watch::Receiver<Life>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    streams: HashMap<PrincipalId, Vec<Arc<Listener>>>,
    /// Those of whoever was an administrator when it was opened.
    admins: Vec<Arc<Listener>>,
    count: u32,
    pumped: bool,
}

/// What one stream has to tell.
#[derive(Default)]
struct Listener {
    news: Mutex<News>,
    wake: Notify,
}

/// What happened since somebody was told last.
#[derive(Default)]
pub struct News {
    pub requests: BTreeSet<RequestId>,
    /// A request of anybody.
    pub anybodys: bool,
    pub models: bool,
    pub instances: bool,
    pub nodes: bool,
    pub resync: bool,
    pub session: bool,
}

impl News {
    pub fn is_empty(&self) -> bool {
        let other = self.models || self.instances || self.nodes || self.resync;
        self.requests.is_empty() && !self.anybodys && !self.session && !other
    }
}

impl Listener {
    fn tell(&self, note: impl FnOnce(&mut News)) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = news.is_empty();
        note(&mut news);
        if news.requests.len() > MOST_REQUESTS {
            news.requests.clear();
            news.resync = true;
        }
        if silent {
            self.wake.notify_one();
        }
    }

    fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Streams {
    pub fn new(
        (places, each): (Arc<Share>, u32),
        store: Store,
        life: watch::Receiver<Life>,
    ) -> Self {
        Self { places, each, store, life, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are open.
    pub fn count(&self) -> u32 {
        self.lock().count
    }

    /// Tells the streams of these principals that their sessions or rights changed.
    pub fn wake(&self, changed: &[PrincipalId]) {
        let open = self.lock();
        for listener in changed.iter().flat_map(|id| open.streams.get(id)).flatten() {
            listener.tell(|news| news.session = true);
        }
    }

    pub fn open(self: &Arc<Self>, caller: &Caller, admin: bool) -> Result<Listening, Problem> {
        let full = || {
            let detail = "Too many event streams are open. Close one, or try again later.";
            Problem::new(Kind::Busy, detail)
        };
        let principal = caller.principal;
        let place = self.places.hold(Some(caller.network()), 1).map_err(|_| full())?;
        let mut open = self.lock();
        let own = open.streams.get(&principal).map_or(0, Vec::len);
        if own >= self.each as usize {
            return Err(full());
        }
        let listener = Arc::new(Listener::default());
        open.streams.entry(principal).or_default().push(listener.clone());
        if admin {
            open.admins.push(listener.clone());
        }
        open.count += 1;
        if !open.pumped {
            open.pumped = true;
            tokio::spawn(pump(Arc::clone(self), self.store.changes()));
        }
        Ok(Listening { streams: Arc::clone(self), principal, listener, _place: place })
    }
}

/// One open stream; dropping it closes it.
pub struct Listening {
    streams: Arc<Streams>,
    principal: PrincipalId,
    listener: Arc<Listener>,
    _place: Hold,
}

impl Listening {
    pub fn principal(&self) -> PrincipalId {
        self.principal
    }

    /// Ends when there is something to tell.
    pub async fn woken(&self) {
        self.listener.wake.notified().await;
    }

    pub fn take(&self) -> News {
        self.listener.take()
    }

    /// That anybody's request changed is to be told later.
    pub fn put_off(&self) {
        self.listener.tell(|later| later.anybodys = true);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        open.count -= 1;
        open.admins.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
        if let Some(own) = open.streams.get_mut(&self.principal) {
            own.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
            if own.is_empty() {
                open.streams.remove(&self.principal);
            }
        }
    }
}

/// Hands changes to the streams until none is open.
async fn pump(streams: Arc<Streams>, mut changes: broadcast::Receiver<Change>) {
    let mut life = streams.life.clone();
    let mut planned = streams.store.planned_news();
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            Ok(()) = planned.changed() => {
                let open = streams.lock();
                open.admins.iter().for_each(|listener| listener.tell(|news| news.nodes = true));
                continue;
            }
            () = stopping(&mut life) => return,
        };
        let mut open = streams.lock();
        if open.count == 0 || matches!(change, Err(RecvError::Closed)) {
            open.pumped = false;
            return;
        }
        match change {
            Ok(Change::Request { id, principal, .. } | Change::Progress { id, principal }) => {
                for listener in open.streams.get(&principal).into_iter().flatten() {
                    listener.tell(|news| {
                        news.requests.insert(id);
                    });
                }
                // Nobody else is woken by what they may not see.
                open.admins.iter().for_each(|listener| listener.tell(|news| news.anybodys = true));
            }
            // What is planned of nodes is told when it is.
            Ok(Change::Cancelled { .. } | Change::Nodes) => {}
            Ok(Change::Models) => tell_all(&open, |news| news.models = true),
            Ok(Change::Instances) => tell_all(&open, |news| {
                news.models = true;
                news.instances = true;
            }),
            Ok(Change::Noted) => {
                open.admins.iter().for_each(|listener| listener.tell(|news| news.instances = true));
            }
            Ok(_) | Err(_) => tell_all(&open, |news| news.resync = true),
        }
    }
}

fn tell_all(open: &Open, note: impl Fn(&mut News)) {
    for listener in open.streams.values().flatten() {
        listener.tell(&note);
    }
}
