//! An Excel workbook of one sheet. Numbers are numbers and everything else is text, so nothing is a formula.
//!
//! The sheet is written to a temporary file as its rows come, and packed into another one at the end, which
//! is then read piece by piece: memory does not grow with the rows.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek};
use std::sync::Arc;

use muster_core::{Cell, Timestamp};
use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook, Worksheet, XlsxError};

use super::{Batch, Header, ResultRow, Writer, own_cells};
use crate::Error;

/// What a sheet has: rows with the header, columns, characters in a cell.
const ROWS: u64 = 1_048_576;
const COLUMNS: usize = 16_384;
const CHARACTERS: usize = 32_767;
/// More cells are more than Excel is good for, and hundreds of megabytes of temporary files.
const CELLS: u64 = 10_000_000;
/// Integers beyond this are not exact as numbers.
const EXACT: u64 = 1 << 53;
/// Bytes of the finished file that are read at once.
const PIECE: u64 = 256 << 10;

pub(crate) struct XlsxWriter {
    header: Arc<Header>,
    workbook: Option<Workbook>,
    /// The next row of the sheet.
    row: u32,
    /// The finished file, and how much of it is still to be read.
    packed: Option<(File, u64)>,
}

impl XlsxWriter {
    /// `made_at`: the same for the same result, whose bytes are to be the same each time.
    pub(crate) fn new(header: Arc<Header>, rows: u64, made_at: Timestamp) -> Result<Self, Error> {
        let columns = header.own.len() + header.model.len() + usize::from(header.error.is_some());
        fits(rows, columns)?;
        let mut workbook = Workbook::new();
        let made = ExcelDateTime::from_timestamp(made_at.micros() / 1_000_000).map_err(refused)?;
        workbook.set_properties(&DocProperties::new().set_creation_datetime(&made));
        workbook.add_worksheet_with_constant_memory().map_err(refused)?;
        Ok(Self { header, workbook: Some(workbook), row: 0, packed: None })
    }
}

/// Is there a place for each cell?
fn fits(rows: u64, columns: usize) -> Result<(), Error> {
    let cells = (rows + 1).saturating_mul(columns as u64);
    let most = if rows >= ROWS {
        format!("{ROWS} rows with the header")
    } else if columns > COLUMNS {
        format!("{COLUMNS} columns")
    } else if cells > CELLS {
        format!("{CELLS} cells")
    } else {
        return Ok(());
    };
    Err(Error::TooLarge(format!(
        "This result has {rows} rows and {columns} columns; a workbook may have {most}. Take another \
         format, such as csv or parquet, or some of the rows with `offset` and `limit`."
    )))
}

fn sheet(workbook: &mut Option<Workbook>) -> Result<&mut Worksheet, Error> {
    let workbook =
        workbook.as_mut().ok_or_else(|| Error::Refused("the file is complete".into()))?;
    workbook.worksheet_from_index(0).map_err(refused)
}

impl Writer for XlsxWriter {
    fn start(&mut self) -> Result<Vec<u8>, Error> {
        let sheet = sheet(&mut self.workbook)?;
        let model = self.header.model.iter().map(|(name, _)| name);
        let names = self.header.own.iter().chain(model).chain(&self.header.error);
        for (name, column) in names.zip(0..) {
            text(sheet, (self.row, column), name)?;
        }
        self.row += 1;
        Ok(Vec::new())
    }

    fn batch(&mut self, batch: Batch) -> Result<Vec<u8>, Error> {
        let sheet = sheet(&mut self.workbook)?;
        let own = match &batch.lines {
            Some(lines) => own_cells(lines)?,
            None => batch.inputs.into_iter().map(|input| vec![input]).collect(),
        };
        let width = self.header.own.len() as u16;
        let error = width + self.header.model.len() as u16;
        for (row, own) in batch.rows.iter().zip(&own) {
            for (cell, column) in own.iter().take(width.into()).zip(0..) {
                text(sheet, (self.row, column), cell)?;
            }
            match row {
                ResultRow::Values(cells) => {
                    for (cell, column) in cells.iter().zip(width..error) {
                        value(sheet, (self.row, column), cell)?;
                    }
                }
                ResultRow::Error(words) => text(sheet, (self.row, error), words)?,
            }
            self.row += 1;
        }
        Ok(Vec::new())
    }

    fn end(&mut self) -> Result<Vec<u8>, Error> {
        let Some(mut workbook) = self.workbook.take() else { return Ok(Vec::new()) };
        let mut out = BufWriter::new(tempfile::tempfile().map_err(|e| failed(&e))?);
        workbook.save_to_writer(&mut out).map_err(refused)?;
        let mut file = out.into_inner().map_err(|e| failed(e.error()))?;
        let length = file.stream_position().map_err(|e| failed(&e))?;
        file.rewind().map_err(|e| failed(&e))?;
        self.packed = Some((file, length));
        self.rest()
    }

    fn has_rest(&self) -> bool {
        self.packed.as_ref().is_some_and(|(_, left)| *left > 0)
    }

    fn rest(&mut self) -> Result<Vec<u8>, Error> {
        let Some((file, left)) = &mut self.packed else { return Ok(Vec::new()) };
        let mut piece = vec![0; (*left).min(PIECE) as usize];
        file.read_exact(&mut piece).map_err(|e| failed(&e))?;
        *left -= piece.len() as u64;
        Ok(piece)
    }
}

fn value(sheet: &mut Worksheet, at: (u32, u16), cell: &Cell) -> Result<(), Error> {
    match cell {
        Cell::Null => Ok(()),
        Cell::Integer(n) if n.unsigned_abs() <= EXACT => number(sheet, at, *n as f64),
        Cell::Integer(n) => text(sheet, at, &n.to_string()),
        Cell::Float(x) => number(sheet, at, *x),
        Cell::Text(words) => text(sheet, at, words),
    }
}

fn number(sheet: &mut Worksheet, (row, column): (u32, u16), x: f64) -> Result<(), Error> {
    sheet.write_number(row, column, x).map(drop).map_err(refused)
}

/// Nothing is cut: who wants all of it takes another format.
fn text(sheet: &mut Worksheet, (row, column): (u32, u16), words: &str) -> Result<(), Error> {
    // Excel counts what UTF-16 has.
    if words.len() > CHARACTERS && words.encode_utf16().count() > CHARACTERS {
        return Err(Error::TooLarge(format!(
            "A cell of row {} has more than {CHARACTERS} characters, which a workbook has no place for. \
             Take another format, such as csv or parquet.",
            row + 1
        )));
    }
    if words.is_empty() {
        return Ok(());
    }
    sheet.write_string(row, column, words).map(drop).map_err(refused)
}

fn refused(error: XlsxError) -> Error {
    match error {
        XlsxError::IoError(error) | XlsxError::TempFileError(_, error) => failed(&error),
        error => Error::Refused(error.to_string()),
    }
}

fn failed(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull => Error::Full,
        _ => Error::unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sheet_cannot_hold_is_refused_with_what_it_can() {
        assert!(fits(1_048_575, 4).is_ok());
        assert!(fits(999_999, 10).is_ok());
        for (rows, columns, most) in [
            (1_048_576, 1, "1048576 rows"),
            (1, 16_385, "16384 columns"),
            (1_000_000, 11, "10000000 cells"),
        ] {
            let Err(Error::TooLarge(words)) = fits(rows, columns) else {
                panic!("{rows}, {columns}")
            };
            assert!(words.contains(most) && words.contains("offset"), "{words}");
        }
    }
}
