//! The database as seen by somebody else: statements of the tests, on a connection of their own.

use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use uuid::Uuid;

#[derive(Clone)]
pub enum Raw {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

macro_rules! on_raw {
    ($raw:expr, $pool:ident => $body:expr) => {
        match $raw {
            Raw::Sqlite($pool) => $body,
            Raw::Postgres($pool) => $body,
        }
    };
}

impl Raw {
    /// Runs a statement; says how many rows it touched.
    pub async fn try_run(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(on_raw!(self, pool => sqlx::query(sql).execute(pool).await?.rows_affected()))
    }

    pub async fn run(&self, sql: &str) -> u64 {
        self.try_run(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let safe = AssertSqlSafe(sql.to_owned());
        let found = on_raw!(self, pool => sqlx::query_scalar(safe).fetch_one(pool).await);
        found.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let safe = AssertSqlSafe(sql.to_owned());
        let found = on_raw!(self, pool => sqlx::query_scalar(safe).fetch_all(pool).await);
        found.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub async fn bytes(&self, sql: &str) -> Vec<u8> {
        let safe = AssertSqlSafe(sql.to_owned());
        let found = on_raw!(self, pool => sqlx::query_scalar(safe).fetch_one(pool).await);
        found.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// An id as it is written in a statement.
    pub fn id(&self, id: Uuid) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{}'", id.simple()),
            Self::Postgres(_) => format!("'{id}'"),
        }
    }

    /// A moment some seconds before what the column says.
    pub fn earlier(&self, column: &str, seconds: u32) -> String {
        match self {
            Self::Sqlite(_) => format!("{column} - {seconds}000000"),
            Self::Postgres(_) => format!("{column} - interval '{seconds} seconds'"),
        }
    }

    /// That moment, so many seconds later.
    pub fn later(&self, column: &str, seconds: u32) -> String {
        self.earlier(column, seconds).replacen('-', "+", 1)
    }

    pub fn sqlite(&self) -> &SqlitePool {
        match self {
            Self::Sqlite(pool) => pool,
            Self::Postgres(_) => panic!("this is PostgreSQL"),
        }
    }

    pub fn postgres(&self) -> &PgPool {
        match self {
            Self::Postgres(pool) => pool,
            Self::Sqlite(_) => panic!("this is SQLite"),
        }
    }
}
