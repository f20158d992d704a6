//! What may be submitted.

use std::borrow::Cow;

use crate::model::InputColumn;

/// Most a person may submit in one request. Configurable; the defaults are in `docs/API.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputLimits {
    pub inputs: u64,
    pub body_bytes: u64,
    pub input_bytes: usize,
}

impl Default for InputLimits {
    fn default() -> Self {
        Self { inputs: 100_000, body_bytes: 64 << 20, input_bytes: 64 << 10 }
    }
}

/// Many texts in two allocations: a request may have a million inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Length of all texts together, bytes.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    pub fn get(&self, n: usize) -> Option<&str> {
        let end = *self.ends.get(n)?;
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        self.text.get(start..end)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|n| self.get(n))
    }
}

impl<'t> FromIterator<&'t str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'t str>>(texts: I) -> Self {
        let mut all = Self::default();
        for text in texts {
            all.push(text);
        }
        all
    }
}

/// The inputs of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputTable {
    pub inputs: Texts,
    /// Each input's whole line as one CSV record without its line end, when the person's file has
    /// more columns than the input.
    pub records: Option<Texts>,
}

/// Why one input is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    #[error("it is empty")]
    Empty,
    #[error("it contains a NUL character")]
    Nul,
    #[error("it is {bytes} bytes long; the limit is {limit}")]
    TooLong { bytes: usize, limit: usize },
}

impl InputLimits {
    pub fn check(&self, input: &str) -> Result<(), BadInput> {
        if input.trim_ascii().is_empty() {
            return Err(BadInput::Empty);
        }
        if input.len() > self.input_bytes {
            return Err(BadInput::TooLong { bytes: input.len(), limit: self.input_bytes });
        }
        check_text(input)
    }
}

/// The rule for every text that is stored: no NUL, because PostgreSQL cannot hold one.
pub fn check_text(text: &str) -> Result<(), BadInput> {
    if text.as_bytes().contains(&0) { Err(BadInput::Nul) } else { Ok(()) }
}

/// Is it the same name for whoever reads it? Case, space around it and characters that nobody sees do
/// not count.
pub fn same_name(one: &str, other: &str) -> bool {
    visible(one).trim().eq_ignore_ascii_case(visible(other).trim())
}

/// The text without characters of no width, such as exports of web pages leave them.
pub fn visible(text: &str) -> Cow<'_, str> {
    let unseen =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}');
    if text.is_ascii() || !text.contains(unseen) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|c| !unseen(*c)).collect())
}

/// Which of a file's header names is the model's input: its name, another name the model lists,
/// or plain `input`, without regard to case.
pub fn find_column(headers: &[String], input: &InputColumn) -> Option<usize> {
    let is = |header: &String, name: &str| same_name(header, name);
    let names = std::iter::once(&input.name).chain(&input.also).map(String::as_str);
    names.chain(["input"]).find_map(|name| headers.iter().position(|header| is(header, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_inputs_are_refused_with_a_reason() {
        let limits = InputLimits { input_bytes: 4, ..InputLimits::default() };
        assert_eq!(limits.check("CCO"), Ok(()));
        assert_eq!(limits.check(" "), Err(BadInput::Empty));
        assert_eq!(limits.check("a\0"), Err(BadInput::Nul));
        assert_eq!(limits.check("CCCCC"), Err(BadInput::TooLong { bytes: 5, limit: 4 }));
    }

    #[test]
    fn the_models_own_column_name_wins() {
        let input = InputColumn {
            name: "smiles".into(),
            also: vec!["canonical_smiles".into()],
            ..InputColumn::default()
        };
        let headers = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        assert_eq!(find_column(&headers(&["input", "SMILES"]), &input), Some(1));
        assert_eq!(find_column(&headers(&["name", "Canonical_SMILES"]), &input), Some(1));
        assert_eq!(find_column(&headers(&["name", "Input"]), &input), Some(1));
        assert_eq!(find_column(&headers(&["name", "\u{200b}smiles\u{a0}"]), &input), Some(1));
        assert_eq!(find_column(&headers(&["name", "x"]), &input), None);
    }
}
