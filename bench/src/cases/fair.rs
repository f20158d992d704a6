//! A person with small requests behind another one's 21,000 inputs, on one instance of a model that
//! takes 100 ms a call.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::Bench;
use super::big::Big;
use crate::Result;
use crate::ledger::Ledger;
use crate::load::client::Client;
use crate::load::millis;
use crate::models::{Python, python};
use crate::report::Line;

const INPUTS: usize = 21_000;
const TIMES: f64 = 2.0;

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("fair")?;
    python(&place.models, &Python { name: "slow", pause: 100, batch: 100, ..Python::default() })?;
    let hub = place.hub(bench, None, &[]).await?;
    hub.ready("slow", 1).await?;
    let (mut client, mut other) = (hub.client()?, hub.client()?);
    let token = client.session().await?;
    let unloaded = ask(&mut client, &token, bench.pick(60, 20)).await?;
    let ledger = Ledger::append_to(&place.ledger)?;
    let big = Big::submit(&mut other, &ledger, "slow", INPUTS).await?;
    // Its first call has to run before anybody can be behind it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let loaded = ask(&mut client, &token, bench.pick(80, 30)).await?;
    let seen = big.look(&mut other, 0).await?;
    if seen.phase != "running" {
        return Err(format!("the big request was {} before the small ones were", seen.phase).into());
    }
    hub.stop().await?;
    ledger.close()?;
    let (alone, behind) = (millis(&unloaded, 0.95), millis(&loaded, 0.95));
    let times = behind / alone;
    Ok(vec![Line {
        case: format!("one small request behind another person's {INPUTS} inputs"),
        figure: format!(
            "p95 {behind:.0} ms, {times:.2}x of {alone:.0} ms unloaded (a call takes 100 ms; the big \
             one had {} done)",
            seen.done
        ),
        target: format!("<= {TIMES}x unloaded"),
        reached: Some(times <= TIMES),
        raw: json!({
            "p50_ms": millis(&loaded, 0.5), "p95_ms": behind, "max_ms": loaded.max() as f64 / 1000.0,
            "unloaded_p50_ms": millis(&unloaded, 0.5), "unloaded_p95_ms": alone,
        }),
    }])
}

/// Small requests one after the other, at moments that do not follow the model's rhythm.
async fn ask(client: &mut Client, token: &str, requests: u64) -> Result<Histogram<u64>> {
    let mut took = Histogram::new_with_max(600_000_000, 3)?;
    for n in 0..requests {
        tokio::time::sleep(Duration::from_millis(n * 37 % 100)).await;
        let body = serde_json::to_vec(&json!({"model": "slow", "inputs": [format!("small-{n}")]}))?;
        let begun = Instant::now();
        let path = "/api/v1/requests?wait=60";
        let answer: serde_json::Value = client.post(path, token, body.into()).await?;
        took.record(begun.elapsed().as_micros() as u64)?;
        if answer["phase"] != "completed" {
            return Err(format!("a small request is {}", answer["phase"]).into());
        }
    }
    Ok(took)
}
