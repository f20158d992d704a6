//! `muster instances` and `muster instance`.

use clap::{Args, Subcommand};

/// List the running copies of models, for administrators
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster instances
  muster instances --model rdkit-descriptors --status draining
  muster instances --ended --json | jq -r '.items[].end.cause'

It needs a login with the permission ADMIN: see `muster login`.")]
pub struct Instances {
    /// Only of this model; may be repeated
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// Only in this state (preparing, starting, ready, draining) or with a pod in it; may be repeated
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,
    /// Only those that ended for this cause, with --ended; may be repeated
    #[arg(long, value_name = "CAUSE", requires = "ended")]
    pub cause: Vec<String>,
    /// Launched then or later, for example 2026-11-24T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Launched then or before
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Those that have ended
    #[arg(long)]
    pub ended: bool,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub limit: usize,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Look at one instance, or stop it, for administrators
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster instance show 0193a1b2-0000-7000-8000-000000000001
  muster instance logs 0193a1b2-0000-7000-8000-000000000001 --follow
  muster instance stop 0193a1b2-0000-7000-8000-000000000001 --work drain --reason 'It leaks.'

`muster instances` lists them. It needs a login with the permission ADMIN: see `muster login`.")]
pub struct InstanceCommand {
    #[command(subcommand)]
    pub verb: InstanceVerb,
}

#[derive(Debug, Subcommand)]
pub enum InstanceVerb {
    /// Show its state, phases, resources and what it works on
    Show(OneInstance),
    /// Show what happened to it, the newest first
    Events(InstanceEvents),
    /// Print the end of what its model wrote
    Logs(InstanceLogs),
    /// Stop it: it gets nothing more, and goes
    Stop(StopInstance),
}

impl InstanceVerb {
    pub fn wants_json(&self) -> bool {
        match self {
            Self::Show(arguments) => arguments.json,
            Self::Events(arguments) => arguments.json,
            Self::Stop(arguments) => arguments.json,
            Self::Logs(_) => false,
        }
    }
}

#[derive(Debug, Args)]
pub struct OneInstance {
    /// The instance's id
    pub id: String,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InstanceEvents {
    /// The instance's id
    pub id: String,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub limit: usize,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InstanceLogs {
    /// The instance's id
    pub id: String,
    /// So many of the last lines
    #[arg(long, value_name = "LINES", default_value_t = 200)]
    pub tail: u32,
    /// And what is written from now on, until it has ended
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct StopInstance {
    /// The instance's id
    pub id: String,
    /// What becomes of its work: requeue, fail or drain (it is finished first)
    #[arg(long, value_name = "HOW", default_value = "requeue")]
    pub work: String,
    /// How long its work may take or, if that is not waited for, its process
    #[arg(long, value_name = "SECONDS")]
    pub grace_seconds: Option<u32>,
    /// Why; people whose requests fail read it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}
