//! The page that shows the API's description: Swagger UI, as its crate carries it.

use std::io::{Cursor, Read as _};

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Uri};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

use crate::http::door::{no_route, redirect};

const PAGE: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Muster: API</title>
    <link rel="icon" type="image/svg+xml" href="../../favicon.svg">
    <link rel="stylesheet" href="./swagger-ui.css">
  </head>
  <body style="margin: 0; background: #fafafa">
    <div id="swagger-ui"></div>
    <script src="./swagger-ui-bundle.js"></script>
    <script src="./swagger-initializer.js"></script>
  </body>
</html>
"#;

const SETTINGS: &str = r##"SwaggerUIBundle({
  url: "../v1/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
});
"##;

/// The page styles itself with inline styles, and shows pictures that it carries itself.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/// The page lives at `/api/docs/`; its files stand beside it.
pub async fn docs_root() -> Response {
    redirect("docs/")
}

pub async fn docs_index() -> Response {
    answer("text/html; charset=utf-8", PAGE)
}

pub async fn docs_file(Path(name): Path<String>) -> Response {
    let script = "text/javascript; charset=utf-8";
    let (kind, bytes) = match name.as_str() {
        "swagger-initializer.js" => return answer(script, SETTINGS),
        "swagger-ui-bundle.js" => (script, carried(&name)),
        "swagger-ui.css" => ("text/css; charset=utf-8", carried(&name)),
        _ => ("", None),
    };
    match bytes {
        Some(bytes) => answer(kind, bytes),
        None => no_route(Uri::from_static("/api/docs")).await.into_response(),
    }
}

/// A file of the archive, whose folders have its version in their names.
fn carried(name: &str) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).ok()?;
    let path = archive
        .file_names()
        .filter_map(Result::ok)
        .find(|path| path.ends_with(&format!("/dist/{name}")))?
        .into_owned();
    let mut bytes = Vec::new();
    archive.by_name(&path).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn answer(kind: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}
