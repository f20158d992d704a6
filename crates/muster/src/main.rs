//! Muster: one binary that serves models on demand, and its command line.

mod answer;
mod arguments;
mod commands;
mod config;
mod count;
mod credentials;
mod download;
mod failure;
mod folders;
mod hub;
mod human;
mod list;
mod machine;
mod makers;
mod node;
mod password;
mod path;
mod pushed;
mod runner;
mod screen;
mod store;
mod surroundings;
mod table;
mod telemetry;
mod upload;
mod walls;

use std::future::Future;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use muster_cluster::child::Child;

use crate::arguments::{AdminVerb, Cli, Command, ModelVerb, StatsVerb};
use crate::commands::{
    admin, audit, canary, clean, doctor, folder, image, instances, login, models, nodes, oversight,
    plan, push, requests, run, serve, settings, stats, users,
};
use crate::config::Environment;
use crate::download::Format;
use crate::failure::Failure;
use crate::hub::Hub;

/// What one thread allocates another one frees: SQLite's rows, bodies of requests. glibc is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything that could start a thread: `muster child` becomes another program.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|verb| verb == "child") {
        return become_child(Child::from_arguments(arguments));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        unreachable!("nothing else installs one");
    }
    let json = cli.command.wants_json();
    match cli.carry_out(&Environment::of_this_process()) {
        Ok(code) => code,
        Err(failure) => {
            failure.tell(json);
            failure.exit_code()
        }
    }
}

fn become_child(child: Option<Child>) -> ExitCode {
    match child {
        Some(child) => eprintln!("muster child: {}", child.exec()),
        None => eprintln!("muster child is for the hub only"),
    }
    ExitCode::from(2)
}

impl Cli {
    fn carry_out(self, environment: &Environment) -> Result<ExitCode, Failure> {
        let hub = || Hub::new(self.hub.as_deref(), environment);
        let done = match self.command {
            Command::Run(arguments) => return client(run::run(&hub()?, &arguments)),
            Command::Models(arguments) => client(models::models(&hub()?, &arguments)),
            Command::Requests(arguments) => client(requests::requests(&hub()?, &arguments)),
            Command::Label(arguments) => client(requests::label(&hub()?, &arguments)),
            Command::Show(arguments) => client(requests::show(&hub()?, &arguments)),
            Command::Cancel(arguments) => client(requests::cancel(&hub()?, &arguments)),
            Command::Result(mut arguments) => {
                if arguments.json {
                    arguments.format = Some(Format::Json);
                }
                client(requests::result(&hub()?, &arguments))
            }
            Command::Stats(arguments) => match &arguments.verb {
                Some(StatsVerb::Verify(verify)) => client(stats::verify(verify, environment)),
                None => client(stats::stats(&hub()?, &arguments)),
            },
            Command::Clean(arguments) => client(clean::clean(&arguments, environment)),
            Command::Instances(arguments) => client(instances::instances(&hub()?, &arguments)),
            Command::Instance(command) => client(instances::instance(&hub()?, &command.verb)),
            Command::Nodes(arguments) => client(nodes::nodes(&hub()?, &arguments)),
            Command::Plan(arguments) => client(plan::plan(hub, &arguments)),
            Command::Login(arguments) => client(login::log_in(&hub()?, &arguments)),
            Command::Logout(_) => client(login::log_out(&hub()?)),
            Command::Admin(command) => match command.verb {
                AdminVerb::Create(arguments) => client(admin::create(&arguments, environment)),
                AdminVerb::ResetLink(arguments) => {
                    client(admin::reset_link(&arguments, environment))
                }
                AdminVerb::Requests(arguments) => client(oversight::requests(&hub()?, &arguments)),
                AdminVerb::Request(arguments) => client(oversight::request(&hub()?, &arguments)),
                AdminVerb::Users(arguments) => client(users::users(&hub()?, &arguments)),
                AdminVerb::User(command) => client(users::user(&hub()?, &command.verb)),
                AdminVerb::Audit(arguments) => client(audit::audit(&hub()?, &arguments)),
            },
            Command::Serve(arguments) => serve::serve(&arguments, environment),
            Command::ModelServer(arguments) => folder::serve(&arguments, environment),
            Command::Model(command) => match command.verb {
                ModelVerb::Check(arguments) => return folder::check(&arguments, environment),
                ModelVerb::Prepare(arguments) => folder::prepare(&arguments, environment),
                ModelVerb::Image(arguments) => image::image(&arguments, environment),
                ModelVerb::Push(arguments) => return client(push::push(&hub()?, &arguments)),
                ModelVerb::Versions(arguments) => client(push::versions(&hub()?, &arguments)),
                ModelVerb::Rollback(arguments) => client(push::roll_back(&hub()?, &arguments)),
            },
            Command::Config(arguments) => settings::show(&arguments, environment),
            Command::Doctor(arguments) => return client(doctor::examine(&arguments, environment)),
            Command::Canary(arguments) => return client(canary::fly(&arguments.verb)),
            Command::Walls(arguments) => folder::walls(&arguments),
            Command::Openapi => table::print(muster_server::openapi().trim_end()),
            Command::Man(arguments) => clap_mangen::generate_to(Cli::command(), &arguments.folder)
                .map_err(|error| {
                    Failure::usage(format!("{}: {error}", arguments.folder.display()))
                }),
            Command::Completions(arguments) => {
                let mut command = Cli::command();
                let mut script = Vec::new();
                clap_complete::generate(arguments.shell, &mut command, "muster", &mut script);
                table::print(String::from_utf8_lossy(&script).trim_end())
            }
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Command {
    fn wants_json(&self) -> bool {
        match self {
            Self::Run(arguments) => arguments.json,
            Self::Models(arguments) => arguments.json,
            Self::Requests(arguments) => arguments.json,
            Self::Label(arguments) => arguments.json,
            Self::Show(arguments) => arguments.json,
            Self::Cancel(arguments) => arguments.json,
            Self::Result(arguments) => arguments.json,
            Self::Stats(arguments) => arguments.json,
            Self::Clean(arguments) => arguments.json,
            Self::Instances(arguments) => arguments.json,
            Self::Instance(command) => command.verb.wants_json(),
            Self::Nodes(arguments) => arguments.wants_json(),
            Self::Plan(arguments) => arguments.json,
            Self::Config(arguments) => arguments.json,
            Self::Doctor(arguments) => arguments.json,
            Self::Model(command) => command.verb.wants_json(),
            Self::Admin(command) => match &command.verb {
                AdminVerb::Requests(arguments) => arguments.json,
                AdminVerb::Request(arguments) => arguments.verb.wants_json(),
                AdminVerb::Users(arguments) => arguments.json,
                AdminVerb::Audit(arguments) => arguments.json,
                AdminVerb::User(command) => command.verb.wants_json(),
                AdminVerb::Create(_) | AdminVerb::ResetLink(_) => false,
            },
            _ => false,
        }
    }
}

/// Runs a client command on this thread.
fn client<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    runtime.block_on(command)
}
