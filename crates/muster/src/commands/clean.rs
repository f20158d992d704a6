//! `muster clean`: clears what is over, on the hub's database, beside the hub if it runs.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use muster_core::Retention;
use muster_core::stats::AuthType;
use muster_store::{Clear, Cleared, ClearedBy, Store};
use serde::Serialize;

use crate::arguments::Clean;
use crate::config::Environment;
use crate::failure::Failure;
use crate::human;
use crate::store::{open_beside, store_failure};
use crate::table;

/// How long to wait for somebody else who clears: longer than a dead one keeps others out.
const PATIENCE: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What it says as JSON.
#[derive(Serialize)]
struct Said {
    dry_run: bool,
    requests: u64,
    /// Of their inputs and results.
    bytes: u64,
    objects: u64,
    objects_left: u64,
    predictions: u64,
    instances: u64,
    sessions: u64,
    principals: u64,
}

pub async fn clean(arguments: &Clean, environment: &Environment) -> Result<(), Failure> {
    let (serve, store) = open_beside(&arguments.store, environment).await?;
    let cleared = carry_out(arguments, serve.clearing.retention, &store).await;
    store.close().await;
    let cleared = cleared?;
    if arguments.json {
        table::print(&json(&cleared, arguments.dry_run)?)?;
    } else {
        table::print(&words(&cleared, arguments.dry_run))?;
    }
    match cleared.objects_left {
        0 => Ok(()),
        left => {
            let left = human::counted(left, "object");
            Err(Failure::failed(format!("{left} could not be removed from the object storage"))
                .advice(
                    "Nobody sees them any more. The hub, or the next `muster clean`, removes them.",
                ))
        }
    }
}

async fn carry_out(
    arguments: &Clean,
    settings: Retention,
    store: &Store,
) -> Result<Cleared, Failure> {
    let clear = wanted(arguments, settings);
    let failed = |error: muster_store::Error| store_failure(&error);
    if arguments.dry_run {
        return store.would_clear(&clear).await.map_err(failed);
    }
    let bar = bar(&clear, store).await.map_err(failed)?;
    let begun = Instant::now();
    let cleared = loop {
        let cleared = store.clear(&clear, |cleared| {
            if let Some(bar) = &bar {
                bar.set_position(cleared.requests);
            }
        });
        match cleared.await.map_err(failed)? {
            Some(cleared) => break cleared,
            None if begun.elapsed() > PATIENCE => {
                return Err(Failure::failed("the hub or another command clears just now")
                    .advice("It clears what its own settings say. Run this again later."));
            }
            None => tokio::time::sleep(ASK_AGAIN).await,
        }
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(cleared)
}

/// What the flags and the hub's settings ask for.
fn wanted(arguments: &Clean, settings: Retention) -> Clear {
    let age = |auth: AuthType| {
        let asked = arguments.auth_type.is_none_or(|only| only == auth);
        arguments.older_than.or(settings.of(auth)).filter(|_| asked)
    };
    let people = arguments.auth_type.is_none();
    let rest = if people { settings } else { Retention::FOR_EVER };
    let (anonymous, account) = (age(AuthType::Anonymous), age(AuthType::Account));
    let retention = Retention { anonymous, account, ..rest };
    let says = |auth| match retention.of(auth) {
        Some(age) => format!("{auth} {}", human::duration(age)),
        None => format!("{auth} never"),
    };
    let detail = format!("{}, {}", says(AuthType::Anonymous), says(AuthType::Account));
    Clear { retention, people, by: ClearedBy::Command(detail) }
}

/// On a terminal: how many of the requests that are over are cleared.
async fn bar(clear: &Clear, store: &Store) -> Result<Option<ProgressBar>, muster_store::Error> {
    use std::io::IsTerminal;
    if !std::io::stderr().is_terminal() {
        return Ok(None);
    }
    let retention = Retention { predictions: None, instances: None, ..clear.retention };
    let requests = Clear { retention, people: false, ..clear.clone() };
    let bar = ProgressBar::new(store.would_clear(&requests).await?.requests);
    let template = "clearing [{bar:30}] {human_pos}/{human_len} {per_sec:.dim} ETA {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(Some(bar))
}

fn json(cleared: &Cleared, dry_run: bool) -> Result<String, Failure> {
    let said = Said {
        dry_run,
        requests: cleared.requests,
        bytes: cleared.bytes,
        objects: cleared.objects,
        objects_left: cleared.objects_left,
        predictions: cleared.predictions,
        instances: cleared.instances,
        sessions: cleared.sessions,
        principals: cleared.principals,
    };
    serde_json::to_string_pretty(&said).map_err(|error| Failure::failed(error.to_string()))
}

fn words(cleared: &Cleared, dry_run: bool) -> String {
    let what = [
        (cleared.objects, "object"),
        (cleared.predictions, "prediction"),
        (cleared.instances, "instance"),
        (cleared.sessions, "session"),
        (cleared.principals, "anonymous person"),
    ];
    let mut text = if dry_run { "would clear " } else { "cleared " }.to_owned();
    text += &human::counted(cleared.requests, "request");
    text = format!("{text} ({})", human::bytes(cleared.bytes));
    for (number, noun) in what.into_iter().filter(|(number, _)| *number > 0) {
        text = format!("{text}, {}", human::counted(number, noun));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn asked(words: &[&str], settings: Retention) -> Clear {
        let words = [&["muster", "clean"], words].concat();
        let crate::arguments::Command::Clean(arguments) =
            crate::arguments::Cli::try_parse_from(words).expect("it fits").command
        else {
            panic!("it is `clean`")
        };
        wanted(&arguments, settings)
    }

    #[test]
    fn flags_go_before_settings_and_one_type_leaves_everything_else() {
        let settings = Retention { account: None, ..Retention::default() };
        let week = settings.anonymous;
        let plain = asked(&[], settings);
        assert_eq!((plain.retention, plain.people), (settings, true));
        let day = Some(Duration::from_secs(86_400));
        let all = asked(&["--older-than", "1d"], settings);
        assert_eq!((all.retention.anonymous, all.retention.account), (day, day));
        assert_eq!(all.retention.predictions, settings.predictions);
        let one = asked(&["--older-than", "1d", "--auth-type", "account"], settings);
        let of_account = Retention { account: day, ..Retention::FOR_EVER };
        assert_eq!((one.retention, one.people), (of_account, false));
        let kept = asked(&["--auth-type", "anonymous"], settings);
        assert_eq!(kept.retention, Retention { anonymous: week, ..Retention::FOR_EVER });
        let detail = "anonymous never, account 1 d".to_owned();
        assert_eq!(one.by, ClearedBy::Command(detail));
    }

    #[test]
    fn what_was_cleared_is_said_in_one_line() {
        let cleared = Cleared { requests: 1200, bytes: 5 << 20, objects: 1, ..Cleared::default() };
        assert_eq!(words(&cleared, false), "cleared 1,200 requests (5.0 MiB), 1 object");
        assert_eq!(words(&Cleared::default(), true), "would clear 0 requests (0 B)");
    }
}
