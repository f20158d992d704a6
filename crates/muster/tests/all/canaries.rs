//! Administrators never see what people submit and get. Strings that stand in inputs, the names of files
//! and columns, results, errors of models and people's own words are looked for in everything that an
//! administrator, an event, the log or the metrics tell.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::cluster;
use crate::support::{Hub, Output, PASSWORD, World, end, until};

/// In everything that is only for the owner, and in nothing else.
const CANARY: &str = "canary";

const JSON: &str = "content-type: application/json";

/// The hub's machine.
const NODE: &str = "lab1";

/// Answers with its inputs, quotes bad ones, and fails or dies with their words.
const PARROT: &str = "import os, sys\n\
    def predict(inputs):\n\
    \x20   print('seen', inputs, file=sys.stderr)\n\
    \x20   if any('die' in text for text in inputs): os._exit(4)\n\
    \x20   if any('raise' in text for text in inputs): raise ValueError('no ' + inputs[0])\n\
    \x20   if any('garbage' in text for text in inputs): return inputs\n\
    \x20   return [ValueError('bad ' + t) if 'bad' in t else {'said': 'result ' + t} for t in inputs]\n";

/// Waits until it is let.
const SLOW: &str = "import os, time\n\
    def predict(inputs):\n\
    \x20   while not os.path.exists('../go'): time.sleep(0.01)\n\
    \x20   return [{'said': t} for t in inputs]\n";

/// A person at a hub.
struct Somebody<'h> {
    hub: &'h Hub<'h>,
    token: String,
}

impl Somebody<'_> {
    fn send(&self, arguments: &[&str], path: &str) -> String {
        let token = format!("authorization: Bearer {}", self.token);
        let mut curl = self.hub.world.curl(&["-s", "--max-time", "60", "-H", &token]);
        curl.args(arguments).arg(format!("{}{path}", self.hub.url()));
        let output = Output::of(curl);
        assert_eq!(output.code, 0, "{path}: {output:?}");
        output.text
    }

    fn get(&self, path: &str) -> String {
        self.send(&[], path)
    }

    fn json(&self, path: &str) -> Value {
        let text = self.get(path);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Submits a file that waits, or that has ended; the request's id.
    fn submit(&self, model: &str, file: &str, wait: u32) -> String {
        let path = format!("/api/v1/requests?model={model}&column=canary-column&wait={wait}");
        let named = "content-disposition: attachment; filename=\"canary-file.csv\"";
        let key = format!("idempotency-key: canary-key-{model}-{}", file.len());
        let body = ["-H", "content-type: text/csv", "-H", named, "-H", &key, "--data-binary", file];
        let text = self.send(&body, &path);
        let request: Value = serde_json::from_str(&text).expect("JSON");
        request["id"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    /// Follows the events into a file.
    fn follow(&self, file: &str) -> Child {
        let token = format!("authorization: Bearer {}", self.token);
        let url = format!("{}/api/v1/events", self.hub.url());
        let mut curl = self.hub.world.curl(&["-sN", "-o", file, "-H", &token, &url]);
        curl.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("curl")
    }
}

fn anonymous<'h>(hub: &'h Hub<'h>) -> Somebody<'h> {
    somebody(hub, &["-X", "POST"], "/api/v1/sessions")
}

fn administrator<'h>(hub: &'h Hub<'h>) -> Somebody<'h> {
    let body = json!({"name": "root", "password": PASSWORD}).to_string();
    somebody(hub, &["-H", JSON, "-d", &body], "/api/v1/session")
}

/// Whoever gets the token that this answers.
fn somebody<'h>(hub: &'h Hub<'h>, arguments: &[&str], path: &str) -> Somebody<'h> {
    let nobody = Somebody { hub, token: String::new() };
    let made: Value = serde_json::from_str(&nobody.send(arguments, path)).expect("JSON");
    Somebody { hub, token: made["token"].as_str().expect("a token").to_owned() }
}

/// Every address of the API that a GET by an administrator answers at once, with these ids. Logs of
/// instances are not among them: they are where a model may write what it likes.
fn addresses(
    world: &World,
    requests: &[String],
    users: &[String],
    instances: &[String],
) -> Vec<String> {
    let api = world.muster(&["openapi"]).json();
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        if item.get("get").is_none() || path == "/api/v1/events" {
            continue;
        }
        let ids: &[String] = match path.as_str() {
            path if !path.contains('{') => &[String::new()],
            path if path.ends_with("/logs") => continue,
            path if path.contains("/instances/") => instances,
            path if path.contains("/nodes/") => &[NODE.into()],
            path if path.contains("/users/") => users,
            path if path.contains("requests/") => requests,
            path if path.contains("models/") || path.contains("catalogue/") => {
                &["parrot".into(), "slow".into()]
            }
            _ => continue,
        };
        all.extend(ids.iter().map(|id| path.replace("{id}", id)));
    }
    all.extend(
        [
            "/api/v1/instances?ended=true",
            "/api/v1/admin/requests?format=csv",
            "/api/v1/admin/requests?phase=failed&sort=oldest",
            "/api/v1/stats?format=csv&group_by=model,user,session,day",
            "/api/v1/stats?by=failures",
        ]
        .map(str::to_owned),
    );
    all
}

fn hush(what: &str, text: &str) {
    let found = text.lines().find(|line| line.contains(CANARY));
    assert_eq!(found, None, "{what} tells what is only for the owner");
}

/// # brief: RQ-2
///
/// I-37, I-47
fn nothing_is_told(fill: impl Fn(&mut Command)) {
    let one = "[limits]\nmax_attempts = 1\n";
    let world = World::new(&[("parrot", one, PARROT), ("slow", one, SLOW)]);
    let flags = ["--metrics", "127.0.0.1:0", "--log-format", "json"];
    let created = world.create_admin_with("root", &fill);
    assert_eq!(created.code, 0, "{created:?}");
    let hub = world.hub_with(&flags, |command| {
        fill(command);
        command.env("MUSTER_LOG_FILTER", "debug").env("MUSTER_LOCAL_NODE", NODE);
    });
    let (owner, admin) = (anonymous(&hub), administrator(&hub));
    let streams = [owner.follow("owner-events"), admin.follow("admin-events")];

    let file = |rows: &[&str]| {
        let lines: Vec<String> = rows.iter().map(|row| format!("{row},canary-own")).collect();
        format!("canary-column,canary-other\n{}\n", lines.join("\n"))
    };
    let good = file(&["canary-a", "canary-bb", "canary-bad"]);
    let completed = owner.submit("parrot", &good, 60);
    let raised = owner.submit("parrot", &file(&["canary-raise"]), 60);
    let died = owner.submit("parrot", &file(&["canary-die"]), 60);
    let garbled = owner.submit("parrot", &file(&["canary-garbage"]), 60);
    let slow = owner.submit("slow", &file(&["canary-slow"]), 0);
    let cancelled = owner.submit("slow", &file(&["canary-cancelled"]), 0);
    let reason = json!({"reason": "canary-reason"}).to_string();
    let reason = ["-H", JSON, "-d", &reason];
    owner.send(&reason, &format!("/api/v1/requests/{cancelled}/cancel"));
    until("the slow one runs", || {
        owner.json(&format!("/api/v1/requests/{slow}"))["phase"] == "running"
    });
    let requests = [completed, raised, died, garbled, slow, cancelled];

    // What an administrator does: it is answered, and written down.
    for failed in &requests[1..4] {
        let path = format!("/api/v1/admin/requests/{failed}");
        let seen = admin.json(&path);
        assert_eq!(seen["phase"], "failed", "{seen}");
        hush("trying again", &admin.send(&["-X", "POST"], &format!("{path}/requeue")));
    }
    let path = format!("/api/v1/admin/requests/{}", requests[4]);
    hush("moving", &admin.send(&["-X", "POST"], &format!("{path}/front")));
    let body = json!({"reason": "for repair"}).to_string();
    let body = ["-H", JSON, "-d", &body];
    hush("cancelling", &admin.send(&body, &format!("{path}/cancel")));
    let ids = |path: &str| -> Vec<String> {
        let list = admin.json(path);
        let items = list["items"].as_array().expect("items").iter();
        items.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    world.write("models/go", "");
    until("those tried again ended", || {
        let all = admin.json("/api/v1/admin/requests?phase=failed&limit=200");
        all["items"].as_array().map(Vec::len) == Some(6)
    });
    let instances = ids("/api/v1/instances");
    let body = json!({"work": "drain", "reason": "for repair"}).to_string();
    let stopping = format!("/api/v1/instances/{}/stop", instances[0]);
    hush("stopping", &admin.send(&["-H", JSON, "-d", &body], &stopping));
    until("one has ended", || ids("/api/v1/instances?ended=true").contains(&instances[0]));

    // The owner sees all of it.
    let result = owner.get(&format!("/api/v1/requests/{}/result", requests[0]));
    for word in ["canary-own", "result canary-a", "bad canary-bad", "canary-column"] {
        assert!(result.contains(word), "{word}: {result}");
    }
    let why = |n: usize| owner.json(&format!("/api/v1/requests/{}", requests[n]))["reason"].clone();
    for (n, word) in [(1, "canary-raise"), (2, "canary-die"), (5, "canary-reason")] {
        assert!(why(n).as_str().is_some_and(|why| why.contains(word)), "{}", why(n));
    }
    assert_eq!(why(4), "cancelled by an administrator: for repair");

    // Nobody else does.
    let addresses = addresses(&world, &requests, &ids("/api/v1/users"), &instances);
    assert!(addresses.len() > 30, "{addresses:?}");
    for address in &addresses {
        hush(address, &admin.get(address));
    }
    let log = world.read("log");
    let ready = log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["message"] == "ready").then(|| line["metrics"].as_str().map(str::to_owned))?
    });
    let metrics = ready.expect("an address");
    let metrics = metrics.trim_start_matches("Some(").trim_end_matches(')');
    let metrics = Output::of(world.curl(&["-sf", &format!("http://{metrics}/metrics")])).text;
    assert!(metrics.contains("# EOF"));
    hush("the metrics", &metrics);
    for (stream, file) in streams.into_iter().zip(["owner-events", "admin-events"]) {
        let events = world.read(file);
        assert!(file == "admin-events" || events.contains("\"failed\""), "{events}");
        hush(file, &events);
        end(stream);
    }
    assert!(log.contains("a job failed"), "{log}");
    hush("the log", &world.read("log"));
}

#[test]
fn admins_events_logs_and_metrics_tell_nothing_that_people_submit_sqlite() {
    nothing_is_told(|_| {});
}

#[test]
fn admins_events_logs_and_metrics_tell_nothing_that_people_submit_postgres() {
    let url = cluster::shared().url("postgres");
    let schema = format!("t{}", muster_store::Clock::system().id().simple());
    nothing_is_told(|command| {
        command.env("MUSTER_DATABASE_URL", &url).env("MUSTER_DATABASE_SCHEMA", &schema);
    });
}
