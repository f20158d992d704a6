//! A connection of either database, and the transaction on it.

use std::borrow::Cow;

use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use sqlx::sqlite::Sqlite;
use sqlx::{AssertSqlSafe, Executor};

use crate::{Error, crash_point};

/// Takes the lock at once: a transaction that reads first would fail when it wants to write.
const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";

/// Runs the same body on a connection of either database.
macro_rules! on {
    ($conn:expr, $c:ident => $body:expr) => {{
        let conn: &mut $crate::db::conn::Conn = $conn;
        conn.begin_if_due().await?;
        match &mut conn.link {
            $crate::db::conn::Link::Sqlite(c) => {
                let $c = &mut **c;
                $body
            }
            $crate::db::conn::Link::Postgres(c) => {
                let $c = &mut **c;
                $body
            }
        }
    }};
}
pub(crate) use on;

pub(crate) struct Conn {
    pub link: Link,
    transaction: Transaction,
}

pub(crate) enum Link {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// Where the writer's transaction is; nobody else needs to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    /// It begins with the next statement.
    Due,
    Open,
    /// Its last statement has committed it.
    Over,
}

impl Conn {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, transaction: Transaction::None }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_))
    }

    /// Runs a statement without values.
    pub(crate) async fn command(&mut self, text: &'static str) -> Result<(), Error> {
        match &mut self.link {
            Link::Sqlite(conn) => (&mut **conn).execute(sqlx::raw_sql(text)).await.map(|_| ())?,
            Link::Postgres(conn) => (&mut **conn).execute(sqlx::raw_sql(text)).await.map(|_| ())?,
        }
        Ok(())
    }

    /// On SQLite, whose statements each take a trip to another thread: the transaction begins
    /// together with its first statement.
    pub(crate) fn begin_with_next(&mut self) {
        self.transaction = Transaction::Due;
    }

    /// The transaction has begun.
    pub(crate) fn note_begun(&mut self) {
        self.transaction = Transaction::Open;
    }

    pub(crate) async fn begin_if_due(&mut self) -> Result<(), Error> {
        if self.transaction == Transaction::Due {
            self.transaction = Transaction::Open;
            self.command(BEGIN_SQLITE).await?;
        }
        Ok(())
    }

    /// The text of a statement, which is to be run next: one that begins the transaction with it if
    /// that is due, and commits it if this is the last. On PostgreSQL, which takes one statement
    /// with values at a time, it stays as it is.
    pub(crate) fn joined(
        &mut self,
        text: &'static str,
        last: bool,
    ) -> AssertSqlSafe<Cow<'static, str>> {
        let (begin, commit) = (self.transaction == Transaction::Due, last && !self.is_postgres());
        if begin {
            self.transaction = Transaction::Open;
        }
        if commit {
            crash_point("before-commit");
            self.transaction = Transaction::Over;
        }
        AssertSqlSafe(match (begin, commit) {
            (false, false) => text.into(),
            (true, false) => format!("{BEGIN_SQLITE}; {text}").into(),
            (false, true) => format!("{text}; COMMIT").into(),
            (true, true) => format!("{BEGIN_SQLITE}; {text}; COMMIT").into(),
        })
    }

    /// Nothing can be added to its transaction any more.
    pub(crate) fn is_over(&self) -> bool {
        self.transaction == Transaction::Over
    }

    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        if self.transaction == Transaction::Open {
            crash_point("before-commit");
            self.command("COMMIT").await?;
        }
        self.transaction = Transaction::None;
        Ok(())
    }

    pub(crate) async fn roll_back(&mut self) -> Result<(), Error> {
        if self.transaction != Transaction::Due {
            self.command("ROLLBACK").await?;
        }
        self.transaction = Transaction::None;
        Ok(())
    }

    /// A connection in an unknown state is not given to anybody else.
    pub(crate) fn abandon(self) {
        match self.link {
            Link::Sqlite(conn) => drop(conn.detach()),
            Link::Postgres(conn) => drop(conn.detach()),
        }
    }
}
