//! One hub that is killed, frozen and started again at the same address.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::processes;
use crate::Result;
use crate::hub::{self, Config, free_address};

/// How long a hub may take to end after SIGTERM: its grace is 20 s.
const STOP: Duration = Duration::from_secs(40);

pub struct Server {
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    pub folder: PathBuf,
    muster: PathBuf,
    models: PathBuf,
    database: Option<String>,
    flags: Vec<String>,
    /// libfaketime, where it is installed: the file says how far the clock is off.
    clock: Option<(PathBuf, PathBuf)>,
    child: Option<Child>,
    /// It was told to stop.
    leaving: bool,
}

impl Server {
    pub fn new(muster: &Path, models: &Path, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(folder.join("data"))?;
        Ok(Self {
            address: free_address()?,
            metrics: free_address()?,
            folder,
            muster: muster.to_owned(),
            models: models.to_owned(),
            database: None,
            flags: Vec::new(),
            clock: None,
            child: None,
            leaving: false,
        })
    }

    /// On a PostgreSQL, with objects that other servers see too.
    pub fn on(&mut self, database: String, objects: &Path) {
        self.flags = vec!["--objects-url".to_owned(), objects.display().to_string()];
        self.database = Some(database);
    }

    /// Its clock can be set from now on.
    pub fn with_clock(&mut self, library: PathBuf) -> Result<()> {
        let file = self.folder.join("clock");
        fs::write(&file, "+0\n")?;
        self.clock = Some((library, file));
        Ok(())
    }

    pub fn set_clock(&self, seconds: i64) -> Result<()> {
        if let Some((_, file)) = &self.clock {
            let part = file.with_extension("part");
            fs::write(&part, format!("{seconds:+}\n"))?;
            fs::rename(part, file)?;
        }
        Ok(())
    }

    /// `crash_at`: the point in the code at which it ends itself (debug builds).
    pub fn start(&mut self, crash_at: Option<&str>) -> Result<()> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let config = Config {
            muster: &self.muster,
            folder: &self.folder,
            models: &self.models,
            database: self.database.as_deref(),
            flags: &flags,
            env: &[],
        };
        let mut command = hub::command(&config, self.address, self.metrics);
        let log = self.log();
        command.stderr(File::options().create(true).append(true).open(log)?);
        if let Some(point) = crash_at {
            command.env("MUSTER_CRASH_AT", point);
        }
        if let Some((library, file)) = &self.clock {
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file);
            command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        self.child = Some(command.spawn()?);
        self.leaving = false;
        Ok(())
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("hub.log")
    }

    /// Where it keeps what its models need while they run.
    pub fn run_dir(&self) -> Result<PathBuf> {
        Ok(self.folder.join("data").canonicalize()?.join("run"))
    }

    /// Absent after it ended.
    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().map(|child| child.id() as i32)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.pid().map_or(Ok(()), |pid| processes::signal(pid, signal))
    }

    /// `Some` if it ended by itself.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        let ended = child.try_wait()?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended)
    }

    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM.
    pub fn leave(&mut self) -> Result<()> {
        self.leaving = true;
        self.signal(Signal::TERM)
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> Result<()> {
        // A second one would make it leave at once.
        if !self.leaving {
            self.leave()?;
        }
        let begun = Instant::now();
        while self.child.is_some() {
            if let Some(status) = self.ended()?
                && !status.success()
                // It may not listen to signals yet.
                && status.signal() != Some(Signal::TERM.as_raw())
            {
                return Err(format!("a hub that was told to stop ended with {status}").into());
            }
            if begun.elapsed() > STOP {
                return Err(format!("a hub did not stop within {STOP:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("a hub is left running: {error}");
        }
    }
}
