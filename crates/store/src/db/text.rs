//! Trap T9: PostgreSQL cannot hold a NUL character in a text, SQLite can. Here both answer the same.

use muster_core::input::check_text;

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
