//! Measures Muster from outside: an echo model that logs what it was sent, load with a ledger of what
//! was acknowledged, and a checker that compares both with what the hub stored.

mod arguments;
mod cases;
mod chaos;
mod check;
mod clock;
mod echo;
mod echo_server;
mod hub;
mod kube;
mod ledger;
mod load;
mod machine;
mod models;
mod molecules;
mod postgres;
mod report;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Cli, Command};

/// What went wrong, for whoever runs the bench.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Echo(arguments) => echo::run(arguments).await.map(|()| true),
            Command::Load(arguments) => load::run(arguments).await,
            Command::Check(arguments) => check::run(&arguments).await,
            Command::Chaos(arguments) => chaos::run(arguments).await,
            Command::Table(arguments) => cases::run(arguments).await,
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("muster-bench: {error}");
    ExitCode::from(2)
}
