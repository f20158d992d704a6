//! Who makes nodes: asked when somebody wants to know it, never watched, and nothing is decided by it.

use std::collections::BTreeMap;

use futures::future::{join, try_join_all};
use http::Method;
use k8s_openapi::api::core::v1::{Event, Node};
use muster_core::room::Scaler;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{Calls, Failed};
use super::read::autoscaler::{self, Autoscaler, STATUS_MAP, Says};
use super::read::events::{event, reporter};
use super::read::pod::short;
use super::start::NODES_EVENTS;

/// As many nodes, and events of a reason, are looked at: an autoscaler leaves its marks on more than one.
const LOOKED_AT: usize = 200;
/// What they say of pods, and of nodes. All others of their words come with one of these.
const OF_PODS: [&str; 4] =
    ["TriggeredScaleUp", "NotTriggerScaleUp", "Nominated", "FailedScheduling"];
const OF_NODES: [&str; 3] = ["ScaleDown", "ScaleDownFailed", "DisruptionTerminating"];
/// Most lines of one autoscaler.
const LINES: usize = 20;
/// When the Cluster Autoscaler wrote its status.
const WRITTEN: &str = "cluster-autoscaler.kubernetes.io/last-updated";
const KARPENTER: &str = "karpenter.sh";

/// Those that are there, those that are not, and those of which nothing can be known.
pub(super) async fn scalers(calls: &Calls, sees_cluster: bool) -> Result<Vec<Scaler>, Failed> {
    let (told, marks) = join(events(calls, sees_cluster), nodes(calls, sees_cluster)).await;
    let (told, marks) = (seen(told)?, seen(marks)?);
    let (status, karpenter) = join(status(calls), karpenter(calls)).await;
    let (status, karpenter) = (seen(status)?, karpenter?);
    let events = told.as_ref().map_or(&[][..], |events| events);
    let nodes = marks.as_ref().map_or(&[][..], |nodes| nodes);
    let marked = autoscaler::present(nodes, [], false);
    let mut voices = voices(events);
    let all_is_seen = told.is_ok() && marks.is_ok();
    let mut all = Vec::new();
    for (who, (mut is_there, mut says)) in
        [(Autoscaler::ClusterAutoscaler, status_of(status)), (Autoscaler::Karpenter, karpenter)]
    {
        let heard = voices.remove(&who.to_string());
        if heard.is_some() || marked.contains(&who) {
            is_there = Some(true);
        } else if is_there == Some(false) && who == Autoscaler::ClusterAutoscaler && !all_is_seen {
            // It may have been told not to write its status down.
            is_there = None;
        }
        says.extend(heard);
        all.push(Scaler { name: who.to_string(), is_there, says });
    }
    let others = voices.into_iter();
    all.extend(others.map(|(name, line)| Scaler { name, is_there: Some(true), says: vec![line] }));
    let hidden = [told.err(), marks.err()].into_iter().flatten().map(|why| short(&why));
    let hidden: Vec<String> = hidden.collect();
    if !hidden.is_empty() {
        all.push(Scaler { name: "others".to_owned(), is_there: None, says: hidden });
    }
    Ok(all)
}

/// What may not be seen is no failure: it is said.
fn seen<T>(found: Result<T, Failed>) -> Result<Result<T, String>, Failed> {
    match found {
        Ok(found) => Ok(Ok(found)),
        Err(failed) if failed.is(403) => Ok(Err(format!("the hub may not see it: {failed}"))),
        Err(failed) => Err(failed),
    }
}

async fn get<T: DeserializeOwned>(calls: &Calls, path: &str) -> Result<T, Failed> {
    calls.call(Method::GET, path, None).await
}

/// None: it is not there.
async fn find<T: DeserializeOwned>(calls: &Calls, path: &str) -> Result<Option<T>, Failed> {
    match get(calls, path).await {
        Ok(found) => Ok(Some(found)),
        Err(failed) if failed.is(404) => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// The last words of each, by its name. Those who are neither of the two that are known have the name under
/// which they report.
fn voices(events: &[Event]) -> BTreeMap<String, String> {
    let mut last: BTreeMap<String, (_, Says)> = BTreeMap::new();
    for it in events {
        let Some(says) = autoscaler::says(it) else { continue };
        let name = match (says.who, reporter(it)) {
            (Autoscaler::ClusterAutoscaler, "cluster-autoscaler" | "") => says.who.to_string(),
            (Autoscaler::ClusterAutoscaler, other) => short(other),
            (who, _) => who.to_string(),
        };
        let at = event(it).last_at;
        if last.get(&name).is_none_or(|(earlier, _)| *earlier <= at) {
            last.insert(name, (at, says));
        }
    }
    let line = |(name, (_, says)): (String, (_, Says))| {
        let what = says.to_string();
        let what = what.strip_prefix(&says.who.to_string()).map(str::trim).map(str::to_owned);
        (name, format!("the last that was heard of it: it {}", what.unwrap_or_default()))
    };
    last.into_iter().map(line).collect()
}

async fn events(calls: &Calls, sees_cluster: bool) -> Result<Vec<Event>, Failed> {
    let of_nodes = OF_NODES.iter().filter(|_| sees_cluster).map(|reason| (NODES_EVENTS, reason));
    let all = OF_PODS.iter().map(|reason| (&*calls.namespace, reason)).chain(of_nodes);
    let asked = all.map(|(namespace, reason)| async move {
        let path =
            format!("/api/v1/namespaces/{namespace}/events?fieldSelector=reason%3D{reason}&");
        list(calls, &path).await
    });
    Ok(try_join_all(asked).await?.into_iter().flatten().collect())
}

async fn nodes(calls: &Calls, sees_cluster: bool) -> Result<Vec<Node>, Failed> {
    if !sees_cluster {
        return Ok(Vec::new());
    }
    list(calls, "/api/v1/nodes?").await
}

/// What is not understood is left out.
async fn list<T: DeserializeOwned>(calls: &Calls, path: &str) -> Result<Vec<T>, Failed> {
    let list: Value = get(calls, &format!("{path}limit={LOOKED_AT}")).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    Ok(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
}

/// The map in which the Cluster Autoscaler says how it is.
async fn status(calls: &Calls) -> Result<Option<Value>, Failed> {
    let (namespace, name) = STATUS_MAP;
    find(calls, &format!("/api/v1/namespaces/{namespace}/configmaps/{name}")).await
}

fn status_of(status: Result<Option<Value>, String>) -> (Option<bool>, Vec<String>) {
    let map = match status {
        Ok(Some(map)) => map,
        Ok(None) => return (Some(false), Vec::new()),
        Err(why) => return (None, vec![short(&why)]),
    };
    let written = map["metadata"]["annotations"][WRITTEN].as_str();
    let mut says: Vec<String> =
        written.map(|at| format!("it wrote down how it is at {}", short(at))).into_iter().collect();
    match autoscaler::groups(map["data"]["status"].as_str().unwrap_or_default()) {
        Ok(groups) => says.extend(cut(groups.iter().map(ToString::to_string).collect())),
        Err(why) => says.push(format!("what it wrote down cannot be read: {why}")),
    }
    (Some(true), says)
}

/// Karpenter has kinds of its own; whether they are there everybody may ask.
async fn karpenter(calls: &Calls) -> Result<(Option<bool>, Vec<String>), Failed> {
    let group: Option<Value> = find(calls, &format!("/apis/{KARPENTER}")).await?;
    let Some(group) = group else { return Ok((Some(false), Vec::new())) };
    let Some(version) = group["preferredVersion"]["version"].as_str() else {
        return Ok((Some(true), vec!["its kinds have no version".to_owned()]));
    };
    let mut says = Vec::new();
    for (plural, one) in [("nodepools", "pool"), ("nodeclaims", "claim")] {
        let path = format!("/apis/{KARPENTER}/{version}/{plural}?");
        let things: Vec<Value> = match list(calls, &path).await {
            Ok(things) => things,
            Err(failed) if failed.is(404) => Vec::new(),
            Err(failed) if failed.is(403) => {
                says.push(short(&format!("the hub may not see its {one}s: {failed}")));
                continue;
            }
            Err(failed) => return Err(failed),
        };
        let names: Vec<&str> = things.iter().map(name).collect();
        says.push(match &*names {
            [] => format!("it has no {one}s"),
            [name] => format!("it has 1 {one}: {}", short(name)),
            names => {
                let s = if names.len() == LOOKED_AT { ", or more" } else { "" };
                format!("it has {} {one}s{s}", names.len())
            }
        });
        let faults = things.iter().flat_map(|thing| faults(one, thing)).collect();
        says.extend(cut(faults));
    }
    Ok((Some(true), says))
}

fn name(thing: &Value) -> &str {
    thing["metadata"]["name"].as_str().unwrap_or_default()
}

/// The conditions of a pool or a claim that are not as they shall be, in its words. The first says why the ones
/// after it are not so either.
fn faults(one: &str, thing: &Value) -> Option<String> {
    let conditions = thing["status"]["conditions"].as_array()?;
    let bad = |it: &&Value| {
        let kind = it["type"].as_str().unwrap_or_default();
        // These say what goes on; the others that all is well.
        let is_good = match kind {
            "Drifted"
            | "Consolidatable"
            | "Empty"
            | "Expired"
            | "Drained"
            | "VolumesDetached"
            | "InstanceTerminating"
            | "DisruptionReason" => true,
            _ => it["status"] == "True",
        };
        // That it is as a whole not ready says less than any other.
        !is_good && kind != "Ready"
    };
    let its = conditions.iter().find(bad);
    let its = its
        .or_else(|| conditions.iter().find(|it| it["type"] == "Ready" && it["status"] != "True"))?;
    let text = |of: &str| its[of].as_str().unwrap_or_default();
    let why: Vec<&str> =
        [text("reason"), text("message")].into_iter().filter(|it| !it.is_empty()).collect();
    let why = why.join(": ");
    Some(short(&format!("{one} {}: {} is {}: {why}", name(thing), text("type"), text("status"))))
}

fn cut(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}
