//! Numbers as bytes: seven bits a byte, the lowest first.

/// What was read is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored statistics cannot be read")]
pub struct Corrupt;

pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn take(bytes: &mut &[u8]) -> Result<u64, Corrupt> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Corrupt)?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if *byte < 128 {
            return Ok(number);
        }
    }
    Err(Corrupt)
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put(out, text.len() as u64);
    out.extend_from_slice(text);
}

pub(super) fn take_text<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], Corrupt> {
    let length = usize::try_from(take(bytes)?).map_err(|_| Corrupt)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(Corrupt)?;
    *bytes = rest;
    Ok(text)
}

/// Adds to a number that was read.
pub(super) fn grow(number: &mut u64, by: u64) -> Result<(), Corrupt> {
    *number = number.checked_add(by).ok_or(Corrupt)?;
    Ok(())
}
