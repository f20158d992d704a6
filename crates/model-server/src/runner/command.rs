//! A program that reads a CSV file and writes one, started anew for each batch.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use muster_core::{Column, ColumnKind};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use super::Failed;
use crate::folder::script_text;
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
            .words()
            .into_iter()
            .map(|word| {
                let word = word.replace("{input}", &input.to_string_lossy());
                word.replace("{output}", &output.to_string_lossy()).into()
            })
            .collect();
        let started = self.spawner.start(&words, &self.dir, self.bin.as_deref()).await;
        let mut group = started.map_err(|error| {
            Failed(format!("its command {} cannot be started: {error}", self.command[0]))
        })?;
        drop(group.child.stdin.take());
        let stdout = group.child.stdout.take().map(|stdout| self.logs.follow(stdout));
        let stderr = group.child.stderr.take().map(|stderr| self.logs.follow(stderr));
        let status = group.child.wait().await.map_err(io)?;
        let read = if status.success() {
            read_output(&held).and_then(|text| records(&text, inputs.len(), &self.outputs))
        } else {
            Err(Failed(format!("its command ended with {status}")))
        };
        let Err(Failed(error)) = read else { return read };
        // Why is what it said last, whatever its exit code: errors first.
        let mut said = None;
        for mut output in stderr.into_iter().chain(stdout) {
            output.whole().await;
            said = said.or_else(|| output.last_line());
        }
        let said = said.map(|line| format!("; it said last: {line}")).unwrap_or_default();
        Err(Failed(format!("{error}{said}")))
    }

    /// The command's words. A script of the shell with Windows line ends is given to it without them.
    fn words(&self) -> Vec<String> {
        let [shell, script, rest @ ..] = &self.command[..] else { return self.command.clone() };
        let is_shell = matches!(shell.as_str(), "bash" | "sh");
        let read = || std::fs::read(self.dir.join(script)).ok();
        let text = if is_shell { read().and_then(|bytes| script_text(&bytes)) } else { None };
        let Some(text) = text else { return self.command.clone() };
        let given = [shell.clone(), "-c".to_owned(), text, script.clone()];
        given.into_iter().chain(rest.iter().cloned()).collect()
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
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
    if let Some((_, name)) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        return Err(Failed(format!("its output has two columns named {name}")));
    }
    let is_text = |name: &str| {
        declared.iter().any(|column| column.name == name && column.kind == ColumnKind::String)
    };
    let kinds: Vec<bool> = names.iter().map(|name| is_text(name)).collect();
    // In the order of the file, which a map would lose.
    let names: Vec<String> = names.iter().map(|name| Value::from(&**name).to_string()).collect();
    let (mut records, mut rows) = (Vec::with_capacity(2 * text.len()), 0);
    records.push(b'[');
    for row in reader.records() {
        let row = row.map_err(bad)?;
        if row.len() > names.len() {
            return Err(Failed("its output has a row with more cells than the header".into()));
        }
        records.extend_from_slice(if rows == 0 { b"{" } else { b",{" });
        for (n, name) in names.iter().enumerate() {
            if n > 0 {
                records.push(b',');
            }
            records.extend_from_slice(name.as_bytes());
            records.push(b':');
            let cell = row.get(n).unwrap_or_default().trim();
            records.extend_from_slice(value(cell, kinds[n]).to_string().as_bytes());
        }
        records.push(b'}');
        rows += 1;
    }
    if rows != want {
        return Err(Failed(format!("its output has {rows} rows for {want} inputs")));
    }
    records.push(b']');
    Ok(records.into())
}

fn value(cell: &str, is_text: bool) -> Value {
    if cell.is_empty() {
        return Value::Null;
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
