//! Is it text, and is the text UTF-8?

use crate::http::problem::{Kind, Problem};

/// Checks text that comes in pieces: keeps the first bytes of a character until the rest is there.
#[derive(Clone, Debug, Default)]
pub struct Utf8 {
    kept: [u8; 4],
    len: usize,
}

/// One character.
#[derive(Clone, Copy, Debug)]
pub struct Char([u8; 4], usize);

impl Char {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[..self.1]).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8;

impl Utf8 {
    pub fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// Completes a kept character with the first bytes of `piece`. Gives the character, if it is
    /// complete now, and the rest of the piece; nothing if none is kept or the piece is too short.
    pub fn complete<'p>(&mut self, piece: &'p [u8]) -> Option<(Result<Char, NotUtf8>, &'p [u8])> {
        if self.len == 0 {
            return None;
        }
        for (n, byte) in piece.iter().enumerate() {
            // Four bytes are a character or an error, so there is space.
            self.kept[self.len] = *byte;
            self.len += 1;
            match std::str::from_utf8(&self.kept[..self.len]) {
                Ok(_) => {
                    let char = Char(self.kept, self.len);
                    self.len = 0;
                    return Some((Ok(char), &piece[n + 1..]));
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Some((Err(NotUtf8), &piece[n..])),
            }
        }
        None
    }

    /// The text of a piece and whether something that is not UTF-8 follows it. A character that
    /// the piece's end cuts is kept.
    pub fn split<'p>(&mut self, piece: &'p [u8]) -> (&'p str, bool) {
        if self.len > 0 {
            return ("", false);
        }
        let error = match std::str::from_utf8(piece) {
            Ok(text) => return (text, false),
            Err(error) => error,
        };
        let (valid, rest) = piece.split_at(error.valid_up_to());
        let valid = std::str::from_utf8(valid).unwrap_or_default();
        if error.error_len().is_some() {
            return (valid, true);
        }
        self.kept[..rest.len()].copy_from_slice(rest);
        self.len = rest.len();
        (valid, false)
    }
}

pub fn not_utf8(line: u64) -> Problem {
    let detail =
        format!("Line {line} has a byte that is not UTF-8. Save the file with the encoding UTF-8.");
    Problem::new(Kind::NotUtf8, detail).line(line)
}

/// Refuses what its first bytes show to be another kind of file.
pub fn check_is_text(head: &[u8]) -> Result<(), Problem> {
    let known: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", "a ZIP archive or an Excel workbook. Save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook. Save the sheet as CSV"),
        (b"\x1f\x8b", "compressed with gzip. Send it with `Content-Encoding: gzip`"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd. Send it with `Content-Encoding: zstd`"),
        (b"%PDF", "a PDF document. Send CSV"),
        (b"PAR1", "a Parquet file. Send CSV"),
        (b"\x89PNG", "a picture. Send CSV"),
        (b"\xff\xfe", "UTF-16 text. Save it with the encoding UTF-8"),
        (b"\xfe\xff", "UTF-16 text. Save it with the encoding UTF-8"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        let detail = format!("The file is {what}.");
        return Err(Problem::new(Kind::BinaryFile, detail));
    }
    let control = |b: &&u8| **b < 0x20 && !matches!(**b, b'\t' | b'\n' | b'\r' | 0x0c);
    let found = head.iter().filter(control).count();
    if found > 1 && found * 10 > head.len() {
        let detail = "The file is not text: it is full of control characters. Send CSV in UTF-8.";
        return Err(Problem::new(Kind::BinaryFile, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_kinds_of_files_are_recognised() {
        for file in
            [b"PK\x03\x04..".as_slice(), b"\x1f\x8b\x08", b"\xff\xfea\0", b"a\0b\0", b"\x01\x02"]
        {
            let problem = check_is_text(file).expect_err("not text");
            assert_eq!(problem.kind, Kind::BinaryFile, "{file:?}");
        }
        assert_eq!(check_is_text(b""), Ok(()));
        assert_eq!(check_is_text("smiles\nCCO\n\u{e9}\n".as_bytes()), Ok(()));
    }

    #[test]
    fn a_character_may_be_cut_anywhere() {
        let text = "a\u{e9}\u{1f600}z".as_bytes();
        for cut in 0..=text.len() {
            let mut utf8 = Utf8::default();
            let mut read = utf8.split(&text[..cut]).0.to_owned();
            let mut rest = &text[cut..];
            while let Some((char, left)) = utf8.complete(rest) {
                read.push_str(char.expect("UTF-8").as_str());
                rest = left;
            }
            read.push_str(utf8.split(rest).0);
            assert_eq!(read.as_bytes(), text, "cut at {cut}");
        }
    }
}
