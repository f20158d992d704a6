//! Reading a model's answer: JSON records, one for each input, in order.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{Cell, Column, ColumnKind, Part, Row};

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    #[error("it is not JSON records ({0})")]
    NotRecords(String),
    #[error("it has {got} rows for {want} inputs")]
    Rows { got: usize, want: usize },
}

/// Reads `[{"column": value, ..} | {"error": text}, ..]` with `want` rows. `declared` gives the
/// kinds of the columns that the model declares; the others get the narrowest kind that fits.
pub fn read_records(body: &[u8], want: usize, declared: &[Column]) -> Result<Part, BadAnswer> {
    let mut table = Table::new(want, declared);
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = RowsSeed { table: &mut table }.deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|e| BadAnswer::NotRecords(format!("line {} column {}", e.line(), e.column())))?;
    table.finish()
}

/// Builds a [`Part`] record by record; cells of one record may come in any order of columns.
pub struct Table<'a> {
    want: usize,
    declared: &'a [Column],
    columns: Vec<(String, Option<ColumnKind>)>,
    rows: Vec<Row>,
}

impl<'a> Table<'a> {
    pub fn new(want: usize, declared: &'a [Column]) -> Self {
        Self { want, declared, columns: Vec::new(), rows: Vec::with_capacity(want.min(1 << 16)) }
    }

    fn column(&mut self, name: &str, hint: usize) -> usize {
        if self.columns.get(hint).is_some_and(|(n, _)| n == name) {
            return hint;
        }
        let known = self.columns.iter().position(|(n, _)| n == name);
        known.unwrap_or_else(|| {
            self.columns.push((name.to_owned(), None));
            self.columns.len() - 1
        })
    }

    fn put(&mut self, cells: &mut Vec<Cell>, column: usize, cell: Cell) {
        let kind = match &cell {
            Cell::Null => None,
            Cell::Integer(_) => Some(ColumnKind::Integer),
            Cell::Float(_) => Some(ColumnKind::Float),
            Cell::Text(_) => Some(ColumnKind::String),
        };
        if let (Some(kind), Some((_, seen))) = (kind, self.columns.get_mut(column)) {
            *seen = Some(seen.map_or(kind, |seen| seen.join(kind)));
        }
        if cells.len() <= column {
            cells.resize(column + 1, Cell::Null);
        }
        cells[column] = cell;
    }

    /// One record as name and value pairs.
    pub fn record<'c>(&mut self, record: impl IntoIterator<Item = (&'c str, Cell)>) {
        let mut cells = Vec::with_capacity(self.columns.len());
        for (hint, (name, cell)) in record.into_iter().enumerate() {
            let column = self.column(name, hint);
            self.put(&mut cells, column, cell);
        }
        self.push(cells);
    }

    pub fn error(&mut self, error: String) {
        self.rows.push(Row::Error(error));
    }

    fn push(&mut self, mut cells: Vec<Cell>) {
        // `{"error": text}` alone is how a model server reports one input, unless the model
        // declares a column of that name.
        let only_error = self.columns.iter().zip(&cells).all(|((name, _), cell)| {
            (name == "error") == matches!(cell, Cell::Text(_))
                && (name == "error" || *cell == Cell::Null)
        });
        let declares = self.declared.iter().any(|column| column.name == "error");
        if only_error
            && !declares
            && let Some(at) = cells.iter().position(|c| *c != Cell::Null)
        {
            if let Cell::Text(error) = cells.swap_remove(at) {
                self.rows.push(Row::Error(error));
            }
            return;
        }
        self.rows.push(Row::Values(cells));
    }

    /// Checks the number of rows and gives every cell its column's kind.
    pub fn finish(mut self) -> Result<Part, BadAnswer> {
        if self.rows.len() != self.want {
            return Err(BadAnswer::Rows { got: self.rows.len(), want: self.want });
        }
        self.drop_error_column();
        // What the model declares and does not answer is there and empty.
        for column in self.declared {
            if !self.columns.iter().any(|(name, _)| *name == column.name) {
                self.columns.push((column.name.clone(), None));
            }
        }
        let kinds = self.columns.into_iter().map(|(name, seen)| {
            let declared = self.declared.iter().find(|column| column.name == name);
            let kind = match (declared.map(|column| column.kind), seen) {
                (Some(declared), Some(seen)) => declared.join(seen),
                (Some(kind), None) | (None, Some(kind)) => kind,
                (None, None) => ColumnKind::Float,
            };
            (name, kind)
        });
        let columns: Vec<(String, ColumnKind)> = kinds.collect();
        for row in &mut self.rows {
            let Row::Values(cells) = row else { continue };
            cells.resize(columns.len(), Cell::Null);
            for (cell, (_, kind)) in cells.iter_mut().zip(&columns) {
                coerce(cell, *kind);
            }
        }
        Ok(Part { columns, rows: self.rows })
    }

    /// Takes the `error` column out again when only rows that are errors had it.
    fn drop_error_column(&mut self) {
        let Some(at) = self.columns.iter().position(|(name, _)| name == "error") else { return };
        let used = |row: &Row| match row {
            Row::Values(cells) => cells.get(at).is_some_and(|cell| *cell != Cell::Null),
            Row::Error(_) => false,
        };
        if self.declared.iter().any(|c| c.name == "error") || self.rows.iter().any(used) {
            return;
        }
        self.columns.remove(at);
        for row in &mut self.rows {
            if let Row::Values(cells) = row
                && at < cells.len()
            {
                cells.remove(at);
            }
        }
    }
}

fn coerce(cell: &mut Cell, kind: ColumnKind) {
    let new = match (&*cell, kind) {
        (Cell::Integer(n), ColumnKind::Float) => Cell::Float(*n as f64),
        (Cell::Integer(n), ColumnKind::String) => Cell::Text(n.to_string()),
        (Cell::Float(x), ColumnKind::String) => Cell::Text(x.to_string()),
        _ => return,
    };
    *cell = new;
}

struct RowsSeed<'t, 'a> {
    table: &'t mut Table<'a>,
}

impl<'de> DeserializeSeed<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(RowSeed { table: self.table })?.is_some() {
            if self.table.rows.len() > self.table.want {
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    self.table.rows.push(Row::Values(vec![]));
                }
            }
        }
        Ok(())
    }
}

struct RowSeed<'t, 'a> {
    table: &'t mut Table<'a>,
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut cells = Vec::with_capacity(self.table.columns.len());
        let mut hint = 0;
        while let Some(column) = map.next_key_seed(NameSeed { table: self.table, hint })? {
            let cell = map.next_value_seed(CellSeed)?;
            self.table.put(&mut cells, column, cell);
            hint = column + 1;
        }
        self.table.push(cells);
        Ok(())
    }
}

struct NameSeed<'t, 'a> {
    table: &'t mut Table<'a>,
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<usize, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a column name")
    }

    fn visit_str<E>(self, name: &str) -> Result<usize, E> {
        Ok(self.table.column(name, self.hint))
    }
}

struct CellSeed;

impl<'de> DeserializeSeed<'de> for CellSeed {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Cell, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number, a text or null")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell, E> {
        Ok(Cell::Integer(i64::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell, E> {
        Ok(i64::try_from(value).map_or(Cell::Float(value as f64), Cell::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell, E> {
        Ok(if value.is_finite() { Cell::Float(value) } else { Cell::Null })
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell, E> {
        // A NUL cannot be stored on PostgreSQL; the replacement character says that one was there.
        Ok(match value {
            "" => Cell::Null,
            text => Cell::Text(text.replace('\0', "\u{fffd}")),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell, A::Error> {
        // A list of values in one cell is kept as text: some models answer lists of classes.
        let mut text = String::from("[");
        while let Some(cell) = seq.next_element_seed(CellSeed)? {
            if text.len() > 1 {
                text.push_str(", ");
            }
            match cell {
                Cell::Null => text.push_str("null"),
                Cell::Integer(n) => text.push_str(&n.to_string()),
                Cell::Float(x) => text.push_str(&x.to_string()),
                Cell::Text(t) => text.push_str(&t),
            }
        }
        text.push(']');
        Ok(Cell::Text(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, want: usize) -> Result<Part, BadAnswer> {
        read_records(body.as_bytes(), want, &[])
    }

    #[test]
    fn records_become_rows_in_order() {
        let part = read(r#"[{"mw": 46.07, "n": 3}, {"n": 6, "mw": 78}]"#, 2).expect("records");
        let kinds = [("mw".to_owned(), ColumnKind::Float), ("n".to_owned(), ColumnKind::Integer)];
        assert_eq!(part.columns, kinds);
        assert_eq!(part.rows[1], Row::Values(vec![Cell::Float(78.0), Cell::Integer(6)]));
    }

    #[test]
    fn an_error_of_one_input_is_that_rows_alone() {
        for body in [r#"[{"error": "bad"}, {"x": 1}]"#, r#"[{"x": 1}, {"error": "bad"}]"#] {
            let part = read(body, 2).expect("records");
            assert_eq!(part.columns, [("x".to_owned(), ColumnKind::Integer)]);
            assert_eq!(part.failed(), 1);
            assert!(part.rows.contains(&Row::Values(vec![Cell::Integer(1)])), "{part:?}");
        }
    }

    #[test]
    fn a_declared_error_column_is_data() {
        let declared = [Column::new("error", ColumnKind::String)];
        let part = read_records(br#"[{"error": "0.1"}]"#, 1, &declared).expect("records");
        assert_eq!(part.rows, [Row::Values(vec![Cell::Text("0.1".into())])]);
    }

    #[test]
    fn a_declared_column_that_is_not_answered_is_there_and_empty() {
        let declared = ["length", "carbons"].map(|name| Column::new(name, ColumnKind::Integer));
        let part = read_records(br#"[{"length": 3}, {"error": "no"}]"#, 2, &declared);
        let part = part.expect("records");
        let kinds = [
            ("length".to_owned(), ColumnKind::Integer),
            ("carbons".to_owned(), ColumnKind::Integer),
        ];
        assert_eq!(part.columns, kinds);
        let rows = [Row::Values(vec![Cell::Integer(3), Cell::Null]), Row::Error("no".into())];
        assert_eq!(part.rows, rows);
    }

    #[test]
    fn too_few_or_too_many_rows_are_refused() {
        assert_eq!(read("[]", 1), Err(BadAnswer::Rows { got: 0, want: 1 }));
        let three = r#"[{"x": 1}, {"x": 2}, {"x": 3}]"#;
        assert_eq!(read(three, 1), Err(BadAnswer::Rows { got: 3, want: 1 }));
    }

    #[test]
    fn garbage_is_refused() {
        for body in ["", "<html>", "{}", "[1]", "[{\"x\": NaN}]", "[{\"x\": 1}] x", "[{\"x\": {}}]"]
        {
            assert!(matches!(read(body, 1), Err(BadAnswer::NotRecords(_))), "{body}");
        }
    }

    #[test]
    fn empty_text_and_missing_cells_are_null() {
        let part = read(r#"[{"a": "", "b": null}, {"a": "x"}, {"c": true}]"#, 3).expect("records");
        assert_eq!(part.rows[0], Row::Values(vec![Cell::Null, Cell::Null, Cell::Null]));
        assert_eq!(part.rows[1], Row::Values(vec![Cell::Text("x".into()), Cell::Null, Cell::Null]));
    }

    #[test]
    fn numbers_beside_text_become_text() {
        let part = read(r#"[{"a": 1.5}, {"a": "x"}, {"a": 2}]"#, 3).expect("records");
        assert_eq!(part.rows[0], Row::Values(vec![Cell::Text("1.5".into())]));
        assert_eq!(part.rows[2], Row::Values(vec![Cell::Text("2".into())]));
    }
}
