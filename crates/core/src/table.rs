//! Columns and rows of a result.

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

/// A column as the model declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
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
