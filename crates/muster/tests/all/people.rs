//! Logging in and out, and administering people on the hub's machine.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::support::{LENGTHS, Output, PASSWORD, World, until};

fn world() -> World {
    World::new(&[("lengths", "", LENGTHS)])
}

#[test]
fn the_first_admin_is_made_before_the_hub_runs_and_logs_in() {
    let world = world();
    assert_eq!(world.create_admin("root").text, "root administers this hub\n");
    world.create_admin("ROOT").fails(2, &["taken"]);
    let hub = world.hub();
    hub.good(&["run", "lengths", "--input", "abc", "-o", "out.csv"]);
    let mine = hub.good(&["requests", "--json"]).json();
    hub.muster(&["login", "root", "--password-file", "models/lengths/predict.py"])
        .fails(2, &["User name or password is wrong"]);
    let login = hub.good(&["login", "root", "--password-file", "password"]);
    assert!(login.text.contains("logged in") && login.text.contains("as root"), "{login:?}");
    assert_eq!(hub.good(&["requests", "--json"]).json(), mine, "they came along");
    let kept: Value =
        serde_json::from_str(&world.read("home/.config/muster/credentials.json")).expect("JSON");
    assert_eq!(kept["hubs"][hub.url()]["name"], "root");
    assert!(hub.good(&["logout"]).text.contains("root is logged out"));
    assert!(hub.good(&["logout"]).text.contains("nobody is logged in"));
    assert_eq!(hub.good(&["requests"]).text, "no requests\n");
    let log = world.read("log");
    assert!(!log.contains(PASSWORD));
    let failed = log.lines().find(|line| line.contains("a login failed")).expect("a line");
    for word in ["principal.id=", "network=\"127.0.0.0/24\"", "why=\"wrong-login\""] {
        assert!(failed.contains(word), "{word} is not in {failed}");
    }
    assert!(!failed.contains("root"), "people type passwords where names go: {failed}");
    hub.muster(&["admin", "requests"]).fails(2, &["logged in"]);
    let log = world.read("log");
    let refused = log.lines().find(|line| line.contains("administrators")).expect("a line");
    for word in ["principal.id=", "method=\"GET\"", "route=\"/api/v1/admin/requests\"", "forbidden"]
    {
        assert!(refused.contains(word), "{word} is not in {refused}");
    }
}

#[test]
fn a_hub_that_runs_notices_what_is_administered_beside_it() {
    let world = world();
    let hub = world.hub();
    assert_eq!(world.create_admin("root").code, 0, "{}", world.read("log"));
    hub.good(&["login", "root", "--password-file", "password"]);
    let link = world.muster(&["admin", "reset-link", "root", "--data-dir", "data"]);
    let token = link.text.split_once('#').expect("a link").1.lines().next().expect("a token");
    let body = format!(r#"{{"token": "{token}", "password": "seven lanterns hum above"}}"#);
    world.write("body", body);
    let url = format!("{}/api/v1/password-resets/complete", hub.url());
    let json = "content-type: application/json";
    let reset = Output::of(world.curl(&["-sf", &url, "-H", json, "-d", "@body"]));
    assert_eq!(reset.code, 0, "{reset:?}");
    until("the login is over", || hub.muster(&["requests"]).code == 2);
    hub.muster(&["requests"]).fails(2, &["the login of root is over", "muster login root"]);
    let mut login = hub.command(&["login", "root"]);
    world.write("new", "seven lanterns hum above");
    login.stdin(File::open(world.path("new")).expect("a file"));
    let login = Output::from(login.output().expect("the binary"));
    assert_eq!(login.code, 0, "{login:?}");
    world.muster(&["admin", "reset-link", "nobody", "--data-dir", "data"]).fails(2, &["no user"]);
    hub.good(&["run", "lengths", "--input", "abc", "-o", "out.csv"]);
}

#[test]
fn an_admin_looks_at_accounts_and_changes_what_they_may() {
    let world = world();
    for name in ["root", "ada"] {
        assert_eq!(world.create_admin(name).code, 0);
    }
    let hub = world.hub();
    hub.muster(&["admin", "users"]).fails(2, &["logged in"]);
    hub.good(&["login", "root", "--password-file", "password"]);
    let all = hub.good(&["admin", "users"]).text;
    for word in ["name", "permissions", "root", "ada", "ADMIN"] {
        assert!(all.contains(word), "{word}: {all}");
    }
    let user = |verb: &[&str]| hub.good(&[&["admin", "user"], verb].concat()).text;
    assert!(user(&["revoke", "ADA", "ADMIN"]).contains("May        -"));
    assert!(user(&["grant", "ada", "MODEL_EDITOR"]).contains("MODEL_EDITOR"));
    let editors = hub.good(&["admin", "users", "--permission", "MODEL_EDITOR", "--json"]).json();
    let [ada] = editors["items"].as_array().expect("items").as_slice() else { panic!("{editors}") };
    assert_eq!(ada["name"], "ada");
    assert!(user(&["disable", "ada"]).contains("disabled"));
    let disabled = hub.good(&["admin", "users", "--disabled"]).text;
    assert!(disabled.contains("ada") && !disabled.contains("root"), "{disabled}");
    let id = ada["id"].as_str().expect("an id");
    assert!(user(&["enable", id]).contains("enabled"));
    assert!(user(&["end-sessions", "ada"]).contains("ada"));
    assert!(user(&["show", "root"]).contains("Last used"));
    assert_eq!(hub.good(&["admin", "users", "--search", "nobody"]).text, "no such accounts\n");
    hub.muster(&["admin", "user", "show", "ad"]).fails(2, &["no account", "admin users"]);
    hub.muster(&["admin", "user", "revoke", "root", "ADMIN"]).fails(2, &["only administrator"]);
    hub.muster(&["admin", "user", "grant", "ada", "KING"]).fails(2, &["MODEL_EDITOR"]);
}

#[test]
fn an_admin_hands_out_a_link_deletes_an_account_and_reads_what_was_done() {
    let world = world();
    for name in ["root", "ada"] {
        assert_eq!(world.create_admin(name).code, 0);
    }
    let hub = world.hub();
    hub.muster(&["admin", "audit"]).fails(2, &["logged in"]);
    hub.good(&["login", "root", "--password-file", "password"]);
    let sessions = hub.good(&["admin", "user", "sessions", "root"]).text;
    assert!(sessions.contains("bearer") && sessions.contains("ends"), "{sessions}");
    assert_eq!(hub.good(&["admin", "user", "sessions", "ada"]).text, "no sessions\n");
    let link = hub.good(&["admin", "user", "reset-link", "ada"]).text;
    assert!(link.contains("/account/password#") && link.contains("Hand it to ada"), "{link}");
    let (address, _) = link.split_once('\n').expect("a line");
    let token = address.split_once('#').expect("a token").1;
    world.write("body", format!(r#"{{"token": "{token}", "password": "seven lanterns hum"}}"#));
    let url = format!("{}/api/v1/password-resets/complete", hub.url());
    let sent = Command::new("curl")
        .args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            "content-type: application/json",
        ])
        .args(["-d", &format!("@{}", world.path("body").display()), &url])
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "200");
    let id = hub.good(&["admin", "user", "show", "ada", "--json"]).json()["id"].clone();
    let id = id.as_str().expect("an id");
    let unsure = hub.muster(&["admin", "user", "delete", "ada"]);
    unsure.fails(2, &["ada@", "0 requests", "nothing was done", "--yes"]);
    let gone = hub.good(&["admin", "user", "delete", "ada", "--yes"]).text;
    assert_eq!(gone, "the account ada is deleted\n");
    hub.muster(&["admin", "user", "delete", "ada", "--yes"]).fails(2, &["no account"]);
    hub.muster(&["admin", "user", "delete", "root", "--yes"]).fails(2, &["only administrator"]);

    let audit =
        |filter: &[&str]| hub.good(&[&["admin", "audit", "--json"], filter].concat()).json();
    let actions = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items");
        items.iter().map(|one| one["action"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(actions(&audit(&["--actor", "root"])), ["delete", "reset-link"]);
    assert_eq!(actions(&audit(&["--subject", id, "--action", "delete"])), ["delete"]);
    assert_eq!(actions(&audit(&["--to", "2020-01-01"])), [""; 0]);
    let table = hub.good(&["admin", "audit", "--limit", "1"]).text;
    assert!(table.contains("delete") && table.contains("there are more; see --limit"), "{table}");
    let none = hub.good(&["admin", "audit", "--action", "drain-node"]).text;
    assert_eq!(none, "nothing like that was done\n");
    hub.muster(&["admin", "audit", "--action", "juggle"]).fails(2, &["one of create, grant"]);
}

#[test]
fn an_admin_needs_values_that_fit_the_rules() {
    let world = world();
    world.write("password", "passwordpassword");
    world
        .create_admin("x")
        .fails(2, &["name: A user name has", "password: A password is not made"]);
    assert!(!world.path("data/muster.db").exists(), "nothing was made");
}

/// # brief: ST-5
#[test]
fn an_admin_sees_statistics_and_verifies_them_beside_the_hub() {
    let world = world();
    assert_eq!(world.create_admin("root").code, 0, "{}", world.read("log"));
    let hub = world.hub();
    hub.good(&["run", "lengths", "--input", "abc", "-o", "out.csv"]);
    hub.muster(&["stats"]).fails(2, &["logged in"]);
    hub.good(&["login", "root", "--password-file", "password"]);
    hub.good(&["run", "lengths", "--input", "de", "-o", "out.csv"]);
    let text = hub.good(&["stats"]).text;
    let row = text.lines().find(|line| line.starts_with("lengths")).expect("a row");
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["lengths", "2", "2", "0"]);
    let by_kind = hub.good(&["stats", "--group-by", "auth_type", "--json"]).json();
    assert_eq!(by_kind["items"].as_array().map(Vec::len), Some(2), "{by_kind}");
    let csv = hub.good(&["stats", "--group-by", "model,day", "--sort", "-total", "--csv"]).text;
    let starts: Vec<&str> = csv.lines().filter_map(|line| line.split(',').next()).collect();
    assert_eq!(starts, ["model", "lengths", "(all)"], "{csv}");
    let verified = world.muster(&["stats", "verify", "--data-dir", "data"]);
    assert!(verified.text.contains("agree"), "{verified:?}");
    until("the engine rolled them up", || {
        let file = world.path("data/muster.db");
        let mut sqlite = Command::new("python3");
        let script = "import sqlite3, sys; \
                      print(sqlite3.connect(sys.argv[1]).execute('SELECT COUNT(*) FROM ended').fetchone()[0])";
        sqlite.args(["-c", script]).arg(file);
        Output::of(sqlite).text.trim() == "0"
    });
    assert_eq!(hub.good(&["stats", "--mine", "--json"]).json()["totals"]["total"], 2);
}

#[test]
fn an_admin_adds_a_model_that_runs_elsewhere_edits_and_deletes_it() {
    let world = world();
    world.create_admin("root");
    let hub = world.hub_with(&[], |serve| {
        serve.env("MUSTER_MODEL_ADDRESSES", "http://127.0.0.1:9");
    });
    hub.good(&["login", "root", "--password-file", "password"]);
    let far = r#"{"id": "far", "address": "http://127.0.0.1:9/far", "version": "1",
        "input": {"name": "smiles", "description": "A molecule"}, "limits": {"max_instances": 1}}"#;
    world.write("far.json", far);
    let added = hub.good(&["models", "add", "far.json"]).text;
    assert!(added.starts_with("far 1+") && added.ends_with(" is in the catalogue\n"), "{added}");
    hub.muster(&["models", "add", "far.json"]).fails(2, &["a model with this id"]);
    world.write("change.json", r#"{"card": {"task": "Distance"}, "version": "2"}"#);
    assert!(hub.good(&["models", "edit", "far", "change.json"]).text.starts_with("far 2+"));
    let card = hub.good(&["models", "far", "--json"]).json();
    assert_eq!((&card["task"], &card["input"]["kind"]), (&"Distance".into(), &"smiles".into()));
    world.write("change.json", "{\"limits\": {\"speed\": 1}}");
    hub.muster(&["models", "edit", "far", "change.json"]).fails(2, &["unknown field `speed`"]);
    world.write("change.json", "{'card'}");
    hub.muster(&["models", "edit", "far", "change.json"]).fails(2, &["change.json is not JSON"]);
    hub.muster(&["models", "edit", "far", "none.json"]).fails(2, &["none.json cannot be read"]);
    hub.muster(&["models", "delete", "far"]).fails(2, &["nothing was done", "--yes"]);
    hub.muster(&["models", "delete", "far", "--yes"]).fails(2, &["Disable it first"]);
    hub.good(&["models", "disable", "far"]);
    assert_eq!(hub.good(&["models", "delete", "far", "--yes"]).text, "far is deleted\n");
    hub.muster(&["models", "delete", "lengths", "--yes"]).fails(2, &["comes from a folder"]);
}

#[test]
fn an_admin_disables_a_model_and_enables_it_again() {
    let world = world();
    world.create_admin("root");
    let hub = world.hub();
    hub.muster(&["models", "disable", "lengths"]).fails(2, &["logged in"]);
    hub.good(&["login", "root", "--password-file", "password"]);
    let disabled = hub.good(&["models", "disable", "lengths", "--reason", "It is replaced."]);
    assert_eq!(disabled.text, "lengths takes no new requests\n");
    let run = hub.muster(&["run", "lengths", "--input", "abc", "-o", "out.csv"]);
    run.fails(2, &["takes no new requests: It is replaced."]);
    let all = hub.good(&["models", "--all"]).text;
    assert!(all.contains("folder") && all.contains("disabled: It is replaced."), "{all}");
    assert_eq!(hub.good(&["models", "enable", "lengths"]).text, "lengths takes requests\n");
    hub.good(&["run", "lengths", "--input", "abc", "-o", "out.csv"]);
    let forgotten = hub.good(&["models", "clear-cache", "lengths"]).text;
    assert!(forgotten.ends_with("of lengths forgotten\n"), "{forgotten}");
    hub.muster(&["models", "enable", "unknown"]).fails(2, &["no model"]);
}

/// # brief: RQ-1, RQ-3
#[test]
fn an_admin_looks_at_everybodys_requests_and_has_one_tried_again() {
    let body = "import os\ndef predict(inputs):\n\
        \x20   if not os.path.exists('../repaired'): raise ValueError('not yet')\n\
        \x20   return [{'length': len(text)} for text in inputs]\n";
    let world = World::new(&[("lengths", "[limits]\nmax_attempts = 1\n", body)]);
    assert_eq!(world.create_admin("root").code, 0, "{}", world.read("log"));
    let hub = world.hub();
    hub.muster(&["admin", "requests"]).fails(2, &["logged in"]);
    hub.good(&["login", "root", "--password-file", "password"]);
    assert_eq!(hub.good(&["admin", "requests"]).text, "no requests\n");
    hub.muster(&["run", "lengths", "--input", "abc"]).fails(1, &["not yet"]);
    let all = hub.good(&["admin", "requests", "--phase", "failed", "--json"]).json();
    let id = all["items"][0]["id"].as_str().expect("an id").to_owned();
    let listed = hub.good(&["admin", "requests", "--model", "lengths", "--oldest"]).text;
    assert!(listed.contains(&id) && listed.contains("root"), "{listed}");
    let shown = hub.good(&["admin", "request", "show", &id]).text;
    assert!(shown.contains("model_error") && !shown.contains("not yet"), "{shown}");
    world.write("models/repaired", "");
    let again = hub.good(&["admin", "request", "requeue", &id, "--json"]).json();
    assert_eq!(again["requeued_from"], id.as_str());
    let new = again["id"].as_str().expect("an id").to_owned();
    until("it ended", || hub.good(&["show", &new, "--json"]).json()["phase"] == "completed");
    let csv = hub.good(&["admin", "requests", "--csv", "--limit", "1"]).text;
    assert_eq!(csv.lines().count(), 3, "{csv}");
    hub.muster(&["admin", "request", "front", &new]).fails(2, &["ended"]);
    hub.muster(&["admin", "request", "cancel", &new]).fails(2, &["--reason"]);
    hub.good(&["admin", "request", "cancel", &new, "--reason", "too late"]);
    hub.muster(&["admin", "request", "show", "unknown"]).fails(2, &["no request"]);
}
