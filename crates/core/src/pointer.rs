//! JSON pointers (RFC 6901).

/// A member's name as it stands in a pointer.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_pointer() {
        for name in ["a", "muster.dev/hub", "a~1b", "~/~0", ""] {
            let object = serde_json::json!({ name: 7 });
            let pointer = format!("/{}", escaped(name));
            assert_eq!(object.pointer(&pointer).and_then(|it| it.as_u64()), Some(7), "{name}");
        }
    }
}
