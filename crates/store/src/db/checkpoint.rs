//! SQLite's write-ahead log is copied into the database beside the writer, not by its commits.
//!
//! Left to SQLite, the commit that makes the log longer than 1,000 pages copies them all and waits for
//! the disk, and whoever is in that transaction waits with it: long, where pages are scattered, as they
//! are when old requests are deleted. A checkpoint from another connection stands in nobody's way. It cannot
//! get to the end of a log that is written meanwhile, and only then SQLite starts the log anew: so a commit
//! still checkpoints a log of [`LOG_PAGES`], of which little is left to copy by then.
//! <https://www.sqlite.org/wal.html>, "Avoiding Excessively Large WAL Files".

use std::sync::Arc;
use std::time::Duration;

use crate::db::statement::row;
use crate::{Error, Inner};

/// Pages of 4 KiB in the log when a commit checkpoints it; half of what the file is cut back to.
pub(crate) const LOG_PAGES: &str = "8192";
/// Pages that are worth waiting for the disk: as many as SQLite's own commits wait for.
const ENOUGH: i64 = 1000;
/// From one look at the log to the next, while something is written.
const EVERY: Duration = Duration::from_millis(100);

/// Whether others were in the way, pages in the log, pages of them that are copied.
type Log = (i64, i64, i64);

const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Runs until the store is closed.
pub(crate) async fn run(inner: Arc<Inner>) {
    loop {
        inner.committed.notified().await;
        if let Err(error) = checkpoint(&inner).await {
            tracing::debug!(%error, "no checkpoint; a later one copies more");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn checkpoint(inner: &Inner) -> Result<(), Error> {
    let mut conn = inner.db.read().await?;
    let log: Option<Log> = row!(&mut conn, LOOK);
    if log.is_some_and(|(_, pages, copied)| pages - copied >= ENOUGH) {
        let _log: Option<Log> = row!(&mut conn, CHECKPOINT);
    }
    Ok(())
}
