//! How long submissions take while `muster clean` clears many requests beside the hub, and without it.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::process::Command;

use super::fill::Sql;
use super::{Bench, database};
use crate::Result;
use crate::hub::Hub;
use crate::load::millis;
use crate::models::{Python, python};
use crate::postgres::Postgres;
use crate::report::Line;

/// As many as the target names.
const FULL: u64 = 1_000_000;
/// Between two submissions.
const EVERY: Duration = Duration::from_millis(20);
/// The p99 during a clean, against the one without.
const MOST: f64 = 2.0;

pub async fn run(bench: &Bench, postgres: Option<Postgres>) -> Result<Vec<Line>> {
    let (name, database) = database(postgres.as_ref());
    let place = bench.place(&format!("clean-{name}"))?;
    python(&place.models, &Python::default())?;
    let hub = place.hub(bench, database, &[]).await?;
    let sql = Sql::of(&hub, database);
    hub.stop().await?;
    let usual = if bench.full { FULL } else { bench.pick(50_000, 20_000) };
    let requests = bench.requests.unwrap_or(usual);
    sql.fill(requests, crate::clock::micros() as i64, true).await?;
    let hub = place.hub(bench, database, &[]).await?;
    hub.ready("trivial", 1).await?;
    sql.until_rolled_up().await?;
    // What was filled is on disk, or submissions wait for it.
    rustix::fs::sync();
    let quiet = Instant::now();
    let length = Duration::from_secs(bench.pick(30, 10));
    submit(&hub, || Ok(quiet.elapsed() > length / 5)).await?;
    let quiet = Instant::now();
    let without = submit(&hub, || Ok(quiet.elapsed() > length)).await?;
    let mut clean = Command::new(&bench.muster);
    clean.args(["clean", "--older-than", "7d", "--json", "--data-dir"]).arg(&hub.data);
    if let Some(url) = database {
        clean.env("MUSTER_DATABASE_URL", url);
    }
    let begun = Instant::now();
    let mut child = clean.stdout(std::process::Stdio::piped()).spawn()?;
    let during = submit(&hub, || Ok(child.try_wait()?.is_some())).await?;
    let took = begun.elapsed().as_secs_f64();
    let output = child.wait_with_output().await?;
    let cleared: Value = serde_json::from_slice(&output.stdout)?;
    let cleared = cleared["requests"].as_u64().ok_or("the clean failed")?;
    let left = sql.number("SELECT COUNT(*) FROM request WHERE model_id <> 'trivial'").await?;
    if cleared + left as u64 != requests {
        return Err(format!("{cleared} cleared, {left} left of {requests}").into());
    }
    hub.stop().await?;
    let figures = |took: &Histogram<u64>| (millis(took, 0.5), millis(took, 0.99));
    let ((p50, p99), (p50_during, p99_during)) = (figures(&without), figures(&during));
    let ratio = p99_during / p99;
    Ok(vec![Line {
        case: format!("submit while {cleared} requests are cleared, {name}"),
        figure: format!(
            "p50 {p50:.2} ms, p99 {p99:.2} ms without; {p50_during:.2}, {p99_during:.2} ms during: \
             {ratio:.2}x; {:.0} requests cleared a second",
            cleared as f64 / took
        ),
        target: format!("p99 <= {MOST:.0}x"),
        reached: Some(ratio <= MOST),
        raw: json!({
            "p50_ms": p50, "p99_ms": p99, "p50_during_ms": p50_during, "p99_during_ms": p99_during,
            "submits": without.len(), "submits_during": during.len(), "seconds": took,
        }),
    }])
}

/// One submission each 20 ms, each from when it was due, until it is over.
async fn submit(
    hub: &Hub,
    mut over: impl FnMut() -> std::io::Result<bool>,
) -> Result<Histogram<u64>> {
    let mut client = hub.client()?;
    let token = client.session().await?;
    let body = json!({"model": "trivial", "inputs": ["a"], "cache": false}).to_string();
    let mut took = Histogram::new_with_max(600_000_000, 3)?;
    let mut due = Instant::now();
    while !over()? {
        due += EVERY;
        tokio::time::sleep_until(due.into()).await;
        client.post::<Value>("/api/v1/requests", &token, body.clone().into()).await?;
        took.record(due.elapsed().as_micros() as u64)?;
    }
    Ok(took)
}
