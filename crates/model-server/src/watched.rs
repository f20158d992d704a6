//! The files of a model that runs: are they those that it was started with?

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::folder::Snapshot;

/// So many files are looked at faster than another thread is woken for it.
const FEW: usize = 100;

#[derive(Clone)]
pub(crate) struct Watched {
    dir: PathBuf,
    started_with: Arc<Snapshot>,
    /// The file that was found changed first.
    changed: watch::Sender<Option<String>>,
}

impl Watched {
    pub(crate) fn new(dir: PathBuf, started_with: Snapshot) -> Self {
        Self { dir, started_with: Arc::new(started_with), changed: watch::Sender::new(None) }
    }

    /// Looks; gives a file that is not as it was, if there is one.
    pub(crate) async fn changed(&self) -> Option<String> {
        let known = self.changed.borrow().clone();
        if known.is_some() {
            return known;
        }
        let (dir, before) = (self.dir.clone(), Arc::clone(&self.started_with));
        let look = move || match Snapshot::of(&dir) {
            Ok(now) => before.difference(&now).map(|file| file.display().to_string()),
            Err(error) => Some(format!("{} ({error})", dir.display())),
        };
        let found = match self.started_with.len() {
            ..FEW => look(),
            _ => tokio::task::spawn_blocking(look)
                .await
                .unwrap_or_else(|error| Some(io::Error::from(error).to_string())),
        };
        if found.is_some() {
            self.changed.send_replace(found.clone());
        }
        found
    }

    /// Waits until a look finds a file changed.
    pub(crate) async fn found(&self) -> String {
        let mut changed = self.changed.subscribe();
        let found = changed.wait_for(Option::is_some).await.ok().and_then(|file| file.clone());
        match found {
            Some(file) => file,
            None => std::future::pending().await,
        }
    }
}
