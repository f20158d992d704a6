//! One big request: submitted, awaited, and its rows looked at.

use std::time::Instant;

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;

use crate::ledger::{Entry, Ledger, Op, Outcome, input_sha};
use crate::load::client::{Client, Extra};
use crate::{Result, clock};

pub struct Big {
    pub id: String,
    token: String,
    inputs: Vec<String>,
    begun: Instant,
    /// From the start of the upload to its acknowledgement, seconds.
    pub acknowledged: f64,
}

#[derive(Deserialize)]
pub struct Seen {
    id: String,
    pub phase: String,
    pub done: u64,
}

#[derive(Deserialize)]
struct Row<'r> {
    input: &'r str,
    echo: &'r str,
}

impl Big {
    /// Submits `count` inputs to `model`.
    pub async fn submit(
        client: &mut Client,
        ledger: &Ledger,
        model: &str,
        count: usize,
    ) -> Result<Self> {
        let token = client.session().await?;
        let key = format!("big-{:x}", clock::micros());
        let inputs: Vec<String> = (0..count).map(|n| format!("{key}-{n}")).collect();
        let body = serde_json::json!({"model": model, "inputs": inputs});
        let body = Bytes::from(serde_json::to_vec(&body)?);
        let begun = Instant::now();
        let extra = Extra { token: Some(&token), key: Some(&key), body, ..Extra::default() };
        let answer = client.send(Method::POST, "/api/v1/requests", extra).await?;
        let seen: Seen = answer.read()?;
        let acknowledged = begun.elapsed().as_secs_f64();
        let entry = Entry {
            t: clock::micros(),
            client: 0,
            op: Op::Submit,
            key,
            id: Some(seen.id.clone()),
            inputs: count as u64,
            sha: input_sha(&inputs),
            outcome: Outcome::Ok,
            status: answer.status.as_u16(),
            phase: seen.phase,
            took: begun.elapsed().as_micros() as u64,
        };
        ledger.writer().send(entry).map_err(|_| "the ledger cannot be written")?;
        Ok(Self { id: seen.id, token, inputs, begun, acknowledged })
    }

    pub async fn look(&self, client: &mut Client, wait: u32) -> Result<Seen> {
        let path = format!("/api/v1/requests/{}?wait={wait}", self.id);
        client.get(&path, &self.token).await
    }

    /// Waits for its end; seconds since its submission began.
    pub async fn completed(&self, client: &mut Client) -> Result<f64> {
        loop {
            let seen = self.look(client, 60).await?;
            match seen.phase.as_str() {
                "completed" => return Ok(self.begun.elapsed().as_secs_f64()),
                "waiting" | "running" => {}
                phase => return Err(format!("the request was {phase}").into()),
            }
        }
    }

    /// Downloads the result and compares each row with its input; gives the seconds it took.
    pub async fn look_at_rows(&self, client: &mut Client) -> Result<f64> {
        let begun = Instant::now();
        let path = format!("/api/v1/requests/{}/result?format=ndjson", self.id);
        let extra = Extra { token: Some(&self.token), ..Extra::default() };
        let answer = client.send(Method::GET, &path, extra).await?;
        let took = begun.elapsed().as_secs_f64();
        let mut rows = answer.body.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        for input in &self.inputs {
            let row = rows.next().ok_or("rows are missing")?;
            let row: Row<'_> = serde_json::from_slice(row)?;
            if row.input != input || row.echo != input {
                return Err(format!("the row of {input} is that of {}", row.echo).into());
            }
        }
        if rows.next().is_some() {
            return Err("there are more rows than inputs".into());
        }
        Ok(took)
    }
}
