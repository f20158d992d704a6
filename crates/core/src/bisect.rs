//! Finding the inputs that make a batch fail, with few calls: each may start a process that loads its
//! model first.

use std::ops::Range;

/// When this many inputs failed one by one and none succeeded, the model is to blame.
const GIVE_UP: usize = 16;

/// The state of a search over a batch of inputs. Call [`Bisection::next`], try that range, say
/// how it went; until `next` is `None`. Ranges come in order: what is before the range is settled.
///
/// A range that failed is halved; if its first half succeeds, what is bad is in the second, which is
/// halved without being tried as a whole. Once a bad input is found, as many of the rest are tried
/// together as hold about two bad ones, if they are as frequent as before (group testing, after Hwang
/// 1972). Three bad ones of 200 take 26 calls on average; halves of halves took 38.
#[derive(Clone, Debug)]
pub struct Bisection {
    inputs: usize,
    /// Inputs that are settled.
    done: usize,
    /// Something between `done` and here is bad.
    bad_before: Option<usize>,
    /// How many are tried together when nothing is known of them.
    group: usize,
    /// More than this at once is too much.
    most: usize,
    failed: usize,
    succeeded: bool,
    /// What the bad inputs have in common.
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    None,
    One(String),
    Several,
}

/// What a failure of a range means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A part of it will be tried.
    Split,
    /// It was a single input: that input is bad.
    Bad,
    /// Every input fails: the model cannot do this batch.
    Hopeless,
}

impl Bisection {
    pub fn new(inputs: usize) -> Self {
        Self {
            inputs,
            done: 0,
            bad_before: None,
            group: inputs,
            most: inputs,
            failed: 0,
            succeeded: false,
            reason: Reason::None,
        }
    }

    /// The range to try now.
    pub fn next(&self) -> Option<Range<usize>> {
        if self.done >= self.inputs {
            return None;
        }
        let end = match self.bad_before {
            None => self.done.saturating_add(self.group.min(self.most)).min(self.inputs),
            Some(end) if end - self.done == 1 => end,
            Some(end) => self.done + (end - self.done) / 2,
        };
        Some(self.done..end)
    }

    /// The range [`Bisection::next`] gave has predictions.
    pub fn succeeded(&mut self) {
        let Some(range) = self.next() else { return };
        self.done = range.end;
        self.succeeded = true;
        // Whatever failed before was not for one input alone, if all have succeeded by now.
        self.bad_before = self.bad_before.filter(|end| *end > self.done);
        self.regroup();
    }

    /// The range [`Bisection::next`] gave failed for this reason.
    pub fn failed(&mut self, reason: &str) -> Verdict {
        let Some(range) = self.next() else { return Verdict::Hopeless };
        if range.len() > 1 {
            self.bad_before = Some(range.end);
            return Verdict::Split;
        }
        self.done = range.end;
        self.bad_before = None;
        self.failed += 1;
        self.regroup();
        match &self.reason {
            Reason::None => self.reason = Reason::One(reason.to_owned()),
            Reason::One(one) if one != reason => self.reason = Reason::Several,
            Reason::One(_) | Reason::Several => {}
        }
        let all_fail = self.failed >= GIVE_UP && !self.succeeded;
        let one_reason = self.one_reason().is_some() && self.done == self.inputs;
        if all_fail || one_reason { Verdict::Hopeless } else { Verdict::Bad }
    }

    /// The range [`Bisection::next`] gave failed because it was too much at once, which says nothing of
    /// its inputs; a single one is bad.
    pub fn too_much(&mut self, reason: &str) -> Verdict {
        let Some(range) = self.next() else { return Verdict::Hopeless };
        if range.len() == 1 {
            return self.failed(reason);
        }
        self.bad_before = None;
        self.most = range.len() / 2;
        Verdict::Split
    }

    /// The reason for which every input failed that was tried, if it was always the same.
    fn one_reason(&self) -> Option<&str> {
        match &self.reason {
            Reason::One(reason) if !self.succeeded => Some(reason),
            _ => None,
        }
    }

    fn regroup(&mut self) {
        if self.failed > 0 {
            let all = self.failed == self.done;
            self.group = if all { 1 } else { 2 * self.done / self.failed };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn search(inputs: usize, bad: &BTreeSet<usize>) -> (BTreeSet<usize>, usize, bool) {
        let mut search = Bisection::new(inputs);
        let (mut found, mut calls) = (BTreeSet::new(), 0);
        while let Some(range) = search.next() {
            calls += 1;
            if !range.clone().any(|n| bad.contains(&n)) {
                search.succeeded();
                continue;
            }
            match search.failed("no") {
                Verdict::Split => {}
                Verdict::Bad => {
                    found.insert(range.start);
                }
                Verdict::Hopeless => return (found, calls, true),
            }
        }
        (found, calls, false)
    }

    proptest! {
        #[test]
        fn exactly_the_bad_inputs_are_found(
            inputs in 16usize..500, bad in prop::collection::btree_set(0usize..500, 0..6),
        ) {
            let bad: BTreeSet<usize> = bad.into_iter().filter(|&n| n < inputs).collect();
            let (found, calls, hopeless) = search(inputs, &bad);
            prop_assert!(!hopeless);
            prop_assert_eq!(&found, &bad);
            let depth = inputs.ilog2() as usize + 2;
            prop_assert!(calls <= 1 + 2 * depth * bad.len());
        }
    }

    #[test]
    fn a_model_that_fails_on_everything_is_given_up_early() {
        let all = (0..1000).collect();
        let (_, calls, hopeless) = search(1000, &all);
        assert!(hopeless && calls < 30, "{calls}");
    }

    #[test]
    fn three_bad_ones_of_two_hundred_take_few_calls() {
        let (mut sum, mut most) = (0, 0);
        let places = (0..200).step_by(7);
        for (n, first) in places.clone().enumerate() {
            let bad = BTreeSet::from([first, (first + 60 + n) % 200, (first + 131) % 200]);
            let (found, calls, hopeless) = search(200, &bad);
            assert!(found == bad && !hopeless);
            sum += calls;
            most = most.max(calls);
        }
        let average = sum / places.count();
        assert!(average <= 27 && most <= 32, "{average} on average, {most} at most");
    }

    #[test]
    fn a_model_that_fails_for_one_reason_has_failed_for_one_input_as_for_many() {
        for inputs in [1, 2, 3, 15] {
            let (_, _, hopeless) = search(inputs, &(0..inputs).collect());
            assert!(hopeless, "{inputs}");
        }
        let mut search = Bisection::new(2);
        assert_eq!(search.failed("both"), Verdict::Split);
        assert_eq!(search.failed("this one"), Verdict::Bad);
        assert_eq!(search.failed("that one"), Verdict::Bad, "they have reasons of their own");
        assert_eq!(search.next(), None);
    }

    #[test]
    fn what_is_too_much_at_once_is_tried_in_pieces_of_half_the_size() {
        let mut search = Bisection::new(50);
        let (mut calls, mut most) = (0, 0);
        while let Some(range) = search.next() {
            calls += 1;
            if range.len() > 12 {
                assert_eq!(search.too_much("it is too long"), Verdict::Split);
            } else {
                most = most.max(range.len());
                search.succeeded();
            }
        }
        assert_eq!((calls, most), (7, 12), "50, 25, then five pieces");
    }
}
