//! Where a request comes from.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::app::App;
use crate::http::listen::Peer;
use crate::http::network::{client, network};
use crate::http::problem::Problem;

/// The client's network as it is counted: /24 or /64.
pub struct Network(pub String);

impl FromRequestParts<Arc<App>> for Network {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        address(parts, app).map(|address| Self(network(address)))
    }
}

/// The client's address.
pub fn address(parts: &Parts, app: &App) -> Result<IpAddr, Problem> {
    let peer = parts.extensions.get::<Peer>().ok_or_else(Problem::internal)?;
    Ok(client(peer.0, &parts.headers, &app.config.proxies))
}
