//! `muster model push`, `versions` and `rollback`: a folder becomes a model of the hub.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use muster_model_server::folder::{self, archive};
use muster_store::Clock;
use serde_json::json;
use serde_json::value::RawValue;
use tempfile::NamedTempFile;

use crate::answer::ModelVersion;
use crate::arguments::{PushFolder, Rollback, Versions};
use crate::failure::{Failure, io_failure};
use crate::hub::{Hub, parse, parse_all};
use crate::path::{parameter, segment};
use crate::{human, table};

const GZIP: &str = "application/gzip";
/// How often it is asked how far a version is, and how long a hub that went away is waited for.
const LOOK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn push(hub: &Hub, arguments: &PushFolder) -> Result<ExitCode, Failure> {
    let quiet = arguments.quiet || arguments.json;
    let folder = folder::read(&arguments.dir).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("fault: {fault}")).collect();
        Failure::usage(faults.join("\n")).advice("Nothing was sent. See `muster model check`.")
    })?;
    let id = arguments.id.clone().unwrap_or_else(|| folder.model.id.to_string());
    let archive = NamedTempFile::new().map_err(io_failure("a temporary file"))?;
    let files = archive::pack(
        &arguments.dir,
        File::create(archive.path()).map_err(io_failure("a temporary file"))?,
    )
    .map_err(|fault| Failure::usage(format!("fault: {fault}")).advice("Nothing was sent."))?;
    let bytes = archive.as_file().metadata().map_err(io_failure("a temporary file"))?.len();
    if !quiet {
        eprintln!(
            "{id}: {} ({}), sent as {}",
            human::counted(files, "file"),
            folder.form,
            human::bytes(bytes)
        );
    }
    hub.be_patient(PATIENCE, |text| eprintln!("{text}"));
    let version = send(hub, &id, (archive.path(), bytes), arguments).await?;
    for note in version.notes.iter().filter(|_| !quiet) {
        eprintln!("note: {note}");
    }
    let (version, json) = if arguments.no_wait {
        find(hub, &id, &version.version).await?
    } else {
        follow(hub, &id, &version.version, quiet).await?
    };
    if arguments.json {
        table::print(json.get())?;
    }
    let name = format!("{id} {}", version.version);
    match (version.state.as_str(), &version.reason) {
        ("failed", _) if arguments.json => return Ok(ExitCode::FAILURE),
        ("failed", reason) => {
            let why = reason.as_deref().unwrap_or("no reason is known");
            let advice =
                "The version that was served before is served still; see `muster model versions`.";
            return Err(Failure::failed(format!("{name} is not served. {why}")).advice(advice));
        }
        _ if arguments.json => {}
        ("trying", _) => {
            table::print(&format!("{name} is tried; see `muster model versions {id}`"))?
        }
        _ => {
            if !arguments.quiet {
                show_example(hub, &version).await?;
            }
            table::print(&format!("{name} is served"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn send(
    hub: &Hub,
    id: &str,
    (archive, bytes): (&Path, u64),
    arguments: &PushFolder,
) -> Result<ModelVersion, Failure> {
    let mut path = versions_path(id);
    parameter(&mut path, "example", &arguments.example);
    let shows = !arguments.quiet && !arguments.json && std::io::stderr().is_terminal();
    let bar = if shows { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}  {bytes_per_sec}")
    {
        bar.set_style(style);
    }
    let counted = bar.clone();
    // A try after a failed one begins anew.
    let sent = move |more| {
        if counted.position() >= bytes {
            counted.set_position(0);
        }
        counted.inc(more);
    };
    let answer = hub.post_file(&path, (archive, GZIP), sent).await;
    bar.finish_and_clear();
    parse(&answer?)
}

/// Waits until it is known whether the example has predictions.
async fn follow(
    hub: &Hub,
    id: &str,
    version: &str,
    quiet: bool,
) -> Result<(ModelVersion, Box<RawValue>), Failure> {
    let mut told = None;
    loop {
        let (now, json) = find(hub, id, version).await?;
        if now.state != "trying" {
            return Ok((now, json));
        }
        if now.waiting_reason != told {
            if let Some(why) = now.waiting_reason.as_deref().filter(|_| !quiet) {
                eprintln!("its example waits: {why}");
            }
            told = now.waiting_reason;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn find(
    hub: &Hub,
    id: &str,
    version: &str,
) -> Result<(ModelVersion, Box<RawValue>), Failure> {
    for item in list(hub, id).await? {
        let one: ModelVersion = parse(item.get().as_bytes())?;
        if one.version == version {
            return Ok((one, item));
        }
    }
    Err(Failure::failed(format!("{id} has no version {version} any more")))
}

async fn list(hub: &Hub, id: &str) -> Result<Vec<Box<RawValue>>, Failure> {
    #[derive(serde::Deserialize)]
    struct Page {
        items: Vec<Box<RawValue>>,
    }
    let Page { items } = parse(&hub.get(&versions_path(id)).await?)?;
    Ok(items)
}

/// The predictions of its example, as far as they fit.
async fn show_example(hub: &Hub, version: &ModelVersion) -> Result<(), Failure> {
    let Some(request) = &version.request else { return Ok(()) };
    // It is somebody else's if they pushed the same, or was deleted.
    let Ok(csv) = hub.get(&format!("/api/v1/requests/{request}/result?format=csv")).await else {
        return Ok(());
    };
    let mut reader = csv::Reader::from_reader(&csv[..]);
    let words = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
    let Ok(header) = reader.headers().map(words) else { return Ok(()) };
    let rows: Vec<Vec<String>> = reader.records().flatten().map(|row| words(&row)).collect();
    let shown = &rows[..rows.len().min(10)];
    table::print(table::preview(&header, shown, rows.len() as u64).trim_end())
}

pub async fn versions(hub: &Hub, arguments: &Versions) -> Result<(), Failure> {
    if arguments.json {
        return table::print_json(&hub.get(&versions_path(&arguments.id)).await?);
    }
    let all: Vec<ModelVersion> = parse_all(&list(hub, &arguments.id).await?)?;
    if all.is_empty() {
        return table::print(&format!("{} was not pushed", arguments.id));
    }
    let now = Clock::system().now();
    let reasons: Vec<String> = all
        .iter()
        .filter_map(|one| Some(format!("{}: {}", one.version, one.reason.as_ref()?)))
        .collect();
    let row = |one: ModelVersion| {
        let state = if one.served { "served".to_owned() } else { one.state };
        let by = one.pushed_by_name.unwrap_or(one.pushed_by);
        let (files, size) = (human::count(one.files), human::bytes(one.bytes));
        vec![one.version, state, human::ago(one.pushed_at, now), by, files, size]
    };
    let header = ["version", "state", "pushed", "by", "files", "size"];
    table::print(&table::table(&header, all.into_iter().map(row).collect(), &[4, 5]))?;
    reasons.iter().try_for_each(|reason| table::print(reason))
}

pub async fn roll_back(hub: &Hub, arguments: &Rollback) -> Result<(), Failure> {
    let id = &arguments.id;
    let to = match &arguments.to {
        Some(version) => version.clone(),
        None => before(&parse_all(&list(hub, id).await?)?).ok_or_else(|| {
            let what = format!("{id} has no good version before the one that is served");
            Failure::usage(what).advice(format!("See `muster model versions {id}`."))
        })?,
    };
    let path = format!("/api/v1/catalogue/{}/rollback", segment(id));
    let answer = hub.post_json(&path, &json!({ "version": to })).await?;
    if arguments.json {
        return table::print_json(&answer);
    }
    table::print(&format!("{id} {to} is served"))
}

/// The newest good one before that which is served; they come the newest first.
fn before(all: &[ModelVersion]) -> Option<String> {
    let served = all.iter().position(|one| one.served)?;
    all[served + 1..].iter().find(|one| one.state == "good").map(|one| one.version.clone())
}

fn versions_path(id: &str) -> String {
    format!("/api/v1/catalogue/{}/versions", segment(id))
}
