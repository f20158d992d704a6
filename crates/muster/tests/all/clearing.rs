//! `muster clean` beside a hub, and a hub that clears by itself. RT-1.

use std::path::Path;

use crate::support::{Hub, LENGTHS, Output, World, until};

const CLEAN: [&str; 5] = ["clean", "--older-than", "1s", "--data-dir", "data"];

/// More than stays in the database, and more tasks than go in one transaction.
fn world() -> World {
    let world = World::new(&[("lengths", "[limits]\nbatch_size = 10\n", LENGTHS)]);
    world.write(
        "in.txt",
        (0..4000).map(|n| format!("{n} {}\n", "x".repeat(30))).collect::<String>(),
    );
    world
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

fn clean(world: &World, more: &[&str]) -> Output {
    world.muster(&[&CLEAN[..], more].concat())
}

/// Two ended requests, one of them large, that are a second old.
fn fill(hub: &Hub) {
    hub.good(&["run", "lengths", "in.txt", "-o", "out.csv", "--quiet"]);
    hub.good(&["run", "lengths", "--input", "abc", "-o", "out.csv", "--quiet"]);
    assert!(files(&hub.world.path("data/objects")) > 0);
    until("they are old enough", || {
        clean(hub.world, &["--dry-run", "--json"]).json()["requests"] == 2
    });
}

#[test]
fn a_clean_beside_a_running_hub_says_what_it_cleared_and_the_hub_goes_on() {
    let world = world();
    let hub = world.hub();
    fill(&hub);
    let list = hub.good(&["requests", "--csv"]).text;
    let header = "id,model,model_version,phase,submitted_at,started_at,ended_at,expires_at,";
    assert!(list.starts_with(header) && list.lines().count() == 3, "{list}");
    let requests = hub.good(&["requests", "--json"]).json();
    let id = requests["items"][1]["id"].as_str().expect("an id").to_owned();
    let shown = hub.good(&["show", &id]).text;
    assert!(shown.contains("Cleared") && shown.contains("in 6 d"), "{shown}");
    let dry = clean(&world, &["--dry-run"]);
    assert!(dry.text.starts_with("would clear 2 requests ("), "{dry:?}");
    assert_eq!(hub.good(&["requests", "--json"]).json(), requests, "nothing was changed");
    let other = clean(&world, &["--auth-type", "account"]);
    assert!(other.text.starts_with("cleared 0 requests"), "{other:?}");
    let cleared = clean(&world, &["--json"]);
    assert_eq!(cleared.code, 0, "{cleared:?}");
    let cleared = cleared.json();
    assert_eq!((&cleared["requests"], &cleared["dry_run"]), (&2.into(), &false.into()));
    assert_eq!(files(&world.path("data/objects")), 0);
    assert_eq!(hub.good(&["requests"]).text, "no requests\n");
    hub.muster(&["show", &id]).fails(2, &["no request"]);
    let verified = world.muster(&["stats", "verify", "--data-dir", "data"]);
    assert!(verified.text.contains("were cleared; they still count"), "{verified:?}");
    assert!(verified.text.contains("agree"), "{verified:?}");
    hub.good(&["run", "lengths", "--input", "abc", "-o", "out.csv"]);
}

#[test]
fn ages_that_cannot_be_meant_are_refused() {
    let world = World::new(&[]);
    for (age, words) in [("0", "give 1s"), ("7", "7d, 12h"), ("a week", "7d, 12h")] {
        world.muster(&["clean", "--older-than", age]).fails(2, &[words]);
    }
    world.muster(&["clean", "--auth-type", "nobody"]).fails(2, &["account or anonymous"]);
    let mut wrong = world.command(&["clean", "--dry-run"]);
    wrong.env("MUSTER_CLEARING_ACCOUNT", "weekly");
    Output::of(wrong).fails(2, &["clearing.account", "0 for never"]);
    assert!(!world.path("data/muster.db").exists(), "nothing was made");
}

/// I-10, I-60
#[test]
fn a_clean_that_is_killed_anywhere_leaves_nothing_visible_and_nothing_for_ever() {
    for point in
        ["before-commit:3", "during-clearing", "after-burial:2", "after-removal-before-unmark"]
    {
        let world = world();
        let hub = world.hub();
        fill(&hub);
        let mut killed = world.command(&CLEAN);
        killed.env("MUSTER_CRASH_AT", point);
        let killed = Output::of(killed);
        assert!(killed.error.contains("crash point"), "{point}: {killed:?}");
        // Whatever is still seen is whole.
        let seen = hub.good(&["requests", "--json"]).json();
        for request in seen["items"].as_array().expect("requests") {
            let id = request["id"].as_str().expect("an id");
            let result = hub.good(&["result", id, "-o", "-"]).text;
            let rows = request["inputs"].as_u64().expect("a number") as usize;
            assert_eq!(result.lines().count(), rows + 1, "{point}");
        }
        let finished = clean(&world, &[]);
        assert_eq!(finished.code, 0, "{point}: {finished:?}");
        assert_eq!(hub.good(&["requests"]).text, "no requests\n", "{point}");
        assert_eq!(files(&world.path("data/objects")), 0, "{point}");
        let verified = world.muster(&["stats", "verify", "--data-dir", "data"]);
        assert!(verified.text.contains("agree"), "{point}: {verified:?}");
    }
}

#[test]
fn a_hub_clears_by_itself_as_its_settings_say() {
    let world = world();
    let mut hub = world.hub();
    fill(&hub);
    hub.terminate();
    assert!(hub.until_ended().success(), "{}", world.read("log"));
    let hub = world.hub_with(&[], |command| {
        command.env("MUSTER_CLEARING_ANONYMOUS", "1s").env("MUSTER_CLEARING_EVERY", "1s");
    });
    until("they are cleared", || hub.good(&["requests"]).text == "no requests\n");
    until("their objects too", || files(&world.path("data/objects")) == 0);
    until("it says so", || world.read("log").contains("cleared"));
}
