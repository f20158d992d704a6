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

/// What the processors did since the machine started, in ticks. `proc_stat(5)`, the line `cpu`.
#[derive(Clone, Copy)]
pub struct Processors {
    busy: u64,
    stolen: u64,
}

impl Processors {
    pub fn look() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        Self::read(&stat).ok_or_else(|| "/proc/stat has no line of all processors".into())
    }

    fn read(stat: &str) -> Option<Self> {
        let ticks = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<u64> = ticks.map_while(|text| text.parse().ok()).collect();
        let &[user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = ticks.as_slice()
        else {
            return None;
        };
        Some(Self { busy: user + nice + system + irq + softirq, stolen })
    }

    /// Percent of the time that programs wanted to run since `before` in which the host ran others instead.
    pub fn stolen_since(self, before: Self) -> f64 {
        let stolen = self.stolen.saturating_sub(before.stolen) as f64;
        let busy = self.busy.saturating_sub(before.busy) as f64;
        if stolen > 0.0 { 100.0 * stolen / (stolen + busy) } else { 0.0 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_a_share_of_what_programs_wanted() {
        let read = |stat| Processors::read(stat).expect("a line of all processors");
        let before = read("cpu  4539120 295717 678001 5103763 94787 0 49094 566586 0 0\ncpu0 1 2");
        let after = read("cpu  4540060 295717 678390 5105424 95012 0 49186 567727 0 0\n");
        assert_eq!(after.stolen_since(before).round(), 45.0);
        assert_eq!(before.stolen_since(before), 0.0);
        assert!(Processors::read("intr 1 2 3").is_none());
    }
}
