//! An answer as CSV.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::csv::{harmless, line};
use crate::statistics::table::{Cell, Row, Table};

/// Rows in one piece of the stream.
const AT_ONCE: usize = 256;
/// In the first column of the last row, which is of all groups together. Nothing else is called so.
const ALL: &str = "(all)";

pub fn answer(table: Table) -> Response {
    let pieces = table.len().div_ceil(AT_ONCE);
    let pieces = (0..=pieces).map(move |n| Ok::<_, Infallible>(piece(&table, n)));
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8"),
        (CONTENT_DISPOSITION, "attachment; filename=\"statistics.csv\""),
    ];
    (headers, Body::from_stream(futures::stream::iter(pieces))).into_response()
}

/// The header and the first rows, the next rows, .., all of them together.
fn piece(table: &Table, n: usize) -> Bytes {
    let mut out = Vec::new();
    if n == 0 {
        line(&mut out, table.columns.iter().map(|column| column.name.clone()));
    }
    let until = table.len().min((n + 1) * AT_ONCE);
    for at in n * AT_ONCE..until {
        line(&mut out, texts(&table.row(at)));
    }
    if n == table.len().div_ceil(AT_ONCE) {
        let totals = table.totals();
        line(
            &mut out,
            texts(&totals).enumerate().map(|(n, text)| if n == 0 { ALL.into() } else { text }),
        );
    }
    out.into()
}

fn texts(row: &Row<'_>) -> impl Iterator<Item = String> {
    row.cells().map(|(_, cell)| match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => harmless(text),
        Cell::Count(count) => count.to_string(),
        // As in JSON.
        Cell::Seconds(seconds) => serde_json::to_string(&seconds).unwrap_or_default(),
    })
}
