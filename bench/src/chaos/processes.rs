//! Processes of models, as /proc shows them, and signals to what this program started.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// A process that a hub of this run started for an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelProcess {
    pub instance: String,
    pub pid: i32,
}

/// Those of the hubs with these `run` folders, in order.
pub fn of_models(runs: &[PathBuf]) -> Vec<ModelProcess> {
    let marks: Vec<Vec<u8>> =
        runs.iter().map(|run| format!("MUSTER_RUN={}", run.display()).into_bytes()).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A zombie's is empty.
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let mut entries = environment.split(|byte| *byte == 0);
        if !entries.clone().any(|entry| marks.iter().any(|mark| entry == &mark[..])) {
            continue;
        }
        let instance = entries.find_map(|entry| entry.strip_prefix(b"MUSTER_INSTANCE="));
        if let Some(instance) = instance {
            found.push(ModelProcess { instance: String::from_utf8_lossy(instance).into(), pid });
        }
    }
    found.sort();
    found
}

/// The process and its direct children: PostgreSQL's all are.
pub fn with_children(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent.and_then(|parent| parent.parse().ok()) == Some(pid)
            && let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok())
        {
            found.push(child);
        }
    }
    found
}

/// One that is gone already is no fault.
pub fn signal(pid: i32, signal: Signal) -> Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
