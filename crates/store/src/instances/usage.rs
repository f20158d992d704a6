//! What an instance used over time.

use muster_core::news::{Gauge, Usage};
use muster_core::{InstanceId, Timestamp};

use crate::db::Ts;
use crate::db::statement::{named_row, row, rows, run};
use crate::writer::Tx;
use crate::{Error, Store};

/// Up to this age, in seconds, spans are so long: an hour has 120 of them, a week some 700.
const SPANS: [(u64, u64); 3] = [(3_600, 30), (86_400, 300), (604_800, 1_800)];
/// Beyond.
const LONGEST: u64 = 21_600;
/// Spans that are read: with them the last half year of an instance of any age.
const MOST: i64 = 2_000;

const LAUNCHED: &str = "SELECT launched_at FROM instance WHERE id = $1";

const ADD: &str = "INSERT INTO instance_usage (instance_id, from_second, seconds, samples, cpu_peak, cpu_sum, \
     memory_peak, memory_sum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (instance_id, from_second) DO UPDATE SET samples = instance_usage.samples + excluded.samples, \
     cpu_peak = CASE WHEN excluded.cpu_peak > instance_usage.cpu_peak THEN excluded.cpu_peak \
     ELSE instance_usage.cpu_peak END, cpu_sum = instance_usage.cpu_sum + excluded.cpu_sum, \
     memory_peak = CASE WHEN excluded.memory_peak > instance_usage.memory_peak THEN excluded.memory_peak \
     ELSE instance_usage.memory_peak END, memory_sum = instance_usage.memory_sum + excluded.memory_sum";

const COURSE: &str = "SELECT from_second, seconds, samples, cpu_peak, cpu_sum, memory_peak, memory_sum \
     FROM instance_usage WHERE instance_id = $1 ORDER BY from_second DESC LIMIT $2";

/// What an instance used in a span of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Since it was launched, in seconds.
    pub from: u64,
    pub seconds: u64,
    /// `now` says nothing here.
    pub usage: Usage,
}

named_row! {
    struct SpanRow {
        from: i64,
        seconds: i64,
        samples: i64,
        cpu_peak: i64,
        cpu_sum: i64,
        memory_peak: i64,
        memory_sum: i64,
    }
}

impl Store {
    /// The course of what an instance used, the oldest first.
    pub async fn instance_usage(&self, id: InstanceId) -> Result<Vec<Span>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<SpanRow> = rows!(&mut conn, COURSE, id.0, MOST);
        Ok(found.into_iter().rev().map(Span::from).collect())
    }
}

impl From<SpanRow> for Span {
    fn from(row: SpanRow) -> Self {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let gauge = |peak, sum| Gauge { now: 0, peak: number(peak), sum: number(sum) };
        Self {
            from: number(row.from),
            seconds: number(row.seconds),
            usage: Usage {
                samples: number(row.samples),
                cpu: gauge(row.cpu_peak, row.cpu_sum),
                memory: gauge(row.memory_peak, row.memory_sum),
            },
        }
    }
}

/// Adds what was seen until now to the span of the instance's life that is now.
pub(super) async fn add(
    tx: &mut Tx,
    id: InstanceId,
    usage: &Usage,
    now: Timestamp,
) -> Result<(), Error> {
    if usage.samples == 0 {
        return Ok(());
    }
    let launched: Option<(Ts,)> = row!(&mut tx.conn, LAUNCHED, id.0);
    let Some((Ts(launched),)) = launched else { return Ok(()) };
    let (from, seconds) = span(now.since(launched).as_secs());
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    run!(
        &mut tx.conn,
        ADD,
        id.0,
        number(from),
        number(seconds),
        number(usage.samples),
        number(usage.cpu.peak),
        number(usage.cpu.sum),
        number(usage.memory.peak),
        number(usage.memory.sum),
    );
    Ok(())
}

/// The span in which an instance is at this age: from when, and how long. All in seconds.
fn span(age: u64) -> (u64, u64) {
    let long = SPANS.iter().find(|(until, _)| age < *until).map_or(LONGEST, |(_, long)| *long);
    (age / long * long, long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_grow_with_age_and_leave_no_gap() {
        assert_eq!(span(0), (0, 30));
        assert_eq!(span(3_599), (3_570, 30));
        assert_eq!(span(3_600), (3_600, 300));
        assert_eq!(span(86_400), (86_400, 1_800));
        assert_eq!(span(604_800), (604_800, 21_600));
        let mut next = 0;
        let mut all = 0;
        while next < 604_800 {
            let (from, long) = span(next);
            assert_eq!(from, next, "a span begins where the last one ended");
            next += long;
            all += 1;
        }
        assert_eq!(all, 120 + 276 + 288);
    }
}
