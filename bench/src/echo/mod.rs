//! A model server that answers every input with itself, over the model-server contract.

mod log;
pub mod modes;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::time::Instant;

use self::log::RowLog;
use self::modes::{Fault, Mode};
use self::wire::{Call, Wire};
use crate::{Result, arguments};

/// Most asynchronous jobs that are remembered.
const JOBS: usize = 1024;
/// Longest `?wait=`.
const LONGEST_WAIT: u64 = 60;

pub async fn run(arguments: arguments::Echo) -> Result<()> {
    let listener = TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    let echo = Arc::new(Echo {
        log: RowLog::append_to(arguments.log.as_deref())?,
        pause: Duration::from_millis(arguments.pause),
        mode: arguments.mode,
        every: arguments.every.max(1),
        has_jobs: !arguments.no_jobs,
        calls: AtomicU64::new(0),
        jobs: Mutex::default(),
    });
    if let Some(file) = arguments.port_file {
        let part = file.with_extension("part");
        std::fs::write(&part, format!("{address}\n"))?;
        std::fs::rename(part, file)?;
    }
    println!("echo listens on http://{address}");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let echo = Arc::clone(&echo);
        tokio::spawn(async move {
            if let Err(error) = echo.connection(Wire::new(stream)).await {
                eprintln!("echo: {error}");
            }
        });
    }
}

struct Echo {
    log: RowLog,
    pause: Duration,
    mode: Option<Mode>,
    every: u64,
    has_jobs: bool,
    calls: AtomicU64,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    by_id: HashMap<String, Job>,
    order: VecDeque<String>,
}

/// An asynchronous job: what it will answer, and from when on.
#[derive(Clone)]
struct Job {
    number: u64,
    due: Instant,
    reply: Reply,
}

/// The rows of a call and what is wrong with their delivery.
#[derive(Clone)]
struct Reply {
    rows: Bytes,
    fault: Option<Fault>,
}

impl Echo {
    async fn connection(&self, mut wire: Wire) -> Result<()> {
        while let Some(call) = wire.call().await? {
            match (call.method.as_str(), call.path.as_str()) {
                ("GET", "/healthz" | "/livez") => wire.answer(200, b"\"ok\"").await?,
                ("GET", "/models/status") => {
                    wire.answer(200, br#"[{"modelName":"echo","modelVersion":"1"}]"#).await?;
                }
                ("POST", "/run") => self.run_now(&mut wire, &call).await?,
                ("POST", "/job/submit") if self.has_jobs => {
                    self.submit(&mut wire, &call).await?;
                }
                (_, path) if self.has_jobs && path.starts_with("/job/") => {
                    self.job(&mut wire, &call).await?;
                }
                _ => wire.answer(404, br#"{"detail":"there is nothing at this path"}"#).await?,
            }
        }
        Ok(())
    }

    async fn run_now(&self, wire: &mut Wire, call: &Call) -> Result<()> {
        let Some((number, reply)) = self.take(wire, call).await? else { return Ok(()) };
        tokio::time::sleep_until(self.due(&reply)).await;
        self.log.end(number)?;
        reply.send(wire).await
    }

    async fn submit(&self, wire: &mut Wire, call: &Call) -> Result<()> {
        let Some((number, reply)) = self.take(wire, call).await? else { return Ok(()) };
        let id = format!("{}-{number}", std::process::id());
        let answer = format!(r#"{{"job_id":"{id}","message":"taken"}}"#);
        let job = Job { number, due: self.due(&reply), reply };
        {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            if jobs.order.len() >= JOBS
                && let Some(oldest) = jobs.order.pop_front()
            {
                jobs.by_id.remove(&oldest);
            }
            jobs.order.push_back(id.clone());
            jobs.by_id.insert(id, job);
        }
        wire.answer(200, answer.as_bytes()).await
    }

    /// `/job/status/ID`, `/job/result/ID`, `/job/ID/cancel`.
    async fn job(&self, wire: &mut Wire, call: &Call) -> Result<()> {
        let mut pieces = call.path.trim_start_matches("/job/").split('/');
        let (first, second) =
            (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
        let id = if second == "cancel" { first } else { second };
        let found = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            if second == "cancel" { jobs.by_id.remove(id) } else { jobs.by_id.get(id).cloned() }
        };
        let Some(job) = found else {
            return wire.answer(404, br#"{"detail":"Job not found"}"#).await;
        };
        if first == "result" {
            return job.reply.send(wire).await;
        }
        let wait = call.query.split('&').find_map(|pair| pair.strip_prefix("wait=")?.parse().ok());
        let wait = Duration::from_secs(wait.unwrap_or(0).min(LONGEST_WAIT));
        let until = (Instant::now() + wait).min(job.due);
        tokio::time::sleep_until(until).await;
        let is_due = Instant::now() >= job.due;
        if is_due {
            self.log.end(job.number)?;
        }
        let status = if is_due { "completed" } else { "pending" };
        let answer = format!(r#"{{"job_id":"{id}","status":"{status}"}}"#);
        wire.answer(200, answer.as_bytes()).await
    }

    /// Reads and logs a call; `None` if it was refused, or is never answered.
    async fn take(&self, wire: &mut Wire, call: &Call) -> Result<Option<(u64, Reply)>> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(inputs) = serde_json::from_slice::<Vec<&RawValue>>(&call.body) else {
            let detail = br#"{"detail":"the body has to be a JSON array"}"#;
            wire.answer(422, detail).await?;
            return Ok(None);
        };
        let texts = inputs.iter().map(|input| input.get().trim_matches('"'));
        let by_flag = self.mode.filter(|_| number.is_multiple_of(self.every)).map(Fault::of);
        let fault = Fault::asked_for(texts).or(by_flag);
        if let Some(status) = fault.and_then(Fault::status) {
            wire.answer(status, br#"{"detail":"come back later"}"#).await?;
            return Ok(None);
        }
        self.log.begin(number, &call.body)?;
        match fault.map(|fault| fault.mode) {
            Some(Mode::Crash) => std::process::exit(1),
            Some(Mode::Hang) => std::future::pending::<()>().await,
            _ => {}
        }
        Ok(Some((number, Reply { rows: rows(&inputs, fault.map(|fault| fault.mode)), fault })))
    }

    fn due(&self, reply: &Reply) -> Instant {
        let slow = reply.fault.filter(|fault| fault.mode == Mode::Slow);
        Instant::now() + self.pause + slow.map_or(Duration::ZERO, |fault| fault.pause)
    }
}

impl Reply {
    async fn send(&self, wire: &mut Wire) -> Result<()> {
        match self.fault.map(|fault| fault.mode) {
            Some(Mode::Endless) => wire.endless(br#"{"echo":"again"}"#).await,
            Some(Mode::Drip) => wire.drip(&self.rows).await,
            Some(Mode::Twice) => {
                wire.answer(200, &self.rows).await?;
                wire.answer(200, br#"[{"echo":"an answer nobody asked for"}]"#).await
            }
            _ => wire.answer(200, &self.rows).await,
        }
    }
}

/// The records of `inputs`, each a JSON string.
fn rows(inputs: &[&RawValue], mode: Option<Mode>) -> Bytes {
    if mode == Some(Mode::Garbage) {
        return Bytes::from_static(b"<html>[{\"echo\":");
    }
    let mut inputs: Vec<&str> = inputs.iter().map(|input| input.get()).collect();
    match mode {
        Some(Mode::Short) => drop(inputs.pop()),
        Some(Mode::Long) => inputs.push("\"one more\""),
        Some(Mode::Swapped) => inputs.reverse(),
        _ => {}
    }
    let mut rows = Vec::with_capacity(inputs.iter().map(|input| input.len() + 12).sum());
    rows.push(b'[');
    for (n, input) in inputs.iter().enumerate() {
        rows.extend_from_slice(if n == 0 { b"{\"echo\":" } else { b",{\"echo\":" });
        rows.extend_from_slice(input.as_bytes());
        rows.push(b'}');
    }
    rows.push(b']');
    rows.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_gives_the_rows_it_names() {
        let inputs: Vec<&RawValue> = serde_json::from_str(r#"["a","b"]"#).expect("an array");
        let rows = |mode| String::from_utf8(rows(&inputs, mode).to_vec()).expect("text");
        assert_eq!(rows(None), r#"[{"echo":"a"},{"echo":"b"}]"#);
        assert_eq!(rows(Some(Mode::Short)), r#"[{"echo":"a"}]"#);
        assert_eq!(rows(Some(Mode::Swapped)), r#"[{"echo":"b"},{"echo":"a"}]"#);
        assert!(rows(Some(Mode::Long)).contains("one more"));
        assert!(serde_json::from_str::<serde_json::Value>(&rows(Some(Mode::Garbage))).is_err());
    }
}
