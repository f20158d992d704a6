//! What a request asks for.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::config::User;
use crate::{Kind, Resource, Status};

use super::Kube;

/// A question about rights, or about oneself: stored nowhere.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Review {
    SelfAccess,
    Access,
    SelfRules,
    Myself,
}

impl Review {
    pub const ALL: [(&'static str, &'static str, &'static str, Review); 4] = [
        (
            "authorization.k8s.io",
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
            Self::SelfAccess,
        ),
        ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", Self::Access),
        (
            "authorization.k8s.io",
            "selfsubjectrulesreviews",
            "SelfSubjectRulesReview",
            Self::SelfRules,
        ),
        ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", Self::Myself),
    ];
}

/// A request for objects of a kind.
pub(crate) struct Call {
    pub kind: Kind,
    /// As asked for; not necessarily the one that is stored.
    pub version: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub sub: Option<String>,
    pub review: Option<Review>,
    pub method: Method,
    pub query: Vec<(String, String)>,
    pub accept: String,
    pub content: String,
    pub agent: String,
    pub user: User,
    pub body: Bytes,
}

impl Call {
    /// [`None`]: a path of no kind.
    pub fn new(
        kube: &Kube,
        parts: &Parts,
        body: Bytes,
        user: User,
    ) -> Result<Option<Self>, Status> {
        let path = parts.uri.path().trim_matches('/').split('/');
        let path: Vec<String> = path.map(decoded).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (group, version, rest) = match path.as_slice() {
            ["api", "v1", rest @ ..] => ("", "v1", rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Ok(None),
        };
        if rest.is_empty() {
            return Ok(None);
        }
        let is_served = |kind: &&Kind, plural: &str| {
            kind.group == group
                && kind.plural == plural
                && kind.versions.iter().any(|v| v == version)
        };
        let find = |plural: &str| kube.served().find(|kind| is_served(kind, plural));
        // A namespace is in itself.
        let (namespace, plural, rest) = match rest {
            ["namespaces", name, plural, rest @ ..]
                if find(plural).is_some_and(|k| k.namespaced) =>
            {
                (Some(*name), *plural, rest)
            }
            ["namespaces", name, plural @ "localsubjectaccessreviews", rest @ ..] => {
                (Some(*name), *plural, rest)
            }
            [plural, rest @ ..] => (None, *plural, rest),
            [] => return Ok(None),
        };
        let review = Review::ALL.into_iter().find(|(g, p, ..)| (*g, *p) == (group, plural));
        let kind = match review {
            Some((group, plural, kind, _)) => {
                Kind::custom(group, &["v1"], plural, kind).of_the_cluster()
            }
            None => find(plural).cloned().ok_or_else(Status::no_such_path)?,
        };
        let header = |name: &str| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let call = Self {
            version: version.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: rest.first().map(|&name| name.to_owned()),
            sub: rest.get(1).map(|&sub| sub.to_owned()),
            review: review.map(|(.., review)| review),
            method: parts.method.clone(),
            query: query(parts),
            accept: header("accept"),
            content: header("content-type"),
            agent: header("user-agent"),
            user,
            body,
            kind,
        };
        let has = match call.sub.as_deref() {
            None => true,
            Some("status") => call.kind.status,
            Some("scale") => call.kind.scale,
            Some("log" | "eviction" | "binding" | "resize") => {
                call.kind.resource() == Resource::pods()
            }
            Some(_) => false,
        };
        if !has
            || rest.len() > 2
            || (call.kind.namespaced && call.name.is_some() && call.namespace.is_none())
        {
            return Err(Status::no_such_path());
        }
        Ok(Some(call))
    }

    /// As roles have it.
    pub fn verb(&self) -> &'static str {
        match (&self.method, &self.name) {
            (&Method::GET | &Method::HEAD, Some(_)) => "get",
            (&Method::GET | &Method::HEAD, None) if self.flag("watch") => "watch",
            (&Method::GET | &Method::HEAD, None) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, Some(_)) => "update",
            (&Method::PATCH, Some(_)) => "patch",
            (&Method::DELETE, Some(_)) => "delete",
            (&Method::DELETE, None) => "deletecollection",
            _ => "none",
        }
    }

    /// What is stored under it: both kinds of events are the same.
    pub fn stored(&self) -> Resource {
        match self.kind.group.as_str() {
            "events.k8s.io" => Resource::events(),
            _ => self.kind.resource(),
        }
    }

    /// As it is asked for.
    pub fn resource(&self) -> Resource {
        Resource::new(&self.kind.group, &self.version, &self.kind.plural)
    }

    /// `pods`, `pods/log`.
    pub fn resource_name(&self) -> String {
        match &self.sub {
            Some(sub) => format!("{}/{sub}", self.kind.plural),
            None => self.kind.plural.clone(),
        }
    }

    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn flag(&self, name: &str) -> bool {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.is_some_and(|(_, value)| matches!(value.as_str(), "1" | "true" | "t" | "True" | ""))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Status> {
        let Some(text) = self.param(name) else { return Ok(None) };
        let bad = |_| Status::bad_request(format!("unable to parse {name}: {text:?} is no number"));
        text.parse().map(Some).map_err(bad)
    }

    pub fn is_dry(&self) -> Result<bool, Status> {
        match self.param("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }

    /// Who is written down as the one that has set a field.
    pub fn manager(&self) -> &str {
        self.param("fieldManager").unwrap_or_else(|| {
            self.agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown")
        })
    }

    /// The body as JSON; YAML where that is said.
    pub fn object(&self) -> Result<Value, Status> {
        self.read()
    }

    /// Options, which may be absent.
    pub fn options(&self) -> Result<Value, Status> {
        if self.body.is_empty() { Ok(Value::Null) } else { self.read() }
    }

    fn read(&self) -> Result<Value, Status> {
        let kind = self.content.split(';').next().unwrap_or_default().trim();
        let text = || std::str::from_utf8(&self.body).unwrap_or_default();
        let bad = |error: &dyn std::fmt::Display| {
            Status::bad_request(format!("error decoding the body: {error}"))
        };
        match kind {
            ""
            | "application/json"
            | "application/json-patch+json"
            | "application/merge-patch+json"
            | "application/strategic-merge-patch+json" => {
                serde_json::from_slice(&self.body).map_err(|error| bad(&error))
            }
            "application/yaml" | "application/apply-patch+yaml" => {
                serde_saphyr::from_str(text()).map_err(|error| bad(&error))
            }
            "application/vnd.kubernetes.protobuf" => {
                super::protobuf::read(&self.body).map_err(|why| unsupported(&why))
            }
            other => Err(unsupported(&format!(
                "the body of the request was in an unknown format ({other}) - accepted media types \
                 include: application/json, application/yaml"
            ))),
        }
    }
}

pub(super) fn unsupported(text: &str) -> Status {
    Status::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", text)
}

fn query(parts: &Parts) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// One part of a path: in it `+` is a plus.
fn decoded(part: &str) -> String {
    let part = part.replace('+', "%2B");
    form_urlencoded::parse(part.as_bytes()).next().map(|(key, _)| key.into_owned()).unwrap_or(part)
}
