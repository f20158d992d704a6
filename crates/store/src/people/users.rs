//! What admins do with accounts. Each act and its line in the audit are one transaction.

use std::time::Duration;

use futures::FutureExt;
use muster_core::person::key;
use muster_core::session::EndReason;
use muster_core::{Permission, PrincipalId};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{row, rows, run};
use crate::db::text::pattern;
use crate::people::accounts::{
    ACCOUNT, Account, AccountRow, NewLink, Purpose, VERIFIED, account, account_columns, accounts,
    add_link, is_last_admin, permissions,
};
use crate::people::audit::{AuditAction, Note, note};
use crate::people::changes::{end_all, note_changed};
use crate::people::ownership::delete;
use crate::writer::{Tx, work};
use crate::{Error, NewAccount, Store};

const LIST: &str = concat!(
    "SELECT ",
    account_columns!(),
    accounts!(),
    "WHERE ($1 IS NULL OR a.principal_id > $1) \
     AND ($2 IS NULL OR a.name_key LIKE $2 ESCAPE '!' OR a.email_key LIKE $2 ESCAPE '!') \
     AND ($3 IS NULL OR a.permissions LIKE $3 ESCAPE '!') \
     AND ($4 IS NULL OR (a.disabled_at IS NOT NULL) = $4) \
     ORDER BY a.principal_id LIMIT $5"
);

const PERMIT: &str =
    "UPDATE account SET permissions = $2, version = version + 1 WHERE principal_id = $1";

const DISABLE: &str =
    "UPDATE account SET disabled_at = $2, version = version + 1 WHERE principal_id = $1";

/// Which accounts to list.
#[derive(Clone, Debug, Default)]
pub struct AccountFilter {
    /// A part of the user name or the address.
    pub search: Option<String>,
    pub permission: Option<Permission>,
    pub disabled: Option<bool>,
    /// Only accounts newer than this one.
    pub after: Option<PrincipalId>,
    pub limit: u32,
}

/// What an admin does to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAct {
    Grant(Permission),
    Revoke(Permission),
    Disable,
    Enable,
    EndSessions,
    /// A link with which its owner can set a password.
    ResetLink {
        token_hash: [u8; 32],
        lifetime: Duration,
    },
    Delete,
}

impl AdminAct {
    fn action(self) -> AuditAction {
        match self {
            Self::Grant(_) => AuditAction::Grant,
            Self::Revoke(_) => AuditAction::Revoke,
            Self::Disable => AuditAction::Disable,
            Self::Enable => AuditAction::Enable,
            Self::EndSessions => AuditAction::EndSessions,
            Self::ResetLink { .. } => AuditAction::ResetLink,
            Self::Delete => AuditAction::Delete,
        }
    }

    /// May nobody be admin after it?
    fn takes_admin(self) -> bool {
        matches!(self, Self::Revoke(Permission::Admin) | Self::Disable | Self::Delete)
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Administered {
    /// The account as it is now, or as it was before it was deleted.
    Done(Account),
    Unknown,
    /// Nobody would be left to administer the hub.
    LastAdmin,
}

impl Store {
    /// The oldest first.
    pub async fn list_accounts(&self, filter: &AccountFilter) -> Result<Vec<Account>, Error> {
        let search = filter.search.as_deref().map(crate::db::text::exact).transpose()?;
        let search = search.map(|search| pattern(&key(search)));
        let permission = filter.permission.map(|permission| pattern(permission.name()));
        let mut conn = self.inner.db.read().await?;
        let found: Vec<AccountRow> = rows!(
            &mut conn,
            LIST,
            filter.after.map(|id| id.0),
            &search,
            &permission,
            filter.disabled,
            i64::from(filter.limit),
        );
        found.into_iter().map(account).collect()
    }

    /// `actor`: `None` for a command on the server's machine.
    pub async fn administer(
        &self,
        actor: Option<PrincipalId>,
        subject: PrincipalId,
        act: AdminAct,
    ) -> Result<Administered, Error> {
        let id = self.inner.clock.id();
        let (op, answer) = work(move |tx: &mut Tx| {
            async move { administer(tx, id, actor, subject, act).await }.boxed()
        });
        let done = self.answer(op, answer).await?;
        if let (AdminAct::Delete, Administered::Done(_)) = (act, &done) {
            self.clear_left_soon().await;
        }
        Ok(done)
    }

    /// A new account made by a command on the server's machine, with its line in the audit;
    /// nothing if its name is taken. Whoever may run that command vouches for the address.
    pub async fn add_account_here(&self, new: NewAccount) -> Result<Option<Account>, Error> {
        let (id, entry) = (PrincipalId(self.inner.clock.id()), self.inner.clock.id());
        let (op, answer) = work(move |tx: &mut Tx| {
            let new = new.clone();
            async move {
                if !crate::people::accounts::add(tx, id, &new).await? {
                    return Ok(None);
                }
                run!(&mut tx.conn, VERIFIED, id.0, &new.email, Ts(tx.now));
                let detail = format!("{} {}", new.name, permissions(&new.permissions));
                write_down(tx, entry, (None, id), (AuditAction::Create, detail)).await?;
                let added: Option<AccountRow> = row!(&mut tx.conn, ACCOUNT, id.0);
                added.map(account).transpose()
            }
            .boxed()
        });
        self.answer(op, answer).await
    }
}

async fn administer(
    tx: &mut Tx,
    entry: Uuid,
    actor: Option<PrincipalId>,
    subject: PrincipalId,
    act: AdminAct,
) -> Result<Administered, Error> {
    if act.takes_admin() && is_last_admin(tx, subject).await? {
        return Ok(Administered::LastAdmin);
    }
    let before: Option<AccountRow> = row!(&mut tx.conn, ACCOUNT, subject.0);
    let Some(before) = before.map(account).transpose()? else { return Ok(Administered::Unknown) };
    let mut detail = before.name.clone();
    match act {
        AdminAct::Grant(permission) | AdminAct::Revoke(permission) => {
            let mut all = before.permissions.clone();
            all.retain(|held| *held != permission);
            if matches!(act, AdminAct::Grant(_)) {
                all.push(permission);
                all.sort();
            }
            run!(&mut tx.conn, PERMIT, subject.0, permissions(&all));
            note_changed(tx, subject).await?;
            detail = format!("{detail} {permission}");
        }
        AdminAct::Disable => {
            run!(&mut tx.conn, DISABLE, subject.0, Some(Ts(tx.now)));
            end_all(tx, subject, None, EndReason::Revoked).await?;
        }
        AdminAct::Enable => {
            run!(&mut tx.conn, DISABLE, subject.0, None::<Ts>);
            note_changed(tx, subject).await?;
        }
        AdminAct::EndSessions => {
            let ended = end_all(tx, subject, None, EndReason::Revoked).await?;
            detail = format!("{detail}, {ended} ended");
        }
        AdminAct::ResetLink { token_hash, lifetime } => {
            let (purpose, email) = (Purpose::Password, String::new());
            let link = NewLink { token_hash, principal: subject, purpose, email, lifetime };
            add_link(tx, &link).await?;
        }
        AdminAct::Delete => delete(tx, subject).await?,
    }
    write_down(tx, entry, (actor, subject), (act.action(), detail)).await?;
    if act == AdminAct::Delete {
        return Ok(Administered::Done(before));
    }
    let after: Option<AccountRow> = row!(&mut tx.conn, ACCOUNT, subject.0);
    let after = after.map(account).transpose()?;
    Ok(after.map_or(Administered::Unknown, Administered::Done))
}

async fn write_down(
    tx: &mut Tx,
    id: Uuid,
    (actor, subject): (Option<PrincipalId>, PrincipalId),
    (action, detail): (AuditAction, String),
) -> Result<(), Error> {
    note(tx, Note { id, actor, action, subject: Some(subject), detail }).await
}
