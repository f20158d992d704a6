//! Model servers of their own: `muster model-server`, and hubs that use them.

use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Hub, LENGTHS, MUSTER, Output, World, lives, until};

/// A model server of its own.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Server {
    fn start(world: &World, dir: &str) -> (Self, String) {
        let mut command = Command::new(MUSTER);
        command.args(["model-server", dir, "--listen", "127.0.0.1:0", "--port-file", "server"]);
        // Its model writes beside itself.
        command.args(["--write", "models"]);
        world.at_home(&mut command);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self(child.expect("the binary"));
        until("the server is bound", || world.read("server").ends_with('\n'));
        (server, format!("http://{}", world.read("server").trim()))
    }
}

#[test]
fn a_model_server_ends_with_a_signal_and_takes_its_model_along() {
    let body = format!("import os\nopen('pid', 'w').write(str(os.getpid()))\n{LENGTHS}");
    let world = World::new(&[("lengths", "", &body)]);
    let pid = || world.read("models/lengths/pid").parse::<i32>().ok();
    for signal in [Signal::TERM, Signal::KILL] {
        drop(std::fs::remove_file(world.path("models/lengths/pid")));
        let (mut server, _) = Server::start(&world, "models/lengths");
        until("the model is loaded", || pid().is_some());
        let model = pid().expect("a number");
        let process = Pid::from_child(&server.0);
        kill_process(process, signal).expect("a signal");
        until("the server ended", || server.0.try_wait().expect("a child").is_some());
        until("its model ended", || !lives(model));
    }
}

#[test]
fn a_hub_uses_a_server_that_runs_elsewhere_and_outlives_it() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let (server, url) = Server::start(&world, "models/lengths");
    let toml = format!("kind = 'http'\nurl = '{url}'\n");
    world.write("models/elsewhere/model.toml", &toml);
    let mut hub = world.hub();
    let run = hub.good(&["run", "elsewhere", "--input", "abc", "--json"]).json();
    assert_eq!(run["result"], json!([{"input": "abc", "length": 3}]), "{run}");
    hub.kill();
    let hub = world.hub();
    let again = hub.good(&["run", "elsewhere", "--input", "de", "--json"]).json();
    assert_eq!(again["result"][0]["length"], Value::from(2));
    drop(server);
}

#[test]
fn a_job_on_a_server_that_runs_elsewhere_survives_a_killed_hub() {
    let body = "import os, time\n\
        def predict(inputs):\n\
        \x20   with open('../ledger', 'a') as ledger: ledger.write(inputs[0] + '\\n')\n\
        \x20   while not os.path.exists('../go'): time.sleep(0.01)\n\
        \x20   return [{'length': len(text)} for text in inputs]\n";
    let world = World::new(&[("waits", "", body)]);
    let (_server, url) = Server::start(&world, "models/waits");
    world.write("models/elsewhere/model.toml", format!("kind = 'http'\nurl = '{url}'\n"));
    let mut hub = world.hub();
    let run = hub.begin(&["run", "elsewhere", "--input", "abc", "--quiet"]);
    until("the server works", || world.read("models/ledger") == "abc\n");
    // The hub has the job's id on disk a moment after the server began.
    until("the job is known", || hub.good(&["requests"]).text.contains("running"));
    hub.kill();
    let _hub = world.hub_after(&hub);
    world.write("models/go", "");
    let output = Output::from(run.wait_with_output().expect("it ends"));
    assert_eq!((output.code, output.text.as_str()), (0, "input,length\nabc,3\n"), "{output:?}");
    assert_eq!(world.read("models/ledger"), "abc\n", "it was not done again");
}

/// The answer is of all that were sent, and one of them is nobody's any more.
#[test]
fn a_job_that_is_picked_up_without_a_cancelled_request_is_done_anew() {
    let body = "import os, time\n\
        def predict(inputs):\n\
        \x20   with open('../ledger', 'a') as ledger: ledger.write('+'.join(inputs) + '\\n')\n\
        \x20   while not os.path.exists('../go-' + inputs[0]): time.sleep(0.01)\n\
        \x20   return [{'length': len(text)} for text in inputs]\n";
    let world = World::new(&[("waits", "", body)]);
    let (server, url) = Server::start(&world, "models/waits");
    world.write("models/elsewhere/model.toml", format!("kind = 'http'\nurl = '{url}'\n"));
    let mut hub = world.hub();
    let of_phase = |hub: &Hub<'_>, phase| {
        let all = hub.good(&["requests", "--json"]).json();
        let all = all["items"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|request| request["phase"] == phase).collect::<Vec<_>>()
    };
    let mut runs = Vec::new();
    for (n, input) in ["first", "a", "bb", "ccc"].into_iter().enumerate() {
        runs.push(hub.begin(&["run", "elsewhere", "--input", input, "--quiet"]));
        if n == 0 {
            until("the server works", || world.read("models/ledger") == "first\n");
        }
        until("it waits", || of_phase(&hub, "waiting").len() == n);
    }
    let cancelled = of_phase(&hub, "waiting").remove(0)["id"].as_str().expect("an id").to_owned();
    world.write("models/go-first", "");
    until("the server works on the others", || world.read("models/ledger").ends_with("a+bb+ccc\n"));
    until("the job is known", || of_phase(&hub, "running").len() == 3);
    hub.kill();
    // So that nobody picks the job up before the request is cancelled.
    let process = Pid::from_child(&server.0);
    kill_process(process, Signal::STOP).expect("a signal");
    let hub = world.hub_after(&hub);
    hub.good(&["cancel", &cancelled]);
    kill_process(process, Signal::CONT).expect("a signal");
    world.write("models/go-a", "");
    let outputs =
        runs.into_iter().map(|run| Output::from(run.wait_with_output().expect("it ends")));
    let outputs: Vec<(i32, String)> = outputs.map(|output| (output.code, output.text)).collect();
    let good = |input: &str| (0, format!("input,length\n{input},{}\n", input.len()));
    assert_eq!(outputs[..3], [good("first"), good("a"), good("bb")]);
    assert_ne!(outputs[3].0, 0, "{:?}", outputs[3]);
    assert_eq!(world.read("models/ledger"), "first\na+bb+ccc\na+bb\n", "once more, together");
}
