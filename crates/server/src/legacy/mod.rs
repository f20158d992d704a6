//! What clients of Muster's predecessor speak: a thin translation over this server's own functions.
//! Success is always 200, errors are `{"detail": ".."}`.

mod auth;
mod models;
mod query;
mod reading;
mod requests;
mod result;
mod view;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use auth::SCHEMES;
pub use view::STATUSES;

use crate::app::App;
use crate::http::problem::{Kind, Problem};
use auth::{
    __path_legacy_log_in, __path_legacy_log_in_anonymously, __path_legacy_log_out,
    __path_legacy_refresh, legacy_log_in, legacy_log_in_anonymously, legacy_log_out,
    legacy_refresh,
};
use models::{
    __path_legacy_find_model, __path_legacy_list_models, legacy_find_model, legacy_list_models,
};
use requests::{
    __path_legacy_find_request, __path_legacy_list_requests, __path_legacy_submit_request,
    legacy_find_request, legacy_list_requests, legacy_submit_request,
};

/// The tag of these routes in the API's description.
pub const TAG: &str = "existing clients";

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(legacy_log_in_anonymously))
        .routes(routes!(legacy_log_in))
        .routes(routes!(legacy_refresh))
        .routes(routes!(legacy_log_out))
        .routes(routes!(legacy_list_models))
        .routes(routes!(legacy_find_model))
        .routes(routes!(legacy_submit_request, legacy_list_requests))
}

/// Answers that may be large.
pub fn large_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(legacy_find_request))
}

/// What went wrong, in words.
#[derive(Serialize, ToSchema)]
#[schema(as = Detail)]
pub struct Words<'p> {
    #[schema(example = "There is no such work request.")]
    detail: &'p str,
}

/// A problem as these clients are told of it.
pub struct Detail(Problem);

impl<P: Into<Problem>> From<P> for Detail {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Detail {
    fn into_response(self) -> Response {
        let words = Words { detail: words(&self.0) };
        let body = serde_json::to_string(&words).unwrap_or_default();
        let kind = self.0.kind;
        let mut response = self.0.into_response();
        *response.status_mut() = status(kind);
        *response.body_mut() = body.into();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if kind == Kind::Unauthorised {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("ErsiliaAnonymous, ErsiliaUser"),
            );
        }
        response
    }
}

/// The status that the predecessor answered: 400 for what it refused, 422 for what it could not
/// read.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::WrongLogin
        | Kind::EmptyInput
        | Kind::BadInput
        | Kind::InputTooLong
        | Kind::TooManyInputs
        | Kind::BinaryFile
        | Kind::BadCsv
        | Kind::NoSuchColumn
        | Kind::DuplicateHeader => StatusCode::BAD_REQUEST,
        Kind::BadParameter | Kind::BadJson | Kind::NotUtf8 | Kind::UnsupportedMediaType => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        other => other.status(),
    }
}

/// Where the words of our own API would lead to its routes, others.
fn words(problem: &Problem) -> &str {
    match problem.kind {
        Kind::Unauthorised => {
            "The session is missing, not well-formed, or over. Log in again: POST \
             /api/auth/anonymous-login/{session_id} or POST /api/auth/login."
        }
        Kind::WrongLogin => "User name or password is wrong.",
        Kind::NotFound => "There is no such work request.",
        Kind::UnknownModel => "There is no such model.",
        _ => &problem.detail,
    }
}

/// The last segment of a path; empty if it is not UTF-8.
pub struct Segment(pub String);

impl FromRequestParts<Arc<App>> for Segment {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Detail> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        Ok(Self(path.map(|Path(text)| text).unwrap_or_default()))
    }
}
