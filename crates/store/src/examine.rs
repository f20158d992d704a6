//! A look at what a store stands on: at an open one, or without opening it, when nothing is migrated and no
//! server begins.

use std::time::Duration;

use bytes::Bytes;
use muster_core::{Check, CheckState};

use crate::db::Db;
use crate::db::conn::on;
use crate::objects::ObjectFolder;
use crate::{Clock, Database, Error, Objects, Store};

const VERSION_POSTGRES: &str = "SELECT current_setting('server_version')";
const NOW_POSTGRES: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
const VERSION_SQLITE: &str = "SELECT sqlite_version()";

/// Clocks of a hub and its database may differ by so much, microseconds.
const SKEW: i64 = 1_000_000;
/// What does not answer in this time is broken, as far as an open store is concerned.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Examined {
    /// `SQLite` or `PostgreSQL`, and its version.
    version: String,
    /// How far its clock is ahead of ours, microseconds; `None`: it has none of its own.
    ahead: Option<i64>,
}

impl Store {
    /// Its database, the clock of that, and its object storage.
    pub async fn examine(&self) -> Vec<Check> {
        let inner = &self.inner;
        let database = tokio::time::timeout(PATIENCE, ask(&inner.db, &inner.clock));
        let objects = tokio::time::timeout(PATIENCE, try_out(&inner.objects, &inner.clock));
        let (database, objects) = tokio::join!(database, objects);
        let late = || Error::unavailable("no answer within 5 seconds");
        let mut checks = database_checks(database.unwrap_or_else(|_| Err(late())));
        checks.push(objects_check(objects.unwrap_or_else(|_| Err(late()))));
        checks
    }
}

/// A database, and its clock; one that is a file has to be there.
pub async fn examine_database(database: &Database, clock: &Clock) -> Vec<Check> {
    database_checks(connect_and_ask(database, clock).await)
}

/// Writes an object, reads it and removes it.
pub async fn examine_objects(objects: Objects, clock: &Clock) -> Check {
    let tried = async { try_out(&ObjectFolder::open(objects)?, clock).await };
    objects_check(tried.await)
}

fn database_checks(examined: Result<Examined, Error>) -> Vec<Check> {
    let check = |state, what: String| Check::new(Check::DATABASE, state, what);
    let examined = match examined {
        Ok(examined) => examined,
        Err(error) => return vec![check(CheckState::Broken, error.to_string())],
    };
    let clock = match examined.ahead {
        None => Check::new("clock", CheckState::Good, "the database goes by this machine's"),
        Some(ahead) => {
            let off = format!("the database's is {:+.3} s from this machine's", ahead as f64 / 1e6);
            let state = if ahead.abs() > SKEW { CheckState::Note } else { CheckState::Good };
            Check::new("clock", state, off)
        }
    };
    vec![check(CheckState::Good, examined.version), clock]
}

fn objects_check(tried: Result<(), Error>) -> Check {
    match tried {
        Ok(()) => Check::new("objects", CheckState::Good, "written, read and removed one"),
        Err(error) => Check::new("objects", CheckState::Broken, error.to_string()),
    }
}

async fn connect_and_ask(database: &Database, clock: &Clock) -> Result<Examined, Error> {
    if let Database::Sqlite { file } = database
        && !file.is_file()
    {
        return Err(Error::unavailable(format!("there is no file {}", file.display())));
    }
    let db = Db::connect(database).await?;
    let asked = ask(&db, clock).await;
    db.close().await;
    asked
}

async fn ask(db: &Db, clock: &Clock) -> Result<Examined, Error> {
    let mut conn = db.read().await?;
    if !db.is_postgres() {
        let version: String =
            on!(&mut conn, c => sqlx::query_scalar(VERSION_SQLITE).fetch_one(c).await?);
        return Ok(Examined { version: format!("SQLite {version}"), ahead: None });
    }
    let version: String =
        on!(&mut conn, c => sqlx::query_scalar(VERSION_POSTGRES).fetch_one(c).await?);
    let before = clock.now().micros();
    let now: i64 = on!(&mut conn, c => sqlx::query_scalar(NOW_POSTGRES).fetch_one(c).await?);
    let middle = before + (clock.now().micros() - before) / 2;
    Ok(Examined { version: format!("PostgreSQL {version}"), ahead: Some(now - middle) })
}

/// What is left where this breaks off is swept away like every object that no row points to.
async fn try_out(objects: &ObjectFolder, clock: &Clock) -> Result<(), Error> {
    let (path, bytes) = (format!("doctor/{}", clock.id()), Bytes::from_static(b"muster doctor"));
    objects.put(&path, bytes.clone()).await?;
    let read = objects.get(&path).await;
    objects.remove(&path.as_str().into()).await?;
    if read? == bytes { Ok(()) } else { Err(Error::Corrupt("it is not what was stored".into())) }
}
