//! Housekeeping that takes its time, beside the loop: objects and rows that do not fit, and what is over.

use std::time::Duration;

use muster_core::Clearing;
use muster_store::Store;

/// How old objects are before they count as orphans, and how many objects, and how many requests and
/// logs, are looked at each time.
const ORPHAN: Duration = Duration::from_secs(24 * 3600);
const SWEPT_AT_ONCE: usize = 20_000;

pub(crate) async fn sweep(store: Store) {
    if let Err(error) = store.keep_logs().await {
        tracing::warn!(%error, "logs of ended instances are not moved; they are next time");
    }
    match store.sweep_objects(ORPHAN, SWEPT_AT_ONCE).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "objects that nothing points to are removed"),
        Err(error) => tracing::warn!(%error, "objects are not swept; they are next time"),
    }
    match store.find_missing_objects(SWEPT_AT_ONCE).await {
        Ok(missing) => {
            for path in missing {
                tracing::error!(path, "an object that a request or a log needs is not there");
            }
        }
        Err(error) => tracing::warn!(%error, "objects are not looked for; they are next time"),
    }
}

/// `leads`: does this server plan? Then it clears.
pub(crate) async fn tidy(store: Store, clearing: Clearing, leads: bool) {
    if let Err(error) = store.write_used().await {
        tracing::warn!(%error, "it is not written down which predictions were used");
    }
    if !leads {
        return;
    }
    match store.tidy(&clearing).await {
        Ok(Some(cleared)) if cleared != Default::default() => {
            let muster_store::Cleared { requests, bytes, objects, .. } = cleared;
            let (predictions, instances) = (cleared.predictions, cleared.instances);
            let (sessions, principals) = (cleared.sessions, cleared.principals);
            tracing::info!(
                requests,
                bytes,
                objects,
                predictions,
                instances,
                sessions,
                principals,
                "cleared"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "not everything is cleared; it is next time"),
    }
}
