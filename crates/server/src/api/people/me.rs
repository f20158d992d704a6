//! `/api/v1/me`: your account.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use muster_core::SessionId;
use muster_core::person::{Broken, check_email, check_personal_name};
use muster_core::rule::Rule;
use muster_core::session::EndReason;
use muster_store::{Session, SessionKind};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::people::links::{admit_verification, check_password, mail_verification};
use crate::api::people::session::{confirm, reissue};
use crate::api::people::view::{AccountView, DoneView, SessionInfoView, SessionView};
use crate::api::requests::view::PageView;
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::extract::SessionPath;
use crate::http::problem::Problem;
use crate::identity::peer::Network;
use crate::identity::secret::Secret;
use crate::identity::{Person, nobody};
use crate::reading::small::Json;

/// What is to change; members that are not given stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountChange, example = json!({"first_name": "Augusta"}))]
pub struct Change {
    #[schema(min_length = 1, max_length = 100)]
    first_name: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    last_name: Option<String>,
    /// If the hub sends mail, it is yours once it is confirmed.
    #[schema(max_length = 254, format = "email")]
    email: Option<String>,
    /// The current one, for another address.
    #[schema(format = Password)]
    password: Option<String>,
}

/// The current password, and the new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange, example = json!({"current": "tangible orchard 42 sings", "new": "seven lanterns hum above"}))]
pub struct NewPassword {
    #[schema(format = Password)]
    current: String,
    #[schema(min_length = 15, max_length = 1024, format = Password)]
    new: String,
}

/// The current password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordProof, example = json!({"password": "tangible orchard 42 sings"}))]
pub struct Proof {
    #[schema(format = Password)]
    password: String,
}

/// Your account
#[utoipa::path(
    get, path = "/api/v1/me", operation_id = "find_me", tag = "people",
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn find_me(person: Person) -> Result<Response, Problem> {
    json(StatusCode::OK, &AccountView::from(person.account))
}

impl Change {
    /// Every rule that the values break.
    fn broken(&self) -> Vec<Broken> {
        let check = |field, value: &Option<String>, rule: fn(&str) -> Option<Rule>| {
            value.as_deref().and_then(rule).map(|rule| Broken { field, rule })
        };
        let unproved = self.email.is_some() && self.password.is_none();
        let fields = [
            check("first_name", &self.first_name, check_personal_name),
            check("last_name", &self.last_name, check_personal_name),
            check("email", &self.email, check_email),
            unproved.then_some(Broken { field: "password", rule: Rule::Missing }),
        ];
        fields.into_iter().flatten().collect()
    }
}

/// Change your account
#[utoipa::path(
    patch, path = "/api/v1/me", operation_id = "change_me", tag = "people",
    request_body(content((Change = "application/json"))),
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn change_me(
    State(app): State<Arc<App>>,
    person: Person,
    Network(network): Network,
    Json(change): Json<Change>,
) -> Result<Response, Problem> {
    let broken = change.broken();
    if !broken.is_empty() {
        return Err(Problem::values(broken));
    }
    let Change { first_name: first, last_name: last, email, password } = change;
    let email = email.zip(password);
    let account = to_the_end(async move {
        let (account, store) = (person.account, &app.store);
        if let Some((email, password)) = email {
            confirm(&app, &account, network.clone(), password).await?;
            if app.config.mail.is_some() {
                admit_verification(&app, network, &email)?;
                mail_verification(&app, &account, &email).await?;
            } else {
                store.set_email(account.id, email).await?;
            }
        }
        if first.is_some() || last.is_some() {
            let first = first.unwrap_or_else(|| account.first_name.clone());
            let last = last.unwrap_or_else(|| account.last_name.clone());
            store.rename(account.id, first, last).await?;
        }
        app.forget(&[account.id]);
        Ok(store.find_account(account.id).await?.unwrap_or(account))
    });
    json(StatusCode::OK, &AccountView::from(account.await?))
}

/// Delete your account
///
/// With all its requests and results. What runs is cancelled.
#[utoipa::path(
    delete, path = "/api/v1/me", operation_id = "delete_me", tag = "people",
    request_body(content((Proof = "application/json"))),
    responses((status = 200, description = "It is gone", body = DoneView)),
    security(("session" = [])),
)]
pub async fn delete_me(
    State(app): State<Arc<App>>,
    person: Person,
    Network(network): Network,
    Json(Proof { password }): Json<Proof>,
) -> Result<Response, Problem> {
    to_the_end(async move {
        let id = person.account.id;
        confirm(&app, &person.account, network, password).await?;
        if !app.store.delete_account(id).await? {
            return Err(crate::api::people::users::last_admin());
        }
        app.forget(&[id]);
        Ok(())
    })
    .await?;
    json(StatusCode::OK, &DoneView { detail: "The account and its data are deleted." })
}

/// Change your password
///
/// All your other sessions and your API tokens end; this one gets another token.
#[utoipa::path(
    post, path = "/api/v1/me/password", operation_id = "change_password", tag = "people",
    request_body(content((NewPassword = "application/json"))),
    responses((status = 201, description = "The session", body = SessionView)),
    security(("session" = [])),
)]
pub async fn change_password(
    State(app): State<Arc<App>>,
    person: Person,
    Network(network): Network,
    headers: HeaderMap,
    Json(NewPassword { current, new }): Json<NewPassword>,
) -> Result<Response, Problem> {
    let secret = Secret::of(&headers, &app.config.cookie).ok_or_else(nobody)?;
    let new = check_password(&person.account, &new, "new")?;
    to_the_end(async move {
        let id = person.account.id;
        confirm(&app, &person.account, network, current).await?;
        let hashed = app.passwords.hash(new).await?;
        app.store.set_password(id, hashed, person.caller.session().id).await?;
        app.forget(&[id]);
        reissue(&app, &secret, StatusCode::CREATED).await
    })
    .await
}

/// Your sessions
#[utoipa::path(
    get, path = "/api/v1/me/sessions", operation_id = "list_my_sessions", tag = "people",
    responses((status = 200, description = "Those that live, the newest first",
        body = PageView<SessionInfoView>)),
    security(("session" = [])),
)]
pub async fn list_my_sessions(
    State(app): State<Arc<App>>,
    person: Person,
) -> Result<Response, Problem> {
    let current = person.caller.session().id;
    let mut all = living(&app, &person).await?;
    all.retain(|session| session.kind != SessionKind::Token);
    let views = all.into_iter().map(|session| SessionInfoView::new(session, Some(current)));
    json(StatusCode::OK, &PageView::all(views))
}

/// The sessions and API tokens of the person that live, the newest first.
pub async fn living(app: &App, person: &Person) -> Result<Vec<Session>, Problem> {
    let mut all = app.store.list_sessions(person.account.id).await?;
    let (policy, now) = (&app.config.sessions.policy, app.store.now());
    all.retain(|session| session.left(policy, now).is_ok());
    Ok(all)
}

/// End one of your sessions
#[utoipa::path(
    post, path = "/api/v1/me/sessions/{id}/end", operation_id = "end_my_session", tag = "people",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, description = "It is over", body = DoneView)),
    security(("session" = [])),
)]
pub async fn end_my_session(
    State(app): State<Arc<App>>,
    person: Person,
    SessionPath(id): SessionPath,
) -> Result<Response, Problem> {
    end(app, person, id, "The session is over.").await
}

/// Ends a session or API token of the person.
pub async fn end(
    app: Arc<App>,
    person: Person,
    id: SessionId,
    detail: &'static str,
) -> Result<Response, Problem> {
    let me = person.account.id;
    to_the_end(async move {
        if !app.store.end_session(me, id, EndReason::Revoked).await? {
            return Err(Problem::no_such_thing());
        }
        app.forget(&[me]);
        Ok(())
    })
    .await?;
    json(StatusCode::OK, &DoneView { detail })
}
