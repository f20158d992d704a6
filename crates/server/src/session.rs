//! Who acts: anonymous sessions, and the bearer tokens that prove them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use muster_core::{PrincipalId, Timestamp};
use muster_store::{Session, Store};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::config::SessionLimits;
use crate::problem::{Kind, Problem};

/// How long a session that was found is not looked up again.
const KNOWN_FOR: Duration = Duration::from_secs(60);
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
const MOST_KNOWN: usize = 50_000;
const MOST_UNKNOWN: usize = 10_000;

/// The principal of a request, from `Authorization: Bearer TOKEN`.
pub struct Bearer {
    pub principal: PrincipalId,
    pub expires_at: Timestamp,
}

impl FromRequestParts<Arc<App>> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(header), None) = (given.next(), given.next()) else { return Err(nobody()) };
        let token = header.to_str().ok().and_then(bearer).ok_or_else(nobody)?;
        let session = app.sessions.find(&app.store, &hash(token)).await?;
        let Some(session) = session else { return Err(nobody()) };
        Ok(Self { principal: session.principal, expires_at: session.expires_at })
    }
}

fn nobody() -> Problem {
    let detail = "Send `Authorization: Bearer TOKEN` with the token of a session that has not \
                  expired. POST /api/v1/sessions gives one.";
    Problem::new(Kind::Unauthorised, detail)
}

/// The token in the header's value; `None` for what cannot be one of ours.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let ours = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    (scheme.eq_ignore_ascii_case("bearer") && ours).then_some(token)
}

/// 256 bits of the operating system's randomness, as hex digits.
pub fn new_token() -> Result<String, Problem> {
    let mut secret = [0u8; 32];
    getrandom::fill(&mut secret).map_err(|error| {
        tracing::error!(%error, "the operating system gives no random bytes");
        Problem::internal()
    })?;
    Ok(secret.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
        hex
    }))
}

/// SHA-256 of the token.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// What is stored of a token.
type TokenHash = [u8; 32];

/// A session and when it was found.
type Found = (Instant, Arc<Session>);

/// Sessions found lately, so that a request of a known session needs no statement.
pub struct Sessions {
    known: Mutex<HashMap<TokenHash, Found>>,
    unknown: Mutex<HashMap<TokenHash, Instant>>,
    created: Mutex<Rate>,
}

impl Sessions {
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            known: Mutex::default(),
            unknown: Mutex::default(),
            created: Mutex::new(Rate::new(limits.a_minute)),
        }
    }

    pub async fn find(
        &self,
        store: &Store,
        hash: &TokenHash,
    ) -> Result<Option<Arc<Session>>, Problem> {
        if let Some(session) = self.known(hash) {
            return Ok(if store.clock().now() < session.expires_at { Some(session) } else { None });
        }
        if self.is_unknown(hash) {
            return Ok(None);
        }
        let session = store.find_session(hash).await?.map(Arc::new);
        match &session {
            Some(session) => self.keep(*hash, session.clone()),
            None => {
                let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
                if unknown.len() >= MOST_UNKNOWN {
                    unknown.clear();
                }
                unknown.insert(*hash, Instant::now());
            }
        }
        Ok(session)
    }

    fn known(&self, hash: &TokenHash) -> Option<Arc<Session>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, session) = known.get(hash)?;
        (found.elapsed() < KNOWN_FOR).then(|| session.clone())
    }

    fn is_unknown(&self, hash: &TokenHash) -> bool {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.get(hash).is_some_and(|looked| looked.elapsed() < UNKNOWN_FOR)
    }

    fn keep(&self, hash: TokenHash, session: Arc<Session>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.retain(|_, (found, _)| found.elapsed() < KNOWN_FOR);
        }
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(hash, (Instant::now(), session));
    }

    /// Takes one of the sessions that may be created now.
    pub fn admit(&self) -> Result<(), Problem> {
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        if created.take(Instant::now()) {
            return Ok(());
        }
        let detail = "Too many sessions were created just now. Use the session you have, or try \
                      again in a moment.";
        Err(Problem::new(Kind::Busy, detail))
    }
}

/// A token bucket that is full at the start.
struct Rate {
    a_minute: f64,
    left: f64,
    at: Option<Instant>,
}

impl Rate {
    fn new(a_minute: u32) -> Self {
        Self { a_minute: f64::from(a_minute), left: f64::from(a_minute), at: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        if let Some(at) = self.at {
            let gained = now.saturating_duration_since(at).as_secs_f64() * self.a_minute / 60.0;
            self.left = (self.left + gained).min(self.a_minute);
        }
        self.at = Some(now);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_gives_what_a_minute_allows() {
        let mut rate = Rate::new(60);
        let start = Instant::now();
        assert_eq!((0..100).filter(|_| rate.take(start)).count(), 60);
        let later = start + Duration::from_millis(5_100);
        assert_eq!((0..100).filter(|_| rate.take(later)).count(), 5);
    }

    #[test]
    fn tokens_are_64_hex_digits_and_differ() {
        let (one, two) = (new_token().expect("a token"), new_token().expect("a token"));
        assert_ne!(one, two);
        assert_eq!(bearer(&format!("Bearer {one}")), Some(one.as_str()));
        assert_eq!(bearer("Bearer x"), None);
        assert_eq!(bearer(&format!("Basic {one}")), None);
    }
}
