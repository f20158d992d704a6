//! Programs that answer well, and all the ways in which they do not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use muster_core::room::{FailureClass, GroupId, MachineState, NodeId, Refusal, Told};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Command, CommandConfig, Provider};

/// A program with this body, which finds what it was told in `asked`.
fn program(body: &str) -> (TempDir, Command) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("provider");
    let script = format!("#!/bin/sh\ncd {}\ncat > asked\n{body}\n", folder.path().display());
    fs::write(&path, script).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    let environment = vec![("PATH".into(), "/usr/bin:/bin".into()), ("KEY".into(), "7".into())];
    let patience = Duration::from_secs(1);
    (folder, Command::new(CommandConfig { program: path, environment, patience }))
}

async fn groups(answer: &str) -> Result<Vec<(GroupId, Told)>, Refusal> {
    let (_folder, command) = program(&format!("cat <<'END'\n{answer}\nEND"));
    let groups = command.groups().await?;
    Ok(groups.into_iter().map(|(id, told)| (id, told.expect("a group"))).collect())
}

fn group(more: &str) -> String {
    format!(r#"{{"groups": [{{"id": "g", "target": 1, "machines": [{more}]}}]}}"#)
}

#[tokio::test]
async fn groups_are_read() {
    let answer = r#"{"groups": [{"id": "gpu", "min": 0, "max": 4, "target": 2, "price": 526,
        "template": {"cpu": 7.5, "memory_mib": 60000, "gpus": 1, "labels": {"zone": "a"}},
        "machines": [{"id": "i-1", "node": "n1", "state": "running"},
          {"id": "i-2", "state": "failed", "class": "capacity", "message": "none of these"}]}]}"#;
    let (id, told) = groups(answer).await.expect("groups").remove(0);
    assert_eq!(
        (id.0.as_str(), told.min, told.max, told.target, told.price),
        ("gpu", Some(0), Some(4), 2, 526)
    );
    let template = told.template.expect("a template");
    let amounts = &template.allocatable;
    assert_eq!(
        (amounts.cpu, amounts.memory, amounts.of("nvidia.com/gpu")),
        (7500, 60_000 << 20, 1)
    );
    assert_eq!(template.labels["zone"], "a");
    assert_eq!(told.machines[0].node, Some(NodeId("n1".into())));
    let failed =
        MachineState::Failed { class: FailureClass::Capacity, message: "none of these".into() };
    assert_eq!((&told.machines[1].node, &told.machines[1].state), (&None, &failed));
}

#[tokio::test]
async fn what_is_asked_is_one_object_and_what_it_sees_is_what_it_was_given() {
    let (folder, command) = program("env > environment");
    let order = Uuid::from_u128(5);
    command.remove(&"gpu".into(), &["i-1".into()], order).await.expect("nothing is a yes");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
    let asked: serde_json::Value = serde_json::from_str(&read("asked")).expect("JSON");
    let want =
        serde_json::json!({"do": "remove", "group": "gpu", "machines": ["i-1"], "order": order});
    assert_eq!(asked, want);
    command.resize(&"gpu".into(), 3, order).await.expect("a yes");
    let asked: serde_json::Value = serde_json::from_str(&read("asked")).expect("JSON");
    assert_eq!((&asked["do"], &asked["to"]), (&"resize".into(), &3.into()));
    let environment = read("environment");
    assert!(environment.contains("KEY=7") && !environment.contains("CARGO"), "{environment}");
}

#[tokio::test]
async fn what_is_not_understood_is_no_answer() {
    let machine = r#"{"id": "m", "state": "running"}"#;
    for (answer, says) in [
        ("", "not understood"),
        ("ready!", "not understood"),
        (r#"{"groups": []} {"groups": []}"#, "not understood"),
        (&group(r#"{"id": "m", "state": "asleep"}"#), "unknown variant `asleep`"),
        (&group(r#"{"id": "m", "state": "running", "nodes": "x"}"#), "unknown field `nodes`"),
        (&group(&format!("{machine}, {machine}")), "names the machine m twice"),
        (&group(r#"{"id": "a b", "state": "running"}"#), "\"a b\" is no name"),
        (r#"{"groups": [{"id": "g", "target": -1, "machines": []}]}"#, "invalid value"),
        (r#"{"groups": [{"id": "g", "target": 1.5, "machines": []}]}"#, "1.5"),
        (r#"{"groups": [{"id": "g", "target": 1}]}"#, "missing field `machines`"),
        (
            r#"{"groups": [{"id": "g", "target": 1, "machines": []}, {"id": "g", "target": 2, "machines": []}]}"#,
            "names the group g twice",
        ),
        (
            r#"{"groups": [{"id": "g", "target": 1, "machines": [], "template": {"cpu": 0, "memory_mib": 5}}]}"#,
            "no cpu",
        ),
        (
            r#"{"groups": [{"id": "g", "target": 1, "machines": [], "template": {"cpu": 1, "memory_mib": 99999999999999}}]}"#,
            "more than any machine",
        ),
    ] {
        let refused = groups(answer).await.expect_err(says);
        assert_eq!(refused.class, FailureClass::Other);
        assert!(refused.message.contains(says), "{answer}: {}", refused.message);
    }
    let (_folder, chatty) = program("echo done");
    let refused = chatty.resize(&"g".into(), 1, Uuid::nil()).await.expect_err("no yes");
    assert!(refused.message.contains("not understood"), "{}", refused.message);
}

#[tokio::test]
async fn a_no_has_its_class_and_its_words() {
    for (body, class, says) in [
        (
            r#"echo '{"error": {"class": "quota", "message": "eight of them"}}'; exit 3"#,
            FailureClass::Quota,
            "eight of them",
        ),
        (
            "echo 'first line'; echo 'no such zone' >&2; exit 2",
            FailureClass::Other,
            "exit status: 2: no such zone",
        ),
        ("exit 1", FailureClass::Other, "it said nothing"),
        ("kill -9 $$", FailureClass::Other, "signal: 9"),
    ] {
        let (_folder, command) = program(body);
        let refused = command.resize(&"g".into(), 1, Uuid::nil()).await.expect_err(says);
        assert_eq!(refused.class, class);
        assert!(refused.message.contains(says), "{}", refused.message);
    }
    let nowhere = CommandConfig {
        program: "/nowhere".into(),
        environment: vec![],
        patience: Duration::from_secs(1),
    };
    let refused = Command::new(nowhere).groups().await.expect_err("no program");
    assert!(refused.message.contains("/nowhere: No such file"), "{}", refused.message);
}

#[tokio::test]
async fn one_that_hangs_is_killed_with_what_it_started() {
    let (folder, command) = program("sleep 600 & echo $! > child; wait");
    let begun = Instant::now();
    let refused = command.groups().await.expect_err("it hangs");
    assert!(refused.message.contains("took more than 1 s"), "{}", refused.message);
    assert!(begun.elapsed() < Duration::from_secs(30));
    let child = fs::read_to_string(folder.path().join("child")).expect("a file");
    let process = format!("/proc/{}/stat", child.trim());
    let gone = || !fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
    while !gone() {
        assert!(begun.elapsed() < Duration::from_secs(30), "its child lives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_endless_answer_is_no_answer() {
    let (_folder, command) = program("yes");
    let refused = command.groups().await.expect_err("too long");
    let either = ["too long", "took more than"];
    assert!(either.iter().any(|words| refused.message.contains(words)), "{}", refused.message);
}
