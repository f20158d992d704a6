//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::download::Format;

/// A hub for models: a CSV in, predictions out.
#[derive(Debug, Parser)]
#[command(name = "muster", version, propagate_version = true, subcommand_required = true)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  muster serve --data-dir ./data --models ./models
  muster models
  muster run rdkit-descriptors molecules.csv -o out.csv

Exit codes: 0 done, 1 the request failed, 2 bad usage or input, 3 some inputs have no prediction,
4 the hub cannot be reached."
)]
pub struct Cli {
    /// The hub's address [default: MUSTER_HUB, the file muster/config.toml of XDG_CONFIG_HOME or
    /// ~/.config, http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    pub hub: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Serve),
    Models(Models),
    Run(Run),
    Requests(Requests),
    Show(Show),
    Cancel(Cancel),
    Result(ResultOf),
    Stats(Stats),
    Login(Login),
    Logout(Logout),
    Admin(AdminCommand),
    ModelServer(ModelServer),
    Model(ModelCommand),
    Config(ShowConfig),
    /// Print the API as OpenAPI 3.1
    Openapi,
    Completions(Completions),
}

/// Run a hub
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster serve --data-dir ./data --models ./models --listen 127.0.0.1:8080
  muster serve --models ./models --listen 127.0.0.1:0 --port-file port
  MUSTER_DATABASE_URL=postgres://hub:..@db/muster muster serve --config muster.toml

Every setting can also be a MUSTER_ variable or stand in the file given with --config: see `muster
config`. The database's URL is never a flag, for other users can see flags. SIGTERM or Ctrl-C ends
the hub and its models; what was running is queued again at the next start.")]
pub struct Serve {
    #[command(flatten)]
    pub flags: ServeFlags,
    /// Write the bound address to this file when the hub listens
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,
}

#[derive(Debug, Default, Args)]
pub struct ServeFlags {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the API listens; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where /metrics listens
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<String>,
    /// Database, results, environments and sockets [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// A folder of model folders
    #[arg(long, value_name = "DIR")]
    pub models: Option<String>,
    /// Host names that requests may be for, with commas between
    #[arg(long, value_name = "NAMES")]
    pub allowed_hosts: Option<String>,
    /// The PostgreSQL schema, created if it is missing
    #[arg(long, value_name = "NAME")]
    pub database_schema: Option<String>,
    /// s3://bucket/prefix or a folder for large inputs and results
    #[arg(long, value_name = "URL")]
    pub objects_url: Option<String>,
    /// Most inputs in a request [default: 100000]
    #[arg(long, value_name = "NUMBER")]
    pub limits_inputs: Option<String>,
    /// Most bytes of one input [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    pub limits_input_bytes: Option<String>,
    /// Most bytes of a request's body [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub limits_body_bytes: Option<String>,
    /// Most instances of all models together [default: 16]
    #[arg(long, value_name = "NUMBER")]
    pub max_instances: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl ServeFlags {
    pub fn by_key(&self) -> Vec<(&'static str, Option<String>)> {
        let flags = [
            ("listen", &self.listen),
            ("metrics", &self.metrics),
            ("data_dir", &self.data_dir),
            ("models", &self.models),
            ("allowed_hosts", &self.allowed_hosts),
            ("database.schema", &self.database_schema),
            ("objects.url", &self.objects_url),
            ("limits.inputs", &self.limits_inputs),
            ("limits.input_bytes", &self.limits_input_bytes),
            ("limits.body_bytes", &self.limits_body_bytes),
            ("max_instances", &self.max_instances),
            ("log.format", &self.log_format),
        ];
        flags.into_iter().map(|(key, value)| (key, value.clone())).collect()
    }
}

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

/// Get predictions for a file or for single inputs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster run rdkit-descriptors molecules.csv -o out.csv
  muster run rdkit-descriptors --input 'CCO' --input 'c1ccccc1'
  muster run rdkit-descriptors molecules.csv --column structure -o out.parquet
  cat molecules.csv | muster run rdkit-descriptors - > out.csv

The file is CSV; .txt has one input a line, .smi one SMILES a line with a name after it. The file's
own columns come back beside the predictions. Without -o the first rows are shown on a terminal,
and CSV is written elsewhere. If the hub goes away the command waits for it, and a request is never
submitted twice.

Exit codes: 0 all inputs have predictions, 3 some have not (the column `error` says why), 1 the
request failed, 2 bad usage or input, 4 the hub cannot be reached.")]
pub struct Run {
    /// The model's id, see `muster models`
    pub model: String,
    /// The file with the inputs; - is standard input
    #[arg(required_unless_present = "input")]
    pub file: Option<PathBuf>,
    /// One input; may be given several times
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "column", "no_header"])]
    pub input: Vec<String>,
    /// Write the result to this file; its name says the format
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The result's format [default: by the name of the output, else csv]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The file's column with the inputs [default: the model's input column]
    #[arg(long, value_name = "NAME")]
    pub column: Option<String>,
    /// The first line is an input already
    #[arg(long)]
    pub no_header: bool,
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
  muster requests --json | jq -r '.items[].id'")]
pub struct Requests {
    /// Only those for this model
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// Only those that are waiting, running, completed, failed or cancelled
    #[arg(long, value_name = "PHASE")]
    pub phase: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub limit: usize,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// How many requests there were, and how long they took
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  muster stats
  muster stats --group-by model,day --from 2026-11-01 --to 2026-11-30 --csv > november.csv
  muster stats --mine --group-by month
  muster stats verify --data-dir ./data")]
pub struct Stats {
    #[command(subcommand)]
    pub verb: Option<StatsVerb>,
    /// One row each: model, day, week, month, user, session, auth_type, input_size
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', default_value = "model")]
    pub group_by: Vec<String>,
    /// Only of this model; may be repeated
    #[arg(long, value_name = "ID")]
    pub model: Vec<String>,
    /// Submitted on this day or later, UTC
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// Submitted on this day or before, UTC
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// Whose times: successes, failures or all
    #[arg(long, value_name = "WHICH", default_value = "successes")]
    pub by: String,
    /// A column, with - before it for the most first
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Only your own requests, not everybody's
    #[arg(long)]
    pub mine: bool,
    /// At most so many rows, up to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub limit: u32,
    /// Print all rows and columns as CSV
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum StatsVerb {
    Verify(VerifyStats),
}

/// Count the requests that are still there anew, on the hub's machine, and say where the statistics
/// differ
#[derive(Debug, Args)]
pub struct VerifyStats {
    #[command(flatten)]
    pub store: StoreFlags,
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

/// Administer people on the hub's machine, whether the hub runs or not
#[derive(Debug, Args)]
pub struct AdminCommand {
    #[command(subcommand)]
    pub verb: AdminVerb,
}

#[derive(Debug, Subcommand)]
pub enum AdminVerb {
    Create(CreateAdmin),
    ResetLink(ResetLink),
}

/// Where the hub keeps its things: as for `muster serve`
#[derive(Debug, Args)]
pub struct StoreFlags {
    /// The hub's TOML file with settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The hub's data folder [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// The hub's PostgreSQL schema
    #[arg(long, value_name = "NAME")]
    pub database_schema: Option<String>,
}

/// Make an account that administers the hub
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

Exit codes: 0 it works, 1 it does not run, 2 the folder is not right.")]
pub struct ModelFolder {
    /// The model's folder
    pub dir: PathBuf,
    /// Where prepared environments are kept
    #[arg(long, value_name = "DIR", default_value = "./data/environments")]
    pub environments: PathBuf,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
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
}

/// Show the settings `muster serve` would use, and where each comes from
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster config
  MUSTER_LISTEN=0.0.0.0:80 muster config --config muster.toml --json

A flag goes before a MUSTER_ variable, which goes before the file given with --config or
MUSTER_CONFIG, which goes before the default. The setting database.url is the variable
MUSTER_DATABASE_URL, and `url` in the table [database] of the file. Secrets are masked.")]
pub struct ShowConfig {
    #[command(flatten)]
    pub flags: ServeFlags,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Print a script that completes commands in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster completions bash > ~/.local/share/bash-completion/completions/muster
  muster completions zsh > \"${fpath[1]}/_muster\"")]
pub struct Completions {
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::server::SETTINGS;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_is_a_setting_under_the_name_that_is_shown() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").expect("it is there");
        for (key, _) in ServeFlags::default().by_key() {
            let setting = SETTINGS.iter().find(|setting| setting.key == key).expect("a setting");
            let flag = setting.flag();
            let names = |arg: &clap::Arg| arg.get_long() == flag.strip_prefix("--");
            assert!(serve.get_arguments().any(names), "{flag}");
        }
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let simple = ["help", "model", "admin", "openapi"].contains(&command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(simple || help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
