//! A body as it comes in: limited in size, time and the memory that all uploads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures::TryStreamExt;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::task::yield_now;
use tokio::time::timeout_at;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::http::pace::Times;
use crate::http::problem::{Kind, Problem};
use crate::http::share::{Full, Hold, Holder, Share};

/// Memory is reserved in steps of this; a body smaller than this reserves nothing, for there are
/// no more of those than connections.
const STEP: u64 = 64 << 10;

/// Bytes after which others have their turn: unpacking does not wait for anybody by itself.
const TURN: usize = 64 << 10;
/// Bytes that are unpacked at once.
const PIECE: usize = 64 << 10;

/// Held while the bytes of an upload are in memory.
#[derive(Debug)]
pub struct Reserved(Hold);

impl Reserved {
    /// Holds as much as `bytes` are.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        self.0.grow(bytes / STEP * STEP).map_err(|full| match full {
            Full::All => {
                let detail = "The hub is reading as many uploads as it has memory for. Try again.";
                Problem::new(Kind::Busy, detail)
            }
            Full::Yours => {
                let detail = "You, or others without an account in your network, are sending as \
                              much as one may send at a time. Send one body after the other.";
                Problem::new(Kind::TooManyUploads, detail).retry_after(5)
            }
        })
    }
}

/// A body that is read piece by piece.
pub struct Upload {
    body: Body,
    times: Times,
    limit: u64,
    got: u64,
    /// Of `got`, since others had their turn.
    turn: usize,
    /// What came over the wire, and how much of it has bought time.
    received: Arc<AtomicU64>,
    paid: u64,
    deadline: Instant,
    reserved: Reserved,
    /// Its pieces go on to a disk: they are not in memory together.
    passes_on: bool,
    hash: Option<Sha256>,
}

impl Upload {
    /// Refuses a body that says itself that it is too large before it is read. The memory it takes is
    /// that of whoever sends it, if that is known.
    pub async fn new(
        request: Request,
        space: &Arc<Share>,
        times: Times,
        limit: u64,
    ) -> Result<Self, Problem> {
        let declared = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
        if declared.and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > limit) {
            return Err(too_large(limit));
        }
        let holder = request.extensions().get::<Holder>().cloned();
        let reserved = Reserved(space.part(holder));
        let received = Arc::<AtomicU64>::default();
        let count = received.clone();
        let request = request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                count.fetch_add(bytes as u64, Relaxed);
                frame
            }))
        });
        let body = decoded(request)?;
        Ok(Self {
            body,
            times,
            limit,
            got: 0,
            turn: 0,
            received,
            paid: 0,
            deadline: Instant::now() + times.body,
            reserved,
            passes_on: false,
            hash: None,
        })
    }

    /// Says that nobody keeps its pieces in memory.
    pub fn pass_on(&mut self) {
        self.passes_on = true;
    }

    /// From now on hashes what comes, after `salt`.
    pub fn hash_with(&mut self, salt: &[u8]) {
        self.hash = Some(Sha256::new_with_prefix(salt));
    }

    /// The next piece; `None` at the end. An error also when the client leaves before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            if self.turn >= TURN {
                self.turn = 0;
                let waits = Instant::now();
                yield_now().await;
                self.deadline += waits.elapsed();
            }
            let frame = timeout_at(self.deadline.into(), self.body.frame()).await;
            self.buy_time();
            let Ok(frame) = frame else {
                let detail = "The rest of the body did not come in time. Send it again over a \
                              faster connection, or compressed.";
                return Err(Problem::new(Kind::TooSlow, detail));
            };
            let Some(frame) = frame else { return Ok(None) };
            let Ok(frame) = frame else {
                let detail = "The body broke off, or is not as its Content-Encoding says: something \
                              else than compressed data is in it or follows it.";
                return Err(Problem::new(Kind::BadRequest, detail));
            };
            let Ok(piece) = frame.into_data() else { continue };
            self.got += piece.len() as u64;
            self.turn += piece.len();
            if self.got > self.limit {
                return Err(too_large(self.limit));
            }
            if !self.passes_on {
                self.reserved.grow(self.got)?;
            }
            if !piece.is_empty() {
                if let Some(hash) = &mut self.hash {
                    hash.update(&piece);
                }
                return Ok(Some(piece));
            }
        }
    }

    /// What was received buys time, and nobody saves up more than there is at the start. What it
    /// unpacks to buys nothing.
    fn buy_time(&mut self) {
        let received = self.received.load(Relaxed);
        let rate = self.times.body_bytes_a_second.max(1) as f64;
        let bought = Duration::from_secs_f64((received - self.paid) as f64 / rate);
        self.paid = received;
        self.deadline = (self.deadline + bought).min(Instant::now() + self.times.body);
    }

    /// The hash of the body, zeros if none was asked for; and what was reserved for the pieces,
    /// for as long as they, or what was made of them, are kept.
    pub fn end(self) -> ([u8; 32], Reserved) {
        (self.hash.map_or([0; 32], |hash| hash.finalize().into()), self.reserved)
    }
}

fn too_large(limit: u64) -> Problem {
    let detail = format!("A body may have {limit} bytes. Split the inputs into several requests.");
    Problem::new(Kind::BodyTooLarge, detail)
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Zstd,
}

/// Names of codings have no case (RFC 9110, 8.4.1); `x-gzip` is gzip (8.4.1.3).
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Problem> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let (first, None) = (codings.next(), codings.next()) else { return Err(no_such_coding()) };
    let Some(first) = first else { return Ok(None) };
    match first.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Ok(None),
        b"gzip" | b"x-gzip" => Ok(Some(Coding::Gzip)),
        b"zstd" => Ok(Some(Coding::Zstd)),
        _ => Err(no_such_coding()),
    }
}

fn no_such_coding() -> Problem {
    let detail = "The Content-Encoding may be gzip or zstd, once.";
    Problem::new(Kind::UnsupportedMediaType, detail)
}

/// The body without its Content-Encoding. A file may have several members (RFC 1952, 2.2) or
/// frames, one after the other; what follows the last one and is none is an error.
fn decoded(request: Request) -> Result<Body, Problem> {
    let coding = coding(request.headers())?;
    let body = request.into_body();
    let Some(coding) = coding else { return Ok(body) };
    let pieces = BodyExt::into_data_stream(body);
    let packed = StreamReader::new(TryStreamExt::map_err(pieces, std::io::Error::other));
    Ok(match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(packed);
            decoder.multiple_members(true);
            Body::from_stream(ReaderStream::with_capacity(decoder, PIECE))
        }
        Coding::Zstd => {
            let mut decoder = ZstdDecoder::new(packed);
            decoder.multiple_members(true);
            Body::from_stream(ReaderStream::with_capacity(decoder, PIECE))
        }
    })
}
