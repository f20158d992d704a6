//! What an operator may set of the HTTP API.

use std::net::SocketAddr;

use muster_core::Retention;
use muster_core::input::InputLimits;
use muster_core::quota::Quotas;

use crate::api::catalogue::address::Origin;
use crate::http::pace::Times;
use crate::identity::mail::Mail;
use crate::identity::peer::Addresses;
use crate::identity::rate::SessionLimits;
use crate::identity::secret::Cookie;

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
    /// Where browsers reach the hub, such as `https://hub.example.org`; for links in mail.
    pub public_url: Option<String>,
    /// `None`: the hub sends no mail, and addresses need not be confirmed.
    pub mail: Option<Mail>,
    pub cookie: Cookie,
    pub limits: InputLimits,
    pub quotas: Quotas,
    /// How long things are kept: people are told.
    pub retention: Retention,
    pub sessions: SessionLimits,
    /// Servers that models of the API may run on.
    pub model_addresses: Vec<Origin>,
    pub times: Times,
    /// Most open connections; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Most bytes of uploads in memory at one time, at least `limits.body_bytes`.
    pub upload_bytes: u64,
    /// Most open event streams, in all and of one principal.
    pub event_streams: u32,
    pub event_streams_each: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics: None,
            hosts: Vec::new(),
            proxies: Vec::new(),
            public_url: None,
            mail: None,
            cookie: Cookie::Secure,
            limits: InputLimits::default(),
            quotas: Quotas::default(),
            retention: Retention::default(),
            sessions: SessionLimits::default(),
            model_addresses: Vec::new(),
            times: Times::default(),
            connections: 4_096,
            upload_bytes: 96 << 20,
            event_streams: 512,
            event_streams_each: 8,
        }
    }
}
