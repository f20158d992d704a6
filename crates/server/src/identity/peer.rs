//! Where a request comes from.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::Registry;
use crate::http::listen::Peer;
use crate::http::network::{client, network};
use crate::http::problem::Problem;

/// The client's network as it is counted: /24 or /64.
pub struct Network(pub String);

impl<S: Registry> FromRequestParts<S> for Network {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        address(parts, state).map(|address| Self(network(address)))
    }
}

/// The client's address.
pub fn address<S: Registry>(parts: &Parts, state: &S) -> Result<IpAddr, Problem> {
    let peer = parts.extensions.get::<Peer>().ok_or_else(Problem::internal)?;
    Ok(client(peer.0, &parts.headers, state.proxies()))
}
