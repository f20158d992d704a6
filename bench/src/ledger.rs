//! The append-only file of what was sent and what was acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Result;

/// One request that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When its outcome was known, microseconds since 1970.
    pub t: u64,
    pub client: u32,
    pub op: Op,
    pub key: String,
    pub id: Option<String>,
    pub inputs: u64,
    /// SHA-256 of the inputs, see [`input_sha`].
    pub sha: String,
    pub outcome: Outcome,
    /// HTTP status, 0 without an answer.
    pub status: u16,
    /// The phase that the answer said.
    pub phase: String,
    /// From the moment it was due, microseconds.
    pub took: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Submit,
    Get,
    Cancel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged.
    Ok,
    /// Refused: it must not exist.
    Fail,
    /// The answer was lost: it exists once or not at all.
    Unknown,
}

/// Writes entries on a thread of its own.
pub struct Ledger {
    entries: mpsc::Sender<Entry>,
    writer: JoinHandle<std::io::Result<()>>,
}

impl Ledger {
    pub fn append_to(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (entries, received) = mpsc::channel::<Entry>();
        let writer = std::thread::spawn(move || {
            let mut to = BufWriter::new(file);
            for entry in received {
                serde_json::to_writer(&mut to, &entry)?;
                to.write_all(b"\n")?;
            }
            to.flush()
        });
        Ok(Self { entries, writer })
    }

    pub fn writer(&self) -> mpsc::Sender<Entry> {
        self.entries.clone()
    }

    /// Everything is in the file when this returns.
    pub fn close(self) -> Result<()> {
        drop(self.entries);
        self.writer.join().map_err(|_| "the ledger's writer panicked")??;
        Ok(())
    }
}

pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for line in BufReader::new(File::open(path)?).lines() {
        entries.push(serde_json::from_str(&line?)?);
    }
    Ok(entries)
}

/// SHA-256 in hex digits of the inputs, each followed by a line end.
pub fn input_sha<T: AsRef<str>>(inputs: impl IntoIterator<Item = T>) -> String {
    let mut sha = Sha256::new();
    for input in inputs {
        sha.update(input.as_ref().as_bytes());
        sha.update(b"\n");
    }
    hex(&sha.finalize())
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| char::from(DIGITS[usize::from(n)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_was_written() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let ledger = Ledger::append_to(file.path()).expect("a ledger");
        let entry = Entry {
            t: 1,
            client: 2,
            op: Op::Submit,
            key: "k".into(),
            id: None,
            inputs: 1,
            sha: input_sha(["a"]),
            outcome: Outcome::Unknown,
            status: 0,
            phase: String::new(),
            took: 3,
        };
        ledger.writer().send(entry.clone()).expect("it writes");
        ledger.close().expect("it closes");
        assert_eq!(read(file.path()).expect("it reads"), [entry]);
    }

    #[test]
    fn hex_digits_are_two_a_byte() {
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }
}
