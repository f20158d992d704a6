//! What an operator may set of the HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use muster_core::Retention;
use muster_core::input::InputLimits;
use muster_core::quota::Quotas;
use muster_core::session::SessionPolicy;

use crate::api::catalogue::address::Origin;
use crate::identity::mail::Mail;
use crate::identity::peer::Addresses;

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

/// How browsers keep a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// `__Host-muster`: only over TLS, and only for this host.
    Secure,
    /// For development over plain HTTP on this machine.
    Loopback,
}

#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    pub policy: SessionPolicy,
    /// Most new anonymous sessions, accounts and links of this process in a minute: in all, and of
    /// one network.
    pub a_minute: u32,
    pub a_minute_each: u32,
}

/// How long a client may take. What runs out closes the connection.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From the connection's start, or the first byte of a later request, to the end of its head.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// A client that reads nothing for this long is dropped.
    pub write: Duration,
    /// For a body, beside what its size adds.
    pub body: Duration,
    /// Each of these bytes of a body adds a second.
    pub body_bytes_a_second: u64,
    /// How long a server that shall stop goes on while `/readyz` says no, so that balancers send
    /// nothing more when it stops.
    pub leave: Duration,
    /// For requests under way when the server stops.
    pub drain: Duration,
    /// Between two comments that keep an event stream open.
    pub event_comment: Duration,
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

impl Default for SessionLimits {
    fn default() -> Self {
        Self { policy: SessionPolicy::default(), a_minute: 600, a_minute_each: 300 }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
            body: Duration::from_secs(30),
            body_bytes_a_second: 256 << 10,
            leave: Duration::ZERO,
            drain: Duration::from_secs(10),
            event_comment: Duration::from_secs(15),
        }
    }
}
