//! What admins did, written in the transaction that did it.

use muster_core::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{named_row, rows, run};
use crate::writer::Tx;
use crate::{Error, Store};

const ADD: &str = "INSERT INTO audit (id, at, actor, action, subject, detail) \
     VALUES ($1, $2, $3, $4, $5, $6)";

const LIST: &str = "SELECT id, at, actor, action, subject, detail FROM audit \
     WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2";

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

named_row! {
    struct AuditRow {
        id: Uuid,
        at: Ts,
        actor: Option<Uuid>,
        action: String,
        subject: Option<Uuid>,
        detail: String,
    }
}

impl Store {
    /// The newest first; at most `limit` that are older than `after`.
    pub async fn list_audit(
        &self,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<AuditRow> = rows!(&mut conn, LIST, after, i64::from(limit));
        let entry = |row: AuditRow| AuditEntry {
            id: row.id,
            at: row.at.0,
            actor: row.actor.map(PrincipalId),
            action: row.action,
            subject: row.subject.map(PrincipalId),
            detail: row.detail,
        };
        Ok(found.into_iter().map(entry).collect())
    }
}

pub(crate) async fn note(tx: &mut Tx, entry: &AuditEntry) -> Result<(), Error> {
    let (actor, subject) = (entry.actor.map(|id| id.0), entry.subject.map(|id| id.0));
    let (action, detail) = (&entry.action, &entry.detail);
    run!(&mut tx.conn, ADD, entry.id, Ts(tx.now), actor, action, subject, detail);
    Ok(())
}
