//! `muster serve`, and what other commands take of its settings.

use std::path::PathBuf;

use clap::Args;

/// Run a hub
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster serve --data-dir ./data --models ./models --listen 127.0.0.1:8080
  muster serve --models ./models --listen 127.0.0.1:0 --port-file port
  MUSTER_DATABASE_URL=postgres://hub:..@db/muster muster serve --config muster.toml
  MUSTER_MODEL_IMAGES=registry.example.org/lab/ muster serve --cluster kubernetes

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
    /// What instances are: processes, or pods of kubernetes [default: processes; kubernetes if no
    /// KIND is given]
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "kubernetes")]
    pub cluster: Option<String>,
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
            ("cluster", &self.cluster),
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
