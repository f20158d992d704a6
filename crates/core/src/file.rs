//! What a file is, by how it begins: which character separates its cells, and is it a table at all?

/// What may separate cells, the usual one first.
pub const SEPARATORS: [u8; 4] = *b",;\t|";
/// Lines that are looked at.
const LINES: usize = 50;

/// How the cells of a file are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised {
    pub separator: u8,
    /// Bytes of a first line such as `sep=;`, by which spreadsheets say it themselves. It is no row.
    pub said_in: usize,
    /// The first line, cut by it, names the input.
    pub below_header: bool,
}

/// A separator as people name it: itself, or its name.
pub fn separator(text: &str) -> Option<u8> {
    match text.to_ascii_lowercase().as_str() {
        "comma" => Some(b','),
        "semicolon" => Some(b';'),
        "tab" | "\\t" => Some(b'\t'),
        "pipe" => Some(b'|'),
        "space" => Some(b' '),
        _ => match text.as_bytes() {
            [byte] if may_separate(*byte) => Some(*byte),
            _ => None,
        },
    }
}

fn may_separate(byte: u8) -> bool {
    byte == b'\t'
        || (byte.is_ascii() && !byte.is_ascii_control() && !b"\"'".contains(&byte))
            && !byte.is_ascii_alphanumeric()
}

/// The separator of a file that begins so. `whole`: there is no more of it. `is_header`: is one of
/// these the name of the input?
///
/// It is the one below which the first line names the input; else the comma, if it cuts the lines; else
/// one that cuts all lines into equally many cells. A file that none of them cuts has one column.
pub fn recognise(head: &str, whole: bool, is_header: impl Fn(&[String]) -> bool) -> Recognised {
    if let Some((separator, said_in)) = said(head, whole) {
        return Recognised { separator, said_in, below_header: false };
    }
    let lines = lines(head, whole);
    let named = below_a_header(head, &lines, is_header);
    let separator = named.unwrap_or_else(|| by_widths(&lines));
    Recognised { separator, said_in: 0, below_header: named.is_some() }
}

/// A first line `sep=;`.
fn said(head: &str, whole: bool) -> Option<(u8, usize)> {
    let end = head.find(['\n', '\r']).or(whole.then_some(head.len()))?;
    let line = &head[..end];
    let bare = line.trim_start_matches('\u{feff}').trim_matches('"');
    let name = bare.get(..4).filter(|name| name.eq_ignore_ascii_case("sep="))?;
    let &[separator] = &bare.as_bytes()[name.len()..] else { return None };
    let after = if head[end..].starts_with("\r\n") { 2 } else { 1 };
    may_separate(separator).then_some((separator, (end + after).min(head.len())))
}

/// A line: where it is, and how many cells each separator cuts it into.
struct Line {
    start: usize,
    end: usize,
    cells: [usize; SEPARATORS.len()],
}

/// The first lines that are not blank. A line end inside quotes ends none.
fn lines(head: &str, whole: bool) -> Vec<Line> {
    let bytes = head.as_bytes();
    let mut lines: Vec<Line> = Vec::new();
    let (mut line, mut quoted, mut at) = (Line { start: 0, end: 0, cells: [1; 4] }, false, 0);
    let mut is_start = true;
    while at < bytes.len() && lines.len() < LINES {
        let byte = bytes[at];
        let separator = SEPARATORS.iter().position(|separator| *separator == byte);
        match byte {
            b'"' if quoted && bytes.get(at + 1) == Some(&b'"') => at += 1,
            b'"' if quoted => quoted = false,
            b'"' if is_start => quoted = true,
            b'\n' | b'\r' if !quoted => {
                line.end = at;
                let next = Line { start: at + 1, end: at + 1, cells: [1; 4] };
                let done = std::mem::replace(&mut line, next);
                if !head[done.start..done.end].trim().is_empty() {
                    lines.push(done);
                }
            }
            _ => {
                if let Some(n) = separator.filter(|_| !quoted) {
                    line.cells[n] += 1;
                }
            }
        }
        is_start = !quoted && (separator.is_some() || matches!(byte, b'\n' | b'\r'));
        at += 1;
    }
    line.end = bytes.len().max(line.start);
    // The last line may go on.
    if (whole || lines.is_empty()) && !head[line.start..].trim().is_empty() && lines.len() < LINES {
        lines.push(line);
    }
    lines
}

fn below_a_header(head: &str, lines: &[Line], is_header: impl Fn(&[String]) -> bool) -> Option<u8> {
    let first = lines.first()?;
    let text = &head[first.start..first.end];
    let cells = |separator: u8| {
        let cells = text.split(char::from(separator));
        cells.map(|cell| cell.trim().trim_matches('"').to_owned()).collect::<Vec<String>>()
    };
    let cuts = |n: &usize| first.cells[*n] > 1;
    let found = (0..SEPARATORS.len()).filter(cuts).find(|n| is_header(&cells(SEPARATORS[*n])));
    found.map(|n| SEPARATORS[n])
}

fn by_widths(lines: &[Line]) -> u8 {
    let Some(first) = lines.first() else { return SEPARATORS[0] };
    let even = |n: usize| first.cells[n] > 1 && lines.iter().all(|l| l.cells[n] == first.cells[n]);
    if even(0) {
        return SEPARATORS[0];
    }
    let widest = (1..SEPARATORS.len()).filter(|n| even(*n)).rev().max_by_key(|n| first.cells[*n]);
    SEPARATORS[widest.unwrap_or(0)]
}

/// What a text is that is no table and no list of inputs, as it is called in a message.
/// `takes_fasta`: the model's input is such a text.
pub fn other_kind(head: &str, takes_fasta: bool) -> Option<&'static str> {
    let text = head.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    let low: String = text.chars().take(200).collect::<String>().to_ascii_lowercase();
    let after = |mark: char| text.strip_prefix(mark).map(str::trim_start);
    if ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| low.starts_with(tag)) {
        return Some("an HTML page, perhaps of a login");
    }
    if low.starts_with("<?xml") || low.starts_with("<!doctype") || low.starts_with("<svg") {
        return Some("an XML document");
    }
    if low.starts_with("{\\rtf") {
        return Some("an RTF document");
    }
    // SMILES begin with `[` too, but not with `["`.
    let is_json = after('{').is_some_and(|rest| rest.starts_with(['"', '}']))
        || after('[').is_some_and(|rest| rest.starts_with(['"', '{']));
    if is_json {
        return Some("JSON");
    }
    let mut lines = head.lines().map(str::trim_end);
    if lines.clone().take(4).any(|l| l.ends_with(" V2000") || l.ends_with(" V3000"))
        || lines.clone().any(|line| line == "M  END" || line == "$$$$")
    {
        return Some("an SD or MOL file");
    }
    if lines.clone().any(|line| line == "@<TRIPOS>MOLECULE") {
        return Some("a MOL2 file");
    }
    let is_pdb = |l: &str| l.starts_with("ATOM  ") || l.starts_with("HETATM") && l.len() > 50;
    if low.starts_with("header    ") && lines.clone().nth(1).is_some_and(|l| l.len() > 20)
        || lines.clone().take(2).all(is_pdb) && lines.clone().next().is_some()
    {
        return Some("a PDB file");
    }
    let is_sequence = |line: &str| {
        line.len() > 1 && line.bytes().all(|b| b.is_ascii_alphabetic() || b"*-".contains(&b))
    };
    let is_fasta = text.starts_with('>')
        && lines.find(|line| line.starts_with('>')).is_some_and(|line| line.len() > 1)
        && lines.next().is_some_and(is_sequence);
    (is_fasta && !takes_fasta).then_some("a FASTA file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> char {
        let is_header = |names: &[String]| names.iter().any(|name| name == "smiles");
        char::from(recognise(text, true, is_header).separator)
    }

    #[test]
    fn the_separator_is_that_below_which_the_header_names_the_input() {
        assert_eq!(of("name,smiles\nethanol,CCO\n"), ',');
        assert_eq!(of("name;smiles;mass\nethanol;CCO;46,07\nx;C\n"), ';');
        assert_eq!(of("name;\"smiles\"\r\n\"a;b\";CCO\r\n"), ';');
        assert_eq!(of("name\tsmiles\nethanol, pure\tCCO\n"), '\t');
        assert_eq!(of("id|smiles|a;b\n1|CCO|x\n"), '|');
        assert_eq!(of("a;b,smiles\n1;2,C\n"), ',');
    }

    #[test]
    fn without_such_a_header_it_cuts_all_lines_into_equally_many_cells() {
        assert_eq!(of("CCO;ethanol\nC;methane\n"), ';');
        assert_eq!(of("CCO\tethanol\nC\tmethane, pure\n"), '\t');
        assert_eq!(of("1,2;3\n4,5;6\n"), ',');
        assert_eq!(of("1,2;3\n4;6\n"), ';');
        // One column: what stands in it separates nothing.
        for one in ["text\nHello; you\n", "CCO\nC;C\n", "a\n", "", "\n\n", "\"a;b\"\n\"c;d\"\n"] {
            assert_eq!(of(one), ',', "{one:?}");
        }
        // A last line that goes on somewhere is not looked at.
        let cut = recognise("a;b\nc;d\ne", false, |_| false);
        assert_eq!(cut.separator, b';');
    }

    #[test]
    fn a_file_may_say_its_separator_itself() {
        let said = |text| {
            let found = recognise(text, true, |_| false);
            (char::from(found.separator), found.said_in)
        };
        assert_eq!(said("sep=;\na;b\n"), (';', 6));
        assert_eq!(said("\u{feff}SEP=\t\r\na\tb\r\n"), ('\t', 10));
        assert_eq!(said("\"sep=,\"\na;b\n"), (',', 8));
        assert_eq!(said("sep=;"), (';', 5), "it is no row");
        for other in ["sep=\na\n", "sep=ab\n", "sep=x\n", "separator\n"] {
            assert_eq!(said(other), (',', 0), "{other:?}");
        }
    }

    #[test]
    fn separators_have_names() {
        for (text, byte) in
            [("tab", b'\t'), ("\t", b'\t'), (";", b';'), ("Comma", b','), ("|", b'|')]
        {
            assert_eq!(separator(text), Some(byte), "{text:?}");
        }
        for other in ["", "a", "\"", "\n", ";;", "\u{e9}", "7"] {
            assert_eq!(separator(other), None, "{other:?}");
        }
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        let sd = "ethanol\n  demo\n\n  3  2  0  0  0  0  0  0  0  0999 V2000\n";
        for (text, kind) in [
            (" \n<!DOCTYPE html>\n<html>", "HTML"),
            ("<HTML><body>", "HTML"),
            ("<?xml version='1.0'?>", "XML"),
            ("{\\rtf1\\ansi", "RTF"),
            ("{ \"inputs\": []}", "JSON"),
            ("[\"CCO\"]", "JSON"),
            (sd, "SD"),
            ("x\n\n\n$$$$\n", "SD"),
            ("@<TRIPOS>MOLECULE\n", "MOL2"),
            (">seq1 human\nMKV\nLLT\n", "FASTA"),
        ] {
            let found = other_kind(text, false);
            assert!(found.is_some_and(|found| found.contains(kind)), "{text:?}: {found:?}");
        }
        for table in [
            "",
            "smiles\nCCO\n",
            "[Na+].[Cl-]\n",
            "[13C]\n",
            "<5 mg\n",
            "> hello\nyou there\n",
            "a < b\n",
            "{x}\n",
            "M\nEND\n",
        ] {
            assert_eq!(other_kind(table, false), None, "{table:?}");
        }
        assert_eq!(other_kind(">seq1\nMKV\n", true), None);
    }
}
