//! `/api/auth`: sessions as these clients keep them. A client sends back the whole session object
//! that it was given; what counts of it is the token alone.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use muster_store::{LoginTry, Rotation, Session, SessionKind};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::{LoginView, LogoutView, SessionView, UserView};
use super::{Detail, Segment, TAG};
use crate::api::people::session::{check_login, sign_out, start};
use crate::api::people::view::permissions;
use crate::app::{App, to_the_end};
use crate::http::answer::json;
use crate::http::problem::{Kind, Problem};
use crate::identity::peer::Network;
use crate::identity::secret::{Secret, TokenHash};
use crate::identity::{Caller, nobody};
use crate::reading::small::Json;

/// The words before the session in `Authorization`. They grant nothing: rights are the session's.
pub const SCHEMES: [&str; 2] = ["ErsiliaAnonymous", "ErsiliaUser"];

/// What is read of a session object that comes back.
#[derive(Deserialize)]
struct Echo {
    session_token: String,
    session_id: Option<String>,
}

/// The session that a request comes with; it may be over.
pub struct Credentials {
    secret: Secret,
    session_id: Option<String>,
}

impl Credentials {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(header), None) = (given.next(), given.next()) else { return None };
        let (scheme, session) = header.to_str().ok()?.split_once(' ')?;
        if !SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
            return None;
        }
        let session = STANDARD.decode(session.trim()).ok()?;
        let Echo { session_token, session_id } = serde_json::from_slice(&session).ok()?;
        Some(Self { secret: Secret::read(&session_token)?, session_id })
    }
}

impl FromRequestParts<Arc<App>> for Credentials {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Detail> {
        Ok(Self::of(&parts.headers).ok_or_else(nobody)?)
    }
}

/// Anybody with a live session.
pub struct LegacyCaller(pub Caller);

impl FromRequestParts<Arc<App>> for LegacyCaller {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Detail> {
        let given = Credentials::from_request_parts(parts, app).await?;
        let caller = Caller::with(app, &given.secret, parts).await?.ok_or_else(nobody)?;
        caller.may(&parts.method)?;
        parts.extensions.insert(caller.holder());
        Ok(Self(caller))
    }
}

/// Anybody; but a session that comes along has to live, so that clients notice that it is over.
pub struct Anybody;

impl FromRequestParts<Arc<App>> for Anybody {
    type Rejection = Detail;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Detail> {
        if parts.headers.contains_key(AUTHORIZATION) {
            LegacyCaller::from_request_parts(parts, app).await?;
        }
        Ok(Self)
    }
}

/// Log in without an account
///
/// Whoever comes with the same id is the same person, so the id is a secret. Only its hash is kept.
#[utoipa::path(
    post, path = "/api/auth/anonymous-login/{session_id}", operation_id = "legacy_log_in_anonymously",
    tag = TAG,
    params(("session_id" = String, Path, description = "A random UUID, lower case",
        format = "uuid")),
    responses((status = 200, description = "The session and who you are", body = LoginView)),
)]
pub async fn legacy_log_in_anonymously(
    State(app): State<Arc<App>>,
    Network(network): Network,
    Segment(id): Segment,
) -> Result<Response, Detail> {
    let hash = chosen_secret(&id)?;
    app.rates.admit(network)?;
    let answer = to_the_end(async move {
        let principal = app.store.anonymous_of(hash).await?;
        let lifetime = app.config.sessions.policy.anonymous.absolute;
        let started = start(&app, Some(principal), SessionKind::Bearer, lifetime).await?;
        welcome(&app, started, Some(id))
    });
    Ok(answer.await?)
}

/// The hash of an id that a client chose.
fn chosen_secret(id: &str) -> Result<TokenHash, Problem> {
    let ours = id.parse::<Uuid>().is_ok_and(|uuid| uuid.to_string() == id);
    if !ours {
        let detail = "The session id must be a random UUID in lower case.";
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    Ok(Sha256::digest(id.as_bytes()).into())
}

/// User name and password.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyLogin, example = json!({"encoding": "YWRhOnRhbmdpYmxlIG9yY2hhcmQgNDIgc2luZ3M=",
    "auth_type": "ErsiliaUser"}))]
pub struct Login {
    /// Base64 of `user:password`.
    encoding: String,
    /// Passed over, whatever it is.
    #[serde(rename = "auth_type")]
    #[schema(value_type = Option<String>)]
    _auth_type: Option<IgnoredAny>,
}

/// User name and password.
fn decode(encoding: &str) -> Result<(String, String), Problem> {
    let text = STANDARD.decode(encoding).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = text.as_deref().and_then(|text| text.split_once(':'));
    let pair = pair.filter(|(name, _)| !name.contains('\0'));
    pair.map(|(name, password)| (name.to_owned(), password.to_owned())).ok_or_else(|| {
        let detail = "`encoding` must be the base64 of `user:password`.";
        Problem::new(Kind::WrongLogin, detail)
    })
}

/// Log in with an account
#[utoipa::path(
    post, path = "/api/auth/login", operation_id = "legacy_log_in", tag = TAG,
    request_body(content((Login = "application/json"))),
    responses((status = 200, description = "The session and who you are", body = LoginView)),
)]
pub async fn legacy_log_in(
    State(app): State<Arc<App>>,
    Network(network): Network,
    login: Result<Json<Login>, Problem>,
) -> Result<Response, Detail> {
    let (name, password) = decode(&login?.0.encoding)?;
    let answer = to_the_end(async move {
        let account = check_login(&app, LoginTry { name, network }, password).await?;
        let lifetime = app.config.sessions.policy.user.absolute;
        let started = start(&app, Some(account.id), SessionKind::Bearer, lifetime).await?;
        welcome(&app, started, None)
    });
    Ok(answer.await?)
}

fn welcome(
    app: &App,
    (session, secret): (Session, Secret),
    session_id: Option<String>,
) -> Result<Response, Problem> {
    let view = LoginView {
        user: UserView::new(&session),
        permissions: permissions(session.account.as_ref()),
        session: SessionView::new(app, &session, &secret, session_id),
    };
    json(StatusCode::OK, &view)
}

/// Get a new token for a session
///
/// The old one stays good for 60 seconds, in which this route answers it with the same new one. If it comes
/// here after that, somebody has a copy, and the session ends.
#[utoipa::path(
    post, path = "/api/auth/session/refresh", operation_id = "legacy_refresh", tag = TAG,
    responses((status = 200, description = "The session with its new token", body = SessionView)),
    security(("legacy" = [])),
)]
pub async fn legacy_refresh(
    State(app): State<Arc<App>>,
    given: Credentials,
) -> Result<Response, Detail> {
    let answer = to_the_end(async move {
        let (session, secret) = refresh(&app, &given.secret).await?;
        json(StatusCode::OK, &SessionView::new(&app, &session, &secret, given.session_id))
    });
    Ok(answer.await?)
}

async fn refresh(app: &App, old: &Secret) -> Result<(Session, Secret), Problem> {
    let (policy, now) = (&app.config.sessions.policy, app.store.now());
    let before = app.store.find_session(&old.hash()).await?.ok_or_else(nobody)?;
    // One that was replaced is for `rotate` to judge.
    if before.replaced.is_none() && before.left(policy, now).is_err() {
        return Err(nobody());
    }
    if before.kind != SessionKind::Bearer {
        let detail = "Only the token of a login can be refreshed.";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let new = old.successor()?;
    let salt = match app.store.rotate(old.hash(), new).await? {
        Rotation::Overlap { salt } => salt,
        Rotation::Rotated | Rotation::Reused | Rotation::Unknown => new.salt,
    };
    let secret = old.after(&salt);
    app.forget(&[before.principal]);
    let after = app.store.find_session(&secret.hash()).await?;
    let live = after.filter(|session| session.left(policy, now).is_ok());
    let mut after = live.ok_or_else(nobody)?;
    app.store.touch_session(after.id).await?;
    after.times.seen = app.store.now();
    Ok((after, secret))
}

/// Log out
#[utoipa::path(
    post, path = "/api/auth/logout", operation_id = "legacy_log_out", tag = TAG,
    responses((status = 200, description = "The session is over", body = LogoutView)),
    security(("legacy" = [])),
)]
pub async fn legacy_log_out(
    State(app): State<Arc<App>>,
    LegacyCaller(caller): LegacyCaller,
) -> Result<Response, Detail> {
    sign_out(app, caller).await?;
    Ok(json(StatusCode::OK, &LogoutView { status: "ok" })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lower_case_uuid_is_a_chosen_secret() {
        assert!(chosen_secret("3f0b4c1e-8a52-4f1d-9d0e-0a1b2c3d4e5f").is_ok());
        for bad in [
            "",
            "x",
            "3F0B4C1E-8A52-4F1D-9D0E-0A1B2C3D4E5F",
            "3f0b4c1e8a524f1d9d0e0a1b2c3d4e5f",
            "{3f0b4c1e-8a52-4f1d-9d0e-0a1b2c3d4e5f}",
            "urn:uuid:3f0b4c1e-8a52-4f1d-9d0e-0a1b2c3d4e5f",
            "3f0b4c1e-8a52-4f1d-9d0e-0a1b2c3d4e5f ",
        ] {
            assert_eq!(chosen_secret(bad).expect_err(bad).kind, Kind::BadRequest, "{bad}");
        }
    }

    #[test]
    fn a_password_may_have_a_colon() {
        let of = |text: &str| decode(&STANDARD.encode(text)).ok();
        assert_eq!(of("ada:a:b"), Some(("ada".into(), "a:b".into())));
        assert_eq!(of("ada"), None);
        assert_eq!(of("a\0:b"), None);
        assert!(decode("%%%").is_err());
    }
}
