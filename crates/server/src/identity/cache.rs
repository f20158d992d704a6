//! Sessions that were found lately, so that a request of a known session needs no statement.
//!
//! Whoever ends a session or changes rights notes the principal in the database. Every server that
//! is asked something looks there each second and forgets what it remembers of it; one that did not
//! look lately, because nobody asked or because it could not, answers nothing from memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use muster_core::session::SessionPolicy;
use muster_core::{PrincipalId, Timestamp};
use muster_store::{Session, TOUCH};
use tokio::sync::Notify;

use super::secret::TokenHash;
use crate::app::App;
use crate::problem::Problem;

/// How long a session that was found is not looked up again.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
const SHARDS: usize = 16;
/// In each shard.
const MOST_KNOWN: usize = 4_000;
const MOST_UNKNOWN: usize = 1_000;

/// How often the changes are looked at while anything happens, here or elsewhere; and when nothing
/// does.
const LISTEN: Duration = Duration::from_millis(800);
const REST: Duration = Duration::from_secs(30);
/// Without having heard of changes for this long, nothing is answered from memory.
const TRUST: Duration = Duration::from_millis(1900);
/// Changes are looked at again for this long: a transaction may be late, and a look-up that began
/// before it may have ended after it.
const AGAIN: Duration = Duration::from_secs(10);
/// How often what is over is cleaned up.
const CLEAN: Duration = Duration::from_secs(600);

/// A session in memory.
pub struct Known {
    pub session: Session,
    found: Instant,
    /// When it was used last, microseconds; the database knows it up to a minute later.
    seen: AtomicI64,
}

impl Known {
    fn left(&self, policy: &SessionPolicy, now: Timestamp) -> bool {
        let seen = Timestamp(self.seen.load(Ordering::Relaxed));
        self.session.left_since(seen, policy, now).is_ok()
    }
}

#[derive(Default)]
struct Shard {
    known: HashMap<TokenHash, Arc<Known>>,
    /// Secrets that open nothing.
    unknown: HashMap<TokenHash, Instant>,
}

#[derive(Default)]
pub struct Sessions {
    shards: [Mutex<Shard>; SHARDS],
    /// When the changes were last looked at.
    heard: Mutex<Option<Instant>>,
    /// Somebody wants to know a session.
    asked: Notify,
}

impl Sessions {
    fn shard(&self, hash: &TokenHash) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(hash[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() < TRUST)
    }

    /// The session of a secret, if it lives. It counts as used.
    pub async fn live(&self, app: &App, hash: &TokenHash) -> Result<Option<Arc<Known>>, Problem> {
        let found = self.find(app, hash).await?;
        if let Some(known) = &found {
            touch(app, known);
        }
        Ok(found)
    }

    /// The session of a secret, if it lives.
    pub async fn find(&self, app: &App, hash: &TokenHash) -> Result<Option<Arc<Known>>, Problem> {
        let policy = &app.config.sessions.policy;
        self.asked.notify_one();
        if self.heard() {
            let shard = self.shard(hash);
            if shard.unknown.get(hash).is_some_and(|looked| looked.elapsed() < UNKNOWN_FOR) {
                return Ok(None);
            }
            let known = shard.known.get(hash).filter(|known| known.found.elapsed() < KNOWN_FOR);
            // One that seems to be over may have been used on another server: that is looked up.
            if let Some(known) = known.filter(|known| known.left(policy, app.store.now())) {
                return Ok(Some(known.clone()));
            }
        }
        let found = app.store.find_session(hash).await?;
        let found = found.filter(|session| session.left(policy, app.store.now()).is_ok());
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
    pub fn keep(&self, hash: TokenHash, session: Session) -> Arc<Known> {
        let seen = AtomicI64::new(session.times.seen.micros());
        let known = Arc::new(Known { session, found: Instant::now(), seen });
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
fn touch(app: &App, known: &Known) {
    let now = app.store.now();
    let seen = known.seen.load(Ordering::Relaxed);
    let due = now.since(Timestamp(seen)) >= TOUCH;
    let order = Ordering::Relaxed;
    if !due || known.seen.compare_exchange(seen, now.micros(), order, order).is_err() {
        return;
    }
    let (store, id) = (app.store.clone(), known.session.id);
    tokio::spawn(async move {
        if let Err(error) = store.touch_session(id).await {
            tracing::debug!(%error, "that a session is used is not written down");
        }
    });
}

/// Looks for changes until the server stops.
pub async fn listen(app: Arc<App>) {
    let mut cleaned = Instant::now();
    let mut changes = app.store.changes();
    // An idle server hardly asks the database.
    let mut woken = async || {
        tokio::select! {
            () = app.sessions.asked.notified() => {}
            _ = changes.recv() => changes = changes.resubscribe(),
            () = tokio::time::sleep(REST) => {}
        }
    };
    while app.until_stopping(woken()).await.is_some() {
        match app.store.changed_principals(AGAIN).await {
            Ok(changed) => {
                if !changed.is_empty() {
                    app.forget(&changed);
                    follow_claims(&app).await;
                }
                let mut heard = app.sessions.heard.lock().unwrap_or_else(PoisonError::into_inner);
                *heard = Some(Instant::now());
            }
            Err(error) => tracing::debug!(%error, "changes of sessions are not seen"),
        }
        if let Err(error) = app.store.refresh_models().await {
            tracing::debug!(%error, "changes of the catalogue are not seen");
        }
        if cleaned.elapsed() > CLEAN {
            cleaned = Instant::now();
            clean(&app).await;
        }
        if app.until_stopping(tokio::time::sleep(LISTEN)).await.is_none() {
            return;
        }
    }
}

async fn follow_claims(app: &App) {
    if let Err(error) = app.store.claim_late(AGAIN).await {
        tracing::debug!(%error, "requests submitted during a claim are not moved yet");
    }
}

async fn clean(app: &App) {
    let cleaned = async {
        app.store.clean_logins().await?;
        app.store.clean_sessions().await
    };
    if let Err(error) = cleaned.await {
        tracing::debug!(%error, "old sessions are not cleaned up yet");
    }
}
