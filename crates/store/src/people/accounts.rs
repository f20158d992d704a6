//! Accounts: signing up, profiles, passwords, and the links that work once.

use std::time::Duration;

use futures::FutureExt;
use muster_core::person::key;
use muster_core::session::EndReason;
use muster_core::{Permission, PrincipalId, SessionId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::statement::{named_row, row, rows, run};
use crate::people::changes::{end_all, note_changed};
use crate::people::logins::account_subject;
use crate::writer::{Tx, work};
use crate::{Error, Store};

macro_rules! account_columns {
    () => {
        "a.principal_id, a.name, a.first_name, a.last_name, a.email, a.verified_at, \
         a.permissions, a.disabled_at, a.version, p.created_at"
    };
}
pub(crate) use account_columns;

macro_rules! accounts {
    () => {
        " FROM account a JOIN principal p ON p.id = a.principal_id "
    };
}
pub(crate) use accounts;

pub(crate) const ACCOUNT: &str =
    concat!("SELECT ", account_columns!(), accounts!(), "WHERE a.principal_id = $1");

const BY_NAME: &str = concat!("SELECT ", account_columns!(), accounts!(), "WHERE a.name_key = $1");

const BY_EMAIL: &str = concat!(
    "SELECT ",
    account_columns!(),
    accounts!(),
    "WHERE a.email_key = $1 ORDER BY a.principal_id LIMIT 5"
);

const PASSWORD: &str = "SELECT password FROM account WHERE principal_id = $1";

const TAKEN: &str = "SELECT COUNT(*) FROM account WHERE name_key = $1";

const ADD_PRINCIPAL: &str =
    "INSERT INTO principal (id, kind, created_at) VALUES ($1, 'account', $2)";

const ADD: &str = "INSERT INTO account (principal_id, name, name_key, first_name, last_name, email, \
     email_key, password, permissions, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1) \
     ON CONFLICT (name_key) DO NOTHING";

pub(crate) const DROP_PRINCIPAL: &str = "DELETE FROM principal WHERE id = $1";

const RENAME: &str = "UPDATE account SET first_name = $2, last_name = $3 WHERE principal_id = $1";

const SET_EMAIL: &str = "UPDATE account SET email = $2, email_key = $3, verified_at = $4 \
     WHERE principal_id = $1";

const SET_PASSWORD: &str = "UPDATE account SET password = $2 WHERE principal_id = $1";

const REHASH: &str = "UPDATE account SET password = $2 WHERE principal_id = $1 AND password = $3";

/// Whoever changes who is admin waits here for others who do.
const LOCK_ADMINS: &str = "UPDATE account SET version = version WHERE permissions LIKE '%ADMIN%'";

const ADMINS: &str = "SELECT principal_id FROM account WHERE permissions LIKE '%ADMIN%' \
     AND disabled_at IS NULL LIMIT 2";

const ADD_LINK: &str = "INSERT INTO link (hash, principal_id, purpose, email, expires_at) \
     VALUES ($1, $2, $3, $4, $5)";

/// One link for each purpose: an older one stops working.
const DROP_LINKS: &str = "DELETE FROM link WHERE principal_id = $1 AND purpose = $2";

const USE_LINK: &str = "DELETE FROM link WHERE hash = $1 AND purpose = $2 AND expires_at > $3 \
     RETURNING principal_id, email";

pub(crate) const VERIFIED: &str = "UPDATE account SET verified_at = $3 \
     WHERE principal_id = $1 AND email = $2 AND verified_at IS NULL";

const FORGIVE: &str = "DELETE FROM login_failure WHERE subject = $1";

/// An account, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: PrincipalId,
    pub name: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    /// When it was seen that mail to `email` arrives.
    pub verified_at: Option<Timestamp>,
    pub permissions: Vec<Permission>,
    pub disabled_at: Option<Timestamp>,
    /// Changes with the permissions.
    pub version: i64,
    pub created_at: Timestamp,
}

/// An account to be; its values fit the rules.
#[derive(Clone)]
pub struct NewAccount {
    pub name: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    /// A PHC string.
    pub password: String,
    pub permissions: Vec<Permission>,
}

/// What a link that works once is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Setting a password.
    Password,
    /// Showing that mail to an address arrives.
    Email,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Email => "email",
        }
    }
}

#[derive(Clone)]
pub struct NewLink {
    pub token_hash: [u8; 32],
    pub principal: PrincipalId,
    pub purpose: Purpose,
    /// Where it is sent; empty if it is handed over otherwise.
    pub email: String,
    pub lifetime: Duration,
}

named_row! {
    pub(crate) struct AccountRow {
        id: Uuid,
        name: String,
        first_name: String,
        last_name: String,
        email: String,
        verified_at: Option<Ts>,
        permissions: String,
        disabled_at: Option<Ts>,
        version: i64,
        created_at: Ts,
    }
}

pub(crate) fn account(row: AccountRow) -> Result<Account, Error> {
    let permissions = row.permissions.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    Ok(Account {
        id: PrincipalId(row.id),
        name: row.name,
        first_name: row.first_name,
        last_name: row.last_name,
        email: row.email,
        verified_at: row.verified_at.map(|at| at.0),
        permissions: permissions.map_err(|_| Error::Corrupt("a permission".into()))?,
        disabled_at: row.disabled_at.map(|at| at.0),
        version: row.version,
        created_at: row.created_at.0,
    })
}

pub(crate) fn permissions(all: &[Permission]) -> String {
    let names: Vec<&str> = all.iter().map(|permission| permission.name()).collect();
    names.join(" ")
}

impl Store {
    /// A new account; nothing if its name is taken.
    pub async fn add_account(&self, new: NewAccount) -> Result<Option<Account>, Error> {
        let id = PrincipalId(self.inner.clock.id());
        let (op, answer) = work(move |tx: &mut Tx| {
            let new = new.clone();
            async move { add(tx, id, &new).await }.boxed()
        });
        if !self.answer(op, answer).await? {
            return Ok(None);
        }
        self.find_account(id).await
    }

    pub async fn find_account(&self, id: PrincipalId) -> Result<Option<Account>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<AccountRow> = row!(&mut conn, ACCOUNT, id.0);
        found.map(account).transpose()
    }

    /// By user name, whatever its case.
    pub async fn find_account_named(&self, name: &str) -> Result<Option<Account>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<AccountRow> =
            row!(&mut conn, BY_NAME, key(crate::db::text::exact(name)?));
        found.map(account).transpose()
    }

    /// At most five.
    pub async fn find_accounts_of(&self, email: &str) -> Result<Vec<Account>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Vec<AccountRow> =
            rows!(&mut conn, BY_EMAIL, key(crate::db::text::exact(email)?));
        found.into_iter().map(account).collect()
    }

    /// The PHC string of an account's password.
    pub async fn find_password(&self, id: PrincipalId) -> Result<Option<String>, Error> {
        let mut conn = self.inner.db.read().await?;
        let found: Option<(String,)> = row!(&mut conn, PASSWORD, id.0);
        Ok(found.map(|(password,)| password))
    }

    pub async fn rename(
        &self,
        id: PrincipalId,
        first_name: String,
        last_name: String,
    ) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let (first_name, last_name) = (first_name.clone(), last_name.clone());
            async move {
                run!(&mut tx.conn, RENAME, id.0, &first_name, &last_name);
                note_changed(tx, id).await
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Another address, of which it is not known whether mail arrives.
    pub async fn set_email(&self, id: PrincipalId, email: String) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let email = email.clone();
            async move {
                run!(&mut tx.conn, SET_EMAIL, id.0, &email, key(&email), None::<Ts>);
                note_changed(tx, id).await
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Another password. All sessions and API tokens end but `keep`.
    pub async fn set_password(
        &self,
        id: PrincipalId,
        password: String,
        keep: SessionId,
    ) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let password = password.clone();
            async move {
                run!(&mut tx.conn, SET_PASSWORD, id.0, &password);
                run!(&mut tx.conn, DROP_LINKS, id.0, Purpose::Password.name());
                end_all(tx, id, Some(keep), EndReason::Revoked).await.map(drop)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// The same password, hashed anew. Nothing happens if it was changed meanwhile.
    pub async fn rehash(&self, id: PrincipalId, old: String, new: String) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let (old, new) = (old.clone(), new.clone());
            async move {
                run!(&mut tx.conn, REHASH, id.0, &new, &old);
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    pub async fn add_link(&self, new: NewLink) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let new = new.clone();
            async move { add_link(tx, &new).await }.boxed()
        });
        self.answer(op, answer).await
    }

    /// Uses a link to set a password; whose account it was. All its sessions end. Nothing if the
    /// link is not good.
    pub async fn reset_password(
        &self,
        link: [u8; 32],
        password: String,
    ) -> Result<Option<PrincipalId>, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            let password = password.clone();
            async move {
                let Some((id, email)) = use_link(tx, link, Purpose::Password).await? else {
                    return Ok(None);
                };
                run!(&mut tx.conn, SET_PASSWORD, id.0, &password);
                // Who read that mail reads that address.
                run!(&mut tx.conn, VERIFIED, id.0, &email, Ts(tx.now));
                let named: Option<AccountRow> = row!(&mut tx.conn, ACCOUNT, id.0);
                if let Some(named) = named {
                    run!(&mut tx.conn, FORGIVE, account_subject(&named.name));
                }
                end_all(tx, id, None, EndReason::Revoked).await?;
                Ok(Some(id))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Uses a link that was mailed: its address is the account's from now on. Whose account it
    /// was; nothing if the link is not good.
    pub async fn verify_email(&self, link: [u8; 32]) -> Result<Option<PrincipalId>, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let Some((id, email)) = use_link(tx, link, Purpose::Email).await? else {
                    return Ok(None);
                };
                run!(&mut tx.conn, SET_EMAIL, id.0, &email, key(&email), Some(Ts(tx.now)));
                note_changed(tx, id).await?;
                Ok(Some(id))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Whose link this is, if it is good. It stays so.
    pub async fn find_link(&self, link: [u8; 32]) -> Result<Option<Account>, Error> {
        let now = Ts(self.inner.now());
        let mut conn = self.inner.db.read().await?;
        let found: Option<AccountRow> = row!(&mut conn, OF_LINK, link.to_vec(), now);
        found.map(account).transpose()
    }
}

const OF_LINK: &str = concat!(
    "SELECT ",
    account_columns!(),
    accounts!(),
    "JOIN link l ON l.principal_id = a.principal_id WHERE l.hash = $1 AND l.expires_at > $2"
);

pub(crate) async fn add(tx: &mut Tx, id: PrincipalId, new: &NewAccount) -> Result<bool, Error> {
    let name_key = key(&new.name);
    let taken: Option<(i64,)> = row!(&mut tx.conn, TAKEN, &name_key);
    if taken.is_some_and(|(taken,)| taken > 0) {
        return Ok(false);
    }
    run!(&mut tx.conn, ADD_PRINCIPAL, id.0, Ts(tx.now));
    let added = run!(
        &mut tx.conn,
        ADD,
        id.0,
        &new.name,
        &name_key,
        &new.first_name,
        &new.last_name,
        &new.email,
        key(&new.email),
        &new.password,
        permissions(&new.permissions),
    );
    if added == 0 {
        // Another server was faster.
        run!(&mut tx.conn, DROP_PRINCIPAL, id.0);
    }
    Ok(added > 0)
}

pub(crate) async fn add_link(tx: &mut Tx, new: &NewLink) -> Result<(), Error> {
    let (purpose, expires) = (new.purpose.name(), Ts(tx.now + new.lifetime));
    run!(&mut tx.conn, DROP_LINKS, new.principal.0, purpose);
    let hash = new.token_hash.to_vec();
    run!(&mut tx.conn, ADD_LINK, &hash, new.principal.0, purpose, &new.email, expires);
    Ok(())
}

async fn use_link(
    tx: &mut Tx,
    hash: [u8; 32],
    purpose: Purpose,
) -> Result<Option<(PrincipalId, String)>, Error> {
    let used: Option<(Uuid, String)> =
        row!(&mut tx.conn, USE_LINK, hash.to_vec(), purpose.name(), Ts(tx.now));
    Ok(used.map(|(id, email)| (PrincipalId(id), email)))
}

/// Is it the only one who can administer the hub? Nobody else changes that before the end of this
/// transaction.
pub(crate) async fn is_last_admin(tx: &mut Tx, id: PrincipalId) -> Result<bool, Error> {
    run!(&mut tx.conn, LOCK_ADMINS);
    let admins: Vec<(Uuid,)> = rows!(&mut tx.conn, ADMINS);
    Ok(admins == [(id.0,)])
}
