//! Paths of the API.

use std::fmt::Write;

/// An id as a segment of a path.
pub fn segment(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    id.bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(byte as char);
        } else {
            // Writing to a string cannot fail.
            write!(text, "%{byte:02X}").unwrap_or_default();
        }
        text
    })
}

/// Adds a parameter, once for each of `values`.
pub fn parameter(path: &mut String, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
    for value in values {
        let mark = if path.contains('?') { '&' } else { '?' };
        *path = format!("{path}{mark}{name}={}", segment(value.as_ref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_a_path() {
        assert_eq!(segment("rdkit-descriptors_1.0"), "rdkit-descriptors_1.0");
        assert_eq!(segment("a/../b?c ä"), "a%2F..%2Fb%3Fc%20%C3%A4");
    }

    #[test]
    fn parameters_follow_each_other() {
        let mut path = "/x".to_owned();
        parameter(&mut path, "a", Some("1&2"));
        parameter(&mut path, "b", None::<&str>);
        parameter(&mut path, "c", ["3", "4"]);
        assert_eq!(path, "/x?a=1%262&c=3&c=4");
    }
}
