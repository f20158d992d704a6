//! Serves any model folder over the model-server contract: reads the folder, prepares its Python
//! environment, runs its command or keeps its predictor warm, and answers over HTTP.

mod body;
pub mod check;
pub mod dependencies;
pub mod folder;
mod jobs;
mod logs;
mod orient;
mod passing;
pub mod prepare;
mod process;
mod routes;
mod runner;
pub mod serve;
mod walls;
mod watched;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;

pub use body::Limits;
pub use folder::{Fault, Folder, Form, Kind, Note};
pub use serve::{Listen, ServeError, ServeOptions, State, known_files, serve};
pub use walls::Allowed;

/// What a model's processes find on this machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Where programs are looked for, as `PATH` says it.
    pub path: OsString,
    /// The user's home, where pyenv keeps its Pythons.
    pub home: Option<PathBuf>,
    /// What stands in front of every command, so that it ends with this process:
    /// `muster child PID session`. May be empty.
    pub child_prefix: Vec<OsString>,
    /// The walls around a model's code; `None`: there are none.
    pub walls: Option<Allowed>,
}
