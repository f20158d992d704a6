//! `/api/v1/instances/{id}/logs`: what a model and its server wrote.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use muster_core::InstanceId;
use tokio::time::Instant;

use crate::api::events::{self, is_admin};
use crate::app::App;
use crate::http::extract::{InstancePath, Pairs, Parameters, Query};
use crate::http::problem::Problem;
use crate::identity::secret::TokenHash;
use crate::identity::{Admin, Caller};
use crate::state::streams::Listening;

const LINES: u32 = 200;
const MOST_LINES: u32 = 10_000;
/// How often it is looked at whether more was written.
const LOOK: Duration = Duration::from_secs(1);

pub struct FindLog {
    tail: u32,
    follow: bool,
}

impl Parameters for FindLog {
    const NAMES: &'static [&'static str] = &["tail", "follow"];

    fn read(pairs: &mut Pairs) -> Result<Self, Problem> {
        Ok(Self {
            tail: pairs.number("tail", MOST_LINES)?.unwrap_or(LINES),
            follow: pairs.value("follow", "true or false")?.unwrap_or(false),
        })
    }
}

/// The log of an instance
///
/// The end of what its model and its model server wrote: 256 KiB are kept, also after its end. The hub
/// writes no inputs there, but a model may: treat it as you would treat them. With `follow` it comes as
/// server-sent events `log`, whose data are lines, until an event `end`.
#[utoipa::path(
    get, path = "/api/v1/instances/{id}/logs", operation_id = "find_instance_log",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance's id"),
        ("tail" = Option<u32>, Query, description = "So many of the last lines: 0 to 10000; 200 if not given"),
        ("follow" = Option<bool>, Query, description = "And what is written from now on; false if not given"),
    ),
    responses((status = 200, description = "The last lines",
        content(
            (String = "text/plain", example = "loading the model\nready\n"),
            (String = "text/event-stream", example = "event: log\ndata: loading the model\ndata: ready\n\nevent: end\ndata: {}\n\n"),
        ))),
    security(("session" = [])),
)]
pub async fn find_instance_log(
    State(app): State<Arc<App>>,
    _: Admin,
    caller: Caller,
    InstancePath(id): InstancePath,
    Query(query): Query<FindLog>,
) -> Result<Response, Problem> {
    let log = app.store.instance_log(id, 0).await?.ok_or_else(Problem::no_such_thing)?;
    let text = String::from_utf8_lossy(&log.bytes);
    let lines = last_lines(&text, query.tail as usize);
    let plain = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        // Whatever a model writes is no page.
        (HeaderName::from_static("content-security-policy"), "sandbox; default-src 'none'"),
    ];
    if !query.follow {
        return Ok((plain, lines.to_owned()).into_response());
    }
    let listening = app.streams.open(&caller, true)?;
    let mut follower = Follower {
        app,
        _listening: listening,
        session: caller.hash,
        instance: id,
        position: log.position + log.bytes.len() as u64,
        line: Vec::new(),
        told: None,
        over: false,
    };
    let first = follower.events(lines.as_bytes(), log.is_last);
    Ok(events::answer(futures::stream::unfold((follower, Some(first)), Follower::next)))
}

/// Whoever follows a log.
struct Follower {
    app: Arc<App>,
    /// It counts as one of the person's open streams.
    _listening: Listening,
    session: TokenHash,
    instance: InstanceId,
    position: u64,
    /// The start of a line whose end was not written yet.
    line: Vec<u8>,
    told: Option<Instant>,
    over: bool,
}

type Next = (Result<Bytes, Infallible>, (Follower, Option<String>));

impl Follower {
    async fn next((mut this, first): (Self, Option<String>)) -> Option<Next> {
        let text = match first {
            Some(first) if !first.is_empty() => first,
            _ if this.over => return None,
            Some(_) => ": connected\n\n".to_owned(),
            None => this.wait().await?,
        };
        this.told = Some(Instant::now());
        Some((Ok(Bytes::from(text)), (this, None)))
    }

    /// The next events, or a comment; nothing if the stream is to end.
    async fn wait(&mut self) -> Option<String> {
        let app = Arc::clone(&self.app);
        loop {
            app.until_stopping(tokio::time::sleep(LOOK)).await?;
            // Who is no administrator any more hears nothing any more.
            let known = app.sessions.find(&self.session).await.ok()??;
            if !is_admin(&known.session) {
                return None;
            }
            let log = app.store.instance_log(self.instance, self.position).await.ok()??;
            self.position = log.position + log.bytes.len() as u64;
            let text = self.events(&log.bytes, log.is_last);
            if !text.is_empty() {
                return Some(text);
            }
            let silent = self.told.is_none_or(|at| at.elapsed() >= app.config.times.event_comment);
            if silent {
                return Some(": still here\n\n".to_owned());
            }
        }
    }

    /// The lines that are whole now as an event; and the end.
    fn events(&mut self, bytes: &[u8], is_last: bool) -> String {
        self.line.extend_from_slice(bytes);
        let whole = match self.line.iter().rposition(|byte| *byte == b'\n') {
            _ if is_last => std::mem::take(&mut self.line),
            Some(end) => self.line.drain(..=end).collect(),
            None => Vec::new(),
        };
        let mut text = String::new();
        if !whole.is_empty() {
            text.push_str("event: log\n");
            for line in String::from_utf8_lossy(&whole).lines() {
                // A carriage return would end the line of the event as well.
                let line = line.replace('\r', "\u{fffd}");
                writeln!(text, "data: {line}").unwrap_or_default();
            }
            text.push('\n');
        }
        if is_last {
            self.over = true;
            text.push_str("event: end\ndata: {}\n\n");
        }
        text
    }
}

/// So many of the last lines.
fn last_lines(text: &str, most: usize) -> &str {
    let mut starts = VecDeque::from([0]);
    starts.extend(text.match_indices('\n').map(|(at, _)| at + 1).filter(|at| *at < text.len()));
    match starts.len().checked_sub(most) {
        _ if most == 0 => "",
        Some(skip) => starts.get(skip).and_then(|start| text.get(*start..)).unwrap_or(""),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_whole_lines_from_the_end() {
        let text = "one\ntwo\nthree\n";
        assert_eq!(last_lines(text, 0), "");
        assert_eq!(last_lines(text, 1), "three\n");
        assert_eq!(last_lines(text, 2), "two\nthree\n");
        assert_eq!(last_lines(text, 3), text);
        assert_eq!(last_lines(text, 100), text);
        assert_eq!(last_lines("one\ntwo", 1), "two");
        assert_eq!(last_lines("", 5), "");
    }
}
