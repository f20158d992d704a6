//! What the API shows of people and sessions.

use muster_core::{PrincipalId, SessionId, Timestamp};
use muster_store::{Account, AuditEntry, AuditLine, Session, UserFigures};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A session that lives.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    #[schema(example = "live")]
    pub state: &'static str,
    /// Send it as `Authorization: Bearer TOKEN`. It is shown only here, and not to browsers, which
    /// have a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0")]
    pub token: Option<String>,
    pub principal: PrincipalView,
    /// What you may do beside what everybody may.
    #[schema(example = json!(["ADMIN"]))]
    pub permissions: Vec<&'static str>,
    /// Changes with the permissions.
    pub permissions_version: i64,
    /// How long it lives on if it is not used.
    pub seconds_left: u64,
    /// When it ends in any case.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Who acts.
#[derive(Serialize, ToSchema)]
#[schema(as = Principal)]
pub struct PrincipalView {
    #[schema(value_type = String, format = Uuid)]
    pub id: PrincipalId,
    /// `anonymous` or `account`
    #[schema(example = "account")]
    pub kind: &'static str,
    /// The rest is for accounts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
}

/// The names of what an account may do; an anonymous session has none.
pub fn permissions(account: Option<&Account>) -> Vec<&'static str> {
    account.into_iter().flat_map(|account| &account.permissions).map(|held| held.name()).collect()
}

/// A session that is over.
#[derive(Serialize, ToSchema)]
#[schema(as = EndedSession)]
pub struct EndedView {
    #[schema(example = "ended")]
    pub state: &'static str,
    /// `none`: there was none
    #[schema(example = "idle")]
    pub reason: &'static str,
}

/// What became of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = Renewal)]
#[serde(untagged)]
pub enum RenewalView {
    Live(SessionView),
    Ended(EndedView),
}

#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView {
    #[schema(value_type = String, format = Uuid)]
    pub id: PrincipalId,
    pub name: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    /// Was it seen that mail to this address arrives?
    pub email_verified: bool,
    pub permissions: Vec<&'static str>,
    pub disabled: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            permissions: permissions(Some(&account)),
            id: account.id,
            name: account.name,
            first_name: account.first_name,
            last_name: account.last_name,
            email: account.email,
            email_verified: account.verified_at.is_some(),
            disabled: account.disabled_at.is_some(),
            created_at: account.created_at,
        }
    }
}

/// A user as administrators see them.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserView {
    #[serde(flatten)]
    pub account: AccountView,
    /// When one of their sessions or API tokens was used last, to the minute; null if that never was, or
    /// so long ago that it is forgotten: 30 days after the session was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// All that they ever submitted, as the statistics count them.
    pub requests: u64,
}

impl UserView {
    pub fn new(account: Account, figures: UserFigures) -> Self {
        let UserFigures { last_used_at, requests } = figures;
        Self { account: account.into(), last_used_at, requests }
    }
}

/// One of somebody's sessions or API tokens, without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionInfo)]
pub struct SessionInfoView {
    #[schema(value_type = String, format = Uuid)]
    pub id: SessionId,
    /// `bearer`, `cookie` or `token`
    #[schema(example = "cookie")]
    pub kind: &'static str,
    /// Of API tokens.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What an API token may be used for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Is it the one this was asked with?
    pub current: bool,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was used last, to the minute.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl SessionInfoView {
    pub fn new(session: Session, current: Option<SessionId>) -> Self {
        Self {
            id: session.id,
            kind: session.kind.name(),
            name: session.name,
            scopes: session.scopes.split_whitespace().map(str::to_owned).collect(),
            current: current == Some(session.id),
            created_at: session.times.created,
            seen_at: session.times.seen,
            expires_at: session.times.expires,
        }
    }
}

/// A new API token.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiToken)]
pub struct TokenView {
    /// Send it as `Authorization: Bearer TOKEN`. It is shown only here.
    pub token: String,
    #[serde(flatten)]
    pub info: SessionInfoView,
}

/// What was done, in words.
#[derive(Serialize, ToSchema)]
#[schema(as = Done)]
pub struct DoneView {
    pub detail: &'static str,
}

/// A link that works once.
#[derive(Serialize, ToSchema)]
#[schema(as = ResetLink)]
pub struct ResetLinkView {
    /// For the person whose account it is, and nobody else.
    pub link: String,
    /// What stands behind the `#`: for POST /api/v1/password-resets/complete.
    pub token: String,
    pub valid_seconds: u64,
}

/// Something an admin did.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct AuditView {
    #[schema(value_type = String, format = Uuid)]
    pub id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it; null for a command on the server's machine.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub actor: Option<PrincipalId>,
    /// The user name, as long as the account is there.
    #[schema(example = "ada")]
    pub actor_name: Option<String>,
    #[schema(example = "grant")]
    pub action: String,
    /// The account it was done to.
    #[schema(value_type = Option<String>, format = Uuid)]
    pub subject: Option<PrincipalId>,
    /// The user name, as long as the account is there.
    pub subject_name: Option<String>,
    pub detail: String,
}

impl From<AuditLine> for AuditView {
    fn from(line: AuditLine) -> Self {
        let AuditLine { entry, actor_name, subject_name } = line;
        let AuditEntry { id, at, actor, action, subject, detail } = entry;
        Self { id, at, actor, actor_name, action, subject, subject_name, detail }
    }
}
