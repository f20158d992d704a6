//! A Dockerfile: its Python, and what its RUN lines install.

use std::path::Path;

use super::{Dependencies, install};
use crate::folder::Note;

const FILE: &str = "Dockerfile";

/// `FROM ...-pyXY` or `FROM python:X.Y`, and the `RUN` lines of pip and conda; the others are not done.
pub(super) fn read(dir: &Path, text: &str) -> Dependencies {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let whole = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut found = Dependencies::default();
    for line in whole.lines().map(str::trim) {
        let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "FROM" => found.python = found.python.take().or_else(|| python_of_image(rest.trim())),
            "RUN" => run(dir, rest, &mut found),
            "ENV" => found.notes.push(Note::undone(FILE, &format!("ENV {}", rest.trim()))),
            _ => {}
        }
    }
    found
}

fn run(dir: &Path, line: &str, found: &mut Dependencies) {
    let mut line = line.trim().to_owned();
    // `RUN --mount=.. pip install`, `RUN ["pip", "install", "x"]`.
    while let Some((_, rest)) = line.strip_prefix("--").and_then(|it| it.split_once(' ')) {
        line = rest.trim().to_owned();
    }
    if let Ok(words) = serde_json::from_str::<Vec<String>>(&line) {
        line = shlex::try_join(words.iter().map(String::as_str)).unwrap_or(line);
    }
    for part in install::parts(&line) {
        match install::line_of(dir, part) {
            Ok(done) => {
                found.steps.extend(done.steps);
                found.python = done.python.or(found.python.take());
                let undone = done.undone.iter().map(|what| Note::undone(FILE, what));
                found.notes.extend(undone);
            }
            Err(_) => found.notes.push(Note::undone(FILE, &format!("RUN {part}"))),
        }
    }
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
    use super::super::{Conda, Step};
    use super::*;

    fn pip(words: &[&str]) -> Step {
        Step::Pip(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn a_dockerfile_gives_its_python_its_installing_lines_and_what_is_not_done() {
        let text = "FROM bentoml/model-server:0.11.0-py37\nMAINTAINER x\n\
             RUN pip install rdkit==2022.3.5 \\\n# a comment\n    pandas==1.3\n\
             RUN apt-get update && pip install --no-cache-dir six\n\
             RUN conda install -c conda-forge -c dglteam toolz=0.12.0\n\
             RUN --mount=type=cache,target=/x [\"pip\", \"install\", \"a b\"]\nENV KEY=1\nWORKDIR /repo\n";
        let found = read(Path::new("/"), text);
        assert_eq!(found.python.as_deref(), Some("3.7"));
        let conda = Conda {
            packages: vec!["toolz=0.12.0".into()],
            channels: vec!["conda-forge".into(), "dglteam".into()],
        };
        let steps = [
            pip(&["rdkit==2022.3.5", "pandas==1.3"]),
            pip(&["six"]),
            Step::Conda(conda),
            pip(&["a b"]),
        ];
        assert_eq!(found.steps, steps);
        let notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
        assert_eq!(
            notes,
            ["Dockerfile: not done: RUN apt-get update", "Dockerfile: not done: ENV KEY=1"]
        );
        let python = |text: &str| read(Path::new("/"), text).python;
        assert_eq!(python("FROM python:3.10-slim").as_deref(), Some("3.10"));
        assert_eq!(python("FROM x\nRUN conda install python=3.8").as_deref(), Some("3.8"));
    }
}
