//! `muster requests`, `show`, `label`, `cancel` and `result`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use muster_core::Timestamp;
use muster_store::Clock;
use serde_json::json;

use crate::answer::Request;
use crate::arguments::{Cancel, Label, Requests, ResultOf, Show};
use crate::download::Target;
use crate::failure::Failure;
use crate::hub::{Hub, parse};
use crate::list::List;
use crate::path::{parameter, segment};
use crate::{human, table};

/// Narrowest terminals, in characters, on which the list shows all columns but one, and all.
const WIDE: u16 = 100;
const WIDER: u16 = 112;
/// Width of the names of facts.
pub const FACTS: usize = 10;
/// Longest time the hub holds an answer back.
const LONGEST_WAIT: u64 = 60;

pub async fn requests(hub: &Hub, arguments: &Requests) -> Result<(), Failure> {
    let mut path = "/api/v1/requests".to_owned();
    parameter(&mut path, "model", &arguments.model);
    parameter(&mut path, "phase", &arguments.phase);
    parameter(&mut path, "search", &arguments.search);
    if arguments.csv {
        parameter(&mut path, "format", ["csv"]);
        return hub.print(&path).await;
    }
    let (limit, json) = (arguments.limit, arguments.json);
    let list = List { path: &path, limit, json, none: "no requests", see: "--limit" };
    list.print(hub, |requests| listed(requests, Clock::system().now(), table::width())).await
}

fn listed(requests: Vec<Request>, now: Timestamp, width: u16) -> String {
    // On a narrow terminal when it was and how long it took are left to `muster show`, and when it is
    // cleared on most.
    let columns = match width {
        0..WIDE => 4,
        WIDE..WIDER => 6,
        WIDER.. => 7,
    };
    // Few people call their requests something.
    let labels = requests.iter().any(|request| request.label.is_some());
    let rows = requests.into_iter().map(|request| {
        let took = request.ended_at.map(|end| human::duration(end.since(request.submitted_at)));
        let submitted = human::ago(request.submitted_at, now);
        let done = progress(request.inputs, request.done, request.failed);
        let took = took.unwrap_or_else(|| "-".to_owned());
        let cleared = request.expires_at.map_or_else(|| "-".into(), |at| human::ahead(at, now));
        let mut row =
            vec![request.id, request.model, request.phase, done, submitted, took, cleared];
        row.truncate(columns);
        row.extend(labels.then(|| request.label.unwrap_or_default()));
        row
    });
    let mut header = vec!["id", "model", "phase", "done", "submitted", "took", "cleared"];
    header.truncate(columns);
    header.extend(labels.then_some("label"));
    table::table(&header, rows.collect(), &[])
}

/// `10 of 2,000, 1 failed`
pub fn progress(inputs: u64, done: u64, failed: u64) -> String {
    let mut text = human::count(done);
    if done < inputs {
        text = format!("{text} of {}", human::count(inputs));
    }
    if failed > 0 {
        text = format!("{text}, {} failed", human::count(failed));
    }
    text
}

/// When it was submitted, started and ended, as facts.
pub fn times(
    submitted: Timestamp,
    started: Option<Timestamp>,
    ended: Option<Timestamp>,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Submitted", format!("{submitted} ({})", human::ago(submitted, now)))];
    let later = |at: Timestamp| format!("{} later", human::duration(at.since(submitted)));
    facts.extend(started.map(|at| ("Started", later(at))));
    facts.extend(ended.map(|at| ("Ended", later(at))));
    facts
}

/// How far it is, as a fact.
pub fn numbers(inputs: u64, done: u64, failed: u64, cached: u64) -> (&'static str, String) {
    let inputs = human::counted(inputs, "input");
    let [done, failed, cached] = [done, failed, cached].map(human::count);
    ("Progress", format!("{inputs}, {done} done, {failed} failed, {cached} known before"))
}

pub async fn show(hub: &Hub, arguments: &Show) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(arguments.wait.unwrap_or(0));
    let body = loop {
        let left = until.saturating_duration_since(Instant::now()).as_secs_f64().ceil();
        let wait = (left as u64).min(LONGEST_WAIT);
        let path = format!("/api/v1/requests/{}?wait={wait}", segment(&arguments.id));
        // It may be answered before that.
        let body = hub.get(&path).await?;
        if wait == 0 || parse::<Request>(&body)?.has_ended() {
            break body;
        }
    };
    print_request(&body, arguments.json)
}

pub async fn label(hub: &Hub, arguments: &Label) -> Result<(), Failure> {
    let path = format!("/api/v1/requests/{}", segment(&arguments.id));
    let body = hub.patch_json(&path, &json!({ "label": arguments.label })).await?;
    print_request(&body, arguments.json)
}

pub async fn cancel(hub: &Hub, arguments: &Cancel) -> Result<(), Failure> {
    let path = format!("/api/v1/requests/{}/cancel", segment(&arguments.id));
    let reason = arguments.reason.as_deref().unwrap_or("cancelled with `muster cancel`");
    let body = hub.post_json(&path, &json!({ "reason": reason })).await?;
    print_request(&body, arguments.json)
}

pub async fn result(hub: &Hub, arguments: &ResultOf) -> Result<(), Failure> {
    let target = Target::new(arguments.output.as_deref(), arguments.format)?;
    let id = segment(&arguments.id);
    let body = hub.get(&format!("/api/v1/requests/{id}")).await?;
    target.fetch(hub, &id, parse::<Request>(&body)?.inputs).await
}

fn print_request(body: &[u8], json: bool) -> Result<(), Failure> {
    if json {
        return table::print_json(body);
    }
    let request: Request = parse(body)?;
    table::print(described(&request, Clock::system().now()).trim_end())
}

fn described(request: &Request, now: Timestamp) -> String {
    let mut facts = vec![
        ("Request", request.id.clone()),
        ("Model", format!("{} {}", request.model, request.model_version)),
        ("Phase", request.phase.clone()),
    ];
    facts.extend(request.label.clone().map(|label| ("Label", label)));
    let reason = request.waiting_reason.as_ref().or(request.reason.as_ref());
    facts.extend(reason.map(|reason| ("Because", reason.clone())));
    facts.extend(request.expected().map(|expected| ("Expected", expected)));
    facts.extend(times(request.submitted_at, request.started_at, request.ended_at, now));
    facts.extend(
        request.expires_at.map(|time| {
            ("Cleared", format!("{time} ({}), with its result", human::ahead(time, now)))
        }),
    );
    facts.push(numbers(request.inputs, request.done, request.failed, request.cached));
    let reading = &request.reading;
    let mut read = human::counted(reading.rows, "row");
    if let Some(column) = &reading.column {
        write!(read, ", inputs from column {column:?}").unwrap_or_default();
    }
    match reading.header.as_str() {
        "used" => read.push_str(", with a header"),
        "absent" => read.push_str(", without a header"),
        _ => {}
    }
    for more in reading.remarks() {
        write!(read, ", {more}").unwrap_or_default();
    }
    facts.push(("Read as", read));
    let mut text = table::facts(FACTS, facts);
    if request.phase == "completed" {
        text = format!("{text}\nmuster result {} -o out.csv\n", request.id);
    }
    text
}
