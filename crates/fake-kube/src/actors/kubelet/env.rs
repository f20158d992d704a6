//! The environment of a container, and what `$(NAME)` in its command stands for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{
    quantity::Quantity,
    shapes::{Container, Pod},
    text,
};
use crate::{Objects, Resource};

pub type Env = BTreeMap<String, String>;

pub struct Place<'a> {
    pub object: &'a Value,
    pub pod: &'a Pod,
    pub ip: &'a str,
    pub host_ip: &'a str,
}

/// The error is the message of `CreateContainerConfigError`.
pub fn env(objects: &Objects, place: &Place, container: &Container) -> Result<Env, String> {
    let mut env = Env::from([("HOSTNAME".to_owned(), place.pod.metadata.name.clone())]);
    for from in &container.env_from {
        for (field, of) in
            [("configMapRef", Resource::config_maps()), ("secretRef", Resource::secrets())]
        {
            let Some(source) = from.get(field) else { continue };
            let Some(found) = source_of(objects, place, &of, source)? else { continue };
            let prefix = from["prefix"].as_str().unwrap_or_default();
            let entries = values(&found, &of);
            env.extend(entries.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
        }
    }
    for one in &container.env {
        let Some(name) = one["name"].as_str() else { continue };
        let value = match one.get("valueFrom") {
            Some(from) => referred(objects, place, container, from)?,
            None => Some(expand(one["value"].as_str().unwrap_or_default(), &env)),
        };
        if let Some(value) = value {
            env.insert(name.into(), value);
        }
    }
    Ok(env)
}

fn referred(
    objects: &Objects,
    place: &Place,
    container: &Container,
    from: &Value,
) -> Result<Option<String>, String> {
    if let Some(path) = from["fieldRef"]["fieldPath"].as_str() {
        return field(place, path).map(Some);
    }
    if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
        return amount(container, resource).map(Some);
    }
    for (at, of, kind) in [
        ("configMapKeyRef", Resource::config_maps(), "ConfigMap"),
        ("secretKeyRef", Resource::secrets(), "Secret"),
    ] {
        let Some(source) = from.get(at) else { continue };
        let Some(found) = source_of(objects, place, &of, source)? else { return Ok(None) };
        let key = source["key"].as_str().unwrap_or_default();
        let value = values(&found, &of).remove(key);
        if value.is_none() && source["optional"] != true {
            let (namespace, name) = (&place.pod.metadata.namespace, text(source, "/name"));
            return Err(format!("couldn't find key {key} in {kind} {namespace}/{name}"));
        }
        return Ok(value);
    }
    Ok(None)
}

fn field(place: &Place, path: &str) -> Result<String, String> {
    let found = match path {
        "status.podIP" | "status.podIPs" => place.ip,
        "status.hostIP" | "status.hostIPs" => place.host_ip,
        _ => {
            let part = |kind: &str| path.strip_prefix(kind)?.strip_suffix("']");
            let labels = part("metadata.labels['").map(|key| ("labels", key));
            let notes = part("metadata.annotations['").map(|key| ("annotations", key));
            if let Some((kind, key)) = labels.or(notes) {
                return Ok(place.object["metadata"][kind][key].as_str().unwrap_or_default().into());
            }
            if !["metadata.", "spec."].iter().any(|start| path.starts_with(start)) {
                return Err(format!("field label not supported: {path}"));
            }
            text(place.object, &format!("/{}", path.replace('.', "/")))
        }
    };
    Ok(found.to_owned())
}

fn amount(container: &Container, resource: &str) -> Result<String, String> {
    let (kind, name) = resource.split_once('.').unwrap_or_default();
    let of = match kind {
        "limits" => &container.resources.limits,
        "requests" => &container.resources.requests,
        _ => return Err(format!("unsupported container resource: {resource}")),
    };
    Ok(of.get(name).copied().unwrap_or(Quantity(0)).value().to_string())
}

/// [`None`] of one that is missing and may be.
fn source_of(
    objects: &Objects,
    place: &Place,
    of: &Resource,
    source: &Value,
) -> Result<Option<Value>, String> {
    let name = text(source, "/name");
    match objects.get(of, Some(&place.pod.metadata.namespace), name) {
        Some(found) => Ok(Some(Value::clone(&found))),
        None if source["optional"] == true => Ok(None),
        None => Err(format!("{} {name:?} not found", of.plural.trim_end_matches('s'))),
    }
}

fn values(found: &Value, of: &Resource) -> Env {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Env::new();
    for (field, encoded) in [("data", *of == Resource::secrets()), ("stringData", false)] {
        for (key, value) in found[field].as_object().into_iter().flatten() {
            let value = if encoded { decoded(&text(value)) } else { text(value) };
            all.insert(key.clone(), value);
        }
    }
    all
}

fn decoded(value: &str) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `$(NAME)` of what is known; `$$(NAME)` is the text `$(NAME)`.
pub fn expand(text: &str, env: &Env) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = rest.strip_prefix("$(").and_then(|inner| inner.split_once(')'));
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((value, after)) =
            known.and_then(|(name, after)| Some((env.get(name)?, after)))
        {
            out.push_str(value);
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_commands_are_replaced_as_documented() {
        let env = Env::from([("A".to_owned(), "1".to_owned())]);
        for (text, out) in
            [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("a$", "a$"), ("$(A", "$(A"), ("", "")]
        {
            assert_eq!(expand(text, &env), out);
        }
    }
}
