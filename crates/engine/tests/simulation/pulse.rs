//! The runtime of one hub: one thread, tokio's paused clock, and a pulse each time nothing can run.
//!
//! Tokio moves a paused clock to the next timer as soon as it has nothing to do, and does not see that
//! SQLite, object storage (threads) or a socket are about to give it something. The pulse sees: before
//! the thread parks it waits for all other threads to sleep, and lets time go on only after
//! [`QUIET`] turns in which nobody was called. The store's clock is moved along.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use muster_core::Timestamp;
use muster_store::Clock;
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;

/// Turns without a call after which nothing is under way: more than the ones in which a request goes
/// from one end of a socket to the other.
const QUIET: u64 = 5;
const THREADS: &str = "/proc/self/task";

pub struct Pulse {
    pub clock: Clock,
    state: Mutex<State>,
    /// Something happened that the threads do not show.
    touched: AtomicBool,
    turns: AtomicU64,
    quiet: AtomicU64,
}

#[derive(Default)]
struct State {
    waker: Option<Waker>,
    /// Somebody waits for turns or for quiet.
    awaited: bool,
    /// Time stands still.
    held: bool,
    /// The work was woken to take a turn, not because it can go on.
    nudged: bool,
    threads: Threads,
    now: Option<Instant>,
}

impl Pulse {
    /// Runs `work` from the time of `clock` on; then everything it started is dropped where it is.
    pub fn run<T>(clock: Clock, work: impl AsyncFnOnce(Arc<Pulse>) -> T) -> T {
        let pulse = Arc::new(Self {
            clock,
            state: Mutex::default(),
            touched: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            quiet: AtomicU64::new(0),
        });
        let (parks, unparks) = (Arc::clone(&pulse), Arc::clone(&pulse));
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            // Sockets are looked at when there is nothing else to do, so that a turn is a turn.
            .event_interval(1 << 20)
            .on_thread_park(move || parks.park())
            .on_thread_unpark(move || unparks.move_clock())
            .build()
            .expect("a runtime");
        let done = runtime.block_on(async {
            let mut work = pin!(work(Arc::clone(&pulse)));
            std::future::poll_fn(|context| {
                let mut state = pulse.state.lock().expect("no panic");
                state.waker = Some(context.waker().clone());
                if !std::mem::take(&mut state.nudged) {
                    pulse.touch();
                }
                drop(state);
                work.as_mut().poll(context)
            })
            .await
        });
        drop(runtime);
        // The waker holds the runtime, which holds the pulse.
        *pulse.state.lock().expect("no panic") = State::default();
        // The connections of the dropped store close in threads of their own.
        let patience = std::time::Instant::now() + Duration::from_secs(20);
        while is_sqlite_there() {
            assert!(std::time::Instant::now() < patience, "a thread of a dropped hub stays");
            std::thread::yield_now();
        }
        done
    }

    /// Something is under way between two tasks.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Until nothing can happen without time going on.
    pub async fn settle(&self) {
        self.turns(u64::MAX).await;
    }

    /// Settles; from then on nothing happens until the guard goes.
    pub async fn still(&self) -> Still<'_> {
        self.settle().await;
        self.state.lock().expect("no panic").held = true;
        Still(self)
    }

    /// So many turns of everything that can run, fewer if there is nothing left. True if there is.
    pub async fn turns(&self, most: u64) -> bool {
        self.quiet.store(0, Ordering::Relaxed);
        let until = self.turns.load(Ordering::Relaxed).saturating_add(most);
        std::future::poll_fn(|_| {
            let there = self.turns.load(Ordering::Relaxed) >= until
                || self.quiet.load(Ordering::Relaxed) >= QUIET;
            self.state.lock().expect("no panic").awaited = !there;
            if there { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.quiet.load(Ordering::Relaxed) < QUIET
    }

    fn park(&self) {
        let mut state = self.state.lock().expect("no panic");
        self.turns.fetch_add(1, Ordering::Relaxed);
        state.threads.wait_asleep();
        let touched = self.touched.swap(false, Ordering::Relaxed);
        if touched || Handle::current().metrics().global_queue_depth() > 0 {
            self.quiet.store(0, Ordering::Relaxed);
        } else {
            self.quiet.fetch_add(1, Ordering::Relaxed);
        }
        if self.quiet.load(Ordering::Relaxed) < QUIET || state.awaited || state.held {
            // Woken, it only looks at the sockets and comes back.
            state.nudged = true;
            if let Some(waker) = &state.waker {
                waker.wake_by_ref();
            }
        } else {
            self.quiet.store(0, Ordering::Relaxed);
        }
    }

    fn move_clock(&self) {
        let now = Instant::now();
        let last = self.state.lock().expect("no panic").now.replace(now);
        self.clock.advance(last.map_or(Duration::ZERO, |last| now - last));
    }
}

/// While this is there time stands still.
pub struct Still<'p>(&'p Pulse);

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.state.lock().expect("no panic").held = false;
    }
}

/// The other threads of this process.
#[derive(Default)]
struct Threads {
    count: u64,
    states: Vec<File>,
}

impl Threads {
    fn wait_asleep(&mut self) {
        loop {
            // One may have ended and another begun.
            let asleep: Option<Vec<bool>> = self.states.iter().map(is_asleep).collect();
            match asleep {
                Some(asleep) if count_threads() == self.count => {
                    if asleep.into_iter().all(|asleep| asleep) {
                        return;
                    }
                    std::thread::yield_now();
                }
                _ => self.look(),
            }
        }
    }

    fn look(&mut self) {
        self.count = count_threads();
        let own = std::fs::read_link("/proc/thread-self").expect("Linux");
        let threads = std::fs::read_dir(THREADS).expect("Linux").flatten();
        let others = threads.filter(|thread| Some(&*thread.file_name()) != own.file_name());
        self.states = others.flat_map(|thread| File::open(thread.path().join("syscall"))).collect();
    }
}

fn is_sqlite_there() -> bool {
    let threads = std::fs::read_dir(THREADS).expect("Linux").flatten();
    let names = threads.map(|thread| std::fs::read_to_string(thread.path().join("comm")));
    names.flatten().any(|name| name.starts_with("sqlx"))
}

fn count_threads() -> u64 {
    std::fs::metadata(THREADS).expect("Linux").nlink()
}

/// It waits for somebody to wake it. One that only sleeps, as SQLite does while another connection is
/// in its way, goes on by itself. `None`: it has ended.
fn is_asleep(call: &File) -> Option<bool> {
    const FUTEX: &[u8] = b"202 ";
    const EPOLL_WAIT: &[u8] = b"232 ";
    let mut bytes = [0; 8];
    let read = call.read_at(&mut bytes, 0).ok().filter(|read| *read > 0)?;
    Some(bytes[..read].starts_with(FUTEX) || bytes[..read].starts_with(EPOLL_WAIT))
}
