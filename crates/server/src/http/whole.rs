//! Answers to HTTP/1.0, where the end of the connection is the end of an answer without a length: one
//! that broke off looks whole there. So an answer whose length nobody knows is written to its end
//! before it is sent, into memory if it is small, else into a file that has no name.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::TryStreamExt;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

use crate::http::problem::{Kind, Problem};
use crate::http::share::Share;

/// Answers of at most so many bytes are kept in memory.
const SMALL: usize = 256 << 10;
/// Bytes read from the file at once.
const PIECE: usize = 64 << 10;

/// The same answer with its length; event streams have none. `space`: for the files of all answers.
pub async fn whole(answer: Response, space: &Arc<Share>) -> Response {
    let is_stream = answer
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let is_known = answer.body().size_hint().exact().is_some()
        || answer.headers().contains_key(CONTENT_LENGTH);
    if is_stream || is_known {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    match written(body, space).await {
        Ok((body, bytes)) => {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            Response::from_parts(head, body)
        }
        Err(problem) => problem.into_response(),
    }
}

fn broken_off(error: axum::Error) -> Problem {
    let mut causes = std::iter::successors(Some(&error as &dyn Error), |&error| error.source());
    if causes.any(|cause| matches!(cause.downcast_ref(), Some(muster_store::Error::Gone))) {
        return Problem::no_such_request();
    }
    tracing::warn!(%error, "an answer broke off before it was sent");
    let detail = "What was asked for could not be read to its end. Try again.";
    Problem::new(Kind::Busy, detail)
}

async fn written(mut body: Body, space: &Arc<Share>) -> Result<(Body, u64), Problem> {
    let (mut small, mut bytes) = (Vec::new(), 0u64);
    let mut large: Option<File> = None;
    let mut reserved = space.part(None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken_off)?;
        let Ok(piece) = frame.into_data() else { continue };
        bytes += piece.len() as u64;
        if large.is_none() && bytes <= SMALL as u64 {
            small.extend_from_slice(&piece);
            continue;
        }
        reserved.grow(bytes).map_err(|_| {
            let detail = "The hub writes as many answers to HTTP/1.0 as it has space for. Ask with \
                          HTTP/1.1, or try again.";
            Problem::new(Kind::Busy, detail)
        })?;
        let file = match &mut large {
            Some(file) => file,
            None => {
                let mut file = File::from_std(tempfile::tempfile().map_err(|e| no_file(&e))?);
                file.write_all(&small).await.map_err(|e| no_file(&e))?;
                small = Vec::new();
                large.insert(file)
            }
        };
        file.write_all(&piece).await.map_err(|e| no_file(&e))?;
    }
    let Some(mut file) = large else { return Ok((Body::from(small), bytes)) };
    file.flush().await.map_err(|e| no_file(&e))?;
    file.rewind().await.map_err(|e| no_file(&e))?;
    // The space is free again when the answer is gone.
    let pieces = ReaderStream::with_capacity(file, PIECE).map_ok(move |piece: Bytes| {
        let _kept = &reserved;
        piece
    });
    Ok((Body::from_stream(pieces), bytes))
}

fn no_file(error: &std::io::Error) -> Problem {
    tracing::error!(%error, "an answer to HTTP/1.0 cannot be kept in a temporary file");
    let detail = "The hub has no space to write the answer before it sends it, as HTTP/1.0 needs. \
                  Ask with HTTP/1.1, or try again later.";
    Problem::new(Kind::DiskFull, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_goes_before_the_first_byte_is_sent_is_not_there() {
        for (error, status) in
            [(muster_store::Error::Gone, 404), (muster_store::Error::Corrupt("a part".into()), 503)]
        {
            let pieces = [Ok(Bytes::from_static(b"n\n1\n")), Err(error)];
            let body = Body::from_stream(futures::stream::iter(pieces));
            let space = Share::new(1 << 20, 1 << 20);
            assert_eq!(whole(Response::new(body), &space).await.status(), status);
        }
    }
}
