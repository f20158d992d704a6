//! A program that reads a CSV file and writes one, started anew for each batch.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use muster_core::{Column, ColumnKind};
use rustix::fs::{Mode, OFlags};

use super::Failed;
use crate::logs::Logs;
use crate::process::Spawner;

/// Biggest output file.
const LONGEST: u64 = 256 << 20;

pub(crate) struct CommandRunner {
    pub spawner: Spawner,
    pub bin: Option<PathBuf>,
    pub dir: PathBuf,
    pub command: Vec<String>,
    pub header: String,
    pub outputs: Vec<Column>,
    pub logs: Logs,
}

impl CommandRunner {
    pub(crate) async fn run(&mut self, inputs: &[String]) -> Result<Bytes, Failed> {
        let io = |error: std::io::Error| Failed(format!("its files cannot be used: {error}"));
        let folder = self.spawner.folder().map_err(io)?;
        let (input, output) = (folder.path().join("input.csv"), folder.path().join("output.csv"));
        write_input(&input, &self.header, inputs).map_err(|error| Failed(error.to_string()))?;
        self.spawner.give(&input).map_err(io)?;
        // What is read is in this folder, whatever the model makes of its name meanwhile.
        let held = File::open(folder.path()).map_err(io)?;
        let words: Vec<OsString> = self
            .command
            .iter()
            .map(|word| {
                let word = word.replace("{input}", &input.to_string_lossy());
                word.replace("{output}", &output.to_string_lossy()).into()
            })
            .collect();
        let begun = self.logs.mark();
        let started = self.spawner.start(&words, &self.dir, self.bin.as_deref()).await;
        let mut group = started.map_err(|error| {
            Failed(format!("its command {} cannot be started: {error}", self.command[0]))
        })?;
        drop(group.child.stdin.take());
        let stdout = group.child.stdout.take().map(|stdout| self.logs.follow(stdout));
        let stderr = group.child.stderr.take().map(|stderr| self.logs.follow(stderr));
        let status = group.child.wait().await.map_err(io)?;
        if !status.success() {
            for mut output in stdout.into_iter().chain(stderr) {
                output.whole().await;
            }
            let said = self.logs.last_line(begun);
            let said = said.map(|line| format!("; it said last: {line}")).unwrap_or_default();
            return Err(Failed(format!("its command ended with {status}{said}")));
        }
        let text = read_output(&held)?;
        records(&text, inputs.len(), &self.outputs)
    }
}

/// The output: a file that the model wrote itself, no link to one that is not its own.
fn read_output(folder: &File) -> Result<Vec<u8>, Failed> {
    let io = |error: std::io::Error| Failed(format!("its output cannot be read: {error}"));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = match rustix::fs::openat(folder, "output.csv", flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(rustix::io::Errno::NOENT) => return Err(Failed("its command wrote no output".into())),
        Err(error) => return Err(io(error.into())),
    };
    let found = file.metadata().map_err(io)?;
    if !found.is_file() || found.nlink() > 1 {
        return Err(Failed("its output has to be a file of its own, not a link".into()));
    }
    if found.len() == 0 {
        return Err(Failed("its command wrote no output".into()));
    }
    if found.len() > LONGEST {
        return Err(Failed(format!("its output is larger than {} MiB", LONGEST >> 20)));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(io)?;
    Ok(text)
}

fn write_input(path: &Path, header: &str, inputs: &[String]) -> csv::Result<()> {
    let mut writer = csv::Writer::from_path(path)?;
    writer.write_record([header])?;
    for input in inputs {
        writer.write_record([input])?;
    }
    writer.flush()?;
    Ok(())
}

/// CSV with a header as JSON records.
fn records(text: &[u8], want: usize, declared: &[Column]) -> Result<Bytes, Failed> {
    let bad = |error: csv::Error| Failed(format!("its output is not CSV: {error}"));
    let text = String::from_utf8_lossy(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
    if let Some((_, name)) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        return Err(Failed(format!("its output has two columns named {name}")));
    }
    let is_text = |name: &str| {
        declared.iter().any(|column| column.name == name && column.kind == ColumnKind::String)
    };
    let kinds: Vec<bool> = names.iter().map(|name| is_text(name)).collect();
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(bad)?;
        if row.len() > names.len() {
            return Err(Failed("its output has a row with more cells than the header".into()));
        }
        let mut record = serde_json::Map::new();
        for (n, name) in names.iter().enumerate() {
            let cell = row.get(n).unwrap_or_default().trim();
            record.insert(name.clone(), value(cell, kinds[n]));
        }
        rows.push(record);
    }
    if rows.len() != want {
        return Err(Failed(format!("its output has {} rows for {want} inputs", rows.len())));
    }
    serde_json::to_vec(&rows).map(Bytes::from).map_err(|error| Failed(error.to_string()))
}

fn value(cell: &str, is_text: bool) -> serde_json::Value {
    if cell.is_empty() {
        return serde_json::Value::Null;
    }
    if is_text {
        return cell.into();
    }
    if let Ok(integer) = cell.parse::<i64>() {
        return integer.into();
    }
    match cell.parse::<f64>() {
        // NaN and infinities have no place in JSON: `null`.
        Ok(float) => serde_json::Number::from_f64(float).into(),
        Err(_) => cell.into(),
    }
}
