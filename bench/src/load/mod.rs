//! Load of many small requests, with a ledger line for each and every row looked at.

pub mod client;
pub mod pace;

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::Method;
use serde::Deserialize;

use self::client::{Client, Extra};
use self::pace::{Pace, Turn, Turns};
use crate::ledger::{Entry, Ledger, Op, Outcome, input_sha};
use crate::{Result, arguments, clock};

/// A send so long after it was due counts as late.
const LATE: Duration = Duration::from_millis(5);
/// After a request without an answer, so that a hub that is away is not hammered.
const BREATH: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct Load {
    pub hub: SocketAddr,
    pub model: String,
    pub pace: Pace,
    pub connections: usize,
    pub sessions: usize,
    pub inputs: usize,
    pub wait: u32,
    /// Before each input.
    pub prefix: String,
}

/// What became of a load.
pub struct Sum {
    pub sent: u64,
    pub acknowledged: u64,
    pub completed: u64,
    pub refused: u64,
    pub unknown: u64,
    /// Answers whose rows are not those of their inputs.
    pub mixed: u64,
    pub late: u64,
    pub latest: Duration,
    /// From when a request was due to its answer, microseconds; completed ones only.
    pub took: Histogram<u64>,
    /// The same of refused ones.
    pub refusals: Histogram<u64>,
    /// Refused without saying when to come again.
    pub no_retry_after: u64,
    /// From the first due time to the last answer.
    pub lasted: Duration,
}

pub async fn run(arguments: arguments::Load) -> Result<bool> {
    let seconds = arguments.seconds;
    let load = Load {
        hub: arguments.hub,
        model: arguments.model,
        pace: match arguments.rate {
            Some(rate) => Pace::Open { rate, seconds },
            None => Pace::Closed { seconds },
        },
        connections: arguments.connections,
        sessions: arguments.sessions,
        inputs: arguments.inputs,
        wait: arguments.wait,
        prefix: arguments.prefix,
    };
    let ledger = Ledger::append_to(&arguments.ledger)?;
    let sum = load.send(&ledger).await?;
    ledger.close()?;
    println!("{}", sum.to_json());
    Ok(sum.mixed == 0)
}

impl Load {
    /// Requests of one input for the trivial model, from one session, each waited for.
    pub fn singles(hub: SocketAddr, pace: Pace, connections: usize) -> Self {
        Self {
            hub,
            model: "trivial".to_owned(),
            pace,
            connections,
            sessions: 1,
            inputs: 1,
            wait: 60,
            prefix: String::new(),
        }
    }

    pub async fn send(&self, ledger: &Ledger) -> Result<Sum> {
        let mut client = Client::new(self.hub)?;
        let mut tokens = Vec::new();
        for _ in 0..self.sessions.max(1) {
            tokens.push(client.session().await?);
        }
        // What is sent under this name was sent by this run.
        let run = format!("{:x}", clock::micros());
        let turns = Turns::begin(self.pace, self.connections);
        let mut connections = Vec::new();
        for number in 0..self.connections {
            let connection = Connection {
                load: self.clone(),
                client: Client::new(self.hub)?,
                number: number as u32,
                token: tokens[number % tokens.len()].clone(),
                path: format!("/api/v1/requests?wait={}", self.wait),
                run: run.clone(),
                ledger: ledger.writer(),
                sum: Sum::new()?,
            };
            connections.push(tokio::spawn(connection.run(Arc::clone(&turns))));
        }
        let mut sum = Sum::new()?;
        for connection in connections {
            sum.add(connection.await??)?;
        }
        sum.lasted = turns.elapsed();
        Ok(sum)
    }
}

struct Connection {
    load: Load,
    client: Client,
    number: u32,
    token: String,
    path: String,
    run: String,
    ledger: mpsc::Sender<Entry>,
    sum: Sum,
}

/// What matters of the hub's answer.
#[derive(Deserialize)]
pub struct Submitted {
    pub id: String,
    pub phase: String,
    #[serde(default)]
    pub result: Option<Vec<EchoRow>>,
}

#[derive(Deserialize)]
pub struct EchoRow {
    pub input: String,
    /// Absent where the model said an error.
    #[serde(default)]
    pub echo: Option<String>,
}

impl Connection {
    async fn run(mut self, turns: Arc<Turns>) -> Result<Sum> {
        while let Some(turn) = turns.next().await {
            self.request(turn).await?;
        }
        Ok(self.sum)
    }

    async fn request(&mut self, turn: Turn) -> Result<()> {
        let key = format!("{}-{}", self.run, turn.number);
        let input = |n: usize| format!("{}{key}-{n}", self.load.prefix);
        let inputs: Vec<String> = (0..self.load.inputs).map(input).collect();
        let body = serde_json::to_vec(&serde_json::json!({
            "model": self.load.model, "inputs": inputs
        }))?;
        let sum = &mut self.sum;
        let behind = turn.due.elapsed();
        sum.sent += 1;
        sum.late += u64::from(behind > LATE);
        sum.latest = sum.latest.max(behind);
        let extra = Extra {
            token: Some(&self.token),
            key: Some(&key),
            body: Bytes::from(body),
            ..Extra::default()
        };
        let answer = self.client.send(Method::POST, &self.path, extra).await;
        let took = turn.due.elapsed().as_micros() as u64;
        let mut entry = Entry {
            t: clock::micros(),
            client: self.number,
            op: Op::Submit,
            id: None,
            inputs: inputs.len() as u64,
            sha: input_sha(&inputs),
            outcome: Outcome::Unknown,
            status: 0,
            phase: String::new(),
            key,
            took,
        };
        if let Ok(answer) = &answer {
            entry.status = answer.status.as_u16();
        }
        let submitted = answer.as_ref().ok().map(|answer| answer.read::<Submitted>());
        match submitted {
            Some(Ok(submitted)) => {
                entry.outcome = Outcome::Ok;
                sum.acknowledged += 1;
                if submitted.phase == "completed" {
                    sum.completed += 1;
                    sum.took.record(took)?;
                }
                let rows = submitted.result.as_deref();
                sum.mixed += u64::from(rows.is_some_and(|rows| !answers(&inputs, rows)));
                (entry.id, entry.phase) = (Some(submitted.id), submitted.phase);
            }
            Some(Err(_)) if (400..500).contains(&entry.status) || entry.status == 503 => {
                entry.outcome = Outcome::Fail;
                sum.refused += 1;
                sum.refusals.record(took)?;
                let says_when = answer.is_ok_and(|answer| answer.retry_after);
                sum.no_retry_after += u64::from(!says_when);
            }
            Some(Err(_)) | None => {
                sum.unknown += 1;
                tokio::time::sleep(BREATH).await;
            }
        }
        self.ledger.send(entry).map_err(|_| "the ledger cannot be written")?;
        Ok(())
    }
}

/// Is each row that of its own input?
fn answers(inputs: &[String], rows: &[EchoRow]) -> bool {
    let right = |(input, row): (&String, &EchoRow)| {
        row.input == *input && row.echo.as_deref() == Some(input)
    };
    inputs.len() == rows.len() && inputs.iter().zip(rows).all(right)
}

impl Sum {
    fn new() -> Result<Self> {
        Ok(Self {
            sent: 0,
            acknowledged: 0,
            completed: 0,
            refused: 0,
            unknown: 0,
            mixed: 0,
            late: 0,
            latest: Duration::ZERO,
            took: Histogram::new_with_max(3_600_000_000, 3)?,
            refusals: Histogram::new_with_max(3_600_000_000, 3)?,
            no_retry_after: 0,
            lasted: Duration::ZERO,
        })
    }

    fn add(&mut self, other: Self) -> Result<()> {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.completed += other.completed;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.mixed += other.mixed;
        self.late += other.late;
        self.latest = self.latest.max(other.latest);
        self.took.add(other.took)?;
        self.refusals.add(other.refusals)?;
        self.no_retry_after += other.no_retry_after;
        Ok(())
    }

    /// Completed requests a second.
    pub fn rate(&self) -> f64 {
        self.completed as f64 / self.lasted.as_secs_f64().max(0.001)
    }

    /// A quantile of the time from due to answered, milliseconds.
    pub fn millis(&self, quantile: f64) -> f64 {
        millis(&self.took, quantile)
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "sent": self.sent, "acknowledged": self.acknowledged, "completed": self.completed,
            "refused": self.refused, "unknown": self.unknown, "mixed": self.mixed,
            "late": self.late, "latest_ms": self.latest.as_secs_f64() * 1000.0,
            "seconds": self.lasted.as_secs_f64(), "completed_a_second": self.rate(),
            "p50_ms": self.millis(0.5), "p95_ms": self.millis(0.95), "p99_ms": self.millis(0.99),
            "p999_ms": self.millis(0.999), "max_ms": self.took.max() as f64 / 1000.0,
        })
    }
}

/// A quantile of microseconds, in milliseconds.
pub fn millis(took: &Histogram<u64>, quantile: f64) -> f64 {
    took.value_at_quantile(quantile) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_another_input_are_noticed() {
        let row =
            |input: &str, echo: &str| EchoRow { input: input.into(), echo: Some(echo.into()) };
        let inputs = ["a".to_owned(), "b".to_owned()];
        assert!(answers(&inputs, &[row("a", "a"), row("b", "b")]));
        assert!(!answers(&inputs, &[row("a", "b"), row("b", "a")]));
        assert!(!answers(&inputs, &[row("a", "a")]));
    }
}
