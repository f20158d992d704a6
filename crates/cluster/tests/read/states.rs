//! Recorded pods, what each of them leads to, and the table of it in docs/kubernetes.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use muster_cluster::kube::read::pod::{Phase, pod_state};
use muster_core::pointer::escaped;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::does::does;

/// A row of the table: what is expected of a recorded pod.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The name of its file, without its ending.
    file: String,
    /// What happened, for the document.
    state: String,
    /// The word of kubectl.
    status: String,
    phase: String,
    does: String,
    /// What a user reads, and what an administrator reads.
    user: String,
    admin: String,
}

const BEGIN: &str = "<!-- The table is written by the tests: see docs/testing.md. -->\n";
const END: &str = "<!-- End of the table. -->";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pods")
}

fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(folder().join("states.json")).expect("the table");
    serde_json::from_str(&text).expect("rows")
}

fn recorded(file: &str) -> Value {
    let path = folder().join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn read(file: &str) -> Row {
    let pod: Pod = serde_json::from_value(recorded(file)).expect("a pod");
    let state = pod_state(&pod);
    let (phase, user) = match &state.phase {
        Phase::Starts { waits, .. } => ("starts", waits.for_users().to_owned()),
        Phase::Ready { .. } => ("ready", String::new()),
        Phase::Stuck { cause } => ("stuck", cause.to_string()),
        Phase::Leaves { cause } => ("leaves", cause.to_string()),
        Phase::Ended { cause, .. } => ("ended", cause.to_string()),
    };
    Row {
        file: file.to_owned(),
        state: String::new(),
        status: state.status.clone(),
        phase: phase.to_owned(),
        does: does(&state.phase).to_string(),
        user,
        admin: state.for_admin(),
    }
}

#[test]
fn each_state_leads_to_what_the_table_says() {
    let mut wrong = Vec::new();
    for row in rows() {
        let is = Row { state: row.state.clone(), ..read(&row.file) };
        if is != row {
            wrong.push(format!("is       {is:?}\nexpected {row:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn every_recorded_pod_stands_in_the_table_once() {
    let rows = rows();
    let named: BTreeSet<String> = rows.iter().map(|row| format!("{}.json", row.file)).collect();
    assert_eq!(named.len(), rows.len());
    let files = std::fs::read_dir(folder()).expect("recorded pods");
    let there: BTreeSet<String> = files
        .map(|file| file.expect("a file").file_name().into_string().expect("a name"))
        .filter(|name| name != "states.json")
        .collect();
    assert_eq!(named, there);
    assert!(rows.len() >= 45);
}

fn table() -> String {
    let mut text = String::from(
        "\n| State | `STATUS` | The hub | A user reads | The cluster says |\n|---|---|---|---|---|\n",
    );
    for Row { state, status, does, user, admin, .. } in rows() {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;");
        let user = if user.is_empty() { "-".to_owned() } else { cell(&user) };
        text.push_str(&format!(
            "| {} | `{status}` | {does} | {user} | {} |\n",
            cell(&state),
            cell(&admin)
        ));
    }
    text.push('\n');
    text
}

/// With `MUSTER_UPDATE=1` it is written anew.
#[test]
fn the_document_has_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/kubernetes.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let (before, rest) = text.split_once(BEGIN).expect("a begin of the table");
    let (written, after) = rest.split_once(END).expect("an end of the table");
    if std::env::var_os("MUSTER_UPDATE").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", table())).expect("written");
        return;
    }
    assert!(written == table(), "it is not that of states.json; write it: see docs/testing.md");
}

#[test]
fn all_that_the_hub_does_occurs() {
    let does: BTreeSet<String> = rows().into_iter().map(|row| row.does).collect();
    assert_eq!(does.len(), 11, "{does:?}");
}

/// Where something stands in an object.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    let mut deeper = |key: String, value: &Value| {
        let at = format!("{at}/{}", escaped(&key));
        into.push(at.clone());
        places(value, &at, into);
    };
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| deeper(key.clone(), value));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| deeper(n.to_string(), value));
        }
        _ => {}
    }
}

fn take_away(value: &mut Value, at: &str) {
    let Some((parent, key)) = at.rsplit_once('/') else { return };
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            let n: usize = key.parse().expect("a place");
            if n < items.len() {
                items.remove(n);
            }
        }
        _ => {}
    }
}

/// What anybody may make of a text or a number.
fn other(value: &Value, seed: usize) -> Value {
    let texts = ["", "OOMKilled", "Failed", "False", "-1", "ünïcödé \u{0}", "9999999999999999999"];
    match value {
        Value::String(_) => Value::from(texts[seed % texts.len()]),
        Value::Number(_) => Value::from([0, -1, i32::MIN, i32::MAX, 137][seed % 5]),
        Value::Bool(is) => Value::from(!is),
        other => other.clone(),
    }
}

fn is_total(pod: Value) {
    // What is no pod is not read at all.
    let Ok(pod) = serde_json::from_value::<Pod>(pod) else { return };
    let state = pod_state(&pod);
    let _ = (does(&state.phase), state.for_admin(), state.gone().to_string());
    let its = pod.status.as_ref();
    if let Phase::Ready { .. } = state.phase {
        assert_eq!(its.and_then(|its| its.phase.as_deref()), Some("Running"));
    }
    // What goes gets no work, and is not waited for.
    if let Phase::Ready { .. } | Phase::Starts { .. } = state.phase {
        assert!(pod.metadata.deletion_timestamp.is_none(), "{state:?}");
    }
}

/// Whatever is left out of a pod, or is as small as a number can be: it is read.
#[test]
fn a_pod_of_which_anything_is_missing_is_read() {
    for row in rows() {
        let whole = recorded(&row.file);
        let mut all = Vec::new();
        places(&whole, "", &mut all);
        for at in all {
            let mut pod = whole.clone();
            take_away(&mut pod, &at);
            is_total(pod);
            if whole.pointer(&at).is_some_and(Value::is_number) {
                let mut pod = whole.clone();
                *pod.pointer_mut(&at).expect("a number") = Value::from(i32::MIN);
                is_total(pod);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Several values of a pod are changed, left out, or those of another pod.
    #[test]
    fn a_pod_that_somebody_changed_is_read(
        which in any::<prop::sample::Index>(),
        with in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40), 1..6),
    ) {
        let rows = rows();
        let mut pod = recorded(&which.get(&rows).file);
        let from = recorded(&with.get(&rows).file);
        for (at, seed) in changes {
            let mut all = Vec::new();
            places(&pod, "", &mut all);
            if all.is_empty() {
                break;
            }
            let at = at.get(&all).clone();
            match (seed % 4, from.pointer(&at)) {
                (0, _) => take_away(&mut pod, &at),
                (1, Some(its)) => *pod.pointer_mut(&at).expect("a value") = its.clone(),
                _ => {
                    let value = pod.pointer_mut(&at).expect("a value");
                    *value = other(value, seed / 4);
                }
            }
        }
        is_total(pod);
    }
}
