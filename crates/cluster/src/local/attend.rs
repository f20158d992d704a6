//! The life of one process: what it says, what it is told, how it ended.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;

use muster_core::instance::EndCause;
use muster_core::{Address, InstanceId, ObservedState};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::{Order, Running};
use crate::book::Book;
use crate::child::Isolation;
use crate::machine::Facts;
use crate::said::{Failed, Said};
use crate::sweep;

/// A line of states is at most this long.
const LINE: usize = 64 << 10;
/// How long a process that said why it ends may take.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long the pipes of an ended process are read.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub(super) struct Attended {
    pub book: Arc<Book<Running>>,
    pub instance: InstanceId,
    pub child: Child,
    pub orders: UnboundedReceiver<Order>,
    pub socket: PathBuf,
    /// What its model wrote for itself.
    pub scratch: PathBuf,
    pub isolation: Isolation,
    /// Told of its failure.
    pub facts: Option<Arc<Facts>>,
    pub was_ready: bool,
}

/// Stays with a process until it has ended and nothing of it is left.
pub(super) async fn attend(mut it: Attended, stdout: ChildStdout, stderr: ChildStderr) {
    let (mut states, mut log) = (Pipe::new(stdout), Pipe::new(stderr));
    let mut why: Option<EndCause> = None;
    let mut kill_at: Option<Instant> = None;
    let status = loop {
        let kill = kill_at.unwrap_or_else(Instant::now);
        tokio::select! {
            status = it.child.wait() => break status,
            bytes = states.read(), if states.open => {
                if let Some(reason) = it.hear(&mut states, bytes) {
                    why.get_or_insert(reason);
                    kill_at.get_or_insert(Instant::now() + AFTER_FAILURE);
                }
            }
            bytes = log.read(), if log.open => it.keep(&log.chunk[..bytes]),
            Some(order) = it.orders.recv() => {
                let (cause, grace) = match order {
                    Order::Stop { grace } => {
                        let why = "it was asked to stop".to_owned();
                        (EndCause::Retired { why }, grace)
                    }
                    Order::OutOfMemory { limit_mib } => {
                        (EndCause::OutOfMemory { limit_mib }, Duration::ZERO)
                    }
                };
                if why.is_none() && !grace.is_zero() {
                    it.signal(Signal::TERM);
                }
                why.get_or_insert(cause);
                let at = Instant::now() + grace;
                kill_at = Some(kill_at.map_or(at, |earlier| earlier.min(at)));
            }
            () = tokio::time::sleep_until(kill), if kill_at.is_some() => {
                it.signal(Signal::KILL);
                // Once is enough, but a process may need a while to be gone.
                kill_at = Some(Instant::now() + Duration::from_secs(1));
            }
        }
    };
    it.book.with(it.instance, |known| known.pid = None);
    it.clear_away().await;
    let last_words = async {
        while log.open {
            let bytes = log.read().await;
            it.keep(&log.chunk[..bytes]);
        }
    };
    if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
        tracing::debug!(instance.id = %it.instance, "its log was still held open after its end");
    }
    // What it said on its last breath counts too.
    while states.open && why.is_none() {
        let said = tokio::time::timeout(LAST_WORDS, states.read()).await;
        let Ok(bytes) = said else { break };
        why = it.hear(&mut states, bytes);
    }
    let cause = why.unwrap_or_else(|| it.exited(status));
    // One that was stopped before it was ready may have waited for a GPU that is not well.
    let doubt = cause.is_failure() || !it.was_ready;
    if let Some(facts) = it.facts.filter(|_| doubt) {
        facts.doubt_gpus();
    }
    it.book.see(it.instance, ObservedState::Ended { cause });
}

impl Attended {
    /// Takes in what came on standard output; gives the cause if the start failed, or the folder
    /// changed.
    fn hear(&mut self, states: &mut Pipe<ChildStdout>, bytes: usize) -> Option<EndCause> {
        let mut failed = None;
        for line in states.take_lines(bytes) {
            match serde_json::from_slice(&line) {
                Ok(Said::Preparing(doing)) => {
                    self.book.see(self.instance, ObservedState::Preparing { doing });
                }
                Ok(Said::Starting(doing)) => {
                    self.book.see(self.instance, ObservedState::starting(doing));
                }
                Ok(Said::Ready(address)) => {
                    let address = match address.strip_prefix("unix:") {
                        Some(path) => Address::Socket(path.to_owned()),
                        None => Address::Url(address),
                    };
                    self.was_ready = true;
                    self.book.see(self.instance, ObservedState::Ready { address });
                }
                Ok(Said::Changed(file)) => failed = Some(EndCause::Changed { file }),
                Ok(Said::Failed(Failed::Lasting(reason))) => {
                    failed = Some(EndCause::not_started(reason));
                }
                Ok(Said::Failed(Failed::Known { reason, fault })) => {
                    failed = Some(EndCause::NotStarted { reason, fault });
                }
                // Whatever else is printed there belongs to its log.
                Err(_) => self.keep(&[line.as_slice(), b"\n"].concat()),
            }
        }
        failed
    }

    fn keep(&self, bytes: &[u8]) {
        self.book.with(self.instance, |known| known.log.push(bytes));
    }

    /// Signals the process and its group. Nobody else can have its number: the process is ours and
    /// its end has not been taken notice of (`id` is `None` from then on).
    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let Some(pid) = pid else { return };
        // Until it has made its session there is no group of its own.
        let sent = kill_process_group(pid, signal).or_else(|_| kill_process(pid, signal));
        if let Err(error) = sent {
            tracing::warn!(%error, instance.id = %self.instance, "a signal cannot be sent");
        }
    }

    /// Removes the socket, the scratch folder and, where no namespace did it, the processes that are
    /// left.
    async fn clear_away(&self) {
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, instance.id = %self.instance, "its socket cannot be removed");
            }
            Ok(()) | Err(_) => {}
        }
        if self.isolation == Isolation::Session {
            self.sweep().await;
        }
        let scratch = self.scratch.clone();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(scratch)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, instance.id = %self.instance, "its scratch folder is left behind");
        }
    }

    async fn sweep(&self) {
        let variable = format!("MUSTER_INSTANCE={}", self.instance);
        let swept = tokio::task::spawn_blocking(move || sweep::leftovers_with(variable.as_bytes()));
        match swept.await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(left)) => {
                tracing::info!(instance.id = %self.instance, left, "processes it left behind were ended");
            }
            Ok(Err(error)) => {
                tracing::error!(%error, instance.id = %self.instance, "processes are left behind");
            }
        }
    }

    fn exited(&self, status: std::io::Result<ExitStatus>) -> EndCause {
        let lines = self.book.with(self.instance, |known| known.log.last_lines());
        let last_lines = lines.unwrap_or_default();
        match status {
            Ok(status) => {
                EndCause::Exited { code: status.code(), signal: status.signal(), last_lines }
            }
            Err(_) => EndCause::Exited { code: None, signal: None, last_lines },
        }
    }
}

/// One output of a process.
struct Pipe<R> {
    from: R,
    open: bool,
    chunk: Vec<u8>,
    /// The start of a line that has not ended.
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(from: R) -> Self {
        Self { from, open: true, chunk: vec![0; 4096], line: Vec::new() }
    }

    /// How many bytes of `chunk` are new; loses nothing if it is dropped.
    async fn read(&mut self) -> usize {
        let read = self.from.read(&mut self.chunk).await.unwrap_or(0);
        self.open = read > 0;
        read
    }

    /// Lines that are complete now; a line that is too long loses its end.
    fn take_lines(&mut self, bytes: usize) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for byte in &self.chunk[..bytes] {
            if *byte == b'\n' {
                lines.push(std::mem::take(&mut self.line));
            } else if self.line.len() < LINE {
                self.line.push(*byte);
            }
        }
        if !self.open && !self.line.is_empty() {
            lines.push(std::mem::take(&mut self.line));
        }
        lines
    }
}
