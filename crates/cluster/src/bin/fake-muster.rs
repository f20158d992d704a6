//! Plays the muster binary in tests: `child` is the real one, `model-server DIR` runs the script
//! `DIR/run`, and `hub RUN_DIR DIR` is a hub that launches DIR once and waits to be killed.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use muster_cluster::child::Child;
use muster_cluster::machine::CUDA;
use muster_cluster::{Cluster, Launch, LocalConfig, LocalProcesses};
use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::{InstanceId, Model, ObservedState, Resources, Source, Timestamp};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let error = match verb.to_str() {
        Some("child") => match Child::from_arguments(arguments) {
            Some(child) => child.exec().to_string(),
            None => "these are not the arguments of a child".to_owned(),
        },
        Some("model-server") => {
            let folder = PathBuf::from(arguments.next().unwrap_or_default());
            let socket = arguments.nth(1).unwrap_or_default();
            Command::new("sh").arg(folder.join("run")).arg(socket).exec().to_string()
        }
        Some("hub") => {
            let paths: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
            hub(&paths[0], &paths[1]);
            return ExitCode::SUCCESS;
        }
        _ => "it plays child, model-server and hub".to_owned(),
    };
    eprintln!("fake-muster: {error}");
    ExitCode::FAILURE
}

#[tokio::main(flavor = "current_thread")]
async fn hub(run_dir: &std::path::Path, folder: &std::path::Path) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let config = LocalConfig {
        program: std::env::current_exe().expect("its own path"),
        run_dir: run_dir.to_owned(),
        environments: run_dir.to_owned(),
        folders: run_dir.join("folders"),
        scratch: run_dir.join("scratch"),
        walls: vec![],
        environment: vec![("PATH".into(), path)],
        gpu_variable: CUDA.to_owned(),
        facts: None,
        now: Arc::new(Timestamp::default),
    };
    let cluster = LocalProcesses::start(config).expect("a cluster");
    let model = Model {
        id: "fake".parse().expect("an id"),
        version: "1".to_owned(),
        source: Source::Folder { path: folder.display().to_string() },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits: ModelLimits::default(),
        resources: Resources::default(),
        cache: false,
        network: Network::None,
        pod: None,
    };
    let mut changed = cluster.changed();
    let instance = InstanceId(uuid::Uuid::from_u128(7));
    cluster.launch(Launch::anywhere(instance, Arc::new(model)));
    loop {
        for seen in cluster.observe() {
            match seen.state {
                ObservedState::Ready { .. } => println!("ready"),
                state => println!("{state:?}"),
            }
        }
        changed.changed().await.expect("the cluster is there");
    }
}
