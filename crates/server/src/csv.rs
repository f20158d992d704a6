//! CSV as people download it: RFC 4180, and no text that a spreadsheet would run as a formula.

/// A text of a cell; what a spreadsheet would run as a formula is marked as text (I-56).
pub fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) { format!("'{text}") } else { text }
}

pub fn line(out: &mut Vec<u8>, cells: impl Iterator<Item = String>) {
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        if cell.contains([',', '"', '\r', '\n']) {
            out.push(b'"');
            out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(cell.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_two_cells() {
        let mut out = Vec::new();
        let cells = ["=1+1", "a,b", "say \"x\"", "-2", "plain"];
        line(&mut out, cells.into_iter().map(|cell| harmless(cell.into())));
        let text = String::from_utf8_lossy(&out);
        assert_eq!(text, "'=1+1,\"a,b\",\"say \"\"x\"\"\",'-2,plain\r\n");
    }
}
