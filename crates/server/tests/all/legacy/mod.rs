//! What clients of the predecessor send, and what they get.

mod requests;
mod sessions;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::hub::{Hub, base64};

const ID: &str = "3f0b4c1e-8a52-4f1d-9d0e-0a1b2c3d4e5f";
const REQUESTS: &str = "/api/work-requests";

/// Somebody who sends the whole session back, as it was given.
struct Client<'h> {
    hub: &'h Hub,
    session: Value,
}

impl<'h> Client<'h> {
    async fn anonymous(hub: &'h Hub, id: &str) -> Self {
        let path = format!("/api/auth/anonymous-login/{id}");
        let answer = ok(hub.http.post(hub.url(&path))).await;
        Self { hub, session: answer["session"].clone() }
    }

    fn authorization(&self) -> String {
        let scheme = self.session["auth_type"].as_str().expect("a word");
        format!("{scheme} {}", base64(&self.session.to_string()))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.hub.http.request(method, self.hub.url(path));
        request.header("authorization", self.authorization())
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    fn submission(&self, payload: Value) -> RequestBuilder {
        let body = json!({"model_id": "lengths", "request_payload": payload});
        self.post(REQUESTS).json(&body)
    }

    async fn submit(&self, entries: &[&str]) -> Value {
        ok(self.submission(json!({"entries": entries}))).await
    }

    /// Submits, plays the engine, and fetches the result.
    async fn run(&self, entries: &[&str]) -> Value {
        let id = self.submit(entries).await["id"].as_str().expect("an id").to_owned();
        self.hub.complete(self.hub.claim().await).await;
        ok(self.get(&format!("{REQUESTS}/{id}?include_result=True&csv_result=true"))).await
    }

    async fn ids(&self, query: &str) -> Vec<String> {
        let list = ok(self.get(&format!("{REQUESTS}?{query}"))).await;
        let ids = list["items"].as_array().expect("items").iter();
        ids.map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn ok(request: RequestBuilder) -> Value {
    let answer = send(request).await;
    let status = answer.status();
    let text = answer.text().await.expect("text");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The words of an answer that is an error of this status and nothing else.
async fn detail(request: RequestBuilder, status: u16) -> String {
    let answer = send(request).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let got = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(got, status, "{body}");
    let members = body.as_object().expect("an object");
    assert_eq!(members.len(), 1, "{body}");
    let words = members["detail"].as_str().expect("words").to_owned();
    for ours in ["/api/v1", "Bearer", "sqlx", "serde"] {
        assert!(!words.contains(ours), "{words}");
    }
    words
}
