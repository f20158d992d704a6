//! What other servers changed: sessions and rights, claims of requests, the catalogue.
//!
//! Whoever ends a session or changes rights notes the principal in the database. Every server that
//! is asked something looks there each second and forgets what it remembers of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::PrincipalId;
use muster_store::Store;
use tokio::sync::watch;

use super::cache::Sessions;
use crate::http::listen::{Life, until_stopping};

/// How often the changes are looked at while anything happens, here or elsewhere; and when nothing
/// does.
const LISTEN: Duration = Duration::from_millis(800);
const REST: Duration = Duration::from_secs(30);
/// Changes are looked at again for this long: a transaction may be late, and a look-up that began
/// before it may have ended after it.
const AGAIN: Duration = Duration::from_secs(10);
/// How often what is over is cleaned up.
const CLEAN: Duration = Duration::from_secs(600);

/// Looks for changes until the server stops. `forget` is told whose sessions or rights changed.
pub async fn follow(
    store: Store,
    sessions: Arc<Sessions>,
    life: watch::Receiver<Life>,
    forget: impl Fn(&[PrincipalId]),
) {
    let mut cleaned = Instant::now();
    let mut changes = store.changes();
    // An idle server hardly asks the database.
    let mut woken = async || {
        tokio::select! {
            () = sessions.asked() => {}
            _ = changes.recv() => changes = changes.resubscribe(),
            () = tokio::time::sleep(REST) => {}
        }
    };
    while until_stopping(&life, woken()).await.is_some() {
        follow_sessions(&store, &sessions, &forget).await;
        if let Err(error) = store.refresh_models().await {
            tracing::debug!(%error, "changes of the catalogue are not seen");
        }
        if cleaned.elapsed() > CLEAN {
            cleaned = Instant::now();
            clean(&store).await;
        }
        if until_stopping(&life, tokio::time::sleep(LISTEN)).await.is_none() {
            return;
        }
    }
}

async fn follow_sessions(store: &Store, sessions: &Sessions, forget: impl Fn(&[PrincipalId])) {
    let changed = match store.changed_principals(AGAIN).await {
        Ok(changed) => changed,
        Err(error) => return tracing::debug!(%error, "changes of sessions are not seen"),
    };
    if !changed.is_empty() {
        forget(&changed);
        follow_claims(store).await;
    }
    sessions.heard();
}

async fn follow_claims(store: &Store) {
    if let Err(error) = store.claim_late(AGAIN).await {
        tracing::debug!(%error, "requests submitted during a claim are not moved yet");
    }
}

async fn clean(store: &Store) {
    let cleaned = async {
        store.clean_logins().await?;
        store.clean_sessions().await
    };
    if let Err(error) = cleaned.await {
        tracing::debug!(%error, "old sessions are not cleaned up yet");
    }
}
