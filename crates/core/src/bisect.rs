//! Finding the input that makes a batch fail, by halving.

use std::ops::Range;

/// When this many inputs failed one by one and none succeeded, the model is to blame.
const GIVE_UP: usize = 16;

/// The state of a search over a batch of inputs. Call [`Bisection::next`], try that range, say
/// how it went; until `next` is `None`.
#[derive(Clone, Debug)]
pub struct Bisection {
    todo: Vec<Range<usize>>,
    failed: usize,
    succeeded: bool,
}

/// What a failure of a range means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its halves will be tried.
    Split,
    /// It was a single input: that input is bad.
    Bad,
    /// Every input fails: the model cannot do this batch.
    Hopeless,
}

impl Bisection {
    pub fn new(inputs: usize) -> Self {
        let todo = if inputs == 0 { vec![] } else { vec![Range { start: 0, end: inputs }] };
        Self { todo, failed: 0, succeeded: false }
    }

    /// The range to try now.
    pub fn next(&self) -> Option<Range<usize>> {
        self.todo.last().cloned()
    }

    /// The range [`Bisection::next`] gave has predictions.
    pub fn succeeded(&mut self) {
        self.todo.pop();
        self.succeeded = true;
    }

    /// The range [`Bisection::next`] gave failed.
    pub fn failed(&mut self) -> Verdict {
        let Some(range) = self.todo.pop() else { return Verdict::Hopeless };
        if range.len() > 1 {
            let middle = range.start + range.len() / 2;
            self.todo.push(middle..range.end);
            self.todo.push(range.start..middle);
            return Verdict::Split;
        }
        self.failed += 1;
        if self.failed >= GIVE_UP && !self.succeeded { Verdict::Hopeless } else { Verdict::Bad }
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
            match search.failed() {
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
        assert!(hopeless && calls < 50, "{calls}");
    }
}
