//! Reading a model folder: `model.toml`, or the eos-template layout as it is in the wild.

mod template;
mod toml;

use std::fmt;
use std::path::{Path, PathBuf};

use muster_core::Model;
use muster_core::model::ModelLimits;
use sha2::{Digest, Sha256};

use crate::dependencies::Dependencies;

/// Biggest file that is part of a folder's version by its content; of a bigger one (weights) only the
/// length counts.
const CONTENT: u64 = 64 << 20;

#[derive(Clone, Debug)]
pub struct Folder {
    pub dir: PathBuf,
    pub model: Model,
    pub kind: Kind,
    pub dependencies: Dependencies,
    /// Name of the output example's columns, as far as the folder has one.
    pub example_output: Vec<String>,
}

/// How the model is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `function` of the Python file `file`, kept loaded.
    Python { file: PathBuf, function: String },
    /// A program, run in `dir`; `{input}` and `{output}` stand for CSV files.
    Command { command: Vec<String>, dir: PathBuf },
    /// A server that runs elsewhere.
    Http { url: String },
}

/// Something wrong with a folder, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub file: String,
    pub what: String,
}

impl Fault {
    pub(crate) fn new(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// Reads a folder, or says everything that is wrong with it.
pub fn read(dir: &Path) -> Result<Folder, Vec<Fault>> {
    let wrong = |what: String| vec![Fault::new(dir.display().to_string(), what)];
    let dir = dir.canonicalize().map_err(|error| wrong(error.to_string()))?;
    if !dir.is_dir() {
        return Err(wrong("it is not a folder".into()));
    }
    let mut folder = if dir.join("model.toml").is_file() {
        toml::read(&dir)?
    } else if dir.join("model/framework").is_dir() {
        template::read(&dir)?
    } else {
        return Err(wrong(
            "there is neither a model.toml nor a model/framework folder; see docs/models.md".into(),
        ));
    };
    let digest = digest(&dir).map_err(|error| wrong(error.to_string()))?;
    folder.model.version = format!("{}+{digest}", folder.model.version);
    Ok(folder)
}

fn check_limits(limits: &ModelLimits, faults: &mut Vec<Fault>) {
    let fault = |what| Fault::new("model.toml", format!("limits: {what}"));
    faults.extend(limits.faults().into_iter().map(fault));
}

/// The first 8 hex digits of a hash over names and contents of the folder's files.
fn digest(dir: &Path) -> std::io::Result<String> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(dir).unwrap_or(&file).to_string_lossy().into_owned();
        let length = file.metadata()?.len();
        hash.update(name.as_bytes());
        hash.update(length.to_le_bytes());
        if length <= CONTENT {
            hash.update(std::fs::read(&file)?);
        }
    }
    Ok(hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "__pycache__" || name.ends_with(".pyc") {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Reads the first column of a CSV file without its header.
fn first_column(text: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let rows = reader.records().filter_map(Result::ok);
    rows.filter_map(|row| row.get(0).map(str::to_owned)).filter(|cell| !cell.is_empty()).collect()
}

fn header(text: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    reader.headers().map(|row| row.iter().map(str::to_owned).collect()).unwrap_or_default()
}
