//! Checking a model folder: read it, prepare it, run its example.

use std::path::Path;

use muster_core::answer::read_records;
use muster_core::{Part, Row};

use crate::logs::Logs;
use crate::prepare::{Progress, prepare};
use crate::serve::make_runner;
use crate::worker::{Outcome, Worker};
use crate::{Fault, Folder, Kind, Machine, folder};

/// What a check found.
#[derive(Debug)]
pub struct Report {
    pub folder: Option<Folder>,
    pub faults: Vec<Fault>,
    /// The example's inputs and what the model made of them.
    pub example: Option<(Vec<String>, Part)>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }
}

pub async fn check(
    dir: &Path,
    environments: &Path,
    machine: &Machine,
    progress: impl FnMut(Progress) + Send,
) -> Report {
    let folder = match folder::read(dir) {
        Ok(folder) => folder,
        Err(faults) => return Report { folder: None, faults, example: None },
    };
    let (faults, example) = match run_example(&folder, environments, machine, progress).await {
        Ok((example, faults)) => (faults, example),
        Err(fault) => (vec![fault], None),
    };
    Report { folder: Some(folder), faults, example }
}

type Example = Option<(Vec<String>, Part)>;

async fn run_example(
    folder: &Folder,
    environments: &Path,
    machine: &Machine,
    progress: impl FnMut(Progress) + Send,
) -> Result<(Example, Vec<Fault>), Fault> {
    if let Kind::Http { .. } = folder.kind {
        return Ok((None, vec![]));
    }
    let fault = |what: String| Fault::new("run", what);
    let environment = prepare(folder, environments, machine, progress)
        .await
        .map_err(|error| Fault::new("dependencies", error.to_string()))?;
    let logs = Logs::new(64 << 10);
    let runner = make_runner(folder, environment, machine, logs).await.map_err(fault)?;
    let inputs = folder.model.example.clone();
    if inputs.is_empty() {
        let what = "there is no example; give some inputs so that people can try the model";
        return Err(Fault::new("example", what));
    }
    let worker = Worker::new(runner, folder.model.limits.job());
    let rows = match worker.run(&inputs, |_| {}).await {
        Outcome::Rows(rows) => rows,
        Outcome::Failed(error) => return Err(fault(format!("the example fails: {error}"))),
        Outcome::TimedOut { .. } => {
            return Err(fault("the example takes longer than job_seconds".into()));
        }
        Outcome::Busy => return Err(fault("the model is busy".into())),
    };
    let part = read_records(&rows, inputs.len(), &folder.model.outputs)
        .map_err(|error| fault(format!("the example's answer cannot be used: {error}")))?;
    let mut faults = Vec::new();
    let errors = part.rows.iter().filter_map(|row| match row {
        Row::Error(error) => Some(error),
        Row::Values(_) => None,
    });
    if part.failed() == part.rows.len() as u64
        && let Some(error) = errors.into_iter().next()
    {
        faults.push(fault(format!("no input of the example has a prediction: {error}")));
    }
    for column in &folder.model.outputs {
        if !part.columns.iter().any(|(name, _)| *name == column.name) {
            let what =
                format!("the model declares the column {} but does not answer it", column.name);
            faults.push(Fault::new("outputs", what));
        }
    }
    Ok((Some((inputs, part)), faults))
}
