//! Argon2id, off the runtime and few at a time: hashing is slow on purpose, and needs 19 MiB.

use std::num::NonZero;
use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::http::problem::{Kind, Problem};

/// At least what OWASP's ASVS 5.0 asks for in appendix C.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// That many may wait for their turn.
const QUEUE: usize = 50;

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The PHC string of a password. Takes long.
///
/// # Errors
///
/// If the operating system gives no random bytes.
pub fn hash(password: &str) -> Result<String, String> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    let hashed = argon2().hash_password_with_salt(password.as_bytes(), &salt);
    hashed.map(|hashed| hashed.to_string()).map_err(|error| error.to_string())
}

/// What passwords of unknown accounts are compared with, so that they take as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("").unwrap_or_default());

/// What came of comparing a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    Wrong,
    Right,
    /// It is right, and its hash was made with weaker parameters than today's: here is a new one.
    Rehashed(String),
}

fn check(password: &str, stored: Option<&str>) -> Result<Checked, String> {
    // Made at the first login of all, whoever that is.
    let nobody = NOBODY.as_str();
    let text = stored.unwrap_or(nobody);
    let hash_of = PasswordHash::new(text).map_err(|error| error.to_string())?;
    match argon2().verify_password(password.as_bytes(), &hash_of) {
        Ok(()) if stored.is_none() => Ok(Checked::Wrong),
        Ok(()) if is_weak(&hash_of) => hash(password).map(Checked::Rehashed),
        Ok(()) => Ok(Checked::Right),
        Err(Error::PasswordInvalid) => Ok(Checked::Wrong),
        Err(error) => Err(error.to_string()),
    }
}

fn is_weak(stored: &PasswordHash) -> bool {
    let Ok(params) = Params::try_from(stored) else { return true };
    stored.algorithm.as_str() != "argon2id"
        || params.m_cost() < MEMORY_KIB
        || params.t_cost() < PASSES
}

/// Hashes passwords in turn.
pub struct Passwords {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Passwords {
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let at_once = (cores / 2).max(1);
        let places = Arc::new(Semaphore::new(at_once + QUEUE));
        Self { turns: Arc::new(Semaphore::new(at_once)), places }
    }

    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        self.in_turn(move || hash(&password)).await
    }

    /// `stored`: the PHC string, if there is such an account.
    pub async fn check(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<Checked, Problem> {
        self.in_turn(move || check(&password, stored.as_deref())).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, Problem> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let detail = "Too many people are logging in right now. Try again in a moment.";
            return Err(Problem::new(Kind::Busy, detail).retry_after(5));
        };
        let Ok(turn) = self.turns.clone().acquire_owned().await else {
            return Err(Problem::internal());
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = job();
            drop((turn, place));
            done
        });
        let done = done.await.map_err(|_| Problem::internal())?;
        done.map_err(|error| {
            tracing::error!(error, "a password cannot be hashed");
            Problem::internal()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_or_wrong_and_every_hash_has_its_own_salt() {
        let stored = hash("tangible orchard").expect("a hash");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(hash("tangible orchard").expect("a hash"), stored);
        assert_eq!(check("tangible orchard", Some(&stored)), Ok(Checked::Right));
        assert_eq!(check("tangible orchard ", Some(&stored)), Ok(Checked::Wrong));
        assert_eq!(check("", None), Ok(Checked::Wrong), "nobody has the empty password");
    }

    #[test]
    fn a_weak_hash_is_made_anew() {
        let params = Params::new(8_192, 1, 1, None).expect("parameters");
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let weak = weak.hash_password_with_salt(b"old", b"salt-of-16-bytes").expect("a hash");
        let Ok(Checked::Rehashed(new)) = check("old", Some(&weak.to_string())) else {
            panic!("it is hashed anew")
        };
        assert_eq!(check("old", Some(&new)), Ok(Checked::Right));
    }

    #[tokio::test]
    async fn who_comes_when_the_queue_is_full_is_told_to_come_back() {
        let passwords = Passwords::new();
        let all = passwords.places.available_permits();
        let held =
            passwords.places.clone().try_acquire_many_owned(u32::try_from(all).expect("few"));
        let refused = passwords.hash("x".into()).await.expect_err("it is full");
        assert_eq!((refused.kind, refused.retry_after), (Kind::Busy, Some(5)));
        drop(held);
        assert!(passwords.hash("x".into()).await.is_ok());
    }
}
