//! One object, and lists: whole or in pages of one moment.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::Status;
use crate::objects::{Key, key};

use super::selector::Selector;
use super::shape::Shape;
use super::{Answer, Call, Kube, json_answer, write};

pub(super) fn get(kube: &Kube, call: &Call, stale: u64) -> Answer {
    let of = call.stored();
    let missing = || Status::not_found(&call.resource(), call.name());
    let namespace = call.namespace.as_deref();
    let object = if stale > 0 {
        let wanted = (namespace.unwrap_or_default().to_owned(), call.name().to_owned());
        let (_, all) = past(kube, call, stale);
        all.into_iter().find(|object| key(object) == wanted).ok_or_else(missing)?
    } else {
        kube.objects.get(&of, namespace, call.name()).ok_or_else(missing)?
    };
    if call.sub.as_deref() == Some("scale") {
        return Ok(json_answer(StatusCode::OK, &write::scale(&object)));
    }
    Ok(json_answer(StatusCode::OK, &Shape::of(call).one(&object)))
}

pub(super) fn list(kube: &Kube, call: &Call, stale: u64) -> Answer {
    let of = call.stored();
    let selector = Selector::of(call)?;
    let limit: usize = call.number("limit")?.unwrap_or(0);
    let wanted = version_wanted(call, limit > 0)?;
    let token = call.param("continue").map(Token::parse).transpose()?;
    let (latest, now) = match stale {
        0 => kube.objects.list(&of),
        behind => past(kube, call, behind),
    };
    let after = |start: &Key, all: Vec<Arc<Value>>| -> Vec<Arc<Value>> {
        all.into_iter().filter(|object| key(object) > *start).collect()
    };
    let (version, all) = match (&token, wanted) {
        (Some(Token { version: None, start }), _) => (latest, after(start, now)),
        (Some(Token { version: Some(version), start }), _) => {
            let then = kube.objects.list_at(&of, *version);
            (*version, after(start, then.ok_or_else(|| expired(start))?))
        }
        (None, Wanted::Exactly(version)) if version < latest => {
            let too_old = || {
                Status::expired(format!(
                    "The resourceVersion for the provided list is too old: {version} ({latest})"
                ))
            };
            (version, kube.objects.list_at(&of, version).ok_or_else(too_old)?)
        }
        (None, Wanted::Exactly(version) | Wanted::AtLeast(version)) if version > latest => {
            return Err(too_large(version, latest));
        }
        (None, _) => (latest, now),
    };
    let mut page: Vec<Arc<Value>> = all.into_iter().filter(|object| selector.has(object)).collect();
    let mut meta = json!({ "resourceVersion": version.to_string() });
    if limit > 0 && page.len() > limit {
        let more = page.split_off(limit);
        if !selector.is_narrow() {
            meta["remainingItemCount"] = json!(more.len());
        }
        if let Some(last) = page.last() {
            let version = token.is_none_or(|token| token.version.is_some()).then_some(version);
            meta["continue"] = json!(Token { version, start: key(last) }.text());
        }
    }
    Ok(json_answer(StatusCode::OK, &Shape::of(call).list(&page, meta)))
}

/// As it was some versions ago, or as long ago as is known.
fn past(kube: &Kube, call: &Call, behind: u64) -> (u64, Vec<Arc<Value>>) {
    let of = call.stored();
    let (latest, now) = kube.objects.list(&of);
    (0..=behind)
        .rev()
        .find_map(|behind| {
            let version = latest.saturating_sub(behind);
            Some((version, kube.objects.list_at(&of, version)?))
        })
        .unwrap_or((latest, now))
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Wanted {
    Latest,
    AtLeast(u64),
    Exactly(u64),
}

fn version_wanted(call: &Call, in_pages: bool) -> Result<Wanted, Status> {
    let (version, matched) = (call.param("resourceVersion"), call.param("resourceVersionMatch"));
    let invalid = |why: &str| {
        let text = format!("resourceVersionMatch: {why}");
        let code = StatusCode::UNPROCESSABLE_ENTITY;
        Err(Status::new(code, "Invalid", text))
    };
    if call.param("continue").is_some() {
        return match (version, matched) {
            (Some(version), _) if version != "0" => Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            )),
            (_, Some(_)) => {
                invalid("Forbidden: resourceVersionMatch is forbidden when continue is provided")
            }
            _ => Ok(Wanted::Latest),
        };
    }
    let Some(text) = version else {
        return match matched {
            None => Ok(Wanted::Latest),
            Some(_) => invalid(
                "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ),
        };
    };
    let version = parse_version(text)?;
    match (matched, version) {
        (Some("Exact"), 0) => invalid(
            "Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
        ),
        (Some("Exact"), version) => Ok(Wanted::Exactly(version)),
        (Some("NotOlderThan"), version) => Ok(Wanted::AtLeast(version)),
        (Some(other), _) => invalid(&format!(
            "Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\""
        )),
        // In pages, a version alone means exactly that one.
        (None, version) if in_pages && version > 0 => Ok(Wanted::Exactly(version)),
        (None, version) => Ok(Wanted::AtLeast(version)),
    }
}

pub(super) fn parse_version(text: &str) -> Result<u64, Status> {
    let bad = |_| {
        let text =
            format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: invalid syntax");
        Status::bad_request(text)
    };
    text.parse().map_err(bad)
}

pub(super) fn too_large(version: u64, latest: u64) -> Status {
    let text = format!("Too large resource version: {version}, current: {latest}");
    let mut status = Status::new(
        StatusCode::GATEWAY_TIMEOUT,
        "Timeout",
        format!("Timeout: {text}"),
    )
    .cause("ResourceVersionTooLarge", "Too large resource version", "");
    status.details.insert("retryAfterSeconds".to_owned(), json!(1));
    status
}

/// Where a list goes on.
struct Token {
    /// [`None`]: with what there is then.
    version: Option<u64>,
    start: Key,
}

impl Token {
    fn text(&self) -> String {
        let version = self.version.map_or(-1, |version| i64::try_from(version).unwrap_or(-1));
        let (namespace, name) = &self.start;
        let token = json!({ "v": "meta.k8s.io/v1", "rv": version, "start": [namespace, name] });
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn parse(text: &str) -> Result<Self, Status> {
        let bad = || Status::bad_request("continue key is not valid: it is not one of this server");
        let token = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let token: Value = serde_json::from_slice(&token).map_err(|_| bad())?;
        let part = |at: usize| token["start"][at].as_str().map(str::to_owned).ok_or_else(bad);
        Ok(Self { version: token["rv"].as_u64(), start: (part(0)?, part(1)?) })
    }
}

fn expired(start: &Key) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted between \
         the time the first chunk was returned and now may show up in the list.",
    );
    status.r#continue = Some(Token { version: None, start: start.clone() }.text());
    status
}
