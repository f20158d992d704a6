//! An answer as CSV.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};

use crate::api::statistics::table::{Cell, Row, Table};
use crate::http::csv::{harmless, headers, line};
use crate::http::problem::Problem;

/// Rows in one piece of the stream.
const AT_ONCE: usize = 256;
/// In the first column of the last row, which is of all groups together. Nothing else is called so.
const ALL: &str = "(all)";

pub fn answer(table: Table) -> Result<Response, Problem> {
    let pieces = table.len().div_ceil(AT_ONCE);
    let pieces = (0..=pieces).map(move |n| Ok::<_, Infallible>(piece(&table, n)));
    let body = Body::from_stream(futures::stream::iter(pieces));
    Ok((headers("statistics.csv")?, body).into_response())
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
