//! Folders that are pushed to a hub: served once their example has predictions, on one hub and on several.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::cluster;
use crate::support::{Hub, LENGTHS, Output, PASSWORD, World, end, until};

/// On a hub of its own, as an administrator.
fn admin<'w>(world: &'w World, settings: &[(&str, &str)]) -> Hub<'w> {
    assert_eq!(world.create_admin("root").code, 0);
    let hub = world.hub_with(&[], |command| {
        command.envs(settings.iter().copied());
    });
    hub.good(&["login", "root", "--password-file", "password"]);
    hub
}

/// A folder that is not among the hub's.
fn folder(world: &World, name: &str, version: &str, body: &str) {
    world.write(
        &format!("work/{name}/model.toml"),
        format!("version = '{version}'\nkind = 'python'\nexample = ['abc', 'de']\n"),
    );
    world.write(&format!("work/{name}/predict.py"), body);
}

fn run(hub: &Hub, model: &str) -> String {
    hub.good(&["run", model, "--input", "abc", "--quiet", "--no-cache"]).text
}

fn versions(hub: &Hub, model: &str) -> Vec<Value> {
    let all = hub.good(&["model", "versions", model, "--json"]).json();
    all["items"].as_array().expect("versions").clone()
}

const TWICE: &str = "def predict(inputs): return [{'length': 2 * len(text)} for text in inputs]\n";
const RAISES: &str = "def predict(inputs): raise ValueError('no weights')\n";

#[test]
fn a_folder_is_pushed_tried_served_and_rolled_back() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let hub = admin(&world, &[]);
    folder(&world, "far", "1.0", LENGTHS);
    let pushed = hub.good(&["model", "push", "work/far"]);
    for words in ["abc", "3", "far 1.0+", "is served"] {
        assert!(pushed.text.contains(words), "{words}: {pushed:?}");
    }
    assert_eq!(run(&hub, "far"), "input,length\nabc,3\n");
    let again = hub.good(&["model", "push", "work/far", "--json"]).json();
    assert_eq!((&again["state"], &again["served"]), (&json!("good"), &json!(true)));
    assert_eq!(versions(&hub, "far").len(), 1);

    // A new one that fails: the last good one is served.
    folder(&world, "far", "2.0", RAISES);
    hub.muster(&["model", "push", "work/far"]).fails(1, &["far 2.0+", "not served", "no weights"]);
    assert_eq!(run(&hub, "far"), "input,length\nabc,3\n");
    let listed = hub.good(&["model", "versions", "far"]).text;
    assert!(listed.contains("failed") && listed.contains("served"), "{listed}");

    folder(&world, "far", "2.1", TWICE);
    hub.good(&["model", "push", "work/far", "--quiet"]);
    assert_eq!(run(&hub, "far"), "input,length\nabc,6\n");
    let back = hub.good(&["model", "rollback", "far"]).text;
    assert!(back.starts_with("far 1.0+"), "{back}");
    assert_eq!(run(&hub, "far"), "input,length\nabc,3\n");
    hub.muster(&["model", "rollback", "far"]).fails(2, &["no good version before"]);
    hub.muster(&["model", "rollback", "far", "--to", "7"]).fails(2, &["no such version"]);
    let newest = versions(&hub, "far")[0]["version"].as_str().expect("a version").to_owned();
    hub.good(&["model", "rollback", "far", "--to", &newest]);
    assert_eq!(run(&hub, "far"), "input,length\nabc,6\n");
    let audit = hub.good(&["admin", "audit", "--json"]).json();
    let acts = audit["items"].as_array().expect("lines").iter().map(|line| line["action"].clone());
    let acts: Vec<String> = acts.filter_map(|act| act.as_str().map(str::to_owned)).collect();
    for act in ["push-model", "publish-model", "roll-back-model"] {
        assert!(acts.iter().any(|one| one == act), "{act}: {acts:?}");
    }
    // What was tried is no model that people see.
    assert!(!hub.good(&["models"]).text.contains(".trial"));
    assert!(!hub.good(&["models", "--all"]).text.contains(".trial"));
}

#[test]
fn what_is_not_right_is_refused_and_leaves_nothing() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let hub = admin(&world, &[("MUSTER_PUSH_FILES", "5"), ("MUSTER_PUSH_ARCHIVE_BYTES", "64KiB")]);
    let push = |arguments: &[&str]| hub.muster(&[&["model", "push"], arguments].concat());
    folder(&world, "lengths", "1.0", LENGTHS);
    push(&["work/lengths"])
        .fails(2, &["There is a model with this id", "folder on the hub's machine"]);
    push(&["nowhere"]).fails(2, &["nowhere"]);
    world.write("work/plain/predict.py", LENGTHS);
    push(&["work/plain"]).fails(2, &["no example to try it with"]);
    hub.good(&["model", "push", "work/plain", "--example", "abc"]);
    assert_eq!(run(&hub, "plain"), "input,length\nabc,3\n");
    folder(&world, "named", "1.0", LENGTHS);
    push(&["work/named", "--id", "A B"]).fails(2, &[]);
    push(&["work/named", "--id", "x.trial"]).fails(2, &["does not end with .trial"]);
    for n in 0..5 {
        world.write(&format!("work/named/{n}"), "x");
    }
    push(&["work/named"]).fails(2, &["The archive cannot be used", "more than 5 files"]);
    let mut random = vec![0; 200 << 10];
    getrandom(&mut random);
    folder(&world, "large", "1.0", LENGTHS);
    world.write("work/large/weights", random);
    push(&["work/large"]).fails(2, &["The body is too large", "push.archive_bytes"]);
    world.write(
        "work/http/model.toml",
        "kind = 'http'\nurl = 'http://127.0.0.1:9'\nexample = ['a']\n",
    );
    push(&["work/http"]).fails(2, &["The folder is not right", "no folder to push"]);
    let limits = "kind = 'python'\nexample = ['a']\n[limits]\nbatch_size = 0\n";
    world.write("work/limits/model.toml", limits);
    world.write("work/limits/predict.py", LENGTHS);
    push(&["work/limits"]).fails(2, &["batch_size is 1 to 100000", "Nothing was sent"]);
    let parts = world.path("data/folders/.parts");
    let left = || fs::read_dir(&parts).expect("a folder").count();
    until("nothing is left", || left() == 0);
    hub.good(&["logout"]);
    push(&["work/named"]).fails(2, &["You may not do this"]);
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read;
    fs::File::open("/dev/urandom").and_then(|mut all| all.read_exact(bytes)).expect("bytes");
}

/// Bodies as other programs send them.
#[test]
fn the_api_takes_an_archive_and_nothing_half() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let hub = admin(&world, &[]);
    folder(&world, "far", "1.0", LENGTHS);
    let made = std::process::Command::new("tar")
        .args(["-czf", "far.tgz", "-C", "work", "far"])
        .current_dir(world.path(""))
        .status();
    assert!(made.expect("tar").success());
    let credentials: Value = {
        let text = world.read("home/.config/muster/credentials.json");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("credentials: {text}"))
    };
    let token = find_token(&credentials).expect("a token");
    let url = format!("{}/api/v1/catalogue/far/versions", hub.url());
    let send = |file: &str, kind: &str| {
        let (token, kind) =
            (format!("Authorization: Bearer {token}"), format!("Content-Type: {kind}"));
        let body = format!("@{file}");
        Output::of(world.curl(&[
            "-s",
            "-X",
            "POST",
            &url,
            "-H",
            &token,
            "-H",
            &kind,
            "--data-binary",
            &body,
        ]))
    };
    let problem = send("far.tgz", "application/zip").json();
    assert_eq!(problem["type"], "/problems/unsupported-media-type");
    let whole = fs::read(world.path("far.tgz")).expect("an archive");
    world.write("half.tgz", &whole[..whole.len() / 2]);
    let problem = send("half.tgz", "application/gzip").json();
    assert_eq!(problem["type"], "/problems/bad-archive");
    // Whoever leaves in the middle leaves nothing.
    let length = format!("Content-Length: {}", 1 << 20);
    let cut = world
        .curl(&[
            "-s",
            "-m",
            "1",
            "-X",
            "POST",
            &url,
            "-H",
            &format!("Authorization: Bearer {token}"),
        ])
        .args(["-H", "Content-Type: application/gzip", "-H", &length, "--data-binary", "@far.tgz"])
        .stdout(Stdio::null())
        .status();
    assert!(!cut.expect("curl").success());
    let parts = world.path("data/folders/.parts");
    until("nothing is left", || fs::read_dir(&parts).expect("a folder").count() == 0);
    assert!(hub.muster(&["model", "versions", "far"]).code == 2);
    let pushed = send("far.tgz", "application/gzip").json();
    assert_eq!((&pushed["state"], &pushed["files"]), (&json!("trying"), &json!(2)));
    until("it is served", || versions(&hub, "far")[0]["served"] == json!(true));
    assert_eq!(run(&hub, "far"), "input,length\nabc,3\n");
}

fn find_token(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| match value {
            Value::String(text) if name == "token" => Some(text.clone()),
            value => find_token(value),
        }),
        Value::Array(values) => values.iter().find_map(find_token),
        _ => None,
    }
}

#[test]
fn object_storage_that_is_away_changes_nothing() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let settings = [
        ("MUSTER_OBJECTS_URL", "s3://nobody/here"),
        ("AWS_ENDPOINT", "http://127.0.0.1:9"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "c"),
    ];
    let hub = admin(&world, &settings);
    folder(&world, "far", "1.0", LENGTHS);
    let mut push = hub.command(&["model", "push", "work/far", "--no-wait"]);
    // It would wait for a minute.
    push.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = push.spawn().expect("the binary");
    until("it is said", || world.read("log").contains("a pushed folder cannot be stored"));
    end(child);
    assert_eq!(hub.muster(&["model", "versions", "far"]).code, 2, "there is no such model");
    assert_eq!(run(&hub, "lengths"), "input,length\nabc,3\n");
}

#[test]
fn a_hub_that_is_killed_while_it_unpacks_unpacks_again() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let mut hub = admin(&world, &[]);
    folder(&world, "far", "1.0", LENGTHS);
    hub.good(&["model", "push", "work/far", "--quiet"]);
    hub.kill();
    fs::remove_dir_all(world.path("data/folders")).expect("it goes");
    let mut dies = world.hub_after_with(&hub, &[], |command| {
        command.env("MUSTER_CRASH_AT", "while-unpacking");
    });
    assert!(!dies.until_ended().success());
    let all = || {
        let all = fs::read_dir(world.path("data/folders")).expect("a folder").flatten();
        all.filter(|entry| entry.file_name().len() == 64).count()
    };
    assert_eq!(all(), 0, "nothing is there half");
    let mut hub = world.hub_after(&dies);
    assert_eq!(run(&hub, "far"), "input,length\nabc,3\n");
    assert_eq!(all(), 1);
    // Somebody who changes it gets another version, which is not served.
    hub.kill();
    let content = versions_on_disk(&world).remove(0);
    world.write(&format!("data/folders/{content}/predict.py"), TWICE);
    let hub = world.hub_after(&hub);
    assert_eq!(run(&hub, "far"), "input,length\nabc,3\n");
}

fn versions_on_disk(world: &World) -> Vec<String> {
    let all = fs::read_dir(world.path("data/folders")).expect("a folder").flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.len() == 64).collect()
}

/// Two hubs, each with a data folder of its own: what one takes in both serve.
#[test]
fn what_one_hub_takes_in_every_hub_of_the_database_serves() {
    let world = World::new(&[("lengths", "", LENGTHS)]);
    let url = cluster::shared().url("postgres");
    let schema = format!("push{}", std::process::id());
    let objects = world.path("objects").display().to_string();
    let settings = [
        ("MUSTER_DATABASE_URL", url.as_str()),
        ("MUSTER_DATABASE_SCHEMA", &schema),
        ("MUSTER_DATABASE_MAX_CONNECTIONS", "5"),
        ("MUSTER_OBJECTS_URL", &objects),
    ];
    let create = world.create_admin_with("root", |command| {
        command.envs(settings);
    });
    assert_eq!(create.code, 0, "{create:?}");
    let mut first = world.hub_with(&[], |command| {
        command.envs(settings).env("MUSTER_LOCAL_NODE", "one");
    });
    first.good(&["login", "root", "--password-file", "password"]);
    folder(&world, "far", "1.0", LENGTHS);
    first.good(&["model", "push", "work/far", "--quiet"]);
    let other = World::new(&[("lengths", "", LENGTHS)]);
    other.write("password", PASSWORD);
    let second = other.hub_with(&[], |command| {
        command.envs(settings).env("MUSTER_LOCAL_NODE", "two");
    });
    second.good(&["login", "root", "--password-file", "password"]);
    until("the second one has it", || {
        let there = fs::read_dir(other.path("data/folders"));
        there.is_ok_and(|all| all.flatten().any(|entry| entry.file_name().len() == 64))
    });
    // A version that one takes in while the other is there; then that one has to do without it.
    folder(&world, "far", "2.0", TWICE);
    folder(&other, "far", "2.0", TWICE);
    let pushes = ["model", "push", "work/far", "--json"];
    let both = [first.begin(&pushes), second.begin(&pushes)];
    for push in both {
        let output = Output::from(push.wait_with_output().expect("it ends"));
        assert_eq!(output.code, 0, "{output:?}\n{}", world.read("log"));
        assert_eq!(output.json()["state"], "good");
    }
    assert_eq!(versions(&second, "far").len(), 2, "pushed twice at once it is one version");
    first.kill();
    assert_eq!(run(&second, "far"), "input,length\nabc,6\n");
    second.good(&["model", "rollback", "far"]);
    assert_eq!(run(&second, "far"), "input,length\nabc,3\n");
}
