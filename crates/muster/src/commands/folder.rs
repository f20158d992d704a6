//! `muster model-server`, `muster model check` and `muster model prepare`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use muster_cluster::kube::LAST_WORDS;
use muster_core::instance::StartFault;
use muster_core::{Cell, Row};
use muster_model_server::check::{self, Report};
use muster_model_server::prepare::{self, Progress};
use muster_model_server::{Allowed, Limits, Listen, Machine, ServeOptions, State, folder};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::fetch;
use crate::answer::Needs;
use crate::arguments::{ModelFolder, ModelServer, PrepareFolder, WallFlags, Walls};
use crate::config::{Environment, FILES_OF_MODELS};
use crate::failure::{Failure, io_failure};
use crate::pushed::Missing;
use crate::table;

/// Kubernetes keeps 4 KiB of a container's last words.
const LAST_CHARS: usize = 1_000;

pub fn serve(arguments: &ModelServer, environment: &Environment) -> Result<(), Failure> {
    let listen = match arguments.listen.strip_prefix("unix:") {
        Some(path) => Listen::Unix(path.into()),
        None => Listen::Tcp(address(&arguments.listen).ok_or_else(|| {
            Failure::usage(format!("{} is not ADDRESS:PORT or unix:PATH", arguments.listen))
        })?),
    };
    let machine_readable = arguments.ready_fd_on_stdout;
    let last_words = environment.get(LAST_WORDS).map(PathBuf::from);
    let tell = move |state: State| {
        tell(&state, machine_readable);
        if let (State::Failed { reason, fault }, Some(file)) = (&state, &last_words) {
            // Its log says it too.
            let most: String = reason.chars().take(LAST_CHARS).collect();
            drop(std::fs::write(file, failed(&most, *fault)));
        }
    };
    let options = ServeOptions {
        dir: arguments.dir.clone(),
        listen,
        version: arguments.of_version.clone(),
        environments: absolute(&arguments.environments)?,
        port_file: arguments.port_file.clone(),
        instance: environment.get("MUSTER_INSTANCE").map(str::to_owned),
        machine: machine(environment, &arguments.walls)?,
        limits: Limits::default(),
        states: Box::new(tell.clone()),
        shutdown: CancellationToken::new(),
    };
    let shutdown = options.shutdown.clone();
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(io_failure("a signal"))?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            shutdown.cancel();
        });
        if arguments.fetch {
            let version = arguments.of_version.as_deref().unwrap_or_default();
            let say = |doing: &str| tell(State::Preparing(doing.to_owned()));
            let fetched = tokio::select! {
                fetched = fetch::fetch(&arguments.dir, version, environment, say) => fetched,
                () = options.shutdown.cancelled() => return Ok(()),
            };
            if let Err(Missing { why, fault }) = fetched {
                tell(State::Failed { reason: why.clone(), fault });
                return Err(Failure::failed(why));
            }
        }
        let served = muster_model_server::serve(options).await;
        served.map_err(|error| Failure::failed(error.to_string()))
    });
    // Large files may still be being read.
    runtime.shutdown_background();
    served
}

/// An address, also one of IPv6 without the brackets that belong around it: a pod puts its own before the port.
fn address(text: &str) -> Option<SocketAddr> {
    let of_parts = || {
        let (ip, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
    };
    text.parse().ok().or_else(of_parts)
}

/// As the hub reads it.
fn failed(reason: &str, fault: StartFault) -> String {
    json!({ "failed": { "reason": reason, "fault": fault } }).to_string()
}

/// One line a state: for the hub as JSON, for a person in words.
fn tell(state: &State, machine_readable: bool) {
    let line = match (state, machine_readable) {
        (State::Failed { reason, fault }, true) => failed(reason, *fault),
        (State::Failed { reason, .. }, false) => format!("failed: {reason}"),
        (State::Preparing(text), true) => json!({ "preparing": text }).to_string(),
        (State::Preparing(text), false) => format!("preparing: {text}"),
        (State::Starting(text), true) => json!({ "starting": text }).to_string(),
        (State::Starting(text), false) => format!("starting: {text}"),
        (State::Changed(file), true) => json!({ "changed": file }).to_string(),
        (State::Changed(file), false) => format!("its folder was changed: {file}"),
        (State::Ready(text), true) => json!({ "ready": text }).to_string(),
        (State::Ready(text), false) => format!("ready: {text}"),
    };
    // A closed output must not end the model.
    drop(table::print(&line));
}

pub fn check(arguments: &ModelFolder, environment: &Environment) -> Result<ExitCode, Failure> {
    let report = if arguments.read_only {
        check::read_only(&arguments.dir)
    } else {
        let environments = absolute(&arguments.environments)?;
        let machine = machine(environment, &arguments.walls)?;
        runtime()?.block_on(check::check(&arguments.dir, &environments, &machine, show))
    };
    if arguments.json {
        table::print(&as_json(&report).to_string())?;
    } else {
        print_report(&report, arguments.read_only)?;
    }
    Ok(match (&report.folder, report.is_good()) {
        (_, true) => ExitCode::SUCCESS,
        (Some(_), false) => ExitCode::from(1),
        (None, _) => ExitCode::from(2),
    })
}

pub fn prepare(arguments: &PrepareFolder, environment: &Environment) -> Result<(), Failure> {
    let environments = absolute(&arguments.environments)?;
    let machine = machine(environment, &arguments.walls)?;
    let folder = folder::read(&arguments.dir).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("fault: {fault}")).collect();
        Failure::usage(faults.join("\n"))
    })?;
    for note in &folder.notes {
        table::print(&format!("note: {note}"))?;
    }
    let prepared = runtime()?.block_on(prepare::prepare(&folder, &environments, &machine, show));
    let made =
        prepared.map_err(|error| Failure::failed(format!("fault: dependencies: {error}")))?;
    for note in &made.notes {
        table::print(&format!("note: dependencies: {note}"))?;
    }
    table::print(&format!("{} is ready: {}", folder.model.id, made.python.display()))
}

fn show(progress: Progress) {
    let Progress { step, steps, doing } = progress;
    let doing: String = doing.chars().take(100).collect();
    if step == 0 {
        eprintln!("{doing}");
    } else {
        eprintln!("[{step}/{steps}] {doing}");
    }
}

fn print_report(report: &Report, read_only: bool) -> Result<(), Failure> {
    if let Some(folder) = &report.folder {
        let model = &folder.model;
        table::print(&format!("{} {} ({})", model.id, model.version, folder.form))?;
        let needs = Needs::of(&model.resources).to_string();
        if !needs.is_empty() {
            table::print(&format!("an instance needs: {needs}"))?;
        }
        if read_only {
            let python = folder.dependencies.python.as_deref().unwrap_or("any");
            table::print(&format!("Python: {python}"))?;
            for step in &folder.dependencies.steps {
                table::print(&format!("to install: {step}"))?;
            }
        }
    }
    if let Some((inputs, part)) = &report.example {
        let mut header: Vec<String> = vec!["input".into()];
        header.extend(part.columns.iter().map(|(name, _)| name.clone()));
        let rows: Vec<Vec<String>> = inputs
            .iter()
            .zip(&part.rows)
            .map(|(input, row)| std::iter::once(input.clone()).chain(cells(row)).collect())
            .collect();
        table::print(table::preview(&header, &rows, rows.len() as u64).trim_end())?;
    }
    for note in &report.notes {
        table::print(&format!("note: {note}"))?;
    }
    for fault in &report.faults {
        table::print(&format!("fault: {fault}"))?;
    }
    table::print(match (report.is_good(), read_only, &report.example) {
        (false, ..) => "The model does not work yet.",
        (true, true, _) => "The folder is right. Nothing was built or run.",
        (true, false, None) => "The model starts.",
        (true, false, Some(_)) => "The model works.",
    })
}

fn cells(row: &Row) -> Vec<String> {
    match row {
        Row::Error(error) => vec![format!("error: {error}")],
        Row::Values(cells) => cells
            .iter()
            .map(|cell| match cell {
                Cell::Null => String::new(),
                Cell::Integer(n) => n.to_string(),
                Cell::Float(x) => x.to_string(),
                Cell::Text(text) => text.clone(),
            })
            .collect(),
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    let faults: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    let notes: Vec<String> = report.notes.iter().map(ToString::to_string).collect();
    let example = report.example.as_ref().map(
        |(inputs, part)| json!({ "inputs": inputs, "columns": part.columns, "rows": part.rows }),
    );
    json!({
        "model": report.folder.as_ref().map(|folder| &folder.model),
        "notes": notes,
        "faults": faults,
        "example": example,
        "good": report.is_good(),
    })
}

/// `muster walls` is started where models are, and says which walls there are.
pub fn walls(arguments: &Walls) -> Result<(), Failure> {
    let walls = muster_sandbox::probe(arguments.scratch.clone());
    let walls = walls.map_err(|error| Failure::failed(error.to_string()))?;
    table::print(&json!(walls).to_string())
}

/// What the model's processes find here; they end with this process.
fn machine(environment: &Environment, flags: &WallFlags) -> Result<Machine, Failure> {
    let full = |paths: &[PathBuf]| -> Result<Vec<PathBuf>, Failure> {
        paths.iter().map(|path| absolute(path)).collect()
    };
    let (mut read, write) = (full(&flags.read)?, full(&flags.write)?);
    // Where a variable names a file that is needed, the file may be read.
    for name in FILES_OF_MODELS {
        let named = environment.get(name).unwrap_or_default().split_whitespace();
        read.extend(named.map(PathBuf::from).filter(|path| path.is_absolute()));
    }
    let allowed = Allowed {
        read,
        write,
        hidden: full(&flags.hide)?,
        scratch: flags.scratch.as_deref().map(absolute).transpose()?,
        network: flags.network,
    };
    let program = std::env::current_exe().map_err(io_failure("the path of this program"))?;
    let pid = std::process::id().to_string();
    Ok(Machine {
        path: environment.get("PATH").unwrap_or_default().into(),
        home: environment.get("HOME").map(PathBuf::from),
        child_prefix: vec![program.into(), "child".into(), pid.into(), "session".into()],
        walls: (!flags.no_walls).then_some(allowed),
    })
}

fn absolute(path: &std::path::Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(io_failure("a folder's path"))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("no runtime: {error}")))
}
