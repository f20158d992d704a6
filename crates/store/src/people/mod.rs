//! People: accounts, sessions and their secrets, what they may do, and what administrators did.

pub mod accounts;
pub mod audit;
pub mod changes;
pub mod chosen_secret;
pub mod logins;
pub mod ownership;
pub mod quota;
pub mod sessions;
pub mod users;

use muster_core::stats::AuthType;

use crate::Error;

/// The kind of a principal, as it is stored.
pub(crate) fn auth(kind: &str) -> Result<AuthType, Error> {
    kind.parse().map_err(|_| Error::Corrupt("the kind of a principal".into()))
}
