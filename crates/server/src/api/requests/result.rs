//! `/api/v1/requests/{id}/result`

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::header::{
    ACCEPT, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use muster_core::{Request, RequestId};
use muster_store::{Download, Error, Format, SMALL_RESULT, Window};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::app::App;
use crate::http::extract::{Pairs, Parameters, Query, RequestPath};
use crate::http::problem::{Kind, Problem};
use crate::http::range::Range;
use crate::http::share::metered;
use crate::identity::Caller;

pub struct FindResult {
    format: Option<Format>,
    window: Window,
}

impl Parameters for FindResult {
    const NAMES: &'static [&'static str] = &["format", "offset", "limit"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        let format = pairs.value("format", "csv, json, ndjson, parquet, arrow or xlsx")?;
        let offset = pairs.number("offset", u32::MAX)?.unwrap_or(0).into();
        let limit = pairs.number("limit", u32::MAX)?.map(u64::from);
        if limit == Some(0) {
            return Err(Problem::parameter("limit", "This must be 1 or more."));
        }
        Ok(Self { format, window: Window { offset, limit } })
    }
}

/// Download a result
///
/// Your columns as they came, the model's columns, and a column `error` if some inputs failed. The
/// format is that of `format`, else the first of `Accept` that is known, else CSV. A workbook (xlsx) has at
/// most 1,048,575 rows, 16,384 columns, 10,000,000 cells and 32,767 characters in each: more is refused.
#[utoipa::path(
    get, path = "/api/v1/requests/{id}/result", operation_id = "find_result", tag = "requests",
    params(
        ("id" = String, Path, description = "The request's id"),
        ("format" = Option<String>, Query, description = "csv, json, ndjson, parquet, arrow or xlsx"),
        ("offset" = Option<u32>, Query, description = "So many of the first rows are left out; 0 if not given"),
        ("limit" = Option<u32>, Query, description = "Most rows after that, 1 or more; all if not given"),
        ("Range" = Option<String>, Header, description = "`bytes=N-`: from that byte on"),
        ("If-Range" = Option<String>, Header,
            description = "The ETag of what you have; if it is another one the whole comes"),
    ),
    responses(
        (status = 200, description = "The result, one row for each input in their order",
            content(
                (String = "text/csv", example = "name,smiles,mw\nethanol,CCO,46.069\n"),
                (Vec<Object> = "application/json"),
                (String = "application/x-ndjson"),
                (String = "application/vnd.apache.parquet"),
                (String = "application/vnd.apache.arrow.stream"),
                (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            )),
        (status = 206, description = "The bytes of `Range`",
            content(
                (String = "text/csv"),
                (String = "application/json"),
                (String = "application/x-ndjson"),
                (String = "application/vnd.apache.parquet"),
                (String = "application/vnd.apache.arrow.stream"),
                (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            )),
    ),
    security(("session" = [])),
)]
pub async fn find_result(
    State(app): State<Arc<App>>,
    caller: Caller,
    RequestPath(id): RequestPath,
    Query(query): Query<FindResult>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (store, principal) = (&app.store, caller.principal);
    let request = store.find_request(principal, id).await?.ok_or_else(Problem::no_such_request)?;
    let format = query.format.or_else(|| accepted(&headers)).unwrap_or(Format::Csv);
    let hold = app.admit_download(&caller, request.progress.inputs, format)?;
    let open = async || {
        let download = store.download_rows(principal, id, format, query.window).await?;
        learned(download.ok_or_else(Problem::no_such_request)?).await
    };
    let mut download = open().await?;
    let tag = format!("\"{}\"", download.tag);
    let range = if method == Method::GET { Range::asked(&headers, &tag) } else { None };
    if range.is_some() && download.size.is_none() {
        // It broke off before it was written to its end for the first time.
        let size = length(download.stream, id).await?;
        download = Download { size: Some(size), ..open().await? };
    }
    let named = [
        (CONTENT_TYPE, HeaderValue::from_static(format.content_type())),
        (CONTENT_DISPOSITION, attachment(&request, format)?),
        (VARY, HeaderValue::from_static("accept")),
        (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (ETAG, HeaderValue::from_str(&tag).map_err(|_| Problem::internal())?),
    ];
    let pieces = metered(download.stream, hold);
    let (Some(range), Some(size)) = (range, download.size) else {
        let mut answer = (named, Body::from_stream(pieces)).into_response();
        if let Some(size) = download.size {
            answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
        }
        return Ok(answer);
    };
    let Some((first, bytes)) = range.of(size) else { return Ok(out_of_range(size)) };
    let part = format!("bytes {first}-{}/{size}", first + bytes - 1);
    let part = HeaderValue::from_str(&part).map_err(|_| Problem::internal())?;
    let length = [(CONTENT_RANGE, part), (CONTENT_LENGTH, HeaderValue::from(bytes))];
    let body = Body::from_stream(cut(pieces, first, bytes));
    Ok((StatusCode::PARTIAL_CONTENT, named, length, body).into_response())
}

type Pieces = BoxStream<'static, Result<bytes::Bytes, Error>>;

/// With the length of what is small enough to be held.
async fn learned(download: Download) -> Result<Download, Problem> {
    let Download { rows, tag, size: None, mut stream } = download else { return Ok(download) };
    let (mut held, mut bytes) = (Vec::new(), 0);
    while bytes <= SMALL_RESULT {
        let Some(piece) = stream.next().await.transpose()? else {
            let stream = stream::iter(held.into_iter().map(Ok)).boxed();
            return Ok(Download { rows, tag, size: Some(bytes), stream });
        };
        bytes += piece.len() as u64;
        held.push(piece);
    }
    let stream = stream::iter(held.into_iter().map(Ok)).chain(stream).boxed();
    Ok(Download { rows, tag, size: None, stream })
}

async fn length(mut pieces: Pieces, id: RequestId) -> Result<u64, Problem> {
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await.transpose()? {
        bytes += piece.len() as u64;
    }
    tracing::debug!(request.id = %id, bytes, "the length of a result was learned");
    Ok(bytes)
}

/// So many bytes after the first ones.
fn cut(pieces: Pieces, first: u64, bytes: u64) -> Pieces {
    let cut = stream::try_unfold((pieces, first, bytes), async |(mut pieces, mut skip, left)| {
        if left == 0 {
            return Ok(None);
        }
        while let Some(mut piece) = pieces.next().await.transpose()? {
            let over = skip.min(piece.len() as u64);
            skip -= over;
            drop(piece.split_to(usize::try_from(over).unwrap_or(usize::MAX)));
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !piece.is_empty() {
                let left = left - piece.len() as u64;
                return Ok(Some((piece, (pieces, skip, left))));
            }
        }
        Ok(None)
    });
    cut.boxed()
}

fn out_of_range(size: u64) -> Response {
    let detail = format!("The result has {size} bytes. Ask for some of them, or without Range.");
    let mut answer = Problem::new(Kind::RangeNotSatisfiable, detail).into_response();
    if let Ok(all) = HeaderValue::from_str(&format!("bytes */{size}")) {
        answer.headers_mut().insert(CONTENT_RANGE, all);
    }
    answer
}

/// What is packed on the way is not the bytes that the tag stands for.
pub async fn weaken_tag(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    if headers.contains_key(CONTENT_ENCODING)
        && let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok())
        && !tag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(ETAG, weak);
    }
    answer
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
        .and(NotForContentType::const_new("application/vnd."))
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
