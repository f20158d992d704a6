//! `muster run`: submit, wait, fetch.

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use muster_store::Clock;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::watch;

use crate::answer::{Model, Request};
use crate::arguments::Run;
use crate::download::{Format, Target};
use crate::failure::{Failure, Kind};
use crate::hub::{Hub, parse};
use crate::path::segment;
use crate::screen::Screen;
use crate::upload::Upload;
use crate::{human, table};

/// How long a hub that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the hub may hold an answer back: shorter where somebody watches.
const WATCHED: u32 = 1;
const UNWATCHED: u32 = 20;
/// Some inputs have no prediction.
const PARTIAL: u8 = 3;
/// In this time a second Ctrl-C cancels the request.
const SECOND_CTRL_C: Duration = Duration::from_secs(3);

/// How far the submission is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Submission {
    NotSent,
    /// The hub may have it already.
    Sent,
    Known {
        id: String,
    },
}

pub async fn run(hub: &Hub, run: &Run) -> Result<ExitCode, Failure> {
    let screen = Rc::new(Screen::new(run.quiet || run.json));
    let (submission, mut seen) = watch::channel(Submission::NotSent);
    let work = whole(hub, run, &screen, &submission);
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        pressed = tokio::signal::ctrl_c() => pressed.map_err(no_signals)?,
    }
    if *seen.borrow() == Submission::NotSent {
        screen.clear();
        return Err(Failure::new(Kind::Interrupted, "nothing was submitted"));
    }
    // The hub answers in a moment under which id the request goes on.
    let (known, mut again) = (id_of(&mut seen), false);
    tokio::pin!(known);
    let known = loop {
        tokio::select! {
            done = &mut work => return done,
            known = &mut known => break known,
            pressed = tokio::signal::ctrl_c() => {
                pressed.map_err(no_signals)?;
                again = true;
            }
        }
    };
    let Some(id) = known else {
        screen.clear();
        let what = "the hub may have the request";
        return Err(Failure::new(Kind::Interrupted, what).advice("See `muster requests`."));
    };
    if again {
        return cancelled(hub, &id, &screen).await;
    }
    let then = |file: &str| format!("muster show {id}\n  muster result {id} -o {file}");
    let file = run.output.as_ref().map_or("out.csv".into(), |file| file.display().to_string());
    screen.say(&format!("\nthe request goes on without this command:\n  {}", then(&file)));
    screen.say("press Ctrl-C again to cancel it");
    tokio::select! {
        done = work => done,
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(no_signals)?;
            cancelled(hub, &id, &screen).await
        }
        () = tokio::time::sleep(SECOND_CTRL_C) => {
            screen.clear();
            Err(Failure::new(Kind::Interrupted, ""))
        }
    }
}

async fn id_of(submission: &mut watch::Receiver<Submission>) -> Option<String> {
    let known = submission.wait_for(|submission| matches!(submission, Submission::Known { .. }));
    match &*tokio::time::timeout(SECOND_CTRL_C, known).await.ok()?.ok()? {
        Submission::Known { id } => Some(id.clone()),
        Submission::NotSent | Submission::Sent => None,
    }
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::failed(format!("Ctrl-C cannot be waited for: {error}"))
}

async fn cancelled(hub: &Hub, id: &str, screen: &Screen) -> Result<ExitCode, Failure> {
    let path = format!("/api/v1/requests/{id}/cancel");
    hub.post_json(&path, &serde_json::json!({ "reason": "cancelled with Ctrl-C" })).await?;
    screen.clear();
    Err(Failure::new(Kind::Interrupted, format!("request {id} was cancelled")))
}

async fn whole(
    hub: &Hub,
    run: &Run,
    screen: &Rc<Screen>,
    submission: &watch::Sender<Submission>,
) -> Result<ExitCode, Failure> {
    let target = Target::new(run.output.as_deref(), run.format)?;
    let model = find_model(hub, &run.model).await?;
    let upload = Upload::read(run, &model)?;
    // The hub was there once: from now on it is waited for.
    let says = Rc::clone(screen);
    hub.be_patient(PATIENCE, move |text| says.say(text));
    let watched = if screen.shows_a_bar() { WATCHED } else { UNWATCHED };
    let key = run.idempotency_key.clone().unwrap_or_else(|| Clock::system().id().to_string());
    submission.send_replace(Submission::Sent);
    let first = submit(hub, upload, &key, watched.min(WATCHED)).await?;
    let (request, body) = wait(hub, first, watched, screen, submission).await?;
    screen.clear();
    match request.phase.as_str() {
        "completed" => {}
        phase => {
            let reason = request.reason.as_deref().unwrap_or("the hub does not say why");
            let what = format!("request {} {phase}: {reason}", request.id);
            return Err(Failure { document: Some(body), ..Failure::failed(what) });
        }
    }
    if run.json && run.output.is_none() {
        print_with_result(hub, &request, &body).await?;
    } else {
        target.fetch(hub, &request.id, request.inputs).await?;
        if run.json {
            table::print(&body)?;
        }
    }
    screen.say(&summary(&request, run));
    Ok(if request.failed > 0 { ExitCode::from(PARTIAL) } else { ExitCode::SUCCESS })
}

async fn find_model(hub: &Hub, id: &str) -> Result<Model, Failure> {
    let path = format!("/api/v1/models/{}", segment(id));
    let failure = match hub.public(&path).await {
        Ok(body) => return parse(&body),
        Err(failure) => failure,
    };
    if !failure.is_problem("unknown-model") {
        return Err(failure);
    }
    let (models, _) = hub.list("/api/v1/models", 1000, true).await?;
    let summaries = models.iter().map(|model| parse(model.get().as_bytes()));
    let ids: Vec<String> = summaries
        .map(|summary: Result<crate::answer::ModelSummary, Failure>| summary.map(|m| m.id))
        .collect::<Result<_, _>>()?;
    let advice = match ids.len() {
        0 => "This hub has no models.".to_owned(),
        1..=20 => format!("This hub has {}.", ids.join(", ")),
        _ => "See `muster models`.".to_owned(),
    };
    Err(Failure { what: format!("there is no model {id:?}"), ..failure.advice(advice) })
}

/// Submits under a key, so that a retry after a lost answer finds the same request.
async fn submit(
    hub: &Hub,
    upload: Upload,
    key: &str,
    wait: u32,
) -> Result<(Request, String), Failure> {
    let fill = |post: reqwest::RequestBuilder| {
        post.query(&upload.query)
            .query(&[("wait", wait)])
            .header(CONTENT_TYPE, upload.content_type)
            .header("Idempotency-Key", key)
            .body(upload.body.clone())
    };
    let body = hub.post("/api/v1/requests", fill).await?;
    Ok((parse(&body)?, without_result(&body)?))
}

/// Waits until the request has ended, also across restarts of the hub.
async fn wait(
    hub: &Hub,
    first: (Request, String),
    watched: u32,
    screen: &Screen,
    submission: &watch::Sender<Submission>,
) -> Result<(Request, String), Failure> {
    let (mut request, mut body) = first;
    submission.send_replace(Submission::Known { id: request.id.clone() });
    while !request.has_ended() {
        screen.show(&request);
        let answer = hub.get(&format!("/api/v1/requests/{}?wait={watched}", request.id)).await?;
        (request, body) = (parse(&answer)?, without_result(&answer)?);
    }
    Ok((request, body))
}

/// The request as JSON without its result, which is fetched on its own.
fn without_result(body: &[u8]) -> Result<String, Failure> {
    let mut request: serde_json::Map<String, serde_json::Value> = parse(body)?;
    if request.remove("result").is_none() {
        return Ok(String::from_utf8_lossy(body).trim_end().to_owned());
    }
    Ok(serde_json::Value::Object(request).to_string())
}

/// The request with all its rows as `result`.
async fn print_with_result(hub: &Hub, request: &Request, body: &str) -> Result<(), Failure> {
    let open = body.trim_end().strip_suffix('}').unwrap_or(body);
    table::put(&format!("{open},\"result\":"))?;
    Target::Output(Format::Json).fetch(hub, &request.id, request.inputs).await?;
    table::print("}")
}

fn summary(request: &Request, run: &Run) -> String {
    let time = request.ended_at.map(|end| end.since(request.submitted_at)).unwrap_or_default();
    let mut text = format!(
        "{} in {} ({})",
        human::counted(request.inputs, "input"),
        human::duration(time),
        human::rate(request.inputs, time)
    );
    if request.failed > 0 {
        text = format!("{text}, {} failed", human::count(request.failed));
    }
    if request.cached > 0 {
        text = format!("{text}, {} known before", human::count(request.cached));
    }
    if let Some(file) = &run.output {
        text = format!("{text} -> {}", file.display());
    }
    let reading = &request.reading;
    for more in reading.remarks() {
        text = format!("{text}; {more}");
    }
    match (&reading.column, reading.header.as_str()) {
        (Some(column), "used") => format!("{text}; inputs from column {column:?}"),
        (_, "absent") => format!("{text}; the file has no header"),
        _ => text,
    }
}
