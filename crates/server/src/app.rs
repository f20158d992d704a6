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
use crate::http::problem::{Kind, Problem};
use crate::http::share::{Full, Hold, Share};
use crate::identity::Caller;
use crate::identity::cache::Sessions;
use crate::identity::password::Passwords;
use crate::identity::rate::{Lines, Mails, Rates};
use crate::web::Web;

/// What is in memory for a download beside the piece that its client reads: parts that were fetched,
/// and what compresses them.
const SMALL_DOWNLOAD: u64 = 128 << 10;
const LARGE_DOWNLOAD: u64 = 1 << 20;
/// Inputs of a request whose download is small.
const FEW: u64 = 100;

pub struct App {
    pub store: Store,
    pub config: ServerConfig,
    pub sessions: Sessions,
    pub passwords: Passwords,
    pub rates: Rates,
    pub mails: Mails,
    /// Of the log, about what was refused.
    pub lines: Lines,
    pub uses: Arc<Uses>,
    /// Memory of uploads and of downloads, bytes.
    pub uploads: Arc<Share>,
    downloads: Arc<Share>,
    pub streams: Streams,
    pub overview: Overview,
    pub web: Web,
    life: watch::Receiver<Life>,
}

impl App {
    pub fn new(config: ServerConfig, store: Store, life: watch::Receiver<Life>) -> Self {
        Self {
            sessions: Sessions::default(),
            passwords: Passwords::new(),
            rates: Rates::new(config.sessions),
            mails: Mails::new(config.sessions),
            lines: Lines::default(),
            uses: Arc::new(Uses::new(config.quotas)),
            uploads: Share::new(
                config.upload_bytes.max(config.limits.body_bytes),
                config.upload_bytes_each.max(config.limits.body_bytes),
            ),
            downloads: Share::new(config.download_bytes, config.download_bytes_each),
            streams: Streams::new(&config),
            overview: Overview::default(),
            web: Web::new(config.web),
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

    /// May somebody download a result of so many inputs? What this holds is held until its end.
    pub fn admit_download(&self, caller: &Caller, inputs: u64) -> Result<Hold, Problem> {
        let amount = if inputs <= FEW { SMALL_DOWNLOAD } else { LARGE_DOWNLOAD };
        self.downloads.hold(Some(caller.holder()), amount).map_err(|full| match full {
            Full::All => Problem::new(Kind::Busy, "Too many results are downloaded. Try again."),
            Full::Yours => {
                let detail = "You, or others without an account in your network, have as many \
                              downloads as one may have. Wait for one to end.";
                Problem::new(Kind::TooManyDownloads, detail).retry_after(5)
            }
        })
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
