//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use muster_core::PrincipalId;
use muster_store::{Format, Store};
use tokio::sync::{Semaphore, watch};

use crate::config::ServerConfig;
use crate::http::listen::{Life, until_stopping};
use crate::http::network::Addresses;
use crate::http::problem::{Kind, Problem};
use crate::http::share::{Full, Hold, Share};
use crate::identity::cache::Sessions;
use crate::identity::password::Passwords;
use crate::identity::rate::{Lines, Mails, Rates};
use crate::identity::{Caller, Registry};
use crate::reading::{HasReader, Reader};
use crate::state::examined::Examined;
use crate::state::overview::Overview;
use crate::state::streams::Streams;
use crate::state::uses::Uses;
use crate::web::Web;

/// What is in memory for a download beside the piece that its client reads: parts that were fetched,
/// and what compresses them.
const SMALL_DOWNLOAD: u64 = 128 << 10;
const LARGE_DOWNLOAD: u64 = 1 << 20;
/// A workbook is also a file on disk for as long as it is sent, so there are fewer at a time.
const WORKBOOK: u64 = 8 << 20;
/// Each takes as much of the disk as a folder and its archive may have.
const PUSHED_AT_ONCE: usize = 2;
/// Inputs of a request whose download is small.
const FEW: u64 = 100;

pub struct App {
    pub store: Store,
    pub config: ServerConfig,
    pub sessions: Arc<Sessions>,
    pub passwords: Passwords,
    pub rates: Rates,
    pub mails: Mails,
    /// Of the log, about what was refused.
    pub lines: Lines,
    pub uses: Arc<Uses>,
    pub reader: Reader,
    /// Memory of downloads, bytes.
    downloads: Arc<Share>,
    /// Folders that are taken in at a time.
    pub pushing: Arc<Semaphore>,
    pub streams: Arc<Streams>,
    pub overview: Overview,
    pub examined: Examined,
    web: Web,
    life: watch::Receiver<Life>,
}

impl App {
    pub fn new(config: ServerConfig, store: Store, life: watch::Receiver<Life>) -> Self {
        let sessions = Sessions::new(store.clone(), config.sessions.policy, config.cookie.clone());
        let reader = Reader {
            store: store.clone(),
            space: Share::new(
                config.upload_bytes.max(config.limits.body_bytes),
                config.upload_bytes_each.max(config.limits.body_bytes),
            ),
            times: config.times,
            limits: config.limits,
        };
        let (all, network) = (config.event_streams, config.event_streams_network);
        let places = Share::new(all.into(), network.into());
        let each = config.event_streams_each;
        let streams = Streams::new((places, each), store.clone(), life.clone());
        Self {
            sessions: Arc::new(sessions),
            passwords: Passwords::new(),
            rates: Rates::new(config.sessions),
            mails: Mails::new(config.sessions),
            lines: Lines::default(),
            uses: Arc::new(Uses::new(config.quotas)),
            reader,
            downloads: Share::new(config.download_bytes, config.download_bytes_each),
            pushing: Arc::new(Semaphore::new(PUSHED_AT_ONCE)),
            streams: Arc::new(streams),
            overview: Overview::default(),
            examined: Examined::default(),
            web: Web::new(config.web, config.base_path()),
            store,
            config,
            life,
        }
    }

    /// Says no to `/readyz`, and answers everything else until it stops.
    pub fn is_leaving(&self) -> bool {
        *self.life.borrow() != Life::Serving
    }

    /// What `wait` gives, or nothing if the server begins to stop before that: nobody waits longer.
    pub async fn until_stopping<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        until_stopping(&self.life, wait).await
    }

    /// May somebody download a result of so many inputs? What this holds is held until its end.
    pub fn admit_download(
        &self,
        caller: &Caller,
        inputs: u64,
        format: Format,
    ) -> Result<Hold, Problem> {
        let amount = match format {
            _ if inputs <= FEW => SMALL_DOWNLOAD,
            Format::Xlsx => WORKBOOK,
            _ => LARGE_DOWNLOAD,
        };
        self.downloads.hold(Some(caller.holder()), amount).map_err(|full| match full {
            Full::All => Problem::new(Kind::Busy, "Too many results are downloaded. Try again."),
            Full::Yours => {
                let detail = "You, or others without an account in your network, have as many \
                              downloads as one may have. Wait for one to end.";
                Problem::new(Kind::TooManyDownloads, detail).retry_after(5)
            }
        })
    }

    pub fn web_build(&self) -> Option<&str> {
        self.web.build()
    }

    /// The sessions or rights of these principals changed.
    pub fn forget(&self, changed: &[PrincipalId]) {
        self.sessions.forget(changed);
        self.streams.wake(changed);
    }
}

impl Registry for Arc<App> {
    fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    fn proxies(&self) -> &[Addresses] {
        &self.config.proxies
    }

    fn lines(&self) -> &Lines {
        &self.lines
    }
}

impl FromRef<Arc<App>> for Web {
    fn from_ref(app: &Arc<App>) -> Self {
        app.web.clone()
    }
}

impl HasReader for Arc<App> {
    fn reader(&self) -> &Reader {
        &self.reader
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
