//! `/api/v1/sessions`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_store::PrincipalKind;

use crate::answer::json;
use crate::app::App;
use crate::problem::Problem;
use crate::session::{hash, new_token};
use crate::view::{PrincipalView, SessionView};

/// Start an anonymous session
///
/// Gives a token that the other routes take. Whoever has the token sees the session's requests, so
/// keep it to yourself.
#[utoipa::path(
    post, path = "/api/v1/sessions", operation_id = "create_session", tag = "sessions",
    responses((status = 201, description = "The session", body = SessionView)),
)]
pub async fn create_session(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.sessions.admit()?;
    let (token, lifetime) = (new_token()?, app.config.sessions.lifetime);
    let (store, token_hash) = (app.store.clone(), hash(&token));
    let created = tokio::spawn(async move { store.create_session(token_hash, lifetime).await });
    let session = created.await.map_err(|_| Problem::internal())??;
    let kind = match session.kind {
        PrincipalKind::Anonymous => "anonymous",
        PrincipalKind::Account => "account",
    };
    let principal = PrincipalView { id: session.principal, kind };
    let view = SessionView { token, principal, expires_at: session.expires_at };
    json(StatusCode::CREATED, &view)
}
