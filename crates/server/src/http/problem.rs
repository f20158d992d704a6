//! The one place where what went wrong becomes HTTP: RFC 9457 problem documents.

use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use muster_core::person::Broken;
use serde::Serialize;
use utoipa::ToSchema;

/// A kind of problem. Clients switch on its slug, which never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    BadRequest,
    BadParameter,
    BadJson,
    Unauthorised,
    Forbidden,
    CrossSite,
    WrongLogin,
    EmailNotVerified,
    NotFound,
    UnknownModel,
    MethodNotAllowed,
    TooSlow,
    KeyReused,
    NotEnded,
    Ended,
    NotFailed,
    InputsGone,
    NoResult,
    NameTaken,
    LastAdmin,
    TooManyTokens,
    ModelTaken,
    ModelDisabled,
    ModelInUse,
    ModelOfFolder,
    VersionTrying,
    VersionNotGood,
    NoPushes,
    NoMail,
    ChangedMeanwhile,
    BodyTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    EmptyInput,
    BadInput,
    InputTooLong,
    TooManyInputs,
    NotUtf8,
    BinaryFile,
    OtherFile,
    BadCsv,
    NoSuchColumn,
    DuplicateHeader,
    BadValues,
    BadLink,
    BadModel,
    ModelAddress,
    ModelImage,
    BadArchive,
    BadFolder,
    IfMatchNeeded,
    HeadTooLarge,
    TooManyTries,
    TooManySessions,
    TooManyMails,
    TooManyUploads,
    TooManyDownloads,
    TooManyWaitingRequests,
    TooManyWaitingInputs,
    TooManyInputsToday,
    NoSpaceLeft,
    AnonymousSpaceFull,
    Internal,
    Busy,
    NobodyPlans,
    DiskFull,
}

impl Kind {
    pub const ALL: [Self; 66] = [
        Self::BadRequest,
        Self::BadParameter,
        Self::BadJson,
        Self::Unauthorised,
        Self::Forbidden,
        Self::CrossSite,
        Self::WrongLogin,
        Self::EmailNotVerified,
        Self::NotFound,
        Self::UnknownModel,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::KeyReused,
        Self::NotEnded,
        Self::Ended,
        Self::NotFailed,
        Self::InputsGone,
        Self::NoResult,
        Self::NameTaken,
        Self::LastAdmin,
        Self::TooManyTokens,
        Self::ModelTaken,
        Self::ModelDisabled,
        Self::ModelInUse,
        Self::ModelOfFolder,
        Self::VersionTrying,
        Self::VersionNotGood,
        Self::NoPushes,
        Self::NoMail,
        Self::ChangedMeanwhile,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::RangeNotSatisfiable,
        Self::EmptyInput,
        Self::BadInput,
        Self::InputTooLong,
        Self::TooManyInputs,
        Self::NotUtf8,
        Self::BinaryFile,
        Self::OtherFile,
        Self::BadCsv,
        Self::NoSuchColumn,
        Self::DuplicateHeader,
        Self::BadValues,
        Self::BadLink,
        Self::BadModel,
        Self::ModelAddress,
        Self::ModelImage,
        Self::BadArchive,
        Self::BadFolder,
        Self::IfMatchNeeded,
        Self::HeadTooLarge,
        Self::TooManyTries,
        Self::TooManySessions,
        Self::TooManyMails,
        Self::TooManyUploads,
        Self::TooManyDownloads,
        Self::TooManyWaitingRequests,
        Self::TooManyWaitingInputs,
        Self::TooManyInputsToday,
        Self::NoSpaceLeft,
        Self::AnonymousSpaceFull,
        Self::Internal,
        Self::Busy,
        Self::NobodyPlans,
        Self::DiskFull,
    ];

    /// Status, slug and title.
    const fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadRequest => (400, "bad-request", "The HTTP request is not well-formed"),
            Self::BadParameter => (400, "bad-parameter", "A parameter cannot be used"),
            Self::BadJson => (400, "bad-json", "The body is not the JSON that is expected"),
            Self::Unauthorised => (401, "unauthorised", "A session is needed"),
            Self::Forbidden => (403, "forbidden", "You may not do this"),
            Self::CrossSite => (403, "cross-site", "The request comes from another site"),
            Self::WrongLogin => (403, "wrong-login", "User name or password is wrong"),
            Self::EmailNotVerified => {
                (403, "email-not-verified", "The email address is not confirmed yet")
            }
            Self::NotFound => (404, "not-found", "There is nothing here"),
            Self::UnknownModel => (404, "unknown-model", "There is no such model"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "The method is not allowed here"),
            Self::TooSlow => (408, "too-slow", "The body came too slowly"),
            Self::KeyReused => (409, "key-reused", "The idempotency key was used before"),
            Self::NotEnded => (409, "not-ended", "The request has not ended yet"),
            Self::Ended => (409, "ended", "The request has ended"),
            Self::NotFailed => (409, "not-failed", "The request did not fail"),
            Self::InputsGone => (409, "inputs-gone", "The request's inputs are gone"),
            Self::NoResult => (409, "no-result", "The request ended without a result"),
            Self::NameTaken => (409, "name-taken", "The user name is taken"),
            Self::LastAdmin => (409, "last-admin", "The hub would have no admin"),
            Self::TooManyTokens => (409, "too-many-tokens", "There are too many API tokens"),
            Self::ModelTaken => (409, "model-taken", "There is a model with this id"),
            Self::ModelDisabled => (409, "model-disabled", "The model takes no new requests"),
            Self::ModelInUse => (409, "model-in-use", "The model is in use"),
            Self::ModelOfFolder => (409, "model-of-folder", "The model belongs to a folder"),
            Self::VersionTrying => (409, "version-trying", "Another version is being tried"),
            Self::VersionNotGood => (409, "version-not-good", "The version was never served"),
            Self::NoPushes => (409, "no-pushes", "This hub takes no folders"),
            Self::NoMail => (409, "no-mail", "This hub sends no mail"),
            Self::ChangedMeanwhile => (412, "changed-meanwhile", "It was changed since you saw it"),
            Self::BodyTooLarge => (413, "body-too-large", "The body is too large"),
            Self::UnsupportedMediaType => {
                (415, "unsupported-media-type", "The body's type is not supported")
            }
            Self::RangeNotSatisfiable => {
                (416, "range-not-satisfiable", "The range has no byte of the answer")
            }
            Self::EmptyInput => (422, "empty-input", "There is no input"),
            Self::BadInput => (422, "bad-input", "An input cannot be used"),
            Self::InputTooLong => (422, "input-too-long", "An input is too long"),
            Self::TooManyInputs => (422, "too-many-inputs", "There are too many inputs"),
            Self::NotUtf8 => (422, "not-utf8", "The text is not UTF-8"),
            Self::BinaryFile => (422, "binary-file", "The file is not text"),
            Self::OtherFile => (422, "other-file", "The file is of another kind"),
            Self::BadCsv => (422, "bad-csv", "The file is not well-formed CSV"),
            Self::NoSuchColumn => (422, "no-such-column", "The input column was not found"),
            Self::DuplicateHeader => (422, "duplicate-header", "Two columns have the same name"),
            Self::BadValues => (422, "bad-values", "Some values cannot be used"),
            Self::BadLink => (422, "bad-link", "The link does not work any more"),
            Self::BadModel => (422, "bad-model", "The model's description cannot be used"),
            Self::ModelAddress => (422, "model-address", "The model's address is not allowed"),
            Self::ModelImage => (422, "model-image", "The model's image is not allowed"),
            Self::BadArchive => (422, "bad-archive", "The archive cannot be used"),
            Self::BadFolder => (422, "bad-folder", "The folder is not right"),
            Self::IfMatchNeeded => (428, "if-match-needed", "The header If-Match is needed"),
            Self::HeadTooLarge => (431, "head-too-large", "The head of the request is too large"),
            Self::TooManyTries => (429, "too-many-tries", "There were too many failed logins"),
            Self::TooManySessions => (429, "too-many-sessions", "Too many sessions were made"),
            Self::TooManyMails => (429, "too-many-mails", "Too many mails were asked for"),
            Self::TooManyUploads => (429, "too-many-uploads", "Your uploads take too much memory"),
            Self::TooManyDownloads => (429, "too-many-downloads", "You have too many downloads"),
            Self::TooManyWaitingRequests => {
                (429, "too-many-waiting-requests", "Too many of your requests wait")
            }
            Self::TooManyWaitingInputs => {
                (429, "too-many-waiting-inputs", "Too many of your inputs wait")
            }
            Self::TooManyInputsToday => {
                (429, "too-many-inputs-today", "You submitted too many inputs today")
            }
            Self::NoSpaceLeft => {
                (429, "no-space-left", "Your inputs and results take too much space")
            }
            Self::AnonymousSpaceFull => {
                (429, "anonymous-space-full", "Anonymous sessions take too much space together")
            }
            Self::Internal => (500, "internal", "Something went wrong in the hub"),
            Self::Busy => (503, "busy", "The hub is busy"),
            Self::NobodyPlans => (503, "nobody-plans", "No hub plans at the moment"),
            Self::DiskFull => (507, "disk-full", "The hub's disk is full"),
        }
    }

    pub fn slug(self) -> &'static str {
        self.row().1
    }

    pub fn title(self) -> &'static str {
        self.row().2
    }

    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Is the rest of a body not worth reading?
    fn closes(self) -> bool {
        matches!(self, Self::BodyTooLarge | Self::TooSlow)
    }
}

/// What went wrong with one HTTP request. The detail says what to do about it and is fit for the
/// person who sent it: no SQL, paths, addresses or crate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    pub detail: String,
    pub at: At,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
}

/// Where the problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    Nowhere,
    /// A JSON pointer into the body.
    Pointer(String),
    /// A query parameter or header.
    Parameter(String),
    /// A line of the file, the first is 1.
    Line(u64),
    /// None of these columns.
    Columns(Vec<String>),
    /// Each of these values breaks a rule.
    Values(Vec<Broken>),
}

/// What went wrong (RFC 9457). `type` is stable: switch on it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document<'p> {
    /// `/problems/` and a slug.
    #[schema(example = "/problems/bad-input")]
    r#type: String,
    title: &'static str,
    status: u16,
    /// What is wrong with this very request, and what to do.
    detail: &'p str,
    /// A JSON pointer to what is wrong in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'p str>,
    /// The query parameter or header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'p str>,
    /// The line of the file; the first is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The file's columns, when none of them is the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<&'p [String]>,
    /// All values that break a rule, when several may.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<BadValue>>,
}

/// One value that breaks a rule.
#[derive(Serialize, ToSchema)]
pub struct BadValue {
    /// `/problems/` and the slug of the rule; stable.
    #[schema(example = "/problems/password-too-short")]
    r#type: String,
    /// A JSON pointer to the value in the body.
    pointer: String,
    detail: &'static str,
}

impl BadValue {
    fn new(broken: &Broken) -> Self {
        Self {
            r#type: format!("/problems/{}", broken.rule.slug()),
            pointer: format!("/{}", broken.field),
            detail: broken.rule.words(),
        }
    }
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = match kind {
            Kind::Busy => Some(1),
            Kind::DiskFull => Some(60),
            _ => None,
        };
        Self { kind, detail: detail.into(), at: At::Nowhere, retry_after }
    }

    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// All values that break a rule, together.
    pub fn values(broken: Vec<Broken>) -> Self {
        let detail = "Each of `errors` says which value it is and what the rule is.";
        Self::new(Kind::BadValues, detail).at(At::Values(broken))
    }

    /// An unknown user, session or token, or somebody else's.
    pub fn no_such_thing() -> Self {
        Self::new(Kind::NotFound, "There is nothing of yours with this id.")
    }

    pub fn at(self, at: At) -> Self {
        Self { at, ..self }
    }

    pub fn line(self, line: u64) -> Self {
        self.at(At::Line(line))
    }

    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::new(Kind::BadParameter, detail).at(At::Parameter(name.to_owned()))
    }

    /// An unknown request, or somebody else's: the same bytes for both.
    pub fn no_such_request() -> Self {
        Self::new(Kind::NotFound, "You have no request with this id. See GET /api/v1/requests.")
    }

    pub fn unknown_model() -> Self {
        let detail = "There is no model with this id. See GET /api/v1/models.";
        Self::new(Kind::UnknownModel, detail)
    }

    /// The model takes no new requests.
    pub fn model_disabled(reason: &str) -> Self {
        let detail = format!("This model takes no new requests: {reason}");
        Self::new(Kind::ModelDisabled, detail)
    }

    pub fn internal() -> Self {
        let detail = "This is the hub's fault. Try again; if it happens again, tell the operator \
                      the x-request-id of this answer.";
        Self::new(Kind::Internal, detail)
    }

    pub fn document(&self) -> String {
        let document = Document {
            r#type: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.row().0,
            detail: &self.detail,
            pointer: if let At::Pointer(pointer) = &self.at { Some(pointer) } else { None },
            parameter: if let At::Parameter(name) = &self.at { Some(name) } else { None },
            line: if let At::Line(line) = self.at { Some(line) } else { None },
            columns: if let At::Columns(columns) = &self.at { Some(columns) } else { None },
            errors: match &self.at {
                At::Values(broken) => Some(broken.iter().map(BadValue::new).collect()),
                _ => None,
            },
        };
        serde_json::to_string(&document).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), self.document()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self.kind {
            Kind::Unauthorised => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            kind if kind.closes() => headers.insert(CONNECTION, HeaderValue::from_static("close")),
            _ => None,
        };
        response
    }
}

/// What the store could not do.
impl From<muster_store::Error> for Problem {
    fn from(error: muster_store::Error) -> Self {
        use muster_store::Error;
        match error {
            Error::Unavailable { what, .. } => {
                tracing::warn!(what, "the store is not available");
                Self::new(Kind::Busy, "The hub cannot reach its database right now. Try again.")
            }
            Error::Full => Self::new(
                Kind::DiskFull,
                "The hub has no space for new requests. Results can still be read. Tell the \
                 operator, or try again later.",
            ),
            Error::KeyReused => Self::new(
                Kind::KeyReused,
                "This Idempotency-Key came with another body before. Use a new key for a new \
                 request.",
            )
            .at(At::Parameter("Idempotency-Key".into())),
            Error::NotOffered { disabled: None } => Self::unknown_model(),
            Error::NotOffered { disabled: Some(reason) } => Self::model_disabled(&reason),
            Error::TooLarge(why) => Self::parameter("format", why),
            Error::Gone => Self::no_such_request(),
            Error::NotEnded => Self::new(
                Kind::NotEnded,
                "The result is there when the request ended. Wait for it with GET \
                 /api/v1/requests/{id}?wait=60.",
            ),
            Error::NoResult => Self::new(
                Kind::NoResult,
                "The request failed or was cancelled. Its `reason` says why: GET \
                 /api/v1/requests/{id}.",
            ),
            error => {
                tracing::error!(%error, "the store failed");
                Self::internal()
            }
        }
    }
}
