//! What an operator may set of the HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use muster_core::input::InputLimits;

#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `/metrics` listens, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Host names that requests may be for. Empty: loopback names and `listen` when that is a
    /// loopback address, else any.
    pub hosts: Vec<String>,
    pub limits: InputLimits,
    pub sessions: SessionLimits,
    pub times: Times,
    /// Most open connections; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Most bytes of uploads in memory at one time, at least `limits.body_bytes`.
    pub upload_bytes: u64,
    /// Most open event streams, in all and of one principal.
    pub event_streams: u32,
    pub event_streams_each: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    pub lifetime: Duration,
    /// Most new anonymous sessions of this process in a minute.
    pub a_minute: u32,
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
            limits: InputLimits::default(),
            sessions: SessionLimits::default(),
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
        Self { lifetime: Duration::from_secs(30 * 24 * 3600), a_minute: 600 }
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
            drain: Duration::from_secs(10),
            event_comment: Duration::from_secs(15),
        }
    }
}
