//! The model's own Python environment: made once for what is needed, found again by its content, and
//! shared by all models that need the same. A build that was interrupted goes on where it was.

mod build;
mod interpreter;

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::build::run;
use self::interpreter::{find_interpreter, find_program};
use crate::dependencies::{Step, conda};
use crate::{Folder, Machine};

/// How often a builder looks whether another one is done.
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Programs that know conda's packages, the fastest first.
const CONDAS: [&str; 3] = ["micromamba", "mamba", "conda"];

const COMPLETE: &str = "complete";

/// Where a model's Python is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub python: PathBuf,
    /// Its programs; `None` when the machine's own Python is used.
    pub bin: Option<PathBuf>,
    /// What is not as the model asks for it: another Python, packages that could not be installed.
    pub notes: Vec<String>,
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

impl From<io::Error> for PrepareError {
    fn from(error: io::Error) -> Self {
        Self(format!("its Python environment cannot be made: {error}"))
    }
}

/// Makes the environment of a folder unless it is there.
pub async fn prepare(
    folder: &Folder,
    environments: &Path,
    machine: &Machine,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Environment, PrepareError> {
    let needs = &folder.dependencies;
    let wants_conda = needs.steps.iter().any(|step| matches!(step, Step::Conda(_)));
    let conda = CONDAS.iter().filter(|_| wants_conda).find_map(|name| find_program(name, machine));
    let wanted = needs.python.as_deref();
    let mut notes = Vec::new();
    let (python, version) = match &conda {
        Some(conda) => (conda.clone(), format!("conda's {}", wanted.unwrap_or("newest"))),
        None => {
            let found = find_interpreter(wanted, machine).await?;
            if let Some(wanted) = wanted.filter(|it| !is_version(&found.version, it)) {
                notes.push(format!("Python {wanted} is not here; {} is used", found.version));
            }
            (found.program, found.version)
        }
    };
    if needs.steps.is_empty() {
        return Ok(Environment { python, bin: None, notes });
    }
    fs::create_dir_all(environments)?;
    let home = environments.join(needs.digest(&folder.dir, &version));
    let mut builder = Builder {
        folder,
        machine,
        bin: home.join("bin"),
        lock: home.with_extension("lock"),
        state: home.with_extension("state"),
        uv: find_program("uv", machine),
        steps: needs.steps.len() + 1,
        home,
        notes,
    };
    if let Some(made) = builder.made() {
        return Ok(made);
    }
    // One builder at a time; the others find its work done.
    let lock = File::options().create(true).write(true).truncate(false).open(&builder.lock)?;
    while let Err(taken) = lock.try_lock() {
        match taken {
            // Asked for again rather than waited for, so that a start can be given up.
            TryLockError::WouldBlock => tokio::time::sleep(LOCK_PAUSE).await,
            TryLockError::Error(error) => return Err(error.into()),
        }
        let doing = fs::read_to_string(&builder.lock).unwrap_or_default();
        let doing = format!("another start makes the same environment: {doing}");
        progress(Progress { step: 0, steps: builder.steps, doing });
    }
    if let Some(made) = builder.made() {
        return Ok(made);
    }
    builder.build(&python, &version, conda.as_deref(), &mut progress).await
}

/// `3.11.7` is a `3.11`, and no `3.1`.
fn is_version(have: &str, wanted: &str) -> bool {
    have.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

struct Builder<'a> {
    folder: &'a Folder,
    machine: &'a Machine,
    home: PathBuf,
    bin: PathBuf,
    /// Held by who builds; says what that one does.
    lock: PathBuf,
    /// How far it is, beside what other people's code may write to: the steps that are done, or
    /// [`COMPLETE`], then the notes.
    state: PathBuf,
    uv: Option<PathBuf>,
    steps: usize,
    notes: Vec<String>,
}

impl Builder<'_> {
    fn python(&self) -> PathBuf {
        self.bin.join("python")
    }

    /// The environment, if it is whole.
    fn made(&self) -> Option<Environment> {
        let (done, notes) = self.written();
        let whole = done == COMPLETE && self.python().exists();
        whole.then(|| Environment { python: self.python(), bin: Some(self.bin.clone()), notes })
    }

    fn written(&self) -> (String, Vec<String>) {
        let said = fs::read_to_string(&self.state).unwrap_or_default();
        let mut lines = said.lines().map(str::to_owned);
        (lines.next().unwrap_or_default(), lines.collect())
    }

    async fn build(
        &mut self,
        python: &Path,
        version: &str,
        conda: Option<&Path>,
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<Environment, PrepareError> {
        let folder = self.folder;
        let needs = &folder.dependencies;
        let (lock, steps) = (self.lock.clone(), self.steps);
        let mut say = |step: usize, doing: String| {
            // Only a word for those who wait.
            drop(fs::write(&lock, format!("{doing} ({step}/{steps})")));
            progress(Progress { step, steps, doing });
        };
        let done = self.resume()?;
        if done == 0 {
            let instead: String = self.notes.iter().map(|note| format!(" ({note})")).collect();
            say(1, format!("making an environment with Python {version}{instead}"));
            let create = self.create(python, conda);
            self.run(&create, |line| say(1, format!("making an environment: {line}"))).await?;
            self.write("1")?;
        }
        for (n, step) in needs.steps.iter().enumerate() {
            let at = n + 2;
            match step {
                _ if at <= done => continue,
                Step::Conda(_) if conda.is_some() => {}
                Step::Conda(packages) => self.with_pip(&packages.packages, at, &mut say).await?,
                Step::Pip(words) => {
                    let what = words.join(" ");
                    say(at, format!("installing {what}"));
                    let tell = |line: &str| say(at, format!("installing {what}: {line}"));
                    self.run(&self.pip(words), tell).await?;
                }
                Step::Shell(line) => {
                    say(at, format!("installing {line}"));
                    let words = ["sh", "-c", line].map(OsString::from);
                    self.run(&words, |said| say(at, format!("installing {line}: {said}"))).await?;
                }
            }
            self.write(&at.to_string())?;
        }
        self.write(COMPLETE)?;
        self.made().ok_or_else(|| PrepareError("its Python environment is gone again".to_owned()))
    }

    /// How many steps an interrupted build had done. What it was doing then is begun again.
    fn resume(&mut self) -> io::Result<usize> {
        let (done, notes) = self.written();
        let done: usize = done.parse().unwrap_or(0);
        if done > 0 && self.python().exists() {
            self.notes = notes;
            drop_half_packages(&self.home)?;
            return Ok(done);
        }
        if self.home.exists() {
            fs::remove_dir_all(&self.home)?;
        }
        Ok(0)
    }

    fn write(&self, done: &str) -> io::Result<()> {
        // As a whole or not at all: it is read by who comes after a kill.
        let part = self.home.with_extension("part");
        let notes = self.notes.iter().map(|note| format!("{}\n", note.replace('\n', " ")));
        fs::write(&part, format!("{done}\n{}", notes.collect::<String>()))?;
        fs::rename(part, &self.state)
    }

    fn create(&self, python: &Path, conda: Option<&Path>) -> Vec<OsString> {
        let needs = &self.folder.dependencies;
        let mut words: Vec<OsString> = match (conda, &self.uv) {
            (Some(conda), _) => vec![conda.into(), "create".into(), "--yes".into()],
            // The shell's lines may call pip.
            (None, Some(uv)) => vec![uv.into(), "venv".into(), "--seed".into(), "--python".into()],
            (None, None) => {
                [python.as_os_str(), "-m".as_ref(), "venv".as_ref()].map(Into::into).into()
            }
        };
        if conda.is_none() {
            words.extend(self.uv.iter().map(|_| python.into()));
            words.push(self.home.clone().into());
            return words;
        }
        words.extend(["--prefix".into(), self.home.clone().into()]);
        let wanted = needs.steps.iter().filter_map(|step| match step {
            Step::Conda(conda) => Some(conda),
            _ => None,
        });
        let mut channels: Vec<&str> = Vec::new();
        for channel in wanted.clone().flat_map(|conda| &conda.channels) {
            if !channels.contains(&channel.as_str()) {
                channels.push(channel);
            }
        }
        if channels.is_empty() {
            channels.push("conda-forge");
        }
        for channel in channels {
            words.extend(["--channel".into(), channel.into()]);
        }
        let python = needs.python.as_ref().map(|version| format!("python={version}"));
        words.push(python.unwrap_or_else(|| "python".to_owned()).into());
        words.push("pip".into());
        words.extend(wanted.flat_map(|conda| &conda.packages).map(OsString::from));
        words
    }

    fn pip(&self, arguments: &[String]) -> Vec<OsString> {
        let mut words: Vec<OsString> = match &self.uv {
            Some(uv) => vec![
                uv.into(),
                "pip".into(),
                "install".into(),
                "--python".into(),
                self.python().into(),
            ],
            None => vec![
                self.python().into(),
                "-m".into(),
                "pip".into(),
                "install".into(),
                "--disable-pip-version-check".into(),
                "--no-input".into(),
            ],
        };
        words.extend(arguments.iter().map(OsString::from));
        words
    }

    /// Conda's packages without conda: all together, else one by one. What cannot be had is noted,
    /// unless nothing can.
    async fn with_pip(
        &mut self,
        packages: &[String],
        at: usize,
        say: &mut (impl FnMut(usize, String) + Send),
    ) -> Result<(), PrepareError> {
        let mut names = Vec::new();
        for package in packages {
            match conda::pip_name(package) {
                Some(name) => names.push(name),
                None => self.notes.push(format!(
                    "not installed: {package} (a conda package that pip does not have; there is \
                     no conda, mamba or micromamba here)"
                )),
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let what = format!("{} (a conda package, tried with pip)", names.join(" "));
        say(at, format!("installing {what}"));
        let tell = |line: &str| say(at, format!("installing {what}: {line}"));
        let Err(together) = self.run(&self.pip(&names), tell).await else { return Ok(()) };
        let mut failed = Vec::new();
        for name in &names {
            say(at, format!("installing {name} (a conda package, tried with pip)"));
            let tell = |line: &str| say(at, format!("installing {name}: {line}"));
            if let Err(error) = self.run(&self.pip(std::slice::from_ref(name)), tell).await {
                let last = error.0.lines().last().unwrap_or_default().trim().to_owned();
                failed.push(format!(
                    "not installed: {name} (a conda package, tried with pip, because there is no \
                     conda, mamba or micromamba here: {last})"
                ));
            }
        }
        if failed.len() == names.len() {
            return Err(together);
        }
        self.notes.extend(failed);
        Ok(())
    }

    async fn run(&self, words: &[OsString], line: impl FnMut(&str)) -> Result<(), PrepareError> {
        run(words, self.machine, Some(&self.bin), (&self.home, &self.folder.dir), line).await
    }
}

/// Removes what says that a package is there whose files were still being copied: pip would believe it.
fn drop_half_packages(home: &Path) -> io::Result<()> {
    for python in folders(&home.join("lib"))? {
        for package in folders(&python.join("site-packages"))? {
            let is_info = package.extension().is_some_and(|extension| extension == "dist-info");
            if is_info && !package.join("RECORD").exists() {
                fs::remove_dir_all(package)?;
            }
        }
    }
    Ok(())
}

/// The folders in a folder; what is behind links is not in it.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir()) {
        return Ok(vec![]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_eleven_is_not_three_one() {
        assert!(is_version("3.11.7", "3.11") && is_version("3.11.7", "3.11.7"));
        assert!(!is_version("3.11.7", "3.1") && !is_version("3.1.2", "3.10"));
    }
}
