//! What a model's code, and whoever builds its environment, may reach.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use muster_core::model::Network;
use muster_sandbox::{BUILDER, Sandbox, is_root, user_of};
use tempfile::TempDir;

use crate::prepare::Environment;
use crate::{Folder, Machine};

/// Packages that were fetched, beside the environments that were made of them.
const CACHE: &str = ".cache";
/// Larger files of a folder are not copied, bytes.
const COPIED: u64 = 1 << 20;

/// What the operator lets models use, beside what each of them needs.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    pub read: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    /// What is the hub's own.
    pub hidden: Vec<PathBuf>,
    /// The model's scratch folder; without one it gets a temporary one.
    pub scratch: Option<PathBuf>,
    /// What an administrator says; else it is as the folder says.
    pub network: Option<Network>,
}

/// Where processes are started: inside these walls, or outside of any.
#[derive(Default)]
pub(crate) struct Place {
    pub sandbox: Option<Sandbox>,
    /// Variables that say where things are.
    pub variables: Vec<(OsString, OsString)>,
    /// Where a builder works instead of in the model's folder.
    pub dir: Option<PathBuf>,
    /// Kept as long as the processes may run.
    _scratch: Option<TempDir>,
}

impl Place {
    /// For the code of a model.
    pub(crate) fn of_model(
        folder: &Folder,
        environment: &Environment,
        machine: &Machine,
    ) -> io::Result<Self> {
        let Some(allowed) = &machine.walls else { return Ok(Self::default()) };
        let mut place = Self::with(allowed, machine)?;
        let Some(sandbox) = &mut place.sandbox else { return Ok(place) };
        sandbox.read.push(folder.dir.clone());
        sandbox.read.extend(environment.bin.as_deref().and_then(Path::parent).map(PathBuf::from));
        sandbox.read.extend(prefix(&environment.python));
        let network = allowed.network.unwrap_or(folder.model.network);
        sandbox.network = network == Network::All;
        sandbox.user = is_root().then(|| user_of(folder.model.id.as_str()));
        // Packages that the hub's user installed for themselves.
        if let Some(own) = machine.home.as_deref().map(|home| home.join(".local"))
            && own.join("lib").is_dir()
        {
            sandbox.read.push(own.join("lib"));
            place.variables.push(("PYTHONUSERBASE".into(), own.into()));
        }
        Ok(place)
    }

    /// For who builds an environment in `home`: with a network, and folders of their own.
    pub(crate) fn of_builder(
        folder: &Path,
        home: &Path,
        words: &[OsString],
        machine: &Machine,
    ) -> io::Result<Self> {
        let Some(allowed) = &machine.walls else { return Ok(Self::default()) };
        let mut place = Self::with(allowed, machine)?;
        let Some(sandbox) = &mut place.sandbox else { return Ok(place) };
        let cache = home.with_file_name(CACHE);
        for made in [cache.as_path(), home] {
            fs::create_dir_all(made)?;
            sandbox.own.push(made.to_owned());
        }
        // Packages in the model's folder are built where they are, which is written meanwhile: in a copy.
        let copy = sandbox.scratch.join("folder");
        if !copy.is_dir() {
            copy_folder(folder, &copy, sandbox)?;
        }
        sandbox.write.clear();
        sandbox.read.push(folder.to_owned());
        // The Pythons that it is made with.
        let python = home.join("bin/python");
        let pythons = [interpreter(words), Some(python.as_path())];
        sandbox.read.extend(pythons.into_iter().flatten().filter_map(prefix));
        sandbox.network = true;
        sandbox.user = is_root().then_some(BUILDER);
        for (name, kind) in [("PIP_CACHE_DIR", "pip"), ("UV_CACHE_DIR", "uv")] {
            place.variables.push((name.into(), cache.join(kind).into()));
        }
        place.dir = Some(copy);
        Ok(place)
    }

    fn with(allowed: &Allowed, machine: &Machine) -> io::Result<Self> {
        let temporary = match &allowed.scratch {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("muster-").tempdir()?),
        };
        let scratch = allowed.scratch.as_deref().or(temporary.as_ref().map(TempDir::path));
        let scratch = scratch.map(Path::to_owned).unwrap_or_default();
        fs::create_dir_all(&scratch)?;
        let mut read = allowed.read.clone();
        read.extend(std::env::split_paths(&machine.path).filter(|path| path.is_absolute()));
        read.extend(machine.home.as_deref().map(|home| home.join(".pyenv")));
        read.extend(machine.child_prefix.first().map(PathBuf::from));
        let variables = ["HOME", "TMPDIR"].map(|name| (name.into(), scratch.clone().into()));
        let sandbox = Sandbox {
            read,
            write: allowed.write.clone(),
            hidden: allowed.hidden.clone(),
            scratch,
            ..Sandbox::default()
        };
        Ok(Self {
            sandbox: Some(sandbox),
            variables: variables.into(),
            dir: None,
            _scratch: temporary,
        })
    }
}

/// Copies a folder for who writes into it; large files are links to the ones that are there.
fn copy_folder(from: &Path, to: &Path, sandbox: &mut Sandbox) -> io::Result<()> {
    fs::create_dir(to)?;
    sandbox.own.push(to.to_owned());
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, copy) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() && entry.file_name() != ".git" {
            copy_folder(&entry.path(), &copy, sandbox)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, copy)?;
        } else if kind.is_file() && entry.metadata()?.len() > COPIED {
            symlink(entry.path(), copy)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &copy)?;
        }
    }
    Ok(())
}

/// The Python that an environment is made with. What packages say is not asked: only the first word
/// is ours then.
fn interpreter(words: &[OsString]) -> Option<&Path> {
    let first = words.first().map(Path::new);
    if words.get(1).is_none_or(|verb| verb != "venv") {
        return first;
    }
    let at = words.iter().position(|word| word == "--python")?;
    words.get(at + 1).map(Path::new)
}

/// The installation that a Python belongs to.
fn prefix(python: &Path) -> Option<PathBuf> {
    let real = python.canonicalize().ok()?;
    let prefix = real.parent()?.parent()?;
    (prefix.parent().is_some()).then(|| prefix.to_owned())
}
