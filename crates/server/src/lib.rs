//! The door: the HTTP API. See `docs/API.md` for what it promises.

mod api;
mod app;
mod config;
mod docs;
mod folder_links;
mod http;
mod identity;
mod legacy;
mod made;
mod origin;
mod reading;
mod routes;
mod state;
mod web;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use muster_store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use crate::http::network::Addresses;
pub use crate::http::pace::Times;
pub use crate::http::problem;
pub use api::nodes::plan::{plan_document, plan_of_file};
pub use config::{FolderRefused, Machine, PushedFolder, Pushes, Scalers, ServerConfig};
pub use folder_links::FolderLinks;
pub use identity::mail::{Mail, PASSWORD_PAGE, link};
pub use identity::password::hash as hash_password;
pub use identity::rate::SessionLimits;
pub use identity::secret::{Cookie, Secret};
pub use made::{MADE, Made};
pub use origin::Origin;
pub use routes::openapi;
pub use web::WebFiles;

use crate::http::counts::Counts;
use crate::http::door::{Door, Hosts, Sites};
use crate::http::listen::{Life, Places};
use crate::http::share::Share;
use app::App;

/// Connections on the address of `/metrics`.
const METRICS_CONNECTIONS: u32 = 64;
const METRICS_CONNECTIONS_EACH: u32 = 32;

/// A server that listens, and answers once it runs.
pub struct Server {
    listener: TcpListener,
    metrics: Option<TcpListener>,
    app: Arc<App>,
    life: watch::Sender<Life>,
}

impl Server {
    /// Takes the addresses; clients that connect now are answered when the server runs.
    ///
    /// # Errors
    ///
    /// If an address cannot be taken. To be called inside a tokio runtime.
    pub fn bind(config: ServerConfig, store: Store) -> io::Result<Self> {
        let listener = crate::http::listen::listen(config.listen)?;
        let metrics = config.metrics.map(crate::http::listen::listen).transpose()?;
        let (life, lives) = watch::channel(Life::Serving);
        let app = Arc::new(App::new(config, store, lives));
        Ok(Self { listener, metrics, app, life })
    }

    /// Where the API listens.
    ///
    /// # Errors
    ///
    /// If the operating system cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where `/metrics` listens, if anywhere.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Answers until `shutdown` ends; then says so at `/readyz`, and after `times.leave` takes no
    /// more, ends waits and streams, lets requests under way end for `times.drain`, and returns.
    ///
    /// # Errors
    ///
    /// If the operating system cannot tell the address.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listener, metrics, app, life } = self;
        let (address, times, config) = (listener.local_addr()?, app.config.times, &app.config);
        let public = config.public_origin();
        let hosts = Hosts::new(&config.hosts, public, address.ip());
        let sites = Sites { ours: public.map(str::to_owned), others: config.cors_origins.clone() };
        let (mut router, paths) = routes::router(app.clone());
        if !sites.others.is_empty() {
            router = router.layer(sites.layer());
        }
        let counts = Arc::new(Counts::new(paths));
        let (all, each) = (config.connections, config.connections_each);
        let proxied = (Share::new(all.into(), each.into()), config.proxies.clone());
        let door = Door::new(router, (hosts, sites), Some(counts.clone()), proxied);
        let places = Places::new(all, each, config.proxies.clone());
        let api = crate::http::listen::serve(listener, door, times, places, life.subscribe());
        let side = async {
            let Some(listener) = metrics else { return };
            let router = routes::metrics_router(app.clone(), counts);
            let door = Door::new(
                router,
                (Hosts::Any, Sites::default()),
                None,
                (Share::new(0, 0), Vec::new()),
            );
            let places = Places::new(METRICS_CONNECTIONS, METRICS_CONNECTIONS_EACH, Vec::new());
            let life = life.subscribe();
            crate::http::listen::serve(listener, door, times, places, life).await;
        };
        let stopped = async {
            shutdown.await;
            life.send_replace(Life::Leaving);
            tokio::time::sleep(times.leave).await;
            life.send_replace(Life::Stopping);
        };
        let follow = identity::follow::follow(
            app.store.clone(),
            app.sessions.clone(),
            life.subscribe(),
            |changed| app.forget(changed),
        );
        tokio::join!(api, side, follow, stopped);
        Ok(())
    }
}
