//! The one place that reads the clock and makes ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_core::Timestamp;
use uuid::{Builder, Uuid};

/// Time and ids: of this machine, or by hand so that a run can be repeated.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Microseconds that are added to what the machine says.
    System {
        ahead: Arc<AtomicI64>,
        made: Instant,
    },
    Manual {
        now: Arc<AtomicI64>,
        ids: Arc<AtomicU64>,
        seed: u64,
    },
}

impl Clock {
    pub fn system() -> Self {
        Self(Kind::System { ahead: Arc::default(), made: Instant::now() })
    }

    /// Stands still until [`Clock::advance`]; the same seed gives the same ids.
    pub fn manual(start: Timestamp, seed: u64) -> Self {
        let now = Arc::new(AtomicI64::new(start.micros()));
        Self(Kind::Manual { now, ids: Arc::default(), seed })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::Manual { now, .. } => Timestamp(now.load(Ordering::SeqCst)),
            Kind::System { ahead, .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
                Timestamp(micros.saturating_add(ahead.load(Ordering::SeqCst)))
            }
        }
    }

    /// Microseconds since some moment, whatever becomes of the machine's clock.
    pub(crate) fn steady(&self) -> i64 {
        match &self.0 {
            Kind::Manual { now, .. } => now.load(Ordering::SeqCst),
            Kind::System { made, .. } => {
                i64::try_from(made.elapsed().as_micros()).unwrap_or(i64::MAX)
            }
        }
    }

    /// A new UUIDv7.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes ids")]
    pub fn id(&self) -> Uuid {
        let Kind::Manual { ids, seed, .. } = &self.0 else { return Uuid::now_v7() };
        let n = ids.fetch_add(1, Ordering::SeqCst);
        let mut random = [0; 10];
        random[..2].copy_from_slice(&(*seed as u16).to_be_bytes());
        random[2..].copy_from_slice(&n.to_be_bytes());
        let millis = u64::try_from(self.now().micros() / 1000).unwrap_or(0);
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// Moves a manual clock; a system clock jumps, and moves by itself beside that. Ids of a system
    /// clock do not follow the jump.
    pub fn advance(&self, by: Duration) {
        let (Kind::Manual { now: time, .. } | Kind::System { ahead: time, .. }) = &self.0;
        time.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

/// Later times are in no database.
pub(crate) const LATEST: Timestamp = Timestamp::from_micros(253_402_300_799_000_000);

/// No id that was made at `at` or before is greater, also by a clock that is a day ahead.
pub(crate) fn last_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from((at + Duration::from_secs(86_400)).micros() / 1000).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &[0xff; 10]).into_uuid()
}

/// No id that was made at `at` or later is smaller, also by a clock that is an hour late.
pub(crate) fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from((at - Duration::from_secs(3600)).micros() / 1000).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
