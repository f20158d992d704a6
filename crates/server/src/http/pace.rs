//! What a connection is doing and since when, and so how long it may still take.
//!
//! hyper can limit the time of a head, but then an idle connection has the same limit, and nothing
//! limits a client that stops reading. Here the connection notes what it does (a few atomics, no
//! timer is touched), and whoever drives it asks for the next deadline after each poll.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::share::Hold;

/// Bytes of a refused upload that are read and thrown away, so that the client sees the answer.
const LINGER_BYTES: usize = 4 << 20;
/// What a client has to read in the time for writing, if there is as much.
const STALL_BYTES: u64 = 64 << 10;
const LINGER: Duration = Duration::from_secs(2);

/// Waits for the first byte of the next request.
const IDLE: u8 = 0;
/// The head of a request comes in.
const HEAD: u8 = 1;
/// A request is worked on; its body has limits of its own.
const BUSY: u8 = 2;
/// The answer was sent, the rest of the upload is thrown away.
const LINGERING: u8 = 3;

/// How long a client may take. What runs out closes the connection.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From the connection's start, or the first byte of a later request, to the end of its head.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// A client that reads nothing for this long is dropped.
    pub write: Duration,
    /// For a body, beside what its size adds.
    pub body: Duration,
    /// Each of these bytes of a body adds a second.
    pub body_bytes_a_second: u64,
    /// How long a server that shall stop goes on while `/readyz` says no, so that balancers send
    /// nothing more when it stops.
    pub leave: Duration,
    /// For requests under way when the server stops.
    pub drain: Duration,
    /// Between two comments that keep an event stream open.
    pub event_comment: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(60),
            body: Duration::from_secs(30),
            body_bytes_a_second: 256 << 10,
            leave: Duration::ZERO,
            drain: Duration::from_secs(10),
            event_comment: Duration::from_secs(15),
        }
    }
}

/// Shared by the parts of one connection. Moments are microseconds after `epoch`, plus one.
pub struct Pace {
    epoch: Instant,
    times: Times,
    doing: AtomicU8,
    since: AtomicU64,
    /// When the client began to read less than is written; 0 while it reads.
    stalled: AtomicU64,
    /// Bytes it took since then.
    taken: AtomicU64,
    linger: AtomicBool,
}

impl Pace {
    /// A connection whose first request is due since `epoch`.
    pub fn new(epoch: Instant, times: Times) -> Self {
        Self {
            epoch,
            times,
            doing: AtomicU8::new(HEAD),
            since: AtomicU64::new(1),
            stalled: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            linger: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    fn set(&self, doing: u8) {
        self.since.store(self.now(), Relaxed);
        self.doing.store(doing, Relaxed);
    }

    pub fn busy(&self) {
        self.doing.store(BUSY, Relaxed);
    }

    pub fn idle(&self) {
        if self.doing.load(Relaxed) == BUSY {
            self.set(IDLE);
        }
    }

    /// The client may still send when the connection closes: read on a little, or the reset that
    /// the kernel sends for unread bytes makes the client lose the answer.
    pub fn linger(&self, linger: bool) {
        self.linger.store(linger, Relaxed);
    }

    fn read_some(&self) {
        if self.doing.load(Relaxed) == IDLE {
            self.set(HEAD);
        }
    }

    /// When the connection is to be dropped if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let at = |micros: u64, limit: Duration| self.epoch + Duration::from_micros(micros) + limit;
        let since = self.since.load(Relaxed);
        let doing = match self.doing.load(Relaxed) {
            IDLE => Some(at(since, self.times.idle)),
            HEAD => Some(at(since, self.times.head)),
            LINGERING => Some(at(since, LINGER)),
            _ => None,
        };
        let stalled = match self.stalled.load(Relaxed) {
            0 => None,
            since => Some(at(since, self.times.write)),
        };
        doing.into_iter().chain(stalled).min()
    }
}

/// A stream that notes in its [`Pace`] what happens.
pub struct Paced<T> {
    stream: T,
    pace: Arc<Pace>,
    lingered: usize,
}

impl<T> Paced<T> {
    pub fn new(stream: T, pace: Arc<Pace>) -> Self {
        Self { stream, pace, lingered: 0 }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        let pace = &self.pace;
        match written {
            Poll::Ready(Ok(bytes)) if pace.stalled.load(Relaxed) != 0 => {
                let taken = pace.taken.fetch_add(*bytes as u64, Relaxed) + *bytes as u64;
                // Whoever reads a little now and then does not read.
                if taken >= STALL_BYTES {
                    pace.stalled.store(0, Relaxed);
                }
            }
            Poll::Pending if pace.stalled.load(Relaxed) == 0 => {
                pace.taken.store(0, Relaxed);
                pace.stalled.store(pace.now(), Relaxed);
            }
            Poll::Ready(_) | Poll::Pending => {}
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Paced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.read_some();
        }
        read
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper has nothing more to write.
        self.pace.stalled.store(0, Relaxed);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        if !self.pace.linger.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        if self.pace.doing.load(Relaxed) != LINGERING {
            self.pace.set(LINGERING);
        }
        let mut space = [0; 8192];
        while self.lingered < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            self.lingered += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

/// The body of an answer; when it was sent or given up the connection is idle.
pub struct Answer {
    body: axum::body::Body,
    pace: Arc<Pace>,
    /// What the request holds to its end.
    _hold: Option<Arc<Hold>>,
}

impl Answer {
    pub fn new(body: axum::body::Body, pace: Arc<Pace>, hold: Option<Arc<Hold>>) -> Self {
        Self { body, pace, _hold: hold }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.pace.idle();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::task::yield_now;

    use super::*;

    /// Over TCP the kernel's buffers make large pieces of small ones.
    #[tokio::test]
    async fn who_reads_a_little_now_and_then_gets_no_more_time() {
        let pace = Arc::new(Pace::new(Instant::now(), Times::default()));
        pace.busy();
        let (ours, mut theirs) = duplex(1 << 10);
        let mut ours = Paced::new(ours, Arc::clone(&pace));
        let writing = tokio::spawn(async move { ours.write_all(&[0; 1 << 20]).await });
        let mut drink = async |bytes: u64| {
            let mut some = [0; 1 << 10];
            for _ in 0..bytes >> 10 {
                theirs.read_exact(&mut some).await.expect("some bytes");
                yield_now().await;
            }
            pace.deadline().expect("there is more to read")
        };
        let begun = drink(1 << 10).await;
        assert_eq!(drink(STALL_BYTES / 2).await, begun);
        assert!(drink(STALL_BYTES).await > begun);
        writing.abort();
    }
}
