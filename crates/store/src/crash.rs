//! Points in the code at which a debug build ends itself as `kill -9` would end it, for the chaos run.
//! A release has none of them.

/// The N-th passing of the point that `MUSTER_CRASH_AT=POINT[:N]` names is the last thing that this
/// process does.
#[cfg(debug_assertions)]
pub fn crash_point(point: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[expect(clippy::disallowed_methods, reason = "not a setting: a release does not read it")]
    static AT: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let text = std::env::var("MUSTER_CRASH_AT").ok()?;
        let (point, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((point.to_owned(), AtomicU32::new(times.parse().unwrap_or(1))))
    });
    if let Some((wanted, left)) = &*AT
        && wanted == point
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        eprintln!("crash point {point}");
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub fn crash_point(_: &str) {}
