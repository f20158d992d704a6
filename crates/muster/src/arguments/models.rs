//! `muster models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// List the hub's models, or show one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster models
  muster models rdkit-descriptors
  muster models --json | jq -r '.items[].id'
  muster models show solubility
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
    /// Show how a model is run: where it comes from, its limits, and what an administrator says of its pods
    #[command(after_help = "\
Examples:
  muster models show solubility
  muster models show solubility --json | jq .image")]
    Show(ShowModel),
    /// Let a model take requests again
    Enable(OneModel),
    /// Let a model take no new requests; those that were submitted go on
    Disable(Disable),
    /// Forget what a model predicted
    ClearCache(OneModel),
    /// Add a model that runs elsewhere or is an image, as a file describes it
    #[command(after_help = "\
Examples:
  muster models add solubility.json

The file is what `POST /api/v1/catalogue` takes: {\"id\": \"solubility\", \"address\": \"https://..\",
\"version\": \"1.0\", \"input\": {\"name\": \"smiles\", \"description\": \"A molecule\"}}. The address begins with one
of the hub's `model_addresses`.

A model that is an image has \"image\": \"registry.example.org/lab/solubility:1.0\" instead, which begins with one of
the hub's `model_images`, and \"port\", if it listens elsewhere than at 80.")]
    Add(DescribedBy),
    /// Change what a file names of a model; the rest stays
    #[command(after_help = "\
Examples:
  echo '{\"card\": {\"task\": \"Toxicity\"}, \"limits\": {\"batch_size\": 50}}' > change.json
  muster models edit solubility change.json
  echo '{\"image\": \"registry.example.org/lab/solubility:1.1\", \"port\": 8080}' > image.json
  muster models edit solubility image.json

The file is a JSON merge patch: null takes a member back.")]
    Edit(EditModel),
    /// Delete a model that is disabled and has no open requests
    #[command(after_help = "\
Examples:
  muster models delete solubility --yes")]
    Delete(DeleteModel),
}

#[derive(Debug, Args)]
pub struct DescribedBy {
    /// A file of JSON
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct EditModel {
    /// The model's id
    pub id: String,
    #[command(flatten)]
    pub by: DescribedBy,
}

#[derive(Debug, Args)]
pub struct DeleteModel {
    /// The model's id
    pub id: String,
    /// Do it
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct ShowModel {
    /// The model's id
    pub id: String,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
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
