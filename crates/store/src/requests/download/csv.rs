//! CSV (RFC 4180, lines end with LF). The person's own columns come back as they were; text of the
//! model that a spreadsheet would run as a formula gets a `'` in front.

use std::sync::Arc;

use muster_core::Cell;

use super::{Batch, Header, ResultRow, Writer};
use crate::Error;

pub(crate) struct CsvWriter {
    header: Arc<Header>,
}

impl CsvWriter {
    pub(crate) fn new(header: Arc<Header>) -> Self {
        Self { header }
    }
}

impl Writer for CsvWriter {
    fn start(&mut self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        let model = self.header.model.iter().map(|(name, _)| name.as_str());
        let error = self.header.error.as_deref();
        for (n, name) in
            self.header.own.iter().map(String::as_str).chain(model).chain(error).enumerate()
        {
            if n > 0 {
                out.push(b',');
            }
            quote(&mut out, name);
        }
        out.push(b'\n');
        Ok(out)
    }

    fn batch(&mut self, batch: Batch) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(batch.rows.len() * 64);
        let lines = batch.lines.as_deref().map(split_lines);
        for (n, row) in batch.rows.iter().enumerate() {
            match &lines {
                Some(lines) => out.extend_from_slice(lines.get(n).copied().unwrap_or_default()),
                None => quote(&mut out, batch.inputs.get(n).map_or("", String::as_str)),
            }
            self.cells(&mut out, row);
            out.push(b'\n');
        }
        Ok(out)
    }

    fn end(&mut self) -> Result<Vec<u8>, Error> {
        Ok(Vec::new())
    }
}

impl CsvWriter {
    fn cells(&self, out: &mut Vec<u8>, row: &ResultRow) {
        let columns = self.header.model.len();
        match row {
            ResultRow::Values(cells) => {
                for cell in cells.iter().take(columns) {
                    out.push(b',');
                    match cell {
                        Cell::Null => {}
                        Cell::Integer(n) => out.extend_from_slice(n.to_string().as_bytes()),
                        Cell::Float(x) => out.extend_from_slice(number(*x).as_bytes()),
                        Cell::Text(text) => safe(out, text),
                    }
                }
                if self.header.error.is_some() {
                    out.push(b',');
                }
            }
            ResultRow::Error(error) => {
                out.extend(std::iter::repeat_n(b',', columns));
                if self.header.error.is_some() {
                    out.push(b',');
                    safe(out, error);
                }
            }
        }
    }
}

/// The shortest text that reads back as the same number.
fn number(x: f64) -> String {
    serde_json::to_string(&x).unwrap_or_default()
}

fn safe(out: &mut Vec<u8>, text: &str) {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) {
        quote(out, &format!("'{text}"));
    } else {
        quote(out, text);
    }
}

fn quote(out: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"', '\n', '\r']) && !text.is_empty() {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    if text.is_empty() {
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

/// Lines of CSV text; a line end inside quotes does not count.
pub(crate) fn split_lines(lines: &[u8]) -> Vec<&[u8]> {
    let (mut all, mut start, mut quoted) = (Vec::new(), 0, false);
    for (n, byte) in lines.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                all.push(&lines[start..n]);
                start = n + 1;
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_of_a_model_are_made_harmless_and_numbers_stay_numbers() {
        let mut out = Vec::new();
        for text in ["=1+1", "-x", "plain", "a,\"b\""] {
            safe(&mut out, text);
            out.push(b'|');
        }
        assert_eq!(String::from_utf8_lossy(&out), "'=1+1|'-x|plain|\"a,\"\"b\"\"\"|");
        assert_eq!(number(-0.5), "-0.5");
    }

    #[test]
    fn a_line_end_inside_quotes_ends_no_line() {
        assert_eq!(split_lines(b"a,\"b\nc\"\nd,e\n"), [&b"a,\"b\nc\""[..], b"d,e"]);
    }
}
