//! Parts of an answer: `Range` and `If-Range` (RFC 9110, 14), so that a download that broke off goes on
//! where it was.

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

/// The one range of bytes that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From this byte on, to that one with it.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Range {
    /// None as well if the answer is not what the client has the other part of. Several ranges, other
    /// units and what is not understood are passed over: then the whole is sent.
    pub fn asked(headers: &HeaderMap, tag: &str) -> Option<Self> {
        let mut given = headers.get_all(RANGE).iter();
        let (Some(range), None) = (given.next(), given.next()) else { return None };
        // A weak tag or a date is never the same.
        if headers.get(IF_RANGE).is_some_and(|had| had.as_bytes() != tag.as_bytes()) {
            return None;
        }
        let (unit, range) = range.to_str().ok()?.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if digits { text.parse().ok() } else { None }
        };
        match (first, last) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => number(first).map(|first| Self::From(first, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The first byte and how many, of so many; nothing if none of them is in the range.
    pub fn of(self, size: u64) -> Option<(u64, u64)> {
        let (first, end) = match self {
            Self::From(first, last) => {
                (first, last.map_or(size, |last| last.saturating_add(1).min(size)))
            }
            Self::Last(bytes) => (size.saturating_sub(bytes), size),
        };
        (first < end).then(|| (first, end - first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, if_range: Option<&str>) -> Option<Range> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().expect("a value"));
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, tag.parse().expect("a value"));
        }
        Range::asked(&headers, "\"a\"")
    }

    #[test]
    fn one_range_of_bytes_is_understood_and_all_else_is_the_whole() {
        assert_eq!(asked("bytes=5-", None), Some(Range::From(5, None)));
        assert_eq!(asked("Bytes=5-9", Some("\"a\"")), Some(Range::From(5, Some(9))));
        assert_eq!(asked("bytes=-3", None), Some(Range::Last(3)));
        for other in ["bytes=", "bytes=9-5", "bytes=1-2,4-5", "rows=1-2", "bytes=+1-2", "5-"] {
            assert_eq!(asked(other, None), None, "{other}");
        }
        for other in ["\"b\"", "W/\"a\"", "Fri, 27 Nov 2026 19:00:00 GMT"] {
            assert_eq!(asked("bytes=5-", Some(other)), None, "{other}");
        }
    }

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        assert_eq!(Range::From(0, None).of(10), Some((0, 10)));
        assert_eq!(Range::From(4, Some(5)).of(10), Some((4, 2)));
        assert_eq!(Range::From(4, Some(u64::MAX)).of(10), Some((4, 6)));
        assert_eq!(Range::Last(3).of(10), Some((7, 3)));
        assert_eq!(Range::Last(30).of(10), Some((0, 10)));
        assert_eq!(Range::From(10, None).of(10), None);
        assert_eq!(Range::Last(0).of(10), None);
    }
}
