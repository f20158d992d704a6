//! From the records of a file to the inputs of a request: which column, and is the first line a
//! header?

use std::str::FromStr;

use muster_core::input::{BadInput, InputLimits, InputTable, Texts, find_column};
use muster_core::model::InputColumn;
use muster_core::request::{Header, Reading};

use super::records::{Dialect, Record, Records, write_cell};
use crate::http::problem::{At, Kind, Problem};

/// What the person says of the first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderRule {
    /// A file of several columns has one; a file of one column has one if it names the input.
    #[default]
    Auto,
    Used,
    Absent,
}

impl FromStr for HeaderRule {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "used" => Ok(Self::Used),
            "absent" => Ok(Self::Absent),
            _ => Err(()),
        }
    }
}

/// How a file is to be read.
#[derive(Clone, Debug)]
pub struct Rules {
    pub dialect: Dialect,
    pub header: HeaderRule,
    /// The column with the inputs, if the person says which.
    pub column: Option<String>,
    pub input: InputColumn,
    pub limits: InputLimits,
}

/// A file as it comes in.
pub struct File {
    records: Records,
    table: Table,
}

impl File {
    pub fn new(rules: Rules) -> Self {
        let records = Records::new(rules.dialect, rules.limits.input_bytes);
        let table = Table { rules, first: None, inputs: Texts::default(), whole: None };
        Self { records, table }
    }

    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Problem> {
        let table = &mut self.table;
        self.records.feed(piece, &mut |record| table.record(record))
    }

    pub fn end(mut self) -> Result<(InputTable, Reading), Problem> {
        let table = &mut self.table;
        self.records.end(&mut |record| table.record(record))?;
        let first = self.table.first.filter(|_| !self.table.inputs.is_empty());
        let Some(first) = first else {
            let detail = "The file has no row with an input. Send one row for each input.";
            return Err(Problem::new(Kind::EmptyInput, detail));
        };
        let reading = Reading {
            header: first.header,
            column: first.column,
            columns: first.columns,
            rows: self.table.inputs.len() as u64,
            blank_lines_skipped: self.records.blank_lines,
        };
        Ok((InputTable { inputs: self.table.inputs, records: self.table.whole }, reading))
    }
}

/// What the first line told.
#[derive(Debug)]
struct First {
    header: Header,
    column: Option<String>,
    /// All columns, if there are several.
    columns: Vec<String>,
    width: usize,
    at: usize,
}

struct Table {
    rules: Rules,
    first: Option<First>,
    inputs: Texts,
    /// Whole rows, if there are several columns; its length is that of `inputs`.
    whole: Option<Texts>,
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
        if record.len() != first.width {
            let (line, has, width) = (record.line, record.len(), first.width);
            let detail = format!("The row at line {line} has {has} cells; the first has {width}.");
            return Err(Problem::new(Kind::BadCsv, detail).line(line));
        }
        let input = record.cell(first.at);
        self.rules.limits.check(input).map_err(|bad| bad_input(&bad, record.line))?;
        if self.inputs.len() as u64 >= self.rules.limits.inputs {
            return Err(too_many(self.rules.limits.inputs).line(record.line));
        }
        self.inputs.push(input);
        if let Some(whole) = &mut self.whole {
            let mut row = String::new();
            for (n, cell) in record.cells().enumerate() {
                write_cell(&mut row, n == 0, cell);
            }
            whole.push(&row);
        }
        Ok(())
    }
}

impl Rules {
    fn read_first(&self, record: &Record) -> Result<First, Problem> {
        let names: Vec<String> = record.cells().map(str::to_owned).collect();
        let found = match &self.column {
            Some(column) => find_named(&names, column),
            None => find_column(&names, &self.input),
        };
        let alone = names.len() == 1;
        let absent =
            First { header: Header::Absent, column: None, columns: vec![], width: 1, at: 0 };
        match (self.header, found) {
            (HeaderRule::Absent, _) if !alone => Err(Problem::parameter(
                "header",
                "A file of several columns needs a header, so that the input column can be found.",
            )),
            (HeaderRule::Absent, _) if self.column.is_some() => Err(Problem::parameter(
                "column",
                "A file without header has no column names. Leave out `column`, or `header`.",
            )),
            (HeaderRule::Absent, _) => Ok(absent),
            (HeaderRule::Used, None) if alone && self.column.is_none() => used(names, 0),
            (HeaderRule::Auto, None) if alone && self.column.is_none() => Ok(absent),
            (_, Some(at)) => used(names, at),
            (_, None) => Err(self.no_such_column(names)),
        }
    }

    fn no_such_column(&self, names: Vec<String>) -> Problem {
        let shown: Vec<String> = names.into_iter().take(100).map(|name| shorten(&name)).collect();
        let list = shown.join(", ");
        let detail = match &self.column {
            Some(column) => {
                format!("The first line has no column `{}`. It has: {list}.", shorten(column))
            }
            None => format!(
                "None of the columns is the model's input `{}`. Say which one is with `column=`. \
                 The file has: {list}.",
                self.input.name
            ),
        };
        Problem::new(Kind::NoSuchColumn, detail).at(At::Columns(shown))
    }
}

fn used(names: Vec<String>, at: usize) -> Result<First, Problem> {
    for (n, name) in names.iter().enumerate() {
        if let Some(before) = names[..n].iter().position(|other| other.trim() == name.trim()) {
            let detail = format!(
                "Columns {} and {} are both named `{}`. Rename one.",
                before + 1,
                n + 1,
                shorten(name)
            );
            return Err(Problem::new(Kind::DuplicateHeader, detail).line(1));
        }
    }
    let (width, column) = (names.len(), names.get(at).cloned());
    let columns = if width > 1 { names } else { vec![] };
    Ok(First { header: Header::Used, column, columns, width, at })
}

/// The column of exactly this name, else of the same name without regard to case and outer space.
fn find_named(names: &[String], column: &str) -> Option<usize> {
    let same = |name: &String| name.trim().eq_ignore_ascii_case(column.trim());
    names.iter().position(|name| name == column).or_else(|| names.iter().position(same))
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
    use super::*;

    fn rules(header: HeaderRule, column: Option<&str>) -> Rules {
        let input = InputColumn {
            name: "smiles".into(),
            description: String::new(),
            also: vec!["structure".into()],
        };
        let limits = InputLimits { inputs: 3, ..InputLimits::default() };
        Rules { dialect: Dialect::Csv, header, column: column.map(str::to_owned), input, limits }
    }

    fn read(rules: Rules, text: &str) -> Result<(InputTable, Reading), Problem> {
        let mut file = File::new(rules);
        file.feed(text.as_bytes())?;
        file.end()
    }

    fn auto(text: &str) -> (InputTable, Reading) {
        read(rules(HeaderRule::Auto, None), text).expect("a table")
    }

    fn inputs(table: &InputTable) -> Vec<&str> {
        table.inputs.iter().collect()
    }

    #[test]
    fn one_column_with_the_inputs_name_has_a_header() {
        for name in ["smiles", "Structure", "INPUT"] {
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
        assert_eq!(reading.columns, ["name", "SMILES"]);
        let rows: Vec<_> = table.records.iter().flat_map(Texts::iter).collect();
        assert_eq!(rows, ["\"a, b\",CCO", "x,C"]);
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
        assert_eq!(kind(auto(), "smiles,a\n1\n"), Kind::BadCsv);
        assert_eq!(kind(auto(), "smiles\n\"\"\n"), Kind::BadInput);
        assert_eq!(kind(auto(), "a\nb\nc\nd\n"), Kind::TooManyInputs);
        for empty in ["", "\n\n", "smiles\n", "smiles,a\n"] {
            assert_eq!(kind(auto(), empty), Kind::EmptyInput, "{empty:?}");
        }
        assert_eq!(kind(rules(HeaderRule::Absent, None), "a,b\n"), Kind::BadParameter);
    }
}
