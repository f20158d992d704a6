//! A result inside the answer about its request, while it is read.

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use muster_store::Error;

use super::view::WorkRequestView;
use crate::http::problem::Problem;

type Pieces = BoxStream<'static, Result<Bytes, Error>>;

/// The request as JSON with `result`, which is JSON, as its result.
pub fn within(request: &WorkRequestView, result: Pieces) -> Result<Pieces, Problem> {
    let text = serde_json::to_string(request).map_err(|_| Problem::internal())?;
    // It is the last member.
    let head = text.strip_suffix("null}").ok_or_else(Problem::internal)?.to_owned();
    let head = stream::iter([Ok(Bytes::from(head))]);
    let tail = stream::iter([Ok(Bytes::from_static(b"}"))]);
    Ok(head.chain(result).chain(tail).boxed())
}

/// CSV as a JSON array of its lines.
pub fn lines(csv: Pieces) -> Pieces {
    let mut lines = Lines::default();
    let inner = csv.map(move |piece| piece.map(|piece| lines.feed(&piece)));
    let head = stream::iter([Ok(Bytes::from_static(b"["))]);
    let tail = stream::iter([Ok(Bytes::from_static(b"]"))]);
    head.chain(inner).chain(tail).boxed()
}

/// Cuts CSV whose lines end with LF. A line end inside quotes ends no line.
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    quoted: bool,
    begun: bool,
}

impl Lines {
    fn feed(&mut self, piece: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 4);
        for &byte in piece {
            self.quoted ^= byte == b'"';
            if byte != b'\n' || self.quoted {
                self.line.push(byte);
                continue;
            }
            if std::mem::replace(&mut self.begun, true) {
                out.push(b',');
            }
            let text = String::from_utf8_lossy(&self.line);
            out.extend(serde_json::to_vec(&text).unwrap_or_default());
            self.line.clear();
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_the_pieces_are_cut() {
        let csv = "input,x\n\"a\n\"\"b\"\"\",1\n\u{e9},\"\"\n";
        for size in 1..csv.len() {
            let mut lines = Lines::default();
            let mut all = vec![b'['];
            csv.as_bytes().chunks(size).for_each(|piece| all.extend(lines.feed(piece)));
            all.push(b']');
            let got: Vec<String> = serde_json::from_slice(&all).expect("JSON");
            assert_eq!(got, ["input,x", "\"a\n\"\"b\"\"\",1", "\u{e9},\"\""]);
        }
    }
}
