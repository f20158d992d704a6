//! What is created and changed, and who has set what.

use fake_kube::{Config, Kind};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{PODS, message, pod, start};

#[tokio::test]
async fn what_cannot_be_stored_is_refused_with_the_words_of_the_api() {
    let client = start(Config::default()).await;
    let (code, made) = client.post(PODS, pod("x")).await;
    assert_eq!(code, 201);
    assert_eq!(made["status"], json!({ "phase": "Pending", "qosClass": "BestEffort" }));
    assert_eq!(made["spec"]["restartPolicy"], "Always");
    let (code, again) = client.post(PODS, pod("x")).await;
    assert_eq!((code.as_u16(), message(&again)), (409, "pods \"x\" already exists"));
    let (code, bad) = client.post(PODS, pod("X")).await;
    assert_eq!(code, 422);
    assert!(
        message(&bad)
            .starts_with("Pod \"X\" is invalid: metadata.name: Invalid value: \"X\": a lowercase")
    );
    let (code, nowhere) = client.post("/api/v1/namespaces/none/pods", pod("x")).await;
    assert_eq!((code.as_u16(), message(&nowhere)), (404, "namespaces \"none\" not found"));
    let mut classy = pod("y");
    classy["spec"]["priorityClassName"] = json!("none");
    let (code, refused) = client.post(PODS, classy).await;
    let words = "pods \"y\" is forbidden: no PriorityClass with name none was found";
    assert_eq!((code.as_u16(), message(&refused)), (403, words));
    let mut more = pod("more");
    more["spec"]["containers"][0]["imagee"] = json!("i:2");
    let (code, refused) =
        client.post(&format!("{PODS}?fieldValidation=Strict"), more.clone()).await;
    let words = "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].imagee\"";
    assert_eq!((code.as_u16(), message(&refused)), (400, words));
    let (code, made) = client.post(PODS, more).await;
    assert_eq!((code.as_u16(), &made["spec"]["containers"][0]["imagee"]), (201, &Value::Null));
    let mut generated = pod("");
    generated["metadata"] = json!({ "generateName": "job-" });
    let (code, made) = client.post(PODS, generated).await;
    assert_eq!(code, 201);
    assert!(made["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("job-")));
    let (code, dry) = client.post(&format!("{PODS}?dryRun=All"), pod("z")).await;
    assert_eq!((code.as_u16(), &dry["metadata"]["name"]), (201, &json!("z")));
    assert_eq!(client.get(&format!("{PODS}/z")).await.0, 404);
    let (code, gone) = client.get("/apis/none/v1/things").await;
    assert_eq!((code.as_u16(), &gone["reason"]), (404, &json!("NotFound")));
}

#[tokio::test]
async fn writes_of_those_who_have_not_seen_the_last_one_are_refused() {
    let client = start(Config::default()).await;
    let (_, made) = client.post(PODS, pod("x")).await;
    let path = format!("{PODS}/x");
    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    client.patch(&path, "merge-patch+json", label.clone()).await;
    let put = client.send(Method::PUT, &path, "application/json", made.clone()).await;
    assert_eq!((put.0.as_u16(), &put.1["reason"]), (409, &json!("Conflict")));
    let mut stale = label;
    stale["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    assert_eq!(client.patch(&path, "merge-patch+json", stale).await.0, 409);
    let test = json!([
        { "op": "test", "path": "/metadata/labels/a", "value": "c" },
        { "op": "add", "path": "/metadata/labels/d", "value": "e" },
    ]);
    assert_eq!(client.patch(&path, "json-patch+json", test).await.0, 422);
    let test = json!([
        { "op": "test", "path": "/metadata/labels/a", "value": "b" },
        { "op": "add", "path": "/metadata/labels/d", "value": "e" },
    ]);
    let (code, patched) = client.patch(&path, "json-patch+json", test).await;
    assert_eq!((code.as_u16(), &patched["metadata"]["labels"]["d"]), (200, &json!("e")));
    let (code, refused) =
        client.patch(&path, "merge-patch+json", json!({ "spec": { "nodeName": "n" } })).await;
    assert_eq!(code, 422);
    assert!(message(&refused).contains("pod updates may not change fields other than"));
    // A patch that changes nothing writes nothing.
    let again = json!({ "metadata": { "labels": { "d": "e" } } });
    let (_, same) = client.patch(&path, "merge-patch+json", again).await;
    assert_eq!(same["metadata"]["resourceVersion"], patched["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn the_status_is_changed_by_its_own_path_alone() {
    let client = start(Config::default()).await;
    client.post(PODS, pod("x")).await;
    let path = format!("{PODS}/x");
    let both =
        json!({ "metadata": { "annotations": { "a": "b" } }, "status": { "phase": "Running" } });
    let (_, after) = client.patch(&path, "merge-patch+json", both).await;
    assert_eq!(after["status"]["phase"], "Pending");
    let both = json!({ "spec": { "nodeName": "n" }, "status": { "phase": "Running" } });
    let (_, after) = client.patch(&format!("{path}/status"), "merge-patch+json", both).await;
    assert_eq!(
        (&after["status"]["phase"], &after["spec"]["nodeName"]),
        (&json!("Running"), &Value::Null)
    );
}

#[tokio::test]
async fn custom_kinds_have_versions_a_scale_and_no_strategic_patches() {
    let machines = Kind::custom(
        "cluster.x-k8s.io",
        &["v1beta2", "v1beta1"],
        "machinedeployments",
        "MachineDeployment",
    )
    .with_scale();
    let client = start(Config { kinds: vec![machines], ..Config::default() }).await;
    let old = "/apis/cluster.x-k8s.io/v1beta1/namespaces/default/machinedeployments";
    let new = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machinedeployments";
    let workers = json!({ "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "MachineDeployment",
        "metadata": { "name": "workers" }, "spec": { "replicas": 1 }, "status": { "replicas": 9 } });
    let (code, made) = client.post(old, workers).await;
    assert_eq!(
        (code.as_u16(), &made["status"], &made["metadata"]["generation"]),
        (201, &Value::Null, &json!(1))
    );
    let (_, seen) = client.get(&format!("{new}/workers")).await;
    assert_eq!(seen["apiVersion"], "cluster.x-k8s.io/v1beta2");
    let scale = format!("{new}/workers/scale");
    let (_, is) = client.get(&scale).await;
    assert_eq!((&is["kind"], &is["spec"]["replicas"]), (&json!("Scale"), &json!(1)));
    let (code, scaled) =
        client.patch(&scale, "merge-patch+json", json!({ "spec": { "replicas": 3 } })).await;
    assert_eq!((code.as_u16(), &scaled["spec"]["replicas"]), (200, &json!(3)));
    let (_, seen) = client.get(&format!("{old}/workers")).await;
    assert_eq!(
        (&seen["spec"]["replicas"], &seen["metadata"]["generation"]),
        (&json!(3), &json!(2))
    );
    let patch = json!({ "spec": { "replicas": 4 } });
    assert_eq!(
        client.patch(&format!("{old}/workers"), "strategic-merge-patch+json", patch).await.0,
        415
    );
}

#[tokio::test]
async fn fields_that_somebody_applied_are_theirs() {
    let client = start(Config::default()).await;
    let path = "/api/v1/namespaces/default/configmaps/m";
    let apply = async |manager: &str, data: Value| {
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": data });
        client.patch(&format!("{path}?fieldManager={manager}"), "apply-patch+yaml", map).await
    };
    let (code, made) = apply("one", json!({ "a": "1", "b": "1" })).await;
    assert_eq!((code.as_u16(), &made["data"]), (201, &json!({ "a": "1", "b": "1" })));
    let owned = &made["metadata"]["managedFields"][0];
    assert_eq!((&owned["manager"], &owned["operation"]), (&json!("one"), &json!("Apply")));
    assert_eq!(owned["fieldsV1"], json!({ "f:data": { "f:a": {}, "f:b": {} } }));
    let (code, refused) = apply("two", json!({ "a": "2" })).await;
    let words = "Apply failed with 1 conflict: conflict with \"one\" using v1: .data.a";
    assert_eq!((code.as_u16(), message(&refused)), (409, words));
    assert_eq!(
        apply("two", json!({ "b": "1", "c": "2" })).await.0,
        200,
        "the same value is no conflict"
    );
    let (_, after) = apply("one", json!({ "a": "1" })).await;
    assert_eq!(after["data"], json!({ "a": "1", "b": "1", "c": "2" }), "b is also the other's");
    let (_, after) = apply("two", json!({ "c": "2" })).await;
    assert_eq!(after["data"], json!({ "a": "1", "c": "2" }), "now it is nobody's");
    let (code, after) = apply("two&force=true", json!({ "a": "2" })).await;
    assert_eq!((code.as_u16(), &after["data"]), (200, &json!({ "a": "2" })));
    let (_, same) = apply("two", json!({ "a": "2" })).await;
    assert_eq!(same["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]);
    assert_eq!(
        client
            .patch(path, "apply-patch+yaml", json!({ "apiVersion": "v1", "kind": "ConfigMap" }))
            .await
            .0,
        422
    );
}
