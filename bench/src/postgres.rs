//! A PostgreSQL of our own in a temporary folder, durable, never as root.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::Result;
use crate::hub::free_address;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);
const DURABLE: [&str; 2] = ["fsync=on", "synchronous_commit=on"];

pub struct Postgres {
    child: Child,
    pub address: SocketAddr,
    pub url: String,
    pub version: String,
    settings: Vec<String>,
    folder: tempfile::TempDir,
}

/// Whom the server runs as, when this program runs as root.
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// `settings` are `-c NAME=VALUE` beside the durable ones.
    pub async fn start(settings: &[&str]) -> Result<Self> {
        let bin = bin()?;
        let folder = tempfile::Builder::new().prefix("muster-bench-postgres-").tempdir()?;
        let user = user()?;
        if let Some(user) = &user {
            chown(folder.path(), Some(user.uid), Some(user.gid))?;
        }
        let data = folder.path().join("data");
        let mut init = as_user(&bin.join("initdb"), user.as_ref());
        init.args(["-U", "muster", "--auth", "trust", "-E", "UTF8", "--locale", "C", "-D"]);
        let made = init.arg(&data).current_dir(folder.path()).output()?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let address = free_address()?;
        let url = format!("postgres://muster@{address}/postgres");
        let settings: Vec<String> =
            DURABLE.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
        let child = serve(folder.path(), address, &settings)?;
        let mut postgres = Self { child, address, url, version: String::new(), settings, folder };
        postgres.version = postgres.answers().await?;
        for (name, want) in [("fsync", "on"), ("synchronous_commit", "on")] {
            let found = postgres.scalar(&format!("SHOW {name}")).await?;
            if found != want {
                return Err(format!("PostgreSQL has {name} {found}").into());
            }
        }
        Ok(postgres)
    }

    /// Waits until it answers; gives its version.
    async fn answers(&mut self) -> Result<String> {
        let begun = Instant::now();
        loop {
            if let Ok(version) = self.scalar("SHOW server_version").await {
                return Ok(version);
            }
            if self.child.try_wait()?.is_some() || begun.elapsed() > START {
                let log = fs::read_to_string(self.folder.path().join("log"))?;
                return Err(format!("PostgreSQL does not start: {log}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// `kill -9`; what it was asked meanwhile is lost.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// After `kill`: on the same data, at the same address.
    pub async fn restart(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.child = serve(self.folder.path(), self.address, &self.settings)?;
            match self.answers().await {
                Ok(_) => return Ok(()),
                // Processes of the one that was killed may still hold its memory.
                Err(error) if begun.elapsed() > START => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// The one text that a statement gives.
    pub async fn scalar(&self, statement: &str) -> Result<String> {
        let mut connection = PgConnection::connect(&self.url).await?;
        let statement = AssertSqlSafe(statement.to_owned());
        let found = sqlx::query_scalar(statement).fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(found)
    }

    pub async fn execute(&self, statement: &'static str) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url).await?;
        sqlx::raw_sql(statement).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(pid) = Pid::from_raw(self.child.id() as i32) else { return };
        if let Ok(None) = self.child.try_wait() {
            // INT is its fast shutdown.
            if let Err(error) = kill_process(pid, Signal::INT) {
                eprintln!("PostgreSQL cannot be stopped: {error}");
            }
        }
        let begun = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            if begun.elapsed() > STOP {
                eprintln!("PostgreSQL did not stop in time");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Starts the server on what `initdb` made.
fn serve(folder: &Path, address: SocketAddr, settings: &[String]) -> Result<Child> {
    let mut server = as_user(&bin()?.join("postgres"), user()?.as_ref());
    server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    server.args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    let log = fs::File::options().create(true).append(true).open(folder.join("log"))?;
    Ok(server.current_dir(folder).stdout(Stdio::null()).stderr(log).spawn()?)
}

/// The newest server that is installed.
fn bin() -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten() {
        let bin = entry?.path().join("bin");
        if bin.join("initdb").is_file() {
            let version = bin.parent().and_then(|dir| dir.file_name()?.to_str()?.parse().ok());
            found.push((version.unwrap_or(0_u32), bin));
        }
    }
    let newest = found.into_iter().max().map(|(_, bin)| bin);
    newest.ok_or_else(|| "PostgreSQL is not installed (Debian package postgresql)".into())
}

/// PostgreSQL refuses to run as root: `postgres`, else `nobody`.
fn user() -> Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    for name in ["postgres", "nobody"] {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name));
        let mut numbers = line.into_iter().flat_map(|line| line.split(':').skip(2));
        if let (Some(uid), Some(gid)) = (numbers.next(), numbers.next()) {
            return Ok(Some(User { uid: uid.parse()?, gid: gid.parse()? }));
        }
    }
    Err("there is no user that PostgreSQL could run as".into())
}

fn as_user(program: &Path, user: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}
