//! A PostgreSQL of the tests' own: one for all tests that run at the same time, in whatever process.
//! A watchdog ends it some seconds after the last of them.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const SCRIPT: &str = include_str!("cluster.sh");

pub struct Cluster {
    folder: PathBuf,
    /// Locked as long as somebody uses the cluster.
    _users: File,
}

/// The cluster that tests share, each with a schema or a database of its own.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::open("shared"))
}

impl Cluster {
    /// Uses the cluster of this name and starts it if nobody does.
    pub fn open(name: &str) -> Self {
        let mut hash = DefaultHasher::new();
        (env!("CARGO_TARGET_TMPDIR"), name).hash(&mut hash);
        // A socket's path has to be short, and the database's user must be able to reach it.
        let folder = std::env::temp_dir().join(format!("muster-postgres-{:x}", hash.finish()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let start = lock_file(&folder, "start");
        start.lock().expect("a lock");
        let users = lock_file(&folder, "users");
        users.lock_shared().expect("a lock");
        let cluster = Self { folder, _users: users };
        if !cluster.answers() {
            cluster.script("make");
        }
        cluster.watch();
        cluster
    }

    pub fn url(&self, database: &str) -> String {
        let socket = self.folder.join("data");
        let options = format!("host={}&sslmode=disable", socket.display());
        format!("postgres://postgres@localhost/{database}?{options}")
    }

    /// What it wrote to its log about one database.
    pub fn log_of(&self, database: &str) -> Vec<String> {
        let log = std::fs::read(self.folder.join("data/log")).expect("a log");
        let log = String::from_utf8_lossy(&log).into_owned();
        let of = |line: &&str| line.split(' ').next() == Some(database);
        log.lines().filter(of).map(str::to_owned).collect()
    }

    /// Ends it at once, as a crash would.
    pub fn down(&self) {
        self.script("down");
    }

    pub fn up(&self) {
        self.script("up");
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("data/.s.PGSQL.5432")
    }

    fn answers(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.socket()).is_ok()
    }

    fn script(&self, what: &str) {
        let output = lock_file(&self.folder, &format!("output-{}", std::process::id()));
        let path = self.folder.join(format!("output-{}", std::process::id()));
        let errors = output.try_clone().expect("a file");
        let status = command(what, &self.folder).stdout(output).stderr(errors).status();
        let said = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::remove_file(path).expect("a file to remove");
        assert!(status.is_ok_and(|status| status.success()), "PostgreSQL, {what}: {said}");
    }

    /// Starts the watchdog unless there is one. It belongs to nobody and holds nobody's output.
    #[expect(clippy::zombie_processes, reason = "it outlives this process")]
    fn watch(&self) {
        let watch = lock_file(&self.folder, "watch");
        if watch.try_lock().is_err() {
            return;
        }
        drop(watch);
        let mut keep = command("keep", &self.folder);
        keep.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a watchdog");
    }
}

fn lock_file(folder: &Path, name: &str) -> File {
    let mut options = OpenOptions::new();
    options.create(true).append(true).open(folder.join(name)).expect("a file")
}

fn command(what: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "cluster.sh", what]).arg(folder);
    command.stdin(Stdio::null()).process_group(0);
    command
}
