//! Many requests of two years: how long questions to the statistics take, beside the same question asked
//! of the requests themselves; and pages of the administrators' list, with all kinds of filters.
//!
//! The requests are written with SQL, as ended ones; the hub itself rolls them up into its statistics.

use std::time::Instant;

use muster_core::Timestamp;
use muster_core::stats::{Day, Grain};
use serde_json::json;

use super::ask::ask;
use super::fill::Sql;
use super::{Bench, database};
use crate::Result;
use crate::load::millis;
use crate::postgres::Postgres;
use crate::report::Line;

const FULL: u64 = 10_000_000;
/// Who asks.
const ADMIN: &str = "root";

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

pub async fn run(bench: &Bench, postgres: Option<Postgres>) -> Result<Vec<Line>> {
    let (name, database) = database(postgres.as_ref());
    let place = bench.place(&format!("stats-{name}"))?;
    let hub = place.hub(bench, database, &[]).await?;
    let sql = Sql::of(&hub, database);
    hub.client()?.sign_up(ADMIN).await?;
    hub.stop().await?;
    let usual = if bench.full { FULL } else { bench.pick(100_000, 50_000) };
    let requests = bench.requests.unwrap_or(usual);
    let now = crate::clock::micros() as i64;
    let begun = Instant::now();
    sql.run("UPDATE account SET permissions = 'ADMIN'".into()).await?;
    sql.fill(requests, now, false).await?;
    let filled = begun.elapsed();
    let hub = place.hub(bench, database, &[]).await?;
    let rolled_up = sql.until_rolled_up().await?.as_secs_f64();
    let mut client = hub.client()?;
    let token = client.log_in(ADMIN).await?;
    let naive = naive(&sql).await?;
    let what = format!("{requests} requests, {name}");
    let mut lines = vec![Line {
        case: format!("statistics of {what}: rolled up"),
        figure: format!("{:.0} a second", requests as f64 / rolled_up),
        target: String::new(),
        reached: None,
        raw: json!({ "seconds": rolled_up, "filled_seconds": filled.as_secs_f64() }),
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
