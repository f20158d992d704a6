//! When requests are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How finely requests are released: tokio's timer would be late by up to a millisecond.
const TICK: Duration = Duration::from_micros(250);

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many a second, whether or not earlier ones were answered.
    Open { rate: f64, seconds: u64 },
    /// Each connection sends when its last request was answered.
    Closed { seconds: u64 },
}

/// Hands out due times to connections.
pub struct Turns {
    begun: Instant,
    kind: Kind,
    next: AtomicU64,
}

enum Kind {
    Open { rate: f64, total: u64, released: Arc<Semaphore> },
    Closed { until: Instant },
}

/// A request to send: its number, and when it was due.
pub struct Turn {
    pub number: u64,
    pub due: Instant,
}

impl Turns {
    pub fn begin(pace: Pace, connections: usize) -> Arc<Self> {
        let begun = Instant::now();
        let kind = match pace {
            Pace::Closed { seconds } => {
                Kind::Closed { until: begun + Duration::from_secs(seconds) }
            }
            Pace::Open { rate, seconds } => {
                let total = (rate * seconds as f64) as u64;
                let released = Arc::new(Semaphore::new(0));
                let permits = Arc::clone(&released);
                std::thread::spawn(move || release(begun, rate, total, connections, &permits));
                Kind::Open { rate, total, released }
            }
        };
        Arc::new(Self { begun, kind, next: AtomicU64::new(0) })
    }

    /// The next request to send, when it is due; `None` at the end.
    pub async fn next(&self) -> Option<Turn> {
        match &self.kind {
            Kind::Closed { until } => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let due = Instant::now();
                (due < *until).then_some(Turn { number, due })
            }
            Kind::Open { rate, total, released } => {
                released.acquire().await.ok()?.forget();
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let due = self.begun + Duration::from_secs_f64(number as f64 / rate);
                (number < *total).then_some(Turn { number, due })
            }
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

fn release(begun: Instant, rate: f64, total: u64, connections: usize, permits: &Semaphore) {
    let mut given = 0;
    while given < total {
        let due = ((begun.elapsed().as_secs_f64() * rate) as u64 + 1).min(total);
        permits.add_permits((due - given) as usize);
        given = due;
        let next = Duration::from_secs_f64(given as f64 / rate);
        std::thread::sleep(next.saturating_sub(begun.elapsed()).max(TICK));
    }
    // Everybody learns that it is over.
    permits.add_permits(connections);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_gives_each_turn_once_and_ends() {
        let turns = Turns::begin(Pace::Open { rate: 1000.0, seconds: 1 }, 2);
        let mut numbers = Vec::new();
        while let Some(turn) = turns.next().await {
            assert!(turn.due <= Instant::now());
            numbers.push(turn.number);
        }
        assert_eq!(numbers, (0..1000).collect::<Vec<u64>>());
        assert!(turns.next().await.is_none());
    }
}
