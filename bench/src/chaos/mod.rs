//! Everything is broken at random under load, healed, and looked at.

mod balancer;
mod draw;
mod fault;
mod processes;
mod proxy;
mod scenes;
mod server;
mod traffic;
mod view;
mod walk;
mod watch;
mod world;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use self::draw::Draw;
use self::fault::{Fault, Kind, Possible, What, Whom};
use self::scenes::SmallDisk;
use self::traffic::{Person, Traffic};
use self::watch::{STUCK, Watch};
use self::world::{CANARY, World};
use crate::arguments::{self, DatabaseKind};
use crate::check::{self, Evidence};
use crate::ledger::Ledger;
use crate::load::client::Client;
use crate::postgres::Postgres;
use crate::{Result, clock};

const PEOPLE: u64 = 16;
const START: Duration = Duration::from_secs(60);
/// Faults that come together with the one before.
const TOGETHER: u64 = 15;

pub async fn run(arguments: arguments::Chaos) -> Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| clock::micros() % 1_000_000);
    let muster = arguments.muster.canonicalize().map_err(|error| {
        format!("{}: {error} (cargo build --release)", arguments.muster.display())
    })?;
    let mut folder = tempfile::Builder::new().prefix("muster-chaos-").tempdir()?;
    folder.disable_cleanup(true);
    println!("chaos with seed {seed} on {:?}, in {}", arguments.database, folder.path().display());
    // Also then everything that was started ends.
    let found = tokio::select! {
        found = once(&arguments, seed, &muster, folder.path()) => found,
        interrupted = interrupted() => Err(interrupted),
    };
    let good = match &found {
        Ok(found) => found.is_empty(),
        Err(error) => {
            println!("could not go on: {error}");
            false
        }
    };
    for wrong in found.iter().flatten() {
        println!("WRONG: {wrong}");
    }
    folder.disable_cleanup(arguments.keep || !good);
    if good {
        println!("passed, seed {seed}");
    } else {
        let again: Vec<String> = std::env::args().collect();
        println!("FAILED, seed {seed}; everything is in {}", folder.path().display());
        println!("again with: {} --seed {seed}", again.join(" "));
    }
    Ok(good)
}

async fn interrupted() -> Box<dyn Error + Send + Sync> {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
    "interrupted".into()
}

/// What is wrong.
async fn once(
    arguments: &arguments::Chaos,
    seed: u64,
    muster: &Path,
    folder: &Path,
) -> Result<Vec<String>> {
    let postgres = match arguments.database {
        DatabaseKind::Sqlite => None,
        DatabaseKind::Postgres => Some(Postgres::start(&[]).await?),
    };
    let clock = if arguments.kills.is_some() { None } else { faketime() };
    let possible = Possible {
        postgres: postgres.is_some(),
        clock: clock.is_some(),
        strace: Path::new("/usr/bin/strace").exists(),
        short: arguments.short,
    };
    for (there, what) in [(possible.clock, "libfaketime"), (possible.strace, "strace")] {
        if !there {
            println!("{what} is not installed: what needs it is left out");
        }
    }
    let disk = folder.join("hub-0/data");
    let disk = if arguments.full_disk { SmallDisk::mount(&disk)? } else { SmallDisk::none() };
    if arguments.full_disk && !disk.is_there() {
        println!("this user may not mount a small disk: nothing is done");
        return Ok(Vec::new());
    }
    let mut world = World::make(muster, folder, postgres).await?;
    if let Some(library) = clock {
        for server in &mut world.servers {
            server.with_clock(library.clone())?;
        }
    }
    world.start(START).await?;
    let watch = world.watch()?;
    let token = Client::new(world.balancer.address)?.session().await?;
    let ledger_file = folder.join("ledger.jsonl");
    let ledger = Ledger::append_to(&ledger_file)?;
    let mut draw = Draw::new(seed);
    let mut traffic = Traffic::new(world.balancer.address, &token, &ledger);
    let mut person = traffic.person(0, draw.fork(0))?;
    let people = if arguments.full_disk { 0 } else { PEOPLE };
    for number in 1..=people {
        traffic.add(number, draw.fork(number))?;
    }

    let mut run =
        Run { muster: muster.to_owned(), world, watch, traffic, begun: Instant::now(), faults: 0 };
    let broken = run.break_all(arguments, &possible, &mut draw, &mut person).await;
    drop(person);
    let Run { mut world, watch, traffic, begun, faults, .. } = run;
    broken?;
    println!("{:7.1} s  healed; waiting until everything ended", begun.elapsed().as_secs_f64());
    let told = std::sync::Arc::clone(&traffic.told);
    traffic.stop().await?;
    ledger.close()?;
    let mut wrong: Vec<String> = settle(&world, &watch).await?.into_iter().collect();
    let failures = watch.view().failures().await?;
    let seen = std::sync::Arc::clone(&watch.seen);
    drop(watch);
    if let Err(error) = world.stop().await {
        wrong.push(error.to_string());
    }
    wrong.extend(secrets(&world, &token)?);
    wrong.extend(seen.found());
    wrong.extend(told.wrong.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    let verdict = check::check(&Evidence {
        ledger: &ledger_file,
        database: &world.database(),
        schema: "public",
        objects: &world.objects,
        model_log: Some(&folder.join("model.jsonl")),
        may_fail: true,
    })
    .await?;
    check::say(&verdict);
    for (reason, count) in failures {
        println!("{count} requests failed: {reason}");
    }
    println!(
        "{faults} faults in {:.0} s; {} acknowledged, {} answers 5xx, {} without an answer; {} stale \
         writes refused; leases and instances looked at {} times",
        begun.elapsed().as_secs_f64(),
        told.acknowledged.load(Ordering::Relaxed),
        told.refused.load(Ordering::Relaxed),
        told.silent.load(Ordering::Relaxed),
        seen.stale.load(Ordering::Relaxed),
        seen.looks.load(Ordering::Relaxed),
    );
    for (finding, (count, examples)) in verdict.found {
        wrong.push(format!("{finding:?}: {count}, such as {}", examples.join(", ")));
    }
    Ok(wrong)
}

struct Run {
    muster: PathBuf,
    world: World,
    watch: Watch,
    traffic: Traffic,
    begun: Instant,
    faults: u32,
}

impl Run {
    async fn break_all(
        &mut self,
        arguments: &arguments::Chaos,
        possible: &Possible,
        draw: &mut Draw,
        person: &mut Person,
    ) -> Result<()> {
        if arguments.full_disk {
            return self.full_disk(person).await;
        }
        if let Some(kills) = arguments.kills {
            return self.kills(kills, draw).await;
        }
        if arguments.walk && !self.walk(draw).await? {
            println!("this build has no crash points: they are in debug builds");
        }
        if arguments.only.is_empty() {
            self.remote_job(person).await?;
            if possible.postgres {
                self.rolling_restart().await?;
                self.frozen_server().await?;
                self.dead_server(person).await?;
            }
        }
        let lasts = Duration::from_secs_f64(arguments.minutes * 60.0);
        self.faults(lasts, possible, &possible.kinds(&arguments.only), draw).await
    }

    /// Faults until the time is over.
    async fn faults(
        &mut self,
        lasts: Duration,
        possible: &Possible,
        kinds: &[Kind],
        draw: &mut Draw,
    ) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < lasts {
            let Some(fault) = possible.draw(draw, kinds) else { return Ok(()) };
            self.one(&fault).await?;
            let mut lasts = fault.lasts;
            if draw.percent(TOGETHER)
                && let Some(second) = possible.draw(draw, kinds)
            {
                self.one(&second).await?;
                lasts = lasts.max(second.lasts);
            }
            tokio::time::sleep(lasts).await;
            self.world.heal(&self.watch).await?;
            tokio::time::sleep(fault.rest).await;
            self.is_stuck().await?;
        }
        Ok(())
    }

    /// Hubs with short lives.
    async fn kills(&mut self, kills: u32, draw: &mut Draw) -> Result<()> {
        for _ in 0..kills {
            let what = What::Kill { whom: Whom::Hub, again: 0 };
            // Some live long enough for a model to get ready and work.
            let most = if draw.percent(15) { 4000 } else { 1200 };
            let (lasts, rest) = (Duration::ZERO, draw.millis(50, most));
            self.one(&Fault { what, which: draw.below(1000), lasts, rest }).await?;
            self.world.heal(&self.watch).await?;
            tokio::time::sleep(rest).await;
            self.is_stuck().await?;
        }
        Ok(())
    }

    async fn one(&mut self, fault: &Fault) -> Result<()> {
        self.faults += 1;
        self.say(&fault.to_string());
        self.world.break_it(fault, &self.watch).await
    }

    fn say(&self, what: &str) {
        let seen = &self.watch.seen;
        println!(
            "{:7.1} s  {:3}: {what}; {} acknowledged, {} ended, {} open",
            self.begun.elapsed().as_secs_f64(),
            self.faults,
            self.traffic.told.acknowledged.load(Ordering::Relaxed),
            seen.ended.load(Ordering::Relaxed),
            seen.open.load(Ordering::Relaxed),
        );
    }

    async fn is_stuck(&self) -> Result<()> {
        if self.watch.seen.still_for() < STUCK {
            return Ok(());
        }
        Err(hanging(&self.watch, "nothing ends any more").await)
    }
}

async fn hanging(watch: &Watch, what: &str) -> Box<dyn Error + Send + Sync> {
    let open = watch.view().open_requests().await.unwrap_or_else(|error| vec![error.to_string()]);
    format!("{what}:\n  {}", open.join("\n  ")).into()
}

/// Waits until every request ended (I-03); says what hangs.
async fn settle(world: &World, watch: &Watch) -> Result<Option<String>> {
    world.balancer.until_ready(world.servers.len(), START).await?;
    loop {
        if let Ok((_, 0)) = watch.view().counts().await {
            return Ok(None);
        }
        if watch.seen.still_for() > STUCK {
            return Ok(Some(hanging(watch, "requests do not end").await.to_string()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Secrets that a log holds (I-47).
fn secrets(world: &World, token: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for server in &world.servers {
        let log = fs::read_to_string(server.log())?;
        for (secret, what) in [(CANARY, "the database's password"), (token, "a token")] {
            if log.contains(secret) {
                wrong.push(format!("{} holds {what}", server.log().display()));
            }
        }
        wrong.extend(log.lines().filter(|l| l.contains("panicked")).map(str::to_owned));
    }
    Ok(wrong)
}

fn faketime() -> Option<PathBuf> {
    let triple = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    [triple.as_str(), "/usr/lib/faketime"]
        .map(|folder| Path::new(folder).join("libfaketimeMT.so.1"))
        .into_iter()
        .find(|library| library.exists())
}
