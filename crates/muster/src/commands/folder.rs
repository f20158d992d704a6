//! `muster model-server`, `muster model check` and `muster model prepare`.

use std::process::ExitCode;

use crate::arguments::{ModelFolder, ModelServer, PrepareFolder};
use crate::config::Environment;
use crate::failure::Failure;

pub fn serve(_arguments: &ModelServer, _environment: &Environment) -> Result<(), Failure> {
    Err(Failure::failed("not there"))
}

pub fn check(_arguments: &ModelFolder) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not there"))
}

pub fn prepare(_arguments: &PrepareFolder) -> Result<(), Failure> {
    Err(Failure::failed("not there"))
}
