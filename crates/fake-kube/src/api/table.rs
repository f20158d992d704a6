//! What `kubectl get` prints: a row of cells for each object.

use serde_json::{Value, json};

use crate::{Kind, Resource};

pub(super) fn columns(kind: &Kind) -> Value {
    let column = |(name, priority): &(&str, u8)| {
        let format = if *name == "Name" { "name" } else { "" };
        json!({
            "name": name, "type": "string", "format": format, "description": "",
            "priority": priority,
        })
    };
    Value::Array(names(kind).iter().map(column).collect())
}

fn names(kind: &Kind) -> &'static [(&'static str, u8)] {
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => &[
            ("Name", 0),
            ("Ready", 0),
            ("Status", 0),
            ("Restarts", 0),
            ("Age", 0),
            ("IP", 1),
            ("Node", 1),
            ("Nominated Node", 1),
        ],
        ("", "nodes") => {
            &[("Name", 0), ("Status", 0), ("Roles", 0), ("Age", 0), ("Version", 0), ("OS-Image", 1)]
        }
        ("" | "events.k8s.io", "events") => &[
            ("Last Seen", 0),
            ("Type", 0),
            ("Reason", 0),
            ("Object", 0),
            ("Message", 0),
            ("Name", 1),
        ],
        _ => &[("Name", 0), ("Age", 0)],
    }
}

pub(super) fn cells(kind: &Kind, object: &Value) -> Vec<Value> {
    let meta = &object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let some =
        |value: &Value| value.as_str().filter(|v| !v.is_empty()).unwrap_or("<none>").to_owned();
    let (name, age) = (text(&meta["name"]), age(&meta["creationTimestamp"]));
    let cells = match kind.resource() {
        of if of == Resource::pods() => {
            let (spec, status) = (&object["spec"], &object["status"]);
            let all = spec["containers"].as_array().map_or(0, Vec::len);
            let containers = statuses(status, "containerStatuses");
            let ready = containers.iter().filter(|c| c["ready"] == true).count();
            let restarts: u64 = containers.iter().filter_map(|c| c["restartCount"].as_u64()).sum();
            vec![
                name,
                format!("{ready}/{all}"),
                pod_status(object),
                restarts.to_string(),
                age,
                some(&status["podIP"]),
                some(&spec["nodeName"]),
                some(&status["nominatedNodeName"]),
            ]
        }
        of if of == Resource::nodes() => {
            let info = &object["status"]["nodeInfo"];
            let (version, image) = (text(&info["kubeletVersion"]), some(&info["osImage"]));
            vec![name, node_status(object), roles(object), age, version, image]
        }
        of if of.plural == "events" => {
            let object_of = if kind.group.is_empty() { "involvedObject" } else { "regarding" };
            let about = &object[object_of];
            let about = format!("{}/{}", text(&about["kind"]).to_lowercase(), text(&about["name"]));
            let message = text(&object[if kind.group.is_empty() { "message" } else { "note" }]);
            vec![age, text(&object["type"]), text(&object["reason"]), about, message, name]
        }
        _ => vec![name, age],
    };
    cells.into_iter().map(Value::String).collect()
}

fn statuses<'a>(status: &'a Value, of: &str) -> &'a [Value] {
    status[of].as_array().map_or(&[], Vec::as_slice)
}

fn node_status(node: &Value) -> String {
    let ready = condition(node, "Ready").map(|condition| condition["status"] == "True");
    let ready = match ready {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    };
    let cordoned = node["spec"]["unschedulable"] == true;
    if cordoned { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    roles.sort_unstable();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// The word under STATUS.
fn pod_status(pod: &Value) -> String {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let phase = text(&status["phase"]).unwrap_or_else(|| "Pending".to_owned());
    let mut word = text(&status["reason"]).unwrap_or_else(|| phase.clone());
    if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        word = "SchedulingGated".to_owned();
    }
    let init = initializing(spec, statuses(status, "initContainerStatuses"));
    let initialized = condition(pod, "Initialized").is_some_and(|c| c["status"] == "True");
    let is_initializing = init.is_some();
    if let Some(init) = init {
        word = init;
    }
    if !is_initializing || initialized {
        let mut running = false;
        for container in statuses(status, "containerStatuses").iter().rev() {
            let state = &container["state"];
            if let Some(reason) = text(&state["waiting"]["reason"]) {
                word = reason;
            } else if state["terminated"].is_object() {
                word = ended(&state["terminated"]);
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
            }
        }
        if word == "Completed" && running {
            let ready = condition(pod, "Ready").is_some_and(|c| c["status"] == "True");
            word = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if status["reason"] == "NodeLost" {
            return "Unknown".to_owned();
        }
        if !matches!(phase.as_str(), "Succeeded" | "Failed") {
            return "Terminating".to_owned();
        }
    }
    word
}

/// Of the first init container that has not done its work.
fn initializing(spec: &Value, containers: &[Value]) -> Option<String> {
    let of_spec = spec["initContainers"].as_array().map_or(&[][..], Vec::as_slice);
    for (at, container) in containers.iter().enumerate() {
        let state = &container["state"];
        let beside = of_spec
            .iter()
            .any(|of| of["name"] == container["name"] && of["restartPolicy"] == "Always");
        if state["terminated"]["exitCode"] == 0 || (beside && container["started"] == true) {
            continue;
        }
        if state["terminated"].is_object() {
            return Some(format!("Init:{}", ended(&state["terminated"])));
        }
        let waits = state["waiting"]["reason"].as_str().unwrap_or_default();
        if !waits.is_empty() && waits != "PodInitializing" {
            return Some(format!("Init:{waits}"));
        }
        return Some(format!("Init:{at}/{}", of_spec.len()));
    }
    None
}

fn ended(state: &Value) -> String {
    match (state["reason"].as_str().unwrap_or_default(), state["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", state["exitCode"]),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn age(since: &Value) -> String {
    let since: Option<jiff::Timestamp> = since.as_str().and_then(|text| text.parse().ok());
    let Some(since) = since else { return "<unknown>".to_owned() };
    match jiff::Timestamp::now().as_second() - since.as_second() {
        seconds @ ..120 => format!("{}s", seconds.max(0)),
        seconds @ ..7200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_pod_is_the_one_that_kubectl_prints() {
        let waits =
            |reason: &str| json!([{ "name": "c", "state": { "waiting": { "reason": reason } } }]);
        let ended = |ended: Value| json!([{ "name": "c", "state": { "terminated": ended } }]);
        let oom = json!({ "exitCode": 137, "reason": "OOMKilled" });
        for (status, word) in [
            (json!({}), "Pending"),
            (json!({ "phase": "Failed", "reason": "Evicted" }), "Evicted"),
            (
                json!({ "phase": "Pending", "containerStatuses": waits("ImagePullBackOff") }),
                "ImagePullBackOff",
            ),
            (json!({ "phase": "Failed", "containerStatuses": ended(oom.clone()) }), "OOMKilled"),
            (
                json!({ "phase": "Failed", "containerStatuses": ended(json!({ "exitCode": 3 })) }),
                "ExitCode:3",
            ),
            (
                json!({ "phase": "Pending", "initContainerStatuses": waits("PodInitializing") }),
                "Init:0/1",
            ),
            (json!({ "phase": "Pending", "initContainerStatuses": ended(oom) }), "Init:OOMKilled"),
            (
                json!({ "phase": "Pending", "conditions":
                    [{ "type": "PodScheduled", "status": "False", "reason": "SchedulingGated" }] }),
                "SchedulingGated",
            ),
        ] {
            let spec = json!({ "initContainers": [{ "name": "c" }] });
            let pod = json!({ "metadata": {}, "spec": spec, "status": status });
            assert_eq!(pod_status(&pod), word, "{pod}");
        }
        let going = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" },
            "spec": {}, "status": { "phase": "Running" } });
        assert_eq!(pod_status(&going), "Terminating");
    }

    #[test]
    fn a_cordoned_node_is_ready_and_not_scheduled_on() {
        let node = json!({ "metadata": { "labels": { "node-role.kubernetes.io/worker": "" } },
            "spec": { "unschedulable": true },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        assert_eq!(node_status(&node), "Ready,SchedulingDisabled");
        assert_eq!(roles(&node), "worker");
    }
}
