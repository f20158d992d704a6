//! The end of a log.

use std::collections::VecDeque;

/// Most bytes that are kept.
const KEPT: usize = 64 << 10;
/// Most bytes of the last lines that go into an end's cause.
const LAST_LINES: usize = 2 << 10;

/// The last 64 KiB of what was written.
#[derive(Default)]
pub(crate) struct Tail {
    bytes: VecDeque<u8>,
    /// Bytes that were ever written.
    written: u64,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(KEPT);
        self.bytes.drain(..over);
        self.bytes.extend(bytes);
    }

    /// What is kept after the first `from` bytes, and how many bytes were written before it.
    pub(crate) fn since(&self, from: u64) -> (u64, Vec<u8>) {
        let first = self.written - self.bytes.len() as u64;
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        (first.max(from), self.bytes.iter().skip(skip).copied().collect())
    }

    /// All that is kept; bytes that are not UTF-8 are replaced.
    fn text(&self) -> String {
        let (front, back) = self.bytes.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }

    /// The last lines, whole ones unless the very last is too long.
    pub(crate) fn last_lines(&self) -> String {
        let text = self.text();
        let text = text.trim_end();
        let mut start = text.len().saturating_sub(LAST_LINES);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let cut = &text[start..];
        match cut.split_once('\n') {
            Some((_, whole)) if start > 0 => whole.to_owned(),
            _ => cut.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_log_is_kept() {
        let mut tail = Tail::default();
        tail.push(b"first\n");
        tail.push(&b"x".repeat(KEPT - 1));
        assert_eq!(tail.text().len(), KEPT);
        assert!(tail.text().starts_with("\nx"));
        tail.push(&[b"y".repeat(KEPT), b"z".to_vec()].concat());
        assert!(tail.text().starts_with("yy") && tail.text().ends_with('z'));
        let written = 6 + 2 * KEPT as u64;
        assert_eq!(tail.since(written - 2), (written - 2, b"yz".to_vec()));
        assert_eq!(tail.since(written), (written, vec![]));
        assert_eq!(tail.since(0).0, written - KEPT as u64);
    }

    #[test]
    fn the_last_lines_are_whole_lines() {
        let mut tail = Tail::default();
        assert_eq!(tail.last_lines(), "");
        tail.push("ä\n".repeat(LAST_LINES).as_bytes());
        tail.push(b"Error: no such file\n\n");
        let lines = tail.last_lines();
        assert!(lines.len() <= LAST_LINES && lines.starts_with("ä\n"));
        assert!(lines.ends_with("ä\nError: no such file"));
    }
}
