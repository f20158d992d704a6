//! `/api/v1/me/tokens`: API tokens, for scripts.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_store::{NewSession, Session, SessionKind};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::people::me::{end, living};
use crate::api::people::view::{DoneView, SessionInfoView, TokenView};
use crate::api::requests::view::PageView;
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::extract::SessionPath;
use crate::http::problem::{Kind, Problem};
use crate::identity::secret::Secret;
use crate::identity::{DELETE, Person, READ, SUBMIT};
use crate::reading::small::{Json, wrong};

const SCOPES: [&str; 3] = [READ, SUBMIT, DELETE];
const USUAL: [&str; 2] = [READ, SUBMIT];
const LONGEST_NAME: usize = 100;
const MOST_DAYS: u64 = 365;
const DAYS: u64 = 90;
/// Most that one person has.
const MOST: usize = 50;

/// The name of a token, what it is for, and for how long.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiToken, example = json!({"name": "nightly run", "scopes": ["read", "submit"], "days": 90}))]
pub struct NewToken {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// `read` your requests and results, `submit` and cancel requests, `delete` those that ended.
    /// The first two if not given.
    scopes: Option<Vec<String>>,
    /// 90 if not given.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 365)]
    days: Option<u64>,
}

/// Make an API token
#[utoipa::path(
    post, path = "/api/v1/me/tokens", operation_id = "create_token", tag = "people",
    request_body(content((NewToken = "application/json"))),
    responses((status = 201, description = "The token; it is shown only here", body = TokenView)),
    security(("session" = [])),
)]
pub async fn create_token(
    State(app): State<Arc<App>>,
    person: Person,
    Json(token): Json<NewToken>,
) -> Result<Response, Problem> {
    let secret = Secret::new()?;
    let new = new_token(token, &person, &secret)?;
    let session = to_the_end(async move {
        if living_tokens(&app, &person).await?.len() >= MOST {
            let detail = format!("You have {MOST}. Revoke one that is not used.");
            return Err(Problem::new(Kind::TooManyTokens, detail));
        }
        Ok(app.store.add_session(new).await?)
    });
    let info = SessionInfoView::new(session.await?, None);
    json(StatusCode::CREATED, &TokenView { token: secret.text().to_owned(), info })
}

fn new_token(token: NewToken, person: &Person, secret: &Secret) -> Result<NewSession, Problem> {
    let NewToken { name, scopes, days } = token;
    let length = name.chars().count();
    if length > LONGEST_NAME || name.trim().is_empty() || name.chars().any(char::is_control) {
        let detail =
            format!("`name` has 1 to {LONGEST_NAME} characters, none a control character.");
        return Err(wrong("name", detail));
    }
    let scopes = scopes.unwrap_or_else(|| USUAL.map(str::to_owned).to_vec());
    if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(wrong("scopes", format!("`scopes` are some of {}.", SCOPES.join(", "))));
    }
    let days = days.unwrap_or(DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(wrong("days", format!("`days` is 1 to {MOST_DAYS}.")));
    }
    Ok(NewSession {
        principal: Some(person.account.id),
        token_hash: secret.hash(),
        kind: SessionKind::Token,
        name,
        scopes: scopes.join(" "),
        lifetime: Duration::from_secs(days * 24 * 3600),
    })
}

async fn living_tokens(app: &App, person: &Person) -> Result<Vec<Session>, Problem> {
    let mut all = living(app, person).await?;
    all.retain(|session| session.kind == SessionKind::Token);
    Ok(all)
}

/// Your API tokens
#[utoipa::path(
    get, path = "/api/v1/me/tokens", operation_id = "list_tokens", tag = "people",
    responses((status = 200, description = "Those that are good, the newest first",
        body = PageView<SessionInfoView>)),
    security(("session" = [])),
)]
pub async fn list_tokens(State(app): State<Arc<App>>, person: Person) -> Result<Response, Problem> {
    let tokens = living_tokens(&app, &person).await?;
    let views = tokens.into_iter().map(|session| SessionInfoView::new(session, None));
    json(StatusCode::OK, &PageView::all(views))
}

/// Revoke an API token
#[utoipa::path(
    post, path = "/api/v1/me/tokens/{id}/revoke", operation_id = "revoke_token", tag = "people",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 200, description = "It opens nothing any more", body = DoneView)),
    security(("session" = [])),
)]
pub async fn revoke_token(
    State(app): State<Arc<App>>,
    person: Person,
    SessionPath(id): SessionPath,
) -> Result<Response, Problem> {
    end(app, person, id, "The token opens nothing any more.").await
}
