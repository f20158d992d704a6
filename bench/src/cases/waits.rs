//! What the hub says to people who wait, held against what became of it: a mixed load on a model that is warm, one
//! with several instances, and one that starts when somebody needs it.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use super::Bench;
use crate::Result;
use crate::load::client::Client;
use crate::models::{Python, python};
use crate::report::Line;

const MODELS: [&str; 3] = ["warm", "wide", "cold"];
/// Inputs of a request: mostly few, now and then many.
const SIZES: [usize; 10] = [1, 1, 3, 10, 1, 100, 1, 30, 400, 1];
const PEOPLE: usize = 24;
const TARGET: f64 = 0.8;
/// When somebody looks for the first time.
const LOOKS: Duration = Duration::from_millis(150);

#[derive(Deserialize)]
struct Seen {
    id: String,
    phase: String,
    expected_seconds: Option<Expected>,
}

/// Of a model.
#[derive(Deserialize)]
struct Outlook {
    expected_seconds: Option<Expected>,
}

#[derive(Clone, Copy, Deserialize)]
struct Expected {
    low: f64,
    high: f64,
}

/// Of one request: what was said when it waited, if it did, and before it was sent; and what it took from then.
struct Told {
    waited: Option<(Option<Expected>, f64)>,
    before: (Option<Expected>, f64),
}

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("waits")?;
    let slow = Python { pause: 500, batch: 50, ..Python::default() };
    python(&place.models, &Python { name: "warm", ..slow })?;
    python(&place.models, &Python { name: "wide", min_instances: 1, max_instances: 3, ..slow })?;
    python(&place.models, &Python { name: "cold", min_instances: 0, idle_seconds: 2, ..slow })?;
    let hub = place.hub(bench, None, &[]).await?;
    for model in MODELS {
        let mut client = hub.client()?;
        let token = client.session().await?;
        ask(&mut client, &token, (model, 250)).await?;
    }
    // What instances did is noted every two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let until = Instant::now() + Duration::from_secs(bench.pick(120, 30));
    let mut people = JoinSet::new();
    for person in 0..PEOPLE {
        let mut client = hub.client()?;
        people.spawn(async move {
            let (token, mut told) = (client.session().await?, Vec::new());
            for n in 0.. {
                if Instant::now() >= until {
                    break;
                }
                let what = (MODELS[(person + n) % 3], SIZES[(7 * n + 3 * person) % SIZES.len()]);
                told.push(ask(&mut client, &token, what).await?);
                let pause = 100 + (n as u64 * 377 + person as u64 * 131) % 2_000;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            Result::Ok(told)
        });
    }
    let mut told = Vec::new();
    while let Some(one) = people.join_next().await {
        told.extend(one??);
    }
    hub.stop().await?;
    let waited: Vec<_> = told.iter().filter_map(|told| told.waited).collect();
    let before: Vec<_> = told.iter().map(|told| told.before).collect();
    Ok(vec![
        line(&waited, "that waited end, as the hub said"),
        line(&before, "end, as the hub said before they were sent"),
    ])
}

fn line(told: &[(Option<Expected>, f64)], of: &str) -> Line {
    let said: Vec<(Expected, f64)> =
        told.iter().filter_map(|(said, took)| Some(((*said)?, *took))).collect();
    let (asked, answered) = (told.len(), said.len());
    let early = said.iter().filter(|(range, took)| *took < range.low).count();
    let late = said.iter().filter(|(range, took)| *took > range.high).count();
    let share = (answered - early - late) as f64 / answered.max(1) as f64;
    let middle = |of: fn(&(Expected, f64)) -> f64| {
        let mut all: Vec<f64> = said.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let (low, high) = (middle(|(range, _)| range.low), middle(|(range, _)| range.high));
    let took = middle(|(_, took)| *took);
    Line {
        case: format!("when {asked} requests {of}"),
        figure: format!(
            "{:.0} % in the range ({early} earlier, {late} later, {} not told); medians: {low:.1} to \
             {high:.1} s said, {took:.1} s taken",
            100.0 * share,
            asked - answered
        ),
        target: format!(">= {:.0} % in the range", 100.0 * TARGET),
        reached: Some(asked >= 20 && share >= TARGET && answered * 2 >= asked),
        raw: json!({"asked": asked, "answered": answered, "early": early, "late": late,
            "low_s": low, "high_s": high, "took_s": took}),
    }
}

/// Asks how long it would take, submits, looks whether it waits, and for how long it does.
async fn ask(client: &mut Client, token: &str, (model, inputs): (&str, usize)) -> Result<Told> {
    let inputs: Vec<String> = (0..inputs).map(|n| n.to_string()).collect();
    let body = serde_json::to_vec(&json!({"model": model, "inputs": inputs}))?;
    let path = format!("/api/v1/models/{model}?inputs={}", inputs.len());
    let before: Outlook = client.get(&path, token).await?;
    let sent = Instant::now();
    let Seen { id, .. } = client.post("/api/v1/requests", token, body.into()).await?;
    tokio::time::sleep(LOOKS).await;
    let path = format!("/api/v1/requests/{id}");
    let first: Seen = client.get(&path, token).await?;
    let (begun, mut last) = (Instant::now(), first.phase.clone());
    while last == "waiting" || last == "running" {
        last = client.get::<Seen>(&format!("{path}?wait=60"), token).await?.phase;
    }
    if last != "completed" {
        return Err(format!("a request of {model} is {last}").into());
    }
    let waited =
        (first.phase == "waiting").then(|| (first.expected_seconds, begun.elapsed().as_secs_f64()));
    Ok(Told { waited, before: (before.expected_seconds, sent.elapsed().as_secs_f64()) })
}
