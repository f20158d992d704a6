//! The command line.

mod audit;
mod canary;
mod clean;
mod doctor;
mod folder;
mod instances;
mod models;
mod nodes;
mod oversight;
mod people;
mod requests;
mod serve;
mod stats;
mod users;

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use self::audit::Audit;
pub use self::canary::{Canary, CanaryVerb};
pub use self::clean::Clean;
pub use self::doctor::Doctor;
pub use self::folder::{
    ImageFolder, ModelCommand, ModelFolder, ModelServer, ModelVerb, PrepareFolder, PushFolder,
    Rollback, Versions, WallFlags, Walls,
};
pub use self::instances::{
    InstanceCommand, InstanceEvents, InstanceLogs, InstanceVerb, Instances, OneInstance,
    StopInstance,
};
pub use self::models::{
    DeleteModel, DescribedBy, Disable, EditModel, Models, ModelsVerb, OneModel, ShowModel,
};
pub use self::nodes::{MarkNode, NodeGroups, Nodes, NodesVerb, OneNode, Plan};
pub use self::oversight::{AdminRequest, AdminRequestVerb, AdminRequests, OneRequest};
pub use self::people::{AdminCommand, AdminVerb, CreateAdmin, Login, Logout, ResetLink};
pub use self::requests::{Cancel, Label, Requests, ResultOf, Run, Show};
pub use self::serve::{Serve, ServeFlags, ShowConfig, StoreFlags};
pub use self::stats::{Stats, StatsVerb, VerifyStats};
pub use self::users::{DeleteUser, OneUser, UserCommand, UserVerb, Users};

/// A hub for models: a CSV in, predictions out.
#[derive(Debug, Parser)]
#[command(name = "muster", version = version(), propagate_version = true, subcommand_required = true)]
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

fn version() -> &'static str {
    static SAID: LazyLock<String> = LazyLock::new(|| muster_server::MADE.to_string());
    &SAID
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(Serve),
    Models(Models),
    Run(Run),
    Requests(Requests),
    Show(Show),
    Label(Label),
    Cancel(Cancel),
    Result(ResultOf),
    Stats(Stats),
    Clean(Clean),
    Instances(Instances),
    Instance(InstanceCommand),
    Nodes(Nodes),
    Plan(Plan),
    Login(Login),
    Logout(Logout),
    Admin(AdminCommand),
    ModelServer(ModelServer),
    Model(ModelCommand),
    Config(ShowConfig),
    Doctor(Doctor),
    #[command(hide = true)]
    Walls(Walls),
    #[command(hide = true)]
    Canary(Canary),
    /// Print the API as OpenAPI 3.1
    Openapi,
    Completions(Completions),
    Man(Man),
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

/// Write manual pages, one for each command, into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  muster man ~/.local/share/man/man1 && man muster-run")]
pub struct Man {
    pub folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::known::SETTINGS;

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
            let simple = ["help", "model", "admin", "openapi", "walls", "canary"]
                .contains(&command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(simple || help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
