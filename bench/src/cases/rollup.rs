//! What the statistics add to the cost of a request: the same load with them, and without the row that
//! each end leaves for them, in turns.

use serde_json::json;

use super::fill::Sql;
use super::{Bench, database};
use crate::Result;
use crate::hub::Hub;
use crate::ledger::Ledger;
use crate::load::Load;
use crate::load::pace::Pace;
use crate::postgres::Postgres;
use crate::report::Line;

/// Of the requests a second that go without.
const MOST: f64 = 0.10;
const ROUNDS: usize = 3;
/// People, each of whom has rows of their own in the statistics.
const SESSIONS: usize = 100;

pub async fn run(bench: &Bench, postgres: Option<Postgres>) -> Result<Vec<Line>> {
    let (name, database) = database(postgres.as_ref());
    let (place, hub, ledger) = bench.trivial(&format!("rollup-{name}"), database).await?;
    let sql = Sql::of(&hub, database);
    let seconds = bench.pick(4, 2);
    round(&hub, &sql, &ledger, 1).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(round(&hub, &sql, &ledger, seconds).await?);
        sql.run(sql.without_statistics()).await?;
        without.push(round(&hub, &sql, &ledger, seconds).await?);
        sql.run(sql.with_statistics()).await?;
    }
    place.check(hub, ledger, Some(&place.log)).await?;
    let (with, without) = (median(with), median(without));
    let more = without.rate / with.rate - 1.0;
    Ok(vec![Line {
        case: format!("statistics kept while requests end, {name}"),
        figure: format!(
            "{:+.1} % of the machine's time ({:.0}/s instead of {:.0}/s; hub {:.0} µs each instead of {:.0})",
            more * 100.0,
            with.rate,
            without.rate,
            with.cpu * 1e6,
            without.cpu * 1e6,
        ),
        target: format!("<= {:.0} %", MOST * 100.0),
        reached: Some(more <= MOST),
        raw: json!({
            "with": {"rate": with.rate, "hub_cpu_seconds_each": with.cpu},
            "without": {"rate": without.rate, "hub_cpu_seconds_each": without.cpu},
        }),
    }])
}

/// What one round showed.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    /// Seconds of the hub's processor time for each request.
    cpu: f64,
}

/// The time until everything is rolled up counts as well, for the processor.
async fn round(hub: &Hub, sql: &Sql, ledger: &Ledger, seconds: u64) -> Result<Round> {
    let cpu = hub.cpu_seconds()?;
    let pace = Pace::Closed { seconds };
    let load = Load { sessions: SESSIONS, ..Load::singles(hub.address, pace, 256) };
    let sum = load.send(ledger).await?;
    sql.until_rolled_up().await?;
    let cpu = (hub.cpu_seconds()? - cpu) / sum.completed.max(1) as f64;
    Ok(Round { rate: sum.rate(), cpu })
}

/// The one in the middle, by its rate.
fn median(mut rounds: Vec<Round>) -> Round {
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    rounds[rounds.len() / 2]
}
