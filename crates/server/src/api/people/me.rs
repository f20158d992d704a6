//! `/api/v1/me`: your account.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use muster_core::SessionId;
use muster_core::person::{Broken, check_email, check_personal_name};
use muster_core::rule::Rule;
use muster_core::session::EndReason;
use muster_store::{Session, SessionKind};
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
use crate::reading::form::{Form, SECRET, Shape, TEXT};

/// What is to change; members that are not given stay as they are.
#[derive(ToSchema)]
#[schema(as = AccountChange, example = json!({"first_name": "Augusta"}))]
#[expect(dead_code, reason = "it only describes what `Change` reads")]
pub struct ChangeDocument {
    #[schema(min_length = 1, max_length = 100)]
    first_name: Option<String>,
    #[schema(min_length = 1, max_length = 100)]
    last_name: Option<String>,
    /// If the hub sends mail, it is yours once it is confirmed.
    #[schema(max_length = 254, format = "email")]
    email: Option<String>,
    /// The current one, for another address.
    password: Option<String>,
}

struct Change;

impl Shape for Change {
    const MEMBERS: &'static [(&'static str, &'static str)] =
        &[("first_name", TEXT), ("last_name", TEXT), ("email", TEXT), ("password", SECRET)];
    const EXAMPLE: &'static str = r#"{"first_name": "Augusta"}"#;
}

/// The current password, and the new one.
#[derive(ToSchema)]
#[schema(as = PasswordChange, example = json!({"current": "tangible orchard 42 sings", "new": "seven lanterns hum above"}))]
#[expect(dead_code, reason = "it only describes what `NewPassword` reads")]
pub struct NewPasswordDocument {
    current: String,
    #[schema(min_length = 15, max_length = 1024)]
    new: String,
}

struct NewPassword;

impl Shape for NewPassword {
    const MEMBERS: &'static [(&'static str, &'static str)] =
        &[("current", SECRET), ("new", SECRET)];
    const EXAMPLE: &'static str = r#"{"current": "..", "new": ".."}"#;
}

/// The current password.
#[derive(ToSchema)]
#[schema(as = PasswordProof, example = json!({"password": "tangible orchard 42 sings"}))]
#[expect(dead_code, reason = "it only describes what `Proof` reads")]
pub struct ProofDocument {
    password: String,
}

struct Proof;

impl Shape for Proof {
    const MEMBERS: &'static [(&'static str, &'static str)] = &[("password", SECRET)];
    const EXAMPLE: &'static str = r#"{"password": ".."}"#;
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

/// Change your account
#[utoipa::path(
    patch, path = "/api/v1/me", operation_id = "change_me", tag = "people",
    request_body(content((ChangeDocument = "application/json"))),
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn change_me(
    State(app): State<Arc<App>>,
    person: Person,
    Network(network): Network,
    request: Request,
) -> Result<Response, Problem> {
    let form = Form::<Change>::read(&app, request).await?;
    let check = |field: &'static str, rule: fn(&str) -> Option<Rule>| {
        form.text(field).and_then(rule).map(|rule| Broken { field, rule })
    };
    let fields = [
        check("first_name", check_personal_name),
        check("last_name", check_personal_name),
        check("email", check_email),
    ];
    let mut broken: Vec<Broken> = fields.into_iter().flatten().collect();
    if form.text("email").is_some() && form.text("password").is_none() {
        broken.push(Broken { field: "password", rule: Rule::Missing });
    }
    if !broken.is_empty() {
        return Err(Problem::values(broken));
    }
    let text = |field| form.text(field).map(str::to_owned);
    let (first, last) = (text("first_name"), text("last_name"));
    let email = text("email").zip(text("password"));
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
    request_body(content((ProofDocument = "application/json"))),
    responses((status = 200, description = "It is gone", body = DoneView)),
    security(("session" = [])),
)]
pub async fn delete_me(
    State(app): State<Arc<App>>,
    person: Person,
    Network(network): Network,
    request: Request,
) -> Result<Response, Problem> {
    let form = Form::<Proof>::read(&app, request).await?;
    let password = form.needed("password")?.to_owned();
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
    request_body(content((NewPasswordDocument = "application/json"))),
    responses((status = 201, description = "The session", body = SessionView)),
    security(("session" = [])),
)]
pub async fn change_password(
    State(app): State<Arc<App>>,
    person: Person,
    Network(network): Network,
    request: Request,
) -> Result<Response, Problem> {
    let secret = Secret::of(request.headers(), &app.config.cookie).ok_or_else(nobody)?;
    let form = Form::<NewPassword>::read(&app, request).await?;
    let current = form.needed("current")?.to_owned();
    let new = check_password(&person.account, form.needed("new")?, "new")?;
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
