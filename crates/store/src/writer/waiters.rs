//! People who wait for a request to end, and everybody who wants to know what changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_core::RequestId;
use tokio::sync::{Notify, oneshot};

use crate::Finished;

#[derive(Default)]
pub(crate) struct Waiters {
    waiting: Mutex<HashMap<RequestId, Vec<oneshot::Sender<Finished>>>>,
    /// Somebody waits who did not before.
    came: Notify,
}

/// The end of one request, awaited.
pub struct Ending {
    id: RequestId,
    ended: oneshot::Receiver<Finished>,
    waiters: Arc<Waiters>,
}

impl Waiters {
    pub(crate) fn register(self: &Arc<Self>, id: RequestId) -> Ending {
        let (tell, ended) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(id).or_default().push(tell);
        self.came.notify_one();
        Ending { id, ended, waiters: Arc::clone(self) }
    }

    /// The requests whose end somebody waits for.
    pub(crate) fn awaited(&self) -> Vec<RequestId> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.keys().copied().collect()
    }

    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }

    pub(crate) fn tell(&self, finished: &Finished) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for waiter in waiting.remove(&finished.request.id).unwrap_or_default() {
            // One that left in the meantime needs no answer.
            drop(waiter.send(finished.clone()));
        }
    }
}

impl Ending {
    /// Waits until the request ended, here or on another server; `None` when the time is over.
    pub async fn wait(mut self, at_most: Duration) -> Option<Finished> {
        tokio::time::timeout(at_most, &mut self.ended).await.ok()?.ok()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.ended.close();
        let mut waiting = self.waiters.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = waiting.get_mut(&self.id) {
            all.retain(|waiter| !waiter.is_closed());
            if all.is_empty() {
                waiting.remove(&self.id);
            }
        }
    }
}
