//! What it was measured on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde::Serialize;

use crate::Result;

#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    /// Median of writing 4 KiB and `fdatasync`, microseconds.
    pub sync_micros: u64,
    pub commit: String,
    /// Load average of the last minute when the run began: other programs disturb.
    pub load: String,
}

impl Machine {
    pub fn look(folder: &Path) -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        let processor = name.map_or("unknown", |text| text.trim_matches([' ', '\t', ':']));
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let kib = meminfo.split_whitespace().nth(1).and_then(|text| text.parse().ok());
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            processor: processor.to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: kib.unwrap_or(0_u64) >> 20,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            sync_micros: sync_micros(folder)?,
            commit: commit(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { processor, cores, memory_gib, kernel, sync_micros, commit, load } = self;
        write!(
            f,
            "{processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}; a 4 KiB write is on disk \
             after {sync_micros} µs; load {load}; commit {commit}"
        )
    }
}

fn sync_micros(folder: &Path) -> Result<u64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        took.push(begun.elapsed().as_micros() as u64);
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

/// The commit of the sources, with `+` if they were changed.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_some_and(|text| !text.is_empty());
    if changed { commit + "+" } else { commit }
}
