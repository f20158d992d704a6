//! One request with a million inputs; and one with many calls that wait, on one and two instances.

use serde_json::json;

use super::big::Big;
use super::{Bench, Place};
use crate::Result;
use crate::echo_server::EchoServer;
use crate::hub::Hub;
use crate::ledger::Ledger;
use crate::models::{Python, http, python};
use crate::report::Line;

const RATE: f64 = 200_000.0;
const MEMORY: f64 = 256.0;
const GAIN: f64 = 1.8;
const BATCH: u32 = 10_000;

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("million")?;
    let echo = EchoServer::start(&bench.own, &place.folder, &[]).await?;
    http(&place.models, "echo", &echo.url(), BATCH)?;
    let external = one(bench, &place, "echo", "an external server").await?;
    drop(echo);
    let place = bench.place("million-local")?;
    python(&place.models, &Python { batch: BATCH, ..Python::default() })?;
    let local = one(bench, &place, "trivial", "a local Python process").await?;
    Ok(vec![external, local])
}

async fn one(bench: &Bench, place: &Place, model: &str, what: &str) -> Result<Line> {
    let count = bench.pick(1_000_000, 200_000);
    let hub = start(bench, place).await?;
    hub.ready(model, 1).await?;
    let ledger = Ledger::append_to(&place.ledger)?;
    let mut client = hub.client()?;
    let cpu = hub.cpu_seconds()?;
    let big = Big::submit(&mut client, &ledger, model, count).await?;
    let seconds = big.completed(&mut client).await?;
    let (cpu, peak) = (hub.cpu_seconds()? - cpu, hub.memory_mib("VmHWM")?);
    let download = big.look_at_rows(&mut client).await?;
    let peak_after = hub.memory_mib("VmHWM")?;
    place.check(hub, ledger, None).await?;
    let rate = count as f64 / seconds;
    Ok(Line {
        case: format!("one request of {count} inputs, {what}"),
        figure: format!(
            "{rate:.0} inputs/s ({seconds:.2} s, acknowledged after {:.2} s; hub {cpu:.2} s of a \
             core); peak RSS {peak:.0} MiB, {peak_after:.0} MiB with the download ({download:.2} s)",
            big.acknowledged
        ),
        target: format!(">= {RATE:.0} inputs/s, RSS <= {MEMORY:.0} MiB"),
        reached: Some(rate >= RATE && peak_after <= MEMORY),
        raw: json!({
            "inputs": count, "seconds": seconds, "acknowledged_seconds": big.acknowledged,
            "inputs_a_second": rate, "hub_cpu_seconds": cpu, "peak_mib": peak,
            "peak_with_download_mib": peak_after, "download_seconds": download,
        }),
    })
}

/// The same request on one instance and on two; the model waits instead of computing.
pub async fn instances(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("instances")?;
    let count = bench.pick(20_000, 8_000);
    for (name, instances) in [("one", 1), ("two", 2)] {
        let model = Python {
            name,
            pause: 200,
            batch: 500,
            min_instances: instances,
            max_instances: instances,
            log: Some(&place.log),
            ..Python::default()
        };
        python(&place.models, &model)?;
    }
    let hub = start(bench, &place).await?;
    hub.ready("one", 1).await?;
    hub.ready("two", 2).await?;
    let ledger = Ledger::append_to(&place.ledger)?;
    let mut client = hub.client()?;
    let mut seconds = Vec::new();
    for model in ["one", "two"] {
        let big = Big::submit(&mut client, &ledger, model, count).await?;
        seconds.push(big.completed(&mut client).await?);
        big.look_at_rows(&mut client).await?;
    }
    place.check(hub, ledger, Some(&place.log)).await?;
    let gain = seconds[0] / seconds[1];
    Ok(vec![Line {
        case: "two instances instead of one, a model that waits".to_owned(),
        figure: format!("{gain:.2}x ({:.2} s, {:.2} s)", seconds[0], seconds[1]),
        target: format!(">= {GAIN}x"),
        reached: Some(gain >= GAIN),
        raw: json!({"one_seconds": seconds[0], "two_seconds": seconds[1], "inputs": count}),
    }])
}

async fn start(bench: &Bench, place: &Place) -> Result<Hub> {
    place.hub(bench, None, &["--limits-inputs", "2000000", "--limits-body-bytes", "256MiB"]).await
}
