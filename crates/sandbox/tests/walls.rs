//! The walls, tried from inside on the machine that runs the tests.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use muster_sandbox::{Sandbox, Wall, is_root, user_of};
use tempfile::TempDir;

/// A hub's folders: a model, what the hub keeps, and a scratch folder.
struct Place {
    root: TempDir,
    user: Option<u32>,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        // As a container without namespaces needs it: others may pass.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.path(), open).expect("its mode");
        let user = is_root().then(|| user_of("model"));
        for folder in ["model", "data/scratch"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        fs::write(root.path().join("model/weights"), "weights").expect("a file");
        fs::write(root.path().join("data/secret"), "secret").expect("a file");
        chown(root.path().join("data/scratch"), user, user).expect("its owner");
        Self { root, user }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn sandbox(&self) -> Sandbox {
        Sandbox {
            read: vec![self.path("model")],
            hidden: vec![self.path("data")],
            scratch: self.path("data/scratch"),
            user: self.user,
            ..Sandbox::default()
        }
    }

    /// What a shell says inside, and whether it went well.
    fn inside(&self, sandbox: Sandbox, script: &str) -> (bool, String) {
        let script = script.replace("ROOT", &self.root.path().display().to_string());
        let output = std::thread::spawn(move || {
            let entered = sandbox.enter().expect("the walls");
            assert_eq!(entered.user, sandbox.user, "{entered:?}");
            Command::new("bash").args(["-c", &script]).env("TMPDIR", &sandbox.scratch).output()
        });
        let output = output.join().expect("no panic").expect("bash runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    }

    /// Do mounts wall it in as well? What only they keep is not asked of Landlock.
    fn has_view(&self) -> bool {
        let sandbox = self.sandbox();
        let entered = std::thread::spawn(move || sandbox.enter().expect("the walls"));
        let walls = entered.join().expect("no panic").walls;
        let files = walls.iter().find(|wall| wall.name == "files").expect("a wall");
        assert!(files.holds, "{files:?}");
        files.how.starts_with("a view")
    }

    fn works(&self, script: &str) -> String {
        let (good, text) = self.inside(self.sandbox(), script);
        assert!(good, "{script}: {text}");
        text
    }

    fn refused(&self, script: &str) {
        let (good, text) = self.inside(self.sandbox(), script);
        assert!(!good, "{script} went well: {text}");
    }
}

#[test]
fn code_inside_reads_its_folder_and_writes_its_scratch_and_nothing_else() {
    let place = Place::new();
    assert_eq!(place.works("cat ROOT/model/weights"), "weights");
    place.works("echo x > ROOT/data/scratch/out && mkdir $TMPDIR/a && mv $TMPDIR/out $TMPDIR/a");
    assert_eq!(fs::read_to_string(place.path("data/scratch/a/out")).expect("it is there"), "x\n");
    place.works("cat /etc/passwd /proc/self/status /proc/cpuinfo > /dev/null; ls /usr > /dev/null");
    place.works("echo x > /dev/shm/x; head -c 8 /dev/urandom > $TMPDIR/random");
    for script in [
        "cat ROOT/data/secret",
        "ls ROOT/data",
        "echo x > ROOT/model/weights",
        "echo x > ROOT/model/new",
        "echo x > ROOT/data/new",
        "echo x > /etc/muster-was-here",
        "echo x > /usr/muster-was-here",
        "ln ROOT/data/secret $TMPDIR/secret",
        "ln -s ROOT/data/secret $TMPDIR/link; cat $TMPDIR/link",
        "mount -t tmpfs none $TMPDIR",
        "cat /proc/1/environ",
        "cat /etc/shadow",
    ] {
        place.refused(script);
    }
    // The owner of a file may change its mode: a user of its own is none, a view is read-only.
    if place.user.is_some() || place.has_view() {
        place.refused("chmod 777 ROOT/model/weights");
        place.refused("chmod 777 ROOT/data");
    }
    let mode = fs::metadata(place.path("data")).expect("it is there").permissions().mode();
    assert_ne!(mode & 0o777, 0o777);
    let weights = fs::read_to_string(place.path("model/weights")).expect("it is there");
    assert_eq!(weights, "weights");
}

#[test]
fn code_inside_has_no_privileges_and_the_user_it_was_given() {
    let place = Place::new();
    let status = place.works("cat /proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    if let Some(user) = place.user {
        assert_eq!(field("Uid:"), vec![user.to_string(); 4]);
        assert_eq!(field("Groups:"), Vec::<String>::new());
    }
    // The thread was walled in, not the process.
    assert!(fs::read(place.path("data/secret")).is_ok());
    assert_eq!(is_root(), place.user.is_some());
}

#[test]
fn without_a_network_nobody_is_reached_and_with_one_the_same_call_goes_well() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let call = format!("echo x > /dev/tcp/127.0.0.1/{port}");
    place.refused(&call);
    let (good, text) = place.inside(Sandbox { network: true, ..place.sandbox() }, &call);
    assert!(good, "{text}");
    if !place.has_view() {
        return;
    }
    // Neither is a socket in the file system.
    let socket = UnixListener::bind(place.path("data/socket")).expect("a socket");
    let path = place.path("data/socket");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("its mode");
    let connect = "import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    place.refused(&format!("exec -a x python3 -c '{connect}' {}", path.display()));
    drop((socket, listener));
}

#[test]
fn the_walls_that_hold_are_told_and_cost_less_than_a_start_may() {
    let walls: Vec<Wall> =
        muster_sandbox::probe(Place::new().path("data/scratch")).expect("they can be tried");
    let names: Vec<&str> = walls.iter().map(|wall| wall.name.as_str()).collect();
    assert_eq!(names, ["files", "processes", "network", "user"], "{walls:?}");
    let place = Place::new();
    let mut took: Vec<Duration> = (0..20)
        .map(|_| {
            let sandbox = place.sandbox();
            let enter = move || {
                let before = processor_time();
                sandbox.enter().expect("the walls");
                processor_time() - before
            };
            std::thread::spawn(enter).join().expect("no panic")
        })
        .collect();
    took.sort();
    println!("walls: {walls:#?}\nprocessor time: least {:?}, median {:?}", took[0], took[10]);
    // Of a build without optimisation, beside whatever else this machine does.
    assert!(took[0] < Duration::from_millis(2), "{took:?}");
}

/// Of this thread.
fn processor_time() -> Duration {
    let used = fs::read_to_string("/proc/thread-self/schedstat").expect("it is there");
    Duration::from_nanos(used.split(' ').next().expect("a number").parse().expect("a number"))
}
