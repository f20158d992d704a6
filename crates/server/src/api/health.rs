//! `/livez`, `/readyz`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::app::App;
use crate::http::problem::{Kind, Problem};

/// The database must answer in this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does the process answer?
#[utoipa::path(
    get, path = "/livez", operation_id = "livez", tag = "health",
    responses((status = 200, description = "It does", body = String, example = "ok")),
)]
pub async fn livez() -> &'static str {
    "ok"
}

/// Can it take requests?
///
/// Not when the database does not answer, or when the server is about to stop.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "health",
    responses((status = 200, description = "It can", body = String, example = "ok")),
)]
pub async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.is_leaving() {
        return Err(Problem::new(Kind::Busy, "The hub is about to stop."));
    }
    match timeout(PATIENCE, app.store.ping()).await {
        Ok(Ok(())) => Ok("ok".into_response()),
        _ => Err(Problem::new(Kind::Busy, "The hub cannot reach its database.")),
    }
}
