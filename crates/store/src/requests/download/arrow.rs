//! Parquet and Arrow: integers as int64, floats as float64, texts and the person's columns as utf8.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use muster_core::Cell;

use super::{Batch, Header, ResultRow, Writer, own_cells};
use crate::Error;
use crate::requests::parts;

/// Rows of one Parquet row group, at least.
const ROW_GROUP: usize = 65_536;

pub(crate) struct ParquetWriter {
    table: Table,
    writer: Option<parquet::arrow::ArrowWriter<Vec<u8>>>,
    sent: usize,
}

pub(crate) struct ArrowWriter {
    table: Table,
    writer: StreamWriter<Vec<u8>>,
}

struct Table {
    header: Arc<Header>,
    schema: Arc<Schema>,
}

fn refused(error: impl std::fmt::Display) -> Error {
    Error::Refused(error.to_string())
}

impl Table {
    fn new(header: Arc<Header>) -> Self {
        let text = |name: &String| Field::new(name, DataType::Utf8, true);
        let mut fields: Vec<Field> = header.own.iter().map(text).collect();
        fields.extend(header.model.iter().map(|(name, kind)| parts::field(name, *kind)));
        fields.extend(header.error.as_ref().map(text));
        Self { header, schema: Arc::new(Schema::new(fields)) }
    }

    fn record_batch(&self, batch: Batch) -> Result<RecordBatch, Error> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        match &batch.lines {
            Some(lines) => {
                let own = own_cells(lines)?;
                for n in 0..self.header.own.len() {
                    let column = own.iter().map(|row| row.get(n).map(String::as_str));
                    arrays.push(Arc::new(StringArray::from_iter(column)));
                }
            }
            None => {
                let column = batch.inputs.iter().map(|input| Some(input.as_str()));
                arrays.push(Arc::new(StringArray::from_iter(column)));
            }
        }
        for (n, (_, kind)) in self.header.model.iter().enumerate() {
            let cells = batch.rows.iter().map(|row| match row {
                ResultRow::Values(cells) => cells.get(n).filter(|cell| **cell != Cell::Null),
                ResultRow::Error(_) => None,
            });
            arrays.push(parts::array(*kind, cells));
        }
        if self.header.error.is_some() {
            let errors = batch.rows.iter().map(|row| match row {
                ResultRow::Error(error) => Some(error.as_str()),
                ResultRow::Values(_) => None,
            });
            arrays.push(Arc::new(StringArray::from_iter(errors)));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(refused)
    }
}

impl ParquetWriter {
    pub(crate) fn new(header: Arc<Header>) -> Result<Self, Error> {
        let table = Table::new(header);
        let schema = Arc::clone(&table.schema);
        let properties = Some(parts::writer_properties());
        let writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), schema, properties);
        Ok(Self { table, writer: Some(writer.map_err(refused)?), sent: 0 })
    }
}

impl Writer for ParquetWriter {
    fn start(&mut self) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }

    fn batch(&mut self, batch: Batch) -> Result<Vec<u8>, Error> {
        let batch = self.table.record_batch(batch)?;
        let writer = self.writer.as_mut().ok_or_else(|| refused("the file is complete"))?;
        writer.write(&batch).map_err(refused)?;
        if writer.in_progress_rows() < ROW_GROUP {
            return Ok(Vec::new());
        }
        writer.flush().map_err(refused)?;
        let chunk = std::mem::take(writer.inner_mut());
        self.sent += chunk.len();
        Ok(chunk)
    }

    fn end(&mut self) -> Result<Vec<u8>, Error> {
        let Some(writer) = self.writer.take() else { return Ok(Vec::new()) };
        writer.into_inner().map_err(refused)
    }
}

impl ArrowWriter {
    pub(crate) fn new(header: Arc<Header>) -> Result<Self, Error> {
        let table = Table::new(header);
        let writer = StreamWriter::try_new(Vec::new(), &table.schema).map_err(refused)?;
        Ok(Self { table, writer })
    }
}

impl Writer for ArrowWriter {
    fn start(&mut self) -> Result<Vec<u8>, Error> {
        Ok(std::mem::take(self.writer.get_mut()))
    }

    fn batch(&mut self, batch: Batch) -> Result<Vec<u8>, Error> {
        let batch = self.table.record_batch(batch)?;
        self.writer.write(&batch).map_err(refused)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }

    fn end(&mut self) -> Result<Vec<u8>, Error> {
        self.writer.finish().map_err(refused)?;
        Ok(std::mem::take(self.writer.get_mut()))
    }
}
