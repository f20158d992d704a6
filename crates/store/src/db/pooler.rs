//! A connection pooler in front of PostgreSQL: one that gives every client a session of its own is
//! fine, one that hands sessions round is not.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, Postgres};
use sqlx::{Executor, Row};

use crate::Error;

/// The pooler may have other clients whose sessions come between; not every time.
const ROUNDS: u32 = 5;

/// Refuses a pooler in transaction or statement mode: the settings of a connection, its prepared
/// statements and what it listens to would be another client's in the next transaction. Asked before
/// any setting is made, so that none stays in a session that others get.
pub(crate) async fn check(options: PgConnectOptions, patience: Duration) -> Result<(), Error> {
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(patience);
    let pool = pool.connect_with(options).await?;
    let (mut one, mut other) = (pool.acquire().await?, pool.acquire().await?);
    let shared = is_shared(&mut one, &mut other).await;
    for conn in [one, other] {
        conn.close().await?;
    }
    if !shared? {
        return Ok(());
    }
    Err(Error::Schema(
        "database.url leads to a connection pooler that gives every transaction another session \
         (PgBouncer's pool_mode = transaction or statement). Muster needs sessions of its own: set \
         pool_mode = session for this database, or name PostgreSQL itself"
            .into(),
    ))
}

/// Do two connections get each other's sessions? One that is idle keeps its own as long as it is
/// connected; a pooler gives it to the other, or gives the first one another later. In simple
/// statements: prepared ones would fail.
async fn is_shared(
    one: &mut PoolConnection<Postgres>,
    other: &mut PoolConnection<Postgres>,
) -> Result<bool, Error> {
    let mine = session(one).await?;
    for _ in 0..ROUNDS {
        if session(other).await? == mine {
            return Ok(true);
        }
        // The other one holds what it gets, also what was ours.
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let now = session(one).await?;
        other.execute(sqlx::raw_sql("ROLLBACK")).await?;
        if now != mine {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn session(conn: &mut PoolConnection<Postgres>) -> Result<i32, Error> {
    let row = conn.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid()")).await?;
    Ok(row.try_get(0)?)
}
