//! Days, months and years of the UTC calendar.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, date};

use crate::Timestamp;

const DAY_MICROS: i64 = 86_400_000_000;

/// A day, as the number of days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i32);

/// How long the periods are that something is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grain {
    Day,
    Month,
    Year,
    /// All time; its one period begins with [`Day::FIRST`].
    Ever,
}

/// Whole periods of one length, from the one that begins with `from` to the one before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub grain: Grain,
    pub from: Day,
    pub until: Day,
}

impl Day {
    pub const FIRST: Self = Self(0);
    /// 2200-01-01: nothing is counted from here on.
    pub const END: Self = Self(84_006);

    /// The day a moment is in; moments outside of [`Day::FIRST`] to [`Day::END`] count for the nearest.
    pub fn of(at: Timestamp) -> Self {
        let day = at.micros().div_euclid(DAY_MICROS);
        Self(day.clamp(0, i64::from(Self::END.0) - 1) as i32)
    }

    /// Its first moment.
    pub fn begins(self) -> Timestamp {
        Timestamp(i64::from(self.0) * DAY_MICROS)
    }

    fn date(self) -> Date {
        date(1970, 1, 1).saturating_add(self.0.days())
    }

    /// Whole days since 1970, at most those between the first and last day of the calendar.
    fn from_date(date: Date) -> Self {
        let first = self::date(1970, 1, 1);
        Self(first.until(date).map_or(0, |span| span.get_days()))
    }

    /// The first day of its period.
    pub fn start(self, grain: Grain) -> Self {
        match grain {
            Grain::Day => self,
            Grain::Month => Self::from_date(self.date().first_of_month()),
            Grain::Year => Self::from_date(self.date().first_of_year()),
            Grain::Ever => Self::FIRST,
        }
    }

    /// The Monday of its week.
    pub fn monday(self) -> Self {
        // 1970-01-01 was a Thursday.
        Self(self.0 - (self.0 + 3).rem_euclid(7))
    }

    /// The first day of the period after its own.
    fn next(self, grain: Grain) -> Self {
        let last = match grain {
            Grain::Day => return self.tomorrow(),
            Grain::Month => self.date().last_of_month(),
            Grain::Year => self.date().last_of_year(),
            Grain::Ever => return Self::END,
        };
        Self::from_date(last).tomorrow()
    }

    pub fn tomorrow(self) -> Self {
        Self(self.0 + 1)
    }

    /// `2026-11`
    pub fn month_name(self) -> String {
        self.date().strftime("%Y-%m").to_string()
    }

    /// `2026-W48`, of ISO 8601
    pub fn week_name(self) -> String {
        self.date().strftime("%G-W%V").to_string()
    }
}

/// `2026-11-24`
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().fmt(f)
    }
}

impl FromStr for Day {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day: Option<Date> = if text.len() == 10 { text.parse().ok() } else { None };
        let day = day.map(Self::from_date).filter(|day| (Self::FIRST..Self::END).contains(day));
        day.ok_or("this is a day such as 2026-11-24, from 1970 to 2199")
    }
}

/// The days from `from` to the one before `until`, as few whole periods as there are, none longer than
/// `longest`.
pub fn runs(from: Day, until: Day, longest: Grain) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut at = from;
    while at < until {
        let fits = |grain: &Grain| at.start(*grain) == at && at.next(*grain) <= until;
        let grains = [Grain::Ever, Grain::Year, Grain::Month];
        let grain = grains.into_iter().filter(|grain| *grain <= longest).find(fits);
        let grain = grain.unwrap_or(Grain::Day);
        let next = if longest == Grain::Day { until } else { at.next(grain) };
        match runs.last_mut().filter(|run| run.grain == grain) {
            Some(run) => run.until = next,
            None => runs.push(Run { grain, from: at, until: next }),
        }
        at = next;
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().expect("a day")
    }

    #[test]
    fn a_day_is_of_utc() {
        let at = |text: &str| Day::of(text.parse().expect("a time"));
        assert_eq!(at("2026-11-24T00:00:00Z"), day("2026-11-24"));
        assert_eq!(at("2026-11-23T23:59:59.999999Z"), day("2026-11-23"));
        assert_eq!(day("2200-01-01".replace("2200", "2199").as_str()).to_string(), "2199-01-01");
        assert_eq!(day("2199-12-31").tomorrow(), Day::END);
        assert_eq!(day("2026-11-24").begins().to_string(), "2026-11-24T00:00:00Z");
        assert_eq!(Day::of(Timestamp(-1)), Day::FIRST);
        assert_eq!(day("2026-11-24").month_name(), "2026-11");
        assert_eq!(day("2027-01-01").week_name(), "2026-W53");
        assert_eq!(day("2026-11-24").monday(), day("2026-11-23"));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for bad in ["", "2026", "2026-11-31", "2026-11-24T00:00:00Z", "1969-12-31", "20261124"] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_interval_is_few_whole_periods() {
        let of = |from, until, longest| {
            let all = runs(day(from), day(until), longest).into_iter();
            all.map(|run| format!("{:?} {} {}", run.grain, run.from, run.until)).collect::<Vec<_>>()
        };
        assert_eq!(
            of("2024-03-15", "2026-11-25", Grain::Ever),
            [
                "Day 2024-03-15 2024-04-01",
                "Month 2024-04-01 2025-01-01",
                "Year 2025-01-01 2026-01-01",
                "Month 2026-01-01 2026-11-01",
                "Day 2026-11-01 2026-11-25",
            ]
        );
        assert_eq!(of("2024-03-15", "2026-11-25", Grain::Day), ["Day 2024-03-15 2026-11-25"]);
        let ever = Run { grain: Grain::Ever, from: Day::FIRST, until: Day::END };
        assert_eq!(runs(Day::FIRST, Day::END, Grain::Ever), [ever]);
    }

    proptest! {
        /// I-20: what is between two moments is what is between the first and one in the middle, and from
        /// there to the second; nothing twice.
        #[test]
        fn the_periods_of_an_interval_touch_and_fill_it(
            from in 0..Day::END.0, length in 0..3000i32, longest in 0..4usize,
        ) {
            let until = Day((from + length).min(Day::END.0));
            let longest = [Grain::Day, Grain::Month, Grain::Year, Grain::Ever][longest];
            let mut at = Day(from);
            for run in runs(at, until, longest) {
                prop_assert_eq!(run.from, at);
                prop_assert!(run.from < run.until && run.grain <= longest);
                prop_assert_eq!(run.from.start(run.grain), run.from);
                prop_assert!(run.until == Day::END || run.until.start(run.grain) == run.until);
                at = run.until;
            }
            prop_assert_eq!(at, until.max(Day(from)));
        }

        #[test]
        fn a_day_reads_back_what_it_writes(day in 0..Day::END.0) {
            prop_assert_eq!(Day(day).to_string().parse(), Ok(Day(day)));
        }
    }
}
