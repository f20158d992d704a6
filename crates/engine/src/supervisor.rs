//! The life of one ready instance: its dispatcher, and what is to be done when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_cluster::Cluster;
use muster_core::InstanceId;
use muster_core::instance::EndCause;
use muster_store::Store;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::dispatcher::{Dispatcher, Leave};

/// How long a process may take to end after it was asked to.
const STOP_GRACE: Duration = Duration::from_secs(5);
const STORE_PAUSE: Duration = Duration::from_millis(500);
const STORE_TRIES: u32 = 120;

/// The loop's handle on an instance that was ready.
pub(crate) struct Supervisor {
    drain: CancellationToken,
    ended: watch::Sender<Option<EndCause>>,
    retired: Arc<Mutex<Option<EndCause>>>,
}

/// What ends an instance.
pub(crate) struct Ending {
    pub store: Store,
    pub cluster: Arc<dyn Cluster>,
    pub instance: InstanceId,
    /// External servers stay in the books when the hub stops.
    pub stays: bool,
    pub stopping: CancellationToken,
}

impl Supervisor {
    pub(crate) fn new() -> (Self, watch::Receiver<Option<EndCause>>, CancellationToken) {
        let (ended, seen) = watch::channel(None);
        let drain = CancellationToken::new();
        let supervisor = Self { drain: drain.clone(), ended, retired: Arc::default() };
        (supervisor, seen, drain)
    }

    /// Runs the dispatcher; reports on `gone` when the instance is over and the store knows.
    pub(crate) fn spawn(
        &self,
        dispatcher: Dispatcher,
        ending: Ending,
        gone: mpsc::UnboundedSender<InstanceId>,
    ) {
        let retired = Arc::clone(&self.retired);
        let seen = self.ended.subscribe();
        tokio::spawn(async move {
            let leave = dispatcher.run().await;
            let instance = ending.instance;
            if !(ending.stays && ending.stopping.is_cancelled()) {
                ending.end(leave, &retired, seen).await;
            }
            if gone.send(instance).is_err() {
                tracing::debug!(instance.id = %instance, "the loop ended before its instance");
            }
        });
    }

    /// Nothing new; it goes when its work is done.
    pub(crate) fn retire(&self, cause: EndCause) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.get_or_insert(cause);
        self.drain.cancel();
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// The cluster saw that it ended.
    pub(crate) fn ended(&self, cause: EndCause) {
        self.ended.send_if_modified(|ended| {
            let news = ended.is_none();
            ended.get_or_insert(cause);
            news
        });
    }
}

impl Ending {
    async fn end(
        &self,
        leave: Leave,
        retired: &Mutex<Option<EndCause>>,
        mut seen: watch::Receiver<Option<EndCause>>,
    ) {
        let ended_by_itself = seen.borrow().clone();
        if ended_by_itself.is_none() {
            self.cluster.stop(self.instance, STOP_GRACE);
            let patience = STOP_GRACE + Duration::from_secs(5);
            if tokio::time::timeout(patience, seen.wait_for(Option::is_some)).await.is_err() {
                tracing::error!(instance.id = %self.instance, "an instance did not end when it was stopped");
            }
        }
        let wanted = retired.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cause = match (ended_by_itself, leave, wanted) {
            (Some(cause), _, _) | (None, Leave::Ended(cause), _) => cause,
            (None, Leave::Drained, Some(cause)) => cause,
            (None, Leave::Drained, None) => EndCause::ServerGone,
        };
        end_in_store(&self.store, self.instance, &cause).await;
        self.cluster.forget(self.instance);
    }
}

/// Writes down that an instance ended, as often as it takes; its work goes back to the queue.
pub(crate) async fn end_in_store(store: &Store, instance: InstanceId, cause: &EndCause) {
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
