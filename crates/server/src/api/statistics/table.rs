//! An answer as a table: the same columns, order and numbers in JSON and CSV.

use std::cmp::Ordering;
use std::collections::HashMap;

use muster_core::PrincipalId;
use muster_core::stats::{Dimension, Group, Rows, Spans, Times, Value};
use muster_store::Answer;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::api::statistics::query::Wanted;
use crate::http::problem::Problem;

type CountOf = fn(&Group) -> u64;
type TimesOf = fn(&Spans) -> &Times;
/// Microseconds.
type FigureOf = fn(&Times) -> Option<f64>;

const COUNTS: [(&str, CountOf); 8] = [
    ("total", Group::total),
    ("succeeded", |group| group.ended[0]),
    ("failed", |group| group.ended[1]),
    ("cancelled", |group| group.ended[2]),
    ("active", Group::active),
    ("inputs", |group| group.inputs),
    ("failed_inputs", |group| group.failed),
    ("cache_hits", |group| group.cached),
];

const TIMES: [(&str, TimesOf); 3] = [
    ("job_seconds", |spans| &spans.job),
    ("total_seconds", |spans| &spans.total),
    ("waiting_seconds", |spans| &spans.waiting),
];

const FIGURES: [(&str, FigureOf); 7] = [
    ("total", |times| some(times, times.sum as f64)),
    ("max", |times| some(times, times.max as f64)),
    ("min", |times| some(times, times.min as f64)),
    ("avg", |times| some(times, times.sum as f64 / times.count as f64)),
    ("p50", |times| times.percentile(50)),
    ("p95", |times| times.percentile(95)),
    ("p99", |times| times.percentile(99)),
];

/// Nothing if there was nothing to measure.
fn some(times: &Times, micros: f64) -> Option<f64> {
    (times.count > 0).then_some(micros)
}

/// A column of the table.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// What the row is of, by place.
    Of(usize),
    /// The name of the user at this place.
    Name(usize),
    Count(CountOf),
    Seconds(TimesOf, FigureOf),
}

/// What stands in a column of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Empty,
    Text(String),
    Count(u64),
    Seconds(f64),
}

impl Column {
    /// All columns of an answer that is grouped by these.
    pub fn of(groups: &[Dimension]) -> Vec<Self> {
        let mut columns = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            columns.push(Self { name: group.name().to_owned(), kind: Kind::Of(place) });
            if *group == Dimension::User {
                columns.push(Self { name: "user_name".to_owned(), kind: Kind::Name(place) });
            }
        }
        for (name, count) in COUNTS {
            columns.push(Self { name: name.to_owned(), kind: Kind::Count(count) });
        }
        for (of, times) in TIMES {
            for (figure, value) in FIGURES {
                let name = format!("{of}_{figure}");
                columns.push(Self { name, kind: Kind::Seconds(times, value) });
            }
        }
        columns
    }
}

/// A column to sort by.
#[derive(Clone, Debug)]
pub struct Sort {
    column: Kind,
    descending: bool,
}

impl Sort {
    /// `total`, or `-total` for the most first.
    pub fn read(text: &str, columns: &[Column]) -> Result<Self, Problem> {
        let (name, descending) = match text.strip_prefix('-') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let sortable = columns.iter().filter(|column| !matches!(column.kind, Kind::Name(_)));
        let found = sortable.clone().find(|column| column.name == name);
        found.map(|column| Self { column: column.kind, descending }).ok_or_else(|| {
            let names: Vec<&str> = sortable.map(|column| column.name.as_str()).collect();
            let detail =
                format!("Sort by one of these, with - for descending: {}.", names.join(", "));
            Problem::parameter("sort", detail)
        })
    }
}

/// Rows in the order that was asked for.
pub struct Table {
    pub columns: Vec<Column>,
    rows: Rows,
    pub total: Group,
    pub names: HashMap<PrincipalId, String>,
}

impl Table {
    pub fn new(answer: Answer, wanted: &Wanted) -> Self {
        let Answer { rows, total } = answer;
        let columns = Column::of(&wanted.query.group_by);
        // The rows come in the order of their values, and stay so where the keys are equal.
        let keys = |(values, group): &(Vec<Value>, Group)| -> Vec<Key> {
            wanted.sort.iter().map(|sort| Key::of(sort.column, values, group)).collect()
        };
        let mut keyed: Vec<_> = rows.into_iter().map(|row| (keys(&row), row)).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let pairs = a.iter().zip(b).zip(&wanted.sort);
            pairs
                .map(|((a, b), sort)| a.order(b, sort.descending))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        let rows = keyed.into_iter().map(|(_, row)| row).collect();
        Self { columns, rows, total, names: HashMap::new() }
    }

    /// Leaves only the rows of the page; where the next one begins, if there is one.
    pub fn page(&mut self, wanted: &Wanted) -> Result<Option<String>, Problem> {
        if let Some(after) = &wanted.after {
            let texts =
                |values: &[Value]| values.iter().map(Value::to_string).eq(after.iter().cloned());
            let at = self.rows.iter().position(|(values, _)| texts(values));
            let gone =
                || Problem::parameter("after", "There is no such row: this is `next` of a page.");
            self.rows.drain(..=at.ok_or_else(gone)?);
        }
        let more = self.rows.len() > wanted.limit;
        self.rows.truncate(wanted.limit);
        let last = self.rows.last().filter(|_| more);
        Ok(last.map(|(values, _)| {
            let texts: Vec<String> = values.iter().map(Value::to_string).collect();
            serde_json::to_string(&texts).unwrap_or_default()
        }))
    }

    /// The users whose names are shown.
    pub fn users(&self) -> Vec<PrincipalId> {
        let names = self.columns.iter().filter_map(|column| match column.kind {
            Kind::Name(place) => Some(place),
            _ => None,
        });
        let at = |place| {
            self.rows.iter().filter_map(move |(values, _)| match values.get(place) {
                Some(Value::Person(Some(id))) => Some(*id),
                _ => None,
            })
        };
        names.flat_map(at).collect()
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn row(&self, at: usize) -> Row<'_> {
        let (values, group) = &self.rows[at];
        Row { table: self, values: Some(values), group, times: group.times() }
    }

    /// All groups together.
    pub fn totals(&self) -> Row<'_> {
        Row { table: self, values: None, group: &self.total, times: self.total.times() }
    }
}

/// What a row is sorted by.
enum Key {
    Value(Option<Value>),
    Number(Option<f64>),
}

impl Key {
    fn of(kind: Kind, values: &[Value], group: &Group) -> Self {
        match kind {
            Kind::Of(place) | Kind::Name(place) => Self::Value(values.get(place).cloned()),
            Kind::Count(count) => Self::Number(Some(count(group) as f64)),
            Kind::Seconds(times, figure) => Self::Number(figure(times(&group.times()))),
        }
    }

    /// What has no number comes last in any case.
    fn order(&self, other: &Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Number(None), Self::Number(None)) => return Ordering::Equal,
            (Self::Number(None), _) => return Ordering::Greater,
            (_, Self::Number(None)) => return Ordering::Less,
            (Self::Number(Some(a)), Self::Number(Some(b))) => a.total_cmp(b),
            (Self::Value(a), Self::Value(b)) => a.cmp(b),
            _ => Ordering::Equal,
        };
        if descending { order.reverse() } else { order }
    }
}

/// A row, or all of them together.
pub struct Row<'t> {
    table: &'t Table,
    values: Option<&'t Vec<Value>>,
    group: &'t Group,
    times: Spans,
}

impl Row<'_> {
    pub fn cells(&self) -> impl Iterator<Item = (&str, Cell)> {
        self.table.columns.iter().map(|column| (column.name.as_str(), self.cell(column.kind)))
    }

    fn cell(&self, kind: Kind) -> Cell {
        let value = |place: usize| self.values.and_then(|values| values.get(place));
        match kind {
            Kind::Of(place) => match value(place) {
                None | Some(Value::Person(None)) => Cell::Empty,
                Some(value) => Cell::Text(value.to_string()),
            },
            Kind::Name(place) => match value(place) {
                Some(Value::Person(Some(id))) => {
                    self.table.names.get(id).map_or(Cell::Empty, |name| Cell::Text(name.clone()))
                }
                _ => Cell::Empty,
            },
            Kind::Count(count) => Cell::Count(count(self.group)),
            Kind::Seconds(times, figure) => {
                let micros = figure(times(&self.times));
                micros.map_or(Cell::Empty, |micros| Cell::Seconds(micros / 1e6))
            }
        }
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.table.columns.len()))?;
        for (name, cell) in self.cells() {
            match cell {
                Cell::Empty => map.serialize_entry(name, &())?,
                Cell::Text(text) => map.serialize_entry(name, &text)?,
                Cell::Count(count) => map.serialize_entry(name, &count)?,
                Cell::Seconds(seconds) => map.serialize_entry(name, &seconds)?,
            }
        }
        map.end()
    }
}
