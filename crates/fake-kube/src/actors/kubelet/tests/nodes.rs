//! What happens to the pods of a node that something happens to.

use super::*;

fn tolerates(seconds: u64) -> Value {
    json!([{ "key": "node.kubernetes.io/unreachable", "operator": "Exists",
        "effect": "NoExecute", "tolerationSeconds": seconds }])
}

fn n1() -> String {
    "n1".to_owned()
}

impl Stage {
    async fn until_node(&self, what: impl Fn(&Value) -> bool) -> Arc<Value> {
        let found = async {
            loop {
                let node = self.objects.get(&Resource::nodes(), None, "n1");
                if let Some(node) = node.filter(|node| what(node)) {
                    return node;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), found).await.unwrap()
    }
}

fn taints(node: &Value) -> Vec<String> {
    let taints = node["spec"]["taints"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    taints.map(|taint| text(&taint["key"]) + ":" + &text(&taint["effect"])).collect()
}

#[tokio::test]
async fn a_node_without_power_loses_its_pods_which_stay_terminating_until_it_is_back() {
    let stage = stage();
    let mut one = shell("p", "sleep 60");
    one["spec"]["tolerations"] = tolerates(1);
    stage.put(one);
    stage.put(pod("q", "pause:1", json!({ "tolerations": [{ "operator": "Exists" }] })));
    stage.until("q", is_ready).await;
    stage.until("p", is_ready).await;
    let lost = std::time::Instant::now();
    stage.order(Order::NodeOff { node: n1() });
    let node = stage
        .until_node(|node| {
            condition(node, "Ready")["status"] == "Unknown" && taints(node).len() == 2
        })
        .await;
    assert_eq!(condition(&node, "Ready")["reason"], "NodeStatusUnknown");
    assert_eq!(condition(&node, "Ready")["message"], "Kubelet stopped posting node status.");
    assert_eq!(
        taints(&node),
        ["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute",]
    );
    let unready = stage.until("p", |pod| !is_ready(pod)).await;
    assert!(unready["metadata"]["deletionTimestamp"].is_null(), "tolerated for a second");
    let going = stage.until("p", |pod| pod["metadata"]["deletionTimestamp"].is_string()).await;
    assert!(lost.elapsed() > Duration::from_millis(1300), "{:?}", lost.elapsed());
    assert_eq!(condition(&going, "DisruptionTarget")["reason"], "DeletionByTaintManager");
    assert_eq!(going["status"]["phase"], "Running", "nobody can say what it is");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(stage.get("p").is_some());
    stage.order(Order::NodeBack { node: n1() });
    stage.until_gone("p").await;
    let node = stage.until_node(|node| condition(node, "Ready")["status"] == "True").await;
    assert_eq!(condition(&node, "Ready")["reason"], "KubeletReady");
    stage.until_node(|node| taints(node).is_empty()).await;
    // One that tolerates everything stayed; what ran in it was lost with the power.
    let lost = stage.until("q", has_failed).await;
    let ended = &main_state(&lost)["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("Unknown"), &json!(255)));
}

#[tokio::test]
async fn a_node_that_is_silent_goes_on_and_tells_later() {
    let stage = stage();
    stage.put(shell("p", "sleep 0.6; exit 3"));
    stage.until("p", is_ready).await;
    stage.order(Order::NodeSilent { node: n1() });
    stage.until("p", |pod| !is_ready(pod)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let told = stage.get("p").unwrap();
    // Without a toleration it is taken away, and nobody there hears that.
    assert!(told["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(told["status"]["phase"], "Running");
    let mut changes = stage.objects.changes();
    stage.order(Order::NodeBack { node: n1() });
    stage.until_gone("p").await;
    let mut last = None;
    while let Ok(change) = changes.try_recv() {
        if change.of == Resource::pods() {
            last = Some(change.object);
        }
    }
    assert_eq!(main_state(&last.unwrap())["terminated"]["exitCode"], 3);
}

#[tokio::test]
async fn pods_of_a_node_that_is_gone_are_removed() {
    let stage = stage();
    stage.put(shell("p", "sleep 60"));
    stage.until("p", is_ready).await;
    let mut changes = stage.objects.changes();
    stage.order(Order::NodeRemove { node: n1() });
    stage.until_gone("p").await;
    let mut last = None;
    while let Ok(change) = changes.try_recv() {
        if change.of == Resource::pods() {
            last = Some(change.object);
        }
    }
    let last = last.unwrap();
    assert_eq!(condition(&last, "DisruptionTarget")["reason"], "DeletionByPodGC");
    assert_eq!(condition(&last, "DisruptionTarget")["message"], "PodGC: node no longer exists");
    assert_eq!(last["status"]["phase"], "Failed");
}

#[tokio::test]
async fn a_node_that_is_shut_down_ends_its_pods_and_takes_no_others() {
    let stage = stage();
    let mut one = shell("p", "sleep 60");
    one["spec"]["tolerations"] = json!([{ "operator": "Exists" }]);
    stage.put(one);
    stage.until("p", is_ready).await;
    stage.order(Order::NodeShutDown { node: n1() });
    let failed = stage.until("p", |pod| main_state(pod)["terminated"].is_object()).await;
    assert_eq!(failed["status"]["reason"], "Terminated");
    let said = "Pod was terminated in response to imminent node shutdown.";
    assert_eq!(failed["status"]["message"], said);
    assert_eq!(condition(&failed, "DisruptionTarget")["reason"], "TerminationByKubelet");
    stage.until_node(|node| condition(node, "Ready")["message"] == "node is shutting down").await;
    stage.put(pod(
        "q",
        "pause:1",
        json!({ "nodeName": "n1", "tolerations": [{ "operator": "Exists" }] }),
    ));
    let refused = stage.until("q", has_failed).await;
    assert_eq!(refused["status"]["reason"], "NodeShutdown");
}

#[tokio::test]
async fn a_node_is_drained_and_cordoned() {
    let stage = stage();
    stage.put(shell("p", "sleep 60"));
    stage.until("p", is_ready).await;
    let mut changes = stage.objects.changes();
    stage.order(Order::NodeDrain { node: n1() });
    stage.until_gone("p").await;
    let mut reason = Value::Null;
    while let Ok(change) = changes.try_recv() {
        if change.of == Resource::pods() && !condition(&change.object, "DisruptionTarget").is_null()
        {
            reason = condition(&change.object, "DisruptionTarget")["reason"].clone();
        }
    }
    assert_eq!(reason, "EvictionByEvictionAPI");
    let node = stage.until_node(|node| !taints(node).is_empty()).await;
    assert_eq!(taints(&node), ["node.kubernetes.io/unschedulable:NoSchedule"]);
    assert_eq!(node["spec"]["unschedulable"], true);
}

#[tokio::test]
async fn a_node_that_says_it_is_not_ready_is_tainted_and_an_unknown_one_is_an_error() {
    let stage = stage();
    let why = Some("container runtime is down".to_owned());
    stage.order(Order::NodeNotReady { node: n1(), why });
    let node = stage.until_node(|node| !taints(node).is_empty()).await;
    assert_eq!(condition(&node, "Ready")["reason"], "KubeletNotReady");
    assert_eq!(condition(&node, "Ready")["message"], "container runtime is down");
    assert_eq!(taints(&node)[1], "node.kubernetes.io/not-ready:NoExecute");
    stage.order(Order::NodeNotReady { node: n1(), why: None });
    stage.until_node(|node| taints(node).is_empty()).await;
    let controls = stage.running.as_ref().unwrap().controls();
    let unknown = controls.order(Order::NodeOff { node: "n9".into() });
    assert_eq!(unknown.unwrap_err(), "there is no node n9");
}

#[tokio::test]
async fn orders_are_read_from_json() {
    for text in [
        r#"{"nodeOff": {"node": "n1"}}"#,
        r#"{"imageFault": {"name": "x", "fault": "rateLimited"}}"#,
        r#"{"imageFault": {"name": "x", "fault": null}}"#,
        r#"{"scheduler": {"mode": {"fails": "why"}, "bindAfterMillis": 20}}"#,
        r#"{"giveAddress": {"address": "127.1.2.3"}}"#,
        r#"{"refuse": {"reason": "OutOfcpu", "message": "m", "pods": 1}}"#,
    ] {
        let order: Order = serde_json::from_str(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        let again = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&again).unwrap(), order);
    }
    serde_json::from_str::<Order>(r#"{"nodeOff": {"nodes": "n1"}}"#).unwrap_err();
}
