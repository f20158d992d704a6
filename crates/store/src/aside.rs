//! Work that takes longer than others should wait, off the runtime's threads.

use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

/// Work on more bytes is done aside. A thread of the runtime does it in a fraction of a millisecond.
pub const INLINE: usize = 64 << 10;

/// As many works at a time as there are processors: more would only wait for each other, and each holds
/// what it works on.
static HANDS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(processors))
});

/// Does it on a thread that may be busy. It goes on to its end also when nobody waits for it any more.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let hand = Arc::clone(&HANDS).acquire_owned().await;
    let done = tokio::task::spawn_blocking(move || {
        let _hand = hand;
        work()
    });
    match done.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime ends.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Does it here if it is about few bytes.
pub async fn aside_if<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= INLINE { work() } else { aside(work).await }
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use super::*;

    #[tokio::test]
    async fn only_work_on_many_bytes_leaves_the_runtime() {
        let here = current().id();
        assert_eq!(aside_if(INLINE, || current().id()).await, here);
        assert_ne!(aside_if(INLINE + 1, || current().id()).await, here);
    }
}
