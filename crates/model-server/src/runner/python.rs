//! A Python predictor kept warm in a process of its own. If the process dies, the batch fails and the next
//! one gets a new process.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::Failed;
use crate::logs::{Followed, Logs, Mark};
use crate::prepare::Environment;
use crate::process::{Group, Spawner};

const HARNESS: &str = include_str!("harness.py");
/// How an answer begins that has its values by column.
const COLUMNS: &[u8] = b"{\"columns\":";
/// How a wrapper says that its process was killed with SIGKILL.
const KILLED: i32 = 128 + 9;
/// What a pipe holds.
const PIPE: usize = 64 << 10;
/// Longest answer of the predictor, bytes.
const LONGEST: u64 = 256 << 20;

pub(crate) struct PythonRunner {
    pub spawner: Spawner,
    pub environment: Environment,
    pub dir: PathBuf,
    /// What the harness loads: `function FILE NAME` or `mlflow FOLDER COLUMN KIND OUTPUTS`.
    pub predictor: Vec<OsString>,
    pub logs: Logs,
    pub worker: Option<Warm>,
    /// The last process that ended was killed.
    pub killed: bool,
}

/// A process that loaded the predictor.
pub(crate) struct Warm {
    group: Group,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    log: Followed,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    failed: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

impl PythonRunner {
    /// Starts the process and loads the predictor.
    pub(crate) async fn load(&mut self) -> Result<(), Failed> {
        let failed = |error: std::io::Error| Failed(format!("Python cannot be started: {error}"));
        let python = self.environment.python.clone().into();
        let mut words: Vec<OsString> = vec![python, "-c".into(), HARNESS.into()];
        words.extend(self.predictor.iter().cloned());
        let begun = self.logs.mark();
        let bin = self.environment.bin.as_deref();
        let mut group = self.spawner.start(&words, &self.dir, bin).await.map_err(failed)?;
        let child = &mut group.child;
        let (to, from, log) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(to), Some(from), Some(log)) = (to, from, log) else {
            return Err(Failed("Python has no pipes".into()));
        };
        let log = self.logs.follow(log);
        let mut warm = Warm { group, to, from: BufReader::with_capacity(PIPE, from), log };
        match warm.line().await {
            Ok(line) => match serde_json::from_slice::<Said>(&line) {
                Ok(Said { failed: Some(error), .. }) => return Err(Failed(error)),
                Ok(_) => {}
                Err(_) => return Err(Failed("the predictor did not load".into())),
            },
            Err(how) => return Err(self.ended(warm, begun, &how).await),
        }
        self.worker = Some(warm);
        Ok(())
    }

    pub(crate) async fn run(&mut self, inputs: &[String]) -> Result<Bytes, Failed> {
        if self.worker.is_none() {
            self.load().await?;
        }
        // Taken out: if this future is dropped in the middle, the process goes with it.
        let Some(mut warm) = self.worker.take() else {
            return Err(Failed("the predictor did not load".into()));
        };
        let mut line = serde_json::to_vec(inputs).map_err(|error| Failed(error.to_string()))?;
        line.push(b'\n');
        let begun = self.logs.mark();
        let answer = match warm.ask(&line).await {
            Ok(answer) => answer,
            Err(how) => return Err(self.ended(warm, begun, &how).await),
        };
        self.worker = Some(warm);
        if answer.first() == Some(&b'[') {
            return Ok(answer.into());
        }
        if answer.starts_with(COLUMNS) {
            let records = records(&answer, inputs.len());
            return records.ok_or_else(|| Failed("its columns cannot be read".into()));
        }
        let said: Result<Said, _> = serde_json::from_slice(&answer);
        let error = said.ok().and_then(|said| said.error);
        Err(Failed(error.unwrap_or_else(|| "its answer is not JSON".into())))
    }

    async fn ended(&mut self, mut warm: Warm, begun: Mark, how: &str) -> Failed {
        let waited =
            tokio::time::timeout(std::time::Duration::from_secs(2), warm.group.child.wait());
        let how = match waited.await {
            Ok(Ok(status)) => {
                self.killed = status.signal().is_some() || status.code() == Some(KILLED);
                format!("its process ended ({status})")
            }
            _ => how.to_owned(),
        };
        warm.log.whole().await;
        match self.logs.last_line(begun) {
            None => Failed(how),
            Some(line) => Failed(format!("{how}; it said last: {line}")),
        }
    }
}

/// Names once, and each column's values: the harness and this server spare a name for each value.
#[derive(Deserialize)]
struct Columns<'a> {
    #[serde(borrow)]
    columns: Vec<&'a RawValue>,
    #[serde(borrow)]
    values: Vec<Vec<&'a RawValue>>,
}

/// Columns as JSON records; values are copied as they are spelled.
fn records(answer: &[u8], rows: usize) -> Option<Bytes> {
    let text = std::str::from_utf8(answer).ok()?;
    let Columns { columns, values } = serde_json::from_str(text).ok()?;
    if values.len() != columns.len() || values.iter().any(|column| column.len() != rows) {
        return None;
    }
    let names: usize = columns.iter().map(|name| name.get().len() + 2).sum();
    let mut records = Vec::with_capacity(answer.len() + rows * (names + 2));
    records.push(b'[');
    for row in 0..rows {
        for (n, (name, column)) in columns.iter().zip(&values).enumerate() {
            records.extend_from_slice(match (row, n) {
                (0, 0) => b"{",
                (_, 0) => b",{",
                _ => b",",
            });
            records.extend_from_slice(name.get().as_bytes());
            records.push(b':');
            records.extend_from_slice(column[row].get().as_bytes());
        }
        records.push(b'}');
    }
    records.push(b']');
    Some(records.into())
}

impl Warm {
    async fn ask(&mut self, line: &[u8]) -> Result<Vec<u8>, String> {
        let broken = |error: std::io::Error| format!("its process cannot be reached: {error}");
        self.to.write_all(line).await.map_err(broken)?;
        self.to.flush().await.map_err(broken)?;
        self.line().await
    }

    async fn line(&mut self) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.from).take(LONGEST);
        match bounded.read_until(b'\n', &mut line).await {
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Ok(line)
            }
            Ok(n) if n as u64 == LONGEST => {
                Err(format!("its answer is longer than {} MiB", LONGEST >> 20))
            }
            Ok(_) => Err("its process ended".to_owned()),
            Err(error) => Err(format!("its process cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_records_with_values_as_they_were_spelled() {
        let answer = br#"{"columns":["a","b\"c"],"values":[[1.50,2e-7],["x,]",null]]}"#;
        let records = records(answer, 2).expect("columns");
        assert_eq!(records, &br#"[{"a":1.50,"b\"c":"x,]"},{"a":2e-7,"b\"c":null}]"#[..]);
        for (bad, rows) in [(&answer[..20], 2), (&answer[..], 3)] {
            assert_eq!(super::records(bad, rows), None);
        }
        let one_missing = br#"{"columns":["a","b"],"values":[[1],[]]}"#;
        assert_eq!(super::records(one_missing, 1), None);
    }
}
