//! A model is not the hub (I-49): hostile models and builds, an honest one beside them, and the doctor.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::support::{Hub, LENGTHS, MUSTER, Output, PASSWORD, World, exists};

/// Tries what is asked, and answers what became of it.
const HOSTILE: &str = r#"
import os, signal, socket, subprocess, glob, ctypes

def read(path):
    with open(path, 'rb') as file: return file.read(64)

def write(path):
    with open(path, 'ab') as file: file.write(b'x')

def connect(host, port):
    with socket.create_connection((host, int(port)), timeout=3) as s: s.sendall(b'x')

def datagram(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: s.sendto(b'x', (host, int(port)))

def local(path):
    with socket.socket(socket.AF_UNIX) as s: s.connect(path)

def run(*words):
    subprocess.run(words, check=True, capture_output=True, timeout=20)

def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, int(pid), 0, 0): raise OSError(ctypes.get_errno(), 'ptrace')

def own():
    write(os.path.join(os.environ['TMPDIR'], 'mine'))
    read(__file__)

ACTS = {
    'read': read, 'write': write, 'list': os.listdir, 'remove': os.remove, 'connect': connect,
    'datagram': datagram, 'local': local, 'run': run, 'trace': trace, 'own': own,
    'chmod': lambda path: os.chmod(path, 0o777),
    'link': lambda path: os.link(path, os.path.join(os.environ['TMPDIR'], 'link')),
    'kill': lambda pid: os.kill(int(pid), signal.SIGKILL),
    'environment': lambda name: {}[name] if name not in os.environ else None,
    'root': lambda: os.setuid(0),
    'user': lambda: {}['root'] if os.getuid() < 60578 else None,
    'bind': lambda port: socket.socket().bind(('127.0.0.1', int(port))),
}

def predict(inputs):
    rows = []
    for text in inputs:
        act, *words = text.split(' ')
        try:
            ACTS[act](*words)
            rows.append({'was': 'done'})
        except Exception as error:
            rows.append({'was': 'refused: %s' % type(error).__name__})
    return rows
"#;

/// A hub as people run it: nothing of its folders is opened for models.
fn strict<'w>(world: &'w World, fill: impl Fn(&mut Command)) -> Hub<'w> {
    for folder in ["", "models", "models/hostile", "models/lengths"] {
        let path = world.path(folder);
        if exists(&path) {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
        }
    }
    world.hub_with(&["--config", "muster.toml"], |command| {
        command.env_remove("MUSTER_MODEL_WRITES");
        fill(command);
    })
}

/// Edits a model as the administrator ada; the status.
fn patch(hub: &Hub, model: &str, etag: &Value, patch: &str) -> String {
    let json = "Content-Type: application/json";
    let login = format!("{{\"name\": \"ada\", \"password\": \"{PASSWORD}\"}}");
    let url = format!("{}/api/v1/session", hub.url());
    let session = Output::of(hub.world.curl(&["-s", &url, "-H", json, "-d", &login])).json();
    let token = format!("Authorization: Bearer {}", session["token"].as_str().expect("a token"));
    let matches = format!("If-Match: {}", etag.as_str().expect("an etag"));
    let url = format!("{}/api/v1/catalogue/{model}", hub.url());
    let words = ["-s", "-o", "patched", "-w", "%{http_code}", "-X", "PATCH", &url];
    let head = ["-H", json, "-H", &token, "-H", &matches, "-d", patch];
    Output::of(hub.world.curl(&[&words[..], &head].concat())).text
}

fn answers(hub: &Hub, model: &str, inputs: &[String]) -> Vec<(String, String)> {
    let mut arguments = vec!["run", model, "--no-cache", "--json"];
    for input in inputs {
        arguments.extend(["--input", input]);
    }
    let said = hub.good(&arguments).json();
    let rows = said["result"].as_array().or(said.as_array()).cloned().unwrap_or_default();
    assert_eq!(rows.len(), inputs.len(), "{said}");
    let was = |row: &Value| row["was"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
    inputs.iter().cloned().zip(rows.iter().map(was)).collect()
}

#[test]
fn a_hostile_model_reaches_nothing_of_the_hub_and_an_honest_one_beside_it_works() {
    let settings = "cache = false\n[limits]\nbatch_size = 100\n";
    let world = World::new(&[("hostile", settings, HOSTILE), ("lengths", "", LENGTHS)]);
    world.write("muster.toml", "model_variables = ['LANG']\n# canary\n");
    let hub = strict(&world, |_| {});
    let before = hub.good(&["run", "lengths", "--input", "abc"]).text;
    // Where other models write, and what the hub keeps.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let hub_port = hub.address.rsplit(':').next().expect("a port").to_owned();
    let (root, pid) = (world.path("").display().to_string(), hub.child.id());
    let root = root.trim_end_matches('/');
    let sockets = fs::read_dir(world.path("data/run")).expect("a folder");
    let socket = sockets.map(|entry| entry.expect("an entry").path());
    let socket = socket.into_iter().find(|path| path.extension().is_some_and(|e| e == "sock"));
    let socket = socket.expect("the other model's socket").display().to_string();
    let mut acts: Vec<String> = [
        "read ROOT/data/muster.db",
        "write ROOT/data/muster.db",
        "remove ROOT/data/muster.db",
        "chmod ROOT/data/muster.db",
        "chmod ROOT/data",
        "link ROOT/data/muster.db",
        "list ROOT/data",
        "list ROOT/data/objects",
        "list ROOT/data/scratch",
        "list ROOT/data/run",
        "write ROOT/data/run/lock",
        "read ROOT/muster.toml",
        "list ROOT/models",
        "read ROOT/models/lengths/predict.py",
        "write ROOT/models/lengths/predict.py",
        "write ROOT/models/hostile/predict.py",
        "write ROOT/models/hostile/new",
        "chmod ROOT/models/hostile/predict.py",
        "list ROOT/home",
        "write ROOT/new",
        "write /etc/passwd",
        "write /usr/lib/x",
        "read /etc/shadow",
        "environment MUSTER_DATABASE_URL",
        "root",
        "bind 0",
        "run unshare --user --map-root-user true",
        "run mount -t tmpfs none /mnt",
        "connect 1.1.1.1 53",
        "datagram 1.1.1.1 53",
    ]
    .map(|act| act.replace("ROOT", root))
    .into();
    acts.extend([
        format!("local {socket}"),
        format!("connect 127.0.0.1 {port}"),
        format!("connect 127.0.0.1 {hub_port}"),
        format!("kill {pid}"),
        format!("trace {pid}"),
        format!("read /proc/{pid}/environ"),
        format!("read /proc/{pid}/mem"),
        format!("list /proc/{pid}/fd"),
        "read /proc/1/environ".to_owned(),
        "kill 1".to_owned(),
    ]);
    for (act, was) in answers(&hub, "hostile", &acts) {
        assert!(was.starts_with("refused"), "{act}: {was}");
    }
    // It is walled in, not broken; and all of the above would have gone well outside.
    let mut own = vec!["own".to_owned()];
    own.extend(rustix::process::geteuid().is_root().then(|| "user".to_owned()));
    for (act, was) in answers(&hub, "hostile", &own) {
        assert_eq!(was, "done", "{act}");
    }
    assert_eq!(hub.good(&["run", "lengths", "--input", "abc"]).text, before);
    assert!(hub.good(&["run", "lengths", "--no-cache", "--input", "abcd"]).text.contains('4'));
    let mode = fs::metadata(world.path("data")).expect("it is there").permissions().mode();
    assert_ne!(mode & 0o777, 0o777);
    drop((listener, hub));

    // The same acts find their targets when there are no walls: the test can fail.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let hub = strict(&world, |command| {
        command.env("MUSTER_MODEL_WALLS", "false");
    });
    let open = [
        format!("read {root}/data/muster.db"),
        format!("read {root}/models/lengths/predict.py"),
        format!("write {root}/new"),
        format!("connect 127.0.0.1 {port}"),
    ];
    for (act, was) in answers(&hub, "hostile", &open) {
        assert_eq!(was, "done", "{act}");
    }
    assert!(world.read("log").contains("model_walls is false"));
}

#[test]
fn a_model_without_a_network_is_told_so_and_its_folder_or_an_administrator_gives_it_one() {
    let body = "import urllib.request\n\
        def predict(inputs):\n\
        \x20   for url in inputs: urllib.request.urlopen(url, timeout=5).read()\n\
        \x20   return [{'was': 'done'} for _ in inputs]\n";
    let settings = "cache = false\n[limits]\nmax_attempts = 1\nidle_seconds = 1\n";
    let open = format!("network = 'all'\n{settings}");
    let world = World::new(&[("calls", settings, body), ("open", &open, body)]);
    world.create_admin("ada");
    let hub = world.hub();
    let url = format!("{}/livez", hub.url());
    hub.good(&["run", "open", "--input", &url]);
    let refused = hub.muster(&["run", "calls", "--input", &url]);
    refused.fails(1, &["runs without a network", "network = \"all\""]);

    let text = format!("{}\n", PASSWORD);
    world.write("password", text);
    hub.good(&["login", "ada", "--password-file", "password"]);
    let entry = |hub: &Hub| {
        let all = hub.good(&["models", "--all", "--json"]).json();
        let all = all["items"].as_array().or(all.as_array()).cloned().expect("a list");
        all.into_iter().find(|model| model["id"] == "calls").expect("it is there")
    };
    let seen = entry(&hub);
    assert_eq!(seen["network"], "none");
    assert_eq!(patch(&hub, "calls", &seen["etag"], "{\"network\": \"all\"}"), "200");
    assert_eq!(entry(&hub)["network"], "all");
    assert_eq!(patch(&hub, "calls", &entry(&hub)["etag"], "{\"network\": \"some\"}"), "422");
    // The instance that runs keeps what it has.
    world.until_no_model_process();
    hub.good(&["run", "calls", "--input", &url]);
}

#[test]
fn a_model_writes_into_its_scratch_folder_which_goes_with_it_and_is_told_when_it_writes_elsewhere()
{
    let body = "import os, tempfile\n\
        def predict(inputs):\n\
        \x20   if 'beside' in inputs: open('notes.txt', 'w').write('x')\n\
        \x20   with open(os.path.expanduser('~/kept'), 'a') as kept: kept.write('x')\n\
        \x20   with tempfile.NamedTemporaryFile() as file: file.write(b'x')\n\
        \x20   return [{'n': os.path.getsize(os.path.expanduser('~/kept'))} for _ in inputs]\n";
    let world = World::new(&[("hostile", "cache = false\n[limits]\nmax_attempts = 1\n", body)]);
    world.write("muster.toml", "");
    let mut hub = strict(&world, |_| {});
    for n in ["1", "2"] {
        assert!(hub.good(&["run", "hostile", "--input", "x"]).text.contains(n));
    }
    let wrong = hub.muster(&["run", "hostile", "--input", "beside"]);
    wrong.fails(1, &["only into its scratch folder", "TMPDIR", "model_writes"]);
    assert!(!exists(&world.path("models/hostile/notes.txt")));
    let scratches = || fs::read_dir(world.path("data/scratch")).expect("a folder").count();
    assert_eq!(scratches(), 1);
    hub.terminate();
    hub.until_ended();
    assert_eq!(scratches(), 0);
}

#[test]
fn a_model_cannot_have_the_hub_read_what_it_may_not() {
    let run = "case \"$(tail -n 1 \"$2\")\" in\n\
        link) ln -s \"$SECRET\" \"$3\" ;;\n\
        fifo) mkfifo \"$3\" ;;\n\
        *) printf 'n\\n1\\n' > \"$3\" ;;\n\
        esac\n";
    let world = World::new(&[]);
    world.write("models/hostile/model/framework/run.sh", run);
    world.write("secret.csv", "n\nsecret\n");
    world.write("muster.toml", "");
    let secret = world.path("secret.csv").display().to_string();
    let hub = strict(&world, |command| {
        command.env("MUSTER_MODEL_VARIABLES", "SECRET").env("SECRET", &secret);
    });
    hub.good(&["run", "hostile", "--input", "good"]);
    for act in ["link", "fifo"] {
        let output = hub.muster(&["run", "hostile", "--no-cache", "--input", act]);
        assert_ne!(output.code, 0, "{act}: {output:?}");
        assert!(
            !output.text.contains("secret") && output.error.contains("its output"),
            "{output:?}"
        );
    }
}

#[test]
fn whoever_builds_an_environment_writes_only_there() {
    let world = World::new(&[("lengths", "requirements = 'needs.txt'\n", LENGTHS)]);
    world.write("models/lengths/needs.txt", "./package\n");
    let setup = format!(
        "import os, setuptools\n\
         for path in ['{root}/outside', '{root}/models/lengths/predict.py', '/usr/outside']:\n\
         \x20   try: open(path, 'a').write('x')\n\
         \x20   except OSError: continue\n\
         \x20   raise SystemExit('wrote ' + path)\n\
         for path in ['{root}/data/muster.db', '{root}/models/other/model.toml']:\n\
         \x20   try: open(path).read(1)\n\
         \x20   except OSError: continue\n\
         \x20   raise SystemExit('read ' + path)\n\
         setuptools.setup(name='package', version='1', py_modules=['package'])\n",
        root = world.path("").display().to_string().trim_end_matches('/')
    );
    world.write("models/lengths/package/setup.py", setup);
    world.write("models/lengths/package/package.py", "x = 1\n");
    world.write("models/other/model.toml", "kind = 'python'\n");
    world.write("muster.toml", "");
    let hub = strict(&world, |command| {
        for name in ["PIP_FIND_LINKS", "PIP_CERT"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        for name in ["PIP_NO_INDEX", "PIP_INDEX_URL"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
    });
    // As long as a build takes on a busy machine.
    let mut run = Command::new(MUSTER);
    run.args(["run", "lengths", "--input", "abc", "--hub", &hub.url()]);
    world.at_home(&mut run);
    let built = Output::of(run);
    assert_eq!(built.code, 0, "{built:?}");
    assert!(!exists(&world.path("outside")));
}

#[test]
fn check_by_hand_finds_what_a_hub_will_refuse() {
    let body = "open('beside', 'w')\ndef predict(inputs): return [{'n': 1} for _ in inputs]\n";
    let world = World::new(&[("hostile", "example = ['a']\n", body)]);
    let check = ["model", "check", "models/hostile"];
    let refused = world.muster(&check);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.text.contains("only into its scratch folder"), "{refused:?}");
    let open = world.muster(&[&check[..], &["--no-walls"]].concat());
    assert_eq!(open.code, 0, "{open:?}");
}

#[test]
fn the_doctor_says_what_holds_and_what_is_broken() {
    let world = World::new(&[]);
    let doctor =
        |more: &[&str]| world.muster(&[&["doctor", "--data-dir", "data", "--json"], more].concat());
    let find = |said: &Value, name: &str| {
        let checks = said["checks"].as_array().expect("a list");
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no {name}: {said}"))["state"]
            .as_str()
            .expect("it")
            .to_owned()
    };
    // Before the first start nothing is there, and nothing is broken or made.
    let before = doctor(&[]);
    assert_eq!((before.code, find(&before.json(), "database")), (0, "note".to_owned()));
    assert!(!exists(&world.path("data")));

    let hub = world.hub();
    let private = |mode| fs::Permissions::from_mode(mode);
    let database = world.path("data/muster.db");
    fs::set_permissions(&database, private(0o644)).expect("its mode");
    assert_eq!(find(&doctor(&[]).json(), "data folder"), "note");
    fs::set_permissions(&database, private(0o600)).expect("its mode");
    let good = doctor(&[]);
    assert_eq!(good.code, 0, "{good:?}");
    for name in ["data folder", "database", "clock", "objects", "disk", "wall: files", "machine"] {
        assert_eq!(find(&good.json(), name), "good", "{good:?}");
    }
    let table = world.muster(&["doctor", "--data-dir", "data"]);
    assert!(table.text.contains("SQLite 3.") && table.text.contains("wall: network"), "{table:?}");
    drop(hub);

    fs::write(world.path("data/muster.db"), "this is no database, whatever it is called")
        .expect("it");
    for gone in ["data/muster.db-wal", "data/muster.db-shm"] {
        drop(fs::remove_file(world.path(gone)));
    }
    let broken = doctor(&[]);
    assert_eq!((broken.code, find(&broken.json(), "database")), (1, "broken".to_owned()));
    let objects = doctor(&["--objects-url", "/proc/objects"]);
    assert_eq!((objects.code, find(&objects.json(), "objects")), (1, "broken".to_owned()));
    let mut open = world.command(&["doctor", "--data-dir", "data", "--json"]);
    open.env("MUSTER_MODEL_WALLS", "false");
    assert_eq!(find(&Output::of(open).json(), "walls"), "note");
    world.muster(&["doctor", "--log-format", "xml"]).fails(2, &["log.format"]);
}

#[test]
fn the_doctor_says_what_instances_may_have_of_the_machine() {
    let world = World::new(&[]);
    let smi = "#!/bin/sh
case $1 in
-L) ;;
--query-compute-apps*) echo 'GPU-a, 1' ;;
*) echo '0, GPU-a, NVIDIA H100, 81559 MiB' ;;
esac
";
    world.write("bin/nvidia-smi", smi);
    fs::set_permissions(world.path("bin/nvidia-smi"), fs::Permissions::from_mode(0o755))
        .expect("its mode");
    let doctor = |settings: &[(&str, &str)]| {
        let mut command = world.command(&["doctor", "--data-dir", "data", "--json"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
        command.envs(settings.iter().copied());
        let said = Output::of(command);
        let checks = said.json()["checks"].as_array().expect("a list").clone();
        let machine = checks.into_iter().find(|check| check["name"] == "machine").expect("it");
        (said.code, machine["what"].as_str().expect("words").to_owned())
    };
    let (code, what) = doctor(&[]);
    assert!(
        code == 0 && what.ends_with("instances, 1 x NVIDIA H100 (1 used by other programs)"),
        "{what}"
    );
    let (_, what) = doctor(&[("MUSTER_LOCAL_GPUS", "GPU-b")]);
    assert!(what.ends_with("no GPUs"), "{what}");
    let (code, what) = doctor(&[("MUSTER_LOCAL_RESERVE_MEMORY", "4000000GiB")]);
    assert!(code == 1 && what.contains("local.reserve_memory leaves nothing"), "{what}");
    let mut wrong = world.command(&["doctor"]);
    wrong.env("MUSTER_LOCAL_GPUS", "0");
    Output::of(wrong).fails(2, &["local.gpus", "nvidia-smi -L"]);
}

/// A variable of the hub's that an operator adds is not what a model sees of GPUs.
#[test]
fn a_model_that_asked_for_no_gpu_sees_none() {
    const SEES: &str = "\
import os
def predict(inputs):
    return [{'gpus': 'sees:' + os.environ['CUDA_VISIBLE_DEVICES'], 'order': os.environ['CUDA_DEVICE_ORDER']}
            for _ in inputs]
";
    let world = World::new(&[("sees", "", SEES)]);
    let hub = world.hub_with(&[], |command| {
        command
            .env("CUDA_VISIBLE_DEVICES", "0,1")
            .env("MUSTER_MODEL_VARIABLES", "CUDA_VISIBLE_DEVICES");
    });
    let run = hub.good(&["run", "sees", "--input", "a", "--quiet"]);
    assert_eq!(run.text, "input,gpus,order\na,sees:,PCI_BUS_ID\n");
}

#[test]
fn the_doctor_knows_postgresql_and_its_clock() {
    let cluster = Cluster::open("doctor");
    let world = World::new(&[]);
    let mut doctor = world.command(&["doctor", "--data-dir", "data", "--json"]);
    doctor.env("MUSTER_DATABASE_URL", cluster.url("postgres"));
    let said = Output::of(doctor);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.text.contains("PostgreSQL 1") && said.text.contains("s from this machine"),
        "{said:?}"
    );
    let mut away = world.command(&["doctor", "--data-dir", "data", "--json"]);
    away.env("MUSTER_DATABASE_URL", "postgres://hub:canary@127.0.0.1:1/x");
    let said = Output::of(away);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(!said.text.contains("canary") && !said.error.contains("canary"));
}
