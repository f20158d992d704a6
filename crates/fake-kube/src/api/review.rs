//! Questions about rights: answered, stored nowhere.

use http::StatusCode;
use serde_json::{Value, json};

use crate::Status;
use crate::config::User;

use super::access::{Wish, allowed, rules};
use super::call::Review;
use super::{Answer, Call, Kube, json_answer};

pub(super) fn answer(kube: &Kube, review: Review, call: &Call) -> Answer {
    if call.verb() != "create" {
        return Err(Status::no_such_path());
    }
    let mut asked = call.object()?;
    asked["apiVersion"] = json!(call.resource().api_version());
    asked["kind"] = json!(call.kind.kind);
    let spec = asked["spec"].clone();
    asked["status"] = match review {
        Review::SelfAccess => access(kube, &call.user, &spec)?,
        Review::Access => {
            let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let groups: Vec<&str> = groups.collect();
            let user = User::new(spec["user"].as_str().unwrap_or_default(), &groups);
            access(kube, &user, &spec)?
        }
        Review::SelfRules => {
            let namespace = spec["namespace"].as_str().unwrap_or_default();
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            self_rules(kube, &call.user, namespace)
        }
        Review::Myself => {
            json!({ "userInfo": { "username": call.user.name, "groups": call.user.groups } })
        }
    };
    Ok(json_answer(StatusCode::CREATED, &asked))
}

fn access(kube: &Kube, user: &User, spec: &Value) -> Result<Value, Status> {
    if spec["nonResourceAttributes"].is_object() {
        // What is not about objects (versions, discovery, health) everybody may read here.
        return Ok(json!({ "allowed": spec["nonResourceAttributes"]["verb"] == "get" }));
    }
    let asked = &spec["resourceAttributes"];
    if !asked.is_object() {
        return Err(Status::bad_request(
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ));
    }
    let text = |field: &str| asked[field].as_str().unwrap_or_default().to_owned();
    let resource = match text("subresource").as_str() {
        "" => text("resource"),
        sub => format!("{}/{sub}", text("resource")),
    };
    let wish = Wish {
        verb: text("verb"),
        group: text("group"),
        resource,
        name: text("name"),
        namespace: text("namespace"),
    };
    Ok(match kube.objects.view(|view| allowed(view, user, &wish)) {
        Some(reason) if reason.is_empty() => json!({ "allowed": true }),
        Some(reason) => json!({ "allowed": true, "reason": reason }),
        None => json!({ "allowed": false }),
    })
}

fn self_rules(kube: &Kube, user: &User, namespace: &str) -> Value {
    let all: Vec<Value> = match user.groups.iter().any(|group| group == "system:masters") {
        true => vec![json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] })],
        false => kube
            .objects
            .view(|view| rules(view, user, namespace))
            .into_iter()
            .map(|(rule, _)| rule)
            .collect(),
    };
    let (paths, objects): (Vec<Value>, Vec<Value>) =
        all.into_iter().partition(|rule| rule["nonResourceURLs"].is_array());
    json!({ "resourceRules": objects, "nonResourceRules": paths, "incomplete": false })
}
