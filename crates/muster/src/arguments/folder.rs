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
    /// Fetch the folder from the hub first, by the link in MUSTER_FOLDER_LINK
    #[arg(long, hide = true, requires = "of_version")]
    pub fetch: bool,
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
    Image(ImageFolder),
    Push(PushFolder),
    Versions(Versions),
    Rollback(Rollback),
}

impl ModelVerb {
    pub fn wants_json(&self) -> bool {
        match self {
            Self::Push(arguments) => arguments.json,
            Self::Versions(arguments) => arguments.json,
            Self::Rollback(arguments) => arguments.json,
            Self::Check(_) | Self::Prepare(_) | Self::Image(_) => false,
        }
    }
}

/// Write a model folder as the context of a container image, and build it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster model image ./solubility --base docker.io/library/python:3.12-slim
  muster model image ./solubility --base docker.io/library/python:3.12-slim --tag registry.example.org/lab/solubility:1.0 --build
  BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs muster model image ./solubility --base IMAGE --tag NAME --build

The base has the Python that the model needs, and the C library that this program needs. The environment is made when the
image is built; the image serves at port 8080 as user 65532, and writes only to /tmp. With --tag there is a model.json beside
the Containerfile, which `muster models add` takes.

Exit codes: 0 it is written and built, 1 it was not built, 2 the folder or the usage is not right.")]
pub struct ImageFolder {
    /// The model's folder
    pub dir: PathBuf,
    /// The image that it begins with
    #[arg(long, value_name = "IMAGE")]
    pub base: String,
    /// What the image is called
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    /// Where to write it; absent: ID-image
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// The muster program that goes into the image; absent: this one
    #[arg(long, value_name = "FILE")]
    pub muster: Option<PathBuf>,
    /// Build it with buildah, podman or docker, whichever is there first
    #[arg(long)]
    pub build: bool,
    /// Build it with this program
    #[arg(long, value_name = "PROGRAM", requires = "build")]
    pub builder: Option<String>,
}

/// Send a model folder to the hub, which tries its example and then serves it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster login ada
  muster model push ./solubility
  muster model push ./solubility --example CCO --example c1ccccc1
  muster model push ./solubility --id solubility-2 --no-wait
  muster model push ./solubility --json | jq -r .version

It needs a login with the permission MODEL_EDITOR or ADMIN. The folder is read here first, as `muster model check
--read-only` does. Hidden files, __pycache__ and .pyc files are left out, links are followed inside the folder. The
version that was served before is served until the example has predictions, and stays if it has none.

Exit codes: 0 it is served, 1 its example failed, 2 the folder or the usage is not right, 4 no hub is reached.")]
pub struct PushFolder {
    /// The model's folder
    pub dir: PathBuf,
    /// The model's id; absent: what its model.toml says, or the folder's name
    #[arg(long)]
    pub id: Option<String>,
    /// An input to try it with, instead of the folder's example
    #[arg(long, value_name = "INPUT")]
    pub example: Vec<String>,
    /// Do not wait for the example
    #[arg(long)]
    pub no_wait: bool,
    /// Print the API's JSON of the version
    #[arg(long)]
    pub json: bool,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// List the versions of a model that was pushed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster model versions solubility
  muster model versions solubility --json | jq -r '.items[] | select(.served).version'

The last ten are kept, and the one that is served.")]
pub struct Versions {
    /// The model's id
    pub id: String,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Serve an earlier version of a model again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster model rollback solubility
  muster model rollback solubility --to 1.0.0+3fa9c1d2

Requests that did not end start over with it.")]
pub struct Rollback {
    /// The model's id
    pub id: String,
    /// The version; absent: the newest good one that was pushed before the one that is served
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// Print the API's JSON of the model
    #[arg(long)]
    pub json: bool,
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
