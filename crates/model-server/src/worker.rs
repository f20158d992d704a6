//! The one worker of a model server: batches go one after the other; one that fails is split until the
//! bad input is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use muster_core::bisect::{Bisection, Verdict};
use tokio::sync::Mutex;

use crate::runner::{Failed, Runner};
use crate::serve::why;
use crate::watched::Watched;

/// Most calls that wait for the worker.
const WAITING: usize = 64;

/// What a call comes to.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// JSON records, one an input.
    Rows(Bytes),
    Failed(String),
    TimedOut {
        seconds: u64,
    },
    /// Too many calls wait.
    Busy,
    /// This file of the model's folder is not as it was when the model was started.
    Changed {
        file: String,
    },
}

/// What is said of a call that took too long.
pub(crate) fn timed_out(seconds: u64) -> String {
    format!("the model did not answer within its time limit of {seconds} seconds")
}

/// What is said of a call that came too late for the model that was started.
pub(crate) fn changed(file: &str) -> String {
    format!("the model's folder was changed ({file}); it has to be started anew")
}

pub(crate) struct Worker {
    runner: Mutex<Runner>,
    waiting: AtomicUsize,
    limit: Duration,
    /// What is not as the model may need it: told when it fails.
    missing: Vec<String>,
    watched: Watched,
}

/// Counts one waiting call, also when it is dropped.
struct Place<'w>(&'w AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Worker {
    pub(crate) fn new(
        runner: Runner,
        limit: Duration,
        missing: Vec<String>,
        watched: Watched,
    ) -> Arc<Self> {
        let (runner, waiting) = (Mutex::new(runner), AtomicUsize::new(0));
        Arc::new(Self { runner, waiting, limit, missing, watched })
    }

    /// Predicts a batch; `progress` hears how many inputs are done. Dropping the future ends the work.
    pub(crate) async fn run(&self, inputs: &[String], progress: impl Fn(usize)) -> Outcome {
        if inputs.is_empty() {
            return Outcome::Rows(Bytes::from_static(b"[]"));
        }
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _place = Place(&self.waiting);
        if before >= WAITING {
            return Outcome::Busy;
        }
        let mut runner = self.runner.lock().await;
        // A command reads all of its files for each batch, and a batch may take long.
        if let Runner::Command(_) = *runner
            && let Some(file) = self.watched.changed().await
        {
            return Outcome::Changed { file };
        }
        let ran = tokio::time::timeout(self.limit, split(&mut runner, inputs, progress)).await;
        let Ok(ran) = ran else { return Outcome::TimedOut { seconds: self.limit.as_secs() } };
        // Nobody knows which bytes it read. Tries are counted: it may be the model that writes there.
        if let Some(file) = self.watched.changed().await {
            return Outcome::Failed(format!(
                "its folder was changed while it worked ({file}); what it answered is thrown away"
            ));
        }
        match ran {
            Ok(rows) => Outcome::Rows(rows),
            Err(Failed(error)) => Outcome::Failed(why(&error, &self.missing)),
        }
    }
}

async fn split(
    runner: &mut Runner,
    inputs: &[String],
    progress: impl Fn(usize),
) -> Result<Bytes, Failed> {
    let mut search = Bisection::new(inputs.len());
    let mut rows = BytesMut::from(&b"["[..]);
    while let Some(range) = search.next() {
        let answer = runner.run(&inputs[range.clone()]).await;
        let some = match answer {
            Ok(all) if range.len() == inputs.len() => return Ok(all),
            Ok(some) => {
                search.succeeded();
                some
            }
            Err(Failed(error)) => match search.failed(&error) {
                Verdict::Split => continue,
                Verdict::Bad => error_row(&error),
                Verdict::Hopeless => return Err(Failed(error)),
            },
        };
        let inside = some.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        if rows.len() > 1 {
            rows.extend_from_slice(b",");
        }
        rows.extend_from_slice(inside.unwrap_or_default());
        progress(range.end);
    }
    rows.extend_from_slice(b"]");
    Ok(rows.freeze())
}

fn error_row(error: &str) -> Bytes {
    let row = serde_json::json!([{ "error": error }]);
    Bytes::from(row.to_string())
}
