//! The life of one ready instance: its dispatcher, and what is to be done when it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_cluster::Cluster;
use muster_core::instance::{EndCause, ObservedState, Runs, StopWork};
use muster_core::{InstanceId, Model, Timestamp};
use muster_store::{StopOrder, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::record::Recorder;
use crate::running::{Leave, Tokens};

/// How long a process may take to end after it was asked to.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(5);
/// How often it is looked at whether other servers' work on an external server is done.
const LOOK: Duration = Duration::from_secs(1);

/// The loop's handle on an instance that was ready.
pub(crate) struct Supervisor {
    pub(crate) model: Arc<Model>,
    pub(crate) tokens: Tokens,
    retired: Arc<Mutex<Option<Retired>>>,
}

/// Why an instance goes.
#[derive(Clone)]
struct Retired {
    cause: EndCause,
    /// What an administrator said, if one did.
    order: Option<StopOrder>,
}

/// What ends an instance.
pub(crate) struct Ending {
    pub store: Store,
    pub recorder: Arc<Recorder>,
    pub cluster: Arc<dyn Cluster>,
    pub instance: InstanceId,
    /// What outlives its hub stays in the books when that stops.
    pub runs: Runs,
    pub stopping: CancellationToken,
    /// See [`hear_end`].
    pub ended: watch::Receiver<Option<EndCause>>,
}

impl Supervisor {
    pub(crate) fn of(model: &Arc<Model>) -> Self {
        let (tokens, retired) = Default::default();
        Self { model: Arc::clone(model), tokens, retired }
    }

    /// Lets it work; reports on `gone` when the instance is over and the store knows.
    pub(crate) fn spawn(
        &self,
        work: impl Future<Output = Leave> + Send + 'static,
        ending: Ending,
        gone: mpsc::UnboundedSender<InstanceId>,
    ) {
        let retired = Arc::clone(&self.retired);
        let halt = self.tokens.halt.clone();
        // A future that is taken along and then waited for would have its size twice.
        let work = Box::pin(work);
        tokio::spawn(async move {
            let leave = work.await;
            let instance = ending.instance;
            if !(ending.runs.outlives_its_hub() && ending.stopping.is_cancelled()) {
                Box::pin(ending.end(leave, (&retired, &halt))).await;
            }
            if gone.send(instance).is_err() {
                tracing::debug!(instance.id = %instance, "the loop ended before its instance");
            }
        });
    }

    /// Nothing new; it goes when its work is done.
    pub(crate) fn retire(&self, cause: EndCause) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.get_or_insert(Retired { cause, order: None });
        self.tokens.drain.cancel();
    }

    /// As an administrator wants it. Until when its work may go on, if it may.
    pub(crate) fn stop(&self, order: &StopOrder, now: Timestamp) -> Option<Timestamp> {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        *retired = Some(Retired { cause: stopped(order), order: Some(order.clone()) });
        self.tokens.drain.cancel();
        if order.work == StopWork::Drain && now < order.until {
            return Some(order.until);
        }
        self.tokens.halt.cancel();
        None
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.tokens.drain.is_cancelled()
    }
}

/// Hears of an instance's end, and why it ended, from its cluster: whoever waits for that waits for nothing
/// else.
pub(crate) fn hear_end(
    cluster: Arc<dyn Cluster>,
    instance: InstanceId,
) -> watch::Receiver<Option<EndCause>> {
    let (tell, ended) = watch::channel(None);
    tokio::spawn(async move {
        let mut changed = cluster.changed();
        loop {
            match cluster.find(instance).map(|seen| seen.state) {
                Some(ObservedState::Ended { cause }) => {
                    tell.send_replace(Some(cause));
                    return;
                }
                Some(
                    ObservedState::Preparing { .. }
                    | ObservedState::Starting { .. }
                    | ObservedState::Ready { .. },
                ) => {}
                None => return,
            }
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                () = tell.closed() => return,
            }
        }
    });
    ended
}

impl Ending {
    async fn end(
        &self,
        leave: Leave,
        (retired, halt): (&Mutex<Option<Retired>>, &CancellationToken),
    ) {
        let order = || {
            let retired = retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.as_ref().and_then(|retired| retired.order.clone())
        };
        let waits = match self.runs {
            Runs::Process => false,
            // It goes on, whoever stops to watch it.
            Runs::Elsewhere => order().is_some(),
            Runs::Pod => self.ended.borrow().is_none(),
        };
        if waits {
            self.others_are_done(halt).await;
        }
        let ended_by_itself = self.ended.borrow().clone();
        if ended_by_itself.is_none() {
            let grace = order().map_or(STOP_GRACE, |order| self.grace(&order));
            self.cluster.stop(self.instance, grace);
            self.is_gone(grace).await;
        }
        let retired = retired.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cause = match (ended_by_itself, leave, retired) {
            (Some(cause), _, _) | (None, Leave::Ended(cause), _) => cause,
            (None, Leave::Drained, Some(retired)) => retired.cause,
            (None, Leave::Drained, None) => EndCause::ServerGone,
        };
        self.recorder.end(self.instance, &cause).await;
    }

    /// Its place is free when it is gone, not before; but a hub that stops does not wait for ever.
    async fn is_gone(&self, grace: Duration) {
        let mut ended = self.ended.clone();
        let patience = grace + Duration::from_secs(5);
        while tokio::time::timeout(patience, ended.wait_for(Option::is_some)).await.is_err() {
            tracing::error!(instance.id = %self.instance, "it did not end when it was stopped");
            if self.stopping.is_cancelled() {
                return;
            }
        }
    }

    /// How long the process may take: all of the time that its work did not need to have, if that was
    /// handed back.
    fn grace(&self, order: &StopOrder) -> Duration {
        match order.work {
            StopWork::Drain => STOP_GRACE,
            StopWork::Requeue | StopWork::Fail => order.until.since(self.store.now()),
        }
    }

    /// All servers call what outlives its hub: it ends for all of them, so what the others work on there is
    /// waited for.
    async fn others_are_done(&self, halt: &CancellationToken) {
        while !halt.is_cancelled() && !self.store.is_free(self.instance).await.unwrap_or(false) {
            let mut ended = self.ended.clone();
            tokio::select! {
                () = halt.cancelled() => return,
                Ok(_) = ended.wait_for(Option::is_some) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// What an administrator's order is as a cause.
pub(crate) fn stopped(order: &StopOrder) -> EndCause {
    EndCause::Stopped { why: order.reason.clone() }
}
