//! 1,000 molecules through RDKit: what the hub adds to the model server's own time.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::Bench;
use super::direct::{Direct, median};
use crate::Result;
use crate::load::client::Client;
use crate::models::sample;
use crate::molecules::molecules;
use crate::report::Line;

const SHARE: f64 = 5.0;
const MOLECULES: usize = 1000;
/// As in the model's description.
const BATCH: usize = 250;
const NAME: &str = "rdkit-descriptors";

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("rdkit")?;
    let environments = bench.cache.join("environments");
    let folder = sample(&place.models, Path::new("models/rdkit-descriptors"), NAME)?;
    let mut prepare = Command::new(&bench.muster);
    prepare.args(["model", "prepare"]).arg(&folder).arg("--environments").arg(&environments);
    let prepared = prepare.stdin(Stdio::null()).output()?;
    if !prepared.status.success() {
        return Err(String::from_utf8_lossy(&prepared.stderr).into());
    }
    fs::create_dir_all(place.folder.join("data"))?;
    std::os::unix::fs::symlink(&environments, place.folder.join("data/environments"))?;
    let hub = place.hub(bench, None, &[]).await?;
    hub.ready(NAME, 1).await?;
    let mut direct = Direct::start(bench, &place, &folder, &environments).await?;
    let (mut client, molecules) = (hub.client()?, molecules(MOLECULES));
    let token = client.session().await?;
    let (mut alone, mut through) = (Vec::new(), Vec::new());
    // The first of each warms up.
    for round in 0..bench.pick(12, 4) {
        let (one, other) = (
            run_alone(&mut direct, &molecules).await?,
            run_through(&mut client, &token, &molecules).await?,
        );
        if round > 0 {
            alone.push(one);
            through.push(other);
        }
    }
    hub.stop().await?;
    let (alone, through) = (median(&mut alone), median(&mut through));
    let share = (through - alone) / alone * 100.0;
    Ok(vec![Line {
        case: format!("{MOLECULES} molecules through rdkit-descriptors, warm"),
        figure: format!(
            "hub adds {share:.1} % ({:.0} ms through the hub, {:.0} ms of the model server alone)",
            through * 1000.0,
            alone * 1000.0
        ),
        target: format!("<= {SHARE} %"),
        reached: Some(share <= SHARE),
        raw: json!({"share_percent": share, "hub_seconds": through, "model_seconds": alone}),
    }])
}

/// The calls that the hub makes, one after the other.
async fn run_alone(direct: &mut Direct, molecules: &[String]) -> Result<f64> {
    let begun = Instant::now();
    for batch in molecules.chunks(BATCH) {
        let answer = direct.call(serde_json::to_vec(batch)?.into()).await?;
        let rows: Vec<serde_json::Value> = answer.read()?;
        if rows.len() != batch.len() {
            return Err("the model server gave another number of rows".into());
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

async fn run_through(client: &mut Client, token: &str, molecules: &[String]) -> Result<f64> {
    let begun = Instant::now();
    let body = serde_json::to_vec(&json!({"model": NAME, "inputs": molecules, "cache": false}))?;
    let path = "/api/v1/requests?wait=60";
    let answer: serde_json::Value = client.post(path, token, body.into()).await?;
    if answer["phase"] != "completed" || answer["done"] != molecules.len() {
        return Err(format!("the request is {answer}").into());
    }
    Ok(begun.elapsed().as_secs_f64())
}
