//! Statistics of requests: what is counted, by which periods, and what a question needs to read.

mod bytes;
mod groups;
mod period;
mod query;
mod tally;
mod times;

use std::fmt;
use std::str::FromStr;

use crate::PhaseName;

pub use bytes::Corrupt;
pub use groups::{Group, Groups, OpenRequests, Person, Rows, StoredRow, Value};
pub use period::{Day, Grain};
pub use query::{By, Dimension, Query, Read, Source};
pub use tally::{Detail, EndedRequest, Figures, Slot, Spans, Tally};
pub use times::Times;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    Completed,
    Failed,
    Cancelled,
}

impl How {
    pub const ALL: [Self; 3] = [Self::Completed, Self::Failed, Self::Cancelled];

    pub const fn phase(self) -> PhaseName {
        match self {
            Self::Completed => PhaseName::Completed,
            Self::Failed => PhaseName::Failed,
            Self::Cancelled => PhaseName::Cancelled,
        }
    }
}

/// How somebody came to act: with an account or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthType {
    Account,
    Anonymous,
}

impl AuthType {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Anonymous => "anonymous",
        }
    }
}

impl FromStr for AuthType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Account, Self::Anonymous];
        all.into_iter().find(|auth| auth.name() == text).ok_or("this is account or anonymous")
    }
}

impl fmt::Display for AuthType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request's class by its number of inputs: 0 for 1, 1 for 2 to 10, 2 for 11 to 100, and so on.
pub fn size_class(inputs: u64) -> u8 {
    if inputs <= 1 { 0 } else { (inputs - 1).ilog10() as u8 + 1 }
}

/// The least and the most inputs of a class.
pub fn class_bounds(class: u8) -> (u64, u64) {
    let power = |n: u8| 10u64.saturating_pow(u32::from(n));
    if class == 0 { (1, 1) } else { (power(class - 1) + 1, power(class)) }
}

/// `1`, `2-10`, `11-100`, ..
pub fn class_name(class: u8) -> String {
    match class_bounds(class) {
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least}-{most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_touch_each_other() {
        for (inputs, name) in [
            (1, "1"),
            (2, "2-10"),
            (10, "2-10"),
            (11, "11-100"),
            (100, "11-100"),
            (101, "101-1000"),
        ] {
            assert_eq!(class_name(size_class(inputs)), name);
        }
        for class in 0..18 {
            let (least, most) = class_bounds(class);
            assert_eq!((size_class(least), size_class(most)), (class, class));
            assert_eq!(size_class(most + 1), class + 1);
        }
    }
}
