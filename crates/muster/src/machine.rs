//! What the hub's machine has for it: `muster doctor` and `GET /api/v1/hub/state` say the same.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use muster_cluster::machine::Machine;
use muster_core::{Check, CheckState as State};

use crate::config::Environment;
use crate::config::server::Serve;
use crate::{human, walls};

/// Less space than this is too little for a result, bytes; less than that is worth a word.
const FULL: u64 = 256 << 20;
const NARROW: u64 = 5 << 30;

/// The data folder, the disk that it is on, and the walls around models.
pub fn examine(serve: &Serve, environment: &Environment, data: &Path) -> Vec<Check> {
    let mut checks = vec![data_folder(data)];
    checks.extend(data.is_dir().then(|| disk(data)));
    checks.extend(sandbox(serve, environment, data));
    checks
}

/// What instances may have of the machine.
pub const ROOM: &str = "machine";

pub fn room(machine: &Machine) -> Check {
    let mut names: Vec<(&str, u64)> = Vec::new();
    for gpu in &machine.gpus {
        let name = if gpu.name.is_empty() { "GPU" } else { &gpu.name };
        match names.iter_mut().find(|(other, _)| *other == name) {
            Some((_, count)) => *count += 1,
            None => names.push((name, 1)),
        }
    }
    let gpus = names.into_iter().map(|(name, count)| format!("{count} x {name}"));
    let gpus: Vec<String> = gpus.collect();
    let used = machine.gpus.iter().filter(|gpu| gpu.used_by_others).count();
    let used = if used > 0 { format!(" ({used} used by other programs)") } else { String::new() };
    let what = format!(
        "{} cores and {} of memory for instances, {}{used}",
        machine.cores_millis as f64 / 1000.0,
        human::bytes(machine.memory),
        if gpus.is_empty() { "no GPUs".to_owned() } else { gpus.join(", ") },
    );
    if machine.memory == 0 {
        let what = format!("{what}: local.reserve_memory leaves nothing");
        return Check::new(ROOM, State::Broken, what);
    }
    Check::new(ROOM, State::Good, what)
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
