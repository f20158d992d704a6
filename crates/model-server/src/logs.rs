//! The last output of a model's processes, bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

#[derive(Clone)]
pub(crate) struct Logs {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    limit: usize,
}

impl Logs {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    pub(crate) fn push(&self, new: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend(new);
        let over = bytes.len().saturating_sub(self.limit);
        bytes.drain(..over);
    }

    pub(crate) fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let (a, b) = bytes.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).into_owned()
    }

    /// The last lines, for an error message.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Keeps what a process writes, until it closes the pipe; our own stderr gets it too.
    pub(crate) fn follow(&self, mut from: impl AsyncRead + Unpin + Send + 'static) {
        let logs = self.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 8192];
            while let Ok(n @ 1..) = from.read(&mut buffer).await {
                logs.push(&buffer[..n]);
                // A closed stderr must not end the model.
                drop(std::io::Write::write_all(&mut std::io::stderr(), &buffer[..n]));
            }
        });
    }
}
