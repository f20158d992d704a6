//! From the moment a model's process is ready to its first job: both as the model itself sees it.

use std::fs;

use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::json;

use super::Bench;
use crate::Result;
use crate::load::millis;
use crate::models::{Python, python};
use crate::report::Line;

const MODELS: usize = 20;
const P99: f64 = 20.0;

#[derive(Deserialize)]
struct Noted {
    t: u64,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    begin: Option<Vec<String>>,
}

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut took = Histogram::<u64>::new_with_max(60_000_000, 3)?;
    let mut cold = Histogram::<u64>::new_with_max(60_000_000, 3)?;
    for round in 0..bench.pick(5, 1) {
        let place = bench.place(&format!("ready-{round}"))?;
        let names: Vec<String> = (0..MODELS).map(|n| format!("cold-{n:02}")).collect();
        for name in &names {
            let log = place.folder.join(format!("{name}.jsonl"));
            // It has to be there: models may write to what is named when the hub starts.
            fs::write(&log, "")?;
            let (name, log) = (name.as_str(), Some(log.as_path()));
            python(&place.models, &Python { name, log, min_instances: 0, ..Python::default() })?;
        }
        let hub = place.hub(bench, None, &["--max-instances", "64"]).await?;
        let mut client = hub.client()?;
        let token = client.session().await?;
        for name in &names {
            let body = serde_json::to_vec(&json!({"model": name, "inputs": ["a"]}))?;
            let begun = std::time::Instant::now();
            let path = "/api/v1/requests?wait=60";
            let answer: serde_json::Value = client.post(path, &token, body.into()).await?;
            cold.record(begun.elapsed().as_micros() as u64)?;
            if answer["phase"] != "completed" {
                return Err(format!("a request of {name} is {}", answer["phase"]).into());
            }
        }
        hub.stop().await?;
        for name in &names {
            let text = fs::read_to_string(place.folder.join(format!("{name}.jsonl")))?;
            let lines: Vec<Noted> =
                text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
            let ready = lines.iter().find(|line| line.ready).ok_or("it never was ready")?;
            let first = lines.iter().find(|line| line.begin.is_some()).ok_or("no job came")?;
            took.record(first.t.saturating_sub(ready.t))?;
        }
    }
    let (p50, p99) = (millis(&took, 0.5), millis(&took, 0.99));
    Ok(vec![Line {
        case: "model process ready to first job in the model".to_owned(),
        figure: format!(
            "p50 {p50:.1} ms, p99 {p99:.1} ms ({} starts; cold request in all p50 {:.0} ms)",
            took.len(),
            millis(&cold, 0.5)
        ),
        target: format!("p99 <= {P99} ms"),
        reached: Some(p99 <= P99),
        raw: json!({
            "starts": took.len(), "p50_ms": p50, "p99_ms": p99,
            "max_ms": took.max() as f64 / 1000.0, "cold_p50_ms": millis(&cold, 0.5),
        }),
    }])
}
