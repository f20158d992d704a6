//! Sessions that were found lately, so that a request of a known session needs no statement.
//!
//! What other servers changed comes with [`crate::identity::follow`]. A server that did not look there lately,
//! because nobody asked or because it could not, answers nothing from memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_core::session::SessionPolicy;
use muster_core::{PrincipalId, Timestamp};
use muster_store::{Session, Store, TOUCH};
use tokio::sync::Notify;

use super::secret::{Cookie, TokenHash};
use crate::http::problem::Problem;

/// How long a session that was found is not looked up again.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
const SHARDS: usize = 16;
/// In each shard.
const MOST_KNOWN: usize = 4_000;
const MOST_UNKNOWN: usize = 1_000;

/// Without having heard of changes for this long, nothing is answered from memory.
const TRUST: Duration = Duration::from_millis(1900);

/// A session in memory.
pub struct KnownSession {
    pub session: Session,
    found: Instant,
    /// When it was used last, microseconds; the database knows it up to a minute later.
    seen: AtomicI64,
}

impl KnownSession {
    fn left(&self, policy: &SessionPolicy, now: Timestamp) -> bool {
        let seen = Timestamp(self.seen.load(Ordering::Relaxed));
        self.session.left_since(seen, policy, now).is_ok()
    }
}

#[derive(Default)]
struct Shard {
    known: HashMap<TokenHash, Arc<KnownSession>>,
    /// Secrets that open nothing.
    unknown: HashMap<TokenHash, Instant>,
}

pub struct Sessions {
    store: Store,
    policy: SessionPolicy,
    /// How browsers keep them.
    pub cookie: Cookie,
    shards: [Mutex<Shard>; SHARDS],
    /// When the changes were last looked at.
    heard: Mutex<Option<Instant>>,
    /// Somebody wants to know a session.
    asked: Notify,
}

impl Sessions {
    pub fn new(store: Store, policy: SessionPolicy, cookie: Cookie) -> Self {
        Self {
            store,
            policy,
            cookie,
            shards: Default::default(),
            heard: Mutex::default(),
            asked: Notify::new(),
        }
    }

    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(hash[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_trusted(&self) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() < TRUST)
    }

    /// The changes were looked at just now, and what they are of is forgotten.
    pub fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Ends when somebody wants to know a session.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// The session of a secret, if it lives. It counts as used.
    pub async fn live(&self, hash: &TokenHash) -> Result<Option<Arc<KnownSession>>, Problem> {
        let found = self.find(hash).await?;
        if let Some(known) = &found {
            touch(&self.store, known);
        }
        Ok(found)
    }

    /// The session of a secret, if it lives.
    pub async fn find(&self, hash: &TokenHash) -> Result<Option<Arc<KnownSession>>, Problem> {
        let (store, policy) = (&self.store, &self.policy);
        self.asked.notify_one();
        if self.is_trusted() {
            let shard = self.shard(hash);
            if shard.unknown.get(hash).is_some_and(|looked| looked.elapsed() < UNKNOWN_FOR) {
                return Ok(None);
            }
            let known = shard.known.get(hash).filter(|known| known.found.elapsed() < KNOWN_FOR);
            // One that seems to be over may have been used on another server: that is looked up.
            if let Some(known) = known.filter(|known| known.left(policy, store.now())) {
                return Ok(Some(known.clone()));
            }
        }
        let found = store.find_session(hash).await?;
        let found = found.filter(|session| session.left(policy, store.now()).is_ok());
        let Some(session) = found else {
            self.keep_out(*hash);
            return Ok(None);
        };
        Ok(Some(self.keep(*hash, session)))
    }

    fn keep_out(&self, hash: TokenHash) {
        let mut shard = self.shard(&hash);
        shard.known.remove(&hash);
        if shard.unknown.len() >= MOST_UNKNOWN {
            shard.unknown.clear();
        }
        shard.unknown.insert(hash, Instant::now());
    }

    /// Remembers a session that was found just now.
    pub fn keep(&self, hash: TokenHash, session: Session) -> Arc<KnownSession> {
        let seen = AtomicI64::new(session.times.seen.micros());
        let known = Arc::new(KnownSession { session, found: Instant::now(), seen });
        let mut shard = self.shard(&hash);
        shard.unknown.remove(&hash);
        if shard.known.len() >= MOST_KNOWN {
            shard.known.retain(|_, known| known.found.elapsed() < KNOWN_FOR);
        }
        if shard.known.len() >= MOST_KNOWN {
            shard.known.clear();
        }
        shard.known.insert(hash, known.clone());
        known
    }

    /// Forgets the sessions of these principals.
    pub fn forget(&self, changed: &[PrincipalId]) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.known.retain(|_, known| !changed.contains(&known.session.principal));
        }
    }
}

/// Notes that a session is used, once in a while.
fn touch(store: &Store, known: &KnownSession) {
    let now = store.now();
    let seen = known.seen.load(Ordering::Relaxed);
    let due = now.since(Timestamp(seen)) >= TOUCH;
    let order = Ordering::Relaxed;
    if !due || known.seen.compare_exchange(seen, now.micros(), order, order).is_err() {
        return;
    }
    let (store, id) = (store.clone(), known.session.id);
    tokio::spawn(async move {
        if let Err(error) = store.touch_session(id).await {
            tracing::debug!(%error, "that a session is used is not written down");
        }
    });
}
