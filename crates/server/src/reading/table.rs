//! From the records of a file to the inputs of a request.

use muster_core::input::{BadInput, InputTable, Texts};
use muster_core::request::{Header, Reading};

use super::records::{Record, Records, write_cell};
use super::rules::{First, Rules};
use crate::http::problem::{Kind, Problem};

/// Bytes looked at to tell what the file is and what separates its cells.
const HEAD: usize = 8 << 10;

/// A file as it comes in.
pub struct File {
    /// The first bytes, until there are enough to tell what the file is.
    head: Vec<u8>,
    records: Option<Records>,
    table: Table,
}

impl File {
    pub fn new(rules: Rules) -> Self {
        let (inputs, empty, short_rows) = (Texts::default(), 0, 0);
        let table = Table { rules, first: None, inputs, whole: None, empty, short_rows };
        Self { head: Vec::new(), records: None, table }
    }

    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Problem> {
        if self.records.is_none() {
            self.head.extend_from_slice(piece);
            return if self.head.len() < HEAD { Ok(()) } else { self.begin(false) };
        }
        self.take(piece)
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Problem> {
        let table = &mut self.table;
        match &mut self.records {
            Some(records) => records.feed(piece, &mut |record| table.record(record)),
            None => Ok(()),
        }
    }

    /// Enough is there to tell what the file is. `whole`: there is no more.
    fn begin(&mut self, whole: bool) -> Result<(), Problem> {
        let head = std::mem::take(&mut self.head);
        let (separator, said_in) = self.table.rules.recognise(&head, whole)?;
        let line = if said_in > 0 { 2 } else { 1 };
        let bytes = self.table.rules.limits.input_bytes;
        self.records = Some(Records::new(separator, bytes, line));
        self.take(&head[said_in..])
    }

    pub fn end(mut self) -> Result<(InputTable, Reading), Problem> {
        if self.records.is_none() {
            self.begin(true)?;
        }
        let Some(mut records) = self.records else { return Err(Problem::internal()) };
        let table = &mut self.table;
        records.end(&mut |record| table.record(record))?;
        let some = table.inputs.len() as u64 > table.empty;
        let Some(first) = self.table.first.filter(|_| some) else {
            let detail = "The file has no row with an input. Send one row for each input.";
            return Err(Problem::new(Kind::EmptyInput, detail));
        };
        let separator = records.separator().map(char::from);
        let reading = Reading {
            header: first.header,
            column: first.column,
            separator: separator.filter(|_| first.width > 1),
            columns: first.columns,
            rows: self.table.inputs.len() as u64,
            blank_lines_skipped: records.blank_lines,
            short_rows: self.table.short_rows,
        };
        Ok((InputTable { inputs: self.table.inputs, records: self.table.whole }, reading))
    }
}

struct Table {
    rules: Rules,
    first: Option<First>,
    inputs: Texts,
    /// Whole rows, if there are several columns; its length is that of `inputs`.
    whole: Option<Texts>,
    /// Inputs that are empty: each costs its own row.
    empty: u64,
    short_rows: u64,
}

impl Table {
    fn record(&mut self, record: &Record) -> Result<(), Problem> {
        let Some(first) = &self.first else {
            let first = self.rules.read_first(record)?;
            let is_row = first.header == Header::Absent;
            self.whole = (first.width > 1).then(Texts::default);
            self.first = Some(first);
            return if is_row { self.record(record) } else { Ok(()) };
        };
        let (width, at) = (first.width, first.at);
        if record.len() != width {
            check_surplus(record, width)?;
            self.short_rows += u64::from(record.len() < width);
        }
        let mut input = record.cell(at);
        match self.rules.limits.check(input) {
            Ok(()) => {}
            Err(BadInput::Empty) => {
                self.empty += 1;
                input = "";
            }
            Err(bad) => return Err(bad_input(&bad, record.line)),
        }
        if self.inputs.len() as u64 >= self.rules.limits.inputs {
            return Err(too_many(self.rules.limits.inputs).line(record.line));
        }
        self.inputs.push(input);
        if let Some(whole) = &mut self.whole {
            let mut row = String::new();
            for n in 0..width {
                write_cell(&mut row, n == 0, record.cell(n));
            }
            whole.push(&row);
        }
        Ok(())
    }
}

/// Cells that no column is for may be there if they are empty.
fn check_surplus(record: &Record, width: usize) -> Result<(), Problem> {
    let Some(n) = (width..record.len()).find(|n| !record.cell(*n).trim().is_empty()) else {
        return Ok(());
    };
    let (line, cell, number) = (record.line, shorten(record.cell(n)), n + 1);
    let columns = if width == 1 { "1 column".to_owned() } else { format!("{width} columns") };
    let detail = format!(
        "The row at line {line} has `{cell}` in its cell {number}, but the first line names {columns}. \
         Name the column, or put cells that contain the separator in quotes."
    );
    Err(Problem::new(Kind::BadCsv, detail).line(line))
}

pub fn shorten(name: &str) -> String {
    let mut short: String = name.chars().take(60).collect();
    if short.len() < name.len() {
        short.push_str("..");
    }
    short
}

fn bad_input(bad: &BadInput, line: u64) -> Problem {
    let kind = match bad {
        BadInput::TooLong { .. } => Kind::InputTooLong,
        BadInput::Empty | BadInput::Nul => Kind::BadInput,
    };
    Problem::new(kind, format!("The input at line {line} cannot be used: {bad}.")).line(line)
}

pub fn too_many(limit: u64) -> Problem {
    let detail =
        format!("A request may have {limit} inputs. Split the inputs into several requests.");
    Problem::new(Kind::TooManyInputs, detail)
}

#[cfg(test)]
mod tests {
    use muster_core::input::InputLimits;
    use muster_core::model::InputColumn;

    use super::*;
    use crate::reading::rules::{Dialect, HeaderRule};

    fn rules(header: HeaderRule, column: Option<&str>) -> Rules {
        let input = InputColumn {
            name: "smiles".into(),
            also: vec!["structure".into()],
            ..Default::default()
        };
        let limits = InputLimits { inputs: 3, ..InputLimits::default() };
        let (dialect, column) = (Dialect::Csv, column.map(str::to_owned));
        Rules { dialect, header, column, separator: None, input, limits }
    }

    fn read(rules: Rules, text: &str) -> Result<(InputTable, Reading), Problem> {
        let mut whole = File::new(rules.clone());
        whole.feed(text.as_bytes())?;
        let whole = whole.end()?;
        let mut pieces = File::new(rules);
        text.as_bytes().chunks(3).try_for_each(|piece| pieces.feed(piece))?;
        assert_eq!(pieces.end()?, whole, "however it is cut");
        Ok(whole)
    }

    fn auto(text: &str) -> (InputTable, Reading) {
        read(rules(HeaderRule::Auto, None), text).expect("a table")
    }

    fn inputs(table: &InputTable) -> Vec<&str> {
        table.inputs.iter().collect()
    }

    fn rows(table: &InputTable) -> Vec<&str> {
        table.records.iter().flat_map(Texts::iter).collect()
    }

    #[test]
    fn one_column_with_the_inputs_name_has_a_header() {
        for name in ["smiles", "Structure", "INPUT", "\u{200b}smiles"] {
            let (table, reading) = auto(&format!("{name}\nCCO\n"));
            assert_eq!(inputs(&table), ["CCO"]);
            assert_eq!((reading.header, reading.column.as_deref()), (Header::Used, Some(name)));
            assert_eq!((reading.columns.len(), table.records), (0, None));
        }
    }

    #[test]
    fn one_column_of_anything_else_is_inputs() {
        let (table, reading) = auto("CCO\n\nCC\n");
        assert_eq!(inputs(&table), ["CCO", "CC"]);
        assert_eq!((reading.header, reading.rows), (Header::Absent, 2));
        assert_eq!((reading.column, reading.blank_lines_skipped), (None, 1));
        let (table, _) = read(rules(HeaderRule::Absent, None), "smiles\nCCO").expect("a table");
        assert_eq!(inputs(&table), ["smiles", "CCO"]);
        let (table, reading) = read(rules(HeaderRule::Used, None), "x\nCCO").expect("a table");
        assert_eq!((inputs(&table), reading.column.as_deref()), (vec!["CCO"], Some("x")));
    }

    #[test]
    fn several_columns_keep_the_whole_rows() {
        let (table, reading) = auto("name,SMILES\n\"a, b\",CCO\nx,\"C\"\n");
        assert_eq!(inputs(&table), ["CCO", "C"]);
        assert_eq!(
            (reading.columns, reading.separator),
            (vec!["name".into(), "SMILES".into()], Some(','))
        );
        assert_eq!(rows(&table), ["\"a, b\",CCO", "x,C"]);
    }

    #[test]
    fn other_separators_are_recognised_and_decimal_commas_stay() {
        for text in
            ["name;smiles;mass\na, b;CCO;46,07\n", "sep=;\r\nname;smiles;mass\r\na, b;CCO;46,07"]
        {
            let (table, reading) = auto(text);
            assert_eq!(inputs(&table), ["CCO"], "{text}");
            assert_eq!(reading.separator, Some(';'));
            assert_eq!(rows(&table), ["\"a, b\",CCO,\"46,07\""]);
        }
        let said = Rules { separator: Some(b' '), ..rules(HeaderRule::Auto, None) };
        let (table, reading) = read(said, "smiles name\nCCO a,b\n").expect("a table");
        assert_eq!((inputs(&table), reading.separator), (vec!["CCO"], Some(' ')));
    }

    #[test]
    fn a_file_of_several_columns_without_a_header_is_read_by_number() {
        let of = |column| read(rules(HeaderRule::Absent, column), "CCO,ethanol\nC,methane\n");
        let (table, reading) = of(Some("1")).expect("a table");
        assert_eq!(inputs(&table), ["CCO", "C"]);
        assert_eq!((reading.header, reading.column.as_deref()), (Header::Absent, Some("column_1")));
        assert_eq!(reading.columns, ["column_1", "column_2"]);
        assert_eq!(rows(&table), ["CCO,ethanol", "C,methane"]);
        for other in [None, Some("0"), Some("3"), Some("CCO")] {
            assert_eq!(of(other).expect_err("a problem").kind, Kind::BadParameter, "{other:?}");
        }
        let problem = read(rules(HeaderRule::Auto, None), "CCO,ethanol\nC,methane\n");
        let detail = problem.expect_err("nobody knows").detail;
        assert!(detail.contains("header=absent") && detail.contains("column=1"), "{detail}");
    }

    #[test]
    fn gaps_cost_what_is_missing() {
        let (table, reading) = auto("name,smiles,,\na,CCO,,\n,,,\nb,,,\nc\n");
        assert_eq!(inputs(&table), ["CCO", "", ""]);
        assert_eq!(rows(&table), ["a,CCO", "b,", "c,"]);
        assert_eq!((reading.columns.len(), reading.blank_lines_skipped), (2, 1));
        assert_eq!(reading.short_rows, 1);
        let (table, _) = auto("smiles\n\"\"\nCCO\n");
        assert_eq!(inputs(&table), ["", "CCO"]);
        let (table, reading) = auto(",smiles,,note\n1,CCO,x,y\n");
        assert_eq!(reading.columns, ["column_1", "smiles", "column_3", "note"]);
        assert_eq!(rows(&table), ["1,CCO,x,y"]);
        assert_eq!(auto(",smiles\n1,CCO\n").1.columns, ["", "smiles"]);
    }

    #[test]
    fn the_named_column_is_taken() {
        let of = |column, text| read(rules(HeaderRule::Auto, Some(column)), text);
        let (table, reading) = of("b", "smiles,b\nCCO,CC\n").expect("a table");
        assert_eq!((inputs(&table), reading.column.as_deref()), (vec!["CC"], Some("b")));
        for text in ["smiles,b\nCCO,CC\n", "smiles\nCCO\n", "CCO\nCC\n"] {
            let problem = of("nope", text).expect_err("a problem");
            assert_eq!(problem.kind, Kind::NoSuchColumn, "{text}");
        }
    }

    #[test]
    fn files_that_cannot_be_meant_are_refused() {
        let kind = |rules, text| read(rules, text).expect_err("a problem").kind;
        let auto = || rules(HeaderRule::Auto, None);
        assert_eq!(kind(auto(), "a,b\n1,2\n"), Kind::NoSuchColumn);
        assert_eq!(kind(auto(), "smiles,a,a\n1,2,3\n"), Kind::DuplicateHeader);
        assert_eq!(kind(auto(), "smiles,a\n1,2,3\n"), Kind::BadCsv);
        assert_eq!(kind(auto(), "a\nb\nc\nd\n"), Kind::TooManyInputs);
        assert_eq!(kind(auto(), "<html>\n"), Kind::OtherFile);
        for empty in ["", "\n\n", "smiles\n", "smiles,a\n", "smiles\n\"\"\n", "smiles,a\n,x\n"] {
            assert_eq!(kind(auto(), empty), Kind::EmptyInput, "{empty:?}");
        }
    }
}
