//! A body as it comes in: limited in size, time and the memory that all uploads share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;
use tower::ServiceExt;
use tower_http::decompression::RequestDecompression;

use crate::http::pace::Times;
use crate::http::problem::{Kind, Problem};

/// Memory is reserved in steps of this; a body smaller than this reserves nothing, for there are
/// no more of those than connections.
const STEP: u64 = 64 << 10;

/// The memory that uploads may use together.
#[derive(Clone, Debug)]
pub struct Space(Arc<Semaphore>);

impl Space {
    pub fn new(bytes: u64) -> Self {
        let steps = usize::try_from(bytes.div_ceil(STEP)).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(steps.min(Semaphore::MAX_PERMITS))))
    }
}

/// Held while the bytes of an upload are in memory.
#[derive(Debug, Default)]
pub struct Reserved(Option<OwnedSemaphorePermit>);

impl Reserved {
    fn grow(&mut self, space: &Space, bytes: u64) -> Result<(), Problem> {
        let have = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) as u64;
        let Some(missing) = (bytes / STEP).checked_sub(have).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        let steps = u32::try_from(missing).unwrap_or(u32::MAX);
        let Ok(more) = space.0.clone().try_acquire_many_owned(steps) else {
            let detail = "The hub is reading as many uploads as it has memory for. Try again.";
            return Err(Problem::new(Kind::Busy, detail));
        };
        match &mut self.0 {
            Some(held) => held.merge(more),
            held => *held = Some(more),
        }
        Ok(())
    }
}

/// A body that is read piece by piece.
pub struct Upload {
    body: Body,
    space: Space,
    times: Times,
    limit: u64,
    got: u64,
    begun: Instant,
    reserved: Reserved,
    hash: Option<Sha256>,
}

impl Upload {
    /// Refuses a body that says itself that it is too large before it is read.
    pub async fn new(
        request: Request,
        space: &Space,
        times: Times,
        limit: u64,
    ) -> Result<Self, Problem> {
        let declared = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
        if declared.and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n > limit) {
            return Err(too_large(limit));
        }
        let body = decoded(request).await?;
        Ok(Self {
            body,
            space: space.clone(),
            times,
            limit,
            got: 0,
            begun: Instant::now(),
            reserved: Reserved::default(),
            hash: None,
        })
    }

    /// From now on hashes what comes, after `salt`.
    pub fn hash_with(&mut self, salt: &[u8]) {
        self.hash = Some(Sha256::new_with_prefix(salt));
    }

    /// The next piece; `None` at the end. An error also when the client leaves before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let more = Duration::from_secs(self.got / self.times.body_bytes_a_second.max(1));
            let deadline = self.begun + self.times.body + more;
            let frame = timeout_at(deadline.into(), self.body.frame()).await;
            let Ok(frame) = frame else {
                let detail = "The rest of the body did not come in time. Send it again over a \
                              faster connection, or compressed.";
                return Err(Problem::new(Kind::TooSlow, detail));
            };
            let Some(frame) = frame else { return Ok(None) };
            let Ok(frame) = frame else {
                let detail = "The body broke off, or is not encoded as its Content-Encoding says.";
                return Err(Problem::new(Kind::BadRequest, detail));
            };
            let Ok(piece) = frame.into_data() else { continue };
            self.got += piece.len() as u64;
            if self.got > self.limit {
                return Err(too_large(self.limit));
            }
            self.reserved.grow(&self.space, self.got)?;
            if !piece.is_empty() {
                if let Some(hash) = &mut self.hash {
                    hash.update(&piece);
                }
                return Ok(Some(piece));
            }
        }
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

fn encoding(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    match (encodings.next().map(|encoding| encoding.as_bytes()), encodings.next()) {
        (None | Some(b"identity"), None) => Ok(false),
        (Some(b"gzip" | b"zstd"), None) => Ok(true),
        _ => {
            let detail = "The Content-Encoding may be gzip or zstd.";
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

/// The body without its Content-Encoding.
async fn decoded(request: Request) -> Result<Body, Problem> {
    if !encoding(request.headers())? {
        return Ok(request.into_body());
    }
    let pass = tower::service_fn(|request: http::Request<_>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(request.into_body()))
    });
    match RequestDecompression::new(pass).oneshot(request).await {
        Ok(response) => Ok(Body::new(response.into_body())),
        Err(_) => Err(Problem::internal()),
    }
}
