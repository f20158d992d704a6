//! `muster admin users` and `muster admin user`.

use clap::{Args, Subcommand};

/// List the accounts, the oldest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster admin users
  muster admin users --search ada
  muster admin users --permission ADMIN
  muster admin users --disabled --json | jq -r '.items[].email'

It needs a login with the permission ADMIN: see `muster login`.")]
pub struct Users {
    /// Only those with this in their user name or address
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Only those who have this permission
    #[arg(long, value_name = "PERMISSION")]
    pub permission: Option<String>,
    /// Only those that are disabled
    #[arg(long)]
    pub disabled: bool,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub limit: usize,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Look at an account, or do something to it
#[derive(Debug, Args)]
pub struct UserCommand {
    #[command(subcommand)]
    pub verb: UserVerb,
}

#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// Show it
    #[command(after_help = "\
Examples:
  muster admin user show ada
  muster admin user show ada --json | jq .permissions")]
    Show(OneUser),
    /// Grant a permission; it holds at once, in all sessions
    #[command(after_help = "\
Examples:
  muster admin user grant ada MODEL_EDITOR")]
    Grant(PermissionOf),
    /// Take a permission away; it holds at once, in all sessions
    #[command(after_help = "\
Examples:
  muster admin user revoke ada MODEL_EDITOR")]
    Revoke(PermissionOf),
    /// Disable it: its sessions end, and nobody logs in to it
    #[command(after_help = "\
Examples:
  muster admin user disable ada")]
    Disable(OneUser),
    /// Let it be used again
    #[command(after_help = "\
Examples:
  muster admin user enable ada")]
    Enable(OneUser),
    /// End all its sessions and API tokens
    #[command(after_help = "\
Examples:
  muster admin user end-sessions ada")]
    EndSessions(OneUser),
    /// List its sessions and API tokens
    #[command(after_help = "\
Examples:
  muster admin user sessions ada")]
    Sessions(OneUser),
    /// Make a link with which a new password is set; hand it to the person
    #[command(after_help = "\
Examples:
  muster admin user reset-link ada

The link works once. `muster admin reset-link` makes one on the hub's machine, without a login.")]
    ResetLink(OneUser),
    /// Delete it with all its requests and results; this cannot be taken back
    #[command(after_help = "\
Examples:
  muster admin user delete ada          # says what would be gone
  muster admin user delete ada --yes")]
    Delete(DeleteUser),
}

#[derive(Debug, Args)]
pub struct OneUser {
    /// The user name, or the id
    pub user: String,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PermissionOf {
    #[command(flatten)]
    pub user: OneUser,
    /// ADMIN or MODEL_EDITOR
    pub permission: String,
}

#[derive(Debug, Args)]
pub struct DeleteUser {
    #[command(flatten)]
    pub user: OneUser,
    /// Do it
    #[arg(long)]
    pub yes: bool,
}

impl UserVerb {
    pub fn wants_json(&self) -> bool {
        match self {
            Self::Show(one)
            | Self::Disable(one)
            | Self::Enable(one)
            | Self::EndSessions(one)
            | Self::Sessions(one)
            | Self::ResetLink(one) => one.json,
            Self::Grant(of) | Self::Revoke(of) => of.user.json,
            Self::Delete(of) => of.user.json,
        }
    }
}
