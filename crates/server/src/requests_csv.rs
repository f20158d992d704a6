//! A person's requests as CSV, newest first: all that fit the filter, read page by page.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use muster_core::stats::AuthType;
use muster_core::{PrincipalId, Timestamp};
use muster_store::{Error, RequestFilter};

use crate::app::App;
use crate::csv::{harmless, line};
use crate::view::RequestView;

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

/// A list under way; without a filter at its end.
struct List {
    app: Arc<App>,
    owner: (PrincipalId, AuthType),
    filter: Option<RequestFilter>,
    begun: bool,
}

pub fn answer(app: Arc<App>, owner: (PrincipalId, AuthType), filter: RequestFilter) -> Response {
    let filter = Some(RequestFilter { limit: AT_ONCE, after: None, ..filter });
    let pieces = stream::try_unfold(List { app, owner, filter, begun: false }, List::piece);
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"requests.csv\""),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

impl List {
    async fn piece(mut self) -> Result<Option<(Bytes, Self)>, Error> {
        let Some(filter) = self.filter.take() else { return Ok(None) };
        let (principal, auth) = self.owner;
        let page = self.app.store.list_requests(principal, &filter).await?;
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            line(&mut out, COLUMNS.into_iter().map(str::to_owned));
        }
        for request in &page.items {
            line(&mut out, cells(&self.app.view(request, auth)));
        }
        self.filter = page.next.map(|next| RequestFilter { after: Some(next), ..filter });
        Ok(Some((out.into(), self)))
    }
}

fn cells(view: &RequestView<'_>) -> impl Iterator<Item = String> {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    [
        view.id.to_string(),
        view.model.to_string(),
        harmless(view.model_version.to_owned()),
        view.phase.to_owned(),
        view.submitted_at.to_string(),
        time(view.started_at),
        time(view.ended_at),
        time(view.expires_at),
        view.inputs.to_string(),
        view.done.to_string(),
        view.failed.to_string(),
        view.cached.to_string(),
        harmless(view.reason.unwrap_or_default().to_owned()),
    ]
    .into_iter()
}
