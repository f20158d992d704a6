//! Quotas of namespaces: what is used, and whether more may be.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::actors::quantity::Quantity;
use crate::objects::View;
use crate::{Resource, Status};

use super::Call;

type Amounts = BTreeMap<String, i128>;

/// Refuses what would be more than a quota allows.
pub(super) fn check(view: &View<'_>, call: &Call, object: &Value) -> Result<(), Status> {
    let namespace = call.namespace.as_deref().unwrap_or_default();
    let of = call.resource();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if of == Resource::resource_quotas()
        && (!object["spec"]["scopes"].is_null() || !object["spec"]["scopeSelector"].is_null())
    {
        return Err(Status::bad_request("quotas with scopes are not served here"));
    }
    let more = usage(&of, object);
    for quota in view.within(&Resource::resource_quotas(), namespace) {
        let quota_name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let hard = hard(quota);
        if of == Resource::pods() {
            let missing = missing(&hard, object);
            if !missing.is_empty() {
                let why =
                    format!("failed quota: {quota_name}: must specify {}", missing.join("; "));
                return Err(Status::forbidden(&of, name, why));
            }
        }
        let used = sum(view, namespace);
        let over: Vec<&String> = hard
            .iter()
            .filter(|(what, limit)| {
                let more = more.get(*what).copied().unwrap_or(0);
                more > 0 && used.get(*what).copied().unwrap_or(0) + more > **limit
            })
            .map(|(what, _)| what)
            .collect();
        if !over.is_empty() {
            let say = |amounts: &Amounts| {
                let each = over.iter().map(|what| {
                    let amount = amounts.get(*what).copied().unwrap_or(0);
                    format!("{what}={}", text(amount))
                });
                each.collect::<Vec<_>>().join(",")
            };
            let why = format!(
                "exceeded quota: {quota_name}, requested: {}, used: {}, limited: {}",
                say(&more),
                say(&used),
                say(&hard)
            );
            return Err(Status::forbidden(&of, name, why));
        }
    }
    Ok(())
}

/// The status of a quota.
pub(crate) fn used(view: &View<'_>, quota: &Value) -> Value {
    let namespace = quota["metadata"]["namespace"].as_str().unwrap_or_default();
    let sum = sum(view, namespace);
    let used: Map<String, Value> = hard(quota)
        .into_keys()
        .map(|what| {
            let amount = sum.get(&what).copied().unwrap_or(0);
            (what, json!(text(amount)))
        })
        .collect();
    json!({ "hard": quota["spec"]["hard"], "used": used })
}

fn hard(quota: &Value) -> Amounts {
    let all = quota["spec"]["hard"].as_object().into_iter().flatten();
    all.filter_map(|(what, amount)| Some((what.clone(), amount_of(amount)?))).collect()
}

fn sum(view: &View<'_>, namespace: &str) -> Amounts {
    let mut sum = Amounts::new();
    let kinds: Vec<Resource> = view.kinds().cloned().collect();
    for of in kinds {
        let within: Vec<&Arc<Value>> = view.within(&of, namespace).collect();
        for object in within {
            for (what, amount) in usage(&of, object) {
                *sum.entry(what).or_default() += amount;
            }
        }
    }
    sum
}

/// What one object takes.
fn usage(of: &Resource, object: &Value) -> Amounts {
    let mut takes = Amounts::from([(format!("count/{}", of.qualified()), 1000)]);
    if of.group.is_empty() && !matches!(of.plural.as_str(), "pods" | "events" | "nodes") {
        takes.insert(of.plural.clone(), 1000);
    }
    let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if *of != Resource::pods() || ended {
        return takes;
    }
    takes.insert("pods".to_owned(), 1000);
    for kind in ["requests", "limits"] {
        for (name, amount) in asked(&object["spec"], kind) {
            if kind == "requests" && matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
            {
                takes.insert(name.clone(), amount);
            }
            takes.insert(format!("{kind}.{name}"), amount);
        }
    }
    takes
}

/// The containers together, or the greatest of those before them.
fn asked(spec: &Value, kind: &str) -> Amounts {
    let mut sum = Amounts::new();
    let each = |list: &str| spec[list].as_array().cloned().unwrap_or_default();
    let amounts = |container: &Value| -> Amounts {
        let all = container["resources"][kind].as_object().into_iter().flatten();
        all.filter_map(|(name, amount)| Some((name.clone(), amount_of(amount)?))).collect()
    };
    for container in each("containers") {
        for (name, amount) in amounts(&container) {
            *sum.entry(name).or_default() += amount;
        }
    }
    for container in each("initContainers") {
        for (name, amount) in amounts(&container) {
            let is = sum.entry(name).or_default();
            *is = amount.max(*is);
        }
    }
    sum
}

/// Where a quota is of an amount, each container has to say it.
fn missing(hard: &Amounts, pod: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for what in hard.keys() {
        let (kind, name) = match what.split_once('.') {
            Some((kind @ ("requests" | "limits"), name)) => (kind, name),
            _ if matches!(what.as_str(), "cpu" | "memory") => ("requests", what.as_str()),
            _ => continue,
        };
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") {
            continue;
        }
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let silent: Vec<&str> = containers
            .filter(|container| container["resources"][kind][name].is_null())
            .filter_map(|container| container["name"].as_str())
            .collect();
        if !silent.is_empty() {
            missing.push(format!("{what} for: {}", silent.join(",")));
        }
    }
    missing
}

fn text(thousandths: i128) -> String {
    let amount = Quantity(thousandths);
    if thousandths % 1000 == 0 { amount.binary() } else { amount.to_string() }
}

fn amount_of(value: &Value) -> Option<i128> {
    let amount = match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    amount.map(|amount| amount.0)
}
