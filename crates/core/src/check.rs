//! What a hub stands on: what was looked at, and what was found.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    Good,
    /// It works, and could be better.
    Note,
    Broken,
}

impl CheckState {
    /// The word for it in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Broken => "broken",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub name: String,
    pub state: CheckState,
    pub what: String,
}

impl Check {
    /// What the check of the database is called.
    pub const DATABASE: &str = "database";

    pub fn new(name: &str, state: CheckState, what: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state, what: what.into() }
    }
}
