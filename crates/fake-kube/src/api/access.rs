//! Who may do what: the roles and bindings that are stored.

use std::sync::Arc;

use serde_json::Value;

use crate::config::User;
use crate::objects::View;
use crate::{Resource, Status};

use super::selector::name_in_fields;
use super::{Call, Kube};

/// What somebody wants to do.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    pub verb: String,
    pub group: String,
    /// With the part below it: `pods/log`.
    pub resource: String,
    pub name: String,
    pub namespace: String,
}

pub(super) fn check(kube: &Kube, call: &Call) -> Result<(), Status> {
    // Everybody may ask what they may.
    if matches!(call.review, Some(review) if review != super::call::Review::Access) {
        return Ok(());
    }
    let wish = Wish {
        verb: call.verb().to_owned(),
        group: call.kind.group.clone(),
        resource: call.resource_name(),
        name: call.name.as_deref().or_else(|| name_in_fields(call)).unwrap_or_default().to_owned(),
        namespace: call.namespace.clone().unwrap_or_default(),
    };
    kube.objects.view(|view| match allowed(view, &call.user, &wish) {
        Some(_) => Ok(()),
        None => Err(Status::forbidden(&call.resource(), call.name(), words(&call.user, &wish))),
    })
}

fn words(user: &User, wish: &Wish) -> String {
    let place = match wish.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let Wish { verb, group, resource, .. } = wish;
    let name = &user.name;
    format!("User {name:?} cannot {verb} resource {resource:?} in API group {group:?} {place}")
}

/// Why it is allowed; [`None`] if it is not.
pub(super) fn allowed(view: &View<'_>, user: &User, wish: &Wish) -> Option<String> {
    if user.groups.iter().any(|group| group == "system:masters") {
        return Some(String::new());
    }
    rules(view, user, &wish.namespace)
        .into_iter()
        .find(|(rule, _)| allows(rule, wish))
        .map(|(_, why)| format!("RBAC: allowed by {why}"))
}

/// All rules that hold for somebody, with where they are from.
pub(super) fn rules(view: &View<'_>, user: &User, namespace: &str) -> Vec<(Value, String)> {
    let mut found = Vec::new();
    let mut add = |binding: &Value, kind: &str, binding_name: String| {
        let Some(subject) = subject_of(binding, user) else { return };
        let role = &binding["roleRef"];
        let name = role["name"].as_str().unwrap_or_default();
        let (of, home) = match role["kind"].as_str() {
            Some("ClusterRole") => (Resource::cluster_roles(), ""),
            _ => (Resource::roles(), namespace),
        };
        let rules = view.get(&of, home, name).map(|role| &role["rules"]);
        for rule in rules.and_then(Value::as_array).into_iter().flatten() {
            let of = role["kind"].as_str().unwrap_or("Role");
            let why = format!("{kind} {binding_name:?} of {of} {name:?} to {subject}");
            found.push((rule.clone(), why));
        }
    };
    let name =
        |binding: &Arc<Value>| binding["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    for binding in view.all(&Resource::cluster_role_bindings()) {
        add(binding, "ClusterRoleBinding", name(binding));
    }
    if !namespace.is_empty() {
        for binding in view.within(&Resource::role_bindings(), namespace) {
            add(binding, "RoleBinding", format!("{}/{namespace}", name(binding)));
        }
    }
    found
}

/// The subject of a binding that somebody is, in words.
fn subject_of(binding: &Value, user: &User) -> Option<String> {
    let home = binding["metadata"]["namespace"].as_str().unwrap_or_default();
    binding["subjects"].as_array()?.iter().find_map(|subject| {
        let name = subject["name"].as_str()?;
        match subject["kind"].as_str()? {
            "User" => (user.name == name).then(|| format!("User {name:?}")),
            "Group" => {
                user.groups.iter().any(|group| group == name).then(|| format!("Group {name:?}"))
            }
            "ServiceAccount" => {
                let namespace = subject["namespace"].as_str().unwrap_or(home);
                (user.name == format!("system:serviceaccount:{namespace}:{name}"))
                    .then(|| format!("ServiceAccount \"{name}/{namespace}\""))
            }
            _ => None,
        }
    })
}

fn allows(rule: &Value, wish: &Wish) -> bool {
    let has = |field: &str, wanted: &str| {
        let all = rule[field].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).any(|each| each == "*" || each == wanted)
    };
    let below = wish.resource.split_once('/').map(|(_, sub)| format!("*/{sub}"));
    let named = rule["resourceNames"].as_array().is_none_or(|names| {
        names.is_empty() || names.iter().any(|name| *name == wish.name.as_str())
    });
    has("verbs", &wish.verb)
        && has("apiGroups", &wish.group)
        && (has("resources", &wish.resource) || below.is_some_and(|below| has("resources", &below)))
        && named
}
