//! Sessions. Only hashes of their secrets are stored; a session's id is not secret.

use std::time::{Duration, Instant};

use futures::FutureExt;
use muster_core::session::{EndReason, Lifetimes, SessionPolicy, Times};
use muster_core::{Permission, PrincipalId, SessionId, Timestamp};
use uuid::Uuid;

use crate::db::Ts;
use crate::db::conn::{Conn, on};
use crate::db::statement::{named_row, row, rows, run};
use crate::people::accounts::{ACCOUNT, Account, AccountRow, account};
use crate::people::changes::note_changed;
use crate::writer::pace::Took;
use crate::writer::{Tx, work};
use crate::{Error, Inner, Store};

/// How long a secret stays good after it was replaced: answers under way reach everybody.
pub const OVERLAP: Duration = Duration::from_secs(60);
/// A session that is used is written down as used at most so often.
pub const TOUCH: Duration = Duration::from_secs(60);
/// Most sessions a person has, API tokens not counted. The oldest ends.
const MOST: i64 = 20;
/// What ended is forgotten after this: until then its end can be told.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
pub(crate) const CLEAN_AT_ONCE: i64 = 100;

pub(crate) const ADD_ANONYMOUS: &str =
    "INSERT INTO principal (id, kind, created_at) VALUES ($1, 'anonymous', $2)";

const ADD: &str = "INSERT INTO session (id, principal_id, kind, name, scopes, created_at, seen_at, \
     expires_at, permissions_version) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, \
     COALESCE((SELECT version FROM account WHERE principal_id = $2), 0))";

const ADD_TOKEN: &str = "INSERT INTO token (hash, session_id) VALUES ($1, $2)";

const TOO_MANY: &str = "UPDATE session SET ended_at = $2, end_reason = 'revoked' \
     WHERE ended_at IS NULL AND id IN (SELECT id FROM session WHERE principal_id = $1 \
     AND kind <> 'token' AND ended_at IS NULL ORDER BY created_at DESC, id DESC \
     LIMIT 1000 OFFSET $3)";

const FIND: &str = "SELECT s.id, s.principal_id, s.kind, s.name, s.scopes, s.created_at, s.seen_at, \
     s.expires_at, s.end_reason, s.permissions_version, t.replaced_at \
     FROM token t JOIN session s ON s.id = t.session_id WHERE t.hash = $1";

const LIST: &str = "SELECT id, principal_id, kind, name, scopes, created_at, seen_at, expires_at, \
     end_reason, permissions_version, NULL FROM session WHERE principal_id = $1 AND ended_at IS NULL \
     ORDER BY created_at DESC, id DESC LIMIT 1000";

const SEEN: &str = "UPDATE session SET seen_at = $2 \
     WHERE id = $1 AND ended_at IS NULL AND seen_at < $2";

const END_ONE: &str = "UPDATE session SET ended_at = $3, end_reason = $4 \
     WHERE id = $1 AND principal_id = $2 AND ended_at IS NULL";

/// Also of one that was replaced when successors were not made with a salt.
const REPLACE: &str = "UPDATE token SET replaced_at = COALESCE(replaced_at, $2), salt = $3 \
     WHERE hash = $1 AND salt IS NULL AND (replaced_at IS NULL OR replaced_at > $4) \
     AND session_id IN (SELECT id FROM session WHERE ended_at IS NULL) RETURNING session_id";

const UP_TO_DATE: &str = "UPDATE session SET permissions_version = \
     COALESCE((SELECT version FROM account a WHERE a.principal_id = session.principal_id), 0) \
     WHERE id = $1";

const OF_TOKEN: &str = "SELECT s.id, s.principal_id, t.replaced_at, t.salt FROM token t \
     JOIN session s ON s.id = t.session_id WHERE t.hash = $1 AND s.ended_at IS NULL";

const CHANGED_SINCE: &str = "SELECT id FROM principal WHERE changed_at > $1";

const COUNT_OVER: &str = "SELECT COUNT(*) FROM session WHERE expires_at < $1";
const OVER: &str = "SELECT id FROM session WHERE expires_at < $1 ORDER BY expires_at LIMIT $2";
const FORGET_TOKENS: &str = "DELETE FROM token WHERE session_id = $1";
const FORGET: &str = "DELETE FROM session WHERE id = $1";

const NOW_POSTGRES: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// How a session's secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// By a script, in the header `Authorization`.
    Bearer,
    /// By a browser, by itself.
    Cookie,
    /// By a script, for a long time and for some purposes only.
    Token,
}

impl SessionKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Cookie => "cookie",
            Self::Token => "token",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "cookie" => Self::Cookie,
            "token" => Self::Token,
            _ => Self::Bearer,
        }
    }
}

/// A session or API token to be.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// `None`: a new anonymous principal.
    pub principal: Option<PrincipalId>,
    pub token_hash: [u8; 32],
    pub kind: SessionKind,
    /// What its owner calls it; for API tokens.
    pub name: String,
    /// What it may be used for, with spaces between; for API tokens.
    pub scopes: String,
    /// It ends after this in any case.
    pub lifetime: Duration,
}

/// A session as it is stored; [`Session::left`] says whether it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub principal: PrincipalId,
    pub kind: SessionKind,
    pub name: String,
    pub scopes: String,
    pub times: Times,
    /// Why it was ended before its time.
    pub ended: Option<EndReason>,
    /// The account's permissions when the secret was made, by their version.
    pub permissions_version: i64,
    /// When the secret that was given was replaced by another one.
    pub replaced: Option<Timestamp>,
    /// Nobody for anonymous sessions.
    pub account: Option<Account>,
}

impl Session {
    /// How long it lives on if it is not used, or why it does not live.
    ///
    /// # Errors
    ///
    /// Why it is over.
    pub fn left(&self, policy: &SessionPolicy, now: Timestamp) -> Result<Duration, EndReason> {
        self.left_since(self.times.seen, policy, now)
    }

    /// The same if it was used last at `seen`.
    ///
    /// # Errors
    ///
    /// Why it is over.
    pub fn left_since(
        &self,
        seen: Timestamp,
        policy: &SessionPolicy,
        now: Timestamp,
    ) -> Result<Duration, EndReason> {
        if let Some(reason) = self.ended {
            return Err(reason);
        }
        let disabled = self.account.as_ref().is_some_and(|account| account.disabled_at.is_some());
        if disabled || self.replaced.is_some_and(|at| now >= at + OVERLAP) {
            return Err(EndReason::Revoked);
        }
        Times { seen, ..self.times }.left(self.lifetimes(policy), now)
    }

    /// Its lifetimes; `None` for API tokens, which end at a moment that was set.
    pub fn lifetimes(&self, policy: &SessionPolicy) -> Option<Lifetimes> {
        match &self.account {
            _ if self.kind == SessionKind::Token => None,
            None => Some(policy.anonymous),
            Some(account) if account.permissions.contains(&Permission::Admin) => Some(policy.admin),
            Some(_) => Some(policy.user),
        }
    }
}

/// The secret that replaces another one: made of that and of a salt that is stored with its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Successor {
    pub hash: [u8; 32],
    pub salt: [u8; 32],
}

/// What came of replacing a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The new one is good; the old one still is, for a moment.
    Rotated,
    /// It was replaced just now, and its successor is the one with this salt; it still is good, for a
    /// moment.
    Overlap {
        salt: [u8; 32],
    },
    /// It was replaced long ago: somebody has a copy.
    Reused,
    Unknown,
}

/// A token with its session.
type TokenRow = (Uuid, Uuid, Option<Ts>, Option<Vec<u8>>);

named_row! {
    struct SessionRow {
        id: Uuid,
        principal: Uuid,
        kind: String,
        name: String,
        scopes: String,
        created_at: Ts,
        seen_at: Ts,
        expires_at: Ts,
        end_reason: Option<String>,
        permissions_version: i64,
        replaced_at: Option<Ts>,
    }
}

fn session(row: SessionRow, account: Option<Account>) -> Session {
    let ended = row.end_reason.map(|reason| EndReason::of(&reason).unwrap_or(EndReason::Revoked));
    let (created, seen, expires) = (row.created_at.0, row.seen_at.0, row.expires_at.0);
    Session {
        id: SessionId(row.id),
        principal: PrincipalId(row.principal),
        kind: SessionKind::of(&row.kind),
        name: row.name,
        scopes: row.scopes,
        times: Times { created, seen, expires },
        ended,
        permissions_version: row.permissions_version,
        replaced: row.replaced_at.map(|at| at.0),
        account,
    }
}

impl Store {
    /// A new anonymous principal with one session.
    pub async fn create_session(
        &self,
        token_hash: [u8; 32],
        lifetime: Duration,
    ) -> Result<Session, Error> {
        let new = NewSession {
            principal: None,
            token_hash,
            kind: SessionKind::Bearer,
            name: String::new(),
            scopes: String::new(),
            lifetime,
        };
        self.add_session(new).await
    }

    pub async fn add_session(&self, new: NewSession) -> Result<Session, Error> {
        let (id, anonymous) = (self.inner.clock.id(), self.inner.clock.id());
        let token_hash = new.token_hash;
        let (op, answer) = work(move |tx: &mut Tx| {
            let new = new.clone();
            async move { add(tx, id, &new, anonymous).await }.boxed()
        });
        self.answer(op, answer).await?;
        let added = self.find_session(&token_hash).await?;
        added.ok_or_else(|| Error::Corrupt("a session that was stored just now".into()))
    }

    /// The session of a secret, also if it is over.
    pub async fn find_session(&self, token_hash: &[u8; 32]) -> Result<Option<Session>, Error> {
        self.inner.counters.session_lookups.add(1);
        let mut conn = self.inner.db.read().await?;
        let found: Option<SessionRow> = row!(&mut conn, FIND, token_hash.to_vec());
        let Some(found) = found else { return Ok(None) };
        learn_time(&mut conn, &self.inner).await?;
        let owner: Option<AccountRow> = row!(&mut conn, ACCOUNT, found.principal);
        Ok(Some(session(found, owner.map(account).transpose()?)))
    }

    /// Sessions and API tokens of a principal that were not ended, the newest first.
    pub async fn list_sessions(&self, principal: PrincipalId) -> Result<Vec<Session>, Error> {
        let mut conn = self.inner.db.read().await?;
        let owner: Option<AccountRow> = row!(&mut conn, ACCOUNT, principal.0);
        let owner = owner.map(account).transpose()?;
        let found: Vec<SessionRow> = rows!(&mut conn, LIST, principal.0);
        Ok(found.into_iter().map(|row| session(row, owner.clone())).collect())
    }

    /// Writes down that a session is used.
    pub async fn touch_session(&self, id: SessionId) -> Result<(), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                run!(&mut tx.conn, SEEN, id.0, Ts(tx.now));
                Ok(())
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Ends one session of a principal. False if it has no such session.
    pub async fn end_session(
        &self,
        principal: PrincipalId,
        id: SessionId,
        reason: EndReason,
    ) -> Result<bool, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let at = Ts(tx.now);
                let ended = run!(&mut tx.conn, END_ONE, id.0, principal.0, at, reason.name());
                note_changed(tx, principal).await?;
                Ok(ended > 0)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Gives a session a new secret in place of `old`. It has one successor, however often it is
    /// presented: the answer with that may have been lost (I-42). One that is presented again after its
    /// overlap was stolen, or the new one was: the session ends.
    pub async fn rotate(&self, old: [u8; 32], new: Successor) -> Result<Rotation, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let (rotation, session) = replace(tx, old, new).await?;
                if let (Rotation::Reused, Some((id, principal))) = (rotation, session) {
                    run!(&mut tx.conn, END_ONE, id, principal, Ts(tx.now), "revoked");
                    note_changed(tx, PrincipalId(principal)).await?;
                }
                Ok(rotation)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// The same after the password or the permissions of its owner changed: it is the session of today's
    /// permissions then, and one that comes too late ends nothing.
    pub async fn reissue(&self, old: [u8; 32], new: Successor) -> Result<Rotation, Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let (rotation, session) = replace(tx, old, new).await?;
                if let (Rotation::Rotated | Rotation::Overlap { .. }, Some((id, _))) =
                    (rotation, session)
                {
                    run!(&mut tx.conn, UP_TO_DATE, id);
                }
                Ok(rotation)
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// Principals whose sessions or rights were changed lately, by any server or command: what is
    /// remembered of them is out of date.
    pub async fn changed_principals(&self, within: Duration) -> Result<Vec<PrincipalId>, Error> {
        let mut conn = self.inner.db.read().await?;
        learn_time(&mut conn, &self.inner).await?;
        let since = self.inner.now() - within;
        let changed: Vec<(Uuid,)> = rows!(&mut conn, CHANGED_SINCE, Ts(since));
        Ok(changed.into_iter().map(|(id,)| PrincipalId(id)).collect())
    }

    /// Forgets some of the sessions that expired long ago; says how many.
    pub async fn clean_sessions(&self) -> Result<usize, Error> {
        Ok(self.clean_sessions_timed().await?.0)
    }

    /// The same, and how long the database was busy with it.
    pub(crate) async fn clean_sessions_timed(&self) -> Result<(usize, Took), Error> {
        let (op, answer) = work(move |tx: &mut Tx| {
            async move {
                let begun = Instant::now();
                let before = Ts(tx.now - KEEP);
                let over: Vec<(Uuid,)> = rows!(&mut tx.conn, OVER, before, CLEAN_AT_ONCE);
                for (id,) in &over {
                    run!(&mut tx.conn, FORGET_TOKENS, id);
                    run!(&mut tx.conn, FORGET, id);
                }
                Ok((over.len(), Took::since(begun)))
            }
            .boxed()
        });
        self.answer(op, answer).await
    }

    /// How many sessions have expired long ago.
    pub(crate) async fn count_over_sessions(&self, now: Timestamp) -> Result<u64, Error> {
        let mut conn = self.inner.db.read().await?;
        let over: Option<(i64,)> = row!(&mut conn, COUNT_OVER, Ts(now - KEEP));
        Ok(over.map_or(0, |(over,)| over as u64))
    }

    /// The database's time, without asking it.
    pub fn now(&self) -> Timestamp {
        self.inner.now()
    }
}

/// Asks a database that several servers share for its time: sessions are judged by it, also on a server
/// that writes nothing and whose own clock just jumped.
pub(crate) async fn learn_time(conn: &mut Conn, inner: &Inner) -> Result<(), Error> {
    if conn.is_postgres() {
        let micros: i64 = on!(conn, c => sqlx::query_scalar(NOW_POSTGRES).fetch_one(c).await?);
        inner.database_now(Timestamp(micros));
    }
    Ok(())
}

async fn add(tx: &mut Tx, id: Uuid, new: &NewSession, anonymous: Uuid) -> Result<(), Error> {
    let now = tx.now;
    let principal = new.principal.map_or(anonymous, |principal| principal.0);
    if new.principal.is_none() {
        run!(&mut tx.conn, ADD_ANONYMOUS, principal, Ts(now));
    }
    let (kind, expires) = (new.kind.name(), Ts(now + new.lifetime));
    let (name, scopes) = (&new.name, &new.scopes);
    run!(&mut tx.conn, ADD, id, principal, kind, name, scopes, Ts(now), expires);
    run!(&mut tx.conn, ADD_TOKEN, new.token_hash.to_vec(), id);
    if new.principal.is_some() && run!(&mut tx.conn, TOO_MANY, principal, Ts(now), MOST) > 0 {
        note_changed(tx, PrincipalId(principal)).await?;
    }
    Ok(())
}

/// Replaces a secret, if that was not done; and the session and principal whose it is.
async fn replace(
    tx: &mut Tx,
    old: [u8; 32],
    new: Successor,
) -> Result<(Rotation, Option<(Uuid, Uuid)>), Error> {
    let (now, since) = (tx.now, tx.now - OVERLAP);
    let (old, salt) = (old.to_vec(), new.salt.to_vec());
    let replaced: Option<(Uuid,)> = row!(&mut tx.conn, REPLACE, &old, Ts(now), salt, Ts(since));
    if let Some((id,)) = replaced {
        run!(&mut tx.conn, ADD_TOKEN, new.hash.to_vec(), id);
    }
    let known: Option<TokenRow> = row!(&mut tx.conn, OF_TOKEN, &old);
    let Some((id, principal, replaced_at, salt)) = known else {
        return Ok((Rotation::Unknown, None));
    };
    let salt = salt.and_then(|salt| salt.try_into().ok());
    let rotation = match (replaced, replaced_at, salt) {
        (Some(_), ..) => Rotation::Rotated,
        (None, Some(Ts(at)), Some(salt)) if now < at + OVERLAP => Rotation::Overlap { salt },
        _ => Rotation::Reused,
    };
    Ok((rotation, Some((id, principal))))
}
