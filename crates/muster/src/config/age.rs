//! Lengths of time as people write them: `7d`, `12h`, `30min`, `90s`.

use std::time::Duration;

/// In the order they are tried: `min` before anything that ends like it.
const UNITS: [(&str, u64); 4] = [("min", 60), ("d", 86_400), ("h", 3600), ("s", 1)];
/// A hundred years: what is longer is a mistake.
const LONGEST: u64 = 36_500 * 86_400;

pub const MUST_BE: &str = "a length of time such as 7d, 12h, 30min or 90s, or 0 for never";

/// How long; `Some(None)` for `0`, which is never.
pub fn read(text: &str) -> Option<Option<Duration>> {
    if text.trim() == "0" {
        return Some(None);
    }
    let found = UNITS.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.trim().strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(*seconds)
    });
    let seconds = found.filter(|seconds| *seconds <= LONGEST)?;
    Some((seconds > 0).then(|| Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        let seconds = |text: &str| read(text).map(|age| age.map(|age| age.as_secs()));
        assert_eq!(seconds("7d"), Some(Some(604_800)));
        assert_eq!(seconds("12h"), Some(Some(43_200)));
        assert_eq!(seconds("30 min"), Some(Some(1800)));
        assert_eq!(seconds(" 90s "), Some(Some(90)));
        assert_eq!((seconds("0"), seconds("0d")), (Some(None), Some(None)));
        for wrong in ["", "7", "d", "-1d", "1.5d", "7 days", "1w", "36501d", "99999999999999999d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
