//! Secrets of sessions and links: how they are made, sent and stored.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use muster_store::Successor;
use sha2::{Digest, Sha256};

use crate::http::cookie::{self, cookies};
use crate::http::problem::Problem;

/// What is stored of a secret.
pub type TokenHash = [u8; 32];

/// What is stored beside it, to make the one that replaces it.
pub type Salt = [u8; 32];

/// 256 bits of the operating system's randomness, as hex digits.
pub struct Secret(String);

fn random() -> Result<[u8; 32], Problem> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        Problem::internal()
    })?;
    Ok(bytes)
}

impl Secret {
    pub fn new() -> Result<Self, Problem> {
        Ok(Self::of_bytes(&random()?))
    }

    fn of_bytes(bytes: &[u8; 32]) -> Self {
        Self(bytes.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
            hex
        }))
    }

    /// The one that replaces it: the same for the same salt, and nothing to whoever has only one of the
    /// two.
    pub fn after(&self, salt: &Salt) -> Self {
        let successor = Sha256::new().chain_update(salt).chain_update(self.0.as_bytes());
        Self::of_bytes(&successor.finalize().into())
    }

    /// A new successor, as it is stored.
    pub fn successor(&self) -> Result<Successor, Problem> {
        let salt = random()?;
        Ok(Successor { hash: self.after(&salt).hash(), salt })
    }

    /// What somebody sent; nothing if it cannot be one of ours.
    pub fn read(text: &str) -> Option<Self> {
        let ours = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        ours.then(|| Self(text.to_owned()))
    }

    /// The one in the header `Authorization`, else the one in the cookie.
    pub fn of(headers: &HeaderMap, cookie: &Cookie) -> Option<Self> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (None, _) => cookies(headers)
                .filter(|(name, _)| *name == cookie.name())
                .find_map(|(_, value)| Self::read(value)),
            (Some(header), None) => {
                let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
                Self::read(token).filter(|_| scheme.eq_ignore_ascii_case("bearer"))
            }
            _ => None,
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

/// How browsers keep a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// `__Host-muster`: only over TLS, and only for this host.
    Secure,
    /// `__Secure-muster`: only over TLS, and only below this path of the host, for others live there too.
    SecureBelow(String),
    /// For development over plain HTTP on this machine.
    Loopback,
}

impl Cookie {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Secure => cookie::SECURE,
            Self::SecureBelow(_) => cookie::BELOW,
            Self::Loopback => cookie::LOOPBACK,
        }
    }

    /// Gives the browser a secret for so long; or takes it away.
    pub fn set(&self, secret: Option<&Secret>, lifetime: Duration) -> HeaderValue {
        let (name, text) = (self.name(), secret.map_or("", Secret::text));
        let seconds = if secret.is_some() { lifetime.as_secs() } else { 0 };
        let secure = if *self == Self::Loopback { "" } else { "; Secure" };
        let path = if let Self::SecureBelow(path) = self { path } else { "/" };
        let cookie = format!(
            "{name}={text}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        );
        // It is ASCII.
        HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn secrets_are_64_hex_digits_and_differ() {
        let (one, two) = (Secret::new().expect("one"), Secret::new().expect("two"));
        assert_ne!(one.text(), two.text());
        assert!(Secret::read(one.text()).is_some());
        assert!(Secret::read("x").is_none() && Secret::read(&"g".repeat(64)).is_none());
    }

    #[test]
    fn a_secret_has_one_successor_for_each_salt() {
        let (one, two) = (Secret::new().expect("one"), Secret::new().expect("two"));
        let of = |secret: &Secret, salt: u8| secret.after(&[salt; 32]).text().to_owned();
        assert_eq!(of(&one, 1), of(&one, 1));
        assert!(Secret::read(&of(&one, 1)).is_some());
        let all = [of(&one, 1), of(&one, 2), of(&two, 1), one.text().to_owned()];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
        let new = one.successor().expect("a successor");
        assert_eq!(one.after(&new.salt).hash(), new.hash);
    }

    #[test]
    fn a_header_goes_before_a_cookie_and_a_bad_one_counts_as_none() {
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        let bearer = format!("bearer {one}");
        let jar = format!("x=1; __Host-muster={two}; muster={one}");
        let of = |all: &[(&'static str, &str)]| {
            Secret::of(&headers(all), &Cookie::Secure).map(|secret| secret.text().to_owned())
        };
        assert_eq!(of(&[("authorization", &bearer), ("cookie", &jar)]), Some(one.clone()));
        assert_eq!(of(&[("cookie", &jar)]), Some(two));
        assert_eq!(of(&[("authorization", "Basic x"), ("cookie", &jar)]), None);
        assert_eq!(of(&[("authorization", &bearer), ("authorization", &bearer)]), None);
        assert_eq!(of(&[("cookie", "__Host-muster=x")]), None);
        let loopback = Secret::of(&headers(&[("cookie", &jar)]), &Cookie::Loopback);
        assert_eq!(loopback.map(|secret| secret.text().to_owned()), Some(one));
    }

    #[test]
    fn the_cookie_is_bound_to_this_host() {
        let secret = Secret::read(&"a".repeat(64)).expect("a secret");
        let set = Cookie::Secure.set(Some(&secret), Duration::from_secs(60));
        let want = "Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(set, format!("__Host-muster={}; {want}", secret.text()));
        let gone = Cookie::Loopback.set(None, Duration::from_secs(60));
        assert_eq!(gone, "muster=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        let below = Cookie::SecureBelow("/hub".into()).set(None, Duration::ZERO);
        let want = "__Secure-muster=; Path=/hub; Max-Age=0; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(below, want);
    }
}
