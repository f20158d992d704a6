//! Many rows in one statement. They travel as JSON in one bound text: a statement for each row would
//! cost a trip to the database's thread or process for each, which is most of what a small request
//! costs. The statements are in `dialect.rs`.

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::Error;

/// Longest text of one statement, except for a single row that is longer.
const LONGEST: usize = 1 << 20;

/// JSON arrays with all `rows`, in their order.
pub(crate) fn texts<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    let mut text = Vec::new();
    let mut close = |text: &mut Vec<u8>| {
        text.push(b']');
        let text = String::from_utf8(std::mem::take(text));
        texts.push(text.map_err(|e| Error::Refused(e.to_string()))?);
        Ok::<(), Error>(())
    };
    for row in rows {
        text.push(if text.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut text, &row).map_err(|e| Error::Refused(e.to_string()))?;
        if text.len() >= LONGEST {
            close(&mut text)?;
        }
    }
    if !text.is_empty() {
        close(&mut text)?;
    }
    Ok(texts)
}

/// Bytes as hex digits, for `unhex` and `decode`.
pub(crate) struct Hex<'b>(pub &'b [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = String::with_capacity(self.0.len() * 2);
        for byte in self.0 {
            digits.push(char::from(DIGITS[usize::from(byte >> 4)]));
            digits.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        to.serialize_str(&digits)
    }
}

/// An id as 32 hex digits.
pub(crate) fn id<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
    Hex(id.as_bytes()).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_texts_of_bounded_length() {
        let row = "x".repeat(LONGEST / 2);
        let all = texts([&row, &row, &row]).expect("texts");
        let read = |text: &String| serde_json::from_str::<Vec<String>>(text).expect("an array");
        assert_eq!(all.iter().map(|text| read(text).len()).collect::<Vec<_>>(), [2, 1]);
        assert!(texts::<u8>([]).expect("texts").is_empty());
    }

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(texts([Hex(&[0, 171, 255])]).expect("texts"), ["[\"00abff\"]"]);
    }
}
