//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use muster_core::quota::Amounts;
use muster_core::stats::AuthType;
use muster_core::{Model, PrincipalId, Request, RequestId};
use muster_store::{NewRequest, Store, Submitted};
use tokio::sync::watch;

use crate::api::events::Streams;
use crate::api::models::Overview;
use crate::api::requests::quota::{Admitted, Uses};
use crate::api::requests::view::RequestView;
use crate::config::ServerConfig;
use crate::http::problem::Problem;
use crate::identity::cache::Sessions;
use crate::identity::password::Passwords;
use crate::identity::rate::Rates;
use crate::reading::Submission;
use crate::reading::body::Space;

/// Where a server is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Serving,
    /// Balancers shall notice before it takes nothing more.
    Leaving,
    Stopping,
}

/// Ends when the server stops, or is gone.
pub async fn stopping(life: &mut watch::Receiver<Life>) {
    drop(life.wait_for(|life| *life == Life::Stopping).await);
}

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

    /// A request as its owner sees it, who is of this kind.
    pub fn view<'r>(&self, request: &'r Request, auth: AuthType) -> RequestView<'r> {
        let expires_at = self.config.retention.expires_at(auth, &request.phase);
        RequestView::new(request, self.store.held(&request.model), expires_at)
    }

    /// The sessions or rights of these principals changed.
    pub fn forget(&self, changed: &[PrincipalId]) {
        self.sessions.forget(changed);
        self.streams.wake(changed);
    }

    /// May the person submit `more` to the model?
    async fn admit(
        &self,
        principal: PrincipalId,
        model: &Model,
        more: Amounts,
    ) -> Result<Admitted, Problem> {
        if let Some(reason) = self.store.disabled(&model.id) {
            return Err(crate::api::catalogue::disabled(&reason));
        }
        self.uses.admit(&self.store, principal, more).await
    }

    /// Stores a request, if the person's limits and the model allow it. To its end: a client that
    /// leaves does not stop it half-way.
    pub async fn submit(
        &self,
        principal: PrincipalId,
        key: Option<String>,
        submission: Submission,
    ) -> Result<Submitted, Problem> {
        let Submission { model, inputs, reading, use_cache, body_hash, reserved } = submission;
        let records = inputs.records.as_ref().map_or(0, |records| records.bytes());
        let more = Amounts {
            waiting_requests: 1,
            waiting_inputs: inputs.inputs.len() as u64,
            day_inputs: inputs.inputs.len() as u64,
            bytes: (inputs.inputs.bytes() + records) as u64,
        };
        let admitted = match (self.admit(principal, &model, more).await, &key) {
            (Ok(admitted), _) => Some(admitted),
            // What was submitted before under the same key is answered again, whatever the limits.
            (Err(_), Some(key)) if self.store.has_key(principal, key).await? => None,
            (Err(problem), _) => return Err(problem),
        };
        let id = RequestId(self.store.clock().id());
        let new = NewRequest { id, principal, model, key, body_hash, reading, inputs, use_cache };
        let store = self.store.clone();
        to_the_end(async move {
            let submitted = store.submit(new).await;
            drop(reserved);
            if let (Some(admitted), Ok(Submitted { created: true, .. })) = (admitted, &submitted) {
                admitted.stored();
            }
            Ok(submitted?)
        })
        .await
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
