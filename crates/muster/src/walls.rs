//! The walls around models, as the hub's settings have them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use muster_cluster::child::{Isolation, ask_inside};
use muster_sandbox::Wall;

use crate::config::Environment;
use crate::config::server::Serve;
use crate::store::object_folder;

/// What every `muster model-server` of this hub is told.
pub fn arguments(serve: &Serve, data: &Path) -> Vec<OsString> {
    if !serve.model_walls {
        return vec!["--no-walls".into()];
    }
    let mut words: Vec<OsString> = Vec::new();
    let mut tell = |flag: &str, path: &Path| {
        words.push(flag.into());
        words.push(path.into());
    };
    serve.model_reads.iter().for_each(|path| tell("--read", path));
    serve.model_writes.iter().for_each(|path| tell("--write", path));
    // What is the hub's own, although it may lie in a folder that programs need.
    tell("--hide", data);
    serve.file.iter().chain(&serve.models).for_each(|path| tell("--hide", path));
    if let Some(folder) = object_folder(serve, data) {
        tell("--hide", &folder);
    }
    words
}

/// Which walls models get at this hub: tried by a process that is started as theirs are.
pub fn ask(environment: &Environment, data: &Path) -> io::Result<Vec<Wall>> {
    let scratch = data.join("scratch");
    std::fs::create_dir_all(&scratch)?;
    let scratch = tempfile::tempdir_in(scratch)?;
    let program = std::env::current_exe()?;
    let words = [OsStr::new("walls"), scratch.path().as_os_str()];
    let (isolation, said) = ask_inside(&program, &words, &environment.for_models(&[]))?;
    let mut walls: Vec<Wall> = serde_json::from_slice(&said)?;
    for wall in walls.iter_mut().filter(|wall| wall.name == "processes") {
        if isolation == Isolation::Session && wall.holds {
            wall.how.push_str("; what a killed hub leaves behind is ended at its next start");
        }
    }
    Ok(walls)
}

/// Says once what is missing; nothing waits for it.
pub fn tell(serve: &Serve, environment: &Environment, data: &Path) {
    if !serve.model_walls {
        tracing::warn!("model_walls is false: a model may reach all that this hub may");
        return;
    }
    let (environment, data) = (environment.clone(), data.to_owned());
    tokio::task::spawn_blocking(move || match ask(&environment, &data) {
        Ok(walls) => {
            for Wall { name, how, .. } in walls.iter().filter(|wall| !wall.holds) {
                tracing::warn!(wall = name, why = how, "models run without a wall");
            }
        }
        Err(error) => tracing::warn!(%error, "which walls models get cannot be found out"),
    });
}
