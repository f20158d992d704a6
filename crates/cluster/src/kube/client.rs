//! Calls of the Kubernetes API, and what comes of them.

use std::path::Path;
use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Most characters of the API's words that are passed on.
const WORDS: usize = 1_000;

/// Why instances cannot be pods; its words say what to do.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    #[error("the kubeconfig cannot be used: {0}")]
    Configuration(String),
    #[error("the Kubernetes API cannot be called: {0}")]
    Unreachable(String),
    #[error("the hub's name {0:?} cannot be a label: 1 to 63 letters, digits, '-', '_' and '.'")]
    Hub(String),
    #[error(
        "the hub may not do in namespace {namespace} what it has to: {missing}; give its account these rights \
         (docs/kubernetes.md has the role)"
    )]
    Rights { namespace: String, missing: String },
    #[error(
        "nodes.mode = \"own\" needs rights in the whole cluster that the hub's account lacks: {missing} \
         (docs/kubernetes.md has the role)"
    )]
    NodeRights { missing: String },
    #[error("the template of pods cannot be used: {0}")]
    Template(String),
    #[error("namespace {namespace}: {why}; make it, or name another one")]
    Namespace { namespace: String, why: String },
}

/// The client for a cluster: of a kubeconfig, or of the pod that the hub is. A process that calls it has a
/// provider of cryptography installed for rustls.
pub async fn client(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<kube::Client, KubeError> {
    let bad = |error: &dyn std::error::Error| KubeError::Configuration(chain(error));
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..Default::default() };
    let config = match (kubeconfig, context) {
        (Some(path), _) => {
            let read = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(|error| bad(&error))
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| bad(&error)),
        (None, None) => Config::infer().await.map_err(|error| bad(&error)),
    };
    let mut config = config?;
    config.connect_timeout = Some(CONNECT);
    // Watches are silent for as long as nothing happens; each call has a limit of its own.
    config.read_timeout = None;
    config.write_timeout = Some(ANSWER);
    // It knows nothing of what an answer asks for; whoever calls tries again.
    config.default_retry = false;
    kube::Client::try_from(config).map_err(|error| bad(&error))
}

/// What came of a call that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Answer {
        code: u16,
        reason: String,
        message: String,
        retry_after: Option<Duration>,
    },
    /// No answer: what was asked may have been done.
    Lost {
        why: String,
    },
}

impl Failed {
    pub(crate) fn is(&self, wanted: u16) -> bool {
        matches!(self, Self::Answer { code, .. } if *code == wanted)
    }

    /// Can the same call succeed later, although nobody changes what is asked?
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Answer { code, reason, .. } => {
                matches!(code, 401 | 408 | 429 | 500..) || (*code == 409 && reason == "Conflict")
            }
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer { retry_after, .. } => *retry_after,
            Self::Lost { .. } => None,
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer { code, message, .. } if message.is_empty() => {
                write!(f, "it answers {code}")
            }
            Self::Answer { message, .. } => f.write_str(message),
            Self::Lost { why } => f.write_str(why),
        }
    }
}

impl From<kube::Error> for Failed {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let seconds = status.details.as_ref().map_or(0, |it| it.retry_after_seconds);
                Self::Answer {
                    code: status.code,
                    reason: status.reason,
                    message: short(&status.message),
                    retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
                }
            }
            error => Self::Lost { why: chain(&error) },
        }
    }
}

impl Failed {
    /// What an administrator has to do, if it does not pass by itself.
    pub(super) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Answer { code: 401, .. } => Some(
                "it does not know who the hub is: its token ran out, or its account is gone. A pod's own token is \
                 renewed by its node and read again each minute; a kubeconfig needs a new one",
            ),
            Self::Lost { why } if why.contains("certificate") => Some(
                "its certificate is not of the authority that the kubeconfig, or the hub's pod, names: it is another \
                 API, or it has a new authority, which the kubeconfig has to name",
            ),
            _ => None,
        }
    }

    /// The failure, and what to do about it.
    pub(super) fn in_full(&self) -> String {
        match self.advice() {
            Some(advice) => format!("{advice} ({self})"),
            None => self.to_string(),
        }
    }
}

/// Calls of one namespace.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) client: kube::Client,
    pub(crate) namespace: String,
}

impl Calls {
    pub(super) async fn create_pod(&self, pod: &Value, only_try: bool) -> Result<Pod, Failed> {
        // Strict: a field that does not exist is a fault of a template, and is told.
        let try_it = if only_try { "?dryRun=All&fieldValidation=Strict" } else { "" };
        self.call(Method::POST, &format!("{}{try_it}", self.pods()), Some(pod)).await
    }

    pub(super) async fn get_pod(&self, name: &str) -> Result<Pod, Failed> {
        self.call(Method::GET, &format!("{}/{name}", self.pods()), None).await
    }

    pub(super) async fn patch_pod(&self, name: &str, patch: &Value) -> Result<Pod, Failed> {
        self.call(Method::PATCH, &format!("{}/{name}", self.pods()), Some(patch)).await
    }

    /// Deletes the pod that has this uid, and no other one of its name.
    pub(super) async fn delete_pod(
        &self,
        name: &str,
        uid: &str,
        grace: Option<Duration>,
    ) -> Result<(), Failed> {
        let mut options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}});
        if let Some(grace) = grace {
            options["gracePeriodSeconds"] = json!(grace.as_secs());
        }
        let path = format!("{}/{name}", self.pods());
        let done: Result<Value, Failed> = self.call(Method::DELETE, &path, Some(&options)).await;
        done.map(drop)
    }

    /// Asked with a list: who may watch nodes may do that.
    pub(super) async fn has_node(&self, name: &str) -> Result<bool, Failed> {
        let path = format!("/api/v1/nodes?fieldSelector=metadata.name%3D{name}");
        let found: Value = self.call(Method::GET, &path, None).await?;
        Ok(found["items"].as_array().is_some_and(|items| !items.is_empty()))
    }

    /// May the hub do it? None in `namespace`: in all of them. A resource may be one by its name, `pods=a`.
    pub(crate) async fn may(
        &self,
        (verb, group, resource): (&str, &str, &str),
        namespace: Option<&str>,
    ) -> Result<bool, Failed> {
        let (resource, name) = resource.split_once('=').unwrap_or((resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": namespace.unwrap_or_default(), "verb": verb, "group": group,
                "resource": resource, "subresource": subresource, "name": name,
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let told: Value = self.call(Method::POST, path, Some(&review)).await?;
        Ok(told["status"]["allowed"] == true)
    }

    fn pods(&self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace)
    }

    /// One call, with what the client of the library does not show of an answer: `Retry-After`. A patch that is a
    /// list is one of single steps.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failed> {
        let kind = match method {
            Method::PATCH if body.is_some_and(Value::is_array) => "application/json-patch+json",
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind);
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let lost = |why: String| Failed::Lost { why };
        let request = request.body(Body::from(body)).map_err(|error| lost(chain(&error)))?;
        let answer = async {
            let answer = self.client.send(request).await?;
            let (parts, body) = answer.into_parts();
            Ok((parts, body.collect().await?.to_bytes()))
        };
        let answer = tokio::time::timeout(ANSWER, answer).await;
        let answer =
            answer.map_err(|_| lost(format!("no answer within {} s", ANSWER.as_secs())))?;
        let (parts, body) = answer.map_err(|error: kube::Error| Failed::from(error))?;
        if parts.status.is_success() {
            let read = serde_json::from_slice(&body);
            return read.map_err(|error| lost(format!("its answer cannot be read: {error}")));
        }
        let after = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after: Option<u64> = after.and_then(|seconds| seconds.trim().parse().ok());
        let status: Value = serde_json::from_slice(&body).unwrap_or_default();
        let after = after.or_else(|| status["details"]["retryAfterSeconds"].as_u64());
        let message = status["message"].as_str().map(|message| {
            let causes = status["details"]["causes"].as_array().into_iter().flatten();
            // Which budget it is stands beside the message.
            let budgets = causes.filter(|cause| cause["reason"] == "DisruptionBudget");
            let budgets = budgets.filter_map(|cause| cause["message"].as_str());
            std::iter::once(message).chain(budgets).collect::<Vec<_>>().join(" ")
        });
        Err(Failed::Answer {
            code: parts.status.as_u16(),
            reason: status["reason"].as_str().unwrap_or_default().to_owned(),
            message: short(&message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned())),
            retry_after: after.map(Duration::from_secs),
        })
    }
}

/// An error and what is behind it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    short(&text)
}

fn short(text: &str) -> String {
    text.trim().chars().take(WORDS).collect()
}
