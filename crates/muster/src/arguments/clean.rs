//! `muster clean`.

use std::time::Duration;

use clap::Args;
use muster_core::stats::AuthType;

use super::StoreFlags;
use crate::config::age;

/// Clear what is over, on the hub's machine, whether the hub runs or not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster clean --older-than 7d --data-dir ./data
  muster clean --older-than 12h --auth-type anonymous
  muster clean --dry-run
  MUSTER_DATABASE_URL=postgres://hub:..@db/muster muster clean --older-than 7d --json

Requests that ended before that go with their inputs and results, for good; statistics stay. Without
--older-than the hub's settings clearing.* say what is over. Without --auth-type predictions that
nobody uses, instances of the past and sessions that are over go as well, as the settings say. A hub
clears by itself each day: for a job of your own set clearing.every to 0.

Exit codes: 0 done, 1 not everything was cleared, run it again; 2 bad usage or settings.")]
pub struct Clean {
    /// Only requests that ended so long ago: 7d, 12h, 30min, 90s
    #[arg(long, value_name = "AGE", value_parser = older_than)]
    pub older_than: Option<Duration>,
    /// Only requests of people without an account (anonymous), or with one (account)
    #[arg(long, value_name = "TYPE", value_parser = auth_type)]
    pub auth_type: Option<AuthType>,
    /// Only say what would be cleared
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub store: StoreFlags,
}

fn older_than(text: &str) -> Result<Duration, String> {
    match age::read(text) {
        Some(Some(age)) => Ok(age),
        Some(None) => Err("to clear all that ended give 1s".to_owned()),
        None => Err("this is a length of time such as 7d, 12h, 30min or 90s".to_owned()),
    }
}

fn auth_type(text: &str) -> Result<AuthType, String> {
    text.parse().map_err(str::to_owned)
}
