//! One small request after the other: from submission to the stored result in the client's hand.

use super::{Bench, database};
use crate::Result;
use crate::load::pace::Pace;
use crate::load::{Load, Sum};
use crate::postgres::Postgres;
use crate::report::Line;

const P50: f64 = 1.5;
/// Of 64 at once.
const SQLITE: f64 = 6000.0;
const POSTGRES: f64 = 3000.0;
const P99: f64 = 10.0;

pub async fn run(bench: &Bench, postgres: Option<Postgres>) -> Result<Vec<Line>> {
    let (name, database) = database(postgres.as_ref());
    let (place, hub, ledger) = bench.trivial(&format!("small-{name}"), database).await?;
    let load = |pace, connections| Load::singles(hub.address, pace, connections);
    load(Pace::Closed { seconds: 1 }, 1).send(&ledger).await?;
    let closed = Pace::Closed { seconds: bench.pick(15, 4) };
    let closed = load(closed, 1).send(&ledger).await?;
    let together = Pace::Closed { seconds: bench.pick(10, 4) };
    let together = load(together, 64).send(&ledger).await?;
    let open = Pace::Open { rate: 50.0, seconds: bench.pick(30, 6) };
    let open = load(open, 32).send(&ledger).await?;
    place.check(hub, ledger, Some(&place.log)).await?;
    let line = |how: &str, sum: &Sum| Line {
        case: format!("small request, {name}, {how}"),
        figure: format!(
            "p50 {:.2} ms, p99 {:.2} ms ({} requests, {} late)",
            sum.millis(0.5),
            sum.millis(0.99),
            sum.completed,
            sum.late
        ),
        target: format!("p50 <= {P50} ms, p99 <= {P99} ms"),
        reached: Some(sum.millis(0.5) <= P50 && sum.millis(0.99) <= P99),
        raw: sum.to_json(),
    };
    let rate = if postgres.is_some() { POSTGRES } else { SQLITE };
    let together = Line {
        case: format!("small requests, {name}, 64 at once"),
        figure: format!(
            "{:.0}/s, p50 {:.1} ms, p99 {:.1} ms",
            together.rate(),
            together.millis(0.5),
            together.millis(0.99)
        ),
        target: format!(">= {rate}/s"),
        reached: Some(together.rate() >= rate),
        raw: together.to_json(),
    };
    Ok(vec![line("closed loop", &closed), line("open loop 50/s", &open), together])
}
