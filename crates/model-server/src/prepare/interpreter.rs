//! The Pythons of this machine, and other programs.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::PrepareError;
use crate::Machine;

pub(super) struct Interpreter {
    pub program: PathBuf,
    pub version: String,
}

/// The wanted Python, or the nearest one that is here.
pub(super) async fn find_interpreter(
    wanted: Option<&str>,
    machine: &Machine,
) -> Result<Interpreter, PrepareError> {
    let mut found: Vec<Interpreter> = Vec::new();
    if let Some(wanted) = wanted {
        let minor: Vec<&str> = wanted.split('.').take(2).collect();
        if let Some(program) = find_program(&format!("python{}", minor.join(".")), machine)
            && let Some(version) = version_of(&program).await
        {
            found.push(Interpreter { program, version });
        }
        found.extend(pyenv(machine));
    }
    if let Some(program) = find_program("python3", machine)
        && let Some(version) = version_of(&program).await
    {
        found.push(Interpreter { program, version });
    }
    let distance = |version: &str| {
        let numbers = |text: &str| -> Vec<i64> {
            text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
        };
        let (have, want) = (numbers(version), numbers(wanted.unwrap_or(version)));
        let minor = |v: &[i64]| v.get(1).copied().unwrap_or(0);
        ((minor(&have) - minor(&want)).abs(), minor(&have) < minor(&want))
    };
    let best = found.into_iter().min_by_key(|interpreter| distance(&interpreter.version));
    best.ok_or_else(|| {
        PrepareError(
            "there is no Python 3 on this machine; install python3 with its venv module".into(),
        )
    })
}

fn pyenv(machine: &Machine) -> Vec<Interpreter> {
    let Some(home) = &machine.home else { return vec![] };
    let Ok(entries) = fs::read_dir(home.join(".pyenv/versions")) else { return vec![] };
    let interpreter = |entry: fs::DirEntry| {
        let version = entry.file_name().to_string_lossy().into_owned();
        let program = entry.path().join("bin/python");
        (version.starts_with("3.") && program.exists()).then_some(Interpreter { program, version })
    };
    entries.filter_map(Result::ok).filter_map(interpreter).collect()
}

pub(super) fn find_program(name: &str, machine: &Machine) -> Option<PathBuf> {
    std::env::split_paths(&machine.path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

async fn version_of(program: &Path) -> Option<String> {
    let script = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let output = Command::new(program).args(["-c", script]).output().await.ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| version.trim().to_owned())
}
