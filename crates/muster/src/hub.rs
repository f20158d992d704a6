//! The hub's public API, as the client commands use it.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryFutureExt;
use futures::TryStreamExt;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_RANGE, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::io::ReaderStream;

use crate::config::{Environment, client};
use crate::credentials::{Credentials, Token};
use crate::failure::{Failure, Kind, io_failure, root};
use crate::path::parameter;

/// Longest time for a connection, and without a byte of an answer. The longest long-poll is 60 s.
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(90);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(300);

/// Says something to the person while they wait.
type Tell = Box<dyn Fn(&str)>;

/// A hub, and who we are there.
pub struct Hub {
    pub url: String,
    http: Client,
    credentials: Option<Credentials>,
    token: RefCell<Option<String>>,
    /// How long to go on when the hub cannot be reached.
    patience: Cell<Duration>,
    /// Tells the person that the hub is not there, and that it is again.
    tell: RefCell<Tell>,
}

/// Who sends a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Nobody,
    Us,
}

#[derive(Deserialize)]
struct Session {
    token: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

impl Hub {
    /// Nothing is sent yet.
    pub fn new(flag: Option<&str>, environment: &Environment) -> Result<Self, Failure> {
        let url = client::hub(flag, environment).map_err(Failure::usage)?;
        let mut http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&url) {
            http = http.no_proxy();
        }
        let http = http
            .build()
            .map_err(|error| Failure::failed(format!("an HTTP client cannot be made: {error}")))?;
        let credentials = environment.config_dir().map(Credentials::in_dir);
        Ok(Self {
            url,
            http,
            credentials,
            token: RefCell::default(),
            patience: Cell::default(),
            tell: RefCell::new(Box::new(|text| eprintln!("{text}"))),
        })
    }

    /// From now on a hub that is not there is waited for.
    pub fn be_patient(&self, patience: Duration, tell: impl Fn(&str) + 'static) {
        self.patience.set(patience);
        *self.tell.borrow_mut() = Box::new(tell);
    }

    /// The same, but no shorter than it was.
    pub fn be_patient_at_least(&self, patience: Duration) {
        self.patience.set(self.patience.get().max(patience));
    }

    fn tell(&self, text: &str) {
        (self.tell.borrow())(text);
    }

    /// A `GET` that needs no token; the body as it came.
    pub async fn public(&self, path: &str) -> Result<Bytes, Failure> {
        self.whole(As::Nobody, |http, url| http.get(format!("{url}{path}"))).await
    }

    /// A `GET` of something of ours; the body as it came.
    pub async fn get(&self, path: &str) -> Result<Bytes, Failure> {
        self.whole(As::Us, |http, url| http.get(format!("{url}{path}"))).await
    }

    /// A `GET` whose answer is read by the caller; it may break off.
    pub async fn stream(&self, path: &str) -> Result<Response, Failure> {
        self.send(As::Us, &|http, url| http.get(format!("{url}{path}"))).await
    }

    /// The rest of such an answer, from that byte on, if it is still the same one.
    pub async fn stream_from(&self, path: &str, byte: u64, tag: &str) -> Result<Response, Failure> {
        let build = |http: &Client, url: &str| {
            let get = http.get(format!("{url}{path}"));
            get.header(RANGE, format!("bytes={byte}-")).header(IF_RANGE, tag)
        };
        self.send(As::Us, &build).await
    }

    /// The same, to standard output as it comes.
    pub async fn print(&self, path: &str) -> Result<(), Failure> {
        let mut answer = self.stream(path).await?;
        while let Some(piece) = answer.chunk().await.map_err(broken_off)? {
            // The hub writes whole lines of UTF-8, the network cuts them anywhere.
            crate::table::put_bytes(&piece)?;
        }
        Ok(())
    }

    /// A `POST` that may be sent twice without harm.
    pub async fn post(
        &self,
        path: &str,
        fill: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Bytes, Failure> {
        let build =
            |http: &Client, url: &str| fill(http.request(Method::POST, format!("{url}{path}")));
        self.whole(As::Us, build).await
    }

    /// Sends a file as the body of a `POST`; `sent` is told how many bytes more are under way.
    pub async fn post_file(
        &self,
        path: &str,
        (file, content_type): (&Path, &str),
        sent: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<Bytes, Failure> {
        let unreadable = io_failure("the file that is sent");
        let length = std::fs::metadata(file).map_err(&unreadable)?.len();
        // Opened anew for each try: it fails as a request does.
        let build = |http: &Client, url: &str| {
            let (sent, file) = (sent.clone(), file.to_owned());
            let pieces = async move { tokio::fs::File::open(file).await }
                .map_ok(|file| ReaderStream::with_capacity(file, 256 << 10))
                .try_flatten_stream()
                .inspect_ok(move |piece| sent(piece.len() as u64));
            let post = http.post(format!("{url}{path}"));
            post.header(CONTENT_TYPE, content_type)
                .header(CONTENT_LENGTH, length)
                .body(reqwest::Body::wrap_stream(pieces))
        };
        self.whole(As::Us, build).await
    }

    /// The same with a body of JSON.
    pub async fn post_json(&self, path: &str, body: &Value) -> Result<Bytes, Failure> {
        let body = body.to_string();
        let fill =
            |post: RequestBuilder| post.header(CONTENT_TYPE, "application/json").body(body.clone());
        self.post(path, fill).await
    }

    /// Changes what was seen with this ETag, or deletes it if there is no body.
    pub async fn change(
        &self,
        path: &str,
        seen: &str,
        body: Option<&Value>,
    ) -> Result<Bytes, Failure> {
        let body = body.map(Value::to_string);
        let build = |http: &Client, url: &str| {
            let method = if body.is_some() { Method::PATCH } else { Method::DELETE };
            let change = http.request(method, format!("{url}{path}")).header(IF_MATCH, seen);
            match &body {
                Some(body) => change.header(CONTENT_TYPE, "application/json").body(body.clone()),
                None => change,
            }
        };
        self.whole(As::Us, build).await
    }

    /// A `PATCH` with a body of JSON.
    pub async fn patch_json(&self, path: &str, body: &Value) -> Result<Bytes, Failure> {
        let body = body.to_string();
        let build = |http: &Client, url: &str| {
            let patch = http.request(Method::PATCH, format!("{url}{path}"));
            patch.header(CONTENT_TYPE, "application/json").body(body.clone())
        };
        self.whole(As::Us, build).await
    }

    /// All items of a list, at most `most`; true if there are more.
    pub async fn list(
        &self,
        path: &str,
        most: usize,
        public: bool,
    ) -> Result<(Vec<Box<RawValue>>, bool), Failure> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let limit = (most - items.len()).min(100);
            let mut page = path.to_owned();
            parameter(&mut page, "limit", [limit.to_string()]);
            parameter(&mut page, "after", &after);
            let body = if public { self.public(&page).await? } else { self.get(&page).await? };
            let page: Page = parse(&body)?;
            items.extend(page.items);
            if page.next.is_none() || items.len() >= most {
                return Ok((items, page.next.is_some()));
            }
            after = page.next;
        }
    }

    async fn whole(
        &self,
        who: As,
        build: impl Fn(&Client, &str) -> RequestBuilder,
    ) -> Result<Bytes, Failure> {
        let mut trouble = Trouble::default();
        loop {
            let response = self.send_through(who, &build, &mut trouble).await?;
            match response.bytes().await {
                Ok(body) => return Ok(body),
                Err(error) => self.bear(&mut trouble, &error, PAUSE).await?,
            }
        }
    }

    async fn send(
        &self,
        who: As,
        build: &impl Fn(&Client, &str) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        self.send_through(who, build, &mut Trouble::default()).await
    }

    /// Sends until there is an answer, which is a success.
    async fn send_through(
        &self,
        who: As,
        build: &impl Fn(&Client, &str) -> RequestBuilder,
        trouble: &mut Trouble,
    ) -> Result<Response, Failure> {
        let mut renewed = false;
        loop {
            let mut request = build(&self.http, &self.url);
            if who == As::Us {
                let token = Box::pin(self.token(trouble)).await?;
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => {
                    self.bear(trouble, &error, PAUSE).await?;
                    continue;
                }
            };
            let status = response.status();
            if status.is_success() {
                if trouble.is_over() {
                    self.tell("the hub is there again");
                }
                return Ok(response);
            }
            let again = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
            let again = again.and_then(|after| after.parse().ok()).map(Duration::from_secs);
            let body = response.text().await.unwrap_or_default();
            let failure = Failure::from_answer(status, &body);
            if status == StatusCode::UNAUTHORIZED && who == As::Us && !renewed {
                renewed = true;
                Box::pin(self.renew(trouble)).await?;
            } else if failure.kind == Kind::Unreachable {
                self.bear_busy(trouble, failure, again.unwrap_or(PAUSE)).await?;
            } else {
                return Err(failure);
            }
        }
    }

    /// Waits before the next try, or gives up.
    async fn bear(
        &self,
        trouble: &mut Trouble,
        error: &reqwest::Error,
        pause: Duration,
    ) -> Result<(), Failure> {
        let what = format!("the hub at {} cannot be reached: {}", self.url, root(error));
        let advice = "Start one with `muster serve`, or say where it is with --hub or MUSTER_HUB.";
        let failure = Failure::new(Kind::Unreachable, what).advice(advice);
        self.bear_busy(trouble, failure, pause).await
    }

    async fn bear_busy(
        &self,
        trouble: &mut Trouble,
        failure: Failure,
        pause: Duration,
    ) -> Result<(), Failure> {
        let since = *trouble.since.get_or_insert_with(Instant::now);
        let left = self.patience.get().saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(failure);
        }
        if !std::mem::replace(&mut trouble.told, true) {
            self.tell("hub not reachable, retrying");
        }
        tokio::time::sleep(pause.min(left)).await;
        Ok(())
    }

    async fn token(&self, trouble: &mut Trouble) -> Result<String, Failure> {
        if let Some(token) = self.token.borrow().clone() {
            return Ok(token);
        }
        let Some(kept) = self.kept()? else { return Box::pin(self.renew(trouble)).await };
        self.token.replace(Some(kept.token.clone()));
        Ok(kept.token)
    }

    /// The session that an earlier command kept.
    fn kept(&self) -> Result<Option<Token>, Failure> {
        let Some(credentials) = &self.credentials else { return Ok(None) };
        credentials.token(&self.url).map_err(|error| credentials_failure(&error))
    }

    /// A new anonymous session in place of the token that was refused, or of none.
    async fn renew(&self, trouble: &mut Trouble) -> Result<String, Failure> {
        let refused = self.token.take();
        let locked = match &self.credentials {
            Some(credentials) => Some(credentials.lock().map_err(|e| credentials_failure(&e))?),
            None => None,
        };
        if let Some(locked) = &locked {
            // Another command may have been faster.
            let kept = locked.token(&self.url).map_err(|error| credentials_failure(&error))?;
            match kept {
                Some(kept) if Some(&kept.token) != refused.as_ref() => {
                    self.token.replace(Some(kept.token.clone()));
                    return Ok(kept.token);
                }
                Some(Token { name: Some(name), .. }) => return Err(logged_out(&name)),
                _ => {}
            }
        }
        let build = |http: &Client, url: &str| http.post(format!("{url}/api/v1/sessions"));
        let response = self.send_through(As::Nobody, &build, trouble).await?;
        let body = response.bytes().await.map_err(|error| {
            Failure::new(Kind::Unreachable, format!("the hub broke off its answer: {error}"))
        })?;
        let Session { token } = parse(&body)?;
        if let Some(locked) = &locked {
            let kept = Token { token: token.clone(), name: None };
            locked.keep(&self.url, Some(kept)).map_err(|error| credentials_failure(&error))?;
        }
        if refused.is_some() {
            let text = "the hub does not know the kept session any more; a new one was started, \
                        which does not see earlier requests";
            self.tell(text);
        }
        self.token.replace(Some(token.clone()));
        Ok(token)
    }
}

impl Hub {
    /// Logs in and keeps the session. The requests of an anonymous one become the person's.
    pub async fn log_in(&self, name: &str, password: &str) -> Result<(), Failure> {
        let before = self.kept()?;
        let body = serde_json::json!({ "name": name, "password": password }).to_string();
        let build = |http: &Client, url: &str| {
            let post = http.post(format!("{url}/api/v1/session"));
            let post = post.header(CONTENT_TYPE, "application/json").body(body.clone());
            match &before {
                Some(before) => post.bearer_auth(&before.token),
                None => post,
            }
        };
        let Session { token } = parse(&self.whole(As::Nobody, build).await?)?;
        self.keep(Some(Token { token, name: Some(name.to_owned()) }))
    }

    /// Ends the kept session and forgets it. The user name, if somebody was logged in.
    pub async fn log_out(&self) -> Result<Option<String>, Failure> {
        let Some(Token { token, name: Some(name) }) = self.kept()? else { return Ok(None) };
        let build = |http: &Client, url: &str| {
            http.delete(format!("{url}/api/v1/session")).bearer_auth(&token)
        };
        self.whole(As::Nobody, build).await?;
        self.keep(None)?;
        Ok(Some(name))
    }

    fn keep(&self, token: Option<Token>) -> Result<(), Failure> {
        let Some(credentials) = &self.credentials else {
            return Err(Failure::failed("there is no folder for this user's credentials"));
        };
        let locked = credentials.lock().map_err(|error| credentials_failure(&error))?;
        locked.keep(&self.url, token).map_err(|error| credentials_failure(&error))
    }
}

fn logged_out(name: &str) -> Failure {
    Failure::usage(format!("the login of {name} is over")).advice(format!(
        "Log in again with `muster login {name}`, or go on without an account after `muster logout`."
    ))
}

/// A time without the hub.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    told: bool,
}

impl Trouble {
    /// True if it had been told.
    fn is_over(&mut self) -> bool {
        self.since = None;
        std::mem::take(&mut self.told)
    }
}

fn credentials_failure(error: &std::io::Error) -> Failure {
    let what = format!("the credentials of this user cannot be read or written: {error}");
    Failure::failed(what).advice("They are in the folder muster of XDG_CONFIG_HOME or ~/.config.")
}

fn is_loopback(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An answer that is read as it comes ended before its end.
pub fn broken_off(error: reqwest::Error) -> Failure {
    Failure::failed(format!("the answer broke off: {error}"))
}

/// Reads the items of a list.
pub fn parse_all<T: DeserializeOwned>(items: &[Box<RawValue>]) -> Result<Vec<T>, Failure> {
    items.iter().map(|item| parse(item.get().as_bytes())).collect()
}

/// Reads an answer of the hub.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let what = format!("the hub's answer cannot be understood: {error}");
        Failure::failed(what).advice("Is it a hub of this version?")
    })
}
