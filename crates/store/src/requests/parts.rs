//! How inputs and rows are stored: JSON text when small, Parquet when large.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use muster_core::input::Texts;
use muster_core::{Cell, ColumnKind, Part, Row};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};

use crate::{Error, INLINE};

/// The last column of a stored part: why an input has no row. No model column can have this name,
/// because it is not one a person could have typed.
const ERROR: &str = "\u{1}error";

pub(crate) fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Inputs as the JSON array that model servers take.
pub(crate) fn input_array(texts: &Texts, range: Range<usize>) -> Result<Vec<u8>, Error> {
    let mut array = Vec::with_capacity(range.len() * 32);
    array.push(b'[');
    for n in range {
        if array.len() > 1 {
            array.push(b',');
        }
        let text = texts.get(n).unwrap_or_default();
        serde_json::to_writer(&mut array, text).map_err(|e| Error::Refused(e.to_string()))?;
    }
    array.push(b']');
    Ok(array)
}

pub(crate) fn read_inputs(array: &[u8]) -> Result<Vec<String>, Error> {
    serde_json::from_slice(array).map_err(|_| Error::Corrupt("the inputs of a task".into()))
}

/// A person's own lines, each with a line end.
pub(crate) fn record_lines(records: &Texts, range: Range<usize>) -> Vec<u8> {
    let mut lines = Vec::new();
    for n in range {
        lines.extend_from_slice(records.get(n).unwrap_or_default().as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// About how many bytes the rows of a part are; of a large one only that it is large.
pub(crate) fn weight(part: &Part) -> usize {
    let cell = |cell: &Cell| match cell {
        Cell::Text(text) => text.len() + 4,
        _ => 12,
    };
    let mut bytes = 0;
    for row in &part.rows {
        bytes += match row {
            Row::Values(cells) => cells.iter().map(cell).sum(),
            Row::Error(error) => error.len(),
        };
        if bytes > INLINE {
            break;
        }
    }
    bytes
}

pub(crate) fn encode(part: &Part) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(part).map_err(|e| Error::Refused(e.to_string()))
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Part, Error> {
    serde_json::from_slice(bytes).map_err(|_| Error::Corrupt("a part of a result".into()))
}

pub(crate) fn columns_text(part: &Part) -> Result<String, Error> {
    serde_json::to_string(&part.columns).map_err(|e| Error::Refused(e.to_string()))
}

fn data_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::Integer => DataType::Int64,
        ColumnKind::Float => DataType::Float64,
        ColumnKind::String => DataType::Utf8,
    }
}

pub(crate) fn field(name: &str, kind: ColumnKind) -> Field {
    Field::new(name, data_type(kind), true)
}

/// One column of cells, as far as they are of its kind.
pub(crate) fn array<'c>(
    kind: ColumnKind,
    cells: impl Iterator<Item = Option<&'c Cell>>,
) -> ArrayRef {
    match kind {
        ColumnKind::Integer => Arc::new(Int64Array::from_iter(cells.map(|cell| match cell {
            Some(Cell::Integer(n)) => Some(*n),
            _ => None,
        }))),
        ColumnKind::Float => Arc::new(Float64Array::from_iter(cells.map(|cell| match cell {
            Some(Cell::Float(x)) => Some(*x),
            Some(Cell::Integer(n)) => Some(*n as f64),
            _ => None,
        }))),
        ColumnKind::String => Arc::new(StringArray::from_iter(cells.map(|cell| match cell {
            Some(Cell::Text(text)) => Some(text.clone()),
            Some(Cell::Integer(n)) => Some(n.to_string()),
            Some(Cell::Float(x)) => Some(x.to_string()),
            _ => None,
        }))),
    }
}

pub(crate) fn to_parquet(part: &Part) -> Result<Vec<u8>, Error> {
    let refused = |e: parquet::errors::ParquetError| Error::Refused(e.to_string());
    let mut fields: Vec<Field> =
        part.columns.iter().map(|(name, kind)| field(name, *kind)).collect();
    fields.push(Field::new(ERROR, DataType::Utf8, true));
    let mut arrays = Vec::with_capacity(fields.len());
    for (n, (_, kind)) in part.columns.iter().enumerate() {
        let cells = part.rows.iter().map(|row| match row {
            Row::Values(cells) => cells.get(n),
            Row::Error(_) => None,
        });
        arrays.push(array(*kind, cells));
    }
    let errors = part.rows.iter().map(|row| match row {
        Row::Error(error) => Some(error.as_str()),
        Row::Values(_) => None,
    });
    arrays.push(Arc::new(StringArray::from_iter(errors)));
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|e| Error::Refused(e.to_string()))?;
    let properties = writer_properties();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(refused)?;
    writer.write(&batch).map_err(refused)?;
    writer.into_inner().map_err(refused)
}

pub(crate) fn writer_properties() -> WriterProperties {
    let level = ZstdLevel::try_new(1).map(Compression::ZSTD).unwrap_or(Compression::UNCOMPRESSED);
    WriterProperties::builder().set_compression(level).build()
}

pub(crate) fn from_parquet(bytes: Bytes) -> Result<Part, Error> {
    let damaged = || Error::Corrupt("a part of a result".into());
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|_| damaged())?;
    let schema = Arc::clone(builder.schema());
    let mut columns = Vec::new();
    for field in schema.fields().iter().filter(|field| field.name() != ERROR) {
        let kind = match field.data_type() {
            DataType::Int64 => ColumnKind::Integer,
            DataType::Float64 => ColumnKind::Float,
            _ => ColumnKind::String,
        };
        columns.push((field.name().clone(), kind));
    }
    let mut rows = Vec::new();
    for batch in builder.build().map_err(|_| damaged())? {
        let batch = batch.map_err(|_| damaged())?;
        let errors = batch.column(batch.num_columns() - 1);
        let errors = errors.as_any().downcast_ref::<StringArray>().ok_or_else(damaged)?;
        for n in 0..batch.num_rows() {
            if errors.is_valid(n) {
                rows.push(Row::Error(errors.value(n).to_owned()));
                continue;
            }
            let cells = (0..columns.len()).map(|c| cell(batch.column(c), n)).collect();
            rows.push(Row::Values(cells));
        }
    }
    Ok(Part { columns, rows })
}

fn cell(column: &ArrayRef, n: usize) -> Cell {
    let any = column.as_any();
    if column.is_null(n) {
        Cell::Null
    } else if let Some(integers) = any.downcast_ref::<Int64Array>() {
        Cell::Integer(integers.value(n))
    } else if let Some(floats) = any.downcast_ref::<Float64Array>() {
        Cell::Float(floats.value(n))
    } else if let Some(texts) = any.downcast_ref::<StringArray>() {
        Cell::Text(texts.value(n).to_owned())
    } else {
        Cell::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_part() -> impl Strategy<Value = Part> {
        let row = prop_oneof![
            4 => (any::<Option<i64>>(), any::<i32>(), "[^\0]{0,8}").prop_map(|(n, x, text)| {
                Row::Values(vec![
                    n.map_or(Cell::Null, Cell::Integer),
                    Cell::Float(f64::from(x) / 7.0),
                    if text.is_empty() { Cell::Null } else { Cell::Text(text) },
                ])
            }),
            1 => "[^\0]{1,8}".prop_map(Row::Error),
        ];
        let columns = vec![
            ("n".to_owned(), ColumnKind::Integer),
            ("x".to_owned(), ColumnKind::Float),
            ("t".to_owned(), ColumnKind::String),
        ];
        prop::collection::vec(row, 1..40)
            .prop_map(move |rows| Part { columns: columns.clone(), rows })
    }

    proptest! {
        #[test]
        fn a_part_comes_back_as_it_was_from_both_encodings(part in any_part()) {
            let parquet = from_parquet(to_parquet(&part).expect("Parquet").into());
            prop_assert_eq!(&parquet.expect("a part"), &part);
            prop_assert_eq!(&decode(&encode(&part).expect("JSON")).expect("a part"), &part);
        }

        /// Trap T8: what the model gets is what the person sent.
        #[test]
        fn inputs_come_back_as_they_were(texts in prop::collection::vec(any::<String>(), 1..20)) {
            let flat: Texts = texts.iter().map(String::as_str).collect();
            let array = input_array(&flat, 0..texts.len()).expect("JSON");
            prop_assert_eq!(read_inputs(&array).expect("texts"), texts);
        }
    }
}
