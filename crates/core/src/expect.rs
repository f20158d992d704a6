//! When a request that waits will have ended: a range of seconds, or nothing if it is not known.
//!
//! What is ahead comes from the model's queue in the order in which claims take it ([`crate::rank`]), and from
//! what its instances work on. How fast they are, and how long one takes to start, comes from the last instances
//! that the database knows, so every hub of it says the same.
//!
//! A call costs something, and each input in it. Nobody measures the two apart, but what the calls will take
//! lies between "as many calls as there are batches, each as long as the mean one" and "so many inputs at the
//! mean rate": one of the two is too short for calls fuller than the mean one was, the other too long.

/// What instances of a model did, each until now or until it ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    pub calls: u64,
    pub inputs: u64,
    /// Seconds that it worked.
    pub busy: f64,
}

/// How a model does, for whoever asks when it is their turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Of the last instances.
    pub served: Vec<Served>,
    /// How long the last ones took to start, seconds.
    pub starts: Vec<f64>,
    /// Instances that take work.
    pub ready: u32,
    /// How long those that start have been at it, seconds.
    pub starting: Vec<f64>,
    /// The environment is being made that another one is to start in.
    pub preparing: bool,
    pub batch_size: u32,
    pub max_instances: u32,
}

/// What is to be done until a request has ended, inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// That instances work on now.
    pub at_work: u64,
    /// Of others, queued before its last one.
    pub ahead: u64,
    /// Its own.
    pub own: u64,
}

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub low: f64,
    pub high: f64,
}

/// People who come later and have less waiting go first, and machines have other things to do as well.
const SLACK: f64 = 1.5;
/// Until the hub has looked, claimed and stored.
const ROUND: f64 = 1.0;
/// A hub that may start an instance does so by then.
const DECIDES: f64 = 5.0;

/// `waited`: seconds that it waits already.
pub fn expect(work: Work, pace: &Pace, waited: f64) -> Option<Expected> {
    let start = until_one_is_ready(pace, waited)?;
    let batch = u64::from(pace.batch_size.max(1));
    let soonest = calls(pace, work.ahead + work.own, batch)?.low;
    let latest = calls(pace, work.at_work + work.ahead + work.own, batch)?.high;
    let pieces = (work.ahead + work.own).div_ceil(batch).max(1) as f64;
    let most = f64::from(pace.max_instances.max(pace.ready).max(1)).min(pieces);
    let ready = f64::from(pace.ready.max(1));
    Some(Expected {
        low: start.low + soonest / most,
        high: (start.high + latest / ready) * SLACK + ROUND,
    })
}

/// Inputs that an instance answers in a second, the middle one of the last instances.
pub fn inputs_per_second(served: &[Served]) -> Option<f64> {
    let mut rates: Vec<f64> =
        served.iter().filter(|one| one.counts()).map(|one| one.inputs as f64 / one.busy).collect();
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

impl Served {
    fn counts(&self) -> bool {
        self.inputs > 0 && self.calls > 0 && self.busy > 0.0
    }
}

/// What one instance takes for so many inputs.
fn calls(pace: &Pace, inputs: u64, batch: u64) -> Option<Expected> {
    let each = pace.served.iter().filter(|one| one.counts()).map(|one| {
        let by_call = one.busy / one.calls as f64 * inputs.div_ceil(batch) as f64;
        let by_input = one.busy / one.inputs as f64 * inputs as f64;
        Expected { low: by_call.min(by_input), high: by_call.max(by_input) }
    });
    each.reduce(|a, b| Expected { low: a.low.min(b.low), high: a.high.max(b.high) })
}

/// Nothing if none takes work and none starts, although there was time for it: the hub holds the model for a
/// reason whose end nobody knows. And if one starts for longer than any of the last did.
fn until_one_is_ready(pace: &Pace, waited: f64) -> Option<Expected> {
    if pace.ready > 0 {
        return Some(Expected { low: 0.0, high: 0.0 });
    }
    let (shortest, longest) = (
        pace.starts.iter().copied().reduce(f64::min)?,
        pace.starts.iter().copied().reduce(f64::max)?,
    );
    let for_so_long = match pace.starting.iter().copied().reduce(f64::max) {
        Some(seconds) => seconds,
        // How long that takes nobody knows.
        None if pace.preparing => return None,
        None if waited <= DECIDES => 0.0,
        None => return None,
    };
    // The next start may be somewhat longer than the last ones.
    let left = longest * SLACK - for_so_long;
    (left >= 0.0).then(|| Expected { low: (shortest - for_so_long).max(0.0), high: left })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One instance is there and answers 100 inputs a second in calls of 100.
    fn pace() -> Pace {
        Pace {
            served: vec![Served { calls: 10, inputs: 1000, busy: 10.0 }],
            starts: vec![20.0, 30.0],
            ready: 1,
            starting: Vec::new(),
            preparing: false,
            batch_size: 100,
            max_instances: 1,
        }
    }

    const ONE: Work = Work { at_work: 0, ahead: 0, own: 1 };

    fn both(work: Work, pace: &Pace) -> (f64, f64) {
        let expected = expect(work, pace, 0.0).expect("a range");
        (expected.low, expected.high)
    }

    #[test]
    fn one_input_takes_no_longer_than_a_call() {
        assert_eq!(both(ONE, &pace()), (0.01, 1.0 * SLACK + ROUND));
    }

    #[test]
    fn what_is_ahead_counts_and_so_does_what_is_at_work_at_the_most() {
        let work = Work { at_work: 100, ahead: 900, own: 100 };
        assert_eq!(both(work, &pace()), (10.0, 11.0 * SLACK + ROUND));
    }

    #[test]
    fn instances_that_may_start_count_at_the_least_and_those_that_are_there_always() {
        let work = Work { ahead: 900, own: 100, at_work: 0 };
        let pace = Pace { max_instances: 5, ready: 2, ..pace() };
        assert_eq!(both(work, &pace), (2.0, 5.0 * SLACK + ROUND));
        // Two calls are no faster on five of them.
        let work = Work { ahead: 100, own: 100, at_work: 0 };
        assert_eq!(both(work, &pace).0, 1.0);
    }

    #[test]
    fn a_start_counts_as_far_as_it_is_not_over() {
        let cold = Pace { ready: 0, ..pace() };
        assert_eq!(both(ONE, &cold), (20.01, 46.0 * SLACK + ROUND));
        let starting = Pace { starting: vec![5.0, 25.0], ..cold };
        assert_eq!(both(ONE, &starting), (0.01, 21.0 * SLACK + ROUND));
    }

    #[test]
    fn nothing_is_said_of_what_nobody_knows() {
        let new = Pace { served: Vec::new(), ..pace() };
        let idle = Pace { served: vec![Served { calls: 0, inputs: 0, busy: 0.0 }], ..pace() };
        let never_started = Pace { ready: 0, starts: Vec::new(), ..pace() };
        let stuck = Pace { ready: 0, starting: vec![46.0], ..pace() };
        let preparing = Pace { ready: 0, preparing: true, ..pace() };
        for pace in [new, idle, never_started, stuck, preparing] {
            assert_eq!(expect(ONE, &pace, 0.0), None, "{pace:?}");
        }
        let held = Pace { ready: 0, ..pace() };
        assert!(expect(ONE, &held, 5.0).is_some());
        assert_eq!(expect(ONE, &held, 6.0), None);
    }

    #[test]
    fn the_middle_rate_is_that_of_instances_that_did_something() {
        let rate = |inputs, busy| Served { calls: 1, inputs, busy };
        let served = [rate(30, 1.0), rate(0, 1.0), rate(10, 1.0), rate(20, 1.0)];
        assert_eq!(inputs_per_second(&served), Some(20.0));
        assert_eq!(inputs_per_second(&served[1..2]), None);
    }

    proptest! {
        /// A call costs `a` and each input `b`, whatever the calls were filled with when it was measured.
        #[test]
        fn the_range_holds_what_calls_take(
            a in 0.0f64..2.0, b in 0.001f64..1.0, filled in 1u64..100, batches in 1u64..50,
        ) {
            let busy = 10.0 * (a + b * filled as f64);
            let served = vec![Served { calls: 10, inputs: 10 * filled, busy }];
            let pace = Pace { served, ..pace() };
            let work = Work { own: batches * 100, ..Work::default() };
            let expected = expect(work, &pace, 0.0).expect("a range");
            let takes = batches as f64 * (a + b * 100.0);
            let near = 1e-9 * takes;
            prop_assert!(expected.low <= takes + near && takes <= expected.high + near);
        }
    }
}
