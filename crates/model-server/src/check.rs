//! Checking a model folder: read it, prepare it, run its example.

use std::path::Path;

use muster_core::answer::read_records;
use muster_core::{Column, ColumnKind, Part, Row};

use crate::folder::Snapshot;
use crate::logs::Logs;
use crate::prepare::{Progress, prepare};
use crate::serve::{make_runner, missing, why};
use crate::watched::Watched;
use crate::worker::{Outcome, Worker};
use crate::{Fault, Folder, Form, Kind, Machine, Note, folder};

/// What a check found.
#[derive(Debug)]
pub struct Report {
    pub folder: Option<Folder>,
    /// What is no fault, but should be known.
    pub notes: Vec<Note>,
    pub faults: Vec<Fault>,
    /// The example's inputs and what the model made of them.
    pub example: Option<(Vec<String>, Part)>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Reads a folder; nothing is built and nothing is run.
pub fn read_only(dir: &Path) -> Report {
    match folder::read(dir) {
        Ok(folder) => {
            let notes = folder.notes.clone();
            Report { folder: Some(folder), notes, faults: vec![], example: None }
        }
        Err(faults) => Report { folder: None, notes: vec![], faults, example: None },
    }
}

pub async fn check(
    dir: &Path,
    environments: &Path,
    machine: &Machine,
    progress: impl FnMut(Progress) + Send,
) -> Report {
    let mut report = read_only(dir);
    let Some(folder) = &report.folder else { return report };
    let mut notes = Vec::new();
    match run_example(folder, environments, machine, progress, &mut notes).await {
        Ok((example, faults)) => (report.example, report.faults) = (example, faults),
        // What it says is all there is to say: the rest follows from it.
        Err(fault) => report.faults = vec![fault],
    }
    report.notes.extend(notes);
    report
}

type Example = Option<(Vec<String>, Part)>;

async fn run_example(
    folder: &Folder,
    environments: &Path,
    machine: &Machine,
    progress: impl FnMut(Progress) + Send,
    notes: &mut Vec<Note>,
) -> Result<(Example, Vec<Fault>), Fault> {
    if let Kind::Http { .. } = folder.kind {
        return Ok((None, vec![]));
    }
    let fault = |what: String| Fault::new("run", what);
    let environment = prepare(folder, environments, machine, progress)
        .await
        .map_err(|error| Fault::new("dependencies", why(&error.to_string(), &folder.missing())))?;
    notes.extend(environment.notes.iter().map(|note| Note::missing("dependencies", note)));
    let missing = missing(folder, &environment);
    let logs = Logs::new(64 << 10);
    let runner = make_runner(folder, environment, machine, logs).await;
    let runner = runner.map_err(|error| fault(why(&error, &missing)))?;
    let inputs = folder.model.example.clone();
    if inputs.is_empty() {
        let what = "there is no example; give some inputs so that people can try the model";
        // Nothing describes such a folder, so nothing is wrong with it.
        if matches!(folder.form, Form::Predict | Form::Mlflow) {
            notes.push(Note::told("example", format!("{what} (`example` in a model.toml)")));
            return Ok((None, vec![]));
        }
        return Err(Fault::new("example", what));
    }
    let snapshot = Snapshot::of(&folder.dir).map_err(|error| fault(error.to_string()))?;
    let watched = Watched::new(folder.dir.clone(), snapshot);
    let worker = Worker::new(runner, folder.model.limits.job(), missing, watched);
    let rows = match worker.run(&inputs, |_| {}).await {
        Outcome::Rows(rows) => rows,
        Outcome::Failed(error) => return Err(fault(format!("the example fails: {error}"))),
        Outcome::TimedOut { .. } => {
            return Err(fault("the example takes longer than job_seconds".into()));
        }
        Outcome::Changed { file } => {
            return Err(fault(format!("its folder was changed meanwhile: {file}")));
        }
        Outcome::Busy => return Err(fault("the model is busy".into())),
    };
    let part = read_records(&rows, inputs.len(), &folder.model.outputs)
        .map_err(|error| fault(format!("the example's answer cannot be used: {error}")))?;
    let error = part.rows.iter().find_map(|row| match row {
        Row::Error(error) => Some(error),
        Row::Values(_) => None,
    });
    if part.failed() == part.rows.len() as u64
        && let Some(error) = error
    {
        let what = format!("no input of the example has a prediction: {error}");
        return Ok((Some((inputs, part)), vec![fault(what)]));
    }
    // As it answered: without what it only declares.
    let answered = read_records(&rows, inputs.len(), &[]).map(|part| part.columns);
    let faults = columns(&folder.model.outputs, &answered.unwrap_or_default());
    Ok((Some((inputs, part)), faults))
}

/// Columns that a model declares and does not answer, and what it may have called them instead.
fn columns(declared: &[Column], answered: &[(String, ColumnKind)]) -> Vec<Fault> {
    let is_declared = |name: &String| declared.iter().any(|column| column.name == *name);
    let others: Vec<&str> = answered
        .iter()
        .map(|(name, _)| name)
        .filter(|name| !is_declared(name))
        .map(|it| &**it)
        .collect();
    let instead = match others[..] {
        [] => "its place in results stays empty".to_owned(),
        _ => format!("it answers {}, which it does not declare", others.join(", ")),
    };
    let missing = |column: &&Column| !answered.iter().any(|(name, _)| *name == column.name);
    let fault = |column: &Column| {
        let name = &column.name;
        let what =
            format!("the model declares the column {name} but does not answer it; {instead}");
        Fault::new("outputs", what)
    };
    declared.iter().filter(missing).map(fault).collect()
}
