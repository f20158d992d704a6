//! Columns and rows of a result.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    Integer,
    Float,
    String,
}

impl ColumnKind {
    /// The narrowest kind that holds values of both.
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Integer | Self::Float, Self::Integer | Self::Float) => Self::Float,
            _ => Self::String,
        }
    }
}

/// At which end of its values what a column stands for is strong: an affinity's `Low`, a probability's `High`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    High,
    Low,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::High, Self::Low];

    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
        }
    }
}

/// A column as the model declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `g/mol`; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

impl Column {
    /// One of which nothing more is known.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        let (description, unit) = (String::new(), String::new());
        Self { name: name.into(), kind, description, unit, direction: None }
    }
}

/// One value. Models answer `""`, NaN and infinities as [`Cell::Null`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    Null,
    Integer(i64),
    Float(f64),
    Text(String),
}

/// What says in a result why an input has no prediction.
const ERROR: &str = "error";

/// The names of a result's columns: each once, for no format can have one twice. A person's own
/// columns keep theirs; of what is added, a name that is taken gets a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultNames {
    /// Of the model's columns, in their order.
    pub model: Vec<String>,
    /// If some inputs failed.
    pub error: Option<String>,
}

impl ResultNames {
    /// `failed`: some inputs have no prediction.
    pub fn new<'n>(own: &[String], model: impl IntoIterator<Item = &'n str>, failed: bool) -> Self {
        let mut taken: HashSet<String> = own.iter().cloned().collect();
        let mut free = |name: &str| {
            let mut all =
                std::iter::once(name.to_owned()).chain((2..).map(|n: u32| format!("{name}_{n}")));
            all.find(|name| taken.insert(name.clone())).unwrap_or_default()
        };
        let error = failed.then(|| free(ERROR));
        Self { model: model.into_iter().map(free).collect(), error }
    }
}

/// What a model said of one input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// One cell for each column of the part.
    Values(Vec<Cell>),
    /// The model could not do this input, and says why.
    Error(String),
}

/// The rows of one task, in the order of its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Name and kind of the model's columns; empty when every row is an error.
    pub columns: Vec<(String, ColumnKind)>,
    pub rows: Vec<Row>,
}

impl Part {
    /// How many inputs have no prediction.
    pub fn failed(&self) -> u64 {
        self.rows.iter().filter(|row| matches!(row, Row::Error(_))).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_of_a_result_is_there_once_also_when_it_is_submitted_again() {
        let own = ["smiles", "error", "mw_2"].map(str::to_owned);
        let names = ResultNames::new(&own, ["mw", "mw_2", "error"], true);
        assert_eq!(names.model, ["mw", "mw_2_2", "error_3"]);
        assert_eq!(names.error.as_deref(), Some("error_2"));
        let all: Vec<String> = own.into_iter().chain(names.model).chain(names.error).collect();
        let again = ResultNames::new(&all, ["mw", "mw_2"], true);
        assert_eq!(again.model, ["mw_3", "mw_2_3"]);
        assert_eq!(again.error.as_deref(), Some("error_4"));
        assert_eq!(ResultNames::new(&all[..1], ["mw"], false).error, None);
    }
}
