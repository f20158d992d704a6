//! A hub in a folder of its own, and commands against it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const MUSTER: &str = env!("CARGO_BIN_EXE_muster");
/// Longest time that anything in these tests may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The length of every text.
pub const LENGTHS: &str =
    "def predict(inputs):\n    return [{'length': len(text)} for text in inputs]\n";

/// Works as long as it is let.
pub const ENDLESS: &str = "import time\ndef predict(inputs):\n    time.sleep(600)\n";

/// The password of every account.
pub const PASSWORD: &str = "tangible orchard 42 sings";

/// A place for one test: home, models, data, files.
pub struct World {
    root: TempDir,
}

impl World {
    /// With these python models: id, additions to model.toml, predict.py.
    pub fn new(models: &[(&str, &str, &str)]) -> Self {
        let world = Self { root: tempfile::tempdir().expect("a folder") };
        fs::create_dir(world.path("models")).expect("a folder");
        fs::create_dir(world.path("home")).expect("a folder");
        // The models of tests write beside themselves, whoever they run as; see `at_home`.
        open_to_all(&world.path("models"));
        for (id, settings, body) in models {
            world.model(id, settings, body);
        }
        world
    }

    pub fn model(&self, id: &str, settings: &str, body: &str) {
        let description = format!("kind = 'python'\n{settings}\n");
        self.write(&format!("models/{id}/model.toml"), description);
        self.write(&format!("models/{id}/predict.py"), body);
        open_to_all(&self.path(&format!("models/{id}")));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The binary in this place, with nothing of our environment but where programs are. It is
    /// ended if it takes too long.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "60", MUSTER]).args(arguments);
        self.at_home(&mut command);
        command
    }

    pub fn at_home(&self, command: &mut Command) {
        command.env_clear().env("PATH", std::env::var_os("PATH").expect("a path"));
        command.env("HOME", self.path("home")).current_dir(self.root.path());
        let root = self.root.path().display();
        command.env("MUSTER_MODEL_WRITES", format!("{root}/models"));
    }

    pub fn muster(&self, arguments: &[&str]) -> Output {
        Output::of(self.command(arguments))
    }

    /// Makes an administrator with `PASSWORD`, or with what the file `password` has already.
    pub fn create_admin(&self, name: &str) -> Output {
        self.create_admin_with(name, |_| {})
    }

    pub fn create_admin_with(&self, name: &str, fill: impl Fn(&mut Command)) -> Output {
        if !exists(&self.path("password")) {
            self.write("password", format!("{PASSWORD}\n"));
        }
        let email = format!("{name}@example.org");
        let flags = ["--email", &email, "--data-dir", "data", "--password-file", "password"];
        let mut create = self.command(&[&["admin", "create", name], &flags[..]].concat());
        fill(&mut create);
        Output::of(create)
    }

    /// `curl` in this place.
    pub fn curl(&self, arguments: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        curl.args(arguments);
        self.at_home(&mut curl);
        curl
    }

    /// Starts a hub at a free port and waits until it is ready.
    pub fn hub(&self) -> Hub<'_> {
        self.hub_with(&[], |_| {})
    }

    pub fn hub_with(&self, arguments: &[&str], fill: impl Fn(&mut Command)) -> Hub<'_> {
        self.hub_at("127.0.0.1:0", arguments, fill)
    }

    /// The next hub where one was that ended.
    pub fn hub_after(&self, ended: &Hub) -> Hub<'_> {
        self.hub_after_with(ended, &[], |_| {})
    }

    pub fn hub_after_with(
        &self,
        ended: &Hub,
        arguments: &[&str],
        fill: impl Fn(&mut Command),
    ) -> Hub<'_> {
        self.hub_at(&ended.address, arguments, fill)
    }

    fn hub_at(&self, listen: &str, arguments: &[&str], fill: impl Fn(&mut Command)) -> Hub<'_> {
        drop(fs::remove_file(self.path("port")));
        let log = File::options().append(true).create(true).open(self.path("log")).expect("a log");
        let mut command = Command::new(MUSTER);
        command.args(["serve", "--data-dir", "data", "--models", "models", "--port-file", "port"]);
        command.args(["--listen", listen]).args(arguments);
        self.at_home(&mut command);
        fill(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let begun = Instant::now();
        let child = command.spawn().expect("the binary");
        let mut hub = Hub { world: self, child, address: String::new(), ready: Duration::ZERO };
        until("the hub is ready", || {
            hub.address = self.read("port").trim().to_owned();
            let ended = hub.child.try_wait().expect("a child");
            assert_eq!(ended, None, "the hub ended: {}", self.read("log"));
            !hub.address.is_empty()
        });
        hub.ready = begun.elapsed();
        hub
    }

    /// Processes that were started for the models of this place's hubs, by what they run.
    pub fn model_processes(&self) -> Vec<(i32, String)> {
        let run = self.path("data/run").canonicalize().unwrap_or_default();
        let variable = format!("MUSTER_RUN={}", run.display());
        let of_ours = |pid: i32| muster_cluster::proc::was_started_with(pid, variable.as_bytes());
        let all = muster_cluster::proc::all().into_iter().filter(|process| !process.zombie);
        let words = |pid: i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).replace('\0', " ")
        };
        all.filter(|process| of_ours(process.pid))
            .map(|process| (process.pid, words(process.pid)))
            .collect()
    }

    pub fn until_no_model_process(&self) {
        until("all processes of models are gone", || self.model_processes().is_empty());
    }
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("its mode");
}

/// A running hub.
pub struct Hub<'w> {
    pub world: &'w World,
    pub child: Child,
    pub address: String,
    /// How long it took to be ready.
    pub ready: Duration,
}

impl Hub<'_> {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(arguments);
        command.env("MUSTER_HUB", self.url());
        command
    }

    pub fn muster(&self, arguments: &[&str]) -> Output {
        Output::of(self.command(arguments))
    }

    /// A command that goes on meanwhile; what it prints is kept.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary")
    }

    /// The same, where it has to go well.
    pub fn good(&self, arguments: &[&str]) -> Output {
        let output = self.muster(arguments);
        assert_eq!(output.code, 0, "{arguments:?}: {output:?}\n{}", self.world.read("log"));
        output
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }

    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    }

    pub fn until_ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the hub ended", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Hub<'_> {
    fn drop(&mut self) {
        // It may have ended already; its models end with it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub out: Vec<u8>,
    pub text: String,
    pub error: String,
}

impl Output {
    pub fn of(mut command: Command) -> Self {
        Self::from(command.stdin(Stdio::null()).output().expect("the binary"))
    }

    pub fn from(output: std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            text: text(&output.stdout),
            error: text(&output.stderr),
            out: output.stdout,
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Fails with this code and says all of this on standard error.
    pub fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.error.contains(word), "{word:?} is not said: {self:?}");
        }
    }
}

/// Ends a command that goes on.
pub fn end(mut command: Child) {
    let pid = rustix::process::Pid::from_child(&command);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    command.wait().expect("it ends");
}

/// Looks until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The cells of a CSV file without quotes.
pub fn cells(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

pub fn lives(pid: i32) -> bool {
    muster_cluster::proc::find(pid).is_some_and(|process| !process.zombie)
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
