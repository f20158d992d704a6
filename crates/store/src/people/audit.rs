//! What admins did, written in the transaction that did it.

use muster_core::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{named_row, rows, run};
use crate::writer::Tx;
use crate::{Error, Store};

const ADD: &str = "INSERT INTO audit (id, at, actor, action, subject, detail) \
     VALUES ($1, $2, $3, $4, $5, $6)";

const LIST: &str = "SELECT u.id, u.at, u.actor, u.action, u.subject, u.detail, \
     (SELECT name FROM account WHERE principal_id = u.actor), \
     (SELECT name FROM account WHERE principal_id = u.subject) FROM audit u \
     WHERE ($1 IS NULL OR u.id < $1) AND ($2 IS NULL OR u.actor = $2) \
     AND ($3 IS NULL OR u.subject = $3) AND ($4 IS NULL OR u.action = $4) \
     AND ($5 IS NULL OR u.at >= $5) AND ($6 IS NULL OR u.at <= $6) ORDER BY u.id DESC LIMIT $7";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    Create,
    Grant,
    Revoke,
    Disable,
    Enable,
    EndSessions,
    ResetLink,
    Delete,
    CancelRequest,
    FrontRequest,
    RequeueRequest,
    StopInstance,
    CreateModel,
    EditModel,
    EnableModel,
    DisableModel,
    DeleteModel,
    ClearCache,
    PushModel,
    PublishModel,
    RollBackModel,
    CordonNode,
    DrainNode,
    UncordonNode,
    Clean,
}

impl AuditAction {
    pub const ALL: [Self; 25] = [
        Self::Create,
        Self::Grant,
        Self::Revoke,
        Self::Disable,
        Self::Enable,
        Self::EndSessions,
        Self::ResetLink,
        Self::Delete,
        Self::CancelRequest,
        Self::FrontRequest,
        Self::RequeueRequest,
        Self::StopInstance,
        Self::CreateModel,
        Self::EditModel,
        Self::EnableModel,
        Self::DisableModel,
        Self::DeleteModel,
        Self::ClearCache,
        Self::PushModel,
        Self::PublishModel,
        Self::RollBackModel,
        Self::CordonNode,
        Self::DrainNode,
        Self::UncordonNode,
        Self::Clean,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::EndSessions => "end-sessions",
            Self::ResetLink => "reset-link",
            Self::Delete => "delete",
            Self::CancelRequest => "cancel-request",
            Self::FrontRequest => "front-request",
            Self::RequeueRequest => "requeue-request",
            Self::StopInstance => "stop-instance",
            Self::CreateModel => "create-model",
            Self::EditModel => "edit-model",
            Self::EnableModel => "enable-model",
            Self::DisableModel => "disable-model",
            Self::DeleteModel => "delete-model",
            Self::ClearCache => "clear-cache",
            Self::PushModel => "push-model",
            Self::PublishModel => "publish-model",
            Self::RollBackModel => "roll-back-model",
            Self::CordonNode => "cordon-node",
            Self::DrainNode => "drain-node",
            Self::UncordonNode => "uncordon-node",
            Self::Clean => "clean",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: Uuid,
    pub at: Timestamp,
    /// Nobody: a command on the server's machine.
    pub actor: Option<PrincipalId>,
    /// A word of [`AuditAction`], or of another version's.
    pub action: String,
    /// Who it was done to; the account may be gone.
    pub subject: Option<PrincipalId>,
    pub detail: String,
}

/// A line of the audit, and what the people in it are called as long as their accounts are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    pub entry: AuditEntry,
    pub actor_name: Option<String>,
    pub subject_name: Option<String>,
}

/// Which lines to list. What is absent restricts nothing.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only those older than this one.
    pub after: Option<Uuid>,
    pub actor: Option<PrincipalId>,
    pub subject: Option<PrincipalId>,
    pub action: Option<AuditAction>,
    /// Done then or later.
    pub from: Option<Timestamp>,
    /// Done then or before.
    pub to: Option<Timestamp>,
    pub limit: u32,
}

named_row! {
    struct AuditRow {
        id: Uuid,
        at: Ts,
        actor: Option<Uuid>,
        action: String,
        subject: Option<Uuid>,
        detail: String,
        actor_name: Option<String>,
        subject_name: Option<String>,
    }
}

impl Store {
    /// The newest first.
    pub async fn list_audit(&self, filter: &AuditFilter) -> Result<Vec<AuditLine>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<AuditRow> = rows!(
            &mut conn,
            LIST,
            filter.after,
            filter.actor.map(|id| id.0),
            filter.subject.map(|id| id.0),
            filter.action.map(AuditAction::name),
            filter.from.map(Ts),
            filter.to.map(Ts),
            i64::from(filter.limit),
        );
        let line = |row: AuditRow| AuditLine {
            entry: AuditEntry {
                id: row.id,
                at: row.at.0,
                actor: row.actor.map(PrincipalId),
                action: row.action,
                subject: row.subject.map(PrincipalId),
                detail: row.detail,
            },
            actor_name: row.actor_name,
            subject_name: row.subject_name,
        };
        Ok(found.into_iter().map(line).collect())
    }
}

/// What is to be written down of the transaction.
pub(crate) struct Note {
    pub id: Uuid,
    pub actor: Option<PrincipalId>,
    pub action: AuditAction,
    pub subject: Option<PrincipalId>,
    pub detail: String,
}

pub(crate) async fn note(tx: &mut Tx, note: Note) -> Result<(), Error> {
    let (actor, subject) = (note.actor.map(|id| id.0), note.subject.map(|id| id.0));
    let (action, detail) = (note.action.name(), &note.detail);
    run!(&mut tx.conn, ADD, note.id, Ts(tx.now), actor, action, subject, detail);
    Ok(())
}
