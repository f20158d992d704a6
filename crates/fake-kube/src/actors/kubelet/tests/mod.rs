mod ends;
mod images;
mod nodes;
mod runs;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::Image;
use crate::{
    Logs, Objects, Resource,
    actors::{Actors, Order, Running, node::node, start},
};

/// A cluster of one node and its actors, with quick clocks.
struct Stage {
    objects: Objects,
    logs: Logs,
    running: Option<Running>,
}

/// `web` answers HTTP, `tools` has no program of its own, `pause` does nothing.
fn settings() -> Actors {
    let mut actors = Actors::default();
    let web = ["python3", "-m", "http.server", "--bind", "{ip}", "{port}"];
    let web = Image {
        run: web.map(str::to_owned).to_vec(),
        port: Some(80),
        size: 1234,
        pull: Duration::from_millis(50),
        ..Image::default()
    };
    let images = &mut actors.kubelet.images;
    images.insert("web:1".into(), web);
    images.insert("tools:1".into(), Image::default());
    images.insert("pause:1".into(), Image::default());
    actors.kubelet.backoff = Duration::from_millis(300);
    actors.kubelet.look = Duration::from_millis(100);
    actors.lifecycle.grace = Duration::from_millis(300);
    actors.lifecycle.quarantine = Duration::from_millis(300);
    actors
}

fn stage() -> Stage {
    stage_with(settings())
}

fn stage_with(actors: Actors) -> Stage {
    let (objects, logs) = (Objects::new(10_000), Logs::default());
    objects.create(&Resource::nodes(), node("n1", "4", "8Gi", &[], &[])).unwrap();
    let running = start(&objects, &logs, actors).unwrap();
    Stage { objects, logs, running: Some(running) }
}

/// A pod with one container of an image, and more of its spec.
fn pod(name: &str, image: &str, spec: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "a", "name": name },
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": image }] },
        "status": { "phase": "Pending" },
    });
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// A pod that runs a line of a shell.
fn shell(name: &str, line: &str) -> Value {
    let mut pod = pod(name, "tools:1", json!({}));
    pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", line]);
    pod
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == kind));
    found.unwrap_or(&Value::Null)
}

fn main_state(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True"
}

fn has_failed(pod: &Value) -> bool {
    pod["status"]["phase"] == "Failed"
}

impl Stage {
    fn put(&self, pod: Value) {
        self.objects.create(&Resource::pods(), pod).unwrap();
    }

    fn order(&self, order: Order) {
        self.running.as_ref().unwrap().controls().order(order).unwrap();
    }

    fn get(&self, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&Resource::pods(), Some("a"), name)
    }

    async fn until(&self, name: &str, what: impl Fn(&Value) -> bool) -> Arc<Value> {
        let mut changes = self.objects.changes();
        let wait = async {
            loop {
                if let Some(pod) = self.get(name).filter(|pod| what(pod)) {
                    return pod;
                }
                changes.recv().await.unwrap();
            }
        };
        let waited = timeout(Duration::from_secs(30), wait).await;
        waited.unwrap_or_else(|_| panic!("{:#}", self.get(name).unwrap_or_default()))
    }

    async fn until_gone(&self, name: &str) {
        let gone = async {
            while self.get(name).is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = timeout(Duration::from_secs(30), gone).await;
        waited.unwrap_or_else(|_| panic!("{:#}", self.get(name).unwrap_or_default()));
    }

    /// A delete as the API does it.
    fn delete(&self, name: &str, grace: u64) {
        let end = |pod: &mut Value| {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-28T00:00:00Z");
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        };
        self.objects.change(&Resource::pods(), Some("a"), name, end).unwrap();
    }

    fn events(&self, reason: &str) -> Vec<String> {
        let (_, events) = self.objects.list(&Resource::events());
        let these = events.iter().filter(|event| event["reason"] == reason);
        these.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
    }

    /// The first line that its container prints.
    async fn first_line(&self, pod: &Value) -> String {
        let mut seen = self.logs.seen(pod["metadata"]["uid"].as_str().unwrap(), "main");
        let printed = seen.wait_for(|(lines, _)| *lines > 0);
        drop(timeout(Duration::from_secs(30), printed).await.unwrap().unwrap());
        self.lines(pod, "main").remove(0)
    }

    fn lines(&self, pod: &Value, container: &str) -> Vec<String> {
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        self.logs.lines(uid, container, 0).into_iter().map(|line| line.text).collect()
    }
}
