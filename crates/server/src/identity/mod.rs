//! Who acts: the session of a request, what it may do, and where the request comes from. Every
//! handler takes one of these: there is no other way to a principal.

pub mod cache;
pub mod follow;
pub mod mail;
pub mod password;
pub mod peer;
pub mod rate;
pub mod secret;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use http::Method;
use http::request::Parts;
use muster_core::stats::AuthType;
use muster_core::{Permission, PrincipalId};
use muster_store::{Account, Session, SessionKind};

use crate::http::network;
use crate::http::network::Addresses;
use crate::http::problem::{Kind, Problem};
use crate::http::share::Holder;
use cache::{KnownSession, Sessions};
use rate::Lines;
use secret::{Secret, TokenHash};

/// What says who acts: a router's state has it.
pub trait Registry: Send + Sync {
    fn sessions(&self) -> &Sessions;

    /// Proxies that are believed.
    fn proxies(&self) -> &[Addresses];

    /// Lines of the log about what was refused.
    fn lines(&self) -> &Lines;
}

/// What an API token may be used for.
pub const READ: &str = "read";
pub const SUBMIT: &str = "submit";
/// Held only by those it was given to by name: what is deleted is gone.
pub const DELETE: &str = "delete";

/// Anybody with a live session. An API token must have the scope for the method.
pub struct Caller {
    pub principal: PrincipalId,
    pub hash: TokenHash,
    known: Arc<KnownSession>,
    address: IpAddr,
}

/// Says that nobody asked: a page that is open reads again by itself. Whoever went away with it open is not
/// signed in for ever by that.
const QUIET: &str = "muster-quiet";

fn nobody_asked(parts: &Parts) -> bool {
    parts.method == Method::GET && parts.headers.get(QUIET).is_some_and(|value| value == "1")
}

impl Caller {
    pub fn session(&self) -> &Session {
        &self.known.session
    }

    /// With an account or without?
    pub fn auth(&self) -> AuthType {
        if self.session().account.is_some() { AuthType::Account } else { AuthType::Anonymous }
    }

    async fn of<S: Registry>(parts: &Parts, state: &S) -> Result<Option<Self>, Problem> {
        let secret = Secret::of(&parts.headers, &state.sessions().cookie);
        let Some(secret) = secret else { return Ok(None) };
        Self::with(state, &secret, parts).await
    }

    /// Whoever has the live session of this secret.
    pub async fn with<S: Registry>(
        state: &S,
        secret: &Secret,
        parts: &Parts,
    ) -> Result<Option<Self>, Problem> {
        let (hash, address) = (secret.hash(), peer::address(parts, state)?);
        let sessions = state.sessions();
        let known = match nobody_asked(parts) {
            true => sessions.find(&hash).await?,
            false => sessions.live(&hash).await?,
        };
        Ok(known.map(|known| Self { principal: known.session.principal, hash, known, address }))
    }

    /// Who is limited with what this caller does.
    pub fn holder(&self) -> Holder {
        match self.session().account {
            Some(_) => Holder::Person(self.principal),
            None => self.network(),
        }
    }

    pub fn network(&self) -> Holder {
        network::holder(self.address)
    }

    /// An API token is good for some methods only.
    pub fn may(&self, method: &Method) -> Result<(), Problem> {
        let session = self.session();
        if session.kind == SessionKind::Token {
            let scope = match *method {
                Method::GET | Method::HEAD => READ,
                Method::DELETE => DELETE,
                _ => SUBMIT,
            };
            if !session.scopes.split(' ').any(|held| held == scope) {
                let detail = format!("This API token has not the scope `{scope}`.");
                return Err(Problem::new(Kind::Forbidden, detail));
            }
        }
        Ok(())
    }
}

impl<S: Registry> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Self::of(parts, state).await?.ok_or_else(nobody)?;
        caller.may(&parts.method)?;
        // What the body takes is theirs.
        parts.extensions.insert(caller.holder());
        Ok(caller)
    }
}

/// Whoever has a live session, or nobody.
pub struct MaybeCaller(pub Option<Caller>);

impl<S: Registry> FromRequestParts<S> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Caller::of(parts, state).await.map(Self)
    }
}

/// Somebody who logged in; not an anonymous session, and not an API token.
pub struct Person {
    pub account: Account,
    pub caller: Caller,
}

impl<S: Registry> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::of(parts, state).await?.ok_or_else(nobody)?;
        let session = caller.session();
        match &session.account {
            Some(account) if session.kind != SessionKind::Token => {
                Ok(Self { account: account.clone(), caller })
            }
            _ => {
                let detail = "This is for people who logged in with POST /api/v1/session, not for \
                              anonymous sessions and API tokens.";
                Err(Problem::new(Kind::Forbidden, detail))
            }
        }
    }
}

/// Somebody who logged in and has the permission ADMIN.
pub struct Admin(pub PrincipalId);

impl<S: Registry> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wanted = "This needs the permission ADMIN.";
        with_permission(parts, state, &[Permission::Admin], wanted)
            .await
            .map(|account| Self(account.id))
    }
}

/// Somebody who logged in and has one of these permissions. A refusal leaves a line in the log.
async fn with_permission<S: Registry>(
    parts: &mut Parts,
    state: &S,
    wanted: &[Permission],
    needs: &str,
) -> Result<Account, Problem> {
    let person = match Person::from_request_parts(parts, state).await {
        Ok(person) if person.account.permissions.iter().any(|held| wanted.contains(held)) => {
            return Ok(person.account);
        }
        Ok(_) => Err(Problem::new(Kind::Forbidden, needs)),
        Err(problem) => Err(problem),
    };
    if let Err(problem) = &person
        && matches!(problem.kind, Kind::Forbidden | Kind::Unauthorised)
        && let Some(left_out) = state.lines().next()
    {
        let caller = Caller::of(parts, state).await.ok().flatten();
        let id = caller.map(|caller| tracing::field::display(caller.principal));
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let (method, why) = (parts.method.as_str(), problem.kind.slug());
        tracing::warn!(
            principal.id = id,
            method,
            route,
            why,
            left_out,
            "what only administrators may do was refused"
        );
    }
    person
}

/// Somebody who logged in and has the permission MODEL_EDITOR or ADMIN.
pub struct ModelEditor {
    pub id: PrincipalId,
    pub is_admin: bool,
}

impl<S: Registry> FromRequestParts<S> for ModelEditor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let editors = [Permission::Admin, Permission::ModelEditor];
        let wanted = "This needs the permission MODEL_EDITOR or ADMIN.";
        let account = with_permission(parts, state, &editors, wanted).await?;
        let is_admin = account.permissions.contains(&Permission::Admin);
        Ok(Self { id: account.id, is_admin })
    }
}

/// There is no live session.
pub fn nobody() -> Problem {
    let detail = "Send `Authorization: Bearer TOKEN` with the token of a live session. POST \
                  /api/v1/session/renew says what became of yours; POST /api/v1/sessions gives an \
                  anonymous one.";
    Problem::new(Kind::Unauthorised, detail)
}
