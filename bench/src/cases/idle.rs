//! A hub with 20 catalogued models that nobody uses. Memory and processor on SQLite; statements as
//! `pg_stat_statements` counts them on PostgreSQL, `BEGIN` and `COMMIT` included.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Bench;
use crate::Result;
use crate::models::{Python, python};
use crate::postgres::Postgres;
use crate::report::Line;

const MODELS: usize = 20;
const MEMORY: f64 = 30.0;
const CPU: f64 = 1.0;
const STATEMENTS: f64 = 1.0;
/// After the start, until everything that belongs to it is over.
const SETTLE: Duration = Duration::from_secs(5);

const CALLS: &str = "SELECT COALESCE(SUM(calls), 0)::text FROM pg_stat_statements \
     WHERE query NOT LIKE '%pg_stat_statements%'";

struct Seen {
    memory: f64,
    cpu: f64,
    writes: f64,
    statements: Option<f64>,
}

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let sqlite = watch(bench, None).await?;
    let preload = "shared_preload_libraries=pg_stat_statements";
    let postgres = Postgres::start(&[preload]).await?;
    postgres.execute("CREATE EXTENSION pg_stat_statements").await?;
    let on_postgres = watch(bench, Some(&postgres)).await?;
    let line = |what: &str, figure: String, target: String, reached, raw| Line {
        case: format!("idle hub, {MODELS} models: {what}"),
        figure,
        target,
        reached: Some(reached),
        raw,
    };
    let raw = |seen: &Seen| {
        json!({
            "rss_mib": seen.memory, "cpu_percent": seen.cpu,
            "write_transactions_a_second": seen.writes, "statements_a_second": seen.statements,
        })
    };
    let statements = on_postgres.statements.unwrap_or(f64::NAN);
    Ok(vec![
        line(
            "memory",
            format!("RSS {:.1} MiB (PostgreSQL {:.1})", sqlite.memory, on_postgres.memory),
            format!("<= {MEMORY} MiB"),
            sqlite.memory <= MEMORY,
            raw(&sqlite),
        ),
        line(
            "processor",
            format!("{:.2} % of a core (PostgreSQL {:.2} %)", sqlite.cpu, on_postgres.cpu),
            format!("< {CPU} %"),
            sqlite.cpu < CPU,
            raw(&sqlite),
        ),
        line(
            "statements",
            format!(
                "{statements:.2}/s on PostgreSQL; {:.2} write transactions/s on SQLite",
                sqlite.writes
            ),
            format!("<= {STATEMENTS}/s"),
            statements <= STATEMENTS,
            raw(&on_postgres),
        ),
    ])
}

async fn watch(bench: &Bench, postgres: Option<&Postgres>) -> Result<Seen> {
    let place = bench.place(if postgres.is_some() { "idle-postgres" } else { "idle-sqlite" })?;
    for n in 0..MODELS {
        let name = &format!("model-{n:02}");
        python(&place.models, &Python { name, min_instances: 0, ..Python::default() })?;
    }
    let hub = place.hub(bench, postgres.map(|postgres| postgres.url.as_str()), &[]).await?;
    let mut seen = Vec::new();
    let writes_before = hub.metric("muster_transactions_total").await?;
    tokio::time::sleep(SETTLE).await;
    let begun = Instant::now();
    for pause in [Duration::ZERO, Duration::from_secs(bench.pick(40, 10))] {
        tokio::time::sleep(pause).await;
        let calls = match postgres {
            Some(postgres) => Some(postgres.scalar(CALLS).await?.parse::<f64>()?),
            None => None,
        };
        seen.push((hub.cpu_seconds()?, calls));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let memory = hub.memory_mib("VmRSS")?;
    let all = seconds + SETTLE.as_secs_f64();
    let writes = (hub.metric("muster_transactions_total").await? - writes_before) / all;
    hub.stop().await?;
    let (first, last) = (seen[0], seen[1]);
    Ok(Seen {
        memory,
        cpu: (last.0 - first.0) / seconds * 100.0,
        writes,
        statements: last.1.zip(first.1).map(|(last, first)| (last - first) / seconds),
    })
}
