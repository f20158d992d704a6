//! What is served: groups, versions, kinds. And as much of the schema as `kubectl` asks for before it writes.

use http::request::Parts;
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::{Kind, Resource, Status};

use super::call::Review;
use super::{Answer, Kube, json_answer};

pub(super) fn answer(kube: &Kube, parts: &Parts) -> Answer {
    let path = parts.uri.path().trim_matches('/');
    let path: Vec<&str> = path.split('/').collect();
    let accept = parts.headers.get("accept").and_then(|accept| accept.to_str().ok());
    let whole = accept.unwrap_or_default().contains("as=APIGroupDiscoveryList");
    let found = match path.as_slice() {
        ["healthz" | "livez" | "readyz"] => {
            let mut answer = http::Response::new(crate::server::full("ok"));
            let kind = header::HeaderValue::from_static("text/plain");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            return Ok(answer);
        }
        ["version"] => version(kube),
        ["api"] if whole => return Ok(aggregated(kube, true)),
        ["apis"] if whole => return Ok(aggregated(kube, false)),
        ["api"] => json!({ "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [] }),
        ["apis"] => json!({ "kind": "APIGroupList", "apiVersion": "v1",
            "groups": groups(kube).iter().map(group).collect::<Vec<_>>() }),
        ["api", "v1"] => resources(kube, "", "v1"),
        ["apis", name] => match groups(kube).iter().find(|(group, _)| group == name) {
            Some(found) => {
                let mut group = group(found);
                group["kind"] = json!("APIGroup");
                group["apiVersion"] = json!("v1");
                group
            }
            None => return Err(Status::no_such_path()),
        },
        ["apis", name, version] if has(kube, name, version) => resources(kube, name, version),
        ["openapi", "v3"] => schemas(kube),
        ["openapi", "v3", "api", "v1"] => schema(kube, "", "v1"),
        ["openapi", "v3", "apis", name, version] if has(kube, name, version) => {
            schema(kube, name, version)
        }
        _ => return Err(Status::no_such_path()),
    };
    Ok(json_answer(StatusCode::OK, &found))
}

fn version(kube: &Kube) -> Value {
    let minor = kube.config.minor;
    json!({
        "major": "1", "minor": minor.to_string(), "gitVersion": format!("v1.{minor}.0"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "go1.24.0", "compiler": "gc", "platform": "linux/amd64",
    })
}

/// Each group, without the first one that has no name, with its versions.
fn groups(kube: &Kube) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    let reviews = Review::ALL.map(|(group, ..)| (group.to_owned(), vec!["v1".to_owned()]));
    let kinds = kube.served().map(|kind| (kind.group.clone(), kind.versions.clone()));
    for (group, versions) in kinds.chain(reviews).filter(|(group, _)| !group.is_empty()) {
        let at = all.iter().position(|(name, _)| *name == group).unwrap_or_else(|| {
            all.push((group, Vec::new()));
            all.len() - 1
        });
        for version in versions {
            if !all[at].1.contains(&version) {
                all[at].1.push(version);
            }
        }
    }
    all
}

fn has(kube: &Kube, group: &str, version: &str) -> bool {
    let groups = groups(kube);
    let mut named = groups.iter().filter(|(name, _)| name == group);
    named.any(|(_, versions)| versions.iter().any(|v| v == version))
}

fn group((name, versions): &(String, Vec<String>)) -> Value {
    let version = |version: &String| json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({ "name": name, "preferredVersion": versions.first(), "versions": versions })
}

/// A path below a kind: its name, what is sent to it and what may be done.
struct Below {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: String,
    verbs: &'static [&'static str],
}

fn below(kind: &Kind) -> Vec<Below> {
    const CHANGE: &[&str] = &["get", "patch", "update"];
    let mut all = Vec::new();
    let own = kind.kind.clone();
    if kind.status {
        all.push(Below { name: "status", group: "", version: "", kind: own, verbs: CHANGE });
    }
    if kind.scale {
        let kind = "Scale".to_owned();
        all.push(Below { name: "scale", group: "autoscaling", version: "v1", kind, verbs: CHANGE });
    }
    if kind.resource() == Resource::pods() {
        let create: &[&str] = &["create"];
        for (name, group, kind, verbs) in [
            ("log", "", "Pod", &["get"][..]),
            ("binding", "", "Binding", create),
            ("eviction", "policy", "Eviction", create),
            ("resize", "", "Pod", CHANGE),
        ] {
            let version = if group.is_empty() { "" } else { "v1" };
            all.push(Below { name, group, version, kind: kind.to_owned(), verbs });
        }
    }
    all
}

fn verbs(kind: &Kind) -> &'static [&'static str] {
    match kind.group.as_str() {
        "metrics.k8s.io" => &["get", "list"],
        _ => &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }
}

fn of<'a>(kube: &'a Kube, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Kind> {
    kube.served()
        .filter(move |kind| kind.group == group && kind.versions.iter().any(|v| v == version))
}

fn resources(kube: &Kube, group: &str, version: &str) -> Value {
    let mut all = Vec::new();
    for kind in of(kube, group, version) {
        all.push(json!({
            "name": kind.plural, "singularName": kind.singular(), "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": verbs(kind), "shortNames": kind.short,
            "categories": categories(kind),
        }));
        for below in below(kind) {
            let mut one = json!({
                "name": format!("{}/{}", kind.plural, below.name), "singularName": "",
                "namespaced": kind.namespaced, "kind": below.kind, "verbs": below.verbs,
            });
            if !below.group.is_empty() {
                one["group"] = json!(below.group);
                one["version"] = json!(below.version);
            }
            all.push(one);
        }
    }
    for (_, plural, kind, _) in Review::ALL.into_iter().filter(|(g, ..)| *g == group) {
        all.push(json!({ "name": plural, "singularName": kind.to_lowercase(), "namespaced": false,
            "kind": kind, "verbs": ["create"] }));
    }
    let name = Resource::new(group, version, "").api_version();
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": all })
}

fn categories(kind: &Kind) -> &'static [&'static str] {
    match kind.plural.as_str() {
        "pods" | "services" | "daemonsets" | "deployments" | "replicasets" | "statefulsets"
        | "jobs" => &["all"],
        _ => &[],
    }
}

/// Everything in one answer.
fn aggregated(kube: &Kube, core: bool) -> http::Response<crate::server::Body> {
    let groups = match core {
        true => vec![(String::new(), vec!["v1".to_owned()])],
        false => groups(kube),
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    json!({ "version": version, "freshness": "Current",
                        "resources": all_of(kube, group, version) })
                })
                .collect();
            json!({ "metadata": { "name": group, "creationTimestamp": null }, "versions": versions })
        })
        .collect();
    let list = json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": items });
    let mut answer = json_answer(StatusCode::OK, &list);
    let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    answer
}

fn all_of(kube: &Kube, group: &str, version: &str) -> Vec<Value> {
    let kinds = of(kube, group, version).map(|kind| {
        let below: Vec<Value> = below(kind)
            .into_iter()
            .map(|below| {
                let (g, v) = match below.group {
                    "" => (group, version),
                    other => (other, below.version),
                };
                json!({ "subresource": below.name, "verbs": below.verbs,
                    "responseKind": { "group": g, "version": v, "kind": below.kind } })
            })
            .collect();
        json!({
            "resource": kind.plural, "singularResource": kind.singular(), "verbs": verbs(kind),
            "responseKind": { "group": group, "version": version, "kind": kind.kind },
            "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
            "shortNames": kind.short, "categories": categories(kind), "subresources": below,
        })
    });
    let reviews = Review::ALL.into_iter().filter(|(g, ..)| *g == group).map(|(_, plural, kind, _)| {
        json!({ "resource": plural, "singularResource": kind.to_lowercase(), "verbs": ["create"],
            "responseKind": { "group": group, "version": version, "kind": kind },
            "scope": "Cluster" })
    });
    kinds.chain(reviews).collect()
}

fn schemas(kube: &Kube) -> Value {
    let mut paths = json!({ "api/v1": { "serverRelativeURL": "/openapi/v3/api/v1" } });
    for (group, versions) in groups(kube) {
        for version in versions {
            let path = format!("apis/{group}/{version}");
            paths[&path] = json!({ "serverRelativeURL": format!("/openapi/v3/{path}") });
        }
    }
    json!({ "paths": paths })
}

/// Which parameters a patch takes: whoever finds `fieldValidation` and `dryRun` leaves both to the server.
fn schema(kube: &Kube, group: &str, version: &str) -> Value {
    let mut paths = json!({});
    for kind in of(kube, group, version) {
        let start =
            if group.is_empty() { "/api/v1".into() } else { format!("/apis/{group}/{version}") };
        let within = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let path = format!("{start}{within}/{}/{{name}}", kind.plural);
        let parameters = ["dryRun", "fieldManager", "fieldValidation", "force"].map(|name| {
            json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } })
        });
        paths[&path] = json!({ "patch": {
            "parameters": parameters, "responses": { "200": { "description": "OK" } },
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind":
                { "group": group, "version": version, "kind": kind.kind },
        } });
    }
    json!({ "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "unversioned" },
        "paths": paths, "components": { "schemas": {} } })
}
