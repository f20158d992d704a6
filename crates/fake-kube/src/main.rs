//! Serves a Kubernetes API for tests until it is killed.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fake_kube::actors::{Actors, node};
use fake_kube::{Config, FakeKube, Kind, Resource, Tls};

/// Serves a Kubernetes API for tests, in memory, until it is killed.
///
/// A scheduler and kubelets act in it: pods run as processes of this machine. Everybody without a token is the
/// administrator. Faults: `curl URL/faults -d '{"what": "fail", "verb": "list", "resource": "pods", "times": 2}'`;
/// `curl -X DELETE URL/faults` heals all; `curl URL/orders -d '{"nodeOff": {"node": "node-1"}}'` makes something happen
/// to pods and nodes; `curl URL/calls` counts requests.
#[derive(Parser)]
#[command(name = "fake-kube")]
struct Args {
    /// The port on 127.0.0.1; 0 is any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where to write a kubeconfig for it
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// The version of Kubernetes
    #[arg(long, default_value = "1.33", value_parser = minor)]
    version: u16,
    /// Serves TLS with an authority made for the moment (needs the program openssl)
    #[arg(long)]
    tls: bool,
    /// Serves a custom kind too: GROUP/VERSION/PLURAL/KIND, with a status and a scale
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Vec<Kind>,
    /// How many nodes there are at the start: node-1, ..
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    /// How the scheduler, the kubelets and the makers of nodes act (JSON)
    #[arg(long, value_name = "FILE")]
    actors: Option<PathBuf>,
    /// Nobody acts: whoever calls writes what schedulers and kubelets would
    #[arg(long, conflicts_with = "actors")]
    idle: bool,
}

fn minor(text: &str) -> Result<u16, String> {
    let minor = text.strip_prefix("1.").and_then(|minor| minor.parse().ok());
    minor.ok_or_else(|| "a version is 1.N".to_owned())
}

fn kind(text: &str) -> Result<Kind, String> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [group, version, plural, kind] if !group.is_empty() => {
            Ok(Kind::custom(group, &[version], plural, kind).with_scale())
        }
        _ => Err("a kind is GROUP/VERSION/PLURAL/KIND".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-kube: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> io::Result<()> {
    let tls = args.tls.then(Tls::throwaway).transpose()?;
    let actors = match &args.actors {
        None => Actors::default(),
        Some(file) => serde_json::from_slice(&std::fs::read(file)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?,
    };
    let config = Config {
        minor: args.version,
        port: args.port,
        kinds: args.kind,
        tls,
        actors: (!args.idle).then_some(actors),
        ..Config::default()
    };
    let kube = FakeKube::start(config).await?;
    for number in 1..=args.nodes {
        let node = node(&format!("node-{number}"), "8", "32Gi", &[], &[]);
        kube.objects().create(&Resource::nodes(), node).map_err(io::Error::other)?;
    }
    std::fs::write(&args.kubeconfig, kube.kubeconfig())?;
    println!("{}", kube.url());
    std::future::pending().await
}
