//! The log of a hub or a model server, on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::server::Log;
use crate::failure::Failure;

/// Starts the log of this process.
pub fn start(log: &Log) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| {
        Failure::usage(format!("log.filter = {:?} cannot be used: {error}", log.filter))
    })?;
    let log_lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if log.json {
        log_lines.json().flatten_event(true).with_current_span(false).try_init()
    } else {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        log_lines.with_ansi(terminal).try_init()
    };
    started.map_err(|error| Failure::failed(format!("the log cannot be started: {error}")))
}
