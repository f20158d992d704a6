//! A batch of 1,000 straight to the model server of a trivial Python model: what lies between a hub and
//! the model's own function.

use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::Bench;
use super::direct::{Direct, median};
use crate::Result;
use crate::models::{Python, python};
use crate::report::Line;

const TARGET: f64 = 1.5;
const INPUTS: usize = 1000;

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("model-server")?;
    python(&place.models, &Python::default())?;
    let (folder, environments) = (place.models.join("trivial"), place.folder.join("environments"));
    let mut direct = Direct::start(bench, &place, &folder, &environments).await?;
    let inputs: Vec<String> = (0..INPUTS).map(|n| format!("input number {n}")).collect();
    let body = Bytes::from(serde_json::to_vec(&inputs)?);
    let mut took = Vec::new();
    // The first ones warm up.
    for round in 0..bench.pick(520, 120) {
        let begun = Instant::now();
        let answer = direct.call(body.clone()).await?;
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        if round < 20 {
            let rows: Vec<serde_json::Value> = answer.read()?;
            if rows.len() != INPUTS || rows[INPUTS - 1]["echo"] != inputs[INPUTS - 1] {
                return Err("the model server gave other rows".into());
            }
        } else {
            took.push(ms);
        }
    }
    let p50 = median(&mut took);
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok(vec![Line {
        case: "model-server batch of 1,000".to_owned(),
        figure: format!("{p50:.2} ms (p99 {p99:.2} ms)"),
        target: format!("<= {TARGET} ms"),
        reached: Some(p50 <= TARGET),
        raw: json!({"p50_ms": p50, "p99_ms": p99}),
    }])
}
