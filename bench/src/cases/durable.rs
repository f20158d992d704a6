//! As many single-input requests as go: each acknowledged on disk, run, stored and answered.

use serde_json::json;

use super::{Bench, database};
use crate::Result;
use crate::load::Load;
use crate::load::pace::Pace;
use crate::postgres::Postgres;
use crate::report::Line;

/// Of what a closed loop shows, so that the open loop is offered what can be done.
const SHARE: f64 = 0.9;

pub async fn run(bench: &Bench, postgres: Option<Postgres>) -> Result<Vec<Line>> {
    let (name, database) = database(postgres.as_ref());
    let target = if postgres.is_some() { 3000.0 } else { 5000.0 };
    let (place, hub, ledger) = bench.trivial(&format!("durable-{name}"), database).await?;
    let load =
        |pace, connections| Load { sessions: 8, ..Load::singles(hub.address, pace, connections) };
    let closed = Pace::Closed { seconds: bench.pick(5, 3) };
    let closed = load(closed, 256).send(&ledger).await?;
    let rate = bench.rate.unwrap_or(closed.rate() * SHARE);
    let (transactions, cpu) = (hub.metric("muster_transactions_total").await?, hub.cpu_seconds()?);
    let open = Pace::Open { rate, seconds: bench.pick(60, 8) };
    let open = load(open, 512).send(&ledger).await?;
    let transactions = hub.metric("muster_transactions_total").await? - transactions;
    let cpu = hub.cpu_seconds()? - cpu;
    let peak = hub.memory_mib("VmHWM")?;
    place.check(hub, ledger, Some(&place.log)).await?;
    let each = open.completed.max(1) as f64;
    Ok(vec![Line {
        case: format!("durable single-input requests, {name}"),
        figure: format!(
            "{:.0}/s for {:.0} s (offered {rate:.0}/s, closed loop {:.0}/s), p50 {:.1} ms, \
             p99 {:.1} ms, {:.0} requests a transaction, hub {:.0} µs of a core each, 0 of {} lost",
            open.rate(),
            open.lasted.as_secs_f64(),
            closed.rate(),
            open.millis(0.5),
            open.millis(0.99),
            each / transactions.max(1.0),
            cpu * 1e6 / each,
            open.sent,
        ),
        target: format!(">= {target}/s, none lost"),
        reached: Some(open.rate() >= target && open.refused + open.unknown == 0),
        raw: json!({
            "open": open.to_json(), "closed": closed.to_json(), "offered": rate,
            "transactions": transactions, "hub_cpu_seconds": cpu, "hub_peak_mib": peak,
            "postgres": postgres.as_ref().map(|postgres| &postgres.version),
        }),
    }])
}
