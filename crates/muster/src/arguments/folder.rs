//! `muster model-server` and `muster model`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use muster_core::model::Network;

/// Serve one model folder over HTTP, without a hub
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster model-server ./models/rdkit-descriptors --listen 127.0.0.1:9000
  curl -d '[\"CCO\"]' -H 'content-type: application/json' http://127.0.0.1:9000/run")]
pub struct ModelServer {
    /// The model's folder
    pub dir: PathBuf,
    /// An address, or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub listen: String,
    /// Where prepared environments are kept
    #[arg(long, value_name = "DIR", default_value = "./data/environments")]
    pub environments: PathBuf,
    /// Write the bound address to this file when the server listens
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
    /// Say on standard output, in lines of JSON, how the start goes
    #[arg(long, hide = true)]
    pub ready_fd_on_stdout: bool,
    /// The version that the folder has to be of
    #[arg(long, value_name = "VERSION", hide = true)]
    pub of_version: Option<String>,
    #[command(flatten)]
    pub walls: WallFlags,
}

/// What the model may reach: as `muster serve` would let it
#[derive(Debug, Default, Args)]
pub struct WallFlags {
    /// Whatever the folder says: none or all
    #[arg(long, value_name = "WHAT", value_parser = network)]
    pub network: Option<Network>,
    /// One more file or folder that it may read
    #[arg(long, value_name = "PATH")]
    pub read: Vec<PathBuf>,
    /// A folder that it may write
    #[arg(long, value_name = "DIR")]
    pub write: Vec<PathBuf>,
    /// To find a fault: let the model do whatever you may do
    #[arg(long)]
    pub no_walls: bool,
    /// Its scratch folder; else a temporary one
    #[arg(long, value_name = "DIR", hide = true)]
    pub scratch: Option<PathBuf>,
    /// What is the hub's own
    #[arg(long, value_name = "PATH", hide = true)]
    pub hide: Vec<PathBuf>,
}

fn network(text: &str) -> Result<Network, String> {
    match text {
        "none" => Ok(Network::None),
        "all" => Ok(Network::All),
        _ => Err("this is none or all".to_owned()),
    }
}

/// Say which walls a model gets here, as JSON
#[derive(Debug, Args)]
pub struct Walls {
    /// An empty folder
    pub scratch: PathBuf,
}

/// Work on a model folder
#[derive(Debug, Args)]
pub struct ModelCommand {
    #[command(subcommand)]
    pub verb: ModelVerb,
}

#[derive(Debug, Subcommand)]
pub enum ModelVerb {
    Check(ModelFolder),
    Prepare(PrepareFolder),
}

/// Read a model folder, say what is wrong with it, run its example
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster model check ./models/rdkit-descriptors
  muster model check --read-only ./models/rdkit-descriptors
  muster model check ./models/rdkit-descriptors --network all
  muster model check ./models/rdkit-descriptors --no-walls

The model runs inside the same walls as at a hub, so that what a hub will refuse is found here.

Exit codes: 0 it works, 1 it does not run, 2 the folder is not right.")]
pub struct ModelFolder {
    /// The model's folder
    pub dir: PathBuf,
    /// Where prepared environments are kept
    #[arg(long, value_name = "DIR", default_value = "./data/environments")]
    pub environments: PathBuf,
    /// Only read the folder: nothing is built and nothing is run
    #[arg(long)]
    pub read_only: bool,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub walls: WallFlags,
}

/// Make the model's own Python environment
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster model prepare ./models/rdkit-descriptors --environments ./data/environments

`muster serve` does the same when the model is first used. An environment that is there already is
used again.")]
pub struct PrepareFolder {
    /// The model's folder
    pub dir: PathBuf,
    /// Where prepared environments are kept
    #[arg(long, value_name = "DIR", default_value = "./data/environments")]
    pub environments: PathBuf,
    #[command(flatten)]
    pub walls: WallFlags,
}
