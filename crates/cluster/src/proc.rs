//! Processes as /proc shows them: who descends from whom, what they use, what they were started with.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    /// Clock ticks from boot to its start.
    pub started: u64,
    /// It has ended, and its parent has not taken notice yet.
    pub zombie: bool,
}

/// The process with this number, if there is one.
pub fn find(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything: fields are counted from its end.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process { pid, parent, started, zombie })
}

/// Every process that can be seen.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| find(name.to_str()?.parse().ok()?)).collect()
}

/// `root` and all that descend from it.
pub fn tree(root: i32) -> Vec<i32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let Ok(children) = fs::read_to_string(thread.path().join("children")) else {
                return tree_of(root, &all());
            };
            found.extend(
                children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()),
            );
        }
    }
    found
}

/// The same from a list of all processes, for kernels that do not list children, and for
/// processes that end while they are looked at.
fn tree_of(root: i32, all: &[Process]) -> Vec<i32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        found.extend(all.iter().filter(|process| process.parent == pid).map(|process| process.pid));
    }
    found
}

/// What Linux counts processor time in for programs (proc(5)), whatever its kernel counts in.
const TICK: Duration = Duration::from_millis(10);

/// Processor time that a process used, and those of its children that ended and that it took notice
/// of; zero when it is gone.
pub fn processor_time(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(')') else { return Duration::ZERO };
    // utime, stime, cutime, cstime
    let times = fields.split_ascii_whitespace().skip(11).take(4);
    let ticks: u64 = times.filter_map(|time| time.parse::<u64>().ok()).sum();
    TICK.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// The name of this machine.
pub fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Resident memory of a process, KiB; 0 when it is gone.
pub fn resident_kib(pid: i32) -> u64 {
    field_kib(&format!("/proc/{pid}/status"), "VmRSS:").unwrap_or(0)
}

/// Resident memory where pages shared by several processes count once in all, KiB. Slower.
pub fn proportional_kib(pid: i32) -> u64 {
    let shared = field_kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
    shared.unwrap_or_else(|| resident_kib(pid))
}

fn field_kib(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Was the process started with this `NAME=value`? False too if that may not be read.
pub fn was_started_with(pid: i32, variable: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == variable)
}

/// Signals that very process. False if it is gone.
pub fn signal(process: &Process, signal: Signal) -> io::Result<bool> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(false) };
    let same = || find(process.pid).is_some_and(|now| now.started == process.started);
    let sent = match pidfd_open(pid, PidfdFlags::empty()) {
        // What the descriptor means is settled; that it is the right one is checked after.
        Ok(handle) if same() => pidfd_send_signal(handle, signal),
        Ok(_) => return Ok(false),
        Err(rustix::io::Errno::NOSYS) if same() => kill_process(pid, signal),
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn work_of_this_process_and_of_children_that_ended_is_processor_time() {
        let own = std::process::id() as i32;
        let before = processor_time(own);
        let busy = "n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done";
        Command::new("sh").args(["-c", busy]).status().expect("it ends");
        assert!(processor_time(own) > before, "{before:?}");
        assert_eq!(processor_time(i32::MAX), Duration::ZERO);
    }

    #[test]
    fn a_process_is_found_with_its_parent_memory_and_environment() {
        let mut child = Command::new("cat")
            .env("MUSTER_TEST", "a b")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat starts");
        // A process that is started has no environment yet; one that answers has.
        child.stdin.as_mut().expect("its input").write_all(b"x").expect("it reads");
        child.stdout.as_mut().expect("its output").read_exact(&mut [0]).expect("it answers");
        let pid = child.id() as i32;
        let found = find(pid).expect("it runs");
        assert_eq!(found.parent, std::process::id() as i32);
        assert!(tree(found.parent).contains(&pid));
        assert!(tree_of(found.parent, &all()).contains(&pid));
        assert!(resident_kib(pid) > 0 && proportional_kib(pid) > 0);
        assert!(processor_time(pid) < Duration::from_secs(10) && host().is_some());
        assert!(was_started_with(pid, b"MUSTER_TEST=a b"));
        assert!(!was_started_with(pid, b"MUSTER_TEST=a"));
        let later = Process { started: found.started + 1, ..found };
        assert!(!signal(&later, Signal::KILL).expect("no signal"), "another process is not hit");
        assert!(signal(&found, Signal::KILL).expect("a signal"));
        child.wait().expect("it ends");
        assert_eq!(find(pid), None);
        assert!(!signal(&found, Signal::KILL).expect("no signal"));
    }
}
