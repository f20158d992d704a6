//! What the API answers when it refuses: a `metav1.Status`.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::Resource;

#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: u16,
    pub reason: String,
    pub message: String,
    /// As the wire has it: name, group, kind, uid, causes, retryAfterSeconds.
    pub details: Map<String, Value>,
    /// Of an expired list: the token that goes on, from what there is now.
    pub r#continue: Option<String>,
}

impl Status {
    pub fn new(code: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.as_u16(),
            reason: reason.to_owned(),
            message: message.into(),
            details: Map::new(),
            r#continue: None,
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub fn not_found(of: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", of.qualified());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(of, name)
    }

    /// Of a path that nothing is served at.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub fn already_exists(of: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", of.qualified());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(of, name)
    }

    pub fn forbidden(of: &Resource, name: &str, why: impl std::fmt::Display) -> Self {
        let named = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let message = format!("{}{named} is forbidden: {why}", of.qualified());
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(of, name)
    }

    pub fn conflict(of: &Resource, name: &str, why: impl std::fmt::Display) -> Self {
        let what = of.qualified();
        let message = format!("Operation cannot be fulfilled on {what} {name:?}: {why}");
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(of, name)
    }

    /// Somebody wrote in between.
    pub fn modified(of: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict(of, name, why)
    }

    /// Values that no object of the kind can have: each with its field.
    pub fn invalid(of: &Resource, kind: &str, name: &str, faults: &[Fault]) -> Self {
        let texts: Vec<String> =
            faults.iter().map(|f| format!("{}: {}", f.field, f.message)).collect();
        let text = match texts.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let group = if of.group.is_empty() { String::new() } else { format!(".{}", of.group) };
        let message = format!("{kind}{group} {name:?} is invalid: {text}");
        let mut status = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        status.details.insert("name".to_owned(), json!(name));
        if !of.group.is_empty() {
            status.details.insert("group".to_owned(), json!(of.group));
        }
        status.details.insert("kind".to_owned(), json!(kind));
        let causes: Vec<Value> = faults.iter().map(Fault::cause).collect();
        status.details.insert("causes".to_owned(), json!(causes));
        status
    }

    /// A version that is no longer known.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    pub fn too_many(message: impl Into<String>, after: Option<u64>) -> Self {
        let code = StatusCode::TOO_MANY_REQUESTS;
        let mut status = Self::new(code, "TooManyRequests", message);
        if let Some(after) = after {
            status.details.insert("retryAfterSeconds".to_owned(), json!(after));
        }
        status
    }

    /// Seconds for the header `Retry-After`.
    pub fn retry_after(&self) -> Option<u64> {
        self.details.get("retryAfterSeconds").and_then(Value::as_u64)
    }

    pub fn about(mut self, of: &Resource, name: &str) -> Self {
        if !name.is_empty() {
            self.details.insert("name".to_owned(), json!(name));
        }
        if !of.group.is_empty() {
            self.details.insert("group".to_owned(), json!(of.group));
        }
        self.details.insert("kind".to_owned(), json!(of.plural));
        self
    }

    pub fn cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let mut cause = json!({ "reason": reason, "message": message.into() });
        if !field.is_empty() {
            cause["field"] = json!(field);
        }
        let causes = self.details.entry("causes").or_insert_with(|| json!([]));
        if let Some(causes) = causes.as_array_mut() {
            causes.push(cause);
        }
        self
    }

    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_empty() {
            status["details"] = Value::Object(self.details.clone());
        }
        if let Some(token) = &self.r#continue {
            status["metadata"]["continue"] = json!(token);
        }
        status
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for Status {}

/// One field that is not as it has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub field: String,
    pub reason: &'static str,
    pub message: String,
}

impl Fault {
    pub fn required(field: impl Into<String>, message: &str) -> Self {
        let message = match message {
            "" => "Required value".to_owned(),
            text => format!("Required value: {text}"),
        };
        Self { field: field.into(), reason: "FieldValueRequired", message }
    }

    pub fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let message = format!("Invalid value: {value}: {why}");
        Self { field: field.into(), reason: "FieldValueInvalid", message }
    }

    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        let message = format!("Forbidden: {why}");
        Self { field: field.into(), reason: "FieldValueForbidden", message }
    }

    pub fn unsupported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|k| format!("{k:?}")).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", known.join(", "));
        Self { field: field.into(), reason: "FieldValueNotSupported", message }
    }

    fn cause(&self) -> Value {
        json!({ "reason": self.reason, "message": self.message, "field": self.field })
    }
}
