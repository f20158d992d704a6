//! The API's description, and the page that shows it.

mod page;
mod problems;
mod words;

use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use utoipa::OpenApi as _;
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr, Server};

use crate::http::problem;
use crate::legacy;
pub use page::{docs_file, docs_index, docs_root};
pub use problems::add_problems;
pub use words::add_words;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "A hub for models: submit inputs, download predictions.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(problem::Document, problem::BadValue, legacy::Words)),
    tags(
        (name = "sessions", description = "Who you are"),
        (name = "people", description = "Your account"),
        (name = "users", description = "For administrators"),
        (name = "models", description = "What there is"),
        (name = "catalogue", description = "Models, for those who administer them"),
        (name = "instances", description = "Running copies of models, for administrators"),
        (name = "nodes", description = "Where instances run and what is planned, for administrators"),
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

/// Pretty JSON.
pub fn pretty(api: &OpenApi) -> String {
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The description as it is sent. It is known when all routes are, this one too.
#[derive(Clone, Default)]
pub struct Described(Arc<OnceLock<Bytes>>);

impl Described {
    /// `below`: where browsers reach the hub, if that is not the root of its host, to which paths are
    /// relative if nothing is said.
    pub fn set(&self, api: &OpenApi, below: Option<&str>) {
        self.0.get_or_init(|| match below {
            None => pretty(api).into(),
            Some(url) => {
                let mut api = api.clone();
                api.servers = Some(vec![Server::new(url)]);
                pretty(&api).into()
            }
        });
    }
}

/// This description
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub async fn openapi_json(Extension(described): Extension<Described>) -> Response {
    let text = described.0.get().cloned().unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}
