//! `/api/v1/events`: what changed, as server-sent events. The page reads again what it shows.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use muster_core::{Permission, PrincipalId, Progress, RequestId};
use muster_store::{Session, SessionKind, Store};
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};
use utoipa::ToSchema;

use crate::api::requests::view::PhaseName;
use crate::app::App;
use crate::http::problem::Problem;
use crate::identity::Caller;
use crate::identity::secret::TokenHash;
use crate::state::streams::{Listening, News};

/// A request is told of at most so often.
const EVERY: Duration = Duration::from_millis(200);
/// That anybody's request changed is told to an administrator at most so often.
const ANYBODYS_EVERY: Duration = Duration::from_secs(1);

/// Follow your requests
///
/// Events: `request` with `{id, phase, done, failed, inputs}` when one of your requests changed;
/// `models` when the state of models may have changed; to administrators `instances`, when instances or
/// what they do changed, `nodes`, when nodes, groups of them or the plan did, and `requests`, when anybody's requests did; `session` when your rights may have: renew;
/// `resync` when too much changed to tell: read again what you show. Comments keep the connection
/// open.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "follow_events", tag = "events",
    responses((status = 200, description = "A stream of such events, with `data` as JSON, that ends with the session, or when the server stops",
        body = EventDocument, content_type = "text/event-stream",
        example = "event: request\ndata: {\"id\":\"0193a1b2-0000-7000-8000-000000000001\",\"phase\":\"running\",\"done\":3,\"failed\":0,\"inputs\":10}\n\n")),
    security(("session" = [])),
)]
pub async fn follow_events(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Response, Problem> {
    let listener = app.streams.open(&caller, is_admin(caller.session()))?;
    let stream = Stream { app, listener, session: caller.hash, told: None, told_anybodys: None };
    Ok(answer(futures::stream::unfold(stream, Stream::next)))
}

/// An event, by its name.
#[derive(Serialize, ToSchema)]
#[serde(tag = "event", content = "data", rename_all = "lowercase")]
#[schema(as = Event)]
#[expect(dead_code, reason = "it only describes what `write_events` writes")]
pub enum EventDocument {
    Request(RequestNews),
    Models(NothingMore),
    Instances(NothingMore),
    Nodes(NothingMore),
    Requests(NothingMore),
    Session(NothingMore),
    Resync(NothingMore),
}

/// What became of one of your requests.
#[derive(Serialize, ToSchema)]
#[schema(as = RequestEvent)]
pub struct RequestNews {
    #[schema(value_type = String, format = Uuid)]
    id: RequestId,
    #[schema(value_type = PhaseName)]
    phase: &'static str,
    /// Inputs with a prediction or an error.
    done: u64,
    /// Inputs of `done` with an error.
    failed: u64,
    inputs: u64,
}

/// The name of the event says it all.
#[derive(Serialize, ToSchema)]
#[schema(as = NoData)]
pub struct NothingMore {}

/// Server-sent events as they come.
pub fn answer(
    events: impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    let kind = [
        (CONTENT_TYPE, "text/event-stream"),
        // Proxies hand each event on at once.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (kind, Body::from_stream(events)).into_response()
}

/// The events of one stream.
struct Stream {
    app: Arc<App>,
    listener: Listening,
    /// Of its session's secret.
    session: TokenHash,
    /// When it last told something.
    told: Option<Instant>,
    /// When it last told that anybody's request changed.
    told_anybodys: Option<Instant>,
}

impl Stream {
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        if self.told.is_none() {
            // The client learns at once that it is connected.
            self.told = Some(Instant::now());
            return Some((Ok(Bytes::from_static(b": connected\n\n")), self));
        }
        let app = self.app.clone();
        let news = app.until_stopping(self.wait()).await?;
        // A session that is over tells nothing any more; if nobody can say, the client asks again.
        // Listening is not using: it does not keep a session from being idle.
        let known = app.sessions.find(&self.session).await.ok()??;
        let text = match news {
            Some(mut news) => {
                let admin = is_admin(&known.session);
                news.instances &= admin;
                news.nodes &= admin;
                news.anybodys &= admin;
                if news.anybodys {
                    self.told_anybodys = Some(Instant::now());
                }
                write_events(&app.store, self.listener.principal(), news).await?
            }
            None => ": still here\n\n".into(),
        };
        self.told = Some(Instant::now());
        Some((Ok(Bytes::from(text)), self))
    }

    /// The next news; nothing when it is time to say that the stream is still there.
    async fn wait(&self) -> Option<News> {
        let comment = Instant::now() + self.app.config.times.event_comment;
        if timeout_at(comment, self.listener.woken()).await.is_err() {
            return None;
        }
        if let Some(told) = self.told {
            sleep_until(told + EVERY).await;
        }
        let mut news = self.listener.take();
        let next = self.told_anybodys.map(|told| told + ANYBODYS_EVERY);
        if let Some(next) = next.filter(|next| news.anybodys && *next > Instant::now()) {
            news.anybodys = false;
            if news.is_empty() {
                sleep_until(next).await;
                news = self.listener.take();
                news.anybodys = true;
            } else {
                self.listener.put_off();
            }
        }
        Some(news)
    }
}

/// May whoever has this session see instances?
pub fn is_admin(session: &Session) -> bool {
    let account = session.account.as_ref().filter(|_| session.kind != SessionKind::Token);
    account.is_some_and(|account| account.permissions.contains(&Permission::Admin))
}

async fn write_events(store: &Store, principal: PrincipalId, news: News) -> Option<String> {
    let mut text = String::new();
    if news.resync {
        text.push_str("event: resync\ndata: {}\n\n");
    }
    if news.session {
        text.push_str("event: session\ndata: {}\n\n");
    }
    if news.models {
        text.push_str("event: models\ndata: {}\n\n");
    }
    if news.anybodys {
        text.push_str("event: requests\ndata: {}\n\n");
    }
    if news.instances {
        text.push_str("event: instances\ndata: {}\n\n");
    }
    if news.nodes {
        text.push_str("event: nodes\ndata: {}\n\n");
    }
    for id in news.requests {
        let Some(request) = store.find_request(principal, id).await.ok()? else { continue };
        let Progress { done, failed, inputs, .. } = request.progress;
        let news = RequestNews { id, phase: request.phase.name(), done, failed, inputs };
        let data = serde_json::to_string(&news).ok()?;
        // Writing to a string cannot fail.
        write!(text, "event: request\ndata: {data}\n\n").unwrap_or_default();
    }
    Some(text)
}
