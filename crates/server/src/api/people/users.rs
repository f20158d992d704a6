//! `/api/v1/users` and `/api/v1/audit`: for administrators.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::{Permission, PrincipalId};
use muster_store::{Account, AccountFilter, AdminAct, Administered, AuditAction, AuditFilter};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::people::view::{
    AccountView, AuditView, DoneView, ResetLinkView, SessionInfoView, UserView,
};
use crate::api::requests::view::PageView;
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::extract::{Pairs, Parameters, Query, UserPath};
use crate::http::problem::{Kind, Problem};
use crate::identity::Admin;
use crate::identity::mail::{PASSWORD_PAGE, link};
use crate::identity::secret::Secret;
use crate::reading::small::{Json, wrong};

/// How long a link that an admin made works.
const LINK: Duration = Duration::from_secs(24 * 3600);

/// Something accounts may do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PermissionChange, example = json!({"permission": "ADMIN"}))]
pub struct Change {
    permission: String,
}

pub struct ListUsers(AccountFilter);

impl Parameters for ListUsers {
    const NAMES: &'static [&'static str] = &["search", "permission", "disabled", "after", "limit"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let permission: Option<Permission> = pairs.value("permission", "ADMIN or MODEL_EDITOR")?;
        Ok(Self(AccountFilter {
            search: pairs.text("search"),
            permission,
            disabled: pairs.value("disabled", "true or false")?,
            after: pairs.value("after", "the id of a user")?,
            limit: pairs.limit()?,
        }))
    }
}

/// List the users
#[utoipa::path(
    get, path = "/api/v1/users", operation_id = "list_users", tag = "users",
    params(
        ("search" = Option<String>, Query, description = "A part of the user name or address"),
        ("permission" = Option<String>, Query, description = "Only those who have it: ADMIN"),
        ("disabled" = Option<bool>, Query, description = "Only those that are, or are not"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of users, the oldest first",
        body = PageView<UserView>)),
    security(("session" = [])),
)]
pub async fn list_users(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(ListUsers(mut filter)): Query<ListUsers>,
) -> Result<Response, Problem> {
    let limit = filter.limit;
    filter.limit += 1;
    let found = app.store.list_accounts(&filter).await?;
    let ids: Vec<PrincipalId> = found.iter().map(|account| account.id).collect();
    let figures = app.store.user_figures(&ids).await?;
    let view = |account: Account| {
        let of_them = figures.get(&account.id).copied().unwrap_or_default();
        UserView::new(account, of_them)
    };
    let page = PageView::cut(found, limit, |account| account.id.to_string(), view);
    json(StatusCode::OK, &page)
}

/// Find a user
#[utoipa::path(
    get, path = "/api/v1/users/{id}", operation_id = "find_user", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The user", body = UserView)),
    security(("session" = [])),
)]
pub async fn find_user(
    State(app): State<Arc<App>>,
    _: Admin,
    UserPath(id): UserPath,
) -> Result<Response, Problem> {
    let found = app.store.find_account(id).await?.ok_or_else(Problem::no_such_thing)?;
    let figures = app.store.user_figures(&[id]).await?.remove(&id).unwrap_or_default();
    json(StatusCode::OK, &UserView::new(found, figures))
}

/// A user's sessions and API tokens
#[utoipa::path(
    get, path = "/api/v1/users/{id}/sessions", operation_id = "list_user_sessions", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "Those that were not ended, the newest first",
        body = PageView<SessionInfoView>)),
    security(("session" = [])),
)]
pub async fn list_user_sessions(
    State(app): State<Arc<App>>,
    _: Admin,
    UserPath(id): UserPath,
) -> Result<Response, Problem> {
    app.store.find_account(id).await?.ok_or_else(Problem::no_such_thing)?;
    let all = app.store.list_sessions(id).await?;
    let views = all.into_iter().map(|session| SessionInfoView::new(session, None));
    json(StatusCode::OK, &PageView::all(views))
}

/// Does it, writes it down, and tells this server's memory.
async fn administer(
    app: Arc<App>,
    Admin(actor): Admin,
    subject: PrincipalId,
    act: AdminAct,
) -> Result<Account, Problem> {
    to_the_end(async move {
        let done = app.store.administer(Some(actor), subject, act).await?;
        app.forget(&[subject]);
        match done {
            Administered::Done(account) => Ok(account),
            Administered::Unknown => Err(Problem::no_such_thing()),
            Administered::LastAdmin => Err(last_admin()),
        }
    })
    .await
}

pub fn last_admin() -> Problem {
    let detail = "This is the only administrator that is left. Grant ADMIN to somebody else first.";
    Problem::new(Kind::LastAdmin, detail)
}

fn permission(change: &Change) -> Result<Permission, Problem> {
    let unknown = |_| wrong("permission", "The permissions are: ADMIN, MODEL_EDITOR.");
    change.permission.parse().map_err(unknown)
}

/// Grant a permission
#[utoipa::path(
    post, path = "/api/v1/users/{id}/grant", operation_id = "grant", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content((Change = "application/json"))),
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn grant(
    State(app): State<Arc<App>>,
    admin: Admin,
    UserPath(id): UserPath,
    Json(change): Json<Change>,
) -> Result<Response, Problem> {
    let act = AdminAct::Grant(permission(&change)?);
    json(StatusCode::OK, &AccountView::from(administer(app, admin, id, act).await?))
}

/// Take a permission away
#[utoipa::path(
    post, path = "/api/v1/users/{id}/revoke", operation_id = "revoke", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    request_body(content((Change = "application/json"))),
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn revoke(
    State(app): State<Arc<App>>,
    admin: Admin,
    UserPath(id): UserPath,
    Json(change): Json<Change>,
) -> Result<Response, Problem> {
    let act = AdminAct::Revoke(permission(&change)?);
    json(StatusCode::OK, &AccountView::from(administer(app, admin, id, act).await?))
}

/// Disable a user
///
/// Their sessions and API tokens end, and they cannot log in. Their requests go on.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/disable", operation_id = "disable", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn disable(
    State(app): State<Arc<App>>,
    admin: Admin,
    UserPath(id): UserPath,
) -> Result<Response, Problem> {
    let account = administer(app, admin, id, AdminAct::Disable).await?;
    json(StatusCode::OK, &AccountView::from(account))
}

/// Enable a user
#[utoipa::path(
    post, path = "/api/v1/users/{id}/enable", operation_id = "enable", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn enable(
    State(app): State<Arc<App>>,
    admin: Admin,
    UserPath(id): UserPath,
) -> Result<Response, Problem> {
    let account = administer(app, admin, id, AdminAct::Enable).await?;
    json(StatusCode::OK, &AccountView::from(account))
}

/// End a user's sessions and API tokens
#[utoipa::path(
    post, path = "/api/v1/users/{id}/end-sessions", operation_id = "end_sessions", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The account", body = AccountView)),
    security(("session" = [])),
)]
pub async fn end_sessions(
    State(app): State<Arc<App>>,
    admin: Admin,
    UserPath(id): UserPath,
) -> Result<Response, Problem> {
    let account = administer(app, admin, id, AdminAct::EndSessions).await?;
    json(StatusCode::OK, &AccountView::from(account))
}

/// Make a link with which a user can set a password
///
/// For hubs that send no mail: hand it to the person. It works once, for a day.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/reset-link", operation_id = "reset_link", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "The link", body = ResetLinkView)),
    security(("session" = [])),
)]
pub async fn reset_link(
    State(app): State<Arc<App>>,
    admin: Admin,
    UserPath(id): UserPath,
) -> Result<Response, Problem> {
    let secret = Secret::new()?;
    let act = AdminAct::ResetLink { token_hash: secret.hash(), lifetime: LINK };
    let public_url = app.config.public_url.clone();
    administer(app, admin, id, act).await?;
    let view = ResetLinkView {
        link: link(public_url.as_deref(), PASSWORD_PAGE, &secret),
        token: secret.text().to_owned(),
        valid_seconds: LINK.as_secs(),
    };
    json(StatusCode::OK, &view)
}

/// Delete a user
///
/// With all requests and results. What runs is cancelled.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/delete", operation_id = "delete_user", tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses((status = 200, description = "It is gone", body = DoneView)),
    security(("session" = [])),
)]
pub async fn delete_user(
    State(app): State<Arc<App>>,
    admin: Admin,
    UserPath(id): UserPath,
) -> Result<Response, Problem> {
    administer(app, admin, id, AdminAct::Delete).await?;
    json(StatusCode::OK, &DoneView { detail: "The account and its data are deleted." })
}

pub struct ListAudit(AuditFilter);

impl Parameters for ListAudit {
    const NAMES: &'static [&'static str] =
        &["actor", "subject", "action", "from", "to", "after", "limit"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let (from, to) = pairs.span()?;
        Ok(Self(AuditFilter {
            after: pairs.value("after", "the id of an entry")?,
            actor: pairs.value("actor", "the id of a user")?,
            subject: pairs.value("subject", "the id of a user")?,
            action: pairs.text("action").filter(|text| !text.is_empty()).map(action).transpose()?,
            from,
            to,
            limit: pairs.limit()?,
        }))
    }
}

fn action(text: String) -> Result<AuditAction, Problem> {
    AuditAction::ALL.into_iter().find(|action| action.name() == text).ok_or_else(|| {
        let all = AuditAction::ALL.map(AuditAction::name).join(", ");
        Problem::parameter("action", format!("This must be one of {all}."))
    })
}

/// What administrators did
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "list_audit", tag = "users",
    params(
        ("actor" = Option<String>, Query, description = "Only what this administrator did, by id"),
        ("subject" = Option<String>, Query, description = "Only what was done to this user, by id"),
        ("action" = Option<String>, Query, description = "Only this action, as entries name it"),
        ("from" = Option<String>, Query, description = "Done then or later: a day (UTC) or a time"),
        ("to" = Option<String>, Query, description = "Done then or before: a day (UTC) or a time"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
    ),
    responses((status = 200, description = "A page of entries, the newest first",
        body = PageView<AuditView>)),
    security(("session" = [])),
)]
pub async fn list_audit(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(ListAudit(mut filter)): Query<ListAudit>,
) -> Result<Response, Problem> {
    let limit = filter.limit;
    filter.limit += 1;
    let found = app.store.list_audit(&filter).await?;
    let page = PageView::cut(found, limit, |line| line.entry.id.to_string(), AuditView::from);
    json(StatusCode::OK, &page)
}
