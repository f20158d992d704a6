//! Who is next: one sortable number for each queued task.
//!
//! The rank is a moment: a person's first waiting task has the moment of its submission, and each
//! input that person has waiting for the same model pushes their next task [`COST`] later. Tasks
//! go in the order of rank. So whoever has little waiting goes before whoever has much, a request
//! that was submitted is passed only by people who waited less, and, since moments pass, nobody
//! waits for ever. This is Virtual Clock scheduling (Zhang, SIGCOMM 1990) without the penalty for
//! having used idle capacity: only what is still queued counts.

use std::time::Duration;

use crate::Timestamp;

/// How far one waiting input pushes the next task of the same person. Longer than a model takes
/// for one input, or a long backlog would be older than a newcomer before it is done.
pub const COST: Duration = Duration::from_secs(10);

/// The place of a task in its model's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Tasks go in the order of this.
    pub start: Timestamp,
    /// The earliest rank of the same person's next task.
    pub end: Timestamp,
}

/// Ranks of the tasks of a new request with `sizes` inputs each. `backlog_end` is the largest
/// [`Rank::end`] among the person's queued tasks of the model.
pub fn ranks(
    now: Timestamp,
    backlog_end: Option<Timestamp>,
    sizes: impl IntoIterator<Item = u64>,
) -> impl Iterator<Item = Rank> {
    let mut next = backlog_end.map_or(now, |end| end.max(now));
    sizes.into_iter().map(move |size| {
        let micros = u64::try_from(COST.as_micros()).unwrap_or(u64::MAX).saturating_mul(size);
        let start = next;
        next = start + Duration::from_micros(micros);
        Rank { start, end: next }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_newcomer_passes_all_but_the_batch_that_is_due() {
        let backlog: Vec<Rank> = ranks(at(0), None, [100; 100]).collect();
        let newcomer = ranks(at(60), None, [1]).next().expect("one task");
        let ahead = backlog.iter().filter(|rank| rank.start <= newcomer.start).count();
        assert_eq!(ahead, 1);
    }

    #[test]
    fn a_person_who_used_idle_capacity_is_not_punished() {
        let first = ranks(at(0), None, [10_000]).next().expect("one task");
        assert!(first.end > at(1000));
        let later = ranks(at(100), None, [1]).next().expect("one task");
        assert_eq!(later.start, at(100));
    }

    proptest! {
        /// People with endless backlogs share a model evenly whatever sizes they submit, and a
        /// person with one waiting input is at most one batch behind.
        #[test]
        fn backlogs_are_served_evenly(batch in 1u64..50, people in 2usize..5, late in 0i64..50) {
            let mut queue: Vec<(Rank, usize)> = Vec::new();
            for person in 0..people {
                let tasks = ranks(at(late * person as i64), None, vec![batch; 60]);
                queue.extend(tasks.map(|rank| (rank, person)));
            }
            queue.sort();
            let mut served = vec![0u64; people];
            for (_, person) in queue.iter().take(20 * people) {
                served[*person] += batch;
            }
            let (least, most) = (served.iter().min(), served.iter().max());
            let allowed = batch + (late as u64 * people as u64) / 10 + 1;
            prop_assert!(most.zip(least).is_some_and(|(m, l)| m - l <= allowed + batch));
        }

        #[test]
        fn one_persons_requests_go_in_the_order_of_submission(
            sizes in prop::collection::vec(1u64..100, 1..20),
        ) {
            let mut end = None;
            let mut last = None;
            for (n, size) in sizes.into_iter().enumerate() {
                for rank in ranks(at(n as i64), end, [size]) {
                    prop_assert!(last.is_none_or(|l| rank.start > l));
                    last = Some(rank.start);
                    end = Some(rank.end);
                }
            }
        }
    }
}
