//! What a client sends: parameters and inputs. What is wrong with them is said as the contract says
//! errors, `{"detail": ..}`.

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::TryStreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::io::{ReaderStream, StreamReader};

pub(crate) const NDJSON: &str = "application/x-ndjson";

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body_bytes: usize,
    pub inputs: usize,
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 64 << 20, inputs: 1_000_000, log_bytes: 64 << 10 }
    }
}

/// What is wrong, as the contract says it.
pub(crate) fn detail(status: StatusCode, text: impl Into<String>) -> Response {
    (status, Json(json!({ "detail": text.into() }))).into_response()
}

/// Takes the body out of its Content-Encoding, to the end of its last gzip member or zstd frame.
pub(crate) async fn unpack(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(coding) = parts.headers.remove(CONTENT_ENCODING) else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    parts.headers.remove(CONTENT_LENGTH);
    let packed = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let body = match coding.as_bytes().to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => {
            let mut decoder = GzipDecoder::new(packed);
            decoder.multiple_members(true);
            Body::from_stream(ReaderStream::new(decoder))
        }
        b"zstd" => {
            let mut decoder = ZstdDecoder::new(packed);
            decoder.multiple_members(true);
            Body::from_stream(ReaderStream::new(decoder))
        }
        b"identity" => Body::from_stream(ReaderStream::new(packed)),
        _ => {
            let text = "the Content-Encoding has to be gzip, zstd or identity";
            return detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
    };
    next.run(Request::from_parts(parts, body)).await
}

/// Query parameters.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(wrong) => Err(detail(StatusCode::UNPROCESSABLE_ENTITY, wrong.body_text())),
        }
    }
}

/// One input of a body: a text, or an object as older clients send it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Keyed { input: String },
}

impl From<Input> for String {
    fn from(input: Input) -> Self {
        match input {
            Input::Text(text) | Input::Keyed { input: text } => text,
        }
    }
}

/// The inputs of a body, as JSON or one JSON value a line.
pub(crate) fn inputs(
    limits: &Limits,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Vec<String>, Box<Response>> {
    let refuse = |status, text: String| Box::new(detail(status, text));
    let body = body.map_err(|wrong| match wrong.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let limit = limits.body_bytes >> 20;
            refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} MiB"))
        }
        _ => {
            let text = "the body cannot be read to its end, or not unpacked as its \
                        Content-Encoding says";
            refuse(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned())
        }
    })?;
    let wrong = |_| {
        let text = "the body has to be a JSON array of texts, or of {\"key\", \"input\"} objects";
        refuse(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned())
    };
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let own = |inputs: Vec<Input>| inputs.into_iter().map(String::from).collect();
    let inputs: Vec<String> = if kind.starts_with(NDJSON) {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        own(lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(wrong)?)
    } else if let Ok(texts) = serde_json::from_slice(&body) {
        // As nearly everybody sends them: without a look at what else each could be.
        texts
    } else {
        own(serde_json::from_slice(&body).map_err(wrong)?)
    };
    if inputs.len() > limits.inputs {
        let text = format!("there are more than {} inputs", limits.inputs);
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(inputs)
}
