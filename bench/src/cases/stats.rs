//! Many requests of two years: how long questions to the statistics take, beside the same question asked
//! of the requests themselves; and pages of the administrators' list, with all kinds of filters.
//!
//! The requests are written with SQL, as ended ones; the hub itself folds them into its statistics.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use muster_core::Timestamp;
use muster_core::stats::{Day, Grain};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::Bench;
use crate::Result;
use crate::load::client::{Client, Extra};
use crate::load::millis;
use crate::postgres::Postgres;
use crate::report::Line;

const FULL: u64 = 10_000_000;
const MODELS: u64 = 50;
pub const PEOPLE: u64 = 20_000;
/// Requests in one statement.
const AT_ONCE: u64 = 50_000;
const PASSWORD: &str = "tangible orchard 42 sings";
/// Longest time to fold them all.
const FOLDING: Duration = Duration::from_secs(3600);

/// The naive way: what the table shows, three times over all requests.
const NAIVE: [&str; 3] = [
    "SELECT COUNT(*) FROM (SELECT model_id, COUNT(*), SUM(inputs), SUM(cached) FROM request \
     GROUP BY model_id) AS all_of_them",
    "SELECT COUNT(*) FROM (SELECT model_id, COUNT(*) AS n, MAX(ended_at - submitted_at), \
     MIN(ended_at - submitted_at), AVG(ended_at - submitted_at), MAX(ended_at - started_at), \
     MIN(ended_at - started_at), AVG(ended_at - started_at) FROM request \
     WHERE phase = 'completed' GROUP BY model_id) AS completed",
    "SELECT COUNT(*) FROM (SELECT model_id, COUNT(*), SUM(failed) FROM request \
     WHERE phase IN ('failed', 'cancelled') GROUP BY model_id) AS the_others",
];

/// The hub's database, while the hub is stopped or beside it.
enum Sql {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Sql {
    async fn run(&self, statement: String) -> Result<()> {
        let statement = AssertSqlSafe(statement);
        match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file);
                let mut conn: SqliteConnection =
                    options.disable_statement_logging().connect().await?;
                sqlx::raw_sql(statement).execute(&mut conn).await?;
                conn.close().await?;
            }
            Self::Postgres(url) => {
                let mut conn = PgConnection::connect(url).await?;
                sqlx::raw_sql(statement).execute(&mut conn).await?;
                conn.close().await?;
            }
        }
        Ok(())
    }

    async fn number(&self, statement: &str) -> Result<i64> {
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
        // 31 bits that look random, of the number of the request.
        let any = |factor: u64| format!("((i * {factor} % 4294967296) / 2)");
        let (a, b, c) = (any(2_654_435_761), any(2_246_822_519), any(3_266_489_917));
        let (d, e) = (any(668_265_263), any(374_761_393));
        let series = self.series(from, until);
        let person = self.id(&format!("1 + {a} % {PEOPLE}"));
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
}

pub async fn run(bench: &Bench, postgres: Option<Postgres>) -> Result<Vec<Line>> {
    let name = if postgres.is_some() { "PostgreSQL" } else { "SQLite" };
    let place = bench.place(&format!("stats-{name}"))?;
    let database = postgres.as_ref().map(|postgres| postgres.url.as_str());
    let hub = place.hub(bench, database, &[]).await?;
    let sql = match database {
        Some(url) => Sql::Postgres(url.to_owned()),
        None => Sql::Sqlite(hub.data.join("muster.db")),
    };
    sign_up(&mut hub.client()?).await?;
    hub.stop().await?;
    let usual = if bench.full { FULL } else { bench.pick(1_000_000, 100_000) };
    let requests = bench.requests.unwrap_or(usual);
    let now = crate::clock::micros() as i64;
    let begun = Instant::now();
    sql.run("UPDATE account SET permissions = 'ADMIN'".into()).await?;
    sql.run(sql.people(now)).await?;
    for from in (0..requests).step_by(AT_ONCE as usize) {
        sql.run(sql.requests((from, requests.min(from + AT_ONCE), requests), now)).await?;
    }
    if let Sql::Postgres(_) = sql {
        sql.run("ANALYZE".into()).await?;
    }
    let filled = begun.elapsed();
    let hub = place.hub(bench, database, &[]).await?;
    let begun = Instant::now();
    while sql.number("SELECT COUNT(*) FROM (SELECT 1 FROM ended LIMIT 1) AS one").await? > 0 {
        if begun.elapsed() > FOLDING {
            return Err("the hub did not fold in time".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let folded = begun.elapsed().as_secs_f64();
    let mut client = hub.client()?;
    let token = log_in(&mut client).await?;
    let naive = naive(&sql).await?;
    let what = format!("{requests} requests, {name}");
    let mut lines = vec![Line {
        case: format!("statistics of {what}: folded"),
        figure: format!("{:.0} a second", requests as f64 / folded),
        target: String::new(),
        reached: None,
        raw: json!({ "seconds": folded, "filled_seconds": filled.as_secs_f64() }),
    }];
    for (case, path, most) in questions(now) {
        let took = ask(&mut client, &token, &path, bench.pick(100, 30)).await?;
        let (p50, p99) = (millis(&took, 0.5), millis(&took, 0.99));
        let beside = if case == "by model" {
            format!("; three GROUP BY over the requests {naive:.0} ms, {:.0}x", naive / p50)
        } else {
            String::new()
        };
        lines.push(Line {
            case: format!("statistics of {what}: {case}"),
            figure: format!("p99 {p99:.1} ms, p50 {p50:.1} ms{beside}"),
            target: format!("p99 <= {most} ms"),
            reached: Some(p99 <= most),
            raw: json!({ "p50_ms": p50, "p99_ms": p99, "naive_ms": naive }),
        });
    }
    lines.extend(super::pages::measure(bench, &mut client, &token, &what, now).await?);
    hub.stop().await?;
    Ok(lines)
}

/// Name, path, and the most milliseconds it may take.
fn questions(now: i64) -> [(&'static str, String, f64); 6] {
    let today = Day::of(Timestamp(now));
    let year = format!("from={}&to={today}", Day(today.0 - 364));
    let month_end = Day(today.start(Grain::Month).0 - 1);
    let month = format!("from={}&to={month_end}", month_end.start(Grain::Month));
    let odd = format!("from={}&to={}", Day(today.0 - 50), Day(today.0 - 20));
    let stats = |rest: &str| format!("/api/v1/stats?limit=100&{rest}");
    [
        ("by model", stats(""), 50.0),
        ("by model and day, one year", stats(&format!("group_by=model,day&{year}")), 150.0),
        ("by user, one month", stats(&format!("group_by=user&sort=-total&{month}")), 150.0),
        ("by user, 31 days of two months", stats(&format!("group_by=user&{odd}")), 300.0),
        ("by user of one model, everything", stats("group_by=user&model=model-7"), 2000.0),
        ("filters", "/api/v1/stats/filters".into(), 50.0),
    ]
}

pub async fn ask(
    client: &mut Client,
    token: &str,
    path: &str,
    times: u64,
) -> Result<Histogram<u64>> {
    let mut took = Histogram::new_with_max(600_000_000, 3)?;
    client.get::<serde_json::Value>(path, token).await?;
    for _ in 0..times {
        let begun = Instant::now();
        client.get::<serde_json::Value>(path, token).await?;
        took.record(begun.elapsed().as_micros() as u64)?;
    }
    Ok(took)
}

/// Milliseconds of the fastest of three.
async fn naive(sql: &Sql) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let begun = Instant::now();
        for statement in NAIVE {
            sql.number(statement).await?;
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(best)
}

async fn sign_up(client: &mut Client) -> Result<()> {
    let person = json!({"name": "root", "first_name": "Hub", "last_name": "Administrator",
        "email": "root@example.org", "password": PASSWORD});
    let body = serde_json::to_vec(&person)?.into();
    let extra = Extra { body, ..Extra::default() };
    client
        .send(hyper::Method::POST, "/api/v1/accounts", extra)
        .await?
        .read::<serde_json::Value>()?;
    Ok(())
}

async fn log_in(client: &mut Client) -> Result<String> {
    let body = json!({"name": "root", "password": PASSWORD, "claim": false});
    let extra = Extra { body: serde_json::to_vec(&body)?.into(), ..Extra::default() };
    let answer = client.send(hyper::Method::POST, "/api/v1/session", extra).await?;
    let session: serde_json::Value = answer.read()?;
    Ok(session["token"].as_str().ok_or("no token")?.to_owned())
}
