//! Ending processes that nobody minds any more.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::proc::{self, Process};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(5);

/// Kills every process that was started with `NAME=value`, except this one, its ancestors and its
/// descendants; returns how many. Blocks until they are gone.
pub(crate) fn strangers_with(variable: &[u8]) -> io::Result<usize> {
    kill_all(|all| {
        let kin = kin(all);
        let strangers = all.iter().filter(|process| !kin.contains(&process.pid));
        strangers.filter(|process| proc::was_started_with(process.pid, variable)).copied().collect()
    })
}

/// The same for descendants of this process too: what is left of an instance that ended.
pub(crate) fn leftovers_with(variable: &[u8]) -> io::Result<usize> {
    kill_all(|all| {
        let own = std::process::id() as i32;
        let others = all.iter().filter(|process| process.pid != own && process.pid != 1);
        others.filter(|process| proc::was_started_with(process.pid, variable)).copied().collect()
    })
}

/// Kills what `choose` finds until it finds nothing, twice in a row: a process may fork while it is looked at,
/// and one that begins another program has no environment for a moment.
fn kill_all(choose: impl Fn(&[Process]) -> Vec<Process>) -> io::Result<usize> {
    let begun = Instant::now();
    let mut killed: Vec<Process> = Vec::new();
    let mut found_nothing = false;
    loop {
        let mut all = proc::all();
        all.retain(|process| !process.zombie);
        let found = choose(&all);
        if found.is_empty() && found_nothing {
            return Ok(killed.len());
        }
        found_nothing = found.is_empty();
        if begun.elapsed() > PATIENCE {
            let pids: Vec<i32> = found.iter().map(|process| process.pid).collect();
            return Err(io::Error::other(format!("processes {pids:?} do not end when killed")));
        }
        for process in found.iter().filter(|process| !killed.contains(process)) {
            proc::signal(process, Signal::KILL)?;
        }
        let new = found.into_iter().filter(|process| !killed.contains(process));
        let new: Vec<Process> = new.collect();
        killed.extend(new);
        std::thread::sleep(PAUSE);
    }
}

/// This process, its ancestors and its descendants.
fn kin(all: &[Process]) -> Vec<i32> {
    let own = std::process::id() as i32;
    let parent = |pid: i32| all.iter().find(|process| process.pid == pid).map(|found| found.parent);
    let mut kin = proc::tree(own);
    let mut ancestor = parent(own);
    while let Some(pid) = ancestor.filter(|pid| !kin.contains(pid)) {
        kin.push(pid);
        ancestor = parent(pid);
    }
    kin
}
