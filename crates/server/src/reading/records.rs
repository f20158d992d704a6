//! Cutting a file that comes in pieces into records: RFC 4180 and its neighbours.
//!
//! Accepted beyond RFC 4180: other separators, a byte order mark, LF and CR line ends, a missing last line
//! end, blank lines and rows of empty cells (skipped and counted), and a quote inside a cell that does
//! not start with one. Refused:
//! text after a closing quote, a quote that is never closed, NUL, what is not UTF-8.

use memchr::{memchr, memchr2, memchr3};

use super::text::{self, Utf8};
use crate::http::problem::{Kind, Problem};

/// Most columns of a file.
const COLUMNS: usize = 1_000;

/// One record: the decoded cells, one after the other.
#[derive(Debug, Default)]
pub struct Record {
    text: String,
    ends: Vec<usize>,
    /// The line it starts on; the first is 1.
    pub line: u64,
}

impl Record {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn cell(&self, n: usize) -> &str {
        let start = if n == 0 { 0 } else { self.ends.get(n - 1).copied().unwrap_or(0) };
        let end = self.ends.get(n).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }

    pub fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|n| self.cell(n))
    }

    fn start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    CellStart,
    Plain,
    Quoted,
    /// A quote inside a quoted cell: its end, or the first of two.
    Quote,
}

/// Takes the pieces and gives the records.
#[derive(Debug)]
pub struct Records {
    /// Without one a line is one cell, and quotes are text.
    separator: Option<u8>,
    cell_bytes: usize,
    utf8: Utf8,
    begun: bool,
    state: State,
    record: Record,
    quoted: bool,
    after_cr: bool,
    line: u64,
    /// Lines without anything, and rows whose cells are all empty.
    pub blank_lines: u64,
}

impl Records {
    /// No cell may be longer than `cell_bytes`; the first line is `line`.
    pub fn new(separator: Option<u8>, cell_bytes: usize, line: u64) -> Self {
        Self {
            separator,
            cell_bytes,
            utf8: Utf8::default(),
            begun: false,
            state: State::CellStart,
            record: Record { line, ..Record::default() },
            quoted: false,
            after_cr: false,
            line,
            blank_lines: 0,
        }
    }

    pub fn separator(&self) -> Option<u8> {
        self.separator
    }

    /// Takes the next piece; `each` gets every record that it completes.
    pub fn feed(
        &mut self,
        piece: &[u8],
        each: &mut impl FnMut(&Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut rest = piece;
        while let Some((char, left)) = self.utf8.complete(rest) {
            rest = left;
            match char {
                Ok(char) => self.text(char.as_str(), each)?,
                Err(text::NotUtf8) => return Err(text::not_utf8(self.line)),
            }
        }
        let (valid, broken) = self.utf8.split(rest);
        self.text(valid, each)?;
        if broken { Err(text::not_utf8(self.line)) } else { Ok(()) }
    }

    /// The file ends here.
    pub fn end(
        &mut self,
        each: &mut impl FnMut(&Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if !self.utf8.is_complete() {
            return Err(text::not_utf8(self.line));
        }
        match self.state {
            State::CellStart if self.record.len() == 0 => Ok(()),
            State::Quoted => {
                let line = self.record.line;
                let detail = format!("A quoted cell of the row at line {line} is never closed.");
                Err(Problem::new(Kind::BadCsv, detail).line(line))
            }
            _ => self.end_record(each),
        }
    }

    fn text(
        &mut self,
        piece: &str,
        each: &mut impl FnMut(&Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let mut text = piece;
        if !self.begun && !text.is_empty() {
            self.begun = true;
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if let Some(nul) = text.bytes().position(|b| b == 0) {
            self.cells(&text[..nul], each)?;
            let detail = format!("Line {} has a NUL character. Remove it.", self.line);
            return Err(Problem::new(Kind::BadInput, detail).line(self.line));
        }
        self.cells(text, each)
    }

    fn cells(
        &mut self,
        text: &str,
        each: &mut impl FnMut(&Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (bytes, separator) = (text.as_bytes(), self.separator);
        let ends_cell = |b: u8| b == b'\n' || b == b'\r' || Some(b) == separator;
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::CellStart => {
                    if std::mem::take(&mut self.after_cr) && bytes[at] == b'\n' {
                        at += 1;
                    } else if bytes[at] == b'"' && separator.is_some() {
                        (self.state, self.quoted) = (State::Quoted, true);
                        at += 1;
                    } else {
                        self.state = State::Plain;
                    }
                }
                State::Plain => {
                    let rest = &bytes[at..];
                    let run = match separator {
                        Some(separator) => memchr3(b'\n', b'\r', separator, rest),
                        None => memchr2(b'\n', b'\r', rest),
                    };
                    let run = run.unwrap_or(rest.len());
                    self.push(&text[at..at + run])?;
                    at += run;
                    if let Some(&end) = bytes.get(at) {
                        self.end_cell(end, each)?;
                        at += 1;
                    }
                }
                State::Quoted => {
                    let rest = &bytes[at..];
                    let run = memchr(b'"', rest).unwrap_or(rest.len());
                    self.push(&text[at..at + run])?;
                    self.line += rest[..run].iter().filter(|b| **b == b'\n').count() as u64;
                    at += run;
                    if at < bytes.len() {
                        self.state = State::Quote;
                        at += 1;
                    }
                }
                State::Quote if bytes[at] == b'"' => {
                    self.push("\"")?;
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Quote if ends_cell(bytes[at]) => {
                    self.end_cell(bytes[at], each)?;
                    at += 1;
                }
                State::Quote => {
                    let detail = format!(
                        "Line {} has text after a closing quote. Write a quote inside a quoted \
                         cell twice.",
                        self.line
                    );
                    return Err(Problem::new(Kind::BadCsv, detail).line(self.line));
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str) -> Result<(), Problem> {
        self.record.text.push_str(text);
        if self.record.text.len() - self.record.start() > self.cell_bytes {
            let (line, limit) = (self.record.line, self.cell_bytes);
            let detail = format!("Line {line} has a cell of more than {limit} bytes, the limit.");
            return Err(Problem::new(Kind::InputTooLong, detail).line(line));
        }
        Ok(())
    }

    fn end_cell(
        &mut self,
        end: u8,
        each: &mut impl FnMut(&Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.state = State::CellStart;
        if end == b'\n' || end == b'\r' {
            self.after_cr = end == b'\r';
            self.end_record(each)?;
            self.line += 1;
            self.record.line = self.line;
            return Ok(());
        }
        self.record.ends.push(self.record.text.len());
        if self.record.len() >= COLUMNS {
            let detail = format!("Line {} has more than {COLUMNS} columns.", self.line);
            return Err(Problem::new(Kind::BadCsv, detail).line(self.line));
        }
        Ok(())
    }

    fn end_record(
        &mut self,
        each: &mut impl FnMut(&Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        self.record.ends.push(self.record.text.len());
        self.state = State::CellStart;
        let may_be_blank = self.record.len() > 1 || !self.quoted;
        if may_be_blank && self.record.text.trim_ascii().is_empty() {
            self.blank_lines += 1;
        } else {
            each(&self.record)?;
        }
        self.record.text.clear();
        self.record.ends.clear();
        self.quoted = false;
        Ok(())
    }
}

/// Adds a cell to a CSV record, quoted if it must be.
pub fn write_cell(record: &mut String, first: bool, cell: &str) {
    if !first {
        record.push(',');
    }
    if !cell.bytes().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r')) {
        record.push_str(cell);
        return;
    }
    record.push('"');
    for (n, piece) in cell.split('"').enumerate() {
        if n > 0 {
            record.push_str("\"\"");
        }
        record.push_str(piece);
    }
    record.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]], separator: Option<u8>) -> Result<(Vec<Vec<String>>, u64), Problem> {
        let mut rows = Vec::new();
        let mut each = |record: &Record| {
            rows.push(record.cells().map(str::to_owned).collect());
            Ok(())
        };
        let mut records = Records::new(separator, 100, 1);
        for piece in pieces {
            records.feed(piece, &mut each)?;
        }
        records.end(&mut each)?;
        Ok((rows, records.blank_lines))
    }

    fn csv(text: &str) -> Vec<Vec<String>> {
        read(&[text.as_bytes()], Some(b',')).expect("CSV").0
    }

    fn kind(text: &[u8]) -> (Kind, crate::http::problem::At) {
        let problem = read(&[text], Some(b',')).expect_err("a problem");
        (problem.kind, problem.at)
    }

    #[test]
    fn line_ends_quotes_and_marks_are_read() {
        let want = [["a", "b"], ["1", "x,\"y\"\r\nz"], ["", "3"]];
        assert_eq!(csv("\u{feff}a,b\r\n1,\"x,\"\"y\"\"\r\nz\"\r\n,3"), want);
        assert_eq!(csv("a\rb\r\rc"), [["a"], ["b"], ["c"]]);
        assert_eq!(csv("5\" nail,x\n"), [["5\" nail", "x"]]);
        assert_eq!(csv("a,\n"), [["a", ""]]);
        assert_eq!(csv("a,"), [["a", ""]]);
        assert_eq!(csv("\"\"\n"), [[""]]);
    }

    #[test]
    fn blank_lines_are_counted_and_skipped() {
        let (rows, blank) = read(&[b"a\n\n  \r\nb\n\n"], Some(b',')).expect("CSV");
        assert_eq!((rows.len(), blank), (2, 3));
        let (rows, blank) =
            read(&[b"a,b\n,,\n \"\" , \n\"\",\"\"\nc,\n"], Some(b',')).expect("CSV");
        assert_eq!((rows.len(), blank), (3, 2));
    }

    #[test]
    fn what_is_not_csv_is_refused_with_its_line() {
        use crate::http::problem::At::Line;
        assert_eq!(kind(b"a\n\"b"), (Kind::BadCsv, Line(2)));
        assert_eq!(kind(b"a\nb\n\"c\"d\n"), (Kind::BadCsv, Line(3)));
        assert_eq!(kind(b"a\nb\0\n"), (Kind::BadInput, Line(2)));
        assert_eq!(kind(b"a\n\xe9t\n"), (Kind::NotUtf8, Line(2)));
        assert_eq!(kind(b"a\n\"\n\xc3"), (Kind::NotUtf8, Line(3)));
        let long = format!("a\n\n{}", "x".repeat(101));
        assert_eq!(kind(long.as_bytes()), (Kind::InputTooLong, Line(3)));
        let wide = ",".repeat(1000);
        assert_eq!(kind(wide.as_bytes()), (Kind::BadCsv, Line(1)));
    }

    #[test]
    fn tabs_separate_and_lines_do_not() {
        let (rows, _) = read(&[b"a\tb,c\n"], Some(b'\t')).expect("TSV");
        assert_eq!(rows, [["a", "b,c"]]);
        let (rows, _) = read(&[b"\"a\",b\tc\n"], None).expect("lines");
        assert_eq!(rows, [["\"a\",b\tc"]]);
    }

    proptest! {
        /// What the csv crate writes is read back, wherever the pieces are cut.
        #[test]
        fn written_rows_are_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a\u{e9}\u{1f600}\", \r\n]{0,6}", 3), 1..6),
            crlf: bool,
            cuts in prop::collection::vec(0usize..80, 0..6),
        ) {
            let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().terminator(end).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).expect("a row");
            }
            let text = writer.into_inner().expect("text");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            // Rows without anything are passed over.
            let is_kept = |row: &&Vec<String>| !row.concat().trim_ascii().is_empty();
            let kept: Vec<Vec<String>> = rows.iter().filter(is_kept).cloned().collect();
            prop_assert_eq!(read(&pieces, Some(b',')).expect("CSV").0, kept.clone());
            let mut again = String::new();
            for row in &rows {
                for (n, cell) in row.iter().enumerate() {
                    write_cell(&mut again, n == 0, cell);
                }
                again.push('\n');
            }
            prop_assert_eq!(csv(&again), kept);
        }
    }
}
