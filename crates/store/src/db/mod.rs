//! The two databases: pools, connections, and the values they share.

pub mod batch;
pub mod checkpoint;
pub mod clock;
pub mod conn;
pub mod dialect;
pub mod pooler;
pub mod schema;
pub mod statement;
pub mod text;

use std::str::FromStr;
use std::time::Duration;

use muster_core::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgConnectOptions, PgPoolOptions, PgTypeInfo, PgValueRef, Postgres,
};
use sqlx::sqlite::{
    Sqlite, SqliteArgumentsBuffer, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
    SqliteSynchronous, SqliteTypeInfo, SqliteValueRef,
};
use sqlx::{ConnectOptions, Decode, Encode, Executor, PgPool, SqlitePool, Type};

use crate::db::conn::{Conn, Link};
use crate::{Database, Error};

/// How long to wait for a connection before the database counts as away.
const ACQUIRE: Duration = Duration::from_secs(5);
/// On PostgreSQL: the writer, who tells other servers of changes, and who listens to them.
const WRITERS: u32 = 3;
/// SQLite before this can corrupt a WAL database (trap T5).
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

pub(crate) enum Db {
    /// SQLite has one writer at a time: it has a connection of its own.
    Sqlite { write: SqlitePool, read: SqlitePool },
    /// What reads cannot write, and so needs no care when a connection is given back.
    Postgres { write: PgPool, read: PgPool, schema: String },
}

impl Db {
    pub(crate) async fn connect(database: &Database) -> Result<Self, Error> {
        match database {
            Database::Memory => Err(Error::Schema("a store in memory needs a file".into())),
            Database::Sqlite { file } => {
                let durable = SqliteSynchronous::Full;
                let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
                Self::sqlite(options.synchronous(durable)).await
            }
            Database::Postgres { url, schema, max_connections } => {
                let schema = schema.clone().unwrap_or_else(|| "public".to_owned());
                Self::postgres(url, schema, *max_connections).await
            }
        }
    }

    pub(crate) async fn sqlite(options: SqliteConnectOptions) -> Result<Self, Error> {
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("cache_size", "-4096")
            .pragma("journal_size_limit", "67108864")
            .pragma("wal_autocheckpoint", checkpoint::LOG_PAGES)
            .disable_statement_logging();
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(ACQUIRE)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let write =
            pool().max_connections(1).idle_timeout(None).connect_with(options.clone()).await?;
        let version: String =
            sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&write).await?;
        check_sqlite(&version)?;
        // Three for readers, one for checkpoints.
        let read = pool().max_connections(4).min_connections(0);
        let read = read.idle_timeout(Duration::from_secs(60));
        let read = read.connect_lazy_with(options.pragma("query_only", "on"));
        Ok(Self::Sqlite { write, read })
    }

    async fn postgres(url: &str, schema: String, most: u32) -> Result<Self, Error> {
        check_schema_name(&schema)?;
        // The text of a bad URL may hold the password: it is not repeated.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| Error::Schema("database.url is not a PostgreSQL URL".into()))?
            .application_name("muster")
            // Only for numbers as text, of old versions; PgBouncer does not take it.
            .extra_float_digits(None)
            .disable_statement_logging();
        pooler::check(options.clone(), ACQUIRE).await?;
        // enable_seqscan: a plan made while a table was small is used when it has grown. jit: where a
        // table has to be read whole, that makes the plan look so expensive that it would be compiled.
        let settings = |read_only| {
            format!(
                "SET search_path TO \"{schema}\"; SET idle_in_transaction_session_timeout TO '15s'; \
                 SET synchronous_commit TO on; \
                 SET default_transaction_isolation TO 'read committed'; \
                 SET default_transaction_read_only TO {read_only}; \
                 SET enable_seqscan TO off; SET jit TO off"
            )
        };
        let pool = |most: u32, settings: String| {
            PgPoolOptions::new().max_connections(most).acquire_timeout(ACQUIRE).after_connect(
                move |conn, _| {
                    let settings = sqlx::AssertSqlSafe(settings.clone());
                    Box::pin(async move { conn.execute(sqlx::raw_sql(settings)).await.map(|_| ()) })
                },
            )
        };
        let write = pool(WRITERS, settings("off"))
            // T1: a cancelled begin() leaves its transaction open; nobody may inherit it. A ROLLBACK
            // alone, outside a transaction, would be a warning in our log and the database's for
            // each statement. A failed transaction refuses the BEGIN; its connection is closed.
            .after_release(|conn, _| {
                Box::pin(async move {
                    conn.execute(sqlx::raw_sql("BEGIN; ROLLBACK")).await.map(|_| true)
                })
            })
            .connect_with(options.clone())
            .await?;
        let read = pool(most.saturating_sub(WRITERS).max(1), settings("on"));
        let read = read.connect_lazy_with(options);
        Ok(Self::Postgres { write, read, schema })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    pub(crate) async fn read(&self) -> Result<Conn, Error> {
        Ok(Conn::new(match self {
            Self::Sqlite { read, .. } => Link::Sqlite(read.acquire().await?),
            Self::Postgres { read, .. } => Link::Postgres(read.acquire().await?),
        }))
    }

    /// Where statements of PostgreSQL alone are read.
    pub(crate) fn postgres_readers(&self) -> Option<&PgPool> {
        match self {
            Self::Postgres { read, .. } => Some(read),
            Self::Sqlite { .. } => None,
        }
    }

    pub(crate) async fn write(&self) -> Result<Conn, Error> {
        Ok(Conn::new(match self {
            Self::Sqlite { write, .. } => Link::Sqlite(write.acquire().await?),
            Self::Postgres { write, .. } => Link::Postgres(write.acquire().await?),
        }))
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { write, read, .. } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

fn check_sqlite(version: &str) -> Result<(), Error> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    if (part(), part(), part()) < OLDEST_SQLITE {
        return Err(Error::Schema(format!(
            "SQLite {version} can corrupt a database; 3.51.3 or newer is needed"
        )));
    }
    Ok(())
}

/// A schema name goes into statements that take no bound values.
fn check_schema_name(name: &str) -> Result<(), Error> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    if starts && name.len() <= 63 && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::Schema(
        "database.schema is 1 to 63 of a-z, 0-9 and '_', and does not start with a digit".into(),
    ))
}

/// A moment in the database: microseconds on SQLite, timestamptz on PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ts(pub Timestamp);

/// 2000-01-01T00:00:00Z, where PostgreSQL counts from, in microseconds since 1970.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
const TIMESTAMPTZ: Oid = Oid(1184);

impl Type<Sqlite> for Ts {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(ty)
    }
}

impl Encode<'_, Sqlite> for Ts {
    fn encode_by_ref(&self, to: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'_, Sqlite>>::encode_by_ref(&self.0.micros(), to)
    }
}

impl<'r> Decode<'r, Sqlite> for Ts {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        <i64 as Decode<'r, Sqlite>>::decode(value).map(|micros| Self(Timestamp(micros)))
    }
}

impl Type<Postgres> for Ts {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }
}

impl Encode<'_, Postgres> for Ts {
    fn encode_by_ref(&self, to: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        to.extend(&(self.0.micros().saturating_sub(POSTGRES_EPOCH)).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for Ts {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(Timestamp(micros.saturating_add(POSTGRES_EPOCH))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_sqlite_is_refused() {
        assert!(check_sqlite("3.40.1").is_err());
        assert!(check_sqlite("3.51.2").is_err());
        assert!(check_sqlite("3.51.3").is_ok());
        assert!(check_sqlite("3.53.0").is_ok());
    }

    /// Trap T6: an acknowledged commit is on disk.
    #[tokio::test]
    async fn sqlite_writes_are_on_disk_before_a_commit_returns() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("muster.db");
        let db = Db::connect(&Database::Sqlite { file }).await.expect("a database");
        let Db::Sqlite { write, read } = &db else { panic!("SQLite") };
        let full: i64 =
            sqlx::query_scalar("PRAGMA synchronous").fetch_one(write).await.expect("it");
        let log: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(write).await.expect("it");
        assert_eq!((full, log.as_str()), (2, "wal"));
        let made = sqlx::query("CREATE TABLE t (x)").execute(read).await;
        assert!(made.is_err(), "only the one writer writes");
    }

    #[test]
    fn a_schema_name_cannot_leave_its_quotes() {
        assert!(check_schema_name("muster_2").is_ok());
        for bad in ["", "2x", "a\"b", "a b", "A", &"x".repeat(64)] {
            assert!(check_schema_name(bad).is_err(), "{bad}");
        }
    }
}
