//! Work of models of which the loop knows none: it is looked at without a pause. What waits for an instance that is
//! there, or was seen to wait, is not in such a hurry.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use muster_core::ModelId;
use tokio::sync::Notify;

use crate::Store;

#[derive(Default)]
pub(crate) struct Unseen {
    /// Models that have instances or work as far as the loop knows.
    seen: Mutex<HashSet<ModelId>>,
    news: Notify,
    /// The other servers are to hear of it.
    untold: AtomicBool,
}

impl Unseen {
    /// Something of these models was queued here.
    pub(crate) fn queued<'a>(&self, models: impl Iterator<Item = &'a ModelId>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_new = false;
        for model in models {
            if !seen.contains(model) {
                // Once until the next look, however much comes.
                seen.insert(model.clone());
                is_new = true;
            }
        }
        drop(seen);
        if is_new {
            self.untold.store(true, Ordering::Relaxed);
            self.news.notify_one();
        }
    }

    /// Another server says so.
    pub(crate) fn hear(&self) {
        self.news.notify_one();
    }

    /// Are the others to hear of it?
    pub(crate) fn take_untold(&self) -> bool {
        self.untold.swap(false, Ordering::Relaxed)
    }
}

impl Store {
    /// Tells of which models the loop knows instances or work.
    pub fn set_seen(&self, models: HashSet<ModelId>) {
        *self.inner.unseen.seen.lock().unwrap_or_else(PoisonError::into_inner) = models;
    }

    /// Waits until something is queued for a model that is not among them, on whatever server.
    pub async fn unseen(&self) {
        self.inner.unseen.news.notified().await;
    }
}
