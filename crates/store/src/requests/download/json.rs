//! JSON: an array of objects, or one object a line.

use std::sync::Arc;

use muster_core::Cell;
use serde::Serializer;
use serde::ser::SerializeMap;

use super::{Batch, Header, ResultRow, Writer, own_cells};
use crate::Error;

pub(crate) struct JsonWriter {
    header: Arc<Header>,
    lines: bool,
    first: bool,
}

impl JsonWriter {
    pub(crate) fn array(header: Arc<Header>) -> Self {
        Self { header, lines: false, first: true }
    }

    pub(crate) fn lines(header: Arc<Header>) -> Self {
        Self { header, lines: true, first: true }
    }

    fn object(&self, out: &mut Vec<u8>, own: &[String], row: &ResultRow) -> Result<(), Error> {
        let mut json = serde_json::Serializer::new(out);
        let written = (|| {
            let mut map = json.serialize_map(None)?;
            for (name, cell) in self.header.own.iter().zip(own) {
                map.serialize_entry(name, cell)?;
            }
            for (n, (name, _)) in self.header.model.iter().enumerate() {
                let cell = match row {
                    ResultRow::Values(cells) => cells.get(n).unwrap_or(&Cell::Null),
                    ResultRow::Error(_) => &Cell::Null,
                };
                map.serialize_entry(name, cell)?;
            }
            if let Some(name) = &self.header.error {
                let error = match row {
                    ResultRow::Error(error) => Some(error),
                    ResultRow::Values(_) => None,
                };
                map.serialize_entry(name, &error)?;
            }
            map.end()
        })();
        written.map_err(|error: serde_json::Error| Error::Refused(error.to_string()))
    }
}

impl Writer for JsonWriter {
    fn start(&mut self) -> Result<Vec<u8>, Error> {
        Ok(if self.lines { Vec::new() } else { b"[".to_vec() })
    }

    fn batch(&mut self, batch: Batch) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(batch.rows.len() * 96);
        let own = match &batch.lines {
            Some(lines) => own_cells(lines)?,
            None => batch.inputs.into_iter().map(|input| vec![input]).collect(),
        };
        for (row, own) in batch.rows.iter().zip(&own) {
            if !self.lines {
                out.extend_from_slice(if self.first { b"\n" } else { b",\n" });
            }
            self.first = false;
            self.object(&mut out, own, row)?;
            if self.lines {
                out.push(b'\n');
            }
        }
        Ok(out)
    }

    fn end(&mut self) -> Result<Vec<u8>, Error> {
        Ok(if self.lines { Vec::new() } else { b"\n]\n".to_vec() })
    }
}
