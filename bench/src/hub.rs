//! The hub under test, as a process of its own, and what the kernel says of it.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::load::client::{Client, Extra};

const QUOTAS: [&str; 8] = [
    "WAITING_REQUESTS",
    "WAITING_INPUTS",
    "DAY_INPUTS",
    "BYTES",
    "ANONYMOUS_WAITING_REQUESTS",
    "ANONYMOUS_WAITING_INPUTS",
    "ANONYMOUS_DAY_INPUTS",
    "ANONYMOUS_BYTES",
];
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(40);
/// Units of `/proc/PID/stat` in a second, on every Linux.
const TICKS: f64 = 100.0;

/// How to start a hub.
pub struct Config<'c> {
    pub muster: &'c Path,
    /// Database, objects and log.
    pub folder: &'c Path,
    pub models: &'c Path,
    /// `postgres://..`; SQLite without.
    pub database: Option<&'c str>,
    pub flags: &'c [&'c str],
    /// Beside those that every hub here gets.
    pub env: &'c [(&'c str, &'c str)],
}

pub struct Hub {
    child: Child,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    pub data: PathBuf,
    database: Option<String>,
}

impl Hub {
    pub async fn start(config: &Config<'_>) -> Result<Self> {
        let data = config.folder.join("data");
        fs::create_dir_all(&data)?;
        let (port_file, metrics) = (config.folder.join("port"), free_address()?);
        if port_file.exists() {
            fs::remove_file(&port_file)?;
        }
        let mut command = command(config, SocketAddr::from(([127, 0, 0, 1], 0)), metrics);
        command.arg("--port-file").arg(&port_file);
        command.stderr(File::create(config.folder.join("hub.log"))?);
        let (child, address) = (command.spawn()?, SocketAddr::from(([127, 0, 0, 1], 0)));
        let database = config.database.map(str::to_owned);
        let mut hub = Self { child, address, metrics, data, database };
        match address_in(&port_file, &mut hub.child, START).await {
            Ok(address) => hub.address = address,
            Err(error) => {
                let log = fs::read_to_string(config.folder.join("hub.log"))?;
                return Err(format!("the hub: {error}: {log}").into());
            }
        }
        Ok(hub)
    }

    pub fn client(&self) -> Result<Client> {
        Client::new(self.address)
    }

    /// What the checker opens once the hub has stopped.
    pub fn database(&self) -> String {
        let file = || format!("sqlite:{}", self.data.join("muster.db").display());
        self.database.clone().unwrap_or_else(file)
    }

    pub fn objects(&self) -> PathBuf {
        self.data.join("objects")
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > STOP {
                return Err("the hub did not stop in time".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn terminate(&mut self) -> Result<()> {
        // Not waited for yet, so the number is still its own.
        if self.child.try_wait()?.is_none()
            && let Some(pid) = Pid::from_raw(self.child.id() as i32)
        {
            kill_process(pid, Signal::TERM)?;
        }
        Ok(())
    }

    /// A line of `/proc/PID/status` in MiB, such as `VmHWM`.
    pub fn memory_mib(&self, line: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
        let kib = found.and_then(|text| text.trim().strip_suffix(" kB"));
        let kib: f64 = kib.ok_or("no such line in /proc/PID/status")?.trim().parse()?;
        Ok(kib / 1024.0)
    }

    /// Processor time of the hub's own process so far, seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?.1;
        let ticks = |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse().ok());
        let (user, system): (f64, f64) = (ticks(11).unwrap_or(0.0), ticks(12).unwrap_or(0.0));
        Ok((user + system) / TICKS)
    }

    /// One figure of `/metrics`.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        metric(self.metrics, name).await
    }

    /// Waits until so many instances of `model` are ready.
    pub async fn ready(&self, model: &str, instances: u64) -> Result<()> {
        let name = format!("muster_instances{{model=\"{model}\",state=\"ready\"}}");
        let begun = Instant::now();
        while self.metric(&name).await.unwrap_or(0.0) < instances as f64 {
            if begun.elapsed() > START {
                return Err(format!("{model} did not get ready in time").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // After an error: its models end with it.
        if let Ok(None) = self.child.try_wait()
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("the hub is left running: {error}");
        }
    }
}

/// One figure of the `/metrics` at `address`.
pub async fn metric(address: SocketAddr, name: &str) -> Result<f64> {
    let mut client = Client::new(address)?;
    let answer = client.send(Method::GET, "/metrics", Extra::default()).await?;
    let text = String::from_utf8_lossy(&answer.body);
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(found.ok_or_else(|| format!("there is no metric {name}"))?.trim().parse()?)
}

/// `muster serve` as `config` says; its standard error is the caller's.
pub fn command(config: &Config<'_>, listen: SocketAddr, metrics: SocketAddr) -> Command {
    let mut command = Command::new(config.muster);
    command
        .args(["serve", "--listen", &listen.to_string(), "--metrics", &metrics.to_string()])
        .arg("--data-dir")
        .arg(config.folder.join("data"))
        .arg("--models")
        .arg(config.models)
        .args(config.flags)
        // A few sessions send what a hub gets from many people.
        .envs(QUOTAS.map(|name| (format!("MUSTER_QUOTAS_{name}"), "1000000000000")))
        .env("MUSTER_QUOTAS_NETWORK_SESSIONS", "1000000")
        // What a case wrote as the past stays, unless it is what the case is about.
        .env("MUSTER_CLEARING_EVERY", "0")
        .envs(config.env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some(url) = config.database {
        command.env("MUSTER_DATABASE_URL", url);
    }
    // Trivial models note there what they are sent.
    let beside = config.models.parent().and_then(|folder| folder.read_dir().ok());
    let files = beside.into_iter().flatten().flatten().map(|entry| entry.path());
    let logs = files.filter(|file| file.extension().is_some_and(|end| end == "jsonl"));
    let logs: Vec<String> = logs.map(|file| file.display().to_string()).collect();
    if !logs.is_empty() {
        command.env("MUSTER_MODEL_WRITES", logs.join(","));
    }
    command
}

/// The address that a process writes to a file once it listens.
pub async fn address_in(file: &Path, child: &mut Child, patience: Duration) -> Result<SocketAddr> {
    let begun = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(file) {
            return Ok(text.trim().parse()?);
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("it ended ({status})").into());
        }
        if begun.elapsed() > patience {
            return Err(format!("it did not start within {patience:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
