//! Real processes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster_cluster::machine::{CUDA, Facts, MachineConfig};
use muster_cluster::{Cluster, Launch, LocalConfig, LocalProcesses, proc};
use muster_core::instance::{EndCause, StartFault};
use muster_core::model::{Card, InputColumn, ModelLimits, Network};
use muster_core::news::Usage;
use muster_core::room::{DeviceId, NodeId, Place};
use muster_core::{Address, InstanceId, Model, ObservedState, Resources, Source, Timestamp};
use tempfile::TempDir;

const FAKE: &str = env!("CARGO_BIN_EXE_fake-muster");
/// Longest time until an instance is as it shall be, and until the kernel is done with processes.
const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(5);
const READY: &str = r#"echo "{\"ready\":\"$1\"}""#;

struct World {
    root: TempDir,
    cluster: Arc<LocalProcesses>,
    model: Arc<Model>,
}

/// A cluster and a model whose server is the shell script.
fn world(script: &str) -> World {
    world_with(script, ModelLimits::default())
}

fn world_with(script: &str, limits: ModelLimits) -> World {
    let root = tempfile::tempdir().expect("a folder");
    fs::write(root.path().join("run"), script).expect("a script");
    let cluster = LocalProcesses::start(config(root.path())).expect("a cluster");
    let model = Model {
        id: "fake".parse().expect("an id"),
        version: "1".to_owned(),
        source: Source::Folder { path: root.path().display().to_string() },
        card: Card::default(),
        input: InputColumn { name: "input".into(), ..InputColumn::default() },
        outputs: vec![],
        example: vec![],
        limits,
        resources: Resources::default(),
        cache: false,
        network: Network::None,
        pod: None,
    };
    World { root, cluster, model: Arc::new(model) }
}

fn config(root: &Path) -> LocalConfig {
    let path = std::env::var_os("PATH").expect("a path");
    LocalConfig {
        program: PathBuf::from(FAKE),
        run_dir: root.join("run-dir"),
        environments: root.to_owned(),
        folders: root.join("folders"),
        scratch: root.join("scratch"),
        walls: vec![],
        environment: vec![("PATH".into(), path), ("LANG".into(), "C".into())],
        gpu_variable: CUDA.to_owned(),
        facts: None,
        now: Arc::new(Timestamp::default),
    }
}

impl World {
    fn log(&self, instance: InstanceId) -> String {
        String::from_utf8_lossy(&self.cluster.log(instance, 0).bytes).into_owned()
    }

    fn launch(&self) -> InstanceId {
        self.launch_with(&[])
    }

    fn launch_with(&self, devices: &[&str]) -> InstanceId {
        // Another one in each test: without namespaces what is left of an instance is found by its id.
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let (high, low) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let instance = InstanceId(uuid::Uuid::from_u64_pair(high.into(), low));
        let devices = devices.iter().map(|device| DeviceId::from(*device)).collect();
        let place = Some(Place { node: NodeId::from("here"), devices });
        let launch = Launch::anywhere(instance, Arc::clone(&self.model));
        self.cluster.launch(Launch { place, ..launch });
        instance
    }

    /// The first state of the instance that fits.
    async fn until(
        &self,
        instance: InstanceId,
        fits: impl Fn(&ObservedState) -> bool,
    ) -> ObservedState {
        let mut changed = self.cluster.changed();
        let fitting = async {
            loop {
                let seen = self.cluster.observe();
                let seen = seen.into_iter().find(|seen| seen.instance == instance);
                let state = seen.expect("it is known").state;
                if fits(&state) {
                    return state;
                }
                changed.changed().await.expect("the cluster is there");
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, fitting).await;
        in_time.unwrap_or_else(|_| panic!("it stays in {:?}", self.cluster.observe()))
    }

    async fn until_ready(&self, instance: InstanceId) -> Address {
        match self.until(instance, |state| !matches!(state, ObservedState::Starting { .. })).await {
            ObservedState::Ready { address } => address,
            state => panic!("{state:?}; {}", self.log(instance)),
        }
    }

    async fn until_ended(&self, instance: InstanceId) -> EndCause {
        match self.until(instance, |state| matches!(state, ObservedState::Ended { .. })).await {
            ObservedState::Ended { cause } => cause,
            _ => unreachable!(),
        }
    }
}

/// Processes that were started for this run folder.
fn alive(root: &Path) -> Vec<i32> {
    let run_dir = root.join("run-dir").canonicalize().expect("a folder");
    let variable = format!("MUSTER_RUN={}", run_dir.display());
    let all = proc::all().into_iter().filter(|process| !process.zombie);
    all.filter(|process| proc::was_started_with(process.pid, variable.as_bytes()))
        .map(|process| process.pid)
        .collect()
}

/// Looks until it is so. Nothing tells of processes that are not one's children, nor of what they use.
fn until(within: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < within, "not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn until_alive(root: &Path, least: usize) {
    until(SOON, &format!("{least} processes live"), || alive(root).len() >= least);
}

fn until_nothing_lives(root: &Path) {
    until(SOON, "no process lives", || alive(root).is_empty());
}

#[tokio::test]
async fn a_launch_is_ready_when_its_process_says_so() {
    let world = world(&format!(
        r#"echo '{{"starting":"loading the model"}}'; read line < {{fifo}}; {READY}; exec sleep 60"#
    ));
    let fifo = world.root.path().join("fifo");
    Command::new("mkfifo").arg(&fifo).status().expect("a fifo");
    let script = fs::read_to_string(world.root.path().join("run")).expect("the script");
    let script = script.replace("{fifo}", &fifo.display().to_string());
    fs::write(world.root.path().join("run"), script).expect("a script");

    let instance = world.launch();
    let loading = ObservedState::starting("loading the model");
    world.until(instance, |state| *state == loading).await;
    fs::write(&fifo, "go\n").expect("it reads");
    let Address::Socket(socket) = world.until_ready(instance).await else { panic!("a socket") };
    assert!(socket.ends_with(&format!("{instance}.sock")), "{socket}");
}

#[tokio::test]
async fn a_start_takes_no_longer_than_the_process_does() {
    let world = world(&format!("{READY}; exec sleep 60"));
    // The first one waits for the probe of namespaces.
    world.until_ready(world.launch()).await;
    let begun = Instant::now();
    world.until_ready(world.launch()).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_exit_is_seen_with_its_code_and_last_lines() {
    let world = world("echo 'loading' >&2; echo 'Error: no weights' >&2; exit 3");
    let instance = world.launch();
    let last_lines = "loading\nError: no weights".to_owned();
    let cause = EndCause::Exited { code: Some(3), signal: None, last_lines };
    assert_eq!(world.until_ended(instance).await, cause);
    assert_eq!(world.log(instance), "loading\nError: no weights\n");
    world.cluster.forget(instance);
    assert!(world.cluster.observe().is_empty() && world.log(instance).is_empty());
}

#[tokio::test]
async fn a_failed_start_ends_with_the_reason_it_gave() {
    let world = world(r#"echo '{"failed":"torch cannot be installed"}'; exec sleep 60"#);
    let cause = EndCause::not_started("torch cannot be installed");
    assert_eq!(world.until_ended(world.launch()).await, cause);
}

#[tokio::test]
async fn a_failed_start_says_whether_trying_again_can_help() {
    let said = r#"{"failed":{"reason":"the index is away","fault":"passing"}}"#;
    let world = world(&format!("echo '{said}'; exit 1"));
    let cause = EndCause::not_started_now("the index is away");
    assert_eq!(world.until_ended(world.launch()).await, cause);
}

#[tokio::test]
async fn a_program_that_is_missing_is_a_start_that_failed() {
    let root = tempfile::tempdir().expect("a folder");
    let program = root.path().join("nothing");
    let cluster = LocalProcesses::start(LocalConfig { program, ..config(root.path()) });
    let mut world = world("");
    world.cluster = cluster.expect("a cluster");
    let cause = world.until_ended(world.launch()).await;
    assert!(matches!(cause, EndCause::NotStarted { fault: StartFault::Lasting, .. }), "{cause:?}");
}

#[tokio::test]
async fn a_stop_lets_the_process_end_by_itself() {
    let trap = "trap 'echo bye >&2; exit 0' TERM";
    let world = world(&format!("{trap}; {READY}; while :; do sleep 0.05; done"));
    let instance = world.launch();
    world.until_ready(instance).await;
    world.cluster.stop(instance, Duration::from_secs(20));
    let why = "it was asked to stop".to_owned();
    assert_eq!(world.until_ended(instance).await, EndCause::Retired { why });
    assert!(world.log(instance).ends_with("bye\n"));
}

#[tokio::test]
async fn a_process_that_ignores_a_stop_is_killed_after_the_grace() {
    let world = world(&format!("trap '' TERM; {READY}; while :; do sleep 0.05; done"));
    let instance = world.launch();
    world.until_ready(instance).await;
    let begun = Instant::now();
    world.cluster.stop(instance, Duration::from_millis(300));
    world.until_ended(instance).await;
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    until_nothing_lives(world.root.path());
}

#[tokio::test]
async fn processes_that_left_the_session_end_with_their_instance() {
    let world = world(&format!("setsid sleep 60 & {READY}; exec sleep 60"));
    let instance = world.launch();
    world.until_ready(instance).await;
    until_alive(world.root.path(), 2);
    world.cluster.stop(instance, Duration::ZERO);
    world.until_ended(instance).await;
    until_nothing_lives(world.root.path());
}

/// A machine where `unshare` is not allowed.
fn without_namespaces(root: &Path) -> LocalConfig {
    let bin = root.join("bin");
    fs::create_dir(&bin).expect("a folder");
    fs::write(bin.join("unshare"), "#!/bin/sh\nexit 1\n").expect("a script");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(bin.join("unshare"), executable).expect("a program");
    let path = std::env::var_os("PATH").expect("a path");
    let path = format!("{}:{}", bin.display(), path.display());
    LocalConfig { environment: vec![("PATH".into(), path.into())], ..config(root) }
}

#[tokio::test]
async fn without_namespaces_they_end_with_their_instance_too() {
    let mut world = world(&format!("(setsid setsid sleep 60 &) ; {READY}; exec sleep 60"));
    let root = tempfile::tempdir().expect("a folder");
    let cluster = LocalProcesses::start(without_namespaces(root.path()));
    world.cluster = cluster.expect("a cluster");
    let instance = world.launch();
    world.until_ready(instance).await;
    until_alive(root.path(), 2);
    world.cluster.stop(instance, Duration::ZERO);
    world.until_ended(instance).await;
    assert!(alive(root.path()).is_empty(), "an end is told when nothing is left");
}

#[tokio::test]
async fn a_process_over_its_memory_limit_is_killed() {
    let hog = r#"exec python3 -c "x = b'x' * (300 << 20); import time; time.sleep(60)""#;
    let limits = ModelLimits { memory_mib: 100, ..ModelLimits::default() };
    let world = world_with(&format!("{READY}; {hog}"), limits);
    let cause = world.until_ended(world.launch()).await;
    assert_eq!(cause, EndCause::OutOfMemory { limit_mib: 100 });
}

/// brief: IN-2
#[tokio::test]
async fn what_the_processes_of_an_instance_use_is_news() {
    // The work is done by a child of what was started.
    let world = world(&format!("{READY}; sh -c 'while :; do :; done' & wait"));
    let instance = world.launch();
    world.until_ready(instance).await;
    let mut usage = Usage::default();
    until(PATIENCE, "it was seen to work, twice", || {
        let news = world.cluster.news(instance);
        assert_eq!(news.node, proc::host());
        usage.add(&news.usage);
        usage.cpu.peak >= 100 && usage.samples >= 2
    });
    assert!(usage.memory.peak > 100_000 && usage.memory.sum >= usage.memory.peak, "{usage:?}");
    world.cluster.stop(instance, Duration::ZERO);
    world.until_ended(instance).await;
}

#[tokio::test]
async fn instances_get_their_own_environment_and_nothing_of_the_hubs() {
    let world = world("env >&2; ls -l /proc/self/fd >&2; exit 1");
    let instance = world.launch();
    world.until_ended(instance).await;
    let log = world.log(instance);
    let variables = log.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let mut variables: Vec<&str> = variables.collect();
    variables.sort_unstable();
    // The shell itself adds PWD and its like.
    variables.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    let gpus = ["CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES"];
    let ours = [&gpus[..], &["LANG", "MUSTER_INSTANCE", "MUSTER_RUN", "PATH"]].concat();
    assert_eq!(variables, ours, "{log}");
    assert!(log.contains(&format!("MUSTER_INSTANCE={instance}")));
    assert!(!log.contains("/lock"), "descriptors of the hub are not passed on: {log}");
}

#[tokio::test]
async fn a_second_hub_does_not_get_the_run_folder() {
    let world = world("exit 1");
    let second = LocalProcesses::start(config(world.root.path()));
    let error = second.err().expect("it is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
}

#[tokio::test]
async fn what_an_earlier_run_left_behind_is_ended_at_the_start() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("run-dir")).expect("a folder");
    let run_dir = root.path().join("run-dir").canonicalize().expect("a folder");
    // Its parent ends at once, so that it is nobody's child here.
    let left = Command::new("sh")
        .args(["-c", "setsid sleep 60 >/dev/null 2>&1 & exit 0"])
        .env("MUSTER_RUN", &run_dir)
        .status();
    assert!(left.expect("a shell").success());
    until_alive(root.path(), 1);
    let cluster = LocalProcesses::start(config(root.path())).expect("a cluster");
    assert!(alive(root.path()).is_empty());
    drop(cluster);
}

/// A hub that was killed leaves nothing, also nothing that left its session. Without namespaces
/// that is only true after the next start, which says so in its log.
#[test]
fn a_killed_hub_leaves_no_process_behind() {
    let root = tempfile::tempdir().expect("a folder");
    let script = format!("setsid sleep 60 & (setsid setsid sleep 60 &) ; {READY}; exec sleep 60");
    fs::write(root.path().join("run"), script).expect("a script");
    let mut hub = Command::new(FAKE)
        .arg("hub")
        .arg(root.path().join("run-dir"))
        .arg(root.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a hub");
    let lines = BufReader::new(hub.stdout.take().expect("its output")).lines();
    let ready = lines.map(|line| line.expect("a line")).find(|line| line == "ready");
    assert!(ready.is_some(), "the hub ended");
    until_alive(root.path(), 3);
    hub.kill().expect("it is killed");
    hub.wait().expect("it ends");
    until_nothing_lives(root.path());
}

/// A hub whose own variables say otherwise, as an operator may add them.
fn world_of_gpus(script: &str, gpu_variable: &str, facts: Option<Arc<Facts>>) -> World {
    let World { root, model, cluster } = world(script);
    drop(cluster);
    let environment = vec![
        ("PATH".into(), std::env::var_os("PATH").expect("a path")),
        (CUDA.into(), "0,1,2".into()),
    ];
    let gpu_variable = gpu_variable.to_owned();
    let run_dir = root.path().join("run-dir-2");
    let other = LocalConfig { environment, gpu_variable, facts, run_dir, ..config(root.path()) };
    World { root, model, cluster: LocalProcesses::start(other).expect("a cluster") }
}

#[tokio::test]
async fn an_instance_sees_the_gpus_it_was_given_and_no_others() {
    let script = format!("env | grep -e CUDA -e ROCR | sort >&2; {READY}; sleep 60");
    let world = world_of_gpus(&script, CUDA, None);
    for (devices, seen) in [
        (&["GPU-a", "MIG-b"][..], "CUDA_VISIBLE_DEVICES=GPU-a,MIG-b\n"),
        (&[], "CUDA_VISIBLE_DEVICES=\n"),
    ] {
        let id = world.launch_with(devices);
        world.until_ready(id).await;
        let all = format!("CUDA_DEVICE_ORDER=PCI_BUS_ID\n{seen}");
        until(SOON, "it wrote its log", || world.log(id).len() >= all.len());
        assert_eq!(world.log(id), all);
    }
    let world = world_of_gpus(&script, "ROCR_VISIBLE_DEVICES", None);
    let id = world.launch_with(&["GPU-amd"]);
    world.until_ready(id).await;
    let all = "CUDA_DEVICE_ORDER=PCI_BUS_ID\nCUDA_VISIBLE_DEVICES=\nROCR_VISIBLE_DEVICES=GPU-amd\n";
    until(SOON, "it wrote its log", || world.log(id).len() >= all.len());
    assert_eq!(world.log(id), all);
}

#[tokio::test]
async fn gpus_are_looked_at_again_after_an_instance_that_had_some_failed() {
    let programs = tempfile::tempdir().expect("a folder");
    let (program, calls) = (programs.path().join("nvidia-smi"), programs.path().join("calls"));
    let script = format!("#!/bin/sh\necho >> {}\n", calls.display());
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = Some(format!("{}:/usr/bin:/bin", programs.path().display()).into());
    let facts = Facts::start(MachineConfig { path, ..MachineConfig::default() }).await;
    let facts = facts.expect("a machine");
    let looks = || fs::read_to_string(&calls).expect("calls").lines().count();
    assert_eq!(looks(), 1);

    let ends = format!("{READY}; exit 3");
    let world = world_of_gpus(&ends, CUDA, Some(Arc::clone(&facts)));
    let id = world.launch();
    world.until_ended(id).await;
    let stays = format!("{READY}; sleep 60");
    let other = world_of_gpus(&stays, CUDA, Some(facts));
    let stopped = other.launch_with(&["GPU-a"]);
    other.until_ready(stopped).await;
    other.cluster.stop(stopped, Duration::from_secs(5));
    other.until_ended(stopped).await;
    let id = world.launch_with(&["GPU-a"]);
    world.until_ended(id).await;
    until(SOON, "one more look", || looks() == 2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(looks(), 2, "not for one without GPUs, nor for one that was stopped");
}
