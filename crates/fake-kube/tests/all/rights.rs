//! Who may do what, and who comes in at all.

use fake_kube::{Config, Tls, User};
use serde_json::{Value, json};

use crate::client::{PODS, message, pod, start};

#[tokio::test]
async fn quotas_and_admission_refuse_in_words() {
    let admission = |asked: &fake_kube::Asked<'_>| match asked.object["metadata"]["name"]
        == "unwanted"
    {
        true => {
            Err("admission webhook \"policy.example.com\" denied the request: not here".to_owned())
        }
        false => Ok(()),
    };
    let client =
        start(Config { admission: Some(std::sync::Arc::new(admission)), ..Config::default() })
            .await;
    let (code, refused) = client.post(PODS, pod("unwanted")).await;
    assert_eq!(
        (code.as_u16(), message(&refused)),
        (403, "admission webhook \"policy.example.com\" denied the request: not here")
    );
    let quota = json!({ "metadata": { "name": "q" }, "spec": { "hard": { "pods": "2", "requests.cpu": "1" } } });
    client.post("/api/v1/namespaces/default/resourcequotas", quota).await;
    let (code, refused) = client.post(PODS, pod("x")).await;
    assert_eq!(
        (code.as_u16(), message(&refused)),
        (403, "pods \"x\" is forbidden: failed quota: q: must specify requests.cpu for: c")
    );
    let asking = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": cpu } });
        pod
    };
    assert_eq!(client.post(PODS, asking("x", "600m")).await.0, 201);
    let (code, refused) = client.post(PODS, asking("y", "500m")).await;
    let words = "pods \"y\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1";
    assert_eq!((code.as_u16(), message(&refused)), (403, words));
    client
        .until("/api/v1/namespaces/default/resourcequotas/q", |q| {
            q["status"]["used"]["pods"] == "1"
        })
        .await;
    let end = json!({ "status": { "phase": "Succeeded" } });
    client.patch(&format!("{PODS}/x/status"), "merge-patch+json", end).await;
    assert_eq!(client.post(PODS, asking("y", "500m")).await.0, 201, "an ended pod takes nothing");
}

#[tokio::test]
async fn roles_decide_and_tokens_expire() {
    let mut config = Config::default();
    config.tokens.insert("hub".to_owned(), User::service_account("models", "hub"));
    let mut client = start(config).await;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    client.post("/api/v1/namespaces", json!({ "metadata": { "name": "models" } })).await;
    let role = json!({ "metadata": { "name": "hub" }, "rules": [
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "create"] },
        { "apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"] },
        { "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"] },
    ] });
    client.post(&format!("{rbac}/namespaces/models/roles"), role).await;
    let binding = json!({ "metadata": { "name": "hub" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub" },
        "subjects": [{ "kind": "ServiceAccount", "name": "hub", "namespace": "models" }] });
    client.post(&format!("{rbac}/namespaces/models/rolebindings"), binding).await;
    client.token = Some("hub".to_owned());
    assert_eq!(client.get("/api/v1/namespaces/models/pods").await.0, 200);
    let (code, refused) = client.get("/api/v1/pods").await;
    let words = "pods is forbidden: User \"system:serviceaccount:models:hub\" cannot list resource \"pods\" in API group \"\" at the cluster scope";
    assert_eq!((code.as_u16(), message(&refused)), (403, words));
    let (_, refused) = client.delete("/api/v1/namespaces/models/pods/x", Value::Null).await;
    let words = "pods \"x\" is forbidden: User \"system:serviceaccount:models:hub\" cannot delete resource \"pods\" in API group \"\" in the namespace \"models\"";
    assert_eq!(message(&refused), words);
    let ask = async |attributes: Value| {
        let review = json!({ "spec": { "resourceAttributes": attributes } });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        client.post(path, review).await.1["status"]["allowed"].clone()
    };
    assert_eq!(
        ask(json!({ "verb": "create", "resource": "pods", "namespace": "models" })).await,
        true
    );
    assert_eq!(ask(json!({ "verb": "create", "resource": "pods" })).await, false);
    assert_eq!(ask(json!({ "verb": "get", "resource": "pods", "subresource": "log", "namespace": "models" })).await, true);
    assert_eq!(
        ask(
            json!({ "verb": "get", "resource": "configmaps", "namespace": "models", "name": "one" })
        )
        .await,
        true
    );
    assert_eq!(
        ask(
            json!({ "verb": "get", "resource": "configmaps", "namespace": "models", "name": "two" })
        )
        .await,
        false
    );
    client.token = Some("expired".to_owned());
    assert_eq!(client.get("/api/v1/namespaces/models/pods").await.0, 401);
}

#[tokio::test]
async fn who_does_not_know_the_authority_does_not_come_in() {
    let tls = Tls::throwaway().expect("openssl");
    let client = start(Config { tls: Some(tls.clone()), ..Config::default() }).await;
    let url = format!("{}/version", client.kube.url());
    let refused = client.http.get(&url).send().await.expect_err("an unknown authority");
    assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");
    let other = Tls::throwaway().expect("openssl");
    for (authority, comes_in) in [(&other.authority, false), (&tls.authority, true)] {
        let known = reqwest::Certificate::from_pem(authority.as_bytes()).expect("PEM");
        let http = reqwest::Client::builder().tls_certs_only([known]).build().expect("a client");
        assert_eq!(http.get(&url).send().await.is_ok(), comes_in);
    }
    let config = client.kube.kubeconfig_with(Some("hub"));
    assert!(config.contains("certificate-authority-data") && config.contains("\"token\": \"hub\""));
}
