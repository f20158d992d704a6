//! What happens by chance, repeatable: SplitMix64.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `most - 1`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Milliseconds from `least` to `most`.
    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len() as u64) as usize)
    }

    /// Chance of its own for somebody, whatever others draw.
    pub fn fork(&self, who: u64) -> Self {
        let mut fork = Self(self.0 ^ who.wrapping_mul(0xd6e8_feb8_6659_fd93));
        fork.next();
        fork
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let drawn = |seed| {
            let mut draw = Draw::new(seed);
            (0..20).map(|_| draw.below(1000)).collect::<Vec<u64>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        let mut fork = Draw::new(7).fork(1);
        assert_ne!((0..20).map(|_| fork.below(1000)).collect::<Vec<u64>>(), drawn(7));
        assert!(Draw::new(7).millis(5, 5) == Duration::from_millis(5));
    }
}
