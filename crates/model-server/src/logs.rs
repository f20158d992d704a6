//! The last output of a model's processes, bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

/// How long the output of a process that ended is waited for: another one may hold it open.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// As much of one process's output is kept for its last line.
const LAST_BYTES: usize = 4 << 10;

#[derive(Clone)]
pub(crate) struct Logs {
    kept: Arc<Mutex<Kept>>,
    limit: usize,
}

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// Bytes that were ever written.
    written: u64,
}

/// A place in the log.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u64);

impl Logs {
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: Arc::default(), limit }
    }

    pub(crate) fn push(&self, new: &[u8]) {
        let mut kept = self.lock();
        kept.written += new.len() as u64;
        kept.bytes.extend(new);
        let over = kept.bytes.len().saturating_sub(self.limit);
        kept.bytes.drain(..over);
    }

    pub(crate) fn text(&self) -> String {
        self.since(Mark(0))
    }

    /// The end of what is written now.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.lock().written)
    }

    /// The last line after a mark, for an error message: what was said before it was said over
    /// other people's inputs.
    pub(crate) fn last_line(&self, mark: Mark) -> Option<String> {
        let text = self.since(mark);
        let line = text.lines().rfind(|line| !line.trim().is_empty())?;
        Some(line.trim().to_owned())
    }

    fn since(&self, Mark(mark): Mark) -> String {
        let kept = self.lock();
        let new = usize::try_from(kept.written - mark).unwrap_or(usize::MAX);
        let skip = kept.bytes.len().saturating_sub(new);
        let bytes: Vec<u8> = kept.bytes.iter().skip(skip).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a process writes, until it closes the pipe; our own stderr gets it too.
    pub(crate) fn follow(&self, mut from: impl AsyncRead + Unpin + Send + 'static) -> Followed {
        let logs = self.clone();
        let own = Self::new(LAST_BYTES);
        let last = own.clone();
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 8192];
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                logs.push(&buffer[..n]);
                own.push(&buffer[..n]);
                // A closed stderr must not end the model.
                drop(std::io::Write::write_all(&mut std::io::stderr(), &buffer[..n]));
            }
        });
        Followed { reading, last }
    }
}

/// The output of one process on its way to the log.
pub(crate) struct Followed {
    reading: JoinHandle<()>,
    /// The end of it.
    last: Logs,
}

impl Followed {
    /// Waits until all of it is there. Only for a process that has ended.
    pub(crate) async fn whole(&mut self) {
        // Whatever is missing then belongs to a process that lives on.
        drop(tokio::time::timeout(LAST_WORDS, &mut self.reading).await);
    }

    /// What the process wrote here last.
    pub(crate) fn last_line(&self) -> Option<String> {
        self.last.last_line(Mark(0))
    }
}
