//! What admins did, written in the transaction that did it.

use muster_core::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{named_row, rows, run};
use crate::db::text::exact;
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: Uuid,
    pub at: Timestamp,
    /// Nobody: a command on the server's machine.
    pub actor: Option<PrincipalId>,
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
    pub action: Option<String>,
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
        let action = filter.action.as_deref().map(exact).transpose()?;
        let mut conn = self.inner.db.read().await?;
        let found: Vec<AuditRow> = rows!(
            &mut conn,
            LIST,
            filter.after,
            filter.actor.map(|id| id.0),
            filter.subject.map(|id| id.0),
            action,
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

pub(crate) async fn note(tx: &mut Tx, entry: &AuditEntry) -> Result<(), Error> {
    let (actor, subject) = (entry.actor.map(|id| id.0), entry.subject.map(|id| id.0));
    let (action, detail) = (&entry.action, &entry.detail);
    run!(&mut tx.conn, ADD, entry.id, Ts(tx.now), actor, action, subject, detail);
    Ok(())
}
