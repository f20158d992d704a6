//! A client that shows answers word by word, and watches by hand.

use std::time::Duration;

use fake_kube::{Config, FakeKube};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

pub struct Client {
    pub kube: FakeKube,
    pub http: reqwest::Client,
    pub token: Option<String>,
}

pub async fn start(config: Config) -> Client {
    // As the binary does it: of several libraries for TLS one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let kube = FakeKube::start(config).await.expect("a port");
    Client { kube, http: reqwest::Client::new(), token: None }
}

impl Client {
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let mut asked = self.http.request(method, format!("{}{path}", self.kube.url()));
        if !body.is_null() {
            asked = asked.header("content-type", kind).body(body.to_string());
        }
        if let Some(token) = &self.token {
            asked = asked.bearer_auth(token);
        }
        let answer = asked.send().await.expect("an answer");
        let code = answer.status();
        let text = answer.text().await.expect("text");
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Method::GET, path, "", Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, "application/json", body).await
    }

    pub async fn patch(&self, path: &str, kind: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::PATCH, path, &format!("application/{kind}"), body).await
    }

    pub async fn delete(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::DELETE, path, "application/json", body).await
    }

    pub async fn watch(&self, path: &str) -> Watch {
        let answer = self.http.get(format!("{}{path}", self.kube.url())).send().await;
        Watch { answer: answer.expect("an answer"), read: Vec::new() }
    }
}

pub struct Watch {
    answer: reqwest::Response,
    read: Vec<u8>,
}

impl Watch {
    /// The type and the object of the next event; [`None`] at the end.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let mut event: Value = serde_json::from_slice(&line).expect("an event");
                let kind = event["type"].as_str().expect("a type").to_owned();
                return Some((kind, event["object"].take()));
            }
            let more = tokio::time::timeout(Duration::from_secs(20), self.answer.chunk()).await;
            match more.expect("an event within 20 s") {
                Ok(Some(more)) => self.read.extend_from_slice(&more),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    pub async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            let (kind, object) = self.next().await.expect("an event");
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            names.push(format!("{kind} {name}"));
        }
        names
    }

    /// Whether nothing is said for a while.
    pub async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(300), self.answer.chunk()).await.is_err()
    }
}

pub const PODS: &str = "/api/v1/namespaces/default/pods";

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
    })
}

pub fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or_default()
}

impl Client {
    /// Waits until nothing is there any more.
    pub async fn gone(&self, path: &str) {
        self.until(path, |answer| answer["code"] == 404).await;
    }

    pub async fn until(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let (_, answer) = self.get(path).await;
            if is(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{path} stays {}", self.get(path).await.1)
    }

    /// Placed, running and ready.
    pub async fn ready(&self, name: &str) {
        let binding = json!({ "metadata": { "name": name }, "target": { "name": "n" } });
        self.post(&format!("{PODS}/{name}/binding"), binding).await;
        let status = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        self.patch(&format!("{PODS}/{name}/status"), "strategic-merge-patch+json", status).await;
    }
}
