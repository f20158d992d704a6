//! `muster canary`: what the pods run that `muster doctor --cluster` makes.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What the pods of `muster doctor --cluster` run
#[derive(Debug, Args)]
pub struct Canary {
    #[command(subcommand)]
    pub verb: CanaryVerb,
}

#[derive(Debug, Subcommand)]
pub enum CanaryVerb {
    /// Say a word to whoever comes
    Listen { address: IpAddr, port: u16, word: String },
    /// Exit with 3 if there is somebody
    Reach { address: IpAddr, port: u16 },
    /// Exit with 0 if a folder could run here: with Python, a folder to write, and the hub if an address is given
    Folder { dir: PathBuf, hub: String },
}
