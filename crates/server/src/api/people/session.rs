//! `/api/v1/session` and `/api/v1/sessions`: who you are, and for how long.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use muster_core::PrincipalId;
use muster_core::person::key;
use muster_core::session::EndReason;
use muster_store::{Account, LoginTry, NewSession, Rotation, Session, SessionKind};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::people::view::{EndedView, PrincipalView, RenewalView, SessionView, permissions};
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::problem::{Kind, Problem};
use crate::identity::password::Checked;
use crate::identity::peer::Network;
use crate::identity::secret::Secret;
use crate::identity::{Caller, MaybeCaller, nobody};
use crate::reading::small::{Json, MaybeJson, wrong};

/// Why no session lives if none came along.
pub const NONE: &str = "none";
const CLEAR: HeaderName = HeaderName::from_static("clear-site-data");

/// How the secret is to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSession, example = json!({"kind": "cookie"}))]
pub struct Start {
    /// `bearer` (if not given): the answer has a token. `cookie`: the browser gets it.
    kind: Option<String>,
}

/// User name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Login, example = json!({"name": "ada", "password": "tangible orchard 42 sings"}))]
pub struct Login {
    name: String,
    #[schema(format = Password)]
    password: String,
    /// `bearer` (if not given): the answer has a token. `cookie`: the browser gets it.
    kind: Option<String>,
    /// Do the requests of the anonymous session that comes along become yours? True if not given.
    claim: Option<bool>,
}

/// Start an anonymous session
///
/// Gives a token that the other routes take. Whoever has the token sees the session's requests, so
/// keep it to yourself.
#[utoipa::path(
    post, path = "/api/v1/sessions", operation_id = "create_session", tag = "sessions",
    request_body(content((Start = "application/json")), description = "May be left out"),
    responses((status = 201, description = "The session", body = SessionView)),
)]
pub async fn create_session(
    State(app): State<Arc<App>>,
    Network(network): Network,
    MaybeJson(start): MaybeJson<Start>,
) -> Result<Response, Problem> {
    let kind = read_kind(start.kind.as_deref())?;
    app.rates.admit(network)?;
    to_the_end(async move { open(&app, None, kind).await }).await
}

/// Log in
///
/// If the token or cookie of an anonymous session comes along, its requests become yours and it
/// ends.
#[utoipa::path(
    post, path = "/api/v1/session", operation_id = "log_in", tag = "sessions",
    request_body(content((Login = "application/json"))),
    responses((status = 201, description = "The session", body = SessionView)),
)]
pub async fn log_in(
    State(app): State<Arc<App>>,
    MaybeCaller(before): MaybeCaller,
    Network(network): Network,
    Json(Login { name, password, kind, claim }): Json<Login>,
) -> Result<Response, Problem> {
    let (kind, claim) = (read_kind(kind.as_deref())?, claim.unwrap_or(true));
    to_the_end(async move {
        let account = check_login(&app, LoginTry { name, network }, password).await?;
        if let Some(before) = before {
            leave(&app, before.session(), &account, claim).await?;
        }
        open(&app, Some(account), kind).await
    })
    .await
}

/// Who you are
#[utoipa::path(
    get, path = "/api/v1/session", operation_id = "find_session", tag = "sessions",
    responses((status = 200, description = "The session", body = SessionView)),
    security(("session" = [])),
)]
pub async fn find_session(
    State(app): State<Arc<App>>,
    caller: Caller,
) -> Result<Response, Problem> {
    json(StatusCode::OK, &live_view(&app, caller.session(), None))
}

/// Ask what became of a session
///
/// Extends it if it lives. Always answers 200, as often as it is asked: `live`, or `ended` with the
/// reason, which is `none` if neither a token nor a cookie came along.
#[utoipa::path(
    post, path = "/api/v1/session/renew", operation_id = "renew_session", tag = "sessions",
    responses((status = 200, description = "What became of it", body = RenewalView)),
)]
pub async fn renew_session(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let answer = |reason| {
        let view = EndedView { state: "ended", reason };
        json(StatusCode::OK, &RenewalView::Ended(view))
    };
    let ended = |reason: EndReason| answer(reason.name());
    // Nobody was signed in: there is nothing to say about it.
    let Some(secret) = Secret::of(&headers, &app.config.cookie) else { return answer(NONE) };
    let found = app.store.find_session(&secret.hash()).await?;
    let Some(mut session) = found else { return ended(EndReason::SignedOut) };
    if let Err(reason) = session.left(&app.config.sessions.policy, app.store.now()) {
        return ended(reason);
    }
    app.store.touch_session(session.id).await?;
    if needs_new_secret(&session) {
        let reissued =
            to_the_end(async move { reissue(&app, &secret, StatusCode::OK).await }).await;
        return match reissued {
            // It ended this moment.
            Err(problem) if problem.kind == Kind::Unauthorised => ended(EndReason::Revoked),
            reissued => reissued,
        };
    }
    session.times.seen = app.store.now();
    let view = live_view(&app, &session, None);
    app.sessions.keep(secret.hash(), session);
    json(StatusCode::OK, &RenewalView::Live(view))
}

/// Log out
///
/// Ends the session and takes the cookie away. One that is over already is answered the same.
#[utoipa::path(
    delete, path = "/api/v1/session", operation_id = "log_out", tag = "sessions",
    responses((status = 200, description = "The session is over", body = EndedView)),
)]
pub async fn log_out(
    State(app): State<Arc<App>>,
    MaybeCaller(caller): MaybeCaller,
) -> Result<Response, Problem> {
    let cookie = app.config.cookie.clone();
    if let Some(caller) = caller {
        sign_out(app, caller).await?;
    }
    let view = EndedView { state: "ended", reason: EndReason::SignedOut.name() };
    let mut response = json(StatusCode::OK, &view)?;
    let headers = response.headers_mut();
    headers.insert(SET_COOKIE, cookie.set(None, Duration::ZERO));
    headers.insert(CLEAR, HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(response)
}

/// Ends the session of whoever calls.
pub async fn sign_out(app: Arc<App>, caller: Caller) -> Result<(), Problem> {
    to_the_end(async move {
        let (principal, id) = (caller.principal, caller.session().id);
        app.store.end_session(principal, id, EndReason::SignedOut).await?;
        app.forget(&[principal]);
        Ok(())
    })
    .await
}

fn read_kind(kind: Option<&str>) -> Result<SessionKind, Problem> {
    match kind {
        None | Some("bearer") => Ok(SessionKind::Bearer),
        Some("cookie") => Ok(SessionKind::Cookie),
        Some(_) => Err(wrong("kind", "`kind` must be bearer or cookie.")),
    }
}

/// The account of a user name and password, if it may log in.
pub async fn check_login(app: &App, who: LoginTry, password: String) -> Result<Account, Problem> {
    let network = who.network.clone();
    let account = authenticate(app, who, password).await?;
    may_log_in(app, &account).inspect_err(|problem| {
        note_failure(app, Some(&account), &network, problem);
    })?;
    Ok(account)
}

/// A failed login leaves a line. Not the name: people type their passwords there.
fn note_failure(app: &App, account: Option<&Account>, network: &str, problem: &Problem) {
    let Some(left_out) = app.lines.next() else { return };
    let id = account.map(|account| tracing::field::display(account.id));
    let why = problem.kind.slug();
    tracing::warn!(principal.id = id, network, why, left_out, "a login failed");
}

/// The account of a user name and password. A try counts as failed until the password was right.
async fn authenticate(app: &App, who: LoginTry, password: String) -> Result<Account, Problem> {
    if let Some(wait) = app.store.try_login(who.clone()).await? {
        let seconds = wait.as_secs() + 1;
        let detail = format!(
            "There were too many failed logins for this account or from this network. Try again \
             in {seconds} seconds. Sessions that are open go on."
        );
        let problem = Problem::new(Kind::TooManyTries, detail).retry_after(seconds);
        note_failure(app, None, &who.network, &problem);
        return Err(problem);
    }
    let account = app.store.find_account_named(&who.name).await?;
    let stored = match &account {
        Some(account) => app.store.find_password(account.id).await?,
        None => None,
    };
    let checked = match app.passwords.check(password, stored.clone()).await {
        Ok(checked) => checked,
        Err(busy) => {
            app.store.withdraw_login(who).await?;
            return Err(busy);
        }
    };
    let right = account.as_ref().filter(|_| checked != Checked::Wrong);
    let Some(account) = right.cloned() else {
        let problem = wrong_login();
        note_failure(app, account.as_ref(), &who.network, &problem);
        return Err(problem);
    };
    app.store.forgive_login(who).await?;
    if let (Checked::Rehashed(new), Some(old)) = (checked, stored) {
        app.store.rehash(account.id, old, new).await?;
    }
    Ok(account)
}

fn wrong_login() -> Problem {
    let detail = "User name or password is wrong. Forgotten? POST /api/v1/password-resets.";
    Problem::new(Kind::WrongLogin, detail)
}

fn may_log_in(app: &App, account: &Account) -> Result<(), Problem> {
    if account.disabled_at.is_some() {
        let detail = "The account is disabled. Ask an administrator of this hub.";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    if app.config.mail.is_some() && account.verified_at.is_none() {
        let detail = "Open the link in the mail that was sent to you. POST \
                      /api/v1/email-verifications sends another one.";
        return Err(Problem::new(Kind::EmailNotVerified, detail));
    }
    Ok(())
}

/// The session that came along with a login ends; an anonymous one's requests are claimed.
async fn leave(app: &App, before: &Session, account: &Account, claim: bool) -> Result<(), Problem> {
    match &before.account {
        None if claim => drop(app.store.claim_requests(before.principal, account.id).await?),
        _ if before.kind == SessionKind::Cookie => {
            let (principal, reason) = (before.principal, EndReason::SignedOut);
            app.store.end_session(principal, before.id, reason).await?;
        }
        _ => {}
    }
    app.forget(&[before.principal]);
    Ok(())
}

/// Opens a session; nobody's is an anonymous one.
async fn open(app: &App, account: Option<Account>, kind: SessionKind) -> Result<Response, Problem> {
    let policy = &app.config.sessions.policy;
    let lifetime = if account.is_some() { policy.user } else { policy.anonymous }.absolute;
    let principal = account.map(|account| account.id);
    let (session, secret) = start(app, principal, kind, lifetime).await?;
    answer(app, &session, &secret, StatusCode::CREATED)
}

/// Starts a session of this principal, or of a new anonymous one.
pub async fn start(
    app: &App,
    principal: Option<PrincipalId>,
    kind: SessionKind,
    lifetime: Duration,
) -> Result<(Session, Secret), Problem> {
    let secret = Secret::new()?;
    let new = NewSession {
        principal,
        token_hash: secret.hash(),
        kind,
        name: String::new(),
        scopes: String::new(),
        lifetime,
    };
    Ok((app.store.add_session(new).await?, secret))
}

/// The answer that hands a secret over.
fn answer(
    app: &App,
    session: &Session,
    secret: &Secret,
    status: StatusCode,
) -> Result<Response, Problem> {
    if session.kind == SessionKind::Cookie {
        let left = session.times.expires.since(app.store.now());
        let cookie = [(SET_COOKIE, app.config.cookie.set(Some(secret), left))];
        return Ok((cookie, json(status, &live_view(app, session, None))?).into_response());
    }
    json(status, &live_view(app, session, Some(secret)))
}

/// Browsers get a new secret when the permissions changed, and again if that answer was lost.
fn needs_new_secret(session: &Session) -> bool {
    let version = session.account.as_ref().map_or(0, |account| account.version);
    let old = session.permissions_version != version || session.replaced.is_some();
    session.kind == SessionKind::Cookie && old
}

/// The same session with another secret, after its owner's password or permissions changed.
pub async fn reissue(app: &App, old: &Secret, status: StatusCode) -> Result<Response, Problem> {
    let new = old.successor()?;
    let salt = match app.store.reissue(old.hash(), new).await? {
        Rotation::Overlap { salt } => salt,
        Rotation::Rotated | Rotation::Reused | Rotation::Unknown => new.salt,
    };
    let secret = old.after(&salt);
    // It may have ended this moment.
    let found = app.store.find_session(&secret.hash()).await?.ok_or_else(nobody)?;
    app.forget(&[found.principal]);
    answer(app, &found, &secret, status)
}

fn live_view(app: &App, session: &Session, secret: Option<&Secret>) -> SessionView {
    let policy = &app.config.sessions.policy;
    // It may have ended this moment; whoever asks next is told.
    let left = session.left(policy, app.store.now()).unwrap_or_default();
    let account = session.account.as_ref();
    let of = |field: fn(&Account) -> &String| account.map(|account| field(account).clone());
    let expires = session.times.expires;
    let absolute = session.lifetimes(policy).map(|l| session.times.created + l.absolute);
    SessionView {
        state: "live",
        token: secret.map(|secret| secret.text().to_owned()),
        principal: PrincipalView {
            id: session.principal,
            kind: if account.is_some() { "account" } else { "anonymous" },
            name: of(|account| &account.name),
            first_name: of(|account| &account.first_name),
            last_name: of(|account| &account.last_name),
        },
        permissions: permissions(account),
        permissions_version: account.map_or(0, |account| account.version),
        seconds_left: left.as_secs(),
        expires_at: absolute.map_or(expires, |absolute| absolute.min(expires)),
    }
}

/// Is it the password of this account? For those who are logged in: it counts like a login.
pub async fn confirm(
    app: &App,
    account: &Account,
    network: String,
    password: String,
) -> Result<(), Problem> {
    let who = LoginTry { name: key(&account.name), network };
    authenticate(app, who, password).await.map(drop)
}
