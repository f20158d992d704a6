//! Which crate may use which: the firewalls of `docs/ARCHITECTURE.md`.

use std::collections::BTreeSet;
use std::path::Path;

/// Each crate and what it may use of ours.
const ALLOWED: [(&str, &[&str]); 10] = [
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
];

/// It reads what was stored without the store's code, to check it.
const BENCH: &str = "../bench";

/// What the core must never know.
const IMPURE: [&str; 6] = ["tokio", "sqlx", "kube", "axum", "tracing", "reqwest"];

fn dependencies(name: &str) -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of all crates");
    let manifest = crates.join(name).join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
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
