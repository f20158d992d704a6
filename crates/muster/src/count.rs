//! Is a result whole? Rows are counted while they pass, or the mark at the end of the file is looked at.

use crate::download::Format;
use crate::human;

/// What ends a Parquet file (and begins it), and a stream of Arrow.
const PARQUET: &[u8] = b"PAR1";
const ARROW: &[u8] = b"\xff\xff\xff\xff\0\0\0\0";
/// What begins the last record of a workbook, which is a zip file, and how long that record is.
const ZIP: &[u8] = b"PK\x05\x06";
/// The longest of them.
const MARK: usize = 22;

/// Sees the bytes of a result.
pub struct Count {
    format: Format,
    rows: u64,
    /// Inside quotes.
    quoted: bool,
    /// JSON: after a backslash.
    escaped: bool,
    /// JSON: in how many lists and objects.
    depth: u32,
    last: Vec<u8>,
    bytes: u64,
}

impl Count {
    pub fn new(format: Format) -> Self {
        let (rows, bytes) = (0, 0);
        Self { format, rows, quoted: false, escaped: false, depth: 0, last: Vec::new(), bytes }
    }

    pub fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.last.extend_from_slice(&piece[piece.len().saturating_sub(MARK)..]);
        self.last.drain(..self.last.len().saturating_sub(MARK));
        match self.format {
            Format::Csv => piece.iter().for_each(|byte| match byte {
                b'"' => self.quoted = !self.quoted,
                b'\n' if !self.quoted => self.rows += 1,
                _ => {}
            }),
            Format::Ndjson => {
                self.rows += piece.iter().filter(|byte| **byte == b'\n').count() as u64
            }
            Format::Json => piece.iter().for_each(|byte| self.json(*byte)),
            Format::Parquet | Format::Arrow | Format::Xlsx => {}
        }
    }

    fn json(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ if self.quoted => {}
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => {
                self.depth = self.depth.saturating_sub(1);
                self.rows += u64::from(self.depth == 1);
            }
            _ => {}
        }
    }

    /// What is missing, if something is: there must be so many rows.
    pub fn missing(&self, rows: u64) -> Option<String> {
        let (have, whole) = match self.format {
            Format::Csv => (self.rows.saturating_sub(1), !self.quoted && self.rows > 0),
            Format::Ndjson => (self.rows, self.last.ends_with(b"\n") || rows == 0),
            Format::Json => (self.rows, self.depth == 0 && self.bytes > 0),
            Format::Parquet => (rows, self.last.ends_with(PARQUET)),
            Format::Arrow => (rows, self.last.ends_with(ARROW)),
            Format::Xlsx => (rows, self.last.len() == MARK && self.last.starts_with(ZIP)),
        };
        if have != rows {
            return Some(format!("{} of {}", human::count(have), human::counted(rows, "row")));
        }
        (!whole).then(|| "its end is missing".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(format: Format, text: &[u8], rows: u64) -> Option<String> {
        let mut one = Count::new(format);
        one.add(text);
        let mut many = Count::new(format);
        text.chunks(3).for_each(|piece| many.add(piece));
        assert_eq!(one.missing(rows), many.missing(rows), "however it is cut");
        one.missing(rows)
    }

    #[test]
    fn a_result_is_whole_only_with_all_its_rows() {
        let csv = b"a,b\n1,\"x\ny\"\n2,z\n";
        assert_eq!(missing(Format::Csv, csv, 2), None);
        assert_eq!(missing(Format::Csv, csv, 3).as_deref(), Some("2 of 3 rows"));
        assert!(missing(Format::Csv, &csv[..csv.len() - 3], 2).is_some());
        let json = br#"[
{"a": "]}\\\"", "b": [1]},
{"a": "{["}
]
"#;
        assert_eq!(missing(Format::Json, json, 2), None);
        assert!(missing(Format::Json, &json[..json.len() - 3], 2).is_some());
        assert!(missing(Format::Json, b"", 0).is_some());
        assert_eq!(missing(Format::Ndjson, b"{}\n{}\n", 2), None);
        assert!(missing(Format::Ndjson, b"{}\n{}", 2).is_some());
        let zip = [b"PK\x03\x04....PK\x05\x06".as_slice(), &[0; 18]].concat();
        assert_eq!(missing(Format::Xlsx, &zip, 9), None);
        assert!(missing(Format::Xlsx, &zip[..zip.len() - 1], 9).is_some());
        assert_eq!(missing(Format::Parquet, b"PAR1....PAR1", 9), None);
        assert!(missing(Format::Parquet, b"PAR1........", 9).is_some());
        assert_eq!(missing(Format::Arrow, b"..\xff\xff\xff\xff\0\0\0\0", 9), None);
        assert!(missing(Format::Arrow, b"..\xff\xff\xff\xff\x08\0\0\0", 9).is_some());
    }
}
