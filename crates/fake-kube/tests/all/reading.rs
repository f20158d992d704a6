//! Lists, watches and logs.

use std::time::Duration;

use fake_kube::{Config, Resource};
use serde_json::{Value, json};

use crate::client::{PODS, message, pod, start};

#[tokio::test]
async fn pages_of_a_list_are_of_one_moment_and_expire() {
    let client = start(Config::default()).await;
    for name in ["a", "b", "c"] {
        client.post(PODS, pod(name)).await;
    }
    let (_, page) = client.get(&format!("{PODS}?limit=2")).await;
    let version = page["metadata"]["resourceVersion"].clone();
    assert_eq!(page["metadata"]["remainingItemCount"], 1);
    let token = page["metadata"]["continue"].as_str().expect("a token").to_owned();
    client.delete(&format!("{PODS}/c"), Value::Null).await;
    client.post(PODS, pod("d")).await;
    let next = format!("{PODS}?limit=2&continue={token}");
    let (_, rest) = client.get(&next).await;
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|i| i["metadata"]["name"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(names(&rest), ["c"], "as it was when the first page was read");
    assert_eq!(rest["metadata"]["resourceVersion"], version);
    let exact = format!(
        "{PODS}?resourceVersion={}&resourceVersionMatch=Exact",
        version.as_str().expect("a version")
    );
    assert_eq!(names(&client.get(&exact).await.1), ["a", "b", "c"]);
    client.kube.objects().compact();
    let (code, expired) = client.get(&next).await;
    assert_eq!((code.as_u16(), &expired["reason"]), (410, &json!("Expired")));
    let token = expired["metadata"]["continue"].as_str().expect("one that goes on");
    let (code, rest) = client.get(&format!("{PODS}?limit=2&continue={token}")).await;
    assert_eq!((code.as_u16(), names(&rest)), (200, vec!["d".to_owned()]));
    assert_eq!(client.get(&exact).await.0, 410);
    let (code, future) = client.get(&format!("{PODS}?resourceVersion=999999")).await;
    assert_eq!((code.as_u16(), &future["reason"]), (504, &json!("Timeout")));
    assert_eq!(client.get(&format!("{PODS}?resourceVersionMatch=Exact")).await.0, 422);
}

#[tokio::test]
async fn a_watch_tells_who_enters_and_leaves_its_selector() {
    let client = start(Config::default()).await;
    client.post(PODS, pod("old")).await;
    let (_, list) = client.get(PODS).await;
    let version = list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned();
    let path = format!("{PODS}?watch=1&labelSelector=ours&resourceVersion={version}");
    let mut watch = client.watch(&path).await;
    let label = |value: Value| json!({ "metadata": { "labels": { "ours": value } } });
    let x = format!("{PODS}/old");
    client.patch(&x, "merge-patch+json", label(json!("1"))).await;
    client.patch(&x, "merge-patch+json", label(json!("2"))).await;
    let (_, last) = client.patch(&x, "merge-patch+json", label(Value::Null)).await;
    assert_eq!(watch.names(2).await, ["ADDED old", "MODIFIED old"]);
    let (kind, left) = watch.next().await.expect("an event");
    assert_eq!((kind.as_str(), &left["metadata"]["labels"]["ours"]), ("DELETED", &json!("2")));
    assert_eq!(left["metadata"]["resourceVersion"], last["metadata"]["resourceVersion"]);
    client.delete(&x, Value::Null).await;
    assert!(watch.is_silent().await, "it had left");
}

#[tokio::test]
async fn a_watch_of_a_version_that_is_forgotten_has_expired() {
    let client = start(Config { history: 2, ..Config::default() }).await;
    for name in ["a", "b", "c"] {
        client.post(PODS, pod(name)).await;
    }
    let mut watch = client.watch(&format!("{PODS}?watch=1&resourceVersion=101")).await;
    let (kind, status) = watch.next().await.expect("an event");
    assert_eq!(
        (kind.as_str(), &status["code"], &status["reason"]),
        ("ERROR", &json!(410), &json!("Expired"))
    );
    assert!(watch.next().await.is_none(), "and then it ends");
    // Without a version it begins with what there is.
    let mut watch = client.watch(&format!("{PODS}?watch=1")).await;
    assert_eq!(watch.names(3).await, ["ADDED a", "ADDED b", "ADDED c"]);
}

#[tokio::test]
async fn a_quiet_watch_says_up_to_where_it_is_and_ends_when_it_should() {
    let bookmarks = Duration::from_millis(50);
    let client = start(Config { bookmarks, ..Config::default() }).await;
    let path =
        format!("{PODS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion=105");
    let mut watch = client.watch(&path).await;
    client
        .post("/api/v1/namespaces/default/configmaps", json!({ "metadata": { "name": "m" } }))
        .await;
    let (_, list) = client.get(PODS).await;
    let latest = &list["metadata"]["resourceVersion"];
    loop {
        let (kind, object) = watch.next().await.expect("a bookmark of the other kind's write");
        assert_eq!((kind.as_str(), &object["kind"]), ("BOOKMARK", &json!("Pod")));
        if object["metadata"]["resourceVersion"] == *latest {
            break;
        }
    }
    while watch.next().await.is_some() {}
    let path = format!(
        "{PODS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    assert_eq!(client.get(&path).await.0, 422, "1.33 does not know it");
    let client = start(Config { minor: 34, ..Config::default() }).await;
    client.post(PODS, pod("a")).await;
    let mut watch = client.watch(&path).await;
    assert_eq!(watch.names(1).await, ["ADDED a"]);
    let (kind, end) = watch.next().await.expect("the end of the first events");
    assert_eq!(kind, "BOOKMARK");
    assert_eq!(end["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn events_have_two_shapes_and_one_place() {
    let client = start(Config::default()).await;
    let new = json!({ "metadata": { "name": "e" }, "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "Started",
        "note": "it goes", "type": "Normal", "action": "Start", "reportingController": "muster",
        "reportingInstance": "h", "regarding": { "kind": "Pod", "name": "x", "uid": "u" } });
    let (code, _) = client.post("/apis/events.k8s.io/v1/namespaces/default/events", new).await;
    assert_eq!(code, 201);
    let of_pod =
        "/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid%3Du%2Ctype%3DNormal";
    let (_, list) = client.get(of_pod).await;
    let event = &list["items"][0];
    assert_eq!(
        (&event["message"], &event["reportingComponent"]),
        (&json!("it goes"), &json!("muster"))
    );
    let (_, event) = client.get("/apis/events.k8s.io/v1/namespaces/default/events/e").await;
    assert_eq!((&event["note"], &event["regarding"]["name"]), (&json!("it goes"), &json!("x")));
}

#[tokio::test]
async fn metrics_are_served_once_there_are_any() {
    let client = start(Config::default()).await;
    let path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods";
    assert_eq!(client.get(path).await.0, 404);
    let used = json!({ "metadata": { "namespace": "default", "name": "x" }, "timestamp": "2026-01-01T00:00:00Z",
        "window": "15s", "containers": [{ "name": "c", "usage": { "cpu": "100m", "memory": "1Gi" } }] });
    client.kube.objects().create(&Resource::pod_metrics(), used).expect("metrics");
    let (code, list) = client.get(path).await;
    assert_eq!((code.as_u16(), &list["kind"]), (200, &json!("PodMetricsList")));
    assert_eq!(list["items"][0]["containers"][0]["usage"]["cpu"], "100m");
    assert_eq!(client.get(&format!("{path}?watch=1")).await.0, 405, "only looked at");
}

#[tokio::test]
async fn logs_are_followed_to_their_end() {
    let client = start(Config::default()).await;
    let (_, made) = client.post(PODS, pod("x")).await;
    let path = format!("{PODS}/x/log");
    let (code, refused) = client.get(&path).await;
    assert_eq!((code.as_u16(), message(&refused)), (400, "pod x does not have a host assigned"));
    client.ready("x").await;
    let (uid, logs) = (made["metadata"]["uid"].as_str().expect("a uid"), client.kube.logs());
    for text in ["one", "two", "three"] {
        logs.line(uid, "c", text);
    }
    assert_eq!(client.get(&format!("{path}?tailLines=2")).await.1, "two\nthree\n");
    assert_eq!(client.get(&format!("{path}?limitBytes=5")).await.1, "one\nt");
    let (_, refused) = client.get(&format!("{path}?container=none")).await;
    assert_eq!(message(&refused), "container none is not valid for pod x");
    let path = format!("{path}?follow=true&tailLines=1");
    let follows = client.get(&path);
    let writes = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        logs.line(uid, "c", "four");
        logs.end(uid, "c");
    };
    let ((_, followed), ()) = tokio::join!(follows, writes);
    assert_eq!(followed, "three\nfour\n");
}

#[tokio::test]
async fn a_burst_is_told_whole_and_in_order_and_a_crowd_is_listed_in_pages() {
    let client = start(Config::default()).await;
    let mut watch = client.watch(&format!("{PODS}?watch=1&resourceVersion=100")).await;
    let objects = client.kube.objects();
    for number in 0..5000 {
        let mut crowd = pod(&format!("pod-{number:04}"));
        crowd["metadata"]["namespace"] = json!("default");
        objects.create(&Resource::pods(), crowd).expect("a pod");
    }
    let begin = std::time::Instant::now();
    for number in 0..5000 {
        let (kind, told) = watch.next().await.expect("an event");
        assert_eq!(kind, "ADDED");
        assert_eq!(told["metadata"]["name"], format!("pod-{number:04}"));
    }
    println!("5,000 events: {:?}", begin.elapsed());
    let begin = std::time::Instant::now();
    let (mut path, mut count) = (format!("{PODS}?limit=500"), 0);
    loop {
        let (_, page) = client.get(&path).await;
        count += page["items"].as_array().map_or(0, Vec::len);
        let Some(token) = page["metadata"]["continue"].as_str() else { break };
        path = format!("{PODS}?limit=500&continue={token}");
        // Pages are of one moment, whatever happens meanwhile.
        objects.remove(&Resource::pods(), Some("default"), &format!("pod-{count:04}"));
    }
    println!("5,000 pods in pages: {:?}", begin.elapsed());
    assert_eq!(count, 5000);
}
