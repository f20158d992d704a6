//! `muster admin requests` and `muster admin request`.

use clap::{Args, Subcommand};

/// List everybody's requests, newest first, without what is in them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster admin requests
  muster admin requests --phase failed --from 2026-11-01
  muster admin requests --model rdkit-descriptors --phase waiting --oldest
  muster admin requests --auth-type anonymous --csv > requests.csv
  muster admin requests --json | jq -r '.items[].id'

It needs a login with the permission ADMIN: see `muster login`. Ids of users and sessions are in
`muster stats --group-by user,session --json`.")]
pub struct AdminRequests {
    /// Only of this account, by its id; may be repeated
    #[arg(long, value_name = "ID")]
    pub user: Vec<String>,
    /// Only of this anonymous session; may be repeated. With --user: of either
    #[arg(long, value_name = "ID")]
    pub session: Vec<String>,
    /// Only for this model; may be repeated
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// Only of an account, or only anonymous
    #[arg(long, value_name = "TYPE")]
    pub auth_type: Option<String>,
    /// Submitted on this day or later, UTC
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// Submitted on this day or before, UTC
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// Only those that are waiting, running, completed, failed or cancelled; may be repeated
    #[arg(long, value_name = "PHASE")]
    pub phase: Vec<String>,
    /// The oldest first
    #[arg(long)]
    pub oldest: bool,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub limit: usize,
    /// Print all rows and columns as CSV
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Look at anybody's request, or do something to it
#[derive(Debug, Args)]
pub struct AdminRequest {
    #[command(subcommand)]
    pub verb: AdminRequestVerb,
}

#[derive(Debug, Subcommand)]
pub enum AdminRequestVerb {
    /// Show it: whose it is, how it went, when and on which instances
    #[command(after_help = "\
Examples:
  muster admin request show 019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11
  muster admin request show ID --json | jq .timeline")]
    Show(OneRequest),
    /// Cancel it; its owner reads the reason
    #[command(after_help = "\
Examples:
  muster admin request cancel ID --reason 'The model is taken down for repair.'")]
    Cancel(CancelAny),
    /// Put what waits of it before everything else that waits for its model
    #[command(after_help = "\
Examples:
  muster admin request front 019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11")]
    Front(OneRequest),
    /// Try a failed one again: a new request of the same owner with the same inputs
    #[command(after_help = "\
Examples:
  muster admin request requeue 019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11
  muster admin requests --phase failed --json | jq -r '.items[].id' |
    xargs -n1 muster admin request requeue")]
    Requeue(OneRequest),
}

impl AdminRequestVerb {
    pub fn wants_json(&self) -> bool {
        match self {
            Self::Show(one) | Self::Front(one) | Self::Requeue(one) => one.json,
            Self::Cancel(cancel) => cancel.request.json,
        }
    }
}

#[derive(Debug, Args)]
pub struct OneRequest {
    /// The request's id
    pub id: String,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CancelAny {
    #[command(flatten)]
    pub request: OneRequest,
    /// Why, for the request's owner
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}
