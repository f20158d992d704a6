//! `muster run`, `requests`, `show`, `cancel` and `result`.

use std::path::PathBuf;

use clap::Args;

use crate::download::Format;

/// Get predictions for a file or for single inputs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster run rdkit-descriptors molecules.csv -o out.csv
  muster run rdkit-descriptors --input 'CCO' --input 'c1ccccc1'
  muster run rdkit-descriptors molecules.csv --column structure -o out.parquet
  muster run rdkit-descriptors molecules.csv --label 'Plate 7' -o out.xlsx
  muster run molecular-weight --inputs-of ID -o out.csv
  cat molecules.csv | muster run rdkit-descriptors - > out.csv

The file is a table: CSV, or with semicolons or tabs between its cells (.tsv). .txt has one input a
line, .smi one SMILES a line with a name after it; any of them may be packed (.gz). The file's own
columns come back beside the predictions. Without -o the first rows are shown on a terminal,
and CSV is written elsewhere. If the hub goes away the command waits for it, and a request is never
submitted twice.

Exit codes: 0 all inputs have predictions, 3 some have not (the column `error` says why), 1 the
request failed, 2 bad usage or input, 4 the hub cannot be reached.")]
pub struct Run {
    /// The model's id, see `muster models`
    pub model: String,
    /// The file with the inputs; - is standard input
    #[arg(required_unless_present_any = ["input", "inputs_of"])]
    pub file: Option<PathBuf>,
    /// One input; may be given several times
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "column", "no_header", "has_header", "separator"])]
    pub input: Vec<String>,
    /// The inputs of one of your requests once more, with all columns of its file; it may have failed, and
    /// its model may have been another one
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "input", "column", "no_header", "has_header", "separator"])]
    pub inputs_of: Option<String>,
    /// What you call the request, for your lists: one line
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Write the result to this file; its name says the format
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The result's format [default: by the name of the output, else csv]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The file's column with the inputs, its number with --no-header [default: the model's input column]
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// The first line is a row already
    #[arg(long)]
    pub no_header: bool,
    /// The first line is a header, whatever it says
    #[arg(long, conflicts_with = "no_header")]
    pub has_header: bool,
    /// What separates the cells: a character, or comma, semicolon, tab, pipe, space [default: what the
    /// file shows]
    #[arg(long, value_name = "CHARACTER")]
    pub separator: Option<String>,
    /// Neither use nor keep known predictions
    #[arg(long)]
    pub no_cache: bool,
    /// Submissions with the same key and inputs are one request [default: a new key]
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Print the request as the API's JSON, with the result unless it goes to a file
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// No progress and no summary
    #[arg(short, long)]
    pub quiet: bool,
}

/// List your requests, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster requests
  muster requests --model rdkit-descriptors --phase failed
  muster requests --search 'plate 7'
  muster requests --csv > requests.csv
  muster requests --json | jq -r '.items[].id'")]
pub struct Requests {
    /// Only those for this model
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// Only those that are waiting, running, completed, failed or cancelled
    #[arg(long, value_name = "PHASE")]
    pub phase: Option<String>,
    /// Only those with this in their label, or with this id
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub limit: usize,
    /// Print all of them as CSV, to keep a list before they are cleared
    #[arg(long, conflicts_with_all = ["json", "limit"])]
    pub csv: bool,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Show one of your requests
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster show 019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11
  muster show ID --wait 600 --json | jq -r .phase")]
pub struct Show {
    pub id: String,
    /// Wait until it has ended, at most so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u64>,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Call one of your requests otherwise
///
/// The label is for you alone; `muster requests` shows it and finds it with --search.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster label 019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11 'Plate 7'
  muster label ID --none")]
pub struct Label {
    pub id: String,
    /// One line
    #[arg(required_unless_present = "none")]
    pub label: Option<String>,
    /// Take the label away
    #[arg(long, conflicts_with = "label")]
    pub none: bool,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Cancel one of your requests
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster cancel 019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11
  muster cancel ID --reason 'wrong file'")]
pub struct Cancel {
    pub id: String,
    /// Why, for those who look later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Fetch the result of a request
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster result 019ae0f2-7c1e-7d3a-9c55-0d6f1f6f2a11
  muster result ID -o out.csv
  muster result ID --format parquet -o out.parquet")]
pub struct ResultOf {
    pub id: String,
    /// Write the result to this file; its name says the format
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The result's format [default: by the name of the output, else csv]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}
