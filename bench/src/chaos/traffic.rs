//! People who go on submitting whatever happens, and write down what they were told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use super::balancer::NOBODY;
use super::draw::Draw;
use super::world::MODELS;
use crate::ledger::{Entry, Ledger, Op, Outcome, input_sha};
use crate::load::client::{Answer, Client, Extra};
use crate::load::{EchoRow, Submitted};
use crate::{Result, clock};

/// Between two requests of one person.
const PAUSE: (u64, u64) = (20, 250);
/// Before a request with unknown outcome is sent again.
const AGAIN: Duration = Duration::from_millis(200);
/// For an answer, beside what was asked to be waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many inputs of so many bytes do not stay in the database, nor do the results of a batch.
const BIG: u64 = 120;
const BIG_TEXT: usize = 2000;

/// What all of them were told.
#[derive(Default)]
pub struct Told {
    pub acknowledged: AtomicU64,
    /// Answers that were 5xx.
    pub refused: AtomicU64,
    /// No answer at all.
    pub silent: AtomicU64,
    /// What must never be told, and examples.
    pub wrong: Mutex<Vec<String>>,
}

pub struct Traffic {
    stop: Arc<AtomicBool>,
    pub told: Arc<Told>,
    people: JoinSet<Result<()>>,
    front: SocketAddr,
    token: String,
    ledger: mpsc::Sender<Entry>,
    run: String,
}

impl Traffic {
    pub fn new(front: SocketAddr, token: &str, ledger: &Ledger) -> Self {
        Self {
            stop: Arc::default(),
            told: Arc::default(),
            people: JoinSet::new(),
            front,
            token: token.to_owned(),
            ledger: ledger.writer(),
            run: format!("{:x}", clock::micros()),
        }
    }

    /// Somebody who does what they are told.
    pub fn person(&self, number: u64, draw: Draw) -> Result<Person> {
        Ok(Person {
            client: Client::new(self.front)?,
            token: self.token.clone(),
            name: format!("{}-{number}", self.run),
            number: number as u32,
            sent: 0,
            draw,
            ledger: self.ledger.clone(),
            stop: Arc::clone(&self.stop),
            told: Arc::clone(&self.told),
            last_status: 0,
        })
    }

    /// Somebody who submits what they draw until the end.
    pub fn add(&mut self, number: u64, draw: Draw) -> Result<()> {
        self.people.spawn(self.person(number, draw)?.run());
        Ok(())
    }

    /// Everybody finishes what they are at.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.people.join_next().await {
            ended??;
        }
        Ok(())
    }
}

pub struct Person {
    client: Client,
    token: String,
    name: String,
    number: u32,
    sent: u64,
    draw: Draw,
    ledger: mpsc::Sender<Entry>,
    stop: Arc<AtomicBool>,
    told: Arc<Told>,
    /// HTTP status of the last submission, 0 without an answer.
    pub last_status: u16,
}

/// What somebody asks for.
struct Wish {
    key: String,
    model: &'static str,
    inputs: Vec<String>,
    wait: u32,
    /// Ask again when the outcome is unknown.
    patient: bool,
}

impl Person {
    async fn run(mut self) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let wish = self.wish();
            if let Some(id) = self.submit(&wish).await? {
                if self.draw.percent(25) {
                    self.look_again(&wish, &id).await?;
                }
                if self.draw.percent(3) {
                    self.cancel(&wish, &id).await?;
                }
            }
            let pause = self.draw.millis(PAUSE.0, PAUSE.1);
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// An input that is nobody else's; `before` is how it begins.
    pub fn name(&self, what: &str, before: &str) -> String {
        format!("{before}{}-{what}", self.name)
    }

    /// One request of one input, sent once; its id if it was acknowledged.
    pub async fn send(
        &mut self,
        model: &'static str,
        input: &str,
        wait: u32,
    ) -> Result<Option<String>> {
        let (key, inputs) =
            (format!("{}-key", &input[input.len().saturating_sub(200)..]), vec![input.to_owned()]);
        self.submit(&Wish { key, model, inputs, wait, patient: false }).await
    }

    /// What phase a request is in.
    pub async fn phase(&mut self, id: &str) -> Result<String> {
        let path = format!("/api/v1/requests/{id}");
        let answer = self.ask(Method::GET, &path).await.ok_or("no answer")?;
        Ok(answer.read::<Submitted>()?.phase)
    }

    async fn ask(&mut self, method: Method, path: &str) -> Option<Answer> {
        let extra = Extra { token: Some(&self.token), ..Extra::default() };
        tokio::time::timeout(PATIENCE, self.client.send(method, path, extra)).await.ok()?.ok()
    }

    fn wish(&mut self) -> Wish {
        self.sent += 1;
        let key = format!("{}-{}", self.name, self.sent);
        let draw = &mut self.draw;
        let model = MODELS[draw.below(MODELS.len() as u64) as usize];
        let (count, long, prefix) = match draw.below(100) {
            0..70 => (1, 0, String::new()),
            70..90 => (1 + draw.below(60), 0, String::new()),
            90..93 => (BIG, BIG_TEXT, String::new()),
            _ => (1, 0, format!("!slow:{}:", draw.below(1500))),
        };
        let text = |n: u64| format!("{prefix}{key}-{n}{}", "x".repeat(long));
        let inputs = (0..count).map(text).collect();
        let wait = [0, 0, 3, 10][draw.below(4) as usize];
        let patient = draw.percent(60);
        Wish { key, model, inputs, wait, patient }
    }

    /// The request's id once it is acknowledged.
    async fn submit(&mut self, wish: &Wish) -> Result<Option<String>> {
        let body = serde_json::to_vec(&json!({"model": wish.model, "inputs": wish.inputs}))?;
        let mut wait = wish.wait;
        loop {
            let path = format!("/api/v1/requests?wait={wait}");
            let begun = Instant::now();
            let extra = Extra {
                token: Some(&self.token),
                key: Some(&wish.key),
                body: Bytes::from(body.clone()),
                ..Extra::default()
            };
            // Nobody waits for ever: whoever gives up closes the connection.
            let patience = PATIENCE + Duration::from_secs(u64::from(wait));
            let sent = self.client.send(Method::POST, &path, extra);
            let answer = match tokio::time::timeout(patience, sent).await {
                Ok(answer) => answer,
                Err(over) => Err(over.into()),
            };
            let mut entry = self.entry(Op::Submit, wish, begun);
            let status = answer.as_ref().map(|answer| answer.status);
            entry.status = status.as_ref().map_or(0, |status| status.as_u16());
            self.last_status = entry.status;
            match &answer {
                Ok(answer) if answer.status.is_success() => {
                    let said: Submitted = answer.read()?;
                    if said.result.as_deref().is_some_and(|rows| !answers(&wish.inputs, rows)) {
                        self.wrong(format!("{} was answered with other rows", said.id));
                    }
                    entry.outcome = Outcome::Ok;
                    (entry.id, entry.phase) = (Some(said.id.clone()), said.phase);
                    self.told.acknowledged.fetch_add(1, Ordering::Relaxed);
                    self.note(entry)?;
                    return Ok(Some(said.id));
                }
                Ok(answer) if answer.status.is_client_error() || &answer.body[..] == NOBODY => {
                    if answer.status.is_client_error() && answer.status != 429 {
                        self.wrong(format!("{}: {}", wish.key, answer.status));
                    }
                    entry.outcome = Outcome::Fail;
                }
                Ok(_) => drop(self.told.refused.fetch_add(1, Ordering::Relaxed)),
                Err(_) => drop(self.told.silent.fetch_add(1, Ordering::Relaxed)),
            }
            self.note(entry)?;
            tokio::time::sleep(AGAIN).await;
            // Whoever waited in vain wants to know at least that it is taken in.
            wait = 0;
            if !wish.patient || self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
    }

    /// What was acknowledged is there, whichever server is asked (I-01, I-32).
    async fn look_again(&mut self, wish: &Wish, id: &str) -> Result<()> {
        let begun = Instant::now();
        let path = format!("/api/v1/requests/{id}");
        let Some(answer) = self.ask(Method::GET, &path).await else { return Ok(()) };
        if answer.status == StatusCode::NOT_FOUND {
            self.wrong(format!("{id} was acknowledged and is not there"));
        }
        self.heard(Op::Get, wish, &answer, begun)
    }

    async fn cancel(&mut self, wish: &Wish, id: &str) -> Result<()> {
        let begun = Instant::now();
        let path = format!("/api/v1/requests/{id}/cancel");
        let Some(answer) = self.ask(Method::POST, &path).await else { return Ok(()) };
        self.heard(Op::Cancel, wish, &answer, begun)
    }

    /// What was said of a request stays true if it had ended (I-02, I-14).
    fn heard(&mut self, op: Op, wish: &Wish, answer: &Answer, begun: Instant) -> Result<()> {
        if answer.status != StatusCode::OK {
            return Ok(());
        }
        let said: Submitted = answer.read()?;
        let mut entry = self.entry(op, wish, begun);
        (entry.outcome, entry.status) = (Outcome::Ok, 200);
        (entry.id, entry.phase) = (Some(said.id), said.phase);
        self.note(entry)
    }

    fn entry(&self, op: Op, wish: &Wish, begun: Instant) -> Entry {
        Entry {
            t: clock::micros(),
            client: self.number,
            op,
            key: wish.key.clone(),
            id: None,
            inputs: wish.inputs.len() as u64,
            sha: input_sha(&wish.inputs),
            outcome: Outcome::Unknown,
            status: 0,
            phase: String::new(),
            took: begun.elapsed().as_micros() as u64,
        }
    }

    fn note(&self, entry: Entry) -> Result<()> {
        self.ledger.send(entry).map_err(|_| "the ledger cannot be written".into())
    }

    fn wrong(&self, what: String) {
        self.told.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

/// Is each row that of its own input, or an error?
fn answers(inputs: &[String], rows: &[EchoRow]) -> bool {
    let right = |(input, row): (&String, &EchoRow)| {
        row.input == *input && row.echo.as_ref().is_none_or(|echo| echo == input)
    };
    inputs.len() == rows.len() && inputs.iter().zip(rows).all(right)
}
