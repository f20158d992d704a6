//! Hubs, models, wires and a database that are broken and healed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Signal;

use super::balancer::Balancer;
use super::draw::Draw;
use super::fault::{Fault, What, Whom, Wire};
use super::processes;
use super::proxy::{Proxy, Way};
use super::server::Server;
use super::watch::{Subject, Watch};
use crate::Result;
use crate::echo_server::EchoServer;
use crate::models::{Python, http, python};
use crate::postgres::Postgres;

/// A password that no log may hold (I-47).
pub const CANARY: &str = "canary-5a1f0c7e";
/// Most local instances of a model.
pub const INSTANCES: u32 = 2;
const BATCH: u32 = 50;

pub struct World {
    pub servers: Vec<Server>,
    pub balancer: Balancer,
    pub postgres: Option<Postgres>,
    pub folder: PathBuf,
    pub objects: PathBuf,
    own: PathBuf,
    /// Model servers elsewhere: one with asynchronous jobs, one without.
    echoes: Vec<Option<EchoServer>>,
    model_wires: Vec<Proxy>,
    database_wires: Vec<Proxy>,
    /// What is stopped, to be continued.
    frozen: Vec<i32>,
    straces: Vec<Child>,
}

/// A local one, and those of [`ECHOES`].
pub const MODELS: [&str; 3] = ["trivial", "echo", "plain"];

const ECHOES: [(&str, &[&str]); 2] = [("echo", &[]), ("plain", &["--no-jobs"])];

impl World {
    /// One hub on SQLite, or two on a PostgreSQL.
    pub async fn make(muster: &Path, folder: &Path, postgres: Option<Postgres>) -> Result<Self> {
        let (models, own) = (folder.join("models"), std::env::current_exe()?);
        fs::create_dir_all(&models)?;
        let log = folder.join("model.jsonl");
        let trivial =
            Python { batch: BATCH, max_instances: INSTANCES, log: Some(&log), ..Python::default() };
        python(&models, &trivial)?;
        let (mut echoes, mut model_wires) = (Vec::new(), Vec::new());
        for (name, flags) in ECHOES {
            let server = echo(&own, folder, (name, flags), "127.0.0.1:0").await?;
            let wire = Proxy::start(server.address, &["POST /run", "POST /job/submit"]).await?;
            http(&models, name, &format!("http://{}", wire.address), BATCH)?;
            echoes.push(Some(server));
            model_wires.push(wire);
        }
        let (mut servers, mut database_wires) = (Vec::new(), Vec::new());
        let number = if postgres.is_some() { 2 } else { 1 };
        let mut objects = folder.join("hub-0/data/objects");
        for n in 0..number {
            let mut server = Server::new(muster, &models, folder.join(format!("hub-{n}")))?;
            if let Some(postgres) = &postgres {
                let wire = Proxy::start(postgres.address, &["COMMIT\0"]).await?;
                objects = folder.join("objects");
                fs::create_dir_all(&objects)?;
                let url = format!("postgres://muster:{CANARY}@{}/postgres", wire.address);
                server.on(url, &objects);
                database_wires.push(wire);
            }
            servers.push(server);
        }
        let balancer = Balancer::start(servers.iter().map(|server| server.address).collect());
        Ok(Self {
            servers,
            balancer: balancer.await?,
            postgres,
            folder: folder.to_owned(),
            objects,
            own,
            echoes,
            model_wires,
            database_wires,
            frozen: Vec::new(),
            straces: Vec::new(),
        })
    }

    /// What the checker opens.
    pub fn database(&self) -> String {
        match &self.postgres {
            Some(postgres) => postgres.url.clone(),
            None => format!("sqlite:{}", self.servers[0].folder.join("data/muster.db").display()),
        }
    }

    pub fn runs(&self) -> Result<Vec<PathBuf>> {
        self.servers.iter().map(Server::run_dir).collect()
    }

    /// Starts every hub that does not run, and waits until all are ready.
    pub async fn start(&mut self, patience: Duration) -> Result<()> {
        for server in &mut self.servers {
            if server.ended()?.is_some() || server.pid().is_none() {
                server.start(None)?;
            }
        }
        self.balancer.until_ready(self.servers.len(), patience).await
    }

    pub fn watch(&self) -> Result<Watch> {
        Watch::start(Subject {
            database: self.database(),
            runs: self.runs()?,
            metrics: self.servers.iter().map(|server| server.metrics).collect(),
            most: INSTANCES as usize,
        })
    }

    pub fn server(&mut self, which: u64) -> &mut Server {
        let n = which as usize % self.servers.len();
        &mut self.servers[n]
    }

    pub async fn break_it(&mut self, fault: &Fault, watch: &Watch) -> Result<()> {
        let which = fault.which;
        watch.seen.calm.store(false, Ordering::Relaxed);
        match fault.what {
            What::Kill { whom: Whom::Hub, again } => {
                self.server(which).kill()?;
                let mut life = Draw::new(which);
                for _ in 0..again {
                    self.server(which).start(None)?;
                    tokio::time::sleep(life.millis(0, 300)).await;
                    self.server(which).kill()?;
                }
            }
            What::Kill { whom: Whom::Model, .. } => {
                if let Some(pid) = self.model_process(which)? {
                    processes::signal(pid, Signal::KILL)?;
                }
            }
            What::Kill { whom: Whom::Server, .. } => {
                let n = which as usize % self.echoes.len();
                self.echoes[n] = None;
            }
            What::Kill { whom: Whom::Postgres, .. } => {
                if let Some(postgres) = &mut self.postgres {
                    postgres.kill()?;
                }
            }
            What::Freeze { whom } => {
                let pids = self.pids(whom, which)?;
                for pid in &pids {
                    processes::signal(*pid, Signal::STOP)?;
                }
                // Beside what another fault has stopped.
                self.frozen.extend(pids);
            }
            What::Restart => self.server(which).leave()?,
            What::Cut { wire, way } => {
                let wires = match wire {
                    Wire::Database => &self.database_wires,
                    Wire::Model => &self.model_wires,
                };
                if let Some(wire) = wires.get(which as usize % wires.len().max(1)) {
                    wire.set(way);
                }
            }
            What::Clock { seconds } => self.server(which).set_clock(seconds)?,
            What::SlowDisk { millis } => {
                let micros = millis * 1000;
                self.trace(which, &format!("fsync,fdatasync:delay_enter={micros}"))?;
            }
            What::DiskErrors => self.trace(which, "fsync,fdatasync:error=EIO")?,
        }
        Ok(())
    }

    pub async fn heal(&mut self, watch: &Watch) -> Result<()> {
        for pid in std::mem::take(&mut self.frozen) {
            processes::signal(pid, Signal::CONT)?;
        }
        for wire in self.database_wires.iter().chain(&self.model_wires) {
            wire.set(Way::Open);
        }
        for mut strace in std::mem::take(&mut self.straces) {
            processes::signal(strace.id() as i32, Signal::TERM)?;
            strace.wait()?;
        }
        if let Some(postgres) = &mut self.postgres
            && postgres.has_ended()?
        {
            postgres.restart().await?;
        }
        for (n, kind) in ECHOES.into_iter().enumerate() {
            if self.echoes[n].is_none() {
                let at = self.model_wires[n].to.to_string();
                self.echoes[n] = Some(echo(&self.own, &self.folder, kind, &at).await?);
            }
        }
        for server in &mut self.servers {
            server.set_clock(0)?;
            if server.is_leaving() {
                server.stop().await?;
            }
            if let Some(status) = server.ended()? {
                // One that cannot reach its database when it starts says so and ends.
                let log = fs::read_to_string(server.log())?;
                let last = log.lines().last().unwrap_or_default().to_owned();
                watch.seen.wrong(format!("a hub ended by itself ({status}): {last}"));
            }
            if server.pid().is_none() {
                server.start(None)?;
            }
        }
        watch.seen.calm.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// One process of one instance.
    fn model_process(&self, which: u64) -> Result<Option<i32>> {
        let all = processes::of_models(&self.runs()?);
        Ok(Draw::new(which).of(&all).map(|process| process.pid))
    }

    fn pids(&mut self, whom: Whom, which: u64) -> Result<Vec<i32>> {
        Ok(match whom {
            Whom::Hub => self.server(which).pid().into_iter().collect(),
            Whom::Model => self.model_process(which)?.into_iter().collect(),
            Whom::Server => {
                let n = which as usize % self.echoes.len();
                self.echoes[n].iter().map(EchoServer::pid).collect()
            }
            Whom::Postgres => {
                let postmaster = self.postgres.as_ref().map(Postgres::pid);
                postmaster.map(processes::with_children).unwrap_or_default()
            }
        })
    }

    fn trace(&mut self, which: u64, inject: &str) -> Result<()> {
        let Some(pid) = self.server(which).pid() else { return Ok(()) };
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-o", "/dev/null", "-p", &pid.to_string()]);
        command.args(["-e", "trace=fsync,fdatasync", "-e", &format!("inject={inject}")]);
        let log = fs::File::options().create(true).append(true).open(self.folder.join("strace"))?;
        self.straces.push(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        Ok(())
    }

    /// SIGTERM to all hubs; nothing of theirs is left.
    pub async fn stop(&mut self) -> Result<()> {
        for server in &mut self.servers {
            server.stop().await?;
        }
        let left = processes::of_models(&self.runs()?);
        if left.is_empty() {
            return Ok(());
        }
        Err(format!("hubs that stopped left processes behind: {left:?}").into())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What is stopped cannot end.
        for pid in std::mem::take(&mut self.frozen) {
            drop(processes::signal(pid, Signal::CONT));
        }
        for mut strace in std::mem::take(&mut self.straces) {
            drop(processes::signal(strace.id() as i32, Signal::TERM));
            drop(strace.wait());
        }
    }
}

async fn echo(
    own: &Path,
    folder: &Path,
    (name, flags): (&str, &[&str]),
    listen: &str,
) -> Result<EchoServer> {
    let log = folder.join("model.jsonl").display().to_string();
    let own_folder = folder.join(name);
    fs::create_dir_all(&own_folder)?;
    let flags = [flags, &["--listen", listen, "--log", &log]].concat();
    EchoServer::start(own, &own_folder, &flags).await
}
