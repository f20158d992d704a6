//! `/api/v1/admin/requests`: everybody's requests, for administrators.

mod query;
mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use muster_core::{PrincipalId, RequestId};
use muster_store::{Moved, OversightFilter, Requeued};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::{App, to_the_end};
use crate::http::answer::{json, located};
use crate::http::csv;
use crate::http::extract::{Query, RequestPath};
use crate::http::problem::{Kind, Problem};
use crate::identity::Admin;
use crate::reading::small::{Json, REASON, wrong};
use query::ListAllRequests;
use view::{COLUMNS, OverseenView, OversightPageView, WholeView};

/// Rows in one piece of a CSV.
const AT_ONCE: u32 = 500;

/// Why a request is cancelled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AdminCancellation, example = json!({"reason": "The model is taken down for repair."}))]
pub struct Cancelling {
    /// For the request's owner; at most 500 characters.
    #[schema(max_length = 500)]
    reason: String,
}

/// List everybody's requests
///
/// Without what is in them. Filters go together; of several values of one, any will do. A page takes a
/// bounded time whatever the filter: one that looked at many requests and found little is `cut`, and
/// `next` goes on from there.
#[utoipa::path(
    get, path = "/api/v1/admin/requests", operation_id = "list_all_requests",
    tag = "administration",
    params(
        ("user" = Option<Vec<String>>, Query,
            description = "Only of these accounts, by id; repeatable, up to 100"),
        ("session" = Option<Vec<String>>, Query,
            description = "Only of these anonymous sessions; repeatable. With `user`: of either"),
        ("model" = Option<Vec<String>>, Query,
            description = "Only of these models; repeatable, up to 100"),
        ("auth_type" = Option<String>, Query, description = "account or anonymous"),
        ("from" = Option<String>, Query,
            description = "Submitted on this day or later, UTC: 2026-11-24"),
        ("to" = Option<String>, Query, description = "Submitted on this day or before, UTC"),
        ("phase" = Option<Vec<String>>, Query,
            description = "waiting, running, completed, failed or cancelled; repeatable"),
        ("sort" = Option<String>, Query,
            description = "newest (if nothing is given) or oldest submission first"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
        ("format" = Option<String>, Query,
            description = "json, or csv: all rows, whatever `limit` says"),
    ),
    responses((status = 200, description = "A page of requests",
        content(
            (OversightPageView = "application/json"),
            (String = "text/csv", example = "id,model,model_version,auth_type,user,user_name\r\n"),
        ))),
    security(("session" = [])),
)]
pub async fn list_all_requests(
    State(app): State<Arc<App>>,
    _: Admin,
    Query(ListAllRequests { filter, csv }): Query<ListAllRequests>,
) -> Result<Response, Problem> {
    if csv {
        let filter = OversightFilter { limit: AT_ONCE, ..filter };
        return csv::pages("requests.csv", COLUMNS, filter.after, move |after| {
            let (app, filter) = (app.clone(), OversightFilter { after, ..filter.clone() });
            async move {
                let page = app.store.list_all_requests(&filter).await?;
                let row = |request| seen(&app, request).cells();
                Ok((page.items.into_iter().map(row).collect(), page.next))
            }
        });
    }
    let page = app.store.list_all_requests(&filter).await?;
    let view = |request| seen(&app, request);
    let items = page.items.into_iter().map(view).collect();
    json(StatusCode::OK, &OversightPageView { items, next: page.next, cut: page.cut })
}

fn seen(app: &App, request: muster_store::Overseen) -> OverseenView {
    let held = app.store.held(&request.model);
    OverseenView::new(request, held)
}

/// Find anybody's request
#[utoipa::path(
    get, path = "/api/v1/admin/requests/{id}", operation_id = "find_any_request",
    tag = "administration",
    params(("id" = String, Path, description = "The request's id")),
    responses((status = 200, description = "The request, without what is in it",
        body = WholeView)),
    security(("session" = [])),
)]
pub async fn find_any_request(
    State(app): State<Arc<App>>,
    _: Admin,
    RequestPath(id): RequestPath,
) -> Result<Response, Problem> {
    show(&app, StatusCode::OK, id).await
}

async fn show(app: &App, status: StatusCode, id: RequestId) -> Result<Response, Problem> {
    let found = app.store.find_overseen(id).await?.ok_or_else(unknown)?;
    let held = app.store.held(&found.request.model);
    json(status, &WholeView::new(found, held))
}

fn unknown() -> Problem {
    let detail = "There is no request with this id. See GET /api/v1/admin/requests.";
    Problem::new(Kind::NotFound, detail)
}

/// Cancel anybody's request
///
/// Its owner sees the reason. A request that ended already is answered as it is.
#[utoipa::path(
    post, path = "/api/v1/admin/requests/{id}/cancel", operation_id = "cancel_any_request",
    tag = "administration",
    params(("id" = String, Path, description = "The request's id")),
    request_body(content((Cancelling = "application/json"))),
    responses((status = 200, description = "The request", body = WholeView)),
    security(("session" = [])),
)]
pub async fn cancel_any_request(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    RequestPath(id): RequestPath,
    Json(Cancelling { reason }): Json<Cancelling>,
) -> Result<Response, Problem> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON {
        let detail = format!("Say why, for the request's owner, in 1 to {REASON} characters.");
        return Err(wrong("reason", detail));
    }
    let (store, reason) = (app.store.clone(), format!("cancelled by an administrator: {reason}"));
    let known = to_the_end(async move { Ok(store.cancel_overseen(actor, id, &reason).await?) });
    if !known.await? {
        return Err(unknown());
    }
    show(&app, StatusCode::OK, id).await
}

/// Move anybody's request to the front
///
/// What waits of it goes before everything else that waits for its model now. Nothing happens if nothing
/// of it waits, or if it is there already.
#[utoipa::path(
    post, path = "/api/v1/admin/requests/{id}/front", operation_id = "move_request_to_front",
    tag = "administration",
    params(("id" = String, Path, description = "The request's id")),
    responses((status = 200, description = "The request", body = WholeView)),
    security(("session" = [])),
)]
pub async fn move_request_to_front(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    RequestPath(id): RequestPath,
) -> Result<Response, Problem> {
    let store = app.store.clone();
    match to_the_end(async move { Ok(store.move_to_front(actor, id).await?) }).await? {
        Moved::Tasks(_) => show(&app, StatusCode::OK, id).await,
        Moved::Ended => {
            let detail = "A request that ended waits for nothing. One that failed can be tried \
                          again: POST /api/v1/admin/requests/{id}/requeue.";
            Err(Problem::new(Kind::Ended, detail))
        }
        Moved::Unknown => Err(unknown()),
    }
}

/// Try a failed request again
///
/// The failed one stays as it is. A new request of the same owner gets the same inputs, and runs on the
/// model as it is now. The owner's limits do not stop it, but it counts as theirs. Done again, the same
/// new request is answered, as long as it is there.
#[utoipa::path(
    post, path = "/api/v1/admin/requests/{id}/requeue", operation_id = "requeue_request",
    tag = "administration",
    params(("id" = String, Path, description = "The failed request's id")),
    responses(
        (status = 201, description = "The new request; Location is where it is", body = WholeView),
        (status = 200, description = "It was tried again before: that request", body = WholeView),
    ),
    security(("session" = [])),
)]
pub async fn requeue_request(
    State(app): State<Arc<App>>,
    Admin(actor): Admin,
    RequestPath(id): RequestPath,
) -> Result<Response, Problem> {
    let (new, created) = requeue(&app, actor, id).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let answer = show(&app, status, new).await?;
    Ok(located(answer, &format!("{}/api/v1/admin/requests/{new}", app.config.base_path())))
}

async fn requeue(
    app: &App,
    actor: PrincipalId,
    id: RequestId,
) -> Result<(RequestId, bool), Problem> {
    let store = app.store.clone();
    let done = to_the_end(async move { Ok(store.requeue_request(actor, id).await?) }).await?;
    Err(match done {
        Requeued::As { id, created } => return Ok((id, created)),
        Requeued::Unknown => unknown(),
        Requeued::NotFailed => {
            let detail = "Only a request that failed as a whole can be tried again.";
            Problem::new(Kind::NotFailed, detail)
        }
        Requeued::NoModel => {
            let detail = "The request's model is not in the catalogue any more.";
            Problem::new(Kind::UnknownModel, detail)
        }
        Requeued::Disabled(reason) => Problem::model_disabled(&reason),
        Requeued::InputsGone => {
            let detail = "The request's inputs are no longer stored. Its owner has to submit them \
                          again.";
            Problem::new(Kind::InputsGone, detail)
        }
    })
}
