//! How long things took: count, sum, least, most, and how they are spread.

use super::bytes::{Corrupt, grow, put, take};

/// Each bucket of a histogram ends at so many times its beginning. A percentile is the geometric middle
/// of its bucket, so it is at most `sqrt(GAMMA) - 1` = 4.9 % away from the true one.
const GAMMA: f64 = 1.1;

/// Durations in microseconds. Merging is exact, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub count: u64,
    pub sum: u64,
    pub min: u64,
    pub max: u64,
    histogram: Histogram,
}

/// Counts of the buckets from `first` on; neither the first nor the last is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Histogram {
    first: usize,
    counts: Vec<u64>,
}

impl Times {
    pub fn add(&mut self, micros: u64) {
        self.widen(micros, micros);
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        self.histogram.add(bucket(micros), 1);
    }

    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.widen(other.min, other.max);
        self.count += other.count;
        self.sum += other.sum;
        let buckets = &other.histogram;
        self.histogram.reach(buckets.first, buckets.first + buckets.counts.len() - 1);
        let start = buckets.first - self.histogram.first;
        for (mine, more) in self.histogram.counts[start..].iter_mut().zip(&buckets.counts) {
            *mine += more;
        }
    }

    /// The least duration that `percent` of all do not exceed (nearest rank), within 5 %; nothing if
    /// there are none.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let rank = (u128::from(percent) * u128::from(self.count)).div_ceil(100).max(1);
        let mut seen = 0;
        for (n, count) in self.histogram.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                let middle = middle(self.histogram.first + n);
                return Some(middle.clamp(self.min as f64, self.max as f64));
            }
        }
        None
    }

    /// Before the count changes.
    fn widen(&mut self, min: u64, max: u64) {
        self.min = if self.count == 0 { min } else { self.min.min(min) };
        self.max = self.max.max(max);
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.count);
        match self.count {
            0 => {}
            1 => put(out, self.sum),
            _ => {
                for number in [self.sum, self.min, self.max - self.min] {
                    put(out, number);
                }
                let filled = self.histogram.counts.iter().filter(|count| **count > 0).count();
                put(out, self.histogram.first as u64);
                put(out, filled as u64);
                let mut gap = 0;
                for count in &self.histogram.counts {
                    if *count == 0 {
                        gap += 1;
                        continue;
                    }
                    put(out, gap);
                    put(out, *count);
                    gap = 0;
                }
            }
        }
    }

    /// Adds what was encoded.
    pub(super) fn add_encoded(&mut self, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        let count = take(bytes)?;
        match count {
            0 => {}
            1 => self.add(take(bytes)?),
            _ => {
                let (sum, min) = (take(bytes)?, take(bytes)?);
                let max = min.checked_add(take(bytes)?).ok_or(Corrupt)?;
                self.widen(min, max);
                grow(&mut self.count, count)?;
                grow(&mut self.sum, sum)?;
                self.histogram.reach(bucket(min), bucket(max));
                let (mut at, filled) = (take(bytes)?, take(bytes)?);
                for _ in 0..filled {
                    grow(&mut at, take(bytes)?)?;
                    let place = (at as usize).checked_sub(self.histogram.first).ok_or(Corrupt)?;
                    let mine = self.histogram.counts.get_mut(place).ok_or(Corrupt)?;
                    grow(mine, take(bytes)?)?;
                    grow(&mut at, 1)?;
                }
            }
        }
        Ok(())
    }

    /// Passes over what was encoded.
    pub(super) fn skip_encoded(bytes: &mut &[u8]) -> Result<(), Corrupt> {
        let numbers = match take(bytes)? {
            0 => 0,
            1 => 1,
            _ => {
                for _ in 0..4 {
                    take(bytes)?;
                }
                take(bytes)?.saturating_mul(2)
            }
        };
        for _ in 0..numbers {
            take(bytes)?;
        }
        Ok(())
    }
}

impl Histogram {
    fn add(&mut self, bucket: usize, count: u64) {
        self.reach(bucket, bucket);
        self.counts[bucket - self.first] += count;
    }

    /// Makes room for the buckets from `low` to `high`.
    fn reach(&mut self, low: usize, high: usize) {
        if self.counts.is_empty() {
            self.first = low;
        }
        if low < self.first {
            self.counts.splice(0..0, std::iter::repeat_n(0, self.first - low));
            self.first = low;
        }
        if high >= self.first + self.counts.len() {
            self.counts.resize(high - self.first + 1, 0);
        }
    }
}

/// 0 for nothing, else the n-th power of `GAMMA` from 1 microsecond on.
fn bucket(micros: u64) -> usize {
    if micros == 0 { 0 } else { 1 + ((micros as f64).ln() / GAMMA.ln()) as usize }
}

fn middle(bucket: usize) -> f64 {
    if bucket == 0 { 0.0 } else { GAMMA.powf(bucket as f64 - 0.5) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(all: &[u64]) -> Times {
        let mut times = Times::default();
        all.iter().for_each(|micros| times.add(*micros));
        times
    }

    /// From nothing to a month, each order of magnitude as often as the others.
    fn micros() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), (0.0..28.6f64).prop_map(|power| power.exp() as u64)]
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_five_percent(
            mut all in prop::collection::vec(micros(), 1..200), percent in 1..=100u8,
        ) {
            let times = of(&all);
            all.sort_unstable();
            let exact = all[(usize::from(percent) * all.len()).div_ceil(100) - 1] as f64;
            let told = times.percentile(percent).expect("there are some");
            prop_assert!((told - exact).abs() <= exact * 0.05, "{told} for {exact}");
        }

        #[test]
        fn merging_is_adding_one_by_one(
            one in prop::collection::vec(micros(), 0..40),
            two in prop::collection::vec(micros(), 0..40),
        ) {
            let whole = of(&[one.clone(), two.clone()].concat());
            let (mut merged, mut read) = (of(&one), of(&one));
            merged.merge(&of(&two));
            prop_assert_eq!(&merged, &whole);
            let mut bytes = Vec::new();
            of(&two).encode(&mut bytes);
            let (mut rest, mut skipped) = (bytes.as_slice(), bytes.as_slice());
            read.add_encoded(&mut rest).expect("bytes");
            Times::skip_encoded(&mut skipped).expect("bytes");
            prop_assert_eq!(read, whole);
            prop_assert!(rest.is_empty() && skipped.is_empty());
        }
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Times::default().percentile(50), None);
        assert_eq!(of(&[7]).percentile(99), Some(7.0));
    }
}
