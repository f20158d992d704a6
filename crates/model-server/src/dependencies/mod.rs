//! What a model needs installed: from requirements.txt, install.yml, environment.yml or a Dockerfile.
//!
//! What is written there and cannot be done is a note, never dropped: a model that fails for want of it
//! says so.

pub(crate) mod conda;
mod dockerfile;
mod install;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use muster_core::hex::hex;
use sha2::{Digest, Sha256};

use crate::Fault;
use crate::folder::{Note, Source, file_text};

pub use conda::Conda;

/// Biggest file named by a step whose content is looked at, and most files that name each other.
const NAMED_FILE: u64 = 64 << 20;
const NAMED_FILES: usize = 100;

/// The files that say what is needed, in the order in which they are looked for.
const FILES: [&str; 8] = [
    "requirements.txt",
    "install.yml",
    "install.yaml",
    "environment.yml",
    "environment.yaml",
    "conda.yaml",
    "conda.yml",
    "Dockerfile",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// The wanted Python, `3.12`.
    pub python: Option<String>,
    pub steps: Vec<Step>,
    /// What is not done, and what was read with a doubt.
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Arguments of `pip install`.
    Pip(Vec<String>),
    /// Packages for conda; without it they are tried with pip.
    Conda(Conda),
    /// A line for the shell.
    Shell(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pip(words) => write!(f, "{}", words.join(" ")),
            Self::Conda(conda) => write!(f, "{} (conda)", conda.packages.join(" ")),
            Self::Shell(line) => write!(f, "{line} (shell)"),
        }
    }
}

impl Dependencies {
    pub(crate) fn find(
        dir: &Path,
        requirements: Option<&str>,
        python: Option<String>,
    ) -> Result<Self, Fault> {
        if let Some(name) = requirements
            && !dir.join(name).is_file()
        {
            return Err(Fault::new("model.toml", format!("requirements: there is no file {name}")));
        }
        let mut there = FILES.into_iter().filter(|name| dir.join(name).is_file());
        let first = requirements.or_else(|| there.next());
        let mut found = match first {
            None => Self::default(),
            Some(name) => Self::read(dir, name)?,
        };
        let unread = there.filter(|name| Some(*name) != first);
        found.notes.extend(unread.map(|name| {
            let first = first.unwrap_or_default();
            Note::missing(name, format!("it is not read, because there is {first}"))
        }));
        found.python = python.or(found.python).as_deref().and_then(version_numbers);
        Ok(found)
    }

    fn read(dir: &Path, name: &str) -> Result<Self, Fault> {
        let Source { text, mut notes } = file_text(dir, name)?;
        let mut found = match name {
            "install.yml" | "install.yaml" => install::read(dir, name, &text)?,
            "environment.yml" | "environment.yaml" | "conda.yaml" | "conda.yml" => {
                conda::read(name, &text)?
            }
            "Dockerfile" => dockerfile::read(dir, &text),
            _ if names_packages(&text) => {
                let steps = vec![Step::Pip(vec!["-r".to_owned(), name.to_owned()])];
                Self { python: None, steps, notes: vec![] }
            }
            _ => Self::default(),
        };
        notes.append(&mut found.notes);
        Ok(Self { notes, ..found })
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.python.is_none()
    }

    /// Changes whenever another environment is needed; the same for all models that need the same.
    pub(crate) fn digest(&self, dir: &Path, interpreter: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(interpreter.as_bytes());
        let mut local = false;
        for step in &self.steps {
            hash.update(format!("\n{step:?}").as_bytes());
            match step {
                Step::Pip(words) => local |= hash_files(dir, words, &mut hash),
                // It may use whatever is in the folder.
                Step::Shell(_) => local = true,
                Step::Conda(_) => {}
            }
        }
        if local {
            hash.update(dir.to_string_lossy().as_bytes());
        }
        hex(&hash.finalize()[..10])
    }
}

/// Are there lines that name something?
fn names_packages(requirements: &str) -> bool {
    requirements.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
}

/// Hashes the files that words name, and what requirement files among them name. Is anything there
/// that only this folder has?
fn hash_files(dir: &Path, words: &[String], hash: &mut Sha256) -> bool {
    let mut local = false;
    let mut todo: Vec<_> = words.iter().map(|word| (dir.to_owned(), word.clone())).collect();
    let mut seen = BTreeSet::new();
    while let Some((base, word)) = todo.pop() {
        let name = word.split('[').next().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        let path = base.join(name);
        let Ok(file) = path.metadata() else { continue };
        let own = !Path::new(name).is_absolute();
        if !seen.insert(path.clone()) || seen.len() > NAMED_FILES {
            continue;
        }
        let content = if file.len() <= NAMED_FILE { std::fs::read(&path).ok() } else { None };
        let Some(content) = content else {
            // A package's folder, or a big file.
            local |= own;
            continue;
        };
        hash.update(&content);
        if path.extension().is_none_or(|extension| extension != "txt" && extension != "in") {
            local |= own;
            continue;
        }
        let base = path.parent().unwrap_or(dir).to_owned();
        let text = String::from_utf8_lossy(&content).into_owned();
        for word in text.lines().flat_map(|line| line.split([' ', '\t', '='])) {
            todo.push((base.clone(), word.to_owned()));
        }
    }
    local
}

/// `3.10` out of `>=3.10`, `3.10.*`, `python3.10`.
pub(crate) fn version_numbers(text: &str) -> Option<String> {
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let rest = &text[from..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest[..end].trim_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_versions_are_found() {
        for (text, version) in
            [("3.10", "3.10"), (">=3.8,<3.12", "3.8"), ("3.10.*", "3.10"), ("python3.7", "3.7")]
        {
            assert_eq!(version_numbers(text).as_deref(), Some(version), "{text}");
        }
        assert_eq!(version_numbers("any"), None);
    }
}
