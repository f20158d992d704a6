//! One request of many batches of a model that does nothing: through the hub, and the same batches sent
//! straight to its model server.

use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::direct::{Direct, median};
use super::{Bench, big::Big};
use crate::Result;
use crate::ledger::Ledger;
use crate::models::{Python, python};
use crate::report::Line;

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    Ok(vec![of(bench, 100, 1.5).await?, of(bench, 1000, 1.2).await?])
}

async fn of(bench: &Bench, batch: usize, target: f64) -> Result<Line> {
    let place = bench.place(&format!("batches-{batch}"))?;
    python(&place.models, &Python { batch: batch as u32, ..Python::default() })?;
    let hub = place.hub(bench, None, &["--limits-inputs", "2000000"]).await?;
    hub.ready("trivial", 1).await?;
    let folder = place.models.join("trivial");
    let mut direct =
        Direct::start(bench, &place, &folder, &place.folder.join("environments")).await?;
    let ledger = Ledger::append_to(&place.ledger)?;
    let mut client = hub.client()?;
    let count = bench.pick(100_000, 20_000);
    let inputs: Vec<String> = (0..count).map(|n| format!("straight-{n}")).collect();
    let mut bodies = Vec::new();
    for some in inputs.chunks(batch) {
        bodies.push(Bytes::from(serde_json::to_vec(some)?));
    }
    let (mut alone, mut through) = (Vec::new(), Vec::new());
    // The first of each warms up.
    for round in 0..bench.pick(6, 3) {
        let begun = Instant::now();
        for body in &bodies {
            if !direct.call(body.clone()).await?.status.is_success() {
                return Err("the model server failed".into());
            }
        }
        let one = begun.elapsed().as_secs_f64();
        let big = Big::submit(&mut client, &ledger, "trivial", count).await?;
        let other = big.completed(&mut client).await?;
        big.look_at_rows(&mut client).await?;
        if round > 0 {
            alone.push(one);
            through.push(other);
        }
    }
    place.check(hub, ledger, None).await?;
    let (alone, through) = (median(&mut alone), median(&mut through));
    let times = through / alone;
    let each = 1000.0 * batch as f64 / count as f64;
    Ok(Line {
        case: format!("{count} rows in batches of {batch}, a trivial Python model"),
        figure: format!(
            "{times:.2}x the model server alone ({:.2} and {:.2} ms a batch)",
            through * each,
            alone * each
        ),
        target: format!("<= {target}x"),
        reached: Some(times <= target),
        raw: json!({"rows": count, "batch": batch, "times": times, "hub_seconds": through,
            "model_seconds": alone}),
    })
}
