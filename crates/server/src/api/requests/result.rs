//! `/api/v1/requests/{id}/result`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use muster_core::Request;
use muster_store::Format;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::app::App;
use crate::http::extract::{Pairs, Parameters, Query, RequestPath};
use crate::http::problem::Problem;
use crate::http::share::metered;
use crate::identity::Caller;

pub struct FindResult {
    format: Option<Format>,
}

impl Parameters for FindResult {
    const NAMES: &'static [&'static str] = &["format"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        Ok(Self { format: pairs.value("format", "csv, json, ndjson, parquet or arrow")? })
    }
}

/// Download a result
///
/// Your columns as they came, the model's columns, and a column `error` if some inputs failed. The
/// format is that of `format`, else the first of `Accept` that is known, else CSV.
#[utoipa::path(
    get, path = "/api/v1/requests/{id}/result", operation_id = "find_result", tag = "requests",
    params(
        ("id" = String, Path, description = "The request's id"),
        ("format" = Option<String>, Query, description = "csv, json, ndjson, parquet or arrow"),
    ),
    responses((status = 200, description = "The result, one row for each input in their order",
        content(
            (String = "text/csv", example = "name,smiles,mw\nethanol,CCO,46.069\n"),
            (Vec<Object> = "application/json"),
            (String = "application/x-ndjson"),
            (String = "application/vnd.apache.parquet"),
            (String = "application/vnd.apache.arrow.stream"),
        ))),
    security(("session" = [])),
)]
pub async fn find_result(
    State(app): State<Arc<App>>,
    caller: Caller,
    RequestPath(id): RequestPath,
    Query(query): Query<FindResult>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (store, principal) = (&app.store, caller.principal);
    let request = store.find_request(principal, id).await?.ok_or_else(Problem::no_such_request)?;
    let format = query.format.or_else(|| accepted(&headers)).unwrap_or(Format::Csv);
    let download = store.download(principal, id, format).await?;
    let download = download.ok_or_else(Problem::no_such_request)?;
    let hold = app.admit_download(&caller, request.progress.inputs)?;
    let body = Body::from_stream(metered(download.stream, hold));
    let named = [
        (CONTENT_TYPE, HeaderValue::from_static(format.content_type())),
        (CONTENT_DISPOSITION, attachment(&request, format)?),
        (VARY, HeaderValue::from_static("accept")),
    ];
    Ok((named, body).into_response())
}

/// `attachment; filename="MODEL-ID8.csv"`, with the end of the id: its beginning is a time.
fn attachment(request: &Request, format: Format) -> Result<HeaderValue, Problem> {
    let id = request.id.0.simple().to_string();
    let (model, end) = (&request.model, id.get(24..).unwrap_or_default());
    let text = format!("attachment; filename=\"{model}-{end}.{}\"", format.extension());
    HeaderValue::from_str(&text).map_err(|_| Problem::internal())
}

/// The first known format of the Accept headers, the most wanted first.
fn accepted(headers: &HeaderMap) -> Option<Format> {
    let texts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut wanted: Vec<(Format, f32)> = Vec::new();
    for range in texts.flat_map(|text| text.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let format = Format::ALL.into_iter().find(|format| {
            let known = format.content_type().split(';').next().unwrap_or_default();
            known.eq_ignore_ascii_case(media)
        });
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        wanted.extend(format.map(|format| (format, weight)));
    }
    wanted.retain(|(_, weight)| *weight > 0.0);
    wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    wanted.first().map(|(format, _)| *format)
}

/// gzip and zstd for those who accept them; not for formats that are compressed.
pub fn compression() -> CompressionLayer<impl Predicate> {
    let pays = SizeAbove::new(256)
        .and(NotForContentType::const_new("application/vnd.apache"))
        .and(NotForContentType::const_new("text/event-stream"));
    // The fastest: others need several times the memory for each download.
    let level = CompressionLevel::Fastest;
    CompressionLayer::new().gzip(true).zstd(true).quality(level).compress_when(pays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_known_format_is_taken() {
        let accepts = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(text));
            accepted(&headers).map(Format::extension)
        };
        assert_eq!(accepts("text/html, */*"), None);
        assert_eq!(accepts("application/json"), Some("json"));
        assert_eq!(accepts("text/csv;q=0.5, application/x-ndjson;q=0.9"), Some("ndjson"));
        assert_eq!(accepts("text/csv;q=0, application/vnd.apache.parquet"), Some("parquet"));
    }
}
