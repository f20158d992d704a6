//! Reading a model folder: `model.toml`, the eos-template layout as it is in the wild, an MLflow model, or
//! a `predict.py` alone.

pub mod archive;
mod content;
mod mlflow;
mod scan;
mod template;
mod toml;
pub(crate) mod yaml;

use std::fmt;
use std::path::{Path, PathBuf};

use muster_core::Model;
use muster_core::model::ModelLimits;

use self::content::Memory;
use crate::dependencies::Dependencies;

pub use content::Snapshot;
pub(crate) use scan::script_text;

/// A text that describes a model, bytes: who reads folders of others does not hold more in memory.
const LONGEST_TEXT: u64 = 8 << 20;

/// How often a folder is read that changes meanwhile.
const TRIES: usize = 5;

#[derive(Clone, Debug)]
pub struct Folder {
    pub dir: PathBuf,
    pub model: Model,
    pub kind: Kind,
    pub form: Form,
    pub dependencies: Dependencies,
    /// Name of the output example's columns, as far as the folder has one.
    pub example_output: Vec<String>,
    /// A short name, as existing tools show it.
    pub slug: String,
    /// What is no fault, but should be known.
    pub notes: Vec<Note>,
    /// Its files as they were when it was read.
    pub snapshot: Snapshot,
}

impl Folder {
    /// What is not as the model may need it: it may be why the model fails.
    pub fn missing(&self) -> Vec<String> {
        self.notes.iter().filter(|note| note.missing).map(ToString::to_string).collect()
    }
}

/// How a folder describes its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    ModelToml,
    Template,
    Mlflow,
    /// A `predict.py` and nothing that describes it.
    Predict,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ModelToml => "model.toml",
            Self::Template => "the eos-template layout",
            Self::Mlflow => "an MLflow model",
            Self::Predict => "a predict.py alone",
        })
    }
}

/// Something that is no fault, and about which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub about: Fault,
    /// Something is not there, or not done, that the model may need.
    pub missing: bool,
}

impl Note {
    pub(crate) fn told(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { about: Fault::new(file, what), missing: false }
    }

    pub(crate) fn missing(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { about: Fault::new(file, what), missing: true }
    }

    pub(crate) fn twice(file: &str, key: &str) -> Self {
        Self::told(file, format!("{key} stands twice; the last one counts"))
    }

    pub(crate) fn undone(file: &str, what: &str) -> Self {
        Self::missing(file, format!("not done: {what}"))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.about.fmt(f)
    }
}

/// How the model is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `function` of the Python file `file`, kept loaded.
    Python { file: PathBuf, function: String },
    /// A program, run in `dir`; `{input}` and `{output}` stand for CSV files.
    Command { command: Vec<String>, dir: PathBuf },
    /// An MLflow model, kept loaded.
    Mlflow(Mlflow),
    /// An external server.
    Http { url: String },
}

/// How an MLflow model is called: with a table of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mlflow {
    /// The column's name in the signature.
    pub column: Option<String>,
    /// numpy's word for the numbers that the signature wants: it takes no others. `None`: texts.
    pub numbers: Option<&'static str>,
    /// What to call columns that the model gives no names.
    pub outputs: Vec<String>,
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
    read_known(dir, None, u64::MAX)
}

/// The same with what is known of its files, which is kept in `place`. If more than `most` bytes would have
/// to be read for its version, that has no hash yet ([`Model::is_read`]).
pub fn read_known(dir: &Path, place: Option<&Path>, most: u64) -> Result<Folder, Vec<Fault>> {
    let wrong = |what: String| vec![Fault::new(dir.display().to_string(), what)];
    let dir = dir.canonicalize().map_err(|error| wrong(error.to_string()))?;
    if !dir.is_dir() {
        return Err(wrong("it is not a folder".into()));
    }
    let look = || Snapshot::of(&dir).map_err(|error| wrong(error.to_string()));
    let mut memory = place.map(|place| Memory::of(&dir, place)).unwrap_or_default();
    let mut snapshot = look()?;
    for _ in 0..TRIES {
        let described = described(&dir, &snapshot);
        // What a server elsewhere runs is not in its folder: nobody waits for that.
        let elsewhere = |folder: &Folder| matches!(folder.kind, Kind::Http { .. });
        let most = if described.as_ref().is_ok_and(elsewhere) { u64::MAX } else { most };
        let digest = match snapshot.unread(&memory) <= most {
            true => snapshot.digest(&dir, &mut memory).map_err(|error| wrong(error.to_string())),
            false => Ok(String::new()),
        };
        let after = look()?;
        if after == snapshot {
            let mut folder = described?;
            folder.model.version = format!("{}+{}", folder.model.version, digest?);
            return Ok(Folder { snapshot, ..folder });
        }
        snapshot = after;
    }
    Err(wrong("its files change all the time while they are read".into()))
}

/// What a folder says of its model.
fn described(dir: &Path, snapshot: &Snapshot) -> Result<Folder, Vec<Fault>> {
    let mut folder = if dir.join("model.toml").is_file() {
        toml::read(dir)?
    } else if dir.join("model/framework").is_dir() {
        template::read(dir)?
    } else if dir.join("MLmodel").is_file() {
        mlflow::read(dir)?
    } else if dir.join("predict.py").is_file() {
        toml::read_predict(dir)?
    } else {
        let what = "there is no model.toml, no model/framework folder, no MLmodel and no predict.py; see \
                    docs/models.md";
        return Err(vec![Fault::new(dir.display().to_string(), what)]);
    };
    folder.notes.extend(folder.dependencies.notes.iter().cloned());
    folder.notes.extend(scan::notes(dir, snapshot));
    Ok(folder)
}

/// A text file of a folder, without what some editors put into it, and what is to be said of it.
pub(crate) struct Source {
    pub text: String,
    pub notes: Vec<Note>,
}

/// Reads a text: without a byte order mark, with line ends as they are here.
pub(crate) fn file_text(dir: &Path, name: &str) -> Result<Source, Fault> {
    let path = dir.join(name);
    let length = path.metadata().map_or(0, |file| file.len());
    if length > LONGEST_TEXT {
        return Err(Fault::new(
            name,
            format!("it has {length} bytes; at most {LONGEST_TEXT} are read"),
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| Fault::new(name, e.to_string()))?;
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Fault::new(name, "it is UTF-16; save it as UTF-8"));
    }
    let (text, notes) = match String::from_utf8(bytes) {
        Ok(text) => (text, vec![]),
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (text, vec![Note::told(name, "it is not UTF-8; what cannot be read is replaced")])
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
    Ok(Source { text, notes })
}

fn check_limits(limits: &ModelLimits, faults: &mut Vec<Fault>) {
    let fault = |what| Fault::new("model.toml", format!("limits: {what}"));
    faults.extend(limits.faults().into_iter().map(fault));
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
