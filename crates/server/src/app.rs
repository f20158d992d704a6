//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use muster_core::PrincipalId;
use muster_store::Store;
use tokio::sync::watch;

use crate::api::events::Streams;
use crate::api::models::Overview;
use crate::api::requests::quota::Uses;
use crate::config::ServerConfig;
use crate::http::listen::{Life, stopping};
use crate::http::problem::Problem;
use crate::identity::cache::Sessions;
use crate::identity::password::Passwords;
use crate::identity::rate::Rates;
use crate::reading::body::Space;

pub struct App {
    pub store: Store,
    pub config: ServerConfig,
    pub sessions: Sessions,
    pub passwords: Passwords,
    pub rates: Rates,
    pub uses: Arc<Uses>,
    pub uploads: Space,
    pub streams: Streams,
    pub overview: Overview,
    life: watch::Receiver<Life>,
}

impl App {
    pub fn new(config: ServerConfig, store: Store, life: watch::Receiver<Life>) -> Self {
        Self {
            sessions: Sessions::default(),
            passwords: Passwords::new(),
            rates: Rates::new(config.sessions),
            uses: Arc::new(Uses::new(config.quotas)),
            uploads: Space::new(config.upload_bytes.max(config.limits.body_bytes)),
            streams: Streams::new(config.event_streams, config.event_streams_each),
            overview: Overview::default(),
            store,
            config,
            life,
        }
    }

    /// Says no to `/readyz`, and answers everything else until it stops.
    pub fn is_leaving(&self) -> bool {
        *self.life.borrow() != Life::Serving
    }

    /// Ends when the server begins to stop: nobody waits for anything longer than that.
    pub async fn stopping(&self) {
        stopping(&mut self.life.clone()).await;
    }

    /// What `wait` gives, or nothing if the server begins to stop before that.
    pub async fn until_stopping<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = wait => Some(done),
            () = self.stopping() => None,
        }
    }

    /// The sessions or rights of these principals changed.
    pub fn forget(&self, changed: &[PrincipalId]) {
        self.sessions.forget(changed);
        self.streams.wake(changed);
    }
}

/// A number of seconds as the API takes it.
pub fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// Does something to its end, also when the client leaves before that.
pub async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|_| Problem::internal())?
}
