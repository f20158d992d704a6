//! How a file is to be read: what it is, what separates its cells, which column has the inputs, and is its
//! first line a header?

use std::str::FromStr;

use muster_core::file::{other_kind, recognise};
use muster_core::input::{InputLimits, find_column, same_name, visible};
use muster_core::model::InputColumn;
use muster_core::request::Header;

use super::records::Record;
use super::table::shorten;
use super::text;
use crate::http::problem::{At, Kind, Problem};

/// What the media type says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Cells, separated by what the file shows.
    Csv,
    Tsv,
    /// One cell a line, quotes are text; a table if the first line names the input in one of its cells.
    Lines,
}

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
    /// The column with the inputs, if the person says which; its number if there is no header.
    pub column: Option<String>,
    /// What separates the cells, if the person says so.
    pub separator: Option<u8>,
    pub input: InputColumn,
    pub limits: InputLimits,
}

/// What the first line told.
#[derive(Debug)]
pub(super) struct First {
    pub header: Header,
    pub column: Option<String>,
    /// All columns, if there are several.
    pub columns: Vec<String>,
    pub width: usize,
    pub at: usize,
}

impl Rules {
    /// What separates the cells, and how many bytes of the head said so; or what is wrong with the
    /// file as a whole.
    pub(super) fn recognise(
        &self,
        head: &[u8],
        whole: bool,
    ) -> Result<(Option<u8>, usize), Problem> {
        text::check_is_text(head)?;
        let begins = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
        };
        let input = &self.input;
        let names = std::iter::once(&input.name).chain(&input.also);
        let mut said = names.chain([&input.description]);
        let takes_fasta = said.any(|text| text.to_ascii_lowercase().contains("fasta"));
        if let Some(kind) = other_kind(begins, takes_fasta) {
            let detail = format!(
                "The file is {kind}. Send a table with the inputs in the column `{}`, or one input \
                 a line. If these lines are inputs all the same, send them as JSON.",
                input.name
            );
            return Err(Problem::new(Kind::OtherFile, detail));
        }
        let is_header = |names: &[String]| match &self.column {
            _ if self.header == HeaderRule::Absent => false,
            Some(column) => find_named(names, column).is_some(),
            None => find_column(names, input).is_some(),
        };
        let found = recognise(begins, whole, is_header);
        let of_type = match self.dialect {
            // A table is often saved as plain text.
            Dialect::Lines if self.separator.is_none() && !found.below_header => {
                return Ok((None, 0));
            }
            Dialect::Tsv => b'\t',
            _ => found.separator,
        };
        Ok((Some(self.separator.unwrap_or(of_type)), found.said_in))
    }

    pub(super) fn read_first(&self, record: &Record) -> Result<First, Problem> {
        if self.header == HeaderRule::Absent {
            return self.without_header(record.len());
        }
        let mut names: Vec<String> = record.cells().map(str::to_owned).collect();
        // Spreadsheets write columns that were used once.
        while names.len() > 1 && names.last().is_some_and(|name| is_blank(name)) {
            names.pop();
        }
        let found = match &self.column {
            Some(column) => find_named(&names, column),
            None => find_column(&names, &self.input),
        };
        let alone = names.len() == 1;
        match (self.header, found) {
            (HeaderRule::Used, None) if alone && self.column.is_none() => used(names, 0),
            (HeaderRule::Auto, None) if alone && self.column.is_none() => Ok(absent(1, 0)),
            (_, Some(at)) => used(names, at),
            (_, None) => Err(self.no_such_column(names)),
        }
    }

    /// Columns have numbers only.
    fn without_header(&self, width: usize) -> Result<First, Problem> {
        let number = match &self.column {
            Some(column) => column.trim().parse().ok(),
            None => (width == 1).then_some(1),
        };
        match number {
            Some(number) if (1..=width).contains(&number) => Ok(absent(width, number - 1)),
            _ => {
                let detail = format!(
                    "Without a header columns have numbers: say which one has the inputs, from \
                     `column=1` to `column={width}`."
                );
                Err(Problem::parameter("column", detail))
            }
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
                "No column has the name of the model's input, `{}`. The first line is: {list}. If \
                 these are names, say which one with `column=NAME`. If it is a row already, say \
                 `header=absent` and the number of the column with the inputs: `column=1`. If each \
                 line is one input, send the file as text/plain.",
                self.input.name
            ),
        };
        Problem::new(Kind::NoSuchColumn, detail).at(At::Columns(shown))
    }
}

fn absent(width: usize, at: usize) -> First {
    let name = |n: usize| format!("column_{}", n + 1);
    let several = width > 1;
    let columns = if several { (0..width).map(name).collect() } else { vec![] };
    First { header: Header::Absent, column: several.then(|| name(at)), columns, width, at }
}

fn is_blank(name: &str) -> bool {
    visible(name).trim().is_empty()
}

fn used(mut names: Vec<String>, at: usize) -> Result<First, Problem> {
    let same = |one: &str, other: &str| visible(one).trim() == visible(other).trim();
    if names.iter().filter(|name| is_blank(name)).count() > 1 {
        for n in 0..names.len() {
            if is_blank(&names[n]) {
                let mut name = format!("column_{}", n + 1);
                while names.iter().any(|other| same(other, &name)) {
                    name.push('_');
                }
                names[n] = name;
            }
        }
    }
    for (n, name) in names.iter().enumerate() {
        if let Some(before) = names[..n].iter().position(|other| same(other, name)) {
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

/// The column of exactly this name, else of the same name without regard to case, outer space and what
/// nobody sees.
fn find_named(names: &[String], column: &str) -> Option<usize> {
    let same = |name: &String| same_name(name, column);
    names.iter().position(|name| name == column).or_else(|| names.iter().position(same))
}
