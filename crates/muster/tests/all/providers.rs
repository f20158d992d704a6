//! Nodes that a program makes and takes away: the examples of `examples/providers`, run.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cluster;
use crate::support::{Hub, MUSTER, Output, World, until};

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers").join(name)
}

/// Asks a provider as the hub does.
fn ask(world: &World, name: &str, variables: &[(&str, &str)], what: &Value) -> (i32, Value) {
    use std::io::Write;
    let mut command = Command::new(example(name));
    world.at_home(&mut command);
    command.envs(variables.iter().copied());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(what.to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    let said = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().expect("a code"), said)
}

/// Works for a second a batch, and says where.
const SLOW: &str = "
import os, time
def predict(inputs):
    time.sleep(1)
    return [{'sees': os.environ['CUDA_VISIBLE_DEVICES']} for text in inputs]
";

/// A burst makes three nodes of one, and then there is one again; each of them is a hub of its own that the
/// provider starts and stops. brief: NS-4, NS-5
#[test]
fn a_burst_goes_from_one_node_to_three_and_back() {
    let settings = "cache = false\n[resources]\ngpus = 1\n[limits]\nbatch_size = 2\n\
                    max_instances = 3\nidle_seconds = 1\n";
    let world = World::new(&[("slow", settings, SLOW)]);
    let pool = Pool::new(&world);
    let made = world.create_admin_with("root", |command| {
        command.env("MUSTER_CONFIG", &pool.config);
    });
    assert_eq!(made.code, 0, "{made:?}");
    let hub = pool.hub(None);
    let mut doctor = world.command(&["doctor", "--config", &pool.config]);
    doctor.env("POOL", &pool.pool);
    let said = Output::of(doctor).text;
    assert!(said.contains("nodes.command answers: pool has"), "{said}");
    hub.good(&["login", "root", "--password-file", "password"]);
    let size = || pool.state()["target"].as_u64().unwrap_or(0);
    until("there is one node", || size() == 1);
    let inputs: Vec<String> = (0..40).map(|n| format!("input {n}")).collect();
    let file = world.write("inputs.csv", format!("input\n{}\n", inputs.join("\n")));
    let mut most = 0;
    let mut runs: Vec<_> =
        (0..3).map(|_| hub.begin(&["run", "slow", &file, "--quiet", "--json"])).collect();
    until("they all end", || {
        most = most.max(size());
        runs.iter_mut().all(|run| run.try_wait().expect("a child").is_some())
    });
    for run in runs {
        let output = run.wait_with_output().expect("an answer");
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(most, 3, "{}", world.read("log"));
    until("there is one node again", || size() == 1);
    let all = hub.good(&["admin", "requests", "--json"]).json();
    let all = all["items"].as_array().expect("requests");
    assert_eq!(all.len(), 3);
    for request in all {
        let once = (&json!("completed"), &json!(1));
        assert_eq!((&request["phase"], &request["attempts"]), once, "{request}");
    }
    // Whoever looks at the group sees what happened.
    let groups = hub.good(&["nodes", "groups", "--json"]).json();
    let group = &groups["items"][0];
    assert_eq!((&group["target"], &group["failures"]), (&json!(1), &Value::Null), "{groups}");
}

/// The hub dies when its order stands in the books, or when the call was made and it did not hear of it: the next
/// one goes on, and one machine comes.
#[test]
fn an_order_survives_a_hub_that_dies_in_the_middle() {
    for point in ["after-order-row-before-call", "after-order-call-before-answer"] {
        let world = World::new(&[]);
        let pool = Pool::new(&world);
        let mut hub = pool.hub(Some(point));
        hub.until_ended();
        assert!(
            world.read("log").contains(&format!("crash point {point}")),
            "{}",
            world.read("log")
        );
        let called = point.starts_with("after-order-call");
        assert_eq!(pool.state()["target"].as_u64().unwrap_or(0), u64::from(called), "{point}");
        let hub = pool.hub(None);
        until("there is one node", || {
            let machines = pool.state()["machines"].as_object().map_or(0, serde_json::Map::len);
            machines == 1 && world.path("pool/pool-1/port").exists()
        });
        let state = pool.state();
        assert_eq!((&state["made"], &state["target"]), (&json!(1), &json!(1)), "{point}");
        assert_eq!(state["orders"].as_array().map(Vec::len), Some(1), "{point}: one order");
        drop(hub);
    }
}

/// A group of processes on this machine, one of them at least, and the hub that has them made.
struct Pool<'w> {
    world: &'w World,
    config: String,
    pool: String,
}

impl<'w> Pool<'w> {
    fn new(world: &'w World) -> Self {
        let config = format!(
            "models = {models:?}\nmodel_writes = [{models:?}]\nobjects.url = {objects:?}\n\
             [database]\nurl = {url:?}\nschema = 't{schema}'\nmax_connections = 5\n\
             [nodes]\nmode = 'own'\ncommand = {command:?}\ngroups = ['pool']\n\
             empty_seconds = 1\nunneeded_seconds = 1\n[nodes.group.pool]\nmin = 1\n",
            models = world.path("models"),
            objects = world.path("objects"),
            url = cluster::shared().url("postgres"),
            schema = muster_store::Clock::system().id().simple(),
            command = example("pool.py"),
        );
        let config = world.write("node.toml", config);
        let pool = format!(
            "group = 'pool'\nmax = 3\ntemplate = {{ cpu = 1, memory_mib = 2048, gpus = 1 }}\n\
             state = {state:?}\ncommand = [{MUSTER:?}, 'serve', '--config', {config:?}]\n\
             environment = {{ MUSTER_LOCAL_GPUS = 'GPU-{{name}}', MUSTER_LOCAL_RESERVE_MEMORY = '0' }}\n",
            state = world.path("pool"),
        );
        let pool = world.write("pool.toml", pool);
        Self { world, config, pool }
    }

    /// The hub, without GPUs; it ends at this point.
    fn hub(&self, crash: Option<&str>) -> Hub<'w> {
        self.world.hub_with(&["--config", &self.config], |command| {
            command.env("POOL", &self.pool).env("MUSTER_LOCAL_NODE", "desk");
            command.env("MUSTER_LOCAL_GPUS", "none");
            command.envs(crash.map(|point| ("MUSTER_CRASH_AT", point)));
        })
    }

    /// What it knows of its processes.
    fn state(&self) -> Value {
        serde_json::from_str(&self.world.read("pool/state.json")).unwrap_or(Value::Null)
    }
}

/// Its processes end with the test.
impl Drop for Pool<'_> {
    fn drop(&mut self) {
        let state = self.state();
        for machine in state["machines"].as_object().into_iter().flat_map(|all| all.values()) {
            let pid =
                machine["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            if let Some(pid) = pid {
                // It may have ended by itself.
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }
}

#[test]
fn a_workstation_is_woken_and_shut_down() {
    let world = World::new(&[]);
    let card = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    card.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let broadcast = card.local_addr().expect("its address");
    let port = {
        // Nobody listens there: the workstation is off.
        let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
        closed.local_addr().expect("its address").port()
    };
    let file = format!(
        "group = 'ws'\nnode = 'ws1'\nhost = '127.0.0.1'\nport = {port}\nmac = '52:54:00:12:34:56'\n\
         broadcast = '{broadcast}'\ntemplate = {{ cpu = 32, memory_mib = 120000, gpus = 1 }}\n\
         stop = ['touch', '{}']\nstate = '{}'\n",
        world.path("stopped").display(),
        world.path("ws.json").display(),
    );
    let file = world.write("ws.toml", file);
    let ask = |what| ask(&world, "workstation.py", &[("WORKSTATION", &file)], &what);
    let group = || ask(json!({"do": "groups"})).1["groups"][0].clone();
    assert_eq!((&group()["target"], &group()["machines"]), (&json!(0), &json!([])));

    let wake = json!({"do": "resize", "group": "ws", "to": 1, "order": "1"});
    assert_eq!(ask(wake), (0, json!({})));
    let mut packet = [0; 200];
    let length = card.recv(&mut packet).expect("the packet");
    let address = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    assert_eq!(packet[..length], [&[0xff; 6][..], &address.repeat(16)].concat());
    assert_eq!(group()["machines"][0]["state"], "booting");
    let ssh = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    assert_eq!(group()["machines"], json!([{"id": "ws1", "node": "ws1", "state": "running"}]));

    let two = ask(json!({"do": "resize", "group": "ws", "to": 2, "order": "2"}));
    assert_eq!((two.0, &two.1["error"]["class"]), (1, &json!("quota")));
    let stop = json!({"do": "remove", "group": "ws", "machines": ["ws1"], "order": "3"});
    assert_eq!(ask(stop.clone()), (0, json!({})));
    assert!(world.path("stopped").exists());
    assert_eq!(
        (&group()["target"], &group()["machines"][0]["state"]),
        (&json!(0), &json!("leaving"))
    );
    drop(ssh);
    assert_eq!(group()["machines"], json!([]));
    assert_eq!(ask(stop), (0, json!({})), "once more is nothing more");
}
