//! What an operator may set of the HTTP API.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use muster_core::image::ImagePrefix;
use muster_core::input::InputLimits;
use muster_core::quota::Quotas;
use muster_core::room::Scaler;
use muster_core::{Check, Clearing, Model, ModelId, Retention};

use crate::folder_links::FolderLinks;
use crate::http::network::Addresses;
use crate::http::pace::Times;
use crate::identity::mail::Mail;
use crate::identity::rate::SessionLimits;
use crate::identity::secret::Cookie;
use crate::origin::Origin;
use crate::web::WebFiles;

/// Looks at what the server's machine has for it. It may take a while.
#[derive(Clone, Default)]
pub struct Machine(Option<Arc<dyn Fn() -> Vec<Check> + Send + Sync>>);

impl Machine {
    pub fn new(examine: impl Fn() -> Vec<Check> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(examine)))
    }

    pub fn examine(&self) -> Vec<Check> {
        self.0.as_ref().map_or_else(Vec::new, |examine| examine())
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Machine")
    }
}

/// Asks who makes nodes.
#[derive(Clone, Default)]
pub struct Scalers(Option<Arc<AskScalers>>);

type AskScalers = dyn Fn() -> BoxFuture<'static, Result<Vec<Scaler>, String>> + Send + Sync;

impl Scalers {
    pub fn new(
        ask: impl Fn() -> BoxFuture<'static, Result<Vec<Scaler>, String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(ask)))
    }

    /// Nobody, if instances are no pods.
    pub(crate) async fn ask(&self) -> Result<Vec<Scaler>, String> {
        match &self.0 {
            Some(ask) => ask().await,
            None => Ok(Vec::new()),
        }
    }
}

impl fmt::Debug for Scalers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalers")
    }
}

/// A folder that was pushed, as it was read.
pub struct PushedFolder {
    pub model: Model,
    pub files: u64,
    /// What is no fault, but should be known.
    pub notes: Vec<String>,
}

/// Why a folder is not taken.
pub enum FolderRefused {
    /// Its archive cannot be unpacked.
    Archive(String),
    /// It is not the folder of a model.
    Faults(Vec<String>),
    /// This machine cannot have it.
    Io(io::Error),
}

impl From<io::Error> for FolderRefused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for FolderRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(what) => f.write_str(what),
            Self::Faults(faults) => f.write_str(&faults.join("; ")),
            Self::Io(error) => error.fmt(f),
        }
    }
}

type ReadFolder =
    dyn Fn(&ModelId, &str, &Path) -> Result<PushedFolder, FolderRefused> + Send + Sync;

/// How folders are taken in that are pushed. By default none are.
#[derive(Clone, Default)]
pub struct Pushes {
    /// Of an archive.
    pub most_bytes: u64,
    /// Where archives are kept while they come.
    pub place: PathBuf,
    /// Models run inside walls here; else only administrators push.
    pub walls: bool,
    read: Option<Arc<ReadFolder>>,
}

impl Pushes {
    /// `read` takes a model's id, the hash of an archive and the file that it is in: it unpacks and reads it, and
    /// runs nothing. It may take a while.
    pub fn new(
        most_bytes: u64,
        place: PathBuf,
        walls: bool,
        read: impl Fn(&ModelId, &str, &Path) -> Result<PushedFolder, FolderRefused>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { most_bytes, place, walls, read: Some(Arc::new(read)) }
    }

    pub fn read(
        &self,
        id: &ModelId,
        content: &str,
        archive: &Path,
    ) -> Result<PushedFolder, FolderRefused> {
        match &self.read {
            Some(read) => read(id, content, archive),
            None => Err(FolderRefused::Archive("this hub takes no folders".to_owned())),
        }
    }
}

impl fmt::Debug for Pushes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pushes").field("most_bytes", &self.most_bytes).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `/metrics` listens, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Host names that requests may be for. Empty: loopback names and `listen` when that is a
    /// loopback address, else any.
    pub hosts: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Addresses>,
    /// Where browsers reach the hub, such as `https://hub.example.org` or `https://example.org/hub`,
    /// without a slash at the end.
    pub public_url: Option<String>,
    /// Other sites whose pages may call the API, such as `https://lab.example.org`; with tokens only.
    pub cors_origins: Vec<String>,
    /// `None`: the hub sends no mail, and addresses need not be confirmed.
    pub mail: Option<Mail>,
    pub cookie: Cookie,
    pub limits: InputLimits,
    pub quotas: Quotas,
    /// How long things are kept, and when they are cleared: people are told.
    pub clearing: Clearing,
    /// What this server's machine is like: administrators are told.
    pub machine: Machine,
    /// Who makes nodes: administrators are told.
    pub scalers: Scalers,
    pub sessions: SessionLimits,
    /// Servers that models of the API may run on.
    pub model_addresses: Vec<Origin>,
    /// Images that models of the API may be, by how their names begin.
    pub model_images: Vec<ImagePrefix>,
    /// How folders are taken in that are pushed.
    pub pushes: Pushes,
    /// How their archives are given to pods. `None`: to none.
    pub folder_links: Option<FolderLinks>,
    /// Most instances of all models together.
    pub max_instances: u32,
    pub times: Times,
    /// Most open connections, in all and of one network. Those beyond are answered at `/livez` and
    /// `/readyz` only.
    pub connections: u32,
    pub connections_each: u32,
    /// Most bytes of uploads in memory at one time, at least `limits.body_bytes`.
    pub upload_bytes: u64,
    /// The same of one person, or of the anonymous sessions of one network.
    pub upload_bytes_each: u64,
    /// Most bytes of downloads in memory at one time, in all and as above.
    pub download_bytes: u64,
    pub download_bytes_each: u64,
    /// Most open event streams, in all, of one network and of one principal.
    pub event_streams: u32,
    pub event_streams_network: u32,
    pub event_streams_each: u32,
    /// The web app; without files a page that says how to build it.
    pub web: WebFiles,
}

impl ServerConfig {
    /// Where the hub lies on its host: nothing, or a path such as `/hub`.
    pub fn base_path(&self) -> &str {
        self.public_parts().map_or("", |(_, path)| path)
    }

    /// Scheme, host and port of [`Self::public_url`].
    pub fn public_origin(&self) -> Option<&str> {
        self.public_parts().map(|(origin, _)| origin)
    }

    fn public_parts(&self) -> Option<(&str, &str)> {
        let url = self.public_url.as_deref()?;
        let host = url.find("://")? + 3;
        let path = url[host..].find('/').map_or(url.len(), |n| host + n);
        Some((&url[..path], url[path..].trim_end_matches('/')))
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics: None,
            hosts: Vec::new(),
            proxies: Vec::new(),
            public_url: None,
            cors_origins: Vec::new(),
            mail: None,
            cookie: Cookie::Secure,
            limits: InputLimits::default(),
            quotas: Quotas::default(),
            clearing: Clearing { every: None, retention: Retention::default() },
            machine: Machine::default(),
            scalers: Scalers::default(),
            sessions: SessionLimits::default(),
            model_addresses: Vec::new(),
            model_images: Vec::new(),
            pushes: Pushes::default(),
            folder_links: None,
            max_instances: 16,
            times: Times::default(),
            connections: 4_096,
            connections_each: 1_024,
            upload_bytes: 128 << 20,
            upload_bytes_each: 64 << 20,
            download_bytes: 128 << 20,
            download_bytes_each: 32 << 20,
            event_streams: 512,
            event_streams_network: 128,
            event_streams_each: 8,
            web: WebFiles::default(),
        }
    }
}
