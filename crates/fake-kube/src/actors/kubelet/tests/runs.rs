//! What a pod is while it runs.

use super::*;

fn ready_by_http() -> Value {
    json!({ "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 1 })
}

async fn answers(ip: &str) -> bool {
    tokio::net::TcpStream::connect((ip, 80)).await.is_ok()
}

#[tokio::test]
async fn a_pod_is_a_process_at_an_address_of_its_own_and_goes_through_every_state() {
    let stage = stage();
    let mut changes = stage.objects.changes();
    let mut web = pod("p", "web:1", json!({}));
    web["spec"]["containers"][0]["readinessProbe"] = ready_by_http();
    stage.put(web.clone());
    web["metadata"]["name"] = json!("q");
    stage.put(web);
    let (p, q) = (stage.until("p", is_ready).await, stage.until("q", is_ready).await);
    let ip = |pod: &Value| pod["status"]["podIP"].as_str().unwrap().to_owned();
    assert!(ip(&p).starts_with("127.") && ip(&p) != ip(&q), "{} {}", ip(&p), ip(&q));
    assert!(answers(&ip(&p)).await && answers(&ip(&q)).await);

    let status = &p["status"];
    let main = &status["containerStatuses"][0];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIPs"], json!([{ "ip": ip(&p) }]));
    assert_eq!(status["qosClass"], "BestEffort");
    assert!(status["startTime"].is_string() && status["hostIP"].is_string());
    assert!(main["state"]["running"]["startedAt"].is_string());
    assert_eq!(
        (&main["ready"], &main["started"], &main["restartCount"]),
        (&json!(true), &json!(true), &json!(0))
    );
    assert_eq!(main["image"], "docker.io/library/web:1");
    let id = main["imageID"].as_str().unwrap();
    assert!(id.starts_with("docker.io/library/web@sha256:") && id.len() == 93, "{id}");
    assert!(main["containerID"].as_str().unwrap().starts_with("containerd://"));
    for kind in
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
    {
        assert_eq!(condition(&p, kind)["status"], "True", "{kind}");
    }

    let mut seen = Vec::new();
    while let Ok(change) = changes.try_recv() {
        if change.of != Resource::pods() || change.object["metadata"]["name"] != "p" {
            continue;
        }
        let pod = &change.object;
        let waits = main_state(pod)["waiting"]["reason"].as_str().unwrap_or("-");
        let now = (
            pod["status"]["phase"].as_str().unwrap().to_owned(),
            waits.to_owned(),
            condition(pod, "Ready")["reason"].as_str().unwrap_or("-").to_owned(),
        );
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    let seen: Vec<_> = seen.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("Pending", "-", "-"),
            ("Pending", "ContainerCreating", "ContainersNotReady"),
            ("Running", "-", "ContainersNotReady"),
            ("Running", "-", "-"),
        ]
    );

    for reason in ["Scheduled", "Pulling", "Pulled", "Created", "Started"] {
        assert!(!stage.events(reason).is_empty(), "{reason}");
    }
    assert_eq!(stage.events("Pulling")[0], r#"Pulling image "web:1""#);
    let pulled = stage.events("Pulled");
    let told = |text: &str| pulled.iter().any(|one| one.contains(text));
    assert!(
        told(r#"Successfully pulled image "web:1" in "#) && told("Image size: 1234 bytes."),
        "{pulled:?}"
    );
    let unready = stage.events("Unhealthy");
    assert!(
        unready.iter().all(|one| one.starts_with("Readiness probe failed: Get \"http://127.")
            && one.ends_with("connect: connection refused")),
        "{unready:?}"
    );

    stage.delete("p", 30);
    stage.until_gone("p").await;
    assert!(!answers(&ip(&p)).await, "its process has ended");
    assert!(answers(&ip(&q)).await);
    assert_eq!(stage.events("Killing"), ["Stopping container main"]);
}

#[tokio::test]
async fn the_environment_and_the_command_are_those_of_the_pod() {
    let stage = stage();
    let data =
        json!({ "metadata": { "namespace": "a", "name": "c" }, "data": { "k": "from map" } });
    stage.objects.create(&Resource::config_maps(), data).unwrap();
    let secret =
        json!({ "metadata": { "namespace": "a", "name": "s" }, "data": { "t": "aGlkZGVu" } });
    stage.objects.create(&Resource::secrets(), secret).unwrap();
    let mut one = shell("p", "echo $A-$B-$IP-$(C)-$K-$T-$HOSTNAME-$MEM-$0-$LABEL");
    let main = &mut one["spec"]["containers"][0];
    main["args"] = json!(["arg-$(A)"]);
    main["resources"] = json!({ "limits": { "memory": "64Mi" } });
    main["envFrom"] = json!([{ "secretRef": { "name": "s" }, "prefix": "S_" }]);
    main["env"] = json!([
        { "name": "A", "value": "1" },
        { "name": "B", "value": "$(A)2" },
        { "name": "C", "value": "echo" },
        { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
        { "name": "LABEL", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
        { "name": "K", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } },
        { "name": "N", "valueFrom": { "configMapKeyRef": { "name": "none", "key": "k", "optional": true } } },
        { "name": "T", "value": "$(S_t)" },
        { "name": "MEM", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory" } } },
    ]);
    one["metadata"]["labels"] = json!({ "app": "x" });
    stage.put(one);
    let over = stage.until("p", |pod| pod["status"]["phase"] == "Succeeded").await;
    let ip = over["status"]["podIP"].as_str().unwrap();
    let said = stage.lines(&over, "main");
    assert_eq!(
        said,
        [format!("1-12-{ip}-echo-from map-hidden-p-67108864-arg-1-x").replace("-echo-", "-echo-")]
    );
}

#[tokio::test]
async fn init_containers_come_first_and_sidecars_end_last() {
    let stage = stage();
    let mut one = shell("p", "sleep 0.3; echo main");
    let tool = |name: &str, line: &str| json!({ "name": name, "image": "tools:1", "command": ["sh", "-c", line] });
    let mut side =
        tool("side", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
    side["restartPolicy"] = json!("Always");
    one["spec"]["initContainers"] = json!([tool("first", "sleep 0.3; echo first"), side]);
    stage.put(one);
    let waits = stage
        .until("p", |pod| pod["status"]["initContainerStatuses"][0]["state"]["running"].is_object())
        .await;
    assert_eq!(main_state(&waits)["waiting"]["reason"], "PodInitializing");
    assert_eq!(
        condition(&waits, "Initialized")["message"],
        "containers with incomplete status: [first side]"
    );
    assert_eq!(waits["status"]["phase"], "Pending");
    let over = stage
        .until("p", |pod| {
            pod["status"]["phase"] == "Succeeded"
                && pod["status"]["initContainerStatuses"][1]["state"]["terminated"].is_object()
        })
        .await;
    let init = &over["status"]["initContainerStatuses"];
    assert_eq!(init[0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(stage.lines(&over, "side"), ["up", "bye"]);
    assert_eq!(condition(&over, "Ready")["reason"], "PodCompleted");
}

#[tokio::test]
async fn an_init_container_that_fails_fails_its_pod() {
    let stage = stage();
    let mut one = shell("p", "echo never");
    one["spec"]["initContainers"] =
        json!([{ "name": "first", "image": "tools:1", "command": ["sh", "-c", "exit 7"] }]);
    stage.put(one);
    let failed = stage.until("p", has_failed).await;
    assert_eq!(failed["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 7);
    assert_eq!(main_state(&failed)["waiting"]["reason"], "PodInitializing");
}

#[tokio::test]
async fn probes_decide_when_a_container_has_started_is_ready_and_has_to_end() {
    let stage = stage();
    let mut one = shell("p", "sleep 0.3; touch up; sleep 3; rm up; sleep 60");
    let asks = |file: &str| json!({ "exec": { "command": ["test", "-e", file] }, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 1 });
    let main = &mut one["spec"]["containers"][0];
    main["startupProbe"] = json!({ "exec": { "command": ["test", "-e", "up"] }, "periodSeconds": 1, "failureThreshold": 5 });
    main["livenessProbe"] = asks("up");
    main["readinessProbe"] = asks("up");
    stage.put(one);
    let waits = stage.until("p", |pod| main_state(pod)["running"].is_object()).await;
    assert_eq!(waits["status"]["containerStatuses"][0]["started"], false);
    assert!(!is_ready(&waits));
    stage
        .until("p", |pod| is_ready(pod) && pod["status"]["containerStatuses"][0]["started"] == true)
        .await;
    let failed = stage.until("p", has_failed).await;
    assert_eq!(main_state(&failed)["terminated"]["exitCode"], 143);
    assert_eq!(
        stage.events("Killing"),
        ["Container main failed liveness probe, will be restarted"]
    );
}

#[tokio::test]
async fn use_is_measured_while_a_container_runs() {
    let mut quick = settings();
    quick.kubelet.metrics = Duration::from_millis(200);
    let stage = stage_with(quick);
    stage.put(shell("p", "python3 -c 'x = bytearray(30_000_000)\nwhile True: pass'"));
    let measured = async {
        loop {
            let usage = stage.running.as_ref().unwrap().controls().usage();
            let main = usage.first().and_then(|pod| pod.containers.get("main").copied());
            if main
                .is_some_and(|it| it.memory_bytes > 30_000_000 && it.cpu_nano_cores > 100_000_000)
            {
                return usage[0].pod.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(timeout(Duration::from_secs(30), measured).await.unwrap(), "p");
    let served = |of: &Resource, namespace, name: &str| stage.objects.get(of, namespace, name);
    let told = async {
        loop {
            let metrics = served(&Resource::pod_metrics(), Some("a"), "p").unwrap_or_default();
            let memory = metrics["containers"][0]["usage"]["memory"].as_str().unwrap_or_default();
            let kilobytes = memory.strip_suffix("Ki").and_then(|it| it.parse::<u64>().ok());
            if kilobytes.is_some_and(|it| it > 30_000) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let metrics = timeout(Duration::from_secs(30), told).await.unwrap();
    assert_eq!((&metrics["kind"], &metrics["window"]), (&json!("PodMetrics"), &json!("0.2s")));
    let node = served(&Resource::node_metrics(), None, "n1").unwrap();
    assert!(node["usage"]["cpu"].as_str().unwrap().ends_with('n'), "{node}");
    stage.delete("p", 0);
    let gone = async {
        while served(&Resource::pod_metrics(), Some("a"), "p").is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn an_address_can_be_given_to_another_pod_and_clocks_can_differ() {
    let stage = stage();
    stage.put(pod("p", "pause:1", json!({})));
    let first = stage.until("p", is_ready).await;
    let address = first["status"]["podIP"].as_str().unwrap();
    stage.order(Order::GiveAddress { address: address.parse().unwrap() });
    stage.order(Order::Skew { seconds: 3600 });
    stage.put(pod("q", "pause:1", json!({})));
    let second = stage.until("q", is_ready).await;
    assert_eq!(second["status"]["podIP"], address);
    let at = |pod: &Value| -> jiff::Timestamp {
        pod["status"]["startTime"].as_str().unwrap().parse().unwrap()
    };
    let ahead = at(&second).duration_since(at(&first)).as_secs();
    assert!((3599..3620).contains(&ahead), "{ahead}");
}

#[tokio::test]
async fn all_processes_end_with_the_actors() {
    let mut stage = stage();
    // A child that left its group ends as well.
    stage.put(shell("p", "setsid sleep 300 & echo $!; wait"));
    let pod = stage.until("p", is_ready).await;
    let pid = stage.first_line(&pod).await;
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let lives = || state().is_some_and(|stat| !stat.contains(") Z "));
    assert!(lives());
    stage.running.take();
    let gone = async {
        while lives() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), gone).await.unwrap();
}
