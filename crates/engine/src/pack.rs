//! Packing the inputs of several tasks into one call, and taking its answer apart again.
//!
//! Inputs travel as JSON array text, so packing is joining: nothing is parsed unless predictions
//! are looked up.

use bytes::{Bytes, BytesMut};
use muster_core::answer::Table;
use muster_core::{Cell, Column, ColumnKind, Part, Row};
use muster_store::Known;

/// Joins JSON arrays.
pub(crate) fn join<'b>(arrays: impl IntoIterator<Item = &'b Bytes>) -> Bytes {
    let mut arrays = arrays.into_iter().peekable();
    let Some(first) = arrays.next() else { return Bytes::from_static(b"[]") };
    if arrays.peek().is_none() {
        return first.clone();
    }
    let mut whole = BytesMut::from(&b"["[..]);
    for array in std::iter::once(first).chain(arrays) {
        let inside = array.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        let Some(inside) = inside.filter(|inside| !inside.trim_ascii().is_empty()) else {
            continue;
        };
        if whole.len() > 1 {
            whole.extend_from_slice(b",");
        }
        whole.extend_from_slice(inside);
    }
    whole.extend_from_slice(b"]");
    whole.freeze()
}

/// Cuts the rows of a job into the parts of its tasks, which have `counts` inputs.
pub(crate) fn cut(part: Part, counts: &[usize]) -> Vec<Part> {
    if counts.len() == 1 {
        return vec![part];
    }
    let mut rows = part.rows.into_iter();
    let take = |&count: &usize| Part {
        columns: part.columns.clone(),
        rows: rows.by_ref().take(count).collect(),
    };
    counts.iter().map(take).collect()
}

/// The part of one task: `known` predictions where there are some, the other rows from `fresh`,
/// in order.
pub(crate) fn merge(
    known: Vec<Option<Known>>,
    columns: &[(String, ColumnKind)],
    fresh: &mut impl Iterator<Item = Row>,
    declared: &[Column],
) -> Option<Part> {
    let mut table = Table::new(known.len(), declared);
    for known in known {
        let (names, row) = match &known {
            Some((names, row)) => (&names[..], row.clone()),
            None => (columns, fresh.next()?),
        };
        match row {
            Row::Error(error) => table.error(error),
            Row::Values(cells) => {
                let names = names.iter().map(|(name, _)| name.as_str());
                table.record(names.zip(cells.into_iter().chain(std::iter::repeat(Cell::Null))));
            }
        }
    }
    table.finish().ok()
}

/// One part from rows of several answers. `columns` are the columns of each answer that had rows
/// and where its first row stands.
pub(crate) fn align(
    columns: Vec<(Vec<(String, ColumnKind)>, usize)>,
    rows: Vec<Row>,
    declared: &[Column],
) -> Part {
    let mut table = Table::new(rows.len(), declared);
    for (n, row) in rows.into_iter().enumerate() {
        let names = columns.iter().rev().find(|(_, first)| *first <= n);
        match (row, names) {
            (Row::Values(cells), Some((names, _))) => {
                table.record(names.iter().map(|(name, _)| name.as_str()).zip(cells));
            }
            (Row::Values(_), None) => table.error("the model gave no columns".to_owned()),
            (Row::Error(error), _) => table.error(error),
        }
    }
    table.finish().unwrap_or_else(|_| Part { columns: vec![], rows: vec![] })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn arrays_are_joined_without_reading_them() {
        let arrays = [r#"["a","b,]"]"#, "[]", r#"["c"]"#].map(Bytes::from);
        assert_eq!(join(&arrays), r#"["a","b,]","c"]"#);
        assert_eq!(join(&arrays[..1]), r#"["a","b,]"]"#);
        assert_eq!(join([]), "[]");
    }

    #[test]
    fn each_task_gets_its_own_rows() {
        let row = |n| Row::Values(vec![Cell::Integer(n)]);
        let columns = vec![("x".to_owned(), ColumnKind::Integer)];
        let part = Part { columns, rows: (0..5).map(row).collect() };
        let parts = cut(part, &[2, 3]);
        assert_eq!(parts[0].rows, [row(0), row(1)]);
        assert_eq!(parts[1].rows, [row(2), row(3), row(4)]);
    }

    #[test]
    fn known_rows_and_fresh_rows_stand_where_their_inputs_stood() {
        let columns: Arc<[_]> = vec![("x".to_owned(), ColumnKind::Integer)].into();
        let known = |n| Some((Arc::clone(&columns), Row::Values(vec![Cell::Integer(n)])));
        let mut fresh = [Row::Values(vec![Cell::Integer(2)]), Row::Error("bad".into())].into_iter();
        let part = merge(vec![known(1), None, known(3), None], &columns, &mut fresh, &[]);
        let part = part.expect("as many rows as inputs");
        let values = |n| Row::Values(vec![Cell::Integer(n)]);
        assert_eq!(part.rows, [values(1), values(2), values(3), Row::Error("bad".into())]);
    }
}
