//! `/api/v1/requests`

pub mod again;
pub mod csv;
pub mod result;
pub mod rows;
pub mod submit;
pub mod view;

use std::sync::Arc;

use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use http::StatusCode;
use muster_core::request::label;
use muster_core::stats::AuthType;
use muster_core::{Part, Request};
use muster_store::{RequestFilter, Submitted};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::people::view::DoneView;
use crate::api::requests::again::take_inputs;
use crate::api::requests::rows::Kept;
use crate::api::requests::submit::submit;
use crate::api::requests::view::{ExpectedView, PageView, RequestView, view};
use crate::app::{App, seconds, to_the_end};
use crate::http::answer::{json, located};
use crate::http::extract::{Pairs, Parameters, Query, RequestPath, idempotency_key, phase};
use crate::http::problem::{Kind, Problem};
use crate::identity::Caller;
use crate::reading::small::{Json, MaybeJson, wrong};
use crate::reading::{HELD_BACK, LONGEST_WAIT, SubmitQuery};

/// The body of a submission.
#[derive(ToSchema)]
#[schema(as = NewRequest, example = json!({"model": "rdkit-descriptors", "inputs": ["CCO", "c1ccccc1"]}))]
#[expect(dead_code, reason = "it only describes what `reading::SubmitBody` reads")]
pub struct SubmitDocument {
    /// The model's id.
    model: String,
    /// One text for each prediction; numbers are written in quotes. This or `inputs_of`.
    inputs: Option<Vec<String>>,
    /// Instead of `inputs`: the id of one of your requests, whose inputs are taken once more, with all
    /// columns of its file. It may have failed, and its model may be another one.
    #[schema(format = Uuid)]
    inputs_of: Option<String>,
    /// May known predictions be used, and new ones be kept? True if not given.
    cache: Option<bool>,
    /// What you call it, for your lists: one line.
    #[schema(max_length = 100)]
    label: Option<String>,
}

/// A form with a file, which is its last part; the other fields may stand in the query as well.
#[derive(ToSchema)]
#[schema(as = NewRequestForm)]
#[expect(dead_code, reason = "it only describes what `reading::multipart` reads")]
pub struct FormDocument {
    model: Option<String>,
    column: Option<String>,
    header: Option<String>,
    separator: Option<String>,
    cache: Option<bool>,
    label: Option<String>,
    #[schema(format = Binary)]
    file: String,
}

/// Submit a request
///
/// JSON: `{"model": ID, "inputs": ["..", ..], "cache": true}`, or `{"model": ID, "inputs_of": ID}` for the
/// inputs of an earlier request. Or a file: `Content-Type: text/csv`
/// with the model and the rest in the query, or as a form with the file last. With `Idempotency-Key` a request that is sent again,
/// because its answer was lost, is not submitted twice. With `wait` the answer comes when the
/// request ended, or when the time is over.
#[utoipa::path(
    post, path = "/api/v1/requests", operation_id = "submit_request", tag = "requests",
    params(
        ("wait" = Option<u32>, Query, description = "Wait so long for the end, 0 to 60 seconds; answered after 50 at the latest"),
        ("model" = Option<String>, Query, description = "For a file: the model's id"),
        ("column" = Option<String>, Query, description = "For a file: the column with the inputs; its number if header is absent"),
        ("header" = Option<String>, Query,
            description = "For a file: is its first line a header? auto, used or absent"),
        ("separator" = Option<String>, Query, description = "For a file: what separates its cells, \
            if it is not seen: one character, or comma, semicolon, tab, pipe or space"),
        ("cache" = Option<bool>, Query, description = "For a file: may known predictions be used?"),
        ("label" = Option<String>, Query, description = "For a file: what you call it, up to 100 characters"),
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters that you use for this request only"),
    ),
    request_body(content(
        (SubmitDocument = "application/json"),
        (String = "text/csv", example = "name,smiles\nethanol,CCO\n"),
        (String = "text/tab-separated-values", example = "name\tsmiles\nethanol\tCCO\n"),
        (String = "text/plain", example = "CCO\nc1ccccc1\n"),
        (FormDocument = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "The request; Location is where it is", body = RequestView),
        (status = 200, description = "The same request was submitted under this key before",
            body = RequestView),
    ),
    security(("session" = [])),
)]
pub async fn submit_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<SubmitQuery>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let (wait, key) = (query.wait.filter(|wait| *wait > 0), idempotency_key(request.headers())?);
    let mut submission = crate::reading::read(&app.reader, request, query, key.is_some()).await?;
    if let Some(id) = submission.inputs_of {
        take_inputs(&app, caller.principal, id, &mut submission).await?;
    }
    let kept = wait.and_then(|_| Kept::of(&submission));
    let auth = caller.auth();
    let submitted = submit(&app, caller.principal, key, submission).await?;
    let (created, (request, part)) = (submitted.created, follow(&app, submitted, wait).await?);
    let known = kept.zip(part).map(|(kept, part)| rows::write(&kept, &part));
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("{}/api/v1/requests/{}", app.config.base_path(), request.id);
    let answer = show(&app, auth, status, &request, wait.is_some().then_some(known)).await?;
    Ok(located(answer, &location))
}

/// Waits for the end of a request that was submitted just now, or gives it as it is then.
async fn follow(
    app: &App,
    submitted: Submitted,
    wait: Option<u32>,
) -> Result<(Arc<Request>, Option<Arc<Part>>), Problem> {
    let Submitted { request, ended, .. } = submitted;
    let Some(wait) = wait.filter(|_| !request.phase.is_ended()) else { return Ok((request, None)) };
    match app.until_stopping(ended.wait(seconds(wait.min(HELD_BACK)))).await.flatten() {
        Some(finished) => Ok((finished.request, finished.part)),
        None => {
            let now = app.store.find_request(request.principal, request.id).await?;
            Ok((now.unwrap_or(request), None))
        }
    }
}

pub struct FindRequest {
    wait: Option<u32>,
}

impl Parameters for FindRequest {
    const NAMES: &'static [&'static str] = &["wait"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        Ok(Self { wait: pairs.number("wait", LONGEST_WAIT)?.filter(|wait| *wait > 0) })
    }
}

/// Find a request
#[utoipa::path(
    get, path = "/api/v1/requests/{id}", operation_id = "find_request", tag = "requests",
    params(
        ("id" = String, Path, description = "The request's id"),
        ("wait" = Option<u32>, Query, description = "Wait so long for the end, 0 to 60 seconds; answered after 50 at the latest"),
    ),
    responses((status = 200, description = "The request", body = RequestView)),
    security(("session" = [])),
)]
pub async fn find_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    RequestPath(id): RequestPath,
    Query(query): Query<FindRequest>,
) -> Result<Response, Problem> {
    let (store, principal) = (&app.store, caller.principal);
    let ended = match query.wait {
        Some(wait) => {
            app.until_stopping(store.wait_ended(principal, id, seconds(wait.min(HELD_BACK)))).await
        }
        None => None,
    };
    let found = match ended {
        Some(found) => found?,
        None => store.find_request(principal, id).await?,
    };
    let request = found.ok_or_else(Problem::no_such_request)?;
    let result = query.wait.map(|_| None);
    show(&app, caller.auth(), StatusCode::OK, &request, result).await
}

/// A request as it is now. `result`: also its result's rows, which may be at hand; else they are fetched
/// if they are few.
async fn show(
    app: &App,
    auth: AuthType,
    status: StatusCode,
    request: &Request,
    result: Option<Option<String>>,
) -> Result<Response, Problem> {
    let mut shown = view(app, request, auth);
    // Those who do not wait for the answer are many, and want it at once.
    if status != StatusCode::CREATED || result.is_some() {
        let standing = app.store.standing(request).await?;
        shown.ahead_inputs = standing.ahead_inputs;
        shown.expected_seconds = standing.expected.map(ExpectedView::from);
    }
    if let Some(known) = result {
        shown.result = rows::of(app, request, known).await?;
    }
    json(status, &shown)
}

pub struct ListRequests {
    filter: RequestFilter,
    csv: bool,
}

impl Parameters for ListRequests {
    const NAMES: &'static [&'static str] =
        &["model", "phase", "from", "to", "search", "after", "limit", "format"];
    const REPEATABLE: &'static [&'static str] = &["model", "phase"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let phases = pairs.texts("phase");
        let (from, to) = pairs.span()?;
        let filter = RequestFilter {
            id: None,
            models: pairs.models()?,
            phases: phases.iter().map(|text| phase(text)).collect::<Result<_, _>>()?,
            from,
            to,
            search: pairs.text("search").filter(|text| !text.trim().is_empty()),
            after: pairs.request_id("after")?,
            limit: pairs.limit()?,
        };
        Ok(Self { filter, csv: pairs.csv()? })
    }
}

/// List your requests
#[utoipa::path(
    get, path = "/api/v1/requests", operation_id = "list_requests", tag = "requests",
    params(
        ("model" = Option<Vec<String>>, Query, description = "Only those of these models; repeatable"),
        ("phase" = Option<Vec<String>>, Query,
            description = "Only those that are waiting, running, completed, failed or cancelled; repeatable"),
        ("from" = Option<String>, Query, description = "Submitted then or later: a day (UTC) or a time"),
        ("to" = Option<String>, Query, description = "Submitted then or before: a day (UTC) or a time"),
        ("search" = Option<String>, Query, description = "A part of the label, or the id"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 200; 50 if not given"),
        ("format" = Option<String>, Query,
            description = "json, or csv: all that fit the filter, without pages"),
    ),
    responses((status = 200, description = "A page of requests, newest first",
        content(
            (PageView<RequestView> = "application/json"),
            (String = "text/csv", example = "id,model,model_version,phase,submitted_at,started_at,ended_at,expires_at,inputs,done,failed,cached,reason,label\r\n"),
        ))),
    security(("session" = [])),
)]
pub async fn list_requests(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(ListRequests { filter, csv }): Query<ListRequests>,
) -> Result<Response, Problem> {
    let auth = caller.auth();
    if csv {
        return csv::answer(app, (caller.principal, auth), filter);
    }
    let page = app.store.list_requests(caller.principal, &filter).await?;
    let items: Vec<RequestView> = page.items.iter().map(|one| view(&app, one, auth)).collect();
    json(StatusCode::OK, &PageView { items, next: page.next.map(|id| id.to_string()) })
}

/// What a request is called from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequestChange, example = json!({"label": "Plate 7"}))]
pub struct Labelling {
    /// One line of at most 100 characters; null or nothing but space: no label.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(max_length = 100, required)]
    label: Option<String>,
}

/// Call a request otherwise
///
/// The label is for you alone, also once the request has ended, and goes with the request.
#[utoipa::path(
    patch, path = "/api/v1/requests/{id}", operation_id = "change_request", tag = "requests",
    params(("id" = String, Path, description = "The request's id")),
    request_body(content((Labelling = "application/json"))),
    responses((status = 200, description = "The request", body = RequestView)),
    security(("session" = [])),
)]
pub async fn change_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    RequestPath(id): RequestPath,
    Json(Labelling { label: wanted }): Json<Labelling>,
) -> Result<Response, Problem> {
    let label = label(wanted.as_deref().unwrap_or_default())
        .map_err(|why| wrong("label", format!("A label {why}.")))?;
    let (store, principal) = (app.store.clone(), caller.principal);
    let labelled =
        to_the_end(async move { Ok(store.label_request(principal, id, label.as_deref()).await?) });
    let request = labelled.await?.ok_or_else(Problem::no_such_request)?;
    show(&app, caller.auth(), StatusCode::OK, &request, None).await
}

const REASON_BYTES: usize = 1_000;

/// The body of a cancellation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Cancellation, example = json!({"reason": "not needed any more"}))]
pub struct Cancelling {
    /// At most 1,000 bytes.
    reason: Option<String>,
}

/// Cancel a request
///
/// A request that ended already is answered as it is.
#[utoipa::path(
    post, path = "/api/v1/requests/{id}/cancel", operation_id = "cancel_request", tag = "requests",
    params(("id" = String, Path, description = "The request's id")),
    request_body(content((Cancelling = "application/json")),
        description = "May be left out"),
    responses((status = 200, description = "The request", body = RequestView)),
    security(("session" = [])),
)]
pub async fn cancel_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    RequestPath(id): RequestPath,
    MaybeJson(Cancelling { reason }): MaybeJson<Cancelling>,
) -> Result<Response, Problem> {
    if reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES) {
        let detail = format!("A reason has at most {REASON_BYTES} bytes.");
        return Err(wrong("reason", detail));
    }
    let given = reason.filter(|reason| !reason.trim().is_empty());
    let reason = given.unwrap_or_else(|| "cancelled by its owner".to_owned());
    let (store, principal) = (app.store.clone(), caller.principal);
    let cancelled =
        to_the_end(async move { Ok(store.cancel_request(principal, id, &reason).await?) });
    let request = cancelled.await?.ok_or_else(Problem::no_such_request)?;
    show(&app, caller.auth(), StatusCode::OK, &request, None).await
}

/// Delete a request
///
/// With its inputs and its result, now and for good. Only one that ended; cancel it before that.
#[utoipa::path(
    delete, path = "/api/v1/requests/{id}", operation_id = "delete_request", tag = "requests",
    params(("id" = String, Path, description = "The request's id")),
    responses((status = 200, description = "It is gone", body = DoneView)),
    security(("session" = [])),
)]
pub async fn delete_request(
    State(app): State<Arc<App>>,
    caller: Caller,
    RequestPath(id): RequestPath,
) -> Result<Response, Problem> {
    let deleted =
        to_the_end(async move { Ok(app.store.delete_request(caller.principal, id).await?) })
            .await?;
    match deleted {
        Some(true) => json(StatusCode::OK, &DoneView { detail: "The request is deleted." }),
        Some(false) => {
            let detail = "Only a request that ended can be deleted. Cancel it first: POST \
                          /api/v1/requests/{id}/cancel.";
            Err(Problem::new(Kind::NotEnded, detail))
        }
        None => Err(Problem::no_such_request()),
    }
}
