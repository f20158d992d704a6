//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::echo::modes::Mode;

/// Measures Muster: speed, memory, and that nothing was lost.
#[derive(Debug, Parser)]
#[command(name = "muster-bench", version)]
#[command(after_help = "\
Examples:
  muster-bench table --muster target/release/muster
  muster-bench table --muster target/release/muster --quick --only small,durable-sqlite
  muster-bench echo --listen 127.0.0.1:9100 --log rows.jsonl
  muster-bench load --hub 127.0.0.1:8080 --model echo --rate 500 --seconds 10 --ledger ledger.jsonl
  muster-bench chaos --muster target/release/muster --database postgres --minutes 5
  muster-bench check --ledger ledger.jsonl --database sqlite:data/muster.db --objects data/objects

Exit codes: 0 all is well, 1 something was lost, doubled or mixed, or a case or a chaos run did not get to \
its end, 2 it could not begin.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Echo(Echo),
    Load(Load),
    Check(Check),
    Chaos(Chaos),
    Table(Table),
}

/// Serve a model that answers every input with itself
#[derive(Debug, Args)]
#[command(after_help = "\
An input `!MODE:..` makes the call that carries it misbehave, `!slow:MILLISECONDS:..` with a number.
With --mode every call does, or with --every N each N-th one.

The log has a line when a call begins, with its inputs, and one when it was answered:
  {\"t\":MICROSECONDS,\"instance\":\"..\",\"call\":1,\"begin\":[\"..\"]}
  {\"t\":MICROSECONDS,\"instance\":\"..\",\"call\":1,\"end\":true}")]
pub struct Echo {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Write the bound address to this file
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// Append every input that is sent to this file
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// How long each call takes, milliseconds
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub pause: u64,
    /// What calls do wrong
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// With --mode: only each N-th call does it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub every: u64,
    /// Know no asynchronous jobs, as some servers do not
    #[arg(long)]
    pub no_jobs: bool,
}

/// Send requests to a hub and keep a ledger of what it acknowledged
#[derive(Debug, Args)]
#[command(after_help = "\
With --rate the load is open: requests are due at fixed times, whether or not earlier ones were
answered, and a request's time counts from when it was due. Without, it is closed: each connection
sends when its last request was answered.")]
pub struct Load {
    /// The hub's address; load is only sent to this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub hub: SocketAddr,
    /// A model that answers each input with itself in the column `echo`
    #[arg(long, value_name = "ID")]
    pub model: String,
    /// Requests a second; absent: a closed loop
    #[arg(long, value_name = "NUMBER")]
    pub rate: Option<f64>,
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub seconds: u64,
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    pub connections: usize,
    /// Sessions that the requests are spread over
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    pub sessions: usize,
    /// Inputs in each request
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub inputs: usize,
    /// Wait so long for each result, seconds; 0: only for the acknowledgement
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    pub wait: u32,
    /// Put before each input, such as `!slow:50:` for the echo model
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub prefix: String,
    /// Append a line for each request to this file
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
}

/// Compare a ledger with what a hub stored and its model was sent
#[derive(Debug, Args)]
pub struct Check {
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// sqlite:FILE (of a hub that has stopped) or postgres://..
    #[arg(long, value_name = "URL")]
    pub database: String,
    /// The PostgreSQL schema
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub schema: String,
    /// The folder with large inputs and results
    #[arg(long, value_name = "DIR")]
    pub objects: PathBuf,
    /// What the model logged
    #[arg(long, value_name = "FILE")]
    pub model_log: Option<PathBuf>,
    /// Requests may have failed or been cancelled, as after faults
    #[arg(long)]
    pub may_fail: bool,
}

/// Run all cases and print the table
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct Table {
    /// The binary to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/muster")]
    pub muster: PathBuf,
    /// Fewer and shorter runs, without stats and clean unless they are asked for
    #[arg(long)]
    pub quick: bool,
    /// As many requests as the targets of statistics (10,000,000) and clearing (1,000,000) name: over 40 minutes a case
    #[arg(long, conflicts_with = "quick")]
    pub full: bool,
    /// Only these cases, with commas between
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Where raw results go
    #[arg(long, value_name = "DIR", default_value = "bench/results")]
    pub results: PathBuf,
    /// Kept between runs: Python environments
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub cache: PathBuf,
    /// Keep the folder with databases, ledgers and logs
    #[arg(long)]
    pub keep: bool,
    /// Offer so many requests a second in the durable cases instead of what a first run shows
    #[arg(long, value_name = "NUMBER")]
    pub rate: Option<f64>,
    /// So many requests in the cases of statistics and clearing
    #[arg(long, value_name = "NUMBER", conflicts_with = "full")]
    pub requests: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DatabaseKind {
    Sqlite,
    Postgres,
}

/// Break everything at random under load, heal it, and look whether anything was lost
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct Chaos {
    /// The binary under test
    #[arg(long, value_name = "FILE", default_value = "target/release/muster")]
    pub muster: PathBuf,
    #[arg(long, value_enum, default_value_t = DatabaseKind::Sqlite)]
    pub database: DatabaseKind,
    /// The same seed gives the same faults in the same order; absent: drawn
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How long faults go on
    #[arg(long, value_name = "NUMBER", default_value_t = 5.0)]
    pub minutes: f64,
    /// Only `kill -9` of the hub, so often
    #[arg(long, value_name = "NUMBER")]
    pub kills: Option<u32>,
    /// Before anything else the crash points in the code of a debug build, one by one
    #[arg(long)]
    pub walk: bool,
    /// Only a disk that gets full, of one hub on SQLite
    #[arg(long)]
    pub full_disk: bool,
    /// Only these faults, by the beginnings of their names, with commas between
    #[arg(long, value_name = "FAULTS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// No fault lasts longer than a few seconds
    #[arg(long)]
    pub short: bool,
    /// Keep the folder also when nothing was found
    #[arg(long)]
    pub keep: bool,
}

/// What a value is called on the command line.
pub fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Is its name one of those that begin as one of `only`? Without any, all are.
pub fn is_among(value: impl ValueEnum, only: &[String]) -> bool {
    let name = name(value);
    only.is_empty() || only.iter().any(|only| name.starts_with(&**only))
}
