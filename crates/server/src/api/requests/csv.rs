//! A person's requests as CSV, newest first: all that fit the filter, read page by page.

use std::sync::Arc;

use axum::response::Response;
use muster_core::stats::AuthType;
use muster_core::{PrincipalId, Timestamp};
use muster_store::RequestFilter;

use crate::api::requests::view::{RequestView, view};
use crate::app::App;
use crate::http::csv;
use crate::http::problem::Problem;

/// Requests in one piece of the stream.
const AT_ONCE: u32 = 500;

const COLUMNS: [&str; 14] = [
    "id",
    "model",
    "model_version",
    "phase",
    "submitted_at",
    "started_at",
    "ended_at",
    "expires_at",
    "inputs",
    "done",
    "failed",
    "cached",
    "reason",
    "label",
];

pub fn answer(
    app: Arc<App>,
    (principal, auth): (PrincipalId, AuthType),
    filter: RequestFilter,
) -> Result<Response, Problem> {
    let filter = RequestFilter { limit: AT_ONCE, ..filter };
    csv::pages("requests.csv", COLUMNS, None, move |after| {
        let (app, filter) = (app.clone(), RequestFilter { after, ..filter.clone() });
        async move {
            let page = app.store.list_requests(principal, &filter).await?;
            let row = |request| cells(&view(&app, request, auth));
            Ok((page.items.iter().map(row).collect(), page.next))
        }
    })
}

fn cells(request: &RequestView<'_>) -> [String; COLUMNS.len()] {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    [
        request.id.to_string(),
        request.model.to_string(),
        request.model_version.to_owned(),
        request.phase.to_owned(),
        request.submitted_at.to_string(),
        time(request.started_at),
        time(request.ended_at),
        time(request.expires_at),
        request.inputs.to_string(),
        request.done.to_string(),
        request.failed.to_string(),
        request.cached.to_string(),
        request.reason.unwrap_or_default().to_owned(),
        request.label.unwrap_or_default().to_owned(),
    ]
}
