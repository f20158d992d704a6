//! How objects go.

use fake_kube::{Config, Resource};
use serde_json::{Value, json};

use crate::client::{PODS, message, pod, start};

#[tokio::test]
async fn a_pod_on_a_node_waits_for_its_kubelet_and_goes_by_its_uid_only() {
    let client = start(Config::default()).await;
    let (_, made) = client.post(PODS, pod("x")).await;
    let path = format!("{PODS}/x");
    let other = json!({ "preconditions": { "uid": "other" } });
    let (code, refused) = client.delete(&path, other).await;
    assert_eq!((code.as_u16(), &refused["reason"]), (409, &json!("Conflict")));
    let binding = json!({ "metadata": { "name": "x" }, "target": { "kind": "Node", "name": "n" } });
    assert_eq!(client.post(&format!("{path}/binding"), binding.clone()).await.0, 201);
    assert_eq!(client.post(&format!("{path}/binding"), binding).await.0, 409, "it has a place");
    let uid =
        json!({ "preconditions": { "uid": made["metadata"]["uid"] }, "gracePeriodSeconds": 7 });
    let (code, going) = client.delete(&path, uid).await;
    assert_eq!((code.as_u16(), &going["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(7)));
    assert!(client.get(&path).await.1["metadata"]["deletionTimestamp"].is_string());
    // A longer grace does not come back, a shorter one does.
    let (_, still) = client.delete(&path, Value::Null).await;
    assert_eq!(still["metadata"]["deletionGracePeriodSeconds"], 7);
    client
        .kube
        .objects()
        .remove(&Resource::pods(), Some("default"), "x")
        .expect("what a kubelet does");
    assert_eq!(client.get(&path).await.0, 404);
    client.post(PODS, pod("y")).await;
    client.delete(&format!("{PODS}/y"), Value::Null).await;
    assert_eq!(client.get(&format!("{PODS}/y")).await.0, 404, "it never had a place");
}

#[tokio::test]
async fn finalizers_owners_and_namespaces_end_in_their_order() {
    let client = start(Config::default()).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let held = json!({ "metadata": { "name": "held", "finalizers": ["example.com/hold"] } });
    let (_, owner) = client.post(maps, held).await;
    let owned = json!({ "metadata": { "name": "owned", "ownerReferences": [{ "apiVersion": "v1",
        "kind": "ConfigMap", "name": "held", "uid": owner["metadata"]["uid"] }] } });
    client.post(maps, owned).await;
    let (_, waits) = client.delete(&format!("{maps}/held"), Value::Null).await;
    assert!(waits["metadata"]["deletionTimestamp"].is_string());
    let more = json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/more"] } });
    assert_eq!(client.patch(&format!("{maps}/held"), "merge-patch+json", more).await.0, 422);
    let free = json!({ "metadata": { "finalizers": null } });
    client.patch(&format!("{maps}/held"), "merge-patch+json", free).await;
    assert_eq!(client.get(&format!("{maps}/held")).await.0, 404);
    client.gone(&format!("{maps}/owned")).await;
    // In the foreground the owner goes last, by its own will it leaves orphans.
    for (policy, name, left) in [("Foreground", "first", 404), ("Orphan", "second", 200)] {
        let (_, owner) = client.post(maps, json!({ "metadata": { "name": name } })).await;
        let below = format!("{name}-owned");
        let owned = json!({ "metadata": { "name": below, "ownerReferences": [{ "apiVersion": "v1",
            "kind": "ConfigMap", "name": name, "uid": owner["metadata"]["uid"] }] } });
        client.post(maps, owned).await;
        client.delete(&format!("{maps}/{name}"), json!({ "propagationPolicy": policy })).await;
        client.gone(&format!("{maps}/{name}")).await;
        let (code, orphan) = client.get(&format!("{maps}/{below}")).await;
        assert_eq!(code, left);
        let owners = orphan["metadata"]["ownerReferences"].as_array();
        assert!(owners.is_none_or(Vec::is_empty), "{orphan}");
    }
    client.post("/api/v1/namespaces", json!({ "metadata": { "name": "team" } })).await;
    let held = json!({ "metadata": { "name": "held", "finalizers": ["example.com/hold"] } });
    let within = "/api/v1/namespaces/team/configmaps";
    client.post(within, held).await;
    client.delete("/api/v1/namespaces/team", Value::Null).await;
    let (code, refused) = client.post(within, json!({ "metadata": { "name": "late" } })).await;
    assert_eq!(
        (code.as_u16(), &refused["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    let free = json!({ "metadata": { "finalizers": null } });
    client.patch(&format!("{within}/held"), "merge-patch+json", free).await;
    client.gone("/api/v1/namespaces/team").await;
}

#[tokio::test]
async fn evictions_keep_to_their_budget() {
    let client = start(Config::default()).await;
    for name in ["a", "b"] {
        let mut pod = pod(name);
        pod["metadata"]["labels"] = json!({ "app": "web" });
        client.post(PODS, pod).await;
        client.ready(name).await;
    }
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({ "metadata": { "name": "web" }, "spec": { "minAvailable": 1,
        "selector": { "matchLabels": { "app": "web" } } } });
    client.post(budgets, budget).await;
    let budget =
        client.until(&format!("{budgets}/web"), |b| b["status"]["disruptionsAllowed"] == 1).await;
    assert_eq!(budget["status"]["currentHealthy"], 2);
    let evict = async |name: &str, more: Value| {
        let mut eviction =
            json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        eviction["deleteOptions"] = more;
        client.post(&format!("{PODS}/{name}/eviction"), eviction).await
    };
    let wrong = json!({ "preconditions": { "uid": "other" } });
    assert_eq!(evict("a", wrong).await.0, 409);
    assert_eq!(evict("a", json!({ "dryRun": ["All"] })).await.0, 201);
    assert_eq!(evict("a", json!({ "gracePeriodSeconds": 9 })).await.0, 201);
    let going = client.get(&format!("{PODS}/a")).await.1;
    assert_eq!(going["metadata"]["deletionGracePeriodSeconds"], 9);
    let target = going["status"]["conditions"]
        .as_array()
        .expect("conditions")
        .iter()
        .find(|c| c["type"] == "DisruptionTarget")
        .expect("the condition");
    assert_eq!(target["reason"], "EvictionByEvictionAPI");
    let (code, refused) = evict("b", Value::Null).await;
    assert_eq!(code, 429);
    assert_eq!(
        message(&refused),
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget web needs 1 healthy pods and has 1 currently"
    );
    assert_eq!(evict("a", Value::Null).await.0, 201, "what goes is kept by no budget");
    assert_eq!(evict("none", Value::Null).await.0, 404);
}
