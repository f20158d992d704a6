//! `muster login`, `logout` and `admin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AdminRequest, AdminRequests, Audit, StoreFlags, UserCommand, Users};

/// Log in at the hub
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster login ada
  muster login ada --password-file secret.txt

The password is asked for, or read from standard input. Requests you made without an account become
yours. The session is kept in credentials.json of your configuration folder, for you only.")]
pub struct Login {
    /// Your user name
    pub name: String,
    /// Read the password from this file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// Log out and forget the session
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster logout")]
pub struct Logout {}

/// Administer people, and everybody's requests
#[derive(Debug, Args)]
pub struct AdminCommand {
    #[command(subcommand)]
    pub verb: AdminVerb,
}

#[derive(Debug, Subcommand)]
pub enum AdminVerb {
    Create(CreateAdmin),
    ResetLink(ResetLink),
    Requests(AdminRequests),
    Request(AdminRequest),
    Users(Users),
    Audit(Audit),
    User(UserCommand),
}

/// Make an account that administers the hub; on its machine, whether it runs or not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster admin create root --email root@example.org --data-dir ./data
  muster admin create root --email root@example.org --password-file secret.txt

The password is asked for, or read from standard input; it is never an argument, for other users can
see those.")]
pub struct CreateAdmin {
    /// The user name
    pub name: String,
    #[arg(long, value_name = "ADDRESS")]
    pub email: String,
    #[arg(long, value_name = "NAME", default_value = "Hub")]
    pub first_name: String,
    #[arg(long, value_name = "NAME", default_value = "Administrator")]
    pub last_name: String,
    /// Read the password from this file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    #[command(flatten)]
    pub store: StoreFlags,
}

/// Make a link with which a user can set a password, once, within a day
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster admin reset-link ada --data-dir ./data")]
pub struct ResetLink {
    /// The user name
    pub name: String,
    #[command(flatten)]
    pub store: StoreFlags,
}
