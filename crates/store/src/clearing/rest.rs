//! What is over beside requests. All of it is found along primary keys.

use muster_core::Timestamp;
use muster_core::clearing::before;
use muster_core::stats::Day;
use uuid::Uuid;

use super::{Batch, Run};
use crate::Error;
use crate::db::Ts;
use crate::db::clock::last_id;
use crate::db::dialect::mark;
use crate::db::statement::{rows, run};
use crate::people::sessions::CLEAN_AT_ONCE;
use crate::writer::Tx;

/// Rows looked at together.
const PAGE: i64 = 1000;

macro_rules! key {
    () => {
        "(model_id, model_version, input_hash)"
    };
}

const PREDICTIONS: &str = concat!(
    "SELECT model_id, model_version, input_hash, created_at <= $4 AND used_on < $5 \
     FROM prediction WHERE ",
    key!(),
    " > ($1, $2, $3) ORDER BY model_id, model_version, input_hash LIMIT $6"
);

const DELETE_PREDICTIONS: &str = concat!(
    "DELETE FROM prediction WHERE ",
    key!(),
    " > ($1, $2, $3) AND ",
    key!(),
    " <= ($4, $5, $6) AND created_at <= $7 AND used_on < $8"
);

const INSTANCES: &str = "SELECT id, COALESCE(ended_at <= $3, FALSE) FROM instance \
     WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $4";

const MARK_LOG: &str = mark!(
    "SELECT log_object, $2 FROM instance_seen WHERE instance_id = $1 AND log_object IS NOT NULL"
);

/// What was seen of it goes along.
const DELETE_INSTANCE: &str = "DELETE FROM instance WHERE id = $1";

/// Nobody can come back as them, and nothing points to them. Who claimed a session counts it as their own,
/// and who chose a secret may come back with it.
macro_rules! has_nothing {
    () => {
        "kind = 'anonymous' AND claimed_by IS NULL \
         AND NOT EXISTS (SELECT 1 FROM session WHERE principal_id = principal.id) \
         AND NOT EXISTS (SELECT 1 FROM request WHERE principal_id = principal.id) \
         AND NOT EXISTS (SELECT 1 FROM link WHERE principal_id = principal.id) \
         AND NOT EXISTS (SELECT 1 FROM chosen_secret WHERE principal_id = principal.id)"
    };
}

const PRINCIPALS: &str =
    concat!("SELECT id, ", has_nothing!(), " FROM principal WHERE id > $1 ORDER BY id LIMIT $2");

const DELETE_PRINCIPAL: &str = concat!("DELETE FROM principal WHERE id = $1 AND ", has_nothing!());

const LINKS: &str =
    "SELECT hash, expires_at <= $2 FROM link WHERE hash > $1 ORDER BY hash LIMIT $3";

const DELETE_LINK: &str = "DELETE FROM link WHERE hash = $1 AND expires_at <= $2";

/// The key of a prediction.
type Key = (String, String, Vec<u8>);

/// Predictions behind one and up to another that were not used since a moment.
pub(super) struct Stale {
    after: Key,
    until: Key,
    before: Timestamp,
}

impl Stale {
    pub(super) async fn delete(&self, tx: &mut Tx) -> Result<u64, Error> {
        let (from, to) = (&self.after, &self.until);
        let (made, used) = (Ts(self.before), day(self.before));
        Ok(run!(
            &mut tx.conn,
            DELETE_PREDICTIONS,
            &from.0,
            &from.1,
            &from.2,
            &to.0,
            &to.1,
            &to.2,
            made,
            used
        ))
    }
}

/// What was last used on an earlier day was not used since the moment.
fn day(moment: Timestamp) -> i64 {
    i64::from(Day::of(moment).0)
}

impl Run<'_> {
    pub(super) async fn predictions(&mut self) -> Result<(), Error> {
        let Some(age) = self.retention.predictions else { return Ok(()) };
        let before = before(self.now, age);
        let mut after: Key = Key::default();
        loop {
            let mut conn = self.store.inner.db.read().await?;
            let page: Vec<(String, String, Vec<u8>, bool)> = rows!(
                &mut conn,
                PREDICTIONS,
                &after.0,
                &after.1,
                &after.2,
                Ts(before),
                day(before),
                PAGE
            );
            drop(conn);
            if page.is_empty() {
                return Ok(());
            }
            let mut page = page.into_iter().peekable();
            while page.peek().is_some() {
                let (mut stale, mut until) = (0, after.clone());
                for (model, version, hash, is_stale) in page.by_ref().take(self.pace.rows()) {
                    stale += u64::from(is_stale);
                    until = (model, version, hash);
                }
                let batch = Stale { after, until: until.clone(), before };
                after = until;
                if stale > 0 {
                    stale = self.delete(stale, Batch::Predictions(batch)).await?;
                }
                self.cleared.predictions += stale;
            }
            self.told();
        }
    }

    pub(super) async fn instances(&mut self) -> Result<(), Error> {
        let Some(age) = self.retention.instances else { return Ok(()) };
        let before = before(self.now, age);
        let (mut after, until) = (Uuid::nil(), last_id(before));
        loop {
            let mut conn = self.store.inner.db.read().await?;
            let page: Vec<(Uuid, bool)> =
                rows!(&mut conn, INSTANCES, after, until, Ts(before), PAGE);
            drop(conn);
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            for (id, _) in page.into_iter().filter(|(_, over)| *over) {
                self.cleared.instances += self.delete(1, Batch::Instance(id)).await?;
            }
            self.told();
        }
    }

    pub(super) async fn people(&mut self) -> Result<(), Error> {
        self.sessions().await?;
        self.links().await?;
        self.principals().await
    }

    async fn sessions(&mut self) -> Result<(), Error> {
        if self.dry {
            self.cleared.sessions = self.store.count_over_sessions(self.now).await?;
            return Ok(());
        }
        loop {
            let (cleaned, took) = self.store.clean_sessions_timed().await?;
            self.cleared.sessions += cleaned as u64;
            self.told();
            if cleaned < CLEAN_AT_ONCE as usize {
                return Ok(());
            }
            self.pace.rest(took).await;
        }
    }

    async fn links(&mut self) -> Result<(), Error> {
        let mut after = Vec::new();
        loop {
            let mut conn = self.store.inner.db.read().await?;
            let page: Vec<(Vec<u8>, bool)> = rows!(&mut conn, LINKS, &after, Ts(self.now), PAGE);
            drop(conn);
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            let over = page.into_iter().filter(|(_, over)| *over).map(|(hash, _)| hash);
            let over: Vec<Vec<u8>> = over.collect();
            for some in over.chunks(self.pace.rows()).map(<[_]>::to_vec) {
                self.delete(some.len() as u64, Batch::Links(some, self.now)).await?;
            }
        }
    }

    async fn principals(&mut self) -> Result<(), Error> {
        // Behind the owner of what is detached.
        let mut after = Uuid::nil();
        loop {
            let mut conn = self.store.inner.db.read().await?;
            let page: Vec<(Uuid, bool)> = rows!(&mut conn, PRINCIPALS, after, PAGE);
            drop(conn);
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            let over: Vec<Uuid> =
                page.into_iter().filter(|(_, over)| *over).map(|(id, _)| id).collect();
            for some in over.chunks(self.pace.rows()).map(<[_]>::to_vec) {
                let wanted = some.len() as u64;
                self.cleared.principals += self.delete(wanted, Batch::Principals(some)).await?;
            }
            self.told();
        }
    }
}

pub(super) async fn delete_instance(tx: &mut Tx, id: Uuid) -> Result<u64, Error> {
    run!(&mut tx.conn, MARK_LOG, id, Ts(tx.now));
    Ok(run!(&mut tx.conn, DELETE_INSTANCE, id))
}

pub(super) async fn delete_principals(tx: &mut Tx, ids: &[Uuid]) -> Result<u64, Error> {
    let mut deleted = 0;
    for id in ids {
        deleted += run!(&mut tx.conn, DELETE_PRINCIPAL, id);
    }
    Ok(deleted)
}

pub(super) async fn delete_links(
    tx: &mut Tx,
    hashes: &[Vec<u8>],
    before: Timestamp,
) -> Result<u64, Error> {
    let mut deleted = 0;
    for hash in hashes {
        deleted += run!(&mut tx.conn, DELETE_LINK, hash, Ts(before));
    }
    Ok(deleted)
}
