//! A look at what a store stands on, without opening it: nothing is migrated, and no server begins.

use bytes::Bytes;

use crate::db::Db;
use crate::db::conn::on;
use crate::objects::ObjectFolder;
use crate::{Clock, Database, Error, Objects};

const VERSION_POSTGRES: &str = "SELECT current_setting('server_version')";
const NOW_POSTGRES: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
const VERSION_SQLITE: &str = "SELECT sqlite_version()";

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// `SQLite` or `PostgreSQL`, and its version.
    pub version: String,
    /// How far its clock is ahead of ours, microseconds; `None`: it has none of its own.
    pub ahead: Option<i64>,
}

/// Asks a database; one that is a file has to be there.
///
/// # Errors
///
/// It cannot be reached, or cannot be used.
pub async fn examine_database(database: &Database, clock: &Clock) -> Result<Examined, Error> {
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

/// Writes an object, reads it and removes it.
///
/// # Errors
///
/// One of the three does not go.
pub async fn examine_objects(objects: Objects, clock: &Clock) -> Result<(), Error> {
    let objects = ObjectFolder::open(objects)?;
    let (path, bytes) = (format!("doctor/{}", clock.id()), Bytes::from_static(b"muster doctor"));
    objects.put(&path, bytes.clone()).await?;
    let read = objects.get(&path).await;
    objects.remove(&path.as_str().into()).await?;
    if read? == bytes { Ok(()) } else { Err(Error::Corrupt("it is not what was stored".into())) }
}
