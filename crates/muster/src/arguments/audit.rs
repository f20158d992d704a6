//! `muster admin audit`.

use clap::Args;

/// List what administrators did, the newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster admin audit
  muster admin audit --action grant --subject ada
  muster admin audit --actor root --from 2026-11-01 --limit 1000
  muster admin audit --json | jq -r '.items[].detail'

It needs a login with the permission ADMIN: see `muster login`.")]
pub struct Audit {
    /// Only what this administrator did; the user name, or the id
    #[arg(long, value_name = "USER")]
    pub actor: Option<String>,
    /// Only what was done to this user; the user name, or the id
    #[arg(long, value_name = "USER")]
    pub subject: Option<String>,
    /// Only this action, as the list names it
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Done then or later: a day (UTC) or a time
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// Done then or before: a day (UTC) or a time
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub limit: usize,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}
