//! `muster serve`: everything wired together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_cluster::kube::{Kube, KubeConfig, KubeError, Runner};
use muster_cluster::machine::Facts;
use muster_cluster::{Cluster, ExternalServers, LocalConfig, LocalProcesses, Now};
use muster_core::Model;
use muster_core::input::InputLimits;
use muster_core::plan::{NodesMode, Policy};
use muster_engine::{Clusters, Engine, EngineConfig, GroupsConfig};
use muster_model_server::known_files;
use muster_server::{Cookie, Machine, Server, ServerConfig, SessionLimits, Times, WebFiles};
use muster_store::{Clock, Error, Store, StoreConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::arguments;
use crate::commands::settings;
use crate::config::Environment;
use crate::config::kubernetes::Kubernetes;
use crate::config::server::Serve;
use crate::failure::{Failure, io_failure};
use crate::folders::{Folders, Versions, keep_up, versions};
use crate::makers::provider;
use crate::pushed::{self, PushedFolders};
use crate::store::{data_dir, store_config, store_failure};
use crate::surroundings::Surroundings;
use crate::{runner, table, telemetry, walls};

/// Open files that connections, databases and models may need.
const OPEN_FILES: u64 = 65_536;
/// Between two tries to open the store.
const STORE_PAUSE: Duration = Duration::from_secs(1);

pub fn serve(arguments: &arguments::Serve, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::read(&arguments.flags, environment)?;
    let serve = Serve::read(&settings, environment).map_err(Failure::usage)?;
    telemetry::start(&serve.log)?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))?;
    runtime.block_on(run(&serve, environment, arguments.port_file.as_deref()))
}

async fn run(
    serve: &Serve,
    environment: &Environment,
    port_file: Option<&Path>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let data = data_dir(&serve.data_dir)?;
    let clock = Clock::system();
    let folders =
        serve.models.as_deref().map(|dir| Folders::open(dir, known_files(&environments(&data))));
    let folders = folders.transpose()?;
    let models = folders.as_ref().map(Folders::models).unwrap_or_default();
    let here = watch::Sender::new(versions(&models));
    let number = models.len();
    let minimum: u32 = models.iter().map(|model| model.limits.min_instances).sum();
    if minimum > serve.max_instances {
        let keep = models.iter().filter(|model| model.limits.min_instances > 0);
        let keep: Vec<&str> = keep.map(|model| model.id.as_str()).collect();
        tracing::error!(
            models = keep.join(", "),
            min_instances = minimum,
            max_instances = serve.max_instances,
            "these models shall keep more instances than the hub may run: some of them are not kept"
        );
    }
    let opened = tokio::select! {
        opened = open(serve, &data, &clock, models) => opened,
        () = signals.first() => return Ok(()),
    };
    let store = opened.map_err(|error| store_failure(&error))?;
    let links = runner::links(serve, &store).await?;
    let pushed =
        PushedFolders::open(&data, serve.push_most).map_err(io_failure("the data folder"))?;
    let facts = Facts::start(serve.machine.clone()).await.map_err(io_failure("this machine"))?;
    tracing::info!(machine = %crate::machine::room(&facts.now()).what, "what instances may have");
    let surroundings = match &serve.kubernetes {
        Some(kubernetes) => Some(Surroundings::of(kubernetes).await?),
        None => None,
    };
    let config = ServerConfig {
        listen: serve.listen,
        metrics: serve.metrics,
        hosts: serve.allowed_hosts.iter().cloned().chain(runner::host(serve)).collect(),
        model_addresses: serve.model_addresses.clone(),
        model_images: serve.model_images.clone(),
        pushes: pushed.takes(serve.push_bytes, serve.model_walls, serve.kubernetes.is_none()),
        folder_links: links.clone(),
        max_instances: serve.max_instances,
        proxies: serve.trusted_proxies.clone(),
        public_url: serve.public_url.clone(),
        cors_origins: serve.cors_origins.clone(),
        mail: serve.mail.clone(),
        cookie: if serve.insecure_cookies { Cookie::Loopback } else { Cookie::Secure },
        limits: InputLimits {
            inputs: serve.inputs,
            body_bytes: serve.body_bytes,
            input_bytes: usize::try_from(serve.input_bytes).unwrap_or(usize::MAX),
        },
        quotas: serve.quotas,
        clearing: serve.clearing,
        machine: machine(serve, environment, &data, Arc::clone(&facts), surroundings.clone()),
        scalers: surroundings.as_ref().map(Surroundings::scalers).unwrap_or_default(),
        sessions: SessionLimits {
            a_minute: serve.sessions,
            a_minute_each: serve.network_sessions,
            mails_of_network: serve.network_mails,
            mails_to_address: serve.address_mails,
            ..SessionLimits::default()
        },
        times: Times { leave: serve.leave, ..Times::default() },
        web: WebFiles(muster_web::FILES),
        ..ServerConfig::default()
    };
    let cookie = match (config.cookie.clone(), config.base_path()) {
        (Cookie::Secure, path) if !path.is_empty() => Cookie::SecureBelow(path.to_owned()),
        (cookie, _) => cookie,
    };
    let upload_bytes = config.upload_bytes.max(serve.body_bytes);
    let server = Server::bind(ServerConfig { upload_bytes, cookie, ..config }, store.clone())
        .map_err(|error| Failure::failed(format!("{} cannot be used: {error}", serve.listen)))?;
    let address = server.address().map_err(io_failure("the bound address"))?;
    let runner = runner::runner(serve, links, address, &store)?;
    let unpacked = watch::Sender::new(Versions::new());
    let both = (here.subscribe(), unpacked.subscribe());
    let starting = start_engine(serve, environment, &data, &store, (facts, both), runner);
    let (engine, instances, pods) = tokio::select! {
        started = starting => started?,
        () = signals.first() => {
            store.close().await;
            return Ok(());
        }
    };
    if let (Some(surroundings), Some(pods)) = (surroundings, pods) {
        surroundings.watched_by(&pods);
    }
    let keeping = match serve.kubernetes {
        None => Some(tokio::spawn(pushed.keep(store.clone(), unpacked))),
        Some(_) => None,
    };
    let watching =
        folders.map(|folders| tokio::spawn(keep_up(folders, here, store.clone(), instances)));

    if let Some(file) = port_file {
        write_port_file(file, &address.to_string())?;
    }
    let url = format!("http://{address}");
    let models = crate::human::counted(number as u64, "model");
    table::print(&format!("Muster serves {models} at {url} (API: {url}/api/docs)"))?;
    let (metrics, id) = (server.metrics_address(), store.server());
    tracing::info!(%address, ?metrics, models = number, server.id = %id, "ready");

    let mut hurry = tokio::task::JoinSet::new();
    let shutdown = async {
        signals.first().await;
        tracing::info!("stopping");
        hurry.spawn(signals.second());
    };
    let answered = server.run(shutdown).await;
    for task in watching.into_iter().chain(keeping) {
        task.abort();
    }
    engine.stop(serve.stop).await;
    store.close().await;
    drop(hurry);
    tracing::info!("stopped");
    answered.map_err(io_failure("the API"))
}

/// What administrators are told of this machine.
fn machine(
    serve: &Serve,
    environment: &Environment,
    data: &Path,
    facts: Arc<Facts>,
    surroundings: Option<Surroundings>,
) -> Machine {
    let (serve, environment, data) = (serve.clone(), environment.clone(), data.to_owned());
    Machine::new(move || {
        let mut checks = crate::machine::examine(&serve, &environment, &data);
        checks.push(crate::machine::room(&facts.now()));
        checks.extend(surroundings.iter().flat_map(Surroundings::examine));
        checks
    })
}

/// A hub may start before its database does, or while nobody reaches it: with PostgreSQL it tries
/// again for a while.
async fn open(
    serve: &Serve,
    data: &Path,
    clock: &Clock,
    models: Vec<Model>,
) -> Result<Store, Error> {
    let wait = serve.database.as_ref().map_or(Duration::ZERO, |postgres| postgres.wait);
    let begun = Instant::now();
    loop {
        match open_with(store_config(serve, data), clock, models.clone()).await {
            Err(error @ Error::Unavailable { .. }) if begun.elapsed() < wait => {
                tracing::warn!(%error, "the store cannot be opened yet; it is tried again");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// The store with the models of the folders.
async fn open_with(config: StoreConfig, clock: &Clock, models: Vec<Model>) -> Result<Store, Error> {
    let store = Store::open(config, clock.clone()).await?;
    match store.sync_models(models).await {
        Ok(taken) => {
            for model in taken {
                tracing::error!(model.id = %model, "a model that was pushed or made with the API has this id: the folder is left out");
            }
            Ok(store)
        }
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

async fn start_engine(
    serve: &Serve,
    environment: &Environment,
    data: &Path,
    store: &Store,
    (facts, here): (Arc<Facts>, (watch::Receiver<Versions>, watch::Receiver<Versions>)),
    runner: Option<Runner>,
) -> Result<(Engine, watch::Receiver<u64>, Option<Arc<dyn Cluster>>), Failure> {
    let timed = store.clone();
    let now: Now = Arc::new(move || timed.now());
    let external = ExternalServers::new(Arc::clone(&now))
        .map_err(|error| Failure::failed(format!("an HTTP client cannot be made: {error}")))?;
    let (clusters, node, instances) = match &serve.kubernetes {
        Some(kubernetes) => {
            let owns = serve.nodes.policy.mode == NodesMode::Own;
            let pods = pods(kubernetes, (owns, runner), store, now).await?;
            let changed = pods.changed();
            (Clusters { local: None, external, pods: Some(pods) }, None, changed)
        }
        None => {
            let local = processes(serve, environment, data, Arc::clone(&facts), now)?;
            let node = crate::node::this_node(serve, facts, here);
            let changed = local.changed();
            (Clusters { local: Some(local), external, pods: None }, Some(node), changed)
        }
    };
    let policy = Policy { max_instances: serve.max_instances, nodes: serve.nodes.policy.clone() };
    let groups = match &serve.nodes.maker {
        Some(maker) => {
            let provider = provider(maker).await.map_err(Failure::failed)?;
            Some(GroupsConfig { provider, groups: serve.nodes.groups.clone() })
        }
        None => None,
    };
    let pods = clusters.pods.clone();
    let (store, clearing) = (store.clone(), serve.clearing);
    let config = EngineConfig { store, clusters, policy, node, groups, clearing };
    Ok((Engine::start(config), instances, pods))
}

/// Instances are processes of this machine.
fn processes(
    serve: &Serve,
    environment: &Environment,
    data: &Path,
    facts: Arc<Facts>,
    now: Now,
) -> Result<Arc<dyn Cluster>, Failure> {
    let local = LocalProcesses::start(LocalConfig {
        program: std::env::current_exe().map_err(io_failure("the path of this program"))?,
        run_dir: data.join("run"),
        environments: environments(data),
        folders: pushed::place(data),
        scratch: data.join("scratch"),
        walls: walls::arguments(serve, data),
        environment: environment.for_models(&serve.model_variables),
        gpu_variable: serve.machine.gpu_variable.clone(),
        facts: Some(facts),
        now,
    });
    let local = local.map_err(|error| Failure::failed(error.to_string()))?;
    walls::tell(serve, environment, data);
    Ok(local)
}

/// Instances are pods.
async fn pods(
    kubernetes: &Kubernetes,
    (owns_nodes, runner): (bool, Option<Runner>),
    store: &Store,
    now: Now,
) -> Result<Arc<dyn Cluster>, Failure> {
    let failed = |error: KubeError| Failure::failed(error.to_string());
    let client = kubernetes.client().await.map_err(failed)?;
    let namespace = kubernetes.namespace.clone();
    let config = KubeConfig {
        namespace: namespace.unwrap_or_else(|| client.default_namespace().to_owned()),
        hub: store.hub().await.map_err(|error| store_failure(&error))?,
        template: kubernetes.template.clone(),
        observe_cluster: kubernetes.sees_cluster,
        owns_nodes,
        buffers: kubernetes.buffers,
        runner,
        ..KubeConfig::default()
    };
    tracing::info!(namespace = config.namespace, hub = config.hub, "instances are pods");
    Ok(Kube::start(client, config, now).await.map_err(failed)?)
}

fn environments(data: &Path) -> PathBuf {
    data.join("environments")
}

/// Whoever waits for the file finds it whole.
fn write_port_file(file: &Path, address: &str) -> Result<(), Failure> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let written = fs::write(&part, format!("{address}\n")).and_then(|()| fs::rename(part, file));
    written.map_err(|error| {
        Failure::failed(format!("the port file {} cannot be written: {error}", file.display()))
    })
}

/// As many open files as the operating system lets this user have, within reason.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if limit.current.is_none_or(|current| current >= most) {
        return;
    }
    let raised = Rlimit { current: Some(most), maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the number of open files stays as it is");
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(io_failure("signals"));
        let (terminate, interrupt) =
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Another one while the hub stops: it leaves at once, and its processes end with it.
    async fn second(mut self) {
        self.first().await;
        tracing::warn!("left without waiting for running jobs");
        std::process::exit(1);
    }
}
