//! The hub's own cookies; those of somebody else say nothing.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

pub const SECURE: &str = "__Host-muster";
pub const BELOW: &str = "__Secure-muster";
pub const LOOPBACK: &str = "muster";

/// The cookies that came along: name and value.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// Does a cookie of the hub say who asks?
pub fn says_who_asks(headers: &HeaderMap) -> bool {
    let is_ours = |(name, _): (&str, &str)| [SECURE, BELOW, LOOPBACK].contains(&name);
    !headers.contains_key(AUTHORIZATION) && cookies(headers).any(is_ours)
}
