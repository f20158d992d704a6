//! What containers have printed: written by whoever plays the kubelet, read through `pods/log`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Of each container (its pod's uid, its name) the lines with their times.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<HashMap<(String, String), Log>>>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub at: jiff::Timestamp,
    pub text: String,
}

struct Log {
    lines: Vec<Line>,
    /// Before the container started again.
    previous: Vec<Line>,
    /// How many lines there are and whether it has ended, for those who follow.
    seen: watch::Sender<(usize, bool)>,
}

impl Logs {
    /// Adds a line, without its end.
    pub fn line(&self, pod_uid: &str, container: &str, text: &str) {
        self.with(pod_uid, container, |log| {
            log.lines.push(Line { at: jiff::Timestamp::now(), text: text.to_owned() });
            log.seen.send_replace((log.lines.len(), false));
        });
    }

    /// The container prints no more: those who follow have reached the end.
    pub fn end(&self, pod_uid: &str, container: &str) {
        self.with(pod_uid, container, |log| {
            log.seen.send_replace((log.lines.len(), true));
        });
    }

    /// The container starts again: what it has printed is now of the previous one.
    pub fn again(&self, pod_uid: &str, container: &str) {
        self.with(pod_uid, container, |log| {
            log.previous = std::mem::take(&mut log.lines);
            log.seen = watch::channel((0, false)).0;
        });
    }

    /// The pod is gone, and its logs with it.
    pub fn forget(&self, pod_uid: &str) {
        self.lock().retain(|(uid, _), log| {
            let keep = uid != pod_uid;
            if !keep {
                log.seen.send_replace((log.lines.len(), true));
            }
            keep
        });
    }

    pub(crate) fn lines(&self, pod_uid: &str, container: &str, from: usize) -> Vec<Line> {
        self.with(pod_uid, container, |log| log.lines.get(from..).unwrap_or_default().to_vec())
    }

    pub(crate) fn previous(&self, pod_uid: &str, container: &str) -> Vec<Line> {
        self.with(pod_uid, container, |log| log.previous.clone())
    }

    pub(crate) fn seen(&self, pod_uid: &str, container: &str) -> watch::Receiver<(usize, bool)> {
        self.with(pod_uid, container, |log| log.seen.subscribe())
    }

    fn with<T>(&self, pod_uid: &str, container: &str, act: impl FnOnce(&mut Log) -> T) -> T {
        let new =
            || Log { lines: Vec::new(), previous: Vec::new(), seen: watch::channel((0, false)).0 };
        let key = (pod_uid.to_owned(), container.to_owned());
        act(self.lock().entry(key).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
