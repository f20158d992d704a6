//! Texts as statements take them. Trap T9: PostgreSQL cannot hold a NUL character in a text, SQLite can. Here both answer the same.

use muster_core::input::check_text;
use serde::Serialize;

use crate::Error;

/// A text that identifies something is stored as it is or not at all.
pub(crate) fn exact(text: &str) -> Result<&str, Error> {
    check_text(text).map_err(|error| Error::Refused(error.to_string()))?;
    Ok(text)
}

/// Words for people: the replacement character says that a NUL was there.
pub(crate) fn words(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Texts as a JSON array; nothing if any will do.
pub(crate) fn one_of<T: Serialize>(texts: &[T]) -> Option<String> {
    if texts.is_empty() { None } else { serde_json::to_string(texts).ok() }
}

/// For `LIKE`: the text anywhere, as it is.
pub(crate) fn pattern(text: &str) -> String {
    let escaped = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}
