//! Events as the components of Kubernetes write them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::text;
use crate::{Objects, Resource};

/// How an event is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `count`, first and last time, source.
    Core,
    /// `eventTime`, `action`, and a `series` from the second time on (events.k8s.io).
    Series,
}

pub struct Recorder {
    objects: Objects,
    component: String,
    style: Style,
    /// The event that says a thing already, by uid, reason and message.
    said: Mutex<HashMap<(String, String, String), String>>,
}

pub struct Said<'a> {
    pub kind: &'a str,
    pub reason: &'a str,
    pub action: &'a str,
    pub message: &'a str,
    pub host: &'a str,
}

pub const NORMAL: &str = "Normal";
pub const WARNING: &str = "Warning";

/// So many are remembered to be counted up; then anew.
const REMEMBERED: usize = 20_000;

impl Recorder {
    pub fn new(objects: &Objects, component: &str, style: Style) -> Self {
        let said = Mutex::default();
        Self { objects: objects.clone(), component: component.into(), style, said }
    }

    /// Said again it is counted, as the real recorders do.
    pub fn say(&self, about: &Value, said: &Said, at: Timestamp) {
        let uid = text(about, "/metadata/uid");
        let key = (uid.to_owned(), said.reason.to_owned(), said.message.to_owned());
        let namespace = match text(about, "/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        };
        let mut known = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(&key)
            && let Ok(_again) =
                self.objects.change(&Resource::events(), Some(namespace), name, |event| {
                    self.count(event, at);
                })
        {
            return;
        }
        let made = self.objects.create(&Resource::events(), self.event(about, namespace, said, at));
        // A namespace that is going takes no more events; nobody misses them.
        if let Ok(event) = made {
            if known.len() > REMEMBERED {
                known.clear();
            }
            known.insert(key, text(&event, "/metadata/name").to_owned());
        }
    }

    fn event(&self, about: &Value, namespace: &str, said: &Said, at: Timestamp) -> Value {
        let name = text(about, "/metadata/name");
        let kind = match about.get("kind").and_then(Value::as_str) {
            Some(kind) => kind,
            None if about["spec"].get("containers").is_some() => "Pod",
            None => "Node",
        };
        let seconds = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "namespace": namespace, "generateName": format!("{name}.") },
            "involvedObject": {
                "apiVersion": about.get("apiVersion").cloned().unwrap_or_else(|| json!("v1")),
                "kind": kind, "name": name, "namespace": about["metadata"].get("namespace"),
                "uid": text(about, "/metadata/uid"),
                "resourceVersion": text(about, "/metadata/resourceVersion"),
            },
            "type": said.kind, "reason": said.reason, "message": said.message,
        });
        let more = match self.style {
            Style::Core => json!({
                "count": 1, "firstTimestamp": seconds, "lastTimestamp": seconds,
                "source": { "component": self.component, "host": said.host },
                "reportingComponent": self.component, "reportingInstance": said.host,
                "eventTime": null,
            }),
            Style::Series => json!({
                "eventTime": micros(at), "action": said.action, "source": {},
                "firstTimestamp": null, "lastTimestamp": null,
                "reportingComponent": self.component,
                "reportingInstance": format!("{}-1", self.component),
            }),
        };
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        event
    }

    fn count(&self, event: &mut Value, at: Timestamp) {
        match self.style {
            Style::Core => {
                event["count"] = json!(event["count"].as_u64().unwrap_or(1) + 1);
                event["lastTimestamp"] = json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            }
            Style::Series => {
                let count = event["series"]["count"].as_u64().unwrap_or(1) + 1;
                event["series"] = json!({ "count": count, "lastObservedTime": micros(at) });
            }
        }
    }
}

fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
