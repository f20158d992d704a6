//! Many requests that ended, written with SQL: for cases that need a hub with a past.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::Result;
use crate::hub::Hub;

const MODELS: u64 = 50;
pub const PEOPLE: u64 = 20_000;
/// Requests of one person that follow each other: whoever comes has more than one.
const IN_A_ROW: u64 = 5;
/// Requests in one statement.
const AT_ONCE: u64 = 50_000;
/// Longest time to roll them all up.
const ROLLING_UP: Duration = Duration::from_secs(3600);

/// The hub's database, while the hub is stopped or beside it.
pub enum Sql {
    Sqlite(PathBuf),
    Postgres(String),
}

enum Connected {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connected {
    async fn run(&mut self, statement: String) -> Result<()> {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        match self {
            Self::Sqlite(conn) => statement.execute(conn).await.map(drop)?,
            Self::Postgres(conn) => statement.execute(conn).await.map(drop)?,
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(conn) => conn.close().await?,
            Self::Postgres(conn) => conn.close().await?,
        }
        Ok(())
    }
}

impl Sql {
    pub fn of(hub: &Hub, database: Option<&str>) -> Self {
        match database {
            Some(url) => Self::Postgres(url.to_owned()),
            None => Self::Sqlite(hub.data.join("muster.db")),
        }
    }

    /// So many ended requests of many people, with tasks if they are wanted.
    pub async fn fill(&self, requests: u64, now: i64, tasks: bool) -> Result<()> {
        let mut conn = self.open().await?;
        conn.run(self.people(now)).await?;
        for from in (0..requests).step_by(AT_ONCE as usize) {
            let until = requests.min(from + AT_ONCE);
            conn.run(self.requests((from, until, requests), now)).await?;
        }
        if tasks {
            conn.run(self.tasks()).await?;
        }
        conn.close().await?;
        if let Self::Postgres(_) = self {
            self.run("ANALYZE".into()).await?;
        }
        Ok(())
    }

    /// Waits until the hub has rolled them all up into its statistics; how long that took.
    pub async fn until_rolled_up(&self) -> Result<Duration> {
        let begun = Instant::now();
        while self.number("SELECT COUNT(*) FROM (SELECT 1 FROM ended LIMIT 1) AS one").await? > 0 {
            if begun.elapsed() > ROLLING_UP {
                return Err("the hub did not roll up in time".into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(begun.elapsed())
    }

    pub async fn run(&self, statement: String) -> Result<()> {
        let mut conn = self.open().await?;
        conn.run(statement).await?;
        conn.close().await
    }

    async fn open(&self) -> Result<Connected> {
        Ok(match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file);
                // 2 GiB: the indexes of ten million requests are not read from the file again and again.
                let options = options.pragma("cache_size", "-2000000").pragma("synchronous", "OFF");
                Connected::Sqlite(options.disable_statement_logging().connect().await?)
            }
            Self::Postgres(url) => Connected::Postgres(PgConnection::connect(url).await?),
        })
    }

    pub async fn number(&self, statement: &str) -> Result<i64> {
        let statement = AssertSqlSafe(statement.to_owned());
        Ok(match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).read_only(true);
                let mut conn: SqliteConnection =
                    options.disable_statement_logging().connect().await?;
                let number = sqlx::query_scalar(statement).fetch_one(&mut conn).await;
                conn.close().await?;
                number?
            }
            Self::Postgres(url) => {
                let mut conn = PgConnection::connect(url).await?;
                let number = sqlx::query_scalar(statement).fetch_one(&mut conn).await;
                conn.close().await?;
                number?
            }
        })
    }

    /// The numbers from `from` to before `until`, as `i`.
    fn series(&self, from: u64, until: u64) -> String {
        match self {
            Self::Sqlite(_) => format!(
                "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n \
                 WHERE i + 1 < {until})"
            ),
            Self::Postgres(_) => {
                format!("WITH n(i) AS (SELECT generate_series({from}::bigint, {until} - 1))")
            }
        }
    }

    fn id(&self, number: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("unhex(printf('%032x', {number}))"),
            Self::Postgres(_) => format!("lpad(to_hex(({number})::bigint), 32, '0')::uuid"),
        }
    }

    fn bytes(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "x'00'",
            Self::Postgres(_) => "'\\x00'::bytea",
        }
    }

    /// A moment, from microseconds.
    fn time(&self, micros: &str) -> String {
        match self {
            Self::Sqlite(_) => micros.to_owned(),
            Self::Postgres(_) => {
                format!("(timestamptz 'epoch' + ({micros}) * interval '1 microsecond')")
            }
        }
    }

    /// People, of whom each second has an account.
    fn people(&self, now: i64) -> String {
        let (series, id) = (self.series(1, PEOPLE + 1), self.id("i"));
        let now = self.time(&now.to_string());
        format!(
            "INSERT INTO principal (id, kind, created_at) {series} SELECT {id}, \
             CASE WHEN i % 2 = 0 THEN 'account' ELSE 'anonymous' END, {now} FROM n; \
             INSERT INTO account (principal_id, name, name_key, first_name, last_name, email, \
             email_key, password, permissions, version) {series} SELECT {id}, 'user' || i, \
             'user' || i, 'A', 'B', 'user' || i || '@example.org', 'user' || i || '@example.org', \
             'none', '', 1 FROM n WHERE i % 2 = 0;"
        )
    }

    /// The id of a request: as real ones are, it grows with the time of submission, milliseconds.
    fn timed_id(&self, millis: &str, number: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("unhex(printf('%012x%020x', {millis}, {number}))"),
            Self::Postgres(_) => format!(
                "(lpad(to_hex(({millis})::bigint), 12, '0') \
                 || lpad(to_hex(({number})::bigint), 20, '0'))::uuid"
            ),
        }
    }

    /// Ended requests, spread over two years, models and people; `all` of them in the end. Each
    /// hundredth is of a model that is hardly used.
    fn requests(&self, (from, until, all): (u64, u64, u64), now: i64) -> String {
        // 31 bits that look random, of a number.
        let any_of =
            |number: &str, factor: u64| format!("(({number} * {factor} % 4294967296) / 2)");
        let any = |factor| any_of("i", factor);
        let (a, b, c) = (any(2_654_435_761), any(2_246_822_519), any(3_266_489_917));
        let (d, e) = (any(668_265_263), any(374_761_393));
        let series = self.series(from, until);
        let visit = any_of(&format!("(i / {IN_A_ROW})"), 2_654_435_761);
        let person = self.id(&format!("1 + {visit} % {PEOPLE}"));
        let apart = 63_072_000_000_000 / all;
        let submitted = format!("({now} - ({all} - i) * {apart} + {b} % {apart})");
        let id = self.timed_id(&format!("{submitted} / 1000"), "i");
        let model = format!(
            "CASE WHEN i % 20011 = 7 THEN 'rare' ELSE 'model-' || ({c} / 64 % {MODELS}) END"
        );
        let started = format!("({submitted} + ({c} % 1000) * ({d} % 10000))");
        let ended = format!("({started} + ({d} % 5000) * ({a} % 20000))");
        let inputs = format!(
            "(CASE {e} / 1024 % 4 WHEN 0 THEN 1 WHEN 1 THEN 2 + {d} % 9 WHEN 2 THEN 11 + {d} % 90 \
             ELSE 101 + {d} % 900 END)"
        );
        let phase = format!(
            "(CASE WHEN {d} / 1024 % 100 < 90 THEN 'completed' \
             WHEN {d} / 1024 % 100 < 97 THEN 'failed' ELSE 'cancelled' END)"
        );
        let (submitted, started, ended) =
            (self.time(&submitted), self.time(&started), self.time(&ended));
        let bytes = self.bytes();
        format!(
            "INSERT INTO request (id, principal_id, model_id, model_version, phase, submitted_at, \
             started_at, ended_at, reason, inputs, done, failed, cached, open_tasks, reading, \
             body_hash, version) {series} SELECT {id}, {person}, {model}, '1', {phase}, \
             {submitted}, {started}, {ended}, CASE WHEN {phase} <> 'completed' THEN 'x' END, \
             {inputs}, {inputs}, 0, 0, 0, '{{}}', {bytes}, 1 FROM n;"
        )
    }

    /// Requests that end from now on leave no row for the statistics.
    pub fn without_statistics(&self) -> String {
        match self {
            Self::Sqlite(_) => "CREATE TRIGGER no_statistics BEFORE INSERT ON ended BEGIN \
                 SELECT RAISE(IGNORE); END"
                .into(),
            Self::Postgres(_) => "CREATE OR REPLACE FUNCTION no_row() RETURNS trigger \
                 LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER no_statistics \
                 BEFORE INSERT ON ended FOR EACH ROW EXECUTE FUNCTION no_row()"
                .into(),
        }
    }

    /// They leave one again.
    pub fn with_statistics(&self) -> String {
        match self {
            Self::Sqlite(_) => "DROP TRIGGER no_statistics".into(),
            Self::Postgres(_) => "DROP TRIGGER no_statistics ON ended".into(),
        }
    }

    /// One task of each request, with a small input and result.
    fn tasks(&self) -> String {
        let bytes = self.bytes();
        format!(
            "INSERT INTO task (request_id, position, model_id, model_version, principal_id, state, \
             inputs, rank, rank_end, not_before, attempt, failures, use_cache, input, result, \
             result_columns) SELECT id, 0, model_id, model_version, principal_id, 'done', inputs, \
             submitted_at, submitted_at, submitted_at, 1, 0, true, {bytes}, {bytes}, '[]' \
             FROM request;"
        )
    }
}
