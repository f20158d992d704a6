//! A transaction of the writer, or beside it.

use std::collections::{HashMap, HashSet};

use muster_core::{ModelId, PrincipalId, Timestamp};
use sqlx::{Executor, Row};

use crate::db::conn::{Conn, Link};
use crate::{Change, Error, Finished, Inner};

/// Both in one trip.
const BEGIN_POSTGRES: &str =
    "BEGIN; SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// A transaction, and what is to be done once it is committed.
pub(crate) struct Tx {
    pub conn: Conn,
    /// The database's time.
    pub now: Timestamp,
    pub after: After,
    /// Ends of backlogs that this transaction knows already.
    pub backlogs: HashMap<(PrincipalId, ModelId), Option<Timestamp>>,
    /// Models of which nothing was queued when it began.
    pub quiet: HashSet<ModelId>,
    /// What is done now is the last in it.
    pub is_last: bool,
}

#[derive(Default)]
pub(crate) struct After {
    pub ended: Vec<Finished>,
    pub changes: Vec<Change>,
    /// Models with queued tasks, and from when on they may be sent.
    pub queued: Vec<(ModelId, Timestamp)>,
    pub stale: u64,
    /// Other servers read again what nobody here needs to be told of.
    pub elsewhere: bool,
}

/// Something to do in a transaction beside the writer's, which does not wait for it. Nobody is told of
/// what it changes. For PostgreSQL: SQLite has one writer.
pub(crate) async fn beside<T>(
    inner: &Inner,
    body: impl AsyncFnOnce(&mut Tx) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tx = begin(inner.db.write().await?, inner).await?;
    let done = match body(&mut tx).await {
        Ok(done) => tx.conn.commit().await.map(|()| done),
        Err(error) => Err(error),
    };
    match &done {
        Ok(_) => inner.counters.transactions.add(1),
        Err(_) => tx.conn.abandon(),
    }
    done
}

/// Begins a transaction. A connection that cannot is not given to anybody else.
pub(super) async fn begin(mut conn: Conn, inner: &Inner) -> Result<Tx, Error> {
    let now = match &mut conn.link {
        Link::Sqlite(_) => {
            conn.begin_with_next();
            inner.clock.now()
        }
        // Several servers share this database: its clock judges.
        Link::Postgres(link) => {
            let begun = (&mut **link).fetch_one(sqlx::raw_sql(BEGIN_POSTGRES)).await;
            match begun.and_then(|row| row.try_get::<i64, _>(0)) {
                Ok(micros) => {
                    conn.note_begun();
                    inner.database_now(Timestamp(micros))
                }
                Err(error) => {
                    conn.abandon();
                    return Err(error.into());
                }
            }
        }
    };
    Ok(Tx {
        conn,
        now,
        after: After::default(),
        backlogs: HashMap::new(),
        quiet: HashSet::new(),
        is_last: false,
    })
}
