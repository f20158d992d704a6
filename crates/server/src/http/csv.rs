//! CSV for spreadsheets: RFC 4180, and no text that would be run as a formula.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, future, stream};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};

use muster_core::RequestId;
use muster_store::Error;

use crate::http::problem::Problem;

/// Of an answer that is saved under this name.
pub fn headers(name: &str) -> Result<[(HeaderName, HeaderValue); 2], Problem> {
    let saved = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    Ok([
        (CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")),
        (CONTENT_DISPOSITION, saved.map_err(|_| Problem::internal())?),
    ])
}

/// A list that is read page after page, so that no length takes more memory. `page`: the rows after a
/// request, and where the next page begins.
pub fn pages<P, F, const N: usize>(
    name: &str,
    columns: [&'static str; N],
    after: Option<RequestId>,
    page: P,
) -> Result<Response, Problem>
where
    P: Fn(Option<RequestId>) -> F + Send + 'static,
    F: Future<Output = Result<(Vec<[String; N]>, Option<RequestId>), Error>> + Send,
{
    let mut head = Vec::new();
    line(&mut head, columns.into_iter().map(str::to_owned));
    let rows = stream::try_unfold((page, Some(after)), |(page, from)| async move {
        let Some(after) = from else { return Ok(None) };
        let (rows, next) = page(after).await?;
        let mut out = Vec::new();
        for row in rows {
            line(&mut out, row.into_iter().map(harmless));
        }
        Ok(Some((Bytes::from(out), (page, next.map(Some)))))
    });
    let head = stream::once(future::ok::<_, Error>(Bytes::from(head)));
    Ok((headers(name)?, Body::from_stream(head.chain(rows))).into_response())
}

/// What a spreadsheet would run as a formula is marked as text (I-56).
pub fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) { format!("'{text}") } else { text }
}

pub fn line(out: &mut Vec<u8>, cells: impl Iterator<Item = String>) {
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            out.push(b'"');
            out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_two_cells() {
        let mut out = Vec::new();
        let cells = ["=1+1", "a,b", "say \"x\"", "-2", "plain"];
        line(&mut out, cells.into_iter().map(|cell| harmless(cell.into())));
        let text = String::from_utf8_lossy(&out);
        assert_eq!(text, "'=1+1,\"a,b\",\"say \"\"x\"\"\",'-2,plain\r\n");
    }
}
