//! What a model needs installed: from requirements.txt, install.yml or the pip lines of a Dockerfile.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Fault;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// The wanted Python, `3.12`.
    pub python: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Arguments of `pip install`.
    Pip(Vec<String>),
    /// A conda package: tried with pip.
    Conda(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

impl Dependencies {
    pub(crate) fn find(
        dir: &Path,
        requirements: Option<&str>,
        python: Option<String>,
    ) -> Result<Self, Fault> {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).ok();
        if let Some(name) = requirements
            && read(name).is_none()
        {
            return Err(Fault::new("model.toml", format!("requirements: there is no file {name}")));
        }
        let mut found = if let Some(text) = read(requirements.unwrap_or("requirements.txt")) {
            from_requirements(&text)
        } else if let Some(text) = read("install.yml").or_else(|| read("install.yaml")) {
            from_install(&text)?
        } else if let Some(text) = read("Dockerfile") {
            from_dockerfile(&text)
        } else {
            Self::default()
        };
        if python.is_some() {
            found.python = python;
        }
        Ok(found)
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.python.is_none()
    }

    /// Changes whenever another environment is needed.
    pub(crate) fn digest(&self, interpreter: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(interpreter.as_bytes());
        for step in &self.steps {
            hash.update(format!("\n{step:?}").as_bytes());
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn from_requirements(text: &str) -> Dependencies {
    let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words: Vec<String> = lines
        .flat_map(|line| match line.strip_prefix("--") {
            Some(_) => line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            None => vec![line.to_owned()],
        })
        .collect();
    let steps = if words.is_empty() { vec![] } else { vec![Step::Pip(words)] };
    Dependencies { python: None, steps }
}

/// `python: "3.12"` and `commands:`, a list of lists or shell lines.
fn from_install(text: &str) -> Result<Dependencies, Fault> {
    let fault = |what: String| Fault::new("install.yml", what);
    let value: Value =
        serde_saphyr::from_str(text).map_err(|error| fault(format!("it is not YAML: {error}")))?;
    let python = match value.get("python") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let mut steps = Vec::new();
    let commands = value.get("commands").and_then(Value::as_array).cloned().unwrap_or_default();
    for command in commands {
        match command {
            Value::String(line) => steps.push(shell_line(&line)),
            Value::Array(words) => {
                let words: Vec<String> = words.iter().map(word).collect();
                steps.push(install_line(&words).ok_or_else(|| {
                    fault(format!("a command is [pip, NAME, VERSION], not {words:?}"))
                })?);
            }
            other => return Err(fault(format!("a command is a list or a text, not {other}"))),
        }
    }
    Ok(Dependencies { python, steps })
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn install_line(words: &[String]) -> Option<Step> {
    let (tool, rest) = words.split_first()?;
    let (name, rest) = rest.split_first()?;
    let pinned = match rest.first() {
        Some(version) if !version.starts_with('-') => format!("{name}=={version}"),
        _ => name.clone(),
    };
    match tool.as_str() {
        "pip" => {
            let options = rest.iter().skip(usize::from(pinned != *name)).cloned();
            Some(Step::Pip(std::iter::once(pinned).chain(options).collect()))
        }
        "conda" => Some(Step::Conda(vec![pinned])),
        _ => None,
    }
}

/// A shell line; plain `pip install ..` is taken as such.
fn shell_line(line: &str) -> Step {
    let words: Vec<&str> = line.split_whitespace().collect();
    let rest = match words.as_slice() {
        ["pip" | "pip3", "install", rest @ ..] => rest,
        ["python" | "python3", "-m", "pip", "install", rest @ ..] => rest,
        _ => return Step::Shell(line.to_owned()),
    };
    let quoted = |word: &&str| word.trim_matches(['"', '\'']).to_owned();
    Step::Pip(rest.iter().map(quoted).collect())
}

/// `FROM ...-pyXY` or `FROM python:X.Y`, and `RUN pip install ..` lines.
fn from_dockerfile(text: &str) -> Dependencies {
    let whole = text.replace("\\\n", " ");
    let mut found = Dependencies::default();
    for line in whole.lines().map(str::trim) {
        let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "FROM" => found.python = found.python.take().or_else(|| python_of_image(rest.trim())),
            "RUN" => {
                for part in rest.split("&&").map(str::trim) {
                    if let step @ Step::Pip(_) = shell_line(part) {
                        found.steps.push(step);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn python_of_image(image: &str) -> Option<String> {
    if let Some(tag) = image.strip_prefix("python:") {
        let version: Vec<&str> = tag.split(['-', ' ']).next()?.split('.').take(2).collect();
        return Some(version.join(".")).filter(|v| v.starts_with('3'));
    }
    let digits = image.split("-py").nth(1)?;
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    let minor = digits.strip_prefix('3')?;
    (!minor.is_empty()).then(|| format!("3.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pip(words: &[&str]) -> Step {
        Step::Pip(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn install_files_as_they_are_in_the_wild_are_read() {
        let text = "python: \"3.12\"\ncommands:\n  - [pip, rdkit, 2023.9.5]\n  \
             - [pip, torch, 2.3.1, --index-url, https://example.org/whl]\n  \
             - [conda, xtb, 6.6.1, conda-forge]\n  - pip install six==1.16.0\n  - echo done\n";
        let found = from_install(text).expect("it is read");
        assert_eq!(found.python.as_deref(), Some("3.12"));
        assert_eq!(
            found.steps,
            [
                pip(&["rdkit==2023.9.5"]),
                pip(&["torch==2.3.1", "--index-url", "https://example.org/whl"]),
                Step::Conda(vec!["xtb==6.6.1".into()]),
                pip(&["six==1.16.0"]),
                Step::Shell("echo done".into()),
            ]
        );
    }

    #[test]
    fn a_dockerfile_gives_its_python_and_its_pip_lines() {
        let text = "FROM bentoml/model-server:0.11.0-py37\nMAINTAINER x\n\
             RUN pip install rdkit==2022.3.5 \\\n    pandas==1.3\nRUN apt-get update && pip install six\n";
        let found = from_dockerfile(text);
        assert_eq!(found.python.as_deref(), Some("3.7"));
        assert_eq!(found.steps, [pip(&["rdkit==2022.3.5", "pandas==1.3"]), pip(&["six"])]);
        assert_eq!(from_dockerfile("FROM python:3.10-slim").python.as_deref(), Some("3.10"));
    }
}
