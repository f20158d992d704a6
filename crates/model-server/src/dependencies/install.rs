//! Installing lines as people write them: `install.yml`, its lists and texts, and shell lines.

use std::path::Path;

use super::conda::{self, Conda};
use super::{Dependencies, Step};
use crate::Fault;
use crate::folder::Note;
use crate::folder::yaml::{self, Yaml};

/// The verbs of the tools: never names of packages.
const VERBS: [&str; 32] = [
    "install",
    "uninstall",
    "download",
    "freeze",
    "list",
    "show",
    "check",
    "config",
    "search",
    "cache",
    "index",
    "wheel",
    "hash",
    "completion",
    "debug",
    "help",
    "inspect",
    "lock",
    "create",
    "update",
    "upgrade",
    "remove",
    "clean",
    "info",
    "env",
    "run",
    "activate",
    "deactivate",
    "init",
    "shell",
    "package",
    "build",
];

/// `python: "3.12"` and `commands:`, a list of lists or shell lines.
pub(super) fn read(dir: &Path, name: &str, text: &str) -> Result<Dependencies, Fault> {
    let fault = |what: String| Fault::new(name, what);
    let read = yaml::read(text).map_err(|error| fault(format!("it is not YAML: {error}")))?;
    let mut found = Dependencies {
        python: read.value.get_any_case("python").and_then(Yaml::text).map(str::to_owned),
        ..Dependencies::default()
    };
    found.notes.extend(read.twice.iter().map(|key| Note::twice(name, key)));
    for command in read.value.get_any_case("commands").map(Yaml::items).unwrap_or_default() {
        match command {
            Yaml::Text(line) => match line_of(dir, line) {
                Ok(Line { steps, python, undone }) => {
                    found.steps.extend(steps);
                    found.python = python.or(found.python);
                    found.notes.extend(undone.into_iter().map(|what| Note::undone(name, &what)));
                }
                Err(_) => found.steps.push(Step::Shell(line.clone())),
            },
            Yaml::List(words) => {
                let texts: Vec<String> =
                    words.iter().filter_map(Yaml::text).map(str::to_owned).collect();
                let done = list_of(dir, &texts).ok_or_else(|| {
                    fault(format!("a command is [pip, NAME, VERSION], not {texts:?}"))
                })?;
                found.steps.extend(done.steps);
                found.python = done.python.or(found.python);
                found.notes.extend(done.undone.iter().map(|what| Note::undone(name, what)));
            }
            other => return Err(fault(format!("a command is a list or a text, not {other:?}"))),
        }
    }
    Ok(found)
}

/// What an installing line comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub steps: Vec<Step>,
    pub python: Option<String>,
    pub undone: Vec<String>,
}

/// The words of a list: `[pip, NAME, VERSION, OPTION ..]`, `[conda, NAME, VERSION, CHANNEL]`, or those of
/// a shell line. `None` if it is of no tool we know.
fn list_of(dir: &Path, words: &[String]) -> Option<Line> {
    let (tool, rest) = words.split_first()?;
    if rest.first().is_none_or(|word| VERBS.contains(&&**word) || word.starts_with('-')) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        return command_of(dir, &words).ok();
    }
    let (name, rest) = rest.split_first()?;
    let version = rest.first().filter(|version| !version.starts_with('-'));
    let options = &rest[usize::from(version.is_some())..];
    let pin = |is: &str| match version.map(|version| version.trim()) {
        None | Some("" | "latest") => name.clone(),
        Some(version) if version.starts_with(['=', '<', '>', '!', '~']) => {
            format!("{name}{version}")
        }
        Some(version) => format!("{name}{is}{version}"),
    };
    match tool.as_str() {
        "pip" | "pip3" => {
            let words = std::iter::once(pin("==")).chain(options.iter().cloned()).collect();
            Some(Line { steps: vec![Step::Pip(words)], ..Line::default() })
        }
        "conda" | "mamba" | "micromamba" => {
            let mut conda = Conda::default();
            conda.packages.push(pin("="));
            conda.channels.extend(options.iter().filter(|word| !word.starts_with('-')).cloned());
            Some(conda_line(conda))
        }
        _ => None,
    }
}

/// A conda package `python` is the wanted Python.
pub(super) fn conda_line(mut conda: Conda) -> Line {
    let python = conda.take_python();
    let steps = if conda.packages.is_empty() { vec![] } else { vec![Step::Conda(conda)] };
    Line { steps, python, undone: vec![] }
}

/// A shell line, if it does nothing but install; else the part that is something else.
pub(super) fn line_of(dir: &Path, line: &str) -> Result<Line, String> {
    let mut all = Line::default();
    for part in parts(line) {
        let words = shlex::split(part).ok_or_else(|| part.to_owned())?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.is_empty() {
            continue;
        }
        let Line { steps, python, undone } =
            command_of(dir, &words).map_err(|()| part.to_owned())?;
        all.steps.extend(steps);
        all.python = python.or(all.python);
        all.undone.extend(undone);
    }
    Ok(all)
}

/// The commands of a line that are done one after the other.
pub(super) fn parts(line: &str) -> impl Iterator<Item = &str> {
    line.split("&&").flat_map(|part| part.split(';')).map(str::trim).filter(|part| !part.is_empty())
}

/// One command of pip or conda; an error if it is of another program, or more than one command.
fn command_of(dir: &Path, words: &[&str]) -> Result<Line, ()> {
    // Quoted texts may have `<` and `>`; alone, or at a word's start, they are the shell's.
    let shells = |word: &&str| {
        matches!(*word, "|" | "||" | "&" | ">" | ">>" | "<")
            || word.contains('$')
            || word.contains('`')
    };
    if words.iter().any(shells) {
        return Err(());
    }
    let words = words.strip_prefix(&["sudo"]).unwrap_or(words);
    let is_python = |word: &str| word.starts_with("python") && !word.contains('/');
    let (tool, rest) = match words {
        [python, "-m", "pip", rest @ ..] if is_python(python) => ("pip", rest),
        ["uv", "pip", rest @ ..] => ("pip", rest),
        ["pip" | "pip2" | "pip3", rest @ ..] => ("pip", rest),
        [pip, rest @ ..] if pip.starts_with("pip3.") => ("pip", rest),
        ["conda" | "mamba" | "micromamba", rest @ ..] => ("conda", rest),
        _ => return Err(()),
    };
    let undone = || Line { undone: vec![words.join(" ")], ..Line::default() };
    let (verb, rest) = match rest {
        // Options may stand before the verb.
        [option, rest @ ..] if option.starts_with('-') => match rest {
            [verb, rest @ ..] => (*verb, rest),
            [] => return Ok(undone()),
        },
        [verb, rest @ ..] => (*verb, rest),
        [] => return Ok(undone()),
    };
    match (tool, verb, rest) {
        ("pip", "install", rest) => {
            // They are for another place than the model's own environment, or lose downloads.
            let other = ["--user", "--no-cache-dir", "--break-system-packages", "-y", "--yes"];
            let words: Vec<String> =
                rest.iter().filter(|word| !other.contains(word)).map(|&w| w.to_owned()).collect();
            let steps = if words.is_empty() { vec![] } else { vec![Step::Pip(words)] };
            Ok(Line { steps, ..Line::default() })
        }
        ("conda", "install", rest) => Ok(conda_line(Conda::of_arguments(rest))),
        ("conda", "env", ["create" | "update", rest @ ..]) => {
            let file = rest.iter().position(|word| matches!(*word, "-f" | "--file"));
            let file = file.and_then(|at| rest.get(at + 1)).copied().unwrap_or("environment.yml");
            // In an image it was copied to some place.
            let name = file.rsplit('/').next().unwrap_or(file);
            let read =
                crate::folder::file_text(dir, name).and_then(|it| conda::read(name, &it.text));
            Ok(match read {
                Ok(Dependencies { python, steps, .. }) => Line { steps, python, undone: vec![] },
                Err(_) => undone(),
            })
        }
        // Nothing that would be missed.
        ("conda", "clean" | "init" | "activate", _) => Ok(Line::default()),
        ("pip", "cache" | "check" | "list" | "freeze" | "show", _) => Ok(Line::default()),
        _ => Ok(undone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pip(words: &[&str]) -> Step {
        Step::Pip(words.iter().map(|&word| word.to_owned()).collect())
    }

    fn conda(packages: &[&str], channels: &[&str]) -> Step {
        let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Step::Conda(Conda { packages: own(packages), channels: own(channels) })
    }

    #[test]
    fn install_files_as_they_are_in_the_wild_are_read() {
        let text = "python: 3.10\ncommands:\n  - [pip, rdkit, 2023.9.5]\n  \
             - [pip, torch, 2.10, --index-url, https://example.org/whl]\n  \
             - [conda, xtb, 6.6.1, conda-forge]\n  - pip install six==1.16.0\n  - echo done\n  \
             - ['conda', 'install', '-c', 'conda-forge', 'toolz=0.12.0', '-y']\n  \
             - [pip, install, -U, six, toolz]\n  - pip install 'a>=1' && mamba install -y b\n  \
             - conda config --add channels x\n  - [pip, uninstall, six]\n";
        let found = read(Path::new("/"), "install.yml", text).expect("it is read");
        assert_eq!(found.python.as_deref(), Some("3.10"));
        assert_eq!(
            found.steps,
            [
                pip(&["rdkit==2023.9.5"]),
                pip(&["torch==2.10", "--index-url", "https://example.org/whl"]),
                conda(&["xtb=6.6.1"], &["conda-forge"]),
                pip(&["six==1.16.0"]),
                Step::Shell("echo done".into()),
                conda(&["toolz=0.12.0"], &["conda-forge"]),
                pip(&["-U", "six", "toolz"]),
                pip(&["a>=1"]),
                conda(&["b"], &[]),
            ]
        );
        let notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
        assert_eq!(
            notes,
            [
                "install.yml: not done: conda config --add channels x",
                "install.yml: not done: pip uninstall six"
            ]
        );
    }

    #[test]
    fn a_line_that_does_more_than_install_is_the_shells() {
        for line in [
            "cd sub && pip install .",
            "pip install x > log",
            "FOO=1 pip install x",
            "pip install $WHAT",
            "pip install x || true",
            "apt-get install -y gcc",
        ] {
            assert!(line_of(Path::new("/"), line).is_err(), "{line}");
        }
        let many = line_of(Path::new("/"), "pip install \"x>=1,<2\"; python3.10 -m pip install y");
        assert_eq!(many.expect("pip alone").steps, [pip(&["x>=1,<2"]), pip(&["y"])]);
    }

    #[test]
    fn the_verb_of_a_tool_is_never_a_package() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for line in ["conda update --all", "pip download x", "conda remove y", "conda"] {
            let line = list_of(Path::new("/"), &words(line)).expect("a tool we know");
            assert!(line.steps.is_empty() && line.undone.len() == 1, "{line:?}");
        }
        assert_eq!(list_of(Path::new("/"), &words("cargo install x")), None);
    }
}
