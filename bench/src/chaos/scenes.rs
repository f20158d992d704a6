//! Faults that are no accident: each shows one guarantee.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::traffic::Person;
use super::world::MODELS;
use super::{Run, START};
use crate::Result;

/// Longer than leases hold (30 s) and than a silent server counts as alive (30 s).
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(36);
/// How long a job at a server elsewhere takes that is picked up again, milliseconds.
const REMOTE_JOB: u64 = 4000;
/// After a hub is back, a job that went on elsewhere ends within this: a server counts as dead
/// after 30 s.
const PICKED_UP: Duration = Duration::from_secs(60);
const DISK: &str = "size=24m";
/// Submissions until a full disk is noticed, and until it is noticed that it is not full any more.
const TRIES: u32 = 200;

impl Run {
    /// I-35: every server is stopped and started in turn; behind a balancer nobody notices.
    pub async fn rolling_restart(&mut self) -> Result<()> {
        self.world.start(START).await?;
        let told = std::sync::Arc::clone(&self.traffic.told);
        let failed = || told.refused.load(Ordering::Relaxed) + told.silent.load(Ordering::Relaxed);
        let before = (failed(), told.acknowledged.load(Ordering::Relaxed));
        for n in 0..2 * self.world.servers.len() as u64 {
            self.next("rolling restart");
            self.world.server(n).stop().await?;
            self.world.server(n).start(None)?;
            self.world.start(START).await?;
        }
        let (failed, acknowledged) =
            (failed() - before.0, told.acknowledged.load(Ordering::Relaxed) - before.1);
        if failed > 0 || acknowledged == 0 {
            self.watch.seen.wrong(format!(
                "rolling restart: {failed} failed answers, {acknowledged} acknowledged"
            ));
        }
        Ok(())
    }

    /// I-11, I-25: a server that was away for longer than its leases writes nothing that counts,
    /// and the other one plans meanwhile.
    pub async fn frozen_server(&mut self) -> Result<()> {
        self.world.start(START).await?;
        let (before, epoch) = self.watch.view().leader().await?;
        let stale = self.watch.seen.stale.load(Ordering::Relaxed);
        self.next("the planning server stands still for longer than its leases");
        let which = self.planner(&before)?;
        self.watch.seen.calm.store(false, Ordering::Relaxed);
        self.world.server(which).signal(Signal::STOP)?;
        tokio::time::sleep(LONGER_THAN_A_LEASE).await;
        let (after, next) = self.watch.view().leader().await?;
        if after == before || next <= epoch {
            let doing = self.watch.view().activity().await?;
            self.watch.seen.wrong(format!(
                "hub-{which} stood still and nobody else plans: {before} {epoch}, then {after} {next}; \
                 the database: {doing}"
            ));
        }
        self.world.server(which).signal(Signal::CONT)?;
        let begun = Instant::now();
        while self.watch.seen.stale.load(Ordering::Relaxed) == stale {
            if begun.elapsed() > Duration::from_secs(15) {
                self.watch.seen.wrong("no late write was refused".to_owned());
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.watch.seen.calm.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Which server says in its log that it has this id.
    fn planner(&self, id: &str) -> Result<u64> {
        for (n, server) in self.world.servers.iter().enumerate() {
            if fs::read_to_string(server.log())?.contains(id) {
                return Ok(n as u64);
            }
        }
        Err(format!("the server that plans, {id}, is in no log").into())
    }

    /// A server that is dead and stays so holds nobody up for longer than its leases.
    pub async fn dead_server(&mut self, person: &mut Person) -> Result<()> {
        self.world.start(START).await?;
        self.next("a hub is dead and stays so");
        self.watch.seen.calm.store(false, Ordering::Relaxed);
        self.world.server(0).kill()?;
        let begun = Instant::now();
        for model in MODELS {
            let input = person.name(&format!("dead-{model}"), "");
            let mut id = None;
            while id.is_none() && begun.elapsed() < PICKED_UP {
                id = person.send(model, &input, 0).await?;
            }
            let id = id.ok_or("nothing is taken in")?;
            if !is_completed(person, &id, begun).await {
                let wrong = format!("one hub is dead, and {id} of {model} does not end");
                self.watch.seen.wrong(wrong);
            }
        }
        self.world.heal(&self.watch).await
    }

    /// Part 6: jobs at a server elsewhere go on while all hubs are dead, and are picked up.
    pub async fn remote_job(&mut self, person: &mut Person) -> Result<()> {
        self.world.start(START).await?;
        self.next("every hub dies while a job runs elsewhere");
        let input = person.name("remote-job", &format!("!slow:{REMOTE_JOB}:"));
        let id = person.send("echo", &input, 0).await?.ok_or("it was not taken in")?;
        let begun = Instant::now();
        while !self.watch.view().has_remote_job(&id).await? {
            if begun.elapsed() > START {
                return Err("no job was started elsewhere".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.watch.seen.calm.store(false, Ordering::Relaxed);
        for server in &mut self.world.servers {
            server.kill()?;
        }
        self.world.heal(&self.watch).await?;
        self.world.start(START).await?;
        if !is_completed(person, &id, Instant::now()).await {
            self.watch.seen.wrong(format!("job of {id} was not picked up in {PICKED_UP:?}"));
            return Ok(());
        }
        let log = fs::read_to_string(self.world.folder.join("model.jsonl"))?;
        let times = log.lines().filter(|line| line.contains(&input)).count();
        if times != 1 {
            self.watch.seen.wrong(format!("job of {id} was sent {times} times"));
        }
        Ok(())
    }

    /// I-58: on a full disk nothing new is taken in, reads go on, and it recovers by itself.
    pub async fn full_disk(&mut self, person: &mut Person) -> Result<()> {
        let disk = self.world.servers[0].folder.join("data");
        self.next("the disk is full");
        let known = person.name("before", "");
        let known = person.send("trivial", &known, 10).await?.ok_or("it was not taken in")?;
        let filler = disk.join("filler");
        let filled = Command::new("dd")
            .args(["if=/dev/zero", "bs=4k"])
            .arg(format!("of={}", filler.display()))
            .output()?;
        if filled.status.success() {
            return Err("the disk does not get full".into());
        }
        let mut refused = None;
        for n in 0..TRIES {
            let input = person.name(&format!("full-{n}"), &"x".repeat(2000));
            if person.send("trivial", &input, 0).await?.is_none() {
                refused = Some(person.last_status);
                break;
            }
        }
        match refused {
            Some(503 | 507) => {}
            other => self.watch.seen.wrong(format!("full disk: new work was answered {other:?}")),
        }
        if person.phase(&known).await? != "completed" {
            self.watch.seen.wrong("full disk: a request that ended cannot be read".to_owned());
        }
        fs::remove_file(filler)?;
        for n in 0..TRIES {
            let input = person.name(&format!("again-{n}"), "");
            if let Some(id) = person.send("trivial", &input, 10).await?
                && person.phase(&id).await? == "completed"
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.watch.seen.wrong("it does not recover when there is space again".to_owned());
        Ok(())
    }

    fn next(&mut self, what: &str) {
        self.faults += 1;
        self.say(what);
    }
}

/// Waits for the end of a request; false if it is still open [`PICKED_UP`] after `begun`.
async fn is_completed(person: &mut Person, id: &str, begun: Instant) -> bool {
    while !matches!(person.phase(id).await.as_deref(), Ok("completed")) {
        if begun.elapsed() > PICKED_UP {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
}

/// A small disk of its own, as far as this user may mount one.
pub struct SmallDisk(Option<PathBuf>);

impl SmallDisk {
    pub fn mount(at: &Path) -> Result<Self> {
        fs::create_dir_all(at)?;
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(at).output()?;
        Ok(Self(mounted.status.success().then(|| at.to_owned())))
    }

    pub fn none() -> Self {
        Self(None)
    }

    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(at) = &self.0
            && !Command::new("umount").arg("-l").arg(at).status().is_ok_and(|s| s.success())
        {
            eprintln!("{} stays mounted", at.display());
        }
    }
}
