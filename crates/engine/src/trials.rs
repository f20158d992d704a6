//! Versions that are tried: each server goes on with them, beside the loop.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_core::ModelId;
use muster_store::{Change, Error, Store};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// How often it is looked how far trials are, while there are any; and how often whether another server left
/// some.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_ANYWAY: Duration = Duration::from_secs(30);
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

pub(crate) async fn settle(store: Store, stop: CancellationToken) {
    let (mut changes, mut told) = (store.changes(), BTreeMap::new());
    loop {
        let (goes_on, pause) = match store.settle_trials().await {
            Ok(trials) => {
                let troubled = !trials.troubles.is_empty();
                told = tell(trials.troubles, &told);
                match (trials.left, troubled) {
                    (true, _) => (true, LOOK),
                    (false, true) => (true, AFTER_TROUBLE),
                    (false, false) => (false, LOOK_ANYWAY),
                }
            }
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
            () = news, if !goes_on => {}
        }
    }
}

/// The same of the same model is told once.
fn tell(
    troubles: Vec<(ModelId, Error)>,
    told: &BTreeMap<ModelId, String>,
) -> BTreeMap<ModelId, String> {
    let troubles = troubles.into_iter().map(|(id, error)| (id, error.to_string()));
    let troubles: BTreeMap<_, _> = troubles.collect();
    for (id, error) in &troubles {
        if told.get(id) != Some(error) {
            tracing::warn!(model.id = %id, error, "a version is not tried; it is tried again");
        }
    }
    troubles
}
