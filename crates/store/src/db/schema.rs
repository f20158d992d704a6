//! Migrations: a list of files for each database, applied in order, once.

use muster_core::Timestamp;
use sqlx::{AssertSqlSafe, Executor};

use crate::Error;
use crate::db::conn::{Conn, on};
use crate::db::dialect;
use crate::db::{Db, Ts};

const SQLITE: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/sqlite/0001_first.sql")),
    (2, include_str!("../../migrations/sqlite/0002_people.sql")),
    (3, include_str!("../../migrations/sqlite/0003_chosen.sql")),
    (4, include_str!("../../migrations/sqlite/0004_statistics.sql")),
    (5, include_str!("../../migrations/sqlite/0005_limits.sql")),
    (6, include_str!("../../migrations/sqlite/0006_oversight.sql")),
    (7, include_str!("../../migrations/sqlite/0007_instances.sql")),
    (8, include_str!("../../migrations/sqlite/0008_clearing.sql")),
    (9, include_str!("../../migrations/sqlite/0009_details.sql")),
    (10, include_str!("../../migrations/sqlite/0010_successors.sql")),
    (11, include_str!("../../migrations/sqlite/0011_result_sizes.sql")),
    (12, include_str!("../../migrations/sqlite/0012_labels.sql")),
    (13, include_str!("../../migrations/sqlite/0013_preparing.sql")),
    (14, include_str!("../../migrations/sqlite/0014_inputs.sql")),
    (15, include_str!("../../migrations/sqlite/0015_room.sql")),
    (16, include_str!("../../migrations/sqlite/0016_in_place.sql")),
    (17, include_str!("../../migrations/sqlite/0017_nodes.sql")),
    (18, include_str!("../../migrations/sqlite/0018_groups.sql")),
    (19, include_str!("../../migrations/sqlite/0019_planned.sql")),
    (20, include_str!("../../migrations/sqlite/0020_pods.sql")),
    (21, include_str!("../../migrations/sqlite/0021_usage.sql")),
    (22, include_str!("../../migrations/sqlite/0022_pod_words.sql")),
    (23, include_str!("../../migrations/sqlite/0023_versions.sql")),
    (24, include_str!("../../migrations/sqlite/0024_folder_key.sql")),
];
const POSTGRES: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/postgres/0001_first.sql")),
    (2, include_str!("../../migrations/postgres/0002_people.sql")),
    (3, include_str!("../../migrations/postgres/0003_chosen.sql")),
    (4, include_str!("../../migrations/postgres/0004_statistics.sql")),
    (5, include_str!("../../migrations/postgres/0005_limits.sql")),
    (6, include_str!("../../migrations/postgres/0006_oversight.sql")),
    (7, include_str!("../../migrations/postgres/0007_instances.sql")),
    (8, include_str!("../../migrations/postgres/0008_clearing.sql")),
    (9, include_str!("../../migrations/postgres/0009_details.sql")),
    (10, include_str!("../../migrations/postgres/0010_successors.sql")),
    (11, include_str!("../../migrations/postgres/0011_result_sizes.sql")),
    (12, include_str!("../../migrations/postgres/0012_labels.sql")),
    (13, include_str!("../../migrations/postgres/0013_preparing.sql")),
    (14, include_str!("../../migrations/postgres/0014_inputs.sql")),
    (15, include_str!("../../migrations/postgres/0015_room.sql")),
    (16, include_str!("../../migrations/postgres/0016_in_place.sql")),
    (17, include_str!("../../migrations/postgres/0017_nodes.sql")),
    (18, include_str!("../../migrations/postgres/0018_groups.sql")),
    (19, include_str!("../../migrations/postgres/0019_planned.sql")),
    (20, include_str!("../../migrations/postgres/0020_pods.sql")),
    (21, include_str!("../../migrations/postgres/0021_usage.sql")),
    (22, include_str!("../../migrations/postgres/0022_pod_words.sql")),
    (23, include_str!("../../migrations/postgres/0023_versions.sql")),
    (24, include_str!("../../migrations/postgres/0024_folder_key.sql")),
];

/// Serialises two servers that start on an empty PostgreSQL database.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7236829)";

/// Brings the database to this version of the schema. A newer one is refused.
pub(crate) async fn migrate(db: &Db, now: Timestamp) -> Result<(), Error> {
    let (time, all) = match db {
        Db::Sqlite { .. } => ("INTEGER", SQLITE),
        Db::Postgres { .. } => ("TIMESTAMPTZ", POSTGRES),
    };
    let mut conn = db.write().await?;
    let begin = if db.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" };
    run(&mut conn, begin.to_owned()).await?;
    let migrated = steps(db, &mut conn, time, all, now).await;
    let how = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    run(&mut conn, how.to_owned()).await?;
    migrated
}

async fn steps(
    db: &Db,
    conn: &mut Conn,
    time: &str,
    all: &[(i64, &str)],
    now: Timestamp,
) -> Result<(), Error> {
    if let Db::Postgres { schema, .. } = db {
        run(conn, LOCK.to_owned()).await?;
        if !is_there(conn, dialect::HAS_SCHEMA_POSTGRES, schema).await? {
            run(conn, format!("CREATE SCHEMA \"{schema}\"")).await?;
        }
    }
    if !is_there(conn, dialect::has_table(db.is_postgres()), "migration").await? {
        let table = format!(
            "CREATE TABLE migration (version BIGINT PRIMARY KEY, applied_at {time} NOT NULL)"
        );
        run(conn, table).await?;
    }
    let done: Vec<i64> = on!(conn, c => {
        sqlx::query_scalar("SELECT version FROM migration ORDER BY version").fetch_all(c).await?
    });
    let last = done.last().copied().unwrap_or(0);
    let newest = all.last().map_or(0, |(version, _)| *version);
    if last > newest {
        return Err(Error::Schema(format!(
            "the database has schema version {last}, this program knows {newest}; use a newer muster"
        )));
    }
    for (version, text) in all.iter().filter(|(version, _)| !done.contains(version)) {
        run(conn, (*text).to_owned()).await?;
        on!(conn, c => {
            sqlx::query("INSERT INTO migration (version, applied_at) VALUES ($1, $2)")
                .bind(*version)
                .bind(Ts(now))
                .execute(c)
                .await
                .map(|_| ())?
        });
    }
    Ok(())
}

/// Looks before it makes something: `IF NOT EXISTS` needs the right to make it even when it is
/// there, which a role that only uses the database lacks.
async fn is_there(conn: &mut Conn, question: &'static str, name: &str) -> Result<bool, Error> {
    Ok(on!(conn, c => sqlx::query_scalar(question).bind(name).fetch_one(c).await?))
}

async fn run(conn: &mut Conn, sql: String) -> Result<(), Error> {
    on!(conn, c => c.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(|_| ())?);
    Ok(())
}
