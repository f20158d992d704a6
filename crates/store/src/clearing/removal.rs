//! Objects whose rows are gone: marked, removed, unmarked. Each step may be the last of a server; the next
//! one does it again, which does no harm.

use futures::FutureExt;

use crate::db::batch;
use crate::db::dialect;
use crate::db::statement::{row, rows, run};
use crate::writer::{Tx, work};
use crate::{Error, Store, crash_point};

/// Objects removed together.
const AT_ONCE: i64 = 200;

const MARKED: &str = "SELECT path FROM object_removal WHERE path > $1 ORDER BY path LIMIT $2";

const COUNT: &str = "SELECT COUNT(*) FROM object_removal";

impl Store {
    /// Removes all objects that are marked. Stops at the first that cannot be removed: it and those behind
    /// it stay marked.
    pub(crate) async fn remove_marked(&self) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let mut conn = self.inner.db.read().await?;
            let page: Vec<(String,)> = rows!(&mut conn, MARKED, &after, AT_ONCE);
            drop(conn);
            let Some((last,)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            self.remove_objects(page.into_iter().map(|(path,)| path).collect()).await?;
        }
    }

    /// Removes marked objects.
    pub(crate) async fn remove_objects(&self, paths: Vec<String>) -> Result<(), Error> {
        let (removed, failed) = self.inner.objects.remove_all(paths).await;
        crash_point("after-removal-before-unmark");
        self.inner.counters.objects_removed.add(removed.len() as u64);
        for paths in batch::texts(&removed)? {
            let (op, answer) = work(move |tx: &mut Tx| {
                let paths = paths.clone();
                async move {
                    let statements = dialect::clearing(tx.conn.is_postgres());
                    run!(&mut tx.conn, statements.unmark, paths);
                    Ok(())
                }
                .boxed()
            });
            self.answer(op, answer).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// How many objects are to be removed.
    pub async fn marked_objects(&self) -> Result<u64, Error> {
        let mut conn = self.inner.db.read().await?;
        let marked: Option<(i64,)> = row!(&mut conn, COUNT);
        Ok(marked.map_or(0, |(marked,)| marked as u64))
    }
}
