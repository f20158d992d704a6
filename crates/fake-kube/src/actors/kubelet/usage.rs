//! What processes use, read from `/proc` for all of them at once.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::Instant,
};

use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    pub cpu_nano_cores: u64,
    pub memory_bytes: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    parent: i32,
    group: i32,
    ticks: u64,
}

fn look() -> HashMap<i32, Seen> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, read(pid)?))).collect()
}

/// [`None`] of a process that ended meanwhile.
fn read(pid: i32) -> Option<Seen> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, spaces and brackets too.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Seen {
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        ticks: number(11)? + number(12)?,
    })
}

/// What is resident, in bytes.
fn memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Linux tells the processor time of a process in these parts of a second.
const TICKS: f64 = 100.0;

/// A process, those of its group and all that descend from them.
fn members(root: i32, all: &HashMap<i32, Seen>) -> Vec<i32> {
    let mut members: Vec<i32> = all
        .iter()
        .filter(|(pid, seen)| **pid == root || seen.group == root)
        .map(|it| *it.0)
        .collect();
    let mut at = 0;
    while let Some(&parent) = members.get(at) {
        let children = all.iter().filter(|(_, seen)| seen.parent == parent);
        let new: Vec<i32> =
            children.map(|(pid, _)| *pid).filter(|pid| !members.contains(pid)).collect();
        members.extend(new);
        at += 1;
    }
    members
}

pub fn tree(root: i32) -> Vec<i32> {
    members(root, &look())
}

/// The last look, to see how fast the clock of each process runs.
#[derive(Default)]
pub struct Meter {
    before: Option<(Instant, HashMap<i32, u64>)>,
}

impl Meter {
    /// Of each root: processor since the last look, memory now.
    pub fn look(&mut self, roots: &[i32]) -> BTreeMap<i32, Usage> {
        if roots.is_empty() {
            self.before = None;
            return BTreeMap::new();
        }
        let (now, all) = (Instant::now(), look());
        let mut usage = BTreeMap::new();
        let mut ticks = HashMap::new();
        for root in roots {
            let members = members(*root, &all);
            let used: u64 = members.iter().map(|pid| all[pid].ticks).sum();
            ticks.insert(*root, used);
            let rate = self.before.as_ref().and_then(|(then, before)| {
                let seconds = now.duration_since(*then).as_secs_f64();
                let more = used.saturating_sub(*before.get(root)?);
                (seconds > 0.0).then(|| (more as f64 * 1e9 / TICKS / seconds) as u64)
            });
            let cpu_nano_cores = rate.unwrap_or_default();
            let memory_bytes = members.iter().filter_map(|pid| memory(*pid)).sum();
            usage.insert(*root, Usage { cpu_nano_cores, memory_bytes });
        }
        self.before = Some((now, ticks));
        usage
    }
}
