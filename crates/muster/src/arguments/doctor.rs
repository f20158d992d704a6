//! `muster doctor`.

use clap::Args;

use super::ServeFlags;

/// Say whether all that a hub stands on is as it has to be, on its machine, whether it runs or not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster doctor --data-dir ./data
  muster doctor --config muster.toml --json
  MUSTER_DATABASE_URL=postgres://hub:..@db/muster muster doctor

It takes the settings of `muster serve`, and changes nothing: one object is written to the object
storage and removed again. A wall around models that is missing is told, and is no failure: see
docs/security.md for what holds where.

Exit codes: 0 nothing is broken, 1 something is, 2 bad usage or settings.")]
pub struct Doctor {
    #[command(flatten)]
    pub flags: ServeFlags,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
