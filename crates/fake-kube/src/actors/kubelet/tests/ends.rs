//! How a pod ends.

use super::*;
use crate::actors::kubelet::Refusal;

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    let stage = stage();
    for (name, line, phase, code, reason) in [
        ("ok", "exit 0", "Succeeded", 0, "Completed"),
        ("bad", "echo why >&2; exit 3", "Failed", 3, "Error"),
        ("term", "kill -TERM $$$$", "Failed", 143, "Error"),
        ("kill", "kill -KILL $$$$", "Failed", 137, "Error"),
    ] {
        stage.put(shell(name, line));
        let over = stage.until(name, |pod| main_state(pod)["terminated"].is_object()).await;
        let ended = &main_state(&over)["terminated"];
        assert_eq!(over["status"]["phase"], phase, "{name}");
        assert_eq!(
            (&ended["exitCode"], &ended["reason"]),
            (&json!(code), &json!(reason)),
            "{name}"
        );
        assert!(ended["startedAt"].is_string() && ended["finishedAt"].is_string());
    }
    let bad = stage.get("bad").unwrap();
    assert_eq!(stage.lines(&bad, "main"), ["why"]);
    assert_eq!(condition(&bad, "Ready")["reason"], "PodFailed");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_start_error() {
    let stage = stage();
    let mut one = pod("p", "tools:1", json!({}));
    one["spec"]["containers"][0]["command"] = json!(["no-such-program"]);
    stage.put(one);
    let failed = stage.until("p", has_failed).await;
    let ended = &main_state(&failed)["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("StartError"), &json!(128)));
    let said = ended["message"].as_str().unwrap();
    assert!(
        said.ends_with(r#"exec: "no-such-program": executable file not found in $PATH"#),
        "{said}"
    );
}

#[tokio::test]
async fn a_container_with_more_memory_than_its_limit_is_killed() {
    let stage = stage();
    let mut one =
        shell("p", "python3 -c 'x = bytearray(120_000_000)\nimport time\ntime.sleep(60)'; exit 1");
    one["spec"]["containers"][0]["resources"] = json!({ "limits": { "memory": "80Mi" } });
    stage.put(one);
    let failed = stage.until("p", has_failed).await;
    let ended = &main_state(&failed)["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("OOMKilled"), &json!(137)));
    stage.put(shell("q", "sleep 60"));
    stage.until("q", is_ready).await;
    let (namespace, pod, container) = ("a".into(), "q".into(), "main".into());
    stage.order(Order::OutOfMemory { namespace, pod, container });
    let failed = stage.until("q", has_failed).await;
    assert_eq!(main_state(&failed)["terminated"]["reason"], "OOMKilled", "on demand");
    let none =
        Order::OutOfMemory { namespace: "a".into(), pod: "x".into(), container: "main".into() };
    let controls = stage.running.as_ref().unwrap().controls();
    assert_eq!(controls.order(none).unwrap_err(), "no container main of pod a/x runs");
}

#[tokio::test]
async fn a_pod_ends_at_its_deadline_which_may_come_later() {
    let stage = stage();
    stage.put(shell("p", "sleep 60"));
    stage.until("p", is_ready).await;
    let limit = |pod: &mut Value| pod["spec"]["activeDeadlineSeconds"] = json!(1);
    stage.objects.change(&Resource::pods(), Some("a"), "p", limit).unwrap();
    let failed = stage.until("p", |pod| main_state(pod)["terminated"].is_object()).await;
    let status = &failed["status"];
    assert_eq!(
        (&status["phase"], &status["reason"]),
        (&json!("Failed"), &json!("DeadlineExceeded"))
    );
    assert_eq!(status["message"], "Pod was active on the node longer than the specified deadline");
}

#[tokio::test]
async fn a_delete_gives_time_and_then_kills() {
    let stage = stage();
    stage
        .put(shell("soft", "trap 'echo told; exit 4' TERM; echo up; while :; do sleep 0.05; done"));
    stage.put(shell("hard", "trap '' TERM; echo up; while :; do sleep 0.05; done"));
    for name in ["soft", "hard"] {
        let pod = stage.until(name, is_ready).await;
        stage.first_line(&pod).await;
    }
    let mut changes = stage.objects.changes();
    let start = std::time::Instant::now();
    stage.delete("hard", 1);
    stage.delete("soft", 30);
    stage.until_gone("soft").await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    stage.until_gone("hard").await;
    assert!(start.elapsed() > Duration::from_millis(950), "{:?}", start.elapsed());
    let mut ends = Vec::new();
    while let Ok(change) = changes.try_recv() {
        if change.of == Resource::pods() && change.kind == crate::Happened::Deleted {
            ends.push(main_state(&change.object)["terminated"]["exitCode"].clone());
        }
    }
    assert_eq!(ends, [4, 137], "the last state is told before the end");
}

#[tokio::test]
async fn a_forced_delete_kills_at_once() {
    let stage = stage();
    stage.put(shell("p", "echo $$$$; trap '' TERM; while :; do sleep 0.05; done"));
    let pod = stage.until("p", is_ready).await;
    let pid = stage.first_line(&pod).await;
    stage.objects.remove(&Resource::pods(), Some("a"), "p").unwrap();
    let gone = async {
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn a_container_that_may_start_again_does_after_longer_and_longer_rests() {
    let stage = stage();
    let mut one = shell("p", "exit 5");
    one["spec"]["restartPolicy"] = json!("OnFailure");
    stage.put(one);
    let waits = stage
        .until("p", |pod| {
            pod["status"]["containerStatuses"][0]["restartCount"] == 2
                && main_state(pod)["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let said = main_state(&waits)["waiting"]["message"].as_str().unwrap();
    assert!(said.starts_with("back-off 600ms restarting failed container=main pod=p_a("), "{said}");
    assert_eq!(waits["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 5);
    assert_eq!(waits["status"]["phase"], "Running");
}

#[tokio::test]
async fn a_pod_is_evicted_for_memory() {
    let stage = stage();
    let mut one = shell("p", "sleep 60");
    one["spec"]["containers"][0]["resources"] = json!({ "requests": { "memory": "64Mi" } });
    stage.put(one);
    stage.until("p", is_ready).await;
    stage.order(Order::Evict { namespace: "a".into(), pod: "p".into() });
    let failed = stage.until("p", |pod| main_state(pod)["terminated"].is_object()).await;
    let status = &failed["status"];
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("Evicted")));
    let said = status["message"].as_str().unwrap();
    assert!(
        said.starts_with("The node was low on resource: memory. Threshold quantity: "),
        "{said}"
    );
    assert!(said.contains("Container main was using "), "{said}");
    assert!(said.ends_with("Ki, request is 64Mi, has larger consumption of memory. "), "{said}");
    assert_eq!(condition(&failed, "DisruptionTarget")["reason"], "TerminationByKubelet");
    assert_eq!(stage.events("Evicted"), [said]);
}

#[tokio::test]
async fn a_kubelet_refuses_what_has_no_room_or_what_it_is_told_to() {
    let stage = stage();
    // Bound by hand, past the scheduler.
    let asks = json!([{ "name": "main", "image": "pause:1", "resources": { "requests": { "cpu": "3" } } }]);
    stage.put(pod("p", "pause:1", json!({ "nodeName": "n1", "containers": asks })));
    stage.until("p", is_ready).await;
    stage.put(pod("q", "pause:1", json!({ "nodeName": "n1", "containers": asks })));
    let failed = stage.until("q", has_failed).await;
    assert_eq!(failed["status"]["reason"], "OutOfcpu");
    assert_eq!(
        failed["status"]["message"],
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 3000, \
         capacity: 4000"
    );
    let reason = "UnexpectedAdmissionError".to_owned();
    let message = "Allocate failed due to no healthy devices present; cannot allocate unhealthy \
        devices nvidia.com/gpu, which is unexpected"
        .to_owned();
    stage.order(Order::Refuse(Refusal { reason, message, node: None, pods: Some(1) }));
    stage.put(pod("r", "pause:1", json!({})));
    let failed = stage.until("r", has_failed).await;
    assert_eq!(failed["status"]["reason"], "UnexpectedAdmissionError");
    assert!(
        failed["status"]["message"].as_str().unwrap().starts_with("Pod was rejected: Allocate")
    );
    stage.put(pod("s", "pause:1", json!({ "nodeName": "n1", "nodeSelector": { "zone": "b" } })));
    let failed = stage.until("s", has_failed).await;
    assert_eq!(failed["status"]["reason"], "NodeAffinity");
    stage.put(pod("t", "pause:1", json!({})));
    stage.until("t", is_ready).await;
    stage.delete("q", 30);
    stage.until_gone("q").await;
}
