//! `/api/v1/events`: what changed, as server-sent events. The page reads again what it shows.
//!
//! One task takes the store's changes and hands each to the streams of its principal, so that a
//! change costs the same however many streams are open; it runs only while some are.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use muster_core::{Permission, PrincipalId, RequestId};
use muster_store::{Change, Session, SessionKind, Store};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::app::App;
use crate::config::ServerConfig;
use crate::http::problem::{Kind, Problem};
use crate::http::share::{Hold, Share};
use crate::identity::Caller;
use crate::identity::secret::TokenHash;

/// A request is told of at most so often.
const EVERY: Duration = Duration::from_millis(200);
/// That anybody's request changed is told to an administrator at most so often.
const ANYBODYS_EVERY: Duration = Duration::from_secs(1);
/// More changed requests at one time are told as one `resync`.
const MOST_REQUESTS: usize = 50;

/// Follow your requests
///
/// Events: `request` with `{id, phase, done, failed, inputs}` when one of your requests changed;
/// `models` when the state of models may have changed; to administrators `instances`, when instances or
/// what they do changed, and `requests`, when anybody's requests did; `session` when your rights may have: renew;
/// `resync` when too much changed to tell: read again what you show. Comments keep the connection
/// open.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "follow_events", tag = "events",
    responses((status = 200, description = "A stream that ends with the session, or when the server stops",
        body = String, content_type = "text/event-stream",
        example = "event: request\ndata: {\"id\":\"0193a1b2-0000-7000-8000-000000000001\",\"phase\":\"running\",\"done\":3,\"failed\":0,\"inputs\":10}\n\n")),
    security(("session" = [])),
)]
pub async fn follow_events(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Response, Problem> {
    let listener = Streams::open(&app, &caller, is_admin(caller.session()))?;
    let stream = Stream { app, listener, session: caller.hash, told: None, told_anybodys: None };
    Ok(answer(futures::stream::unfold(stream, Stream::next)))
}

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

/// The open streams.
pub struct Streams {
    /// In all, and of one network.
    places: Arc<Share>,
    /// Of one principal.
    each: u32,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    streams: HashMap<PrincipalId, Vec<Arc<Listener>>>,
    /// Those of administrators.
    admins: Vec<Arc<Listener>>,
    count: u32,
    pumped: bool,
}

/// What one stream has to tell.
#[derive(Default)]
struct Listener {
    news: Mutex<News>,
    wake: Notify,
}

#[derive(Default)]
struct News {
    requests: BTreeSet<RequestId>,
    /// A request of anybody.
    anybodys: bool,
    models: bool,
    instances: bool,
    resync: bool,
    session: bool,
}

impl News {
    fn is_empty(&self) -> bool {
        let other = self.models || self.instances || self.resync || self.session;
        self.requests.is_empty() && !self.anybodys && !other
    }
}

impl Listener {
    fn tell(&self, note: impl FnOnce(&mut News)) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = news.is_empty();
        note(&mut news);
        if news.requests.len() > MOST_REQUESTS {
            news.requests.clear();
            news.resync = true;
        }
        if silent {
            self.wake.notify_one();
        }
    }

    fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Streams {
    pub fn new(config: &ServerConfig) -> Self {
        let (all, network) = (config.event_streams, config.event_streams_network);
        let places = Share::new(all.into(), network.into());
        Self { places, each: config.event_streams_each, open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the streams of these principals that their sessions or rights changed.
    pub fn wake(&self, changed: &[PrincipalId]) {
        let open = self.lock();
        for listener in changed.iter().flat_map(|id| open.streams.get(id)).flatten() {
            listener.tell(|news| news.session = true);
        }
    }

    pub fn open(app: &Arc<App>, caller: &Caller, admin: bool) -> Result<Listening, Problem> {
        let full = || {
            let detail = "Too many event streams are open. Close one, or try again later.";
            Problem::new(Kind::Busy, detail)
        };
        let (principal, streams) = (caller.principal, &app.streams);
        let place = streams.places.hold(Some(caller.network()), 1).map_err(|_| full())?;
        let mut open = streams.lock();
        let own = open.streams.get(&principal).map_or(0, Vec::len);
        if own >= streams.each as usize {
            return Err(full());
        }
        let listener = Arc::new(Listener::default());
        open.streams.entry(principal).or_default().push(listener.clone());
        if admin {
            open.admins.push(listener.clone());
        }
        open.count += 1;
        if !open.pumped {
            open.pumped = true;
            tokio::spawn(pump(app.clone(), app.store.changes()));
        }
        Ok(Listening { app: app.clone(), principal, listener, _place: place })
    }
}

/// One open stream; dropping it closes it.
pub struct Listening {
    app: Arc<App>,
    principal: PrincipalId,
    listener: Arc<Listener>,
    _place: Hold,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut open = self.app.streams.lock();
        open.count -= 1;
        open.admins.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
        if let Some(own) = open.streams.get_mut(&self.principal) {
            own.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
            if own.is_empty() {
                open.streams.remove(&self.principal);
            }
        }
    }
}

/// Hands changes to the streams until none is open.
async fn pump(app: Arc<App>, mut changes: tokio::sync::broadcast::Receiver<Change>) {
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = app.stopping() => return,
        };
        let mut open = app.streams.lock();
        if open.count == 0 || matches!(change, Err(RecvError::Closed)) {
            open.pumped = false;
            return;
        }
        match change {
            Ok(Change::Request { id, principal, .. } | Change::Progress { id, principal }) => {
                for listener in open.streams.get(&principal).into_iter().flatten() {
                    listener.tell(|news| {
                        news.requests.insert(id);
                    });
                }
                // Nobody else is woken by what they may not see.
                open.admins.iter().for_each(|listener| listener.tell(|news| news.anybodys = true));
            }
            Ok(Change::Cancelled { .. }) => {}
            Ok(Change::Models) => tell_all(&open, |news| news.models = true),
            Ok(Change::Instances) => tell_all(&open, |news| {
                news.models = true;
                news.instances = true;
            }),
            Ok(Change::Noted) => {
                open.admins.iter().for_each(|listener| listener.tell(|news| news.instances = true));
            }
            Ok(_) | Err(_) => tell_all(&open, |news| news.resync = true),
        }
    }
}

fn tell_all(open: &Open, note: impl Fn(&mut News)) {
    for listener in open.streams.values().flatten() {
        listener.tell(&note);
    }
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
        let known = app.sessions.find(&app, &self.session).await.ok()??;
        let text = match news {
            Some(mut news) => {
                let admin = is_admin(&known.session);
                news.instances &= admin;
                news.anybodys &= admin;
                if news.anybodys {
                    self.told_anybodys = Some(Instant::now());
                }
                write_events(&app.store, self.listener.principal, news).await?
            }
            None => ": still here\n\n".into(),
        };
        self.told = Some(Instant::now());
        Some((Ok(Bytes::from(text)), self))
    }

    /// The next news; nothing when it is time to say that the stream is still there.
    async fn wait(&self) -> Option<News> {
        let (now, listener) = (Instant::now(), &self.listener.listener);
        let comment = now + self.app.config.times.event_comment;
        if timeout_at(comment, listener.wake.notified()).await.is_err() {
            return None;
        }
        if let Some(told) = self.told {
            sleep_until(told + EVERY).await;
        }
        let mut news = listener.take();
        let next = self.told_anybodys.map(|told| told + ANYBODYS_EVERY);
        if let Some(next) = next.filter(|next| news.anybodys && *next > Instant::now()) {
            news.anybodys = false;
            if news.is_empty() {
                sleep_until(next).await;
                news = listener.take();
                news.anybodys = true;
            } else {
                listener.tell(|later| later.anybodys = true);
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
    for id in news.requests {
        let Some(request) = store.find_request(principal, id).await.ok()? else { continue };
        let (phase, progress) = (request.phase.name(), request.progress);
        let (done, failed, inputs) = (progress.done, progress.failed, progress.inputs);
        // Writing to a string cannot fail.
        write!(
            text,
            "event: request\ndata: {{\"id\":\"{id}\",\"phase\":\"{phase}\",\"done\":{done},\
             \"failed\":{failed},\"inputs\":{inputs}}}\n\n"
        )
        .unwrap_or_default();
    }
    Some(text)
}
