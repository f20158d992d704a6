//! `muster doctor`: what a hub stands on.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use muster_store::{Clock, Database, Objects, StoreConfig, examine_database, examine_objects};
use serde::Serialize;

use crate::arguments::Doctor;
use crate::commands::settings;
use crate::config::Environment;
use crate::config::server::Serve;
use crate::failure::Failure;
use crate::store::store_config;
use crate::{table, walls};

/// Clocks of a hub and its database may differ by so much, microseconds.
const SKEW: i64 = 1_000_000;
/// Less space than this is too little for a result, bytes; less than that is worth a word.
const FULL: u64 = 256 << 20;
const NARROW: u64 = 5 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Good,
    /// It works, and could be better.
    Note,
    Broken,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    state: State,
    what: String,
}

impl Check {
    fn new(name: &str, state: State, what: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state, what: what.into() }
    }
}

pub async fn examine(arguments: &Doctor, environment: &Environment) -> Result<ExitCode, Failure> {
    let settings = settings::read(&arguments.flags, environment)?;
    let serve = Serve::read(&settings, environment).map_err(Failure::usage)?;
    let data = std::path::absolute(&serve.data_dir).unwrap_or_else(|_| serve.data_dir.clone());
    let is_there = data.is_dir();
    let mut checks = vec![data_folder(&data)];
    let config = store_config(&serve, &data);
    checks.extend(database(&config).await);
    checks.push(objects(config, is_there).await);
    checks.extend(is_there.then(|| disk(&data)));
    checks.extend(sandbox(&serve, environment, &data));
    let broken = checks.iter().any(|check| check.state == State::Broken);
    if arguments.json {
        let said = serde_json::json!({ "good": !broken, "checks": checks });
        table::print(&said.to_string())?;
    } else {
        let row = |check: &Check| {
            let state = match check.state {
                State::Good => "good",
                State::Note => "note",
                State::Broken => "BROKEN",
            };
            vec![check.name.clone(), state.to_owned(), check.what.clone()]
        };
        let rows = checks.iter().map(row).collect();
        table::print(&table::table(&["what", "state", "found"], rows, &[]))?;
    }
    Ok(if broken { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn data_folder(data: &Path) -> Check {
    let check = |state, what: String| Check::new("data folder", state, what);
    let shown = data.display();
    let found = match std::fs::metadata(data) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return check(State::Broken, format!("{shown} is not a folder")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return check(State::Note, format!("{shown} is not there; `muster serve` makes it"));
        }
        Err(error) => return check(State::Broken, format!("{shown}: {error}")),
    };
    if let Err(error) = tempfile::tempfile_in(data) {
        return check(State::Broken, format!("{shown} cannot be written: {error}"));
    }
    // To pass through it is no harm; to list it, or to read what is in it, is.
    let open = |path: &Path, bits: u32| {
        std::fs::metadata(path).is_ok_and(|found| found.mode() & bits != 0)
    };
    let others = [("", 0o066), ("muster.db", 0o077), ("run", 0o077)];
    let open = others.into_iter().find(|(name, bits)| open(&data.join(name), *bits));
    match open {
        Some((name, _)) if found.mode() & 0o001 != 0 || name.is_empty() => check(
            State::Note,
            format!(
                "others on this machine may read {}: chmod go-rw it",
                data.join(name).display()
            ),
        ),
        _ => check(State::Good, format!("{shown}, for its user only")),
    }
}

async fn database(config: &StoreConfig) -> Vec<Check> {
    let check = |state, what: String| Check::new("database", state, what);
    if let Database::Sqlite { file } = &config.database
        && !file.exists()
    {
        let what = format!("SQLite in {}, which `muster serve` makes", file.display());
        return vec![check(State::Note, what)];
    }
    let examined = match examine_database(&config.database, &Clock::system()).await {
        Ok(examined) => examined,
        Err(error) => return vec![check(State::Broken, error.to_string())],
    };
    let clock = match examined.ahead {
        None => Check::new("clock", State::Good, "the database goes by this machine's"),
        Some(ahead) => {
            let off = format!("the database's is {:+.3} s from this machine's", ahead as f64 / 1e6);
            let state = if ahead.abs() > SKEW { State::Note } else { State::Good };
            Check::new("clock", state, off)
        }
    };
    vec![check(State::Good, examined.version), clock]
}

async fn objects(config: StoreConfig, is_there: bool) -> Check {
    let check = |state, what: String| Check::new("objects", state, what);
    let place = match &config.objects {
        Objects::Folder(folder) if !is_there && !folder.is_dir() => {
            return check(State::Note, format!("{}, which `muster serve` makes", folder.display()));
        }
        Objects::Folder(folder) => folder.display().to_string(),
        Objects::S3 { url, .. } => url.clone(),
        Objects::Memory => "memory".to_owned(),
    };
    match examine_objects(config.objects, &Clock::system()).await {
        Ok(()) => check(State::Good, format!("{place}: written, read and removed one")),
        Err(error) => check(State::Broken, format!("{place}: {error}")),
    }
}

fn disk(data: &Path) -> Check {
    let check = |state, what: String| Check::new("disk", state, what);
    match rustix::fs::statvfs(data) {
        Ok(found) => {
            let free = found.f_bavail * found.f_frsize;
            let share = found.f_bavail * 100 / found.f_blocks.max(1);
            let state = match free {
                free if free < FULL => State::Broken,
                free if free < NARROW => State::Note,
                _ => State::Good,
            };
            let free = free as f64 / f64::from(1 << 30);
            check(state, format!("{free:.1} GiB free, {share} %"))
        }
        Err(error) => check(State::Broken, format!("its space cannot be seen: {error}")),
    }
}

fn sandbox(serve: &Serve, environment: &Environment, data: &Path) -> Vec<Check> {
    if !serve.model_walls {
        let what = "model_walls is false: a model may reach all that the hub may";
        return vec![Check::new("walls", State::Note, what)];
    }
    // Where there is no hub yet, the walls are those of a temporary folder.
    let place = tempfile::tempdir();
    let data = if data.is_dir() { data } else { place.as_ref().map_or(data, |place| place.path()) };
    match walls::ask(environment, data) {
        Ok(walls) => {
            let check = |wall: muster_sandbox::Wall| {
                let state = if wall.holds { State::Good } else { State::Note };
                Check::new(&format!("wall: {}", wall.name), state, wall.how)
            };
            walls.into_iter().map(check).collect()
        }
        Err(error) => vec![Check::new("walls", State::Broken, error.to_string())],
    }
}
