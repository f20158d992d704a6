//! Versions that are tried: each server goes on with them, beside the loop.

use std::time::Duration;

use muster_store::{Change, Store};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// How often it is looked how far trials are, while there are any; and how often whether another server left
/// some.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_ANYWAY: Duration = Duration::from_secs(30);
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

pub(crate) async fn settle(store: Store, stop: CancellationToken) {
    let mut changes = store.changes();
    loop {
        let (left, pause) = match store.settle_trials().await {
            Ok(true) => (true, LOOK),
            Ok(false) => (false, LOOK_ANYWAY),
            Err(error) => {
                tracing::warn!(%error, "versions are not tried; they are in a moment");
                (true, AFTER_TROUBLE)
            }
        };
        let news = async {
            loop {
                match changes.recv().await {
                    Ok(Change::Models) | Err(RecvError::Lagged(_)) => return,
                    Ok(_) => {}
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = news, if !left => {}
        }
    }
}
