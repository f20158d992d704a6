//! `/api/work-requests`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use muster_core::{Ended, Permission, Phase, Request};
use muster_store::Format;
use utoipa::ToSchema;

use super::auth::LegacyCaller;
use super::query::Pairs;
use super::reading::read;
use super::result::{lines, within};
use super::view::{ItemsView, PayloadView, WorkRequestView};
use super::{Detail, Segment, TAG};
use crate::api::requests::submit::submit;
use crate::app::App;
use crate::http::answer::json;
use crate::http::extract::request_id;
use crate::http::problem::Problem;
use crate::http::share::metered;

/// What to predict.
#[derive(ToSchema)]
#[schema(as = NewWorkRequest, example = json!({"model_id": "rdkit-descriptors",
    "request_payload": {"entries": ["smiles\n", "CCO\n", "c1ccccc1\n"]}}))]
#[expect(dead_code, reason = "it only describes what `reading::Body` reads")]
struct SubmitDocument {
    model_id: String,
    request_payload: PayloadDocument,
}

#[derive(ToSchema)]
#[schema(as = NewWorkRequestPayload)]
#[expect(dead_code, reason = "it only describes what `reading::Payload` reads")]
struct PayloadDocument {
    /// Lines of a file, with or without their line ends.
    entries: Vec<String>,
    /// May known predictions be used, and new ones be kept? False if not given.
    cache_opt_in: Option<bool>,
    /// Is the first entry a header? True if not given. If the model says what its input is called
    /// and the first entry is something else, it is an input all the same; `metadata` says so.
    has_header: Option<bool>,
}

/// Submit a request
#[utoipa::path(
    post, path = "/api/work-requests", operation_id = "legacy_submit_request", tag = TAG,
    request_body(content((SubmitDocument = "application/json"))),
    responses((status = 200, description = "The request", body = WorkRequestView)),
    security(("legacy" = [])),
)]
pub async fn legacy_submit_request(
    State(app): State<Arc<App>>,
    LegacyCaller(caller): LegacyCaller,
    request: HttpRequest,
) -> Result<Response, Detail> {
    let submission = read(&app, request).await?;
    let request = submit(&app, caller.principal, None, submission).await?.request;
    Ok(json(StatusCode::OK, &view_with_entries(&app, &request).await?)?)
}

/// Requests of more inputs are shown without them: clients that poll would get them each time.
const MOST_ENTRIES: u64 = 1_000;

async fn view_with_entries<'r>(
    app: &App,
    request: &'r Request,
) -> Result<WorkRequestView<'r>, Problem> {
    let mut view = view(app, request);
    if request.progress.inputs <= MOST_ENTRIES {
        let entries = app.store.find_inputs(request).await?;
        view.request_payload = Some(PayloadView { entries });
    }
    Ok(view)
}

fn view<'r>(app: &App, request: &'r Request) -> WorkRequestView<'r> {
    let model = app.store.find_model(&request.model);
    let input = model.as_ref().map(|model| &model.input);
    WorkRequestView::new(request, app.store.held(&request.model), input)
}

/// List your requests
#[utoipa::path(
    get, path = "/api/work-requests", operation_id = "legacy_list_requests", tag = TAG,
    params(
        ("id" = Option<String>, Query, description = "Only this one"),
        ("model_ids" = Option<Vec<String>>, Query, description = "Only those of these models"),
        ("request_date_from" = Option<String>, Query, description = "Submitted then or later"),
        ("request_date_to" = Option<String>, Query, description = "Submitted then or before"),
        ("request_statuses" = Option<Vec<String>>, Query, description = "Only those with these"),
        ("limit" = Option<u32>, Query, description = "1 to 500; 100 if not given"),
    ),
    responses((status = 200, description = "Requests, newest first",
        body = ItemsView<WorkRequestView>)),
    security(("legacy" = [])),
)]
pub async fn legacy_list_requests(
    State(app): State<Arc<App>>,
    LegacyCaller(caller): LegacyCaller,
    query: Pairs,
) -> Result<Response, Detail> {
    let found = match query.filter()? {
        Some(filter) => app.store.list_requests(caller.principal, &filter).await?.items,
        None => Vec::new(),
    };
    let items = found.iter().map(|request| view(&app, request)).collect();
    Ok(json(StatusCode::OK, &ItemsView { items })?)
}

/// Find a request, and its result
///
/// The result is a list of CSV lines, `input` and the model's columns; for those who have the
/// permission ADMIN and do not ask for CSV a list of objects.
#[utoipa::path(
    get, path = "/api/work-requests/{id}", operation_id = "legacy_find_request", tag = TAG,
    params(
        ("id" = String, Path, description = "The request's id"),
        ("include_result" = Option<bool>, Query, description = "With its result, if it completed"),
        ("csv_result" = Option<bool>, Query, description = "As CSV lines"),
    ),
    responses((status = 200, description = "The request", body = WorkRequestView)),
    security(("legacy" = [])),
)]
pub async fn legacy_find_request(
    State(app): State<Arc<App>>,
    LegacyCaller(caller): LegacyCaller,
    Segment(id): Segment,
    query: Pairs,
) -> Result<Response, Detail> {
    let (wanted, csv) = (query.flag("include_result")?, query.flag("csv_result")?);
    let id = request_id(&id).ok_or_else(Problem::no_such_request)?;
    let (store, principal) = (&app.store, caller.principal);
    let request = store.find_request(principal, id).await?.ok_or_else(Problem::no_such_request)?;
    let completed = matches!(&request.phase, Phase::Ended { how: Ended::Completed, .. });
    let view = view_with_entries(&app, &request).await?;
    if !wanted || !completed {
        return Ok(json(StatusCode::OK, &view)?);
    }
    let account = caller.session().account.as_ref();
    let admin = account.is_some_and(|account| account.permissions.contains(&Permission::Admin));
    let format = if csv || !admin { Format::Csv } else { Format::Json };
    let download = store.download_bare(principal, id, format).await?;
    let stream = download.ok_or_else(Problem::no_such_request)?.stream;
    let hold = app.admit_download(&caller, request.progress.inputs, format)?;
    let stream = metered(stream, hold);
    let stream = if format == Format::Csv { lines(stream) } else { stream };
    let whole = Body::from_stream(within(&view, stream)?);
    Ok(([(CONTENT_TYPE, "application/json")], whole).into_response())
}
