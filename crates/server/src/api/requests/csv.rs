//! A person's requests as CSV, newest first: all that fit the filter, read page by page.

use std::sync::Arc;

use axum::response::Response;
use muster_core::stats::AuthType;
use muster_core::{PrincipalId, Timestamp};
use muster_store::RequestFilter;

use crate::api::requests::view::RequestView;
use crate::app::App;
use crate::http::csv;
use crate::http::problem::Problem;

/// Requests in one piece of the stream.
const AT_ONCE: u32 = 500;

const COLUMNS: [&str; 13] = [
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
            let row = |request| cells(&app.view(request, auth));
            Ok((page.items.iter().map(row).collect(), page.next))
        }
    })
}

fn cells(view: &RequestView<'_>) -> [String; COLUMNS.len()] {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    [
        view.id.to_string(),
        view.model.to_string(),
        view.model_version.to_owned(),
        view.phase.to_owned(),
        view.submitted_at.to_string(),
        time(view.started_at),
        time(view.ended_at),
        time(view.expires_at),
        view.inputs.to_string(),
        view.done.to_string(),
        view.failed.to_string(),
        view.cached.to_string(),
        view.reason.unwrap_or_default().to_owned(),
    ]
}
