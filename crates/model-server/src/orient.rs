//! The shapes of an answer that model servers know.

use bytes::Bytes;
use muster_core::answer::read_records;
use muster_core::{Cell, Column, Part, Row};
use serde_json::{Map, Value, json};

/// JSON records in another orientation; `records` and unknown ones stay records.
pub(crate) fn orient(records: Bytes, orient: &str, want: usize, declared: &[Column]) -> Bytes {
    if !matches!(orient, "values" | "split" | "columns" | "index") {
        return records;
    }
    let Ok(part) = read_records(&records, want, declared) else { return records };
    let rows = values(&part);
    let names: Vec<&str> = part.columns.iter().map(|(name, _)| name.as_str()).collect();
    let shaped = match orient {
        "values" => json!(rows),
        "split" => {
            let index: Vec<usize> = (0..rows.len()).collect();
            json!({ "columns": names, "index": index, "data": rows })
        }
        "columns" => {
            let mut columns = Map::new();
            for (n, name) in names.iter().enumerate() {
                let cells =
                    rows.iter().enumerate().map(|(at, row)| (at.to_string(), row[n].clone()));
                columns.insert((*name).to_owned(), Value::Object(cells.collect()));
            }
            Value::Object(columns)
        }
        _ => {
            let row = |(at, row): (usize, &Vec<Value>)| {
                let cells = names.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned());
                (at.to_string(), Value::Object(cells.collect()))
            };
            Value::Object(rows.iter().enumerate().map(row).collect())
        }
    };
    Bytes::from(shaped.to_string())
}

fn values(part: &Part) -> Vec<Vec<Value>> {
    let cell = |cell: &Cell| serde_json::to_value(cell).unwrap_or_default();
    let row = |row: &Row| match row {
        Row::Values(cells) => cells.iter().map(cell).collect(),
        Row::Error(_) => vec![Value::Null; part.columns.len()],
    };
    part.rows.iter().map(row).collect()
}

/// JSON records as one object a line.
pub(crate) fn lines(records: &Bytes) -> Bytes {
    let rows: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(records).unwrap_or_default();
    let mut out = Vec::with_capacity(records.len());
    for row in rows {
        out.extend_from_slice(row.get().as_bytes());
        out.push(b'\n');
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_take_every_shape() {
        let records = Bytes::from_static(br#"[{"a": 1, "b": "x"}, {"a": 2, "b": null}]"#);
        let shaped = |shape: &str| {
            let bytes = orient(records.clone(), shape, 2, &[]);
            serde_json::from_slice::<Value>(&bytes).expect("JSON")
        };
        assert_eq!(shaped("values"), json!([[1, "x"], [2, null]]));
        assert_eq!(shaped("split")["columns"], json!(["a", "b"]));
        assert_eq!(shaped("columns"), json!({"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": null}}));
        assert_eq!(shaped("index")["1"], json!({"a": 2, "b": null}));
        assert_eq!(lines(&records), "{\"a\": 1, \"b\": \"x\"}\n{\"a\": 2, \"b\": null}\n");
    }
}
