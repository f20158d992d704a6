//! Serving a model folder: bind, prepare, load, answer.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use muster_core::instance::StartFault;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::body::Limits;
use crate::folder::Mlflow;
use crate::logs::Logs;
use crate::passing;
use crate::prepare::{Environment, prepare};
use crate::process::Spawner;
use crate::routes::{Served, router};
use crate::runner::{CommandRunner, PythonRunner, Runner};
use crate::walls::Place;
use crate::watched::Watched;
use crate::worker::Worker;
use crate::{Fault, Folder, Kind, Machine, folder};

/// A connection that sends no request head for this long is closed.
const HEAD: Duration = Duration::from_secs(30);

/// An installer's lines of one step are told at least this far apart.
const PAUSE: Duration = Duration::from_millis(200);

/// Whoever waits for an answer hears that the folder changed, then the server ends.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Beside the environments: what is known of the files of folders.
const FILES: &str = ".files";

#[derive(Clone, Debug)]
pub enum Listen {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

/// What the server is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its environment is being made.
    Preparing(String),
    Starting(String),
    /// It listens at `unix:PATH` or `http://ADDRESS`.
    Ready(String),
    /// This file of its folder is not as it was at the start.
    Changed(String),
    Failed {
        reason: String,
        fault: StartFault,
    },
}

pub struct ServeOptions {
    pub dir: PathBuf,
    pub listen: Listen,
    /// The version that the folder has to be of, if it is known which.
    pub version: Option<String>,
    /// Where prepared Python environments are kept.
    pub environments: PathBuf,
    /// Gets the bound address once it is known.
    pub port_file: Option<PathBuf>,
    /// Sent as `muster-instance` with every answer.
    pub instance: Option<String>,
    pub machine: Machine,
    pub limits: Limits,
    pub states: Box<dyn Fn(State) + Send + Sync>,
    pub shutdown: CancellationToken,
}

/// Why a model cannot be served; fit for a user.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Folder(Vec<Fault>),
    #[error("{0} is served by {1}; the hub talks to it directly")]
    Elsewhere(String, String),
    #[error("the address cannot be used: {0}")]
    Bind(io::Error),
    #[error("the port file cannot be written: {0}")]
    PortFile(io::Error),
    #[error("{0}")]
    Start(String),
    #[error("its folder is not the one of version {wanted} any more: {now}")]
    OtherVersion { wanted: String, now: String },
    #[error("its folder was changed: {0}")]
    Changed(String),
}

impl ServeError {
    /// Can trying again help?
    pub fn fault(&self) -> StartFault {
        match self {
            Self::Start(reason) => passing::fault_of(reason),
            Self::Bind(_) | Self::OtherVersion { .. } | Self::Changed(_) => StartFault::Passing,
            Self::Folder(_) | Self::Elsewhere(..) | Self::PortFile(_) => StartFault::Lasting,
        }
    }
}

/// Serves until `shutdown`.
pub async fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let served = tokio::select! {
        served = start(&options) => served,
        // A start may take long: whoever wants it to end does not wait for it.
        () = options.shutdown.cancelled() => return Ok(()),
    };
    if let Err(error) = &served {
        (options.states)(State::Failed { reason: error.to_string(), fault: error.fault() });
    }
    let (served, watched) = served?;
    tokio::select! {
        () = served => Ok(()),
        file = watched.found() => {
            (options.states)(State::Changed(file.clone()));
            tokio::time::sleep(LAST_ANSWERS).await;
            Err(ServeError::Changed(file))
        }
    }
}

/// Where it is kept what the files of folders hash to.
pub fn known_files(environments: &Path) -> PathBuf {
    environments.join(FILES)
}

/// Reads the folder, beside whatever waits for the server: it may have to read large files.
async fn read(options: &ServeOptions) -> Result<Folder, ServeError> {
    let (dir, files) = (options.dir.clone(), known_files(&options.environments));
    let read =
        tokio::task::spawn_blocking(move || folder::read_known(&dir, Some(&files), u64::MAX));
    let read = read.await.map_err(|error| ServeError::Start(error.to_string()))?;
    let Some(wanted) = options.version.clone() else { return read.map_err(ServeError::Folder) };
    match read {
        Ok(folder) if folder.model.version == wanted => Ok(folder),
        Ok(folder) => Err(ServeError::OtherVersion { wanted, now: folder.model.version }),
        // It was right when somebody found out which version it is.
        Err(faults) => {
            let now = ServeError::Folder(faults).to_string();
            Err(ServeError::OtherVersion { wanted, now })
        }
    }
}

async fn start(
    options: &ServeOptions,
) -> Result<(impl Future<Output = ()> + use<>, Watched), ServeError> {
    // A hub has read them for the version.
    if options.version.is_none() {
        (options.states)(State::Starting("reading its files".to_owned()));
    }
    let folder = read(options).await?;
    if let Kind::Http { url } = &folder.kind {
        return Err(ServeError::Elsewhere(folder.model.id.to_string(), url.clone()));
    }
    let logs = Logs::new(options.limits.log_bytes);
    let (listener, address) = bind(&options.listen).await.map_err(ServeError::Bind)?;
    if let Some(file) = &options.port_file {
        let plain = address.strip_prefix("http://").unwrap_or(&address);
        write_port_file(file, plain).map_err(ServeError::PortFile)?;
    }
    let (worker, ready) = watch::channel(None);
    let served = Arc::new(Served::new(
        folder.clone(),
        (options.limits, options.instance.as_deref()),
        logs.clone(),
        ready,
    ));
    let accepting = tokio::spawn(accept(listener, router(served), options.shutdown.clone()));
    let (runner, missing) = runner(&folder, options, logs).await.map_err(ServeError::Start)?;
    let watched = Watched::new(folder.dir.clone(), folder.snapshot.clone());
    // It was loaded from these files only if they are still the same.
    if let Some(file) = watched.changed().await {
        return Err(ServeError::Changed(file));
    }
    // Whoever asks from now on gets predictions.
    let limit = folder.model.limits.job();
    worker.send_replace(Some(Worker::new(runner, limit, missing, watched.clone())));
    (options.states)(State::Ready(address));
    let shutdown = options.shutdown.clone();
    let served = async move {
        shutdown.cancelled().await;
        if let Err(error) = accepting.await {
            tracing::debug!(%error, "the accept loop ended with an error");
        }
        drop(worker);
    };
    Ok((served, watched))
}

/// Prepares the environment and loads the model.
pub(crate) async fn runner(
    folder: &Folder,
    options: &ServeOptions,
    logs: Logs,
) -> Result<(Runner, Vec<String>), String> {
    let mut told: Option<(usize, Instant)> = None;
    let say = |progress: crate::prepare::Progress| {
        let crate::prepare::Progress { step, steps, doing } = progress;
        // Installers may say a thousand lines a second.
        if told.is_some_and(|(said, at)| said == step && at.elapsed() < PAUSE) {
            return;
        }
        told = Some((step, Instant::now()));
        let measure = if step == 0 { String::new() } else { format!("step {step} of {steps}, ") };
        (options.states)(State::Preparing(format!("{measure}{doing}")));
    };
    for note in &folder.notes {
        logs.push(format!("note: {note}\n").as_bytes());
    }
    let environment = prepare(folder, &options.environments, &options.machine, say)
        .await
        .map_err(|error| why(&format!("dependencies: {error}"), &folder.missing()))?;
    for note in &environment.notes {
        logs.push(format!("note: dependencies: {note}\n").as_bytes());
    }
    (options.states)(State::Starting("loading the model".to_owned()));
    let missing = missing(folder, &environment);
    let runner = make_runner(folder, environment, &options.machine, logs).await;
    Ok((runner.map_err(|error| why(&format!("run: {error}"), &missing))?, missing))
}

/// Why a model failed, and what is not as it may need it.
pub(crate) fn why(error: &str, missing: &[String]) -> String {
    match missing {
        [] => error.to_owned(),
        missing => {
            let error = error.trim_end_matches('.');
            format!("{error}. It may be for this: {}", missing.join("; "))
        }
    }
}

/// What is not as a model may need it: in its folder, and in its environment.
pub(crate) fn missing(folder: &Folder, environment: &Environment) -> Vec<String> {
    let notes = environment.notes.iter().map(|note| format!("dependencies: {note}"));
    folder.missing().into_iter().chain(notes).collect()
}

pub(crate) async fn make_runner(
    folder: &Folder,
    environment: Environment,
    machine: &Machine,
    logs: Logs,
) -> Result<Runner, String> {
    let place = Place::of_model(folder, &environment, machine);
    let spawner = match place {
        Ok(place) => Spawner::new(machine, place).await,
        Err(error) => Err(error),
    };
    let spawner = spawner.map_err(|error| format!("its processes cannot be started: {error}"))?;
    let predictor = match &folder.kind {
        Kind::Python { file, function } => {
            vec!["function".into(), file.clone().into(), function.into()]
        }
        Kind::Mlflow(Mlflow { column, numbers, outputs }) => vec![
            "mlflow".into(),
            folder.dir.clone().into(),
            column.as_deref().unwrap_or_default().into(),
            numbers.unwrap_or("text").into(),
            serde_json::to_string(outputs).unwrap_or_default().into(),
        ],
        Kind::Command { command, dir } => {
            return Ok(Runner::Command(Box::new(CommandRunner {
                spawner,
                bin: environment.bin,
                dir: dir.clone(),
                command: command.clone(),
                header: folder.model.input.name.clone(),
                outputs: folder.model.outputs.clone(),
                logs,
            })));
        }
        Kind::Http { url } => return Err(format!("it is served at {url}")),
    };
    let dir = match &folder.kind {
        Kind::Python { file, .. } => file.parent().map(PathBuf::from).unwrap_or_default(),
        _ => folder.dir.clone(),
    };
    let mut runner =
        PythonRunner { spawner, environment, dir, predictor, logs, worker: None, killed: false };
    let loaded = match runner.load().await {
        // By somebody, or by the kernel for want of memory: not yet the model's fault.
        Err(_) if runner.killed => runner.load().await,
        loaded => loaded,
    };
    loaded.map_err(|failed| runner.spawner.explain(failed.0))?;
    Ok(Runner::Python(Box::new(runner)))
}

/// Whoever waits for the file finds it whole.
fn write_port_file(file: &Path, address: &str) -> io::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, format!("{address}\n"))?;
    std::fs::rename(part, file)
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

async fn bind(listen: &Listen) -> io::Result<(Listener, String)> {
    match listen {
        Listen::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            Ok((Listener::Unix(listener), format!("unix:{}", path.display())))
        }
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((Listener::Tcp(listener), format!("http://{address}")))
        }
    }
}

/// The accept loop: `axum::serve` has no limit on how long a request head may take (trap T3).
async fn accept(listener: Listener, router: axum::Router, shutdown: CancellationToken) {
    loop {
        let accepted = async {
            match &listener {
                Listener::Unix(unix) => unix.accept().await.map(|(stream, _)| Stream::Unix(stream)),
                Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            }
        };
        let stream = tokio::select! {
            () = shutdown.cancelled() => return,
            stream = accepted => stream,
        };
        let service = TowerToHyperService::new(router.clone());
        match stream {
            Ok(Stream::Unix(stream)) => {
                tokio::spawn(connection(TokioIo::new(stream), service));
            }
            Ok(Stream::Tcp(stream)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection stays slow");
                }
                tokio::spawn(connection(TokioIo::new(stream), service));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

async fn connection<S>(stream: TokioIo<S>, service: TowerToHyperService<axum::Router>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(64);
    if let Err(error) = http.serve_connection(stream, service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
