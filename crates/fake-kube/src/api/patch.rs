//! Changes to parts of an object: three kinds of patch, and apply.

use http::StatusCode;

use crate::Status;

use super::call::unsupported;
use super::{Answer, Call, Kube, apply, json_answer, strategic, write};

pub(super) fn patch(kube: &Kube, call: &Call) -> Answer {
    let kind = call.content.split(';').next().unwrap_or_default().trim();
    if kind == "application/apply-patch+yaml" {
        return apply::apply(kube, call);
    }
    if call.param("force").is_some() {
        let text = "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be \
                    specified for non-apply patch";
        return Err(Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text));
    }
    let patch = call.object()?;
    let by = apply::By::update(call);
    let made = match kind {
        "application/json-patch+json" => {
            let patch: json_patch::Patch = serde_json::from_value(patch)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
            write::change(kube, call, by, |object| {
                let mut object = object.clone();
                json_patch::patch(&mut object, &patch).map_err(|_| refused())?;
                Ok(object)
            })
        }
        "application/merge-patch+json" => write::change(kube, call, by, |object| {
            let mut object = object.clone();
            json_patch::merge(&mut object, &patch);
            Ok(object)
        }),
        "application/strategic-merge-patch+json" if call.kind.builtin => {
            write::change(kube, call, by, |object| {
                let mut object = object.clone();
                strategic::merge(&mut object, &patch)?;
                Ok(object)
            })
        }
        _ => {
            let strategic =
                if call.kind.builtin { "application/strategic-merge-patch+json, " } else { "" };
            return Err(unsupported(&format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, {strategic}\
                 application/apply-patch+yaml"
            )));
        }
    }?;
    Ok(json_answer(StatusCode::OK, &write::shown(call, &made)))
}

/// A patch that does not fit what is there: a `test` that fails, a path that is missing.
fn refused() -> Status {
    let text = "the server rejected our request due to an error in our request";
    Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", text)
}

/// Where a list is not one value: what tells its items apart. [`None`] of lists that are replaced.
pub(super) fn item_key(within: &str, list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "resourceClaims"
        | "schedulingGates"
        | "secrets" => "name",
        "ports" if within == "spec" => "port",
        "ports" => "containerPort",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "conditions" | "addresses" => "type",
        "ownerReferences" => "uid",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        _ => return None,
    })
}
