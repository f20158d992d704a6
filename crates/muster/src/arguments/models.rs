//! `muster models`.

use clap::{Args, Subcommand};

/// List the hub's models, or show one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster models
  muster models rdkit-descriptors
  muster models --json | jq -r '.items[].id'
  muster models disable rdkit-descriptors --reason 'It is replaced.'

Changing models needs a login with the permission MODEL_EDITOR or ADMIN: see `muster login`.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Models {
    #[command(subcommand)]
    pub verb: Option<ModelsVerb>,
    /// Show this model: its card, columns, limits and an example
    pub id: Option<String>,
    /// List all, as administrators see them
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ModelsVerb {
    /// Let a model take requests again
    Enable(OneModel),
    /// Let a model take no new requests; those that were submitted go on
    Disable(Disable),
    /// Forget what a model predicted
    ClearCache(OneModel),
}

#[derive(Debug, Args)]
pub struct OneModel {
    /// The model's id
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Disable {
    /// The model's id
    pub id: String,
    /// Why, for those who would use it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}
