//! What the hub stands on, as it was a moment ago.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_core::{Check, CheckState, Timestamp};
use muster_store::Store;
use tokio::sync::Mutex;

use crate::config::ServerConfig;

/// How old it may be: looking writes an object and starts a process.
const FRESH: Duration = Duration::from_secs(10);

/// What was found, and when that was by the hub's clock.
type Found = (Timestamp, Arc<[Check]>);

#[derive(Default)]
pub struct Examined(Mutex<Option<(Instant, Found)>>);

impl Examined {
    pub async fn look(&self, store: &Store, config: &ServerConfig) -> Found {
        let mut last = self.0.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < FRESH
        {
            return found.clone();
        }
        let machine = config.machine.clone();
        let machine = tokio::task::spawn_blocking(move || machine.examine());
        let mail = async {
            match &config.mail {
                Some(mail) => mail.examine().await,
                None => Check::new("mail", CheckState::Good, "none is sent: mail.url is not set"),
            }
        };
        let (mut checks, mail, machine) = tokio::join!(store.examine(), mail, machine);
        checks.push(mail);
        match machine {
            Ok(found) => checks.extend(found),
            Err(error) => checks.push(Check::new("machine", CheckState::Broken, error.to_string())),
        }
        let found: Found = (store.now(), checks.into());
        *last = Some((Instant::now(), found.clone()));
        found
    }
}
