//! The model's own Python environment: made once for what it needs, and found again by its content.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::dependencies::Step;
use crate::process::Spawner;
use crate::walls::Place;
use crate::{Folder, Machine};

/// Lines of a failing builder that are shown.
const LAST_LINES: usize = 12;
/// How often a builder looks whether another one is done.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Where a model's Python is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub python: PathBuf,
    /// Its programs; `None` when the machine's own Python is used.
    pub bin: Option<PathBuf>,
}

/// Something the person who waits may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub step: usize,
    pub steps: usize,
    pub doing: String,
}

/// Why there is no environment; fit for a user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PrepareError(pub String);

impl From<std::io::Error> for PrepareError {
    fn from(error: std::io::Error) -> Self {
        Self(format!("its Python environment cannot be made: {error}"))
    }
}

struct Interpreter {
    program: PathBuf,
    version: String,
}

/// Makes the environment of a folder unless it is there.
pub async fn prepare(
    folder: &Folder,
    environments: &Path,
    machine: &Machine,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Environment, PrepareError> {
    let needs = &folder.dependencies;
    let interpreter = find_interpreter(needs.python.as_deref(), machine).await?;
    if needs.steps.is_empty() {
        return Ok(Environment { python: interpreter.program, bin: None });
    }
    let name = format!("{}-{}", folder.model.id, needs.digest(&interpreter.version));
    let home = environments.join(&name);
    let bin = home.join("bin");
    let made = Environment { python: bin.join("python"), bin: Some(bin.clone()) };
    let complete = home.join(".complete");
    if complete.is_file() {
        return Ok(made);
    }
    fs::create_dir_all(environments)?;
    // One builder at a time; the others find its work done.
    let lock = File::create(environments.join(format!("{name}.lock")))?;
    while let Err(taken) = lock.try_lock() {
        match taken {
            // Asked for again rather than waited for, so that a start can be given up.
            TryLockError::WouldBlock => tokio::time::sleep(LOCK_PAUSE).await,
            TryLockError::Error(error) => return Err(error.into()),
        }
    }
    if complete.is_file() {
        return Ok(made);
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    let steps = needs.steps.len() + 1;
    let mut say = |step: usize, doing: String| progress(Progress { step, steps, doing });
    let wanted = needs.python.as_deref().filter(|wanted| !interpreter.version.starts_with(*wanted));
    let instead =
        wanted.map(|wanted| format!(" (Python {wanted} is not here)")).unwrap_or_default();
    say(1, format!("making an environment with Python {}{instead}", interpreter.version));
    let uv = find_program("uv", machine);
    let create: Vec<OsString> = match &uv {
        Some(uv) => vec![
            uv.into(),
            "venv".into(),
            "--python".into(),
            interpreter.program.clone().into(),
            home.clone().into(),
        ],
        None => vec![
            interpreter.program.clone().into(),
            "-m".into(),
            "venv".into(),
            home.clone().into(),
        ],
    };
    let place = (&*home, folder.dir.as_path());
    run(&create, machine, None, place, |_| {}).await?;
    for (n, step) in needs.steps.iter().enumerate() {
        let (command, what) = command_of(step, uv.as_deref(), &made.python);
        say(n + 2, format!("installing {what}"));
        let shown = what.clone();
        run(&command, machine, Some(&bin), place, |line| {
            say(n + 2, format!("installing {shown}: {line}"));
        })
        .await?;
    }
    // Never through a link that the builder may have left.
    File::create_new(&complete)?;
    Ok(made)
}

fn command_of(step: &Step, uv: Option<&Path>, python: &Path) -> (Vec<OsString>, String) {
    let pip = |arguments: &[String]| {
        let mut command: Vec<OsString> = match uv {
            Some(uv) => {
                vec![uv.into(), "pip".into(), "install".into(), "--python".into(), python.into()]
            }
            None => [python.as_os_str(), "-m".as_ref(), "pip".as_ref(), "install".as_ref()]
                .map(OsString::from)
                .into_iter()
                .chain(["--disable-pip-version-check".into(), "--no-input".into()])
                .collect(),
        };
        command.extend(arguments.iter().map(OsString::from));
        command
    };
    match step {
        Step::Pip(arguments) => (pip(arguments), arguments.join(" ")),
        Step::Conda(arguments) => {
            (pip(arguments), format!("{} (a conda package, tried with pip)", arguments.join(" ")))
        }
        Step::Shell(line) => (["sh", "-c", line].map(OsString::from).to_vec(), line.clone()),
    }
}

async fn run(
    words: &[OsString],
    machine: &Machine,
    bin: Option<&Path>,
    (home, dir): (&Path, &Path),
    mut line: impl FnMut(&str),
) -> Result<(), PrepareError> {
    // Other people's code runs here as well: what they install, and how.
    let place = Place::of_builder(dir, home, words, machine)?;
    let dir = place.dir.clone().unwrap_or_else(|| dir.to_owned());
    let spawner = Spawner::new(machine, place).await?;
    let mut group = spawner.start(words, &dir, bin).await?;
    let child = &mut group.child;
    drop(child.stdin.take());
    let mut last: Vec<String> = Vec::new();
    let stdout = child.stdout.take().map(|out| BufReader::new(out).lines());
    let stderr = child.stderr.take().map(|out| BufReader::new(out).lines());
    let (Some(mut stdout), Some(mut stderr)) = (stdout, stderr) else {
        return Err(PrepareError("the builder has no output".into()));
    };
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        let next = tokio::select! {
            next = stdout.next_line(), if out_open => next.unwrap_or(None).ok_or(&mut out_open),
            next = stderr.next_line(), if err_open => next.unwrap_or(None).ok_or(&mut err_open),
        };
        match next {
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => {
                line(text.trim());
                last.push(text);
                let over = last.len().saturating_sub(LAST_LINES);
                last.drain(..over);
            }
            Err(open) => *open = false,
        }
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    let said = spawner.explain(last.join("\n"));
    Err(PrepareError(format!(
        "its Python environment cannot be built ({status}). The last lines:\n{said}"
    )))
}

/// The wanted Python, or the nearest one that is here.
async fn find_interpreter(
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

fn find_program(name: &str, machine: &Machine) -> Option<PathBuf> {
    std::env::split_paths(&machine.path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

async fn version_of(program: &Path) -> Option<String> {
    let script = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let output = Command::new(program).args(["-c", script]).output().await.ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| version.trim().to_owned())
}
