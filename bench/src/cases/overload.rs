//! Three times as many requests as a model can answer, beside 2,000 connections that say nothing: what is
//! too much is refused at once and says when to come again, other people hardly notice, and when it is
//! over everything is as before.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::net::TcpStream;

use super::Bench;
use crate::Result;
use crate::hub::{Config, Hub};
use crate::ledger::Ledger;
use crate::load::pace::Pace;
use crate::load::{Load, Sum, millis};
use crate::models::{Python, python};
use crate::report::Line;

/// A call takes so many milliseconds and so many inputs at most: 200 requests a second.
const PAUSE: u64 = 50;
const BATCH: u32 = 10;
const RATE: f64 = 3.0 * 200.0;
/// Each with 200 waiting requests at most, as a hub allows by itself: together four seconds of work.
const SESSIONS: usize = 4;
const WAITING: u64 = 200;
const SILENT: usize = 2_000;
/// Those that are refused hear it within so many milliseconds.
const AT_ONCE: f64 = 100.0;
/// A request of somebody else takes so many times as long as before, at most.
const DURING: f64 = 3.0;
const AFTER: f64 = 1.5;

pub async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let place = bench.place("overload")?;
    let (name, pause, batch, log) = ("slow", PAUSE, BATCH, Some(place.log.as_path()));
    python(&place.models, &Python { name, pause, batch, log, ..Python::default() })?;
    let hub = Hub::start(&Config {
        muster: &bench.muster,
        folder: &place.folder,
        models: &place.models,
        database: None,
        flags: &[],
        env: &[("MUSTER_QUOTAS_ANONYMOUS_WAITING_REQUESTS", &WAITING.to_string())],
    })
    .await?;
    hub.ready(name, 1).await?;
    let ledger = Ledger::append_to(&place.ledger)?;
    let load = |pace, connections| Load {
        model: name.to_owned(),
        ..Load::singles(hub.address, pace, connections)
    };
    // Another person, one request after the other.
    let ask = async |seconds| {
        let other = load(Pace::Closed { seconds }, 1).send(&ledger).await?;
        if other.completed < other.sent {
            return Result::<Sum>::Err("a request of another person failed".into());
        }
        Ok(other)
    };
    let before = ask(bench.pick(5, 2)).await?;
    // Both ends need open files; the hub sees to its own.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let mut silent = Vec::with_capacity(SILENT);
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(hub.address).await?);
    }
    let seconds = bench.pick(20, 5);
    // Each that waits has a connection.
    let much = Load { sessions: SESSIONS, ..load(Pace::Open { rate: RATE, seconds }, 1000) };
    let (sum, during) = tokio::join!(much.send(&ledger), ask(seconds));
    let (sum, during) = (sum?, during?);
    let after = ask(bench.pick(5, 2)).await?;
    drop(silent);
    let peak = hub.memory_mib("VmHWM")?;
    place.check(hub, ledger, Some(&place.log)).await?;
    let p50 = |sum: &Sum| sum.millis(0.5);
    let (refused, early) = (sum.refused, millis(&sum.refusals, 0.99));
    let (worse, later) = (p50(&during) / p50(&before), p50(&after) / p50(&before));
    Ok(vec![Line {
        case: format!("three times too much for {seconds} s, beside {SILENT} silent connections"),
        figure: format!(
            "{} of {} refused, p99 {early:.1} ms, {} without a time to come again; {:.0} answered a \
             second, {} unknown, 0 lost; another person {:.0} ms p50 before, {:.0} during, {:.0} after; \
             {peak:.0} MiB",
            refused,
            sum.sent,
            sum.no_retry_after,
            sum.rate(),
            sum.unknown,
            p50(&before),
            p50(&during),
            p50(&after),
        ),
        target: format!(
            "refused within {AT_ONCE} ms, none unknown; <= {DURING}x during, <= {AFTER}x after"
        ),
        reached: Some(
            refused > 0
                && sum.no_retry_after + sum.unknown == 0
                && early <= AT_ONCE
                && worse <= DURING
                && later <= AFTER,
        ),
        raw: json!({
            "load": sum.to_json(), "refusals_p50_ms": millis(&sum.refusals, 0.5),
            "refusals_p99_ms": early, "before_p50_ms": p50(&before), "during_p50_ms": p50(&during),
            "during_p99_ms": during.millis(0.99), "after_p50_ms": p50(&after), "peak_mib": peak,
        }),
    }])
}
