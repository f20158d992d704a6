//! Which crate may use which, and which folder of a crate: the firewalls of `docs/ARCHITECTURE.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate and what it may use of ours.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("core", &[]),
    ("store", &["core"]),
    ("cluster", &["core"]),
    ("sandbox", &[]),
    ("model-server", &["core", "sandbox"]),
    ("engine", &["core", "store", "cluster"]),
    ("server", &["core", "store"]),
    ("web", &[]),
    ("muster", &["core", "store", "cluster", "sandbox", "model-server", "engine", "server", "web"]),
    (BENCH, &["core"]),
    ("fake-kube", &[]),
];

/// It reads what was stored without the store's code, to check it.
const BENCH: &str = "../bench";

/// The folders and files of `store/src`, from the ground up. Those on one rung stand beside each other: a file
/// imports its own folder and what is below it. What `lib.rs` gives out by itself (`crate::Error`) is
/// everybody's.
const STORE: [&[&str]; 11] = [
    &["aside", "counters", "crash", "error"],
    &["db"],
    &["objects"],
    &["writer"],
    &["types", "requests"],
    &["people"],
    &["instances"],
    &["nodes", "queue"],
    &["catalogue", "predictions", "statistics"],
    &["oversight", "clearing", "examine"],
    &["open", "lib"],
];

/// The same of `server/src`.
const SERVER: [&[&str]; 9] = [
    &["http", "folder_links", "made", "origin"],
    &["identity", "reading", "web"],
    &["config"],
    &["state"],
    &["app"],
    &["api"],
    &["legacy"],
    &["docs"],
    &["routes", "lib"],
];

/// What the core must never know.
const IMPURE: [&str; 6] = ["tokio", "sqlx", "kube", "axum", "tracing", "reqwest"];

fn crates() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of all crates")
}

fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = crates().join(name).join("Cargo.toml");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().to_owned();
    section.lines().filter(|line| !line.trim().is_empty()).map(name).collect()
}

#[test]
fn every_crate_uses_only_what_it_may() {
    for (name, allowed) in ALLOWED {
        let allowed: BTreeSet<String> = allowed.iter().map(|n| format!("muster-{n}")).collect();
        let ours = dependencies(name).into_iter().filter(|d| d.starts_with("muster-"));
        let more: Vec<String> = ours.filter(|d| !allowed.contains(d)).collect();
        assert!(more.is_empty(), "{name} must not use {more:?}");
    }
}

#[test]
fn only_tests_use_the_fake_cluster() {
    for (name, _) in ALLOWED {
        assert!(!dependencies(name).contains("fake-kube"), "{name} must not use fake-kube");
    }
}

#[test]
fn the_core_stays_pure() {
    let used = dependencies("core");
    for impure in IMPURE {
        assert!(!used.contains(impure), "the core must not use {impure}");
    }
}

#[test]
fn only_the_store_knows_sql() {
    for (name, _) in ALLOWED.iter().filter(|(name, _)| !["store", BENCH].contains(name)) {
        assert!(!dependencies(name).contains("sqlx"), "{name} must not use sqlx");
    }
}

#[test]
fn no_folder_imports_one_that_stands_above_or_beside_it() {
    for (name, ladder) in [("store", &STORE[..]), ("server", &SERVER[..])] {
        let src = crates().join(name).join("src");
        let all: BTreeSet<&str> = ladder.iter().copied().flatten().copied().collect();
        let mut rooms = BTreeSet::new();
        let mut upward = Vec::new();
        for file in files(&src) {
            let path = file.strip_prefix(&src).expect("a file of the crate").to_owned();
            let first = path.iter().next().and_then(|first| first.to_str()).expect("a name");
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&file).expect("a file");
            let imports = imports(&text);
            let rung = |room: &str| ladder.iter().position(|rung| rung.contains(&room));
            for other in imports.iter().filter(|other| all.contains(other.as_str())) {
                if *other != room && rung(other) >= rung(&room) {
                    upward.push(format!("{}: {other}", path.display()));
                }
            }
            rooms.insert(room);
        }
        let known: BTreeSet<String> = all.iter().map(|room| (*room).to_owned()).collect();
        assert_eq!(rooms, known, "{name} has other folders than the ladder");
        assert!(upward.is_empty(), "in {name}, upward: {upward:?}");
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    let all = entries.flat_map(|entry| below(entry.path()));
    all.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
}

/// What follows `crate::` in the code, also in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    for rest in code.split("crate::").skip(1) {
        let Some(braced) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (at, c) in braced.char_indices() {
            if start && depth == 0 {
                found.insert(name(&braced[at..]));
            }
            start = c == ',';
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    found
}

#[test]
fn imports_are_seen_however_they_are_written() {
    let text = "use crate::db::Ts;\nuse crate::{Error, queue::claim, writer::{Op, Tx}};\n\
                // use crate::comment;\nlet x = crate::people::audit::note;";
    let want = ["Error", "db", "people", "queue", "writer"].map(str::to_owned);
    assert_eq!(imports(text), BTreeSet::from(want));
}
