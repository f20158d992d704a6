//! The API's description, and the page that shows it.

mod problems;

use std::sync::{Arc, LazyLock};

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Uri};
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr};
use utoipa::{OpenApi as _, ToSchema};
use utoipa_swagger_ui::Config;

use crate::http::door::{no_route, redirect};
use crate::legacy;
pub use problems::add_problems;

/// The body of a submission.
#[derive(ToSchema)]
#[schema(as = NewRequest, example = json!({"model": "rdkit-descriptors", "inputs": ["CCO", "c1ccccc1"]}))]
#[expect(dead_code, reason = "it only describes what `reading::SubmitBody` reads")]
pub struct SubmitDocument {
    /// The model's id.
    model: String,
    /// One text for each prediction; numbers are written in quotes.
    inputs: Vec<String>,
    /// May known predictions be used, and new ones be kept? True if not given.
    cache: Option<bool>,
}

/// The body of a cancellation.
#[derive(ToSchema)]
#[schema(as = Cancellation, example = json!({"reason": "not needed any more"}))]
#[expect(dead_code, reason = "it only describes what `requests::CancelBody` reads")]
pub struct CancelDocument {
    /// At most 1,000 bytes.
    reason: Option<String>,
}

/// What went wrong (RFC 9457). `type` is stable: switch on it.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it only describes what `problem::Problem` writes")]
pub struct ProblemDocument {
    /// `/problems/` and a slug.
    #[schema(example = "/problems/bad-input")]
    r#type: String,
    title: String,
    status: u16,
    /// What is wrong with this very request, and what to do.
    detail: String,
    /// A JSON pointer to what is wrong in the body.
    pointer: Option<String>,
    /// The query parameter or header that is wrong.
    parameter: Option<String>,
    /// The line of the file; the first is 1.
    line: Option<u64>,
    /// The file's columns, when none of them is the input.
    columns: Option<Vec<String>>,
    /// All values that break a rule, when several may.
    errors: Option<Vec<ValueDocument>>,
}

/// One value that breaks a rule.
#[derive(ToSchema)]
#[schema(as = BadValue)]
#[expect(dead_code, reason = "it only describes what `problem::Problem` writes")]
pub struct ValueDocument {
    /// `/problems/` and the slug of the rule; stable.
    #[schema(example = "/problems/password-too-short")]
    r#type: String,
    /// A JSON pointer to the value in the body.
    pointer: String,
    detail: String,
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "A hub for models: submit inputs, download predictions.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemDocument, ValueDocument, legacy::Words)),
    tags(
        (name = "sessions", description = "Who you are"),
        (name = "people", description = "Your account"),
        (name = "users", description = "For administrators"),
        (name = "models", description = "What there is"),
        (name = "catalogue", description = "Models, for those who administer them"),
        (name = "instances", description = "Running copies of models, for administrators"),
        (name = "requests", description = "What you want predicted"),
        (name = "statistics", description = "How much, and how long it took"),
        (name = "administration", description = "Everybody's requests, without what is in them"),
        (name = "events", description = "What changed"),
        (name = "existing clients", description = "What clients of Muster's predecessor speak"),
        (name = "health", description = "For those who run the hub"),
    ),
)]
struct Description;

/// The description that the routes are added to.
pub fn description() -> OpenApi {
    let mut api = Description::openapi();
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some("The token of POST /api/v1/sessions".into());
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("session", SecurityScheme::Http(bearer));
    let words =
        "`ErsiliaAnonymous` or `ErsiliaUser`, a space, and the base64 of the session object";
    let header = ApiKeyValue::with_description("Authorization", words);
    let legacy_scheme = SecurityScheme::ApiKey(ApiKey::Header(header));
    components.add_security_scheme("legacy", legacy_scheme);
    api
}

/// Pages refer to the things they are of, so that clients have one type for each.
pub fn refer_to_items(api: &mut OpenApi) {
    for (name, schema) in &mut api.components.get_or_insert_default().schemas {
        let item = name.strip_prefix("PageView_").or_else(|| name.strip_prefix("ItemsView_"));
        let Some(item) = item else { continue };
        if let RefOr::T(Schema::Object(page)) = schema
            && let Some(RefOr::T(Schema::Array(items))) = page.properties.get_mut("items")
        {
            items.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
        }
    }
}

/// The API's description as pretty JSON, as it is checked in as `openapi.json`.
pub fn openapi() -> String {
    let mut text = crate::routes::api().1.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

static OPENAPI: LazyLock<String> = LazyLock::new(openapi);

/// This description
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub async fn openapi_json() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI.as_str()).into_response()
}

static PAGE: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new(["/api/v1/openapi.json"]).use_base_layout();
    Arc::new(config.try_it_out_enabled(true).display_request_duration(true))
});

/// The page lives at `/api/docs/`; its files stand beside it.
pub async fn docs_root() -> Response {
    redirect("/api/docs/")
}

pub async fn docs_index() -> Response {
    file("").await
}

pub async fn docs_file(Path(path): Path<String>) -> Response {
    file(&path).await
}

async fn file(path: &str) -> Response {
    let Ok(Some(file)) = utoipa_swagger_ui::serve(path, PAGE.clone()) else {
        return no_route(Uri::from_static("/api/docs")).await.into_response();
    };
    // The page styles itself with inline styles, and shows pictures that it carries itself.
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                  object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";
    let mut response = file.bytes.into_owned().into_response();
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&file.content_type) {
        headers.insert(CONTENT_TYPE, kind);
    }
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}
