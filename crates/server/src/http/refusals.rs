//! What hyper says by itself of a head that it cannot read has no body: it gets a problem document on its
//! way out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::listen::{HEAD_BYTES, HEADERS};
use super::problem::{Kind, Problem};

/// A stream that looks whether what is written is such an answer.
pub struct Refusals<T> {
    stream: T,
    /// What is written in its place, how much of it was, and how long the answer was.
    instead: Option<(Vec<u8>, usize, usize)>,
}

impl<T> Refusals<T> {
    pub fn new(stream: T) -> Self {
        Self { stream, instead: None }
    }
}

/// The whole answer in place of one of hyper, if it is one: ours have an id and a body.
fn instead_of(answer: &[u8]) -> Option<Vec<u8>> {
    let line = answer.strip_prefix(b"HTTP/1.").filter(|_| answer.ends_with(b"\r\n\r\n"))?;
    let status = line.get(2..5)?;
    let (status, problem) = match status {
        b"431" => {
            let kib = HEAD_BYTES >> 10;
            let detail = format!(
                "A request may have {HEADERS} headers, and {kib} KiB of them and its first line. Send \
                 fewer or shorter ones; often they are cookies."
            );
            ("431 Request Header Fields Too Large", Problem::new(Kind::HeadTooLarge, detail))
        }
        b"400" => {
            let detail = "The head of the request is not HTTP/1.1. Is it meant for this port?";
            ("400 Bad Request", Problem::new(Kind::BadRequest, detail))
        }
        _ => return None,
    };
    if answer.windows(12).any(|name| name.eq_ignore_ascii_case(b"x-request-id")) {
        return None;
    }
    let document = problem.document();
    let length = document.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         connection: close\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n\
         {document}"
    );
    Some(answer.into_bytes())
}

impl<T: AsyncRead + Unpin> AsyncRead for Refusals<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Refusals<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            this.instead = instead_of(bytes).map(|instead| (instead, 0, bytes.len()));
        }
        let Some((instead, written, stands_for)) = &mut this.instead else {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        };
        while *written < instead.len() {
            let more = ready!(Pin::new(&mut this.stream).poll_write(cx, &instead[*written..]))?;
            if more == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += more;
        }
        let stands_for = *stands_for;
        this.instead = None;
        Poll::Ready(Ok(stands_for))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first: &[u8] = pieces.first().map_or(&[], |first| &first[..]);
        if self.instead.is_some() || instead_of(first).is_some() {
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
