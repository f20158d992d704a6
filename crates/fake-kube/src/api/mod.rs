//! One request and its answer.

mod access;
mod admission;
mod apply;
mod call;
mod delete;
mod discovery;
mod events;
mod known;
mod list;
mod logs;
mod patch;
mod pods;
mod protobuf;
mod quota;
mod review;
mod selector;
mod shape;
mod strategic;
mod table;
mod validate;
mod watch;
mod write;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::actors::Controls;
use crate::config::{ADMIN, Config, User};
use crate::server::{Body, Cut, full};
use crate::{Fault, Faults, Kind, Logs, Objects, Resource, Status, What};

pub(crate) use call::Call;
pub(crate) use delete::go as delete;
pub(crate) use pods::disruption;
pub(crate) use quota::used;
pub(crate) use selector::Labels;

/// Everything of one cluster.
pub(crate) struct Kube {
    pub config: Config,
    pub kinds: Vec<Kind>,
    pub objects: Objects,
    pub logs: Logs,
    pub faults: Faults,
    pub controls: Option<Controls>,
    /// Tokens that are not good any more.
    pub revoked: Mutex<HashSet<String>>,
}

impl Kube {
    /// Metrics are served once there are any.
    pub fn served(&self) -> impl Iterator<Item = &Kind> {
        let measured = self.objects.knows(&Resource::pod_metrics())
            || self.objects.knows(&Resource::node_metrics());
        self.kinds.iter().filter(move |kind| measured || kind.group != "metrics.k8s.io")
    }
}

type Answer = Result<Response<Body>, Status>;

pub(crate) async fn answer(
    kube: &Arc<Kube>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Err(Cut) };
    let body = body.to_bytes();
    if let Some(answer) = about_itself(kube, &parts.method, parts.uri.path(), &body) {
        return Ok(answer.unwrap_or_else(refusal));
    }
    let user = match who(kube, &parts.headers) {
        Ok(user) => user,
        Err(status) => return Ok(refusal(status)),
    };
    let call = match Call::new(kube, &parts, body, user) {
        Ok(Some(call)) => call,
        Ok(None) => return Ok(discovery::answer(kube, &parts).unwrap_or_else(refusal)),
        Err(status) => return Ok(refusal(status)),
    };
    let (verb, of) = (call.verb(), call.resource_name());
    kube.faults.count(verb, &of);
    let fault = kube.faults.take(verb, &of, |what| {
        let later = match what {
            What::Freeze | What::Twice | What::Away => true,
            What::Drop => verb == "watch",
            _ => false,
        };
        !later
    });
    if let Some(What::Slow { millis }) = fault {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    let stale = match fault {
        Some(What::Drop) => return Err(Cut),
        Some(What::Fail) => return Ok(refusal(failed())),
        Some(What::Unauthorized) => return Ok(refusal(Status::unauthorized())),
        Some(What::Expired) => return Ok(refusal(Status::expired("too old resource version"))),
        Some(What::Refuse { message }) => {
            let code = StatusCode::FORBIDDEN;
            return Ok(refusal(Status::new(code, "Forbidden", message)));
        }
        Some(What::TooMany { after }) => {
            let text = "Too many requests, please try again later.";
            return Ok(refusal(Status::too_many(text, Some(after))));
        }
        Some(What::Stale { behind }) => behind,
        Some(What::LoseAnswer) => {
            drop(handle(kube, call, 0));
            return Err(Cut);
        }
        _ => 0,
    };
    Ok(handle(kube, call, stale).unwrap_or_else(refusal))
}

fn failed() -> Status {
    let text = "Internal error occurred: etcdserver: request timed out";
    Status::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", text)
}

fn handle(kube: &Arc<Kube>, call: Call, stale: u64) -> Answer {
    access::check(kube, &call)?;
    if let Some(review) = call.review {
        return review::answer(kube, review, &call);
    }
    let measured = call.kind.group == "metrics.k8s.io" && !matches!(call.verb(), "get" | "list");
    match (call.sub.as_deref(), call.verb()) {
        _ if measured => Err(not_allowed()),
        (Some("log"), "get") => logs::answer(kube, &call),
        (Some("eviction"), "create") => pods::evict(kube, &call),
        (Some("binding"), "create") => pods::bind(kube, &call),
        (None | Some("status" | "scale"), "get") => list::get(kube, &call, stale),
        (None, "list") => list::list(kube, &call, stale),
        (None, "watch") => watch::watch(kube, call),
        (None, "create") => write::create(kube, &call),
        (None | Some("status" | "scale" | "resize"), "update") => write::update(kube, &call),
        (None | Some("status" | "scale" | "resize"), "patch") => patch::patch(kube, &call),
        (None, "delete") => self::delete::delete(kube, &call),
        (None, "deletecollection") => self::delete::collection(kube, &call),
        _ => Err(not_allowed()),
    }
}

fn not_allowed() -> Status {
    let text = "the server does not allow this method on the requested resource";
    Status::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", text)
}

/// The fake's own paths, which no cluster has: faults, orders and what was called.
fn about_itself(kube: &Kube, method: &Method, path: &str, body: &[u8]) -> Option<Answer> {
    match (path, method) {
        ("/faults", &Method::POST) => Some(match serde_json::from_slice::<Fault>(body) {
            Ok(fault) => {
                kube.faults.set(fault);
                Ok(json_answer(StatusCode::CREATED, &json!({})))
            }
            Err(error) => Err(Status::bad_request(format!("not a fault: {error}"))),
        }),
        ("/faults", &Method::DELETE) => {
            kube.faults.clear();
            Some(Ok(json_answer(StatusCode::OK, &json!({}))))
        }
        ("/orders", &Method::POST) => Some(order(kube, body)),
        ("/calls", &Method::GET) => {
            let calls = kube.faults.calls();
            let calls: Vec<Value> = calls
                .iter()
                .map(|((verb, of), times)| json!({ "verb": verb, "resource": of, "times": times }))
                .collect();
            Some(Ok(json_answer(StatusCode::OK, &json!(calls))))
        }
        _ => None,
    }
}

/// Something that is to happen to pods or nodes.
fn order(kube: &Kube, body: &[u8]) -> Answer {
    let order = serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("not an order: {error}")))?;
    let controls = kube.controls.as_ref().ok_or_else(Status::no_such_path)?;
    controls.order(order).map_err(Status::bad_request)?;
    Ok(json_answer(StatusCode::CREATED, &json!({})))
}

/// By the token; the administrator without one. `Impersonate-User` is only for the administrator.
fn who(kube: &Kube, headers: &http::HeaderMap) -> Result<User, Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let user = match text("authorization") {
        None => User::admin(),
        Some(text) => {
            let token = text.strip_prefix("Bearer ").ok_or_else(Status::unauthorized)?;
            if kube.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(token) {
                return Err(Status::unauthorized());
            }
            let known = kube.config.tokens.get(token).cloned();
            let admin = || (token == ADMIN).then(User::admin);
            known.or_else(admin).ok_or_else(Status::unauthorized)?
        }
    };
    let Some(other) = text("impersonate-user") else { return Ok(user) };
    if !user.groups.iter().any(|group| group == "system:masters") {
        let of = Resource::new("", "v1", "users");
        let why = format!(
            "User {:?} cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
            user.name
        );
        return Err(Status::forbidden(&of, other, why));
    }
    let mut groups: Vec<&str> =
        headers.get_all("impersonate-group").iter().filter_map(|g| g.to_str().ok()).collect();
    let within;
    if let Some(("system", "serviceaccount", rest)) = other
        .split_once(':')
        .and_then(|(a, rest)| rest.split_once(':').map(|(b, rest)| (a, b, rest)))
    {
        let namespace = rest.split(':').next().unwrap_or_default();
        within = format!("system:serviceaccounts:{namespace}");
        groups.extend(["system:serviceaccounts", &within]);
    }
    Ok(User::new(other, &groups))
}

pub(crate) fn json_answer(code: StatusCode, value: &Value) -> Response<Body> {
    let text = serde_json::to_vec(value).expect("a value");
    let mut answer = Response::new(full(text));
    *answer.status_mut() = code;
    let kind = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

pub(crate) fn refusal(status: Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json_answer(code, &status.to_value());
    if let Some(after) = status.retry_after() {
        answer.headers_mut().insert(header::RETRY_AFTER, after.into());
    }
    answer
}
