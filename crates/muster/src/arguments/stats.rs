//! `muster stats`.

use clap::{Args, Subcommand};

use super::StoreFlags;

/// How many requests there were, and how long they took
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  muster stats
  muster stats --group-by model,day --from 2026-11-01 --to 2026-11-30 --csv > november.csv
  muster stats --mine --group-by month
  muster stats verify --data-dir ./data")]
pub struct Stats {
    #[command(subcommand)]
    pub verb: Option<StatsVerb>,
    /// One row each: model, day, week, month, user, session, auth_type, input_size
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', default_value = "model")]
    pub group_by: Vec<String>,
    /// Only of this model; may be repeated
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// Submitted on this day or later, UTC
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// Submitted on this day or before, UTC
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// Whose times: successes, failures or all
    #[arg(long, value_name = "WHICH", default_value = "successes")]
    pub by: String,
    /// A column, with - before it for the most first
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Only your own requests, not everybody's
    #[arg(long)]
    pub mine: bool,
    /// At most so many rows, up to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub limit: u32,
    /// Print all rows and columns as CSV
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum StatsVerb {
    Verify(VerifyStats),
}

/// Count the requests that are still there anew, on the hub's machine, and say where the statistics
/// differ
#[derive(Debug, Args)]
pub struct VerifyStats {
    #[command(flatten)]
    pub store: StoreFlags,
}
